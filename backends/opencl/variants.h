/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_OPENCL_VARIANTS_H
#define MN_OPENCL_VARIANTS_H

#include "backends/common/params.h"
#include "backends/common/select.h"

/* Files of device code; each becomes a program for every set of options that a plan wants. */
typedef enum mn_opencl_module {
    MN_OPENCL_PLAIN,
    MN_OPENCL_RIGHT,
    MN_OPENCL_RIGHT_VALUE,
    MN_OPENCL_LEFT,
    MN_OPENCL_LEFT_OUT,
    MN_OPENCL_MATRIX,
    MN_OPENCL_MATRIX_PROBE,
    MN_OPENCL_MATRIX_INTEL,
    MN_OPENCL_MODULES
} mn_opencl_module;

enum { MN_OPENCL_OPTIONS_SIZE = 256 };

/* One kernel launch, as a plan keeps it. */
typedef struct mn_opencl_launch {
    mn_opencl_module module;
    char kernel[24];
    char options[MN_OPENCL_OPTIONS_SIZE]; /* of the compiler */
    uint32_t work_group;                  /* work-items of a work-group */
    uint32_t local_memory;                /* bytes given as the last argument; 0 = no such one */
    int64_t work_groups;
    mn_launch_params params;
} mn_opencl_launch;

/* What the variants ask about a device; read once, when it is opened. */
typedef struct mn_opencl_limits {
    bool cpu;
    int32_t capability;    /* NVIDIA: 90 for compute capability 9.0; 0 on other devices */
    bool subgroup_matrix;  /* Intel: cl_intel_subgroup_matrix_multiply_accumulate */
    uint32_t subgroup;     /* work-items that run in step, where the driver tells; otherwise 0 */
    uint32_t work_group;   /* work-items that a work-group may have */
    uint32_t local_memory; /* bytes that it may have */
} mn_opencl_limits;

const mn_opencl_limits *mn_opencl_device_limits(const monarch_device *device);

enum { MN_OPENCL_STEP_LAUNCHES = 2 }; /* at most, for each step of a run */

typedef struct mn_opencl_variant {
    mn_variant base;
    /* Whether a device lists the variant at all. */
    bool (*listed)(const mn_opencl_limits *limits);
    /* Writes the launches of run `run` of a plan whose workspace is laid out; returns how many. */
    uint32_t (*launches)(const struct mn_opencl_variant *variant, const monarch_plan *plan,
                         uint32_t run, mn_opencl_launch *launches);
} mn_opencl_variant;

/* What variants that run single steps share. */

/* Whether all matrices of a step have one dtype and adjacent features. */
bool mn_opencl_same_elements(const mn_step *step, const char *variant, mn_reason *reason);

/* Scratch of such variants: the STATS of LEFT. */
uint64_t mn_opencl_step_scratch(const mn_variant *variant, const monarch_device *device,
                                const mn_program *program, uint32_t first, uint32_t count);

extern const mn_opencl_variant mn_opencl_matrix;       /* NVIDIA's matrix instructions */
extern const mn_opencl_variant mn_opencl_matrix_intel; /* Intel's; never run */
extern const mn_opencl_variant mn_opencl_tiled;        /* tiles in local memory, any device */
extern const mn_opencl_variant mn_opencl_plain;        /* any problem, any device */

#endif
