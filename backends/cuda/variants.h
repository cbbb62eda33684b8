/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CUDA_VARIANTS_H
#define MN_CUDA_VARIANTS_H

#include "backends/common/params.h"
#include "backends/common/select.h"
#include "shaders/cuda/ring.h"

/* Files of device code; each becomes one module of a context, loaded when a plan first wants it. */
typedef enum mn_cuda_module {
    MN_CUDA_PLAIN,
    MN_CUDA_RIGHT,
    MN_CUDA_RIGHT_VALUE,
    MN_CUDA_LEFT,
    MN_CUDA_LEFT_OUT,
    MN_CUDA_FUSED,
    MN_CUDA_FUSED_SHARES,
    MN_CUDA_CLUSTER,
    MN_CUDA_HOPPER,
    MN_CUDA_RING,
    MN_CUDA_RING_256,
    MN_CUDA_RING_FP8,
    MN_CUDA_SLICE,
    MN_CUDA_MODULES
} mn_cuda_module;

/* One kernel launch, as a plan keeps it. */
typedef struct mn_cuda_launch {
    mn_cuda_module module;
    char kernel[40];
    uint32_t threads;       /* of a work-group */
    uint32_t shared_memory; /* bytes */
    bool overlaps;          /* may begin before the launch ahead of it has ended */
    bool cooperative;       /* all its work-groups must run at once */
    uint32_t cluster;       /* work-groups of a cluster; 0: it has none */
    int64_t work_groups;
    mn_launch_params params;
    mn_ring_params ring; /* of variants ring and cluster alone */
} mn_cuda_launch;

/* What the variants ask about a device; read once, when it is opened. */
typedef struct mn_cuda_limits {
    int32_t capability;      /* 80 for compute capability 8.0 */
    int32_t multiprocessors; /* how many */
    uint32_t shared_memory;  /* bytes a work-group may ask for */
    uint32_t shared_memory_per_multiprocessor;
    uint32_t reserved_shared_memory; /* bytes that the driver takes of each work-group's */
} mn_cuda_limits;

const mn_cuda_limits *mn_cuda_device_limits(const monarch_device *device);

enum { MN_CUDA_STEP_LAUNCHES = 2 }; /* at most, for each step of a run */

typedef struct mn_cuda_variant {
    mn_variant base;
    /* Writes the launches of run `run` of a plan whose workspace is laid out; returns how many. */
    uint32_t (*launches)(const struct mn_cuda_variant *variant, const monarch_plan *plan,
                         uint32_t run, mn_cuda_launch *launches);
    /* (optional) What a launch needs of the driver; the device's context is current. */
    monarch_status (*prepare)(const monarch_plan *plan, mn_cuda_launch *launch,
                              monarch_error *error);
} mn_cuda_variant;

/* Whether the build has code for a device, sm_80 or later. */
bool mn_cuda_has_code(const mn_cuda_limits *limits, const char *variant, mn_reason *reason);

/* What variants that run single steps share. */

/* Writes that the variant has no fp8 intermediates to `reason`. False. */
bool mn_cuda_refuse_fp8(const char *variant, mn_reason *reason);

/* Whether all matrices of a step have one dtype, adjacent features and no fp8. */
bool mn_cuda_same_elements(const mn_step *step, const char *variant, mn_reason *reason);

/* What variants that run all stages on compute capability 9.0 share: f16 and bf16, and no more than
   this. */
typedef struct mn_cuda_most {
    int features, group, heads; /* group: blocks, and tokens of one; heads: of all batches */
    bool fp8;                   /* may have fp8 intermediates, of one step */
} mn_cuda_most;

bool mn_cuda_takes_whole(const mn_variant *variant, const mn_cuda_limits *limits,
                         const mn_program *program, uint32_t first, uint32_t limit,
                         const mn_cuda_most *most, mn_reason *reason);

/* Scratch of variants that run single steps: the STATS of LEFT. */
uint64_t mn_cuda_step_scratch(const mn_variant *variant, const monarch_device *device,
                              const mn_program *program, uint32_t first, uint32_t count);

extern const mn_cuda_variant mn_cuda_fused;   /* all steps of a head in one work-group or two */
extern const mn_cuda_variant mn_cuda_cluster; /* all steps of a head in a cluster, sm_90a only */
extern const mn_cuda_variant mn_cuda_slice;  /* T = 1 of a slice of a head in a cluster, likewise */
extern const mn_cuda_variant mn_cuda_ring;   /* all steps of all heads in one launch, sm_90a only */
extern const mn_cuda_variant mn_cuda_hopper; /* warpgroups of 64 rows, sm_90a only */
extern const mn_cuda_variant mn_cuda_tiled;  /* matrix instructions, tiles of 16 rows */
extern const mn_cuda_variant mn_cuda_plain;  /* any problem, any GPU */

#endif
