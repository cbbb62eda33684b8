/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_VULKAN_VARIANTS_H
#define MN_VULKAN_VARIANTS_H

#include "backends/common/params.h"
#include "backends/common/select.h"

/* Compiled shaders, embedded by the build; backends/vulkan/meson.build makes the same ones. */
typedef enum mn_vulkan_module {
    MN_VULKAN_PLAIN,
    MN_VULKAN_PLAIN_BOUND, /* by descriptors: see by_address in mn_vulkan_limits */
    MN_VULKAN_TILED_RIGHT,
    MN_VULKAN_TILED_RIGHT_VALUE,
    MN_VULKAN_TILED_LEFT_STATS,
    MN_VULKAN_TILED_LEFT_MEAN,
    MN_VULKAN_TILED_LEFT_OUT,
    MN_VULKAN_COOPMAT_F16,                                /* the same five forms */
    MN_VULKAN_COOPMAT_BF16 = MN_VULKAN_COOPMAT_F16 + 5,   /* likewise */
    MN_VULKAN_COOPMAT2_F16 = MN_VULKAN_COOPMAT_BF16 + 5,  /* likewise */
    MN_VULKAN_COOPMAT2_BF16 = MN_VULKAN_COOPMAT2_F16 + 5, /* likewise */
    MN_VULKAN_MODULES = MN_VULKAN_COOPMAT2_BF16 + 5
} mn_vulkan_module;

enum { MN_VULKAN_CONSTANTS = 12 };

/* What a pipeline is made of: a shader and its specialization constants, numbered from 0 on. */
typedef struct mn_vulkan_shader {
    mn_vulkan_module module;
    uint32_t constant_count;
    uint32_t constants[MN_VULKAN_CONSTANTS];
    uint32_t subgroup_size; /* required, and every subgroup is full; 0 = whatever the device does */
} mn_vulkan_shader;

/* One dispatch, as a plan keeps it. */
typedef struct mn_vulkan_launch {
    mn_vulkan_shader shader;
    int64_t work_groups;
    mn_launch_params params;
} mn_vulkan_launch;

/* A cooperative-matrix shape that a device has: a of m x k and b of k x n in `dtype`, sums in f32,
   held by a subgroup. */
typedef struct mn_vulkan_matrix {
    monarch_dtype dtype;
    uint32_t m, n, k;
} mn_vulkan_matrix;

enum { MN_VULKAN_MATRICES = 16 };

/* What the variants ask about a device; read once, when it is opened. */
typedef struct mn_vulkan_limits {
    uint32_t features; /* monarch_vulkan_feature bits that are enabled, or will be */
    /* Whether shaders reach memory by address, which every variant wants. On a device that lacks a
       feature for that, none of the others is used either; variant plain alone runs, on memory that
       is bound by descriptors. */
    bool by_address;
    uint64_t bound_bytes;                   /* of one binding, at most */
    uint32_t shared_memory;                 /* bytes of a work-group */
    uint32_t invocations;                   /* of a work-group, at most */
    uint32_t subgroup_size;                 /* that the device chooses by itself */
    uint32_t least_subgroup, most_subgroup; /* that a pipeline may require */
    uint32_t matrix_count;
    mn_vulkan_matrix matrices[MN_VULKAN_MATRICES];
} mn_vulkan_limits;

const mn_vulkan_limits *mn_vulkan_device_limits(const monarch_device *device);

enum { MN_VULKAN_STEP_LAUNCHES = 2 }; /* at most, for each step of a run */

typedef struct mn_vulkan_variant {
    mn_variant base;
    /* Writes the launches of run `run` of a plan whose workspace is laid out; returns how many. */
    uint32_t (*launches)(const struct mn_vulkan_variant *variant, const monarch_plan *plan,
                         uint32_t run, mn_vulkan_launch *launches);
} mn_vulkan_variant;

/* Scratch of variants that run single steps: the STATS of LEFT. */
uint64_t mn_vulkan_step_scratch(const mn_variant *variant, const monarch_device *device,
                                const mn_program *program, uint32_t first, uint32_t count);

/* Whether all matrices of a step have one dtype and adjacent features. */
bool mn_vulkan_same_elements(const mn_step *step, const char *variant, mn_reason *reason);

extern const mn_vulkan_variant mn_vulkan_coopmat2; /* cooperative matrices that do softmax */
extern const mn_vulkan_variant mn_vulkan_coopmat;  /* cooperative matrices */
extern const mn_vulkan_variant mn_vulkan_tiled;    /* multiply-adds, tiles in shared memory */
extern const mn_vulkan_variant mn_vulkan_plain;    /* any problem, any device */

#endif
