/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "backends/cuda/cuda.h"
#include "backends/cuda/ring.h"
#include "core/error.h"

/*
 * Both stages of T = 1 by clusters of 16 work-groups, which take 64 positions of a head at a time,
 * for GPUs of compute capability 9.0: what RIGHT makes stays in their shared memories.
 */

enum {
    WIDEST = 128,
    LARGEST_GROUP = 128, /* whose scores a warpgroup's registers hold */
    MOST_HEADS = 1 << 22,
    LEAST_MULTIPROCESSORS = 96, /* of a GPU that has groups of 16 of them */
    THREADS = 640,              /* of 64 features */
    THREADS_OF_TWO_PANELS = 512
};

static const float LEAST_SCALE = 0x1p-40f, MOST_SCALE = 0x1p40f;

/* What follows from the shape of a problem: a pure function, asked by everyone. */
typedef struct shape {
    int blocks, block, panels;
    int units; /* 0 where shared memory does not suffice */
    uint32_t shared_memory;
    int64_t slices; /* of all heads */
} shape;

static shape shape_of(const mn_program *program, const mn_cuda_limits *limits)
{
    const monarch_problem *p = &program->problem;
    shape s = {.blocks = (int)program->blocks,
               .block = (int)p->block_size,
               .panels = (int)p->head_dim / MN_PANEL_FEATURES};
    s.slices = p->batch * p->heads * (s.block / MN_SLICE_ROWS);
    s.units = mn_slice_units(s.blocks, s.panels);
    s.shared_memory = (uint32_t)mn_slice_bytes(s.blocks, s.panels, s.units);
    return s;
}

static bool is_whole(const mn_program *program)
{
    const monarch_problem *p = &program->problem;
    return p->steps == 1 && !p->has_mask && p->tokens == program->blocks * p->block_size &&
           program->blocks % MN_SLICE_ROWS == 0 && p->block_size % MN_SLICE_ROWS == 0 &&
           p->head_dim % MN_PANEL_FEATURES == 0 && p->value_dim == p->head_dim &&
           p->scale > LEAST_SCALE && p->scale < MOST_SCALE;
}

static uint32_t covers(const mn_variant *variant, const monarch_device *device,
                       const mn_program *program, uint32_t first, uint32_t limit, mn_reason *reason)
{
    static const mn_cuda_most most = {WIDEST, LARGEST_GROUP, MOST_HEADS, false};
    const mn_cuda_limits *limits = mn_cuda_device_limits(device);
    if (!mn_cuda_takes_whole(variant, limits, program, first, limit, &most, reason))
        return 0;
    if (!is_whole(program))
        snprintf(reason->text, sizeof reason->text,
                 "variant slice takes T = 1, blocks of 64 or 128 tokens, 64 or 128 of them, 64 or "
                 "128 features and no mask");
    else if (limits->multiprocessors < LEAST_MULTIPROCESSORS)
        snprintf(reason->text, sizeof reason->text,
                 "%" PRId32 " multiprocessors; variant slice needs clusters of %d, which are sure "
                 "to be there with %d",
                 limits->multiprocessors, MN_SLICE_CLUSTER, LEAST_MULTIPROCESSORS);
    else if (shape_of(program, limits).units == 0)
        snprintf(reason->text, sizeof reason->text,
                 "%" PRId64 " blocks of %" PRId64 " tokens with %" PRId64
                 " features do not fit into the shared memory of a cluster",
                 program->blocks, program->problem.block_size, program->problem.head_dim);
    else
        return program->step_count;
    return 0;
}

static bool suits(const mn_variant *variant, const monarch_device *device,
                  const mn_program *program, uint32_t first, uint32_t count)
{
    (void)variant;
    (void)device;
    (void)program;
    (void)first;
    (void)count;
    return true;
}

static uint64_t scratch(const mn_variant *variant, const monarch_device *device,
                        const mn_program *program, uint32_t first, uint32_t count)
{
    (void)variant;
    (void)device;
    (void)program;
    (void)first;
    (void)count;
    return 0;
}

static uint32_t launches(const mn_cuda_variant *variant, const monarch_plan *plan, uint32_t run,
                         mn_cuda_launch *out)
{
    (void)variant;
    (void)run;
    const monarch_problem *p = &plan->program.problem;
    shape s = shape_of(&plan->program, mn_cuda_device_limits(plan->device));
    *out = (mn_cuda_launch){
        .module = MN_CUDA_SLICE,
        .threads = s.panels == 1 ? THREADS : THREADS_OF_TWO_PANELS,
        .shared_memory = s.shared_memory,
        .overlaps = true,
        .cluster = MN_SLICE_CLUSTER,
        .work_groups = s.slices * MN_SLICE_CLUSTER,
    };
    mn_params_from_program(plan, &out->params);
    out->ring = (mn_ring_params){
        .heads = (int32_t)(p->batch * p->heads),
        .slices = s.block / MN_SLICE_ROWS,
        .query_rows = MN_SLICE_ROWS,
    };
    snprintf(out->kernel, sizeof out->kernel, "slice_%s_%d_%d_%d", monarch_dtype_name(p->q.dtype),
             s.panels * MN_PANEL_FEATURES, s.block, s.blocks);
    return 1;
}

/* Clusters stay and take one slice after the other: there are as many as run at once. */
static monarch_status count_clusters(const monarch_plan *plan, mn_cuda_launch *launch,
                                     monarch_error *error)
{
    mn_cuda_device *device = mn_cuda_device_of(plan->device);
    const mn_cuda_kernel *kernel;
    CUlaunchAttribute attribute = {.id = CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION,
                                   .value.clusterDim = {MN_SLICE_CLUSTER, 1, 1}};
    CUlaunchConfig config = {
        .gridDimX = MN_SLICE_CLUSTER,
        .gridDimY = 1,
        .gridDimZ = 1,
        .blockDimX = launch->threads,
        .blockDimY = 1,
        .blockDimZ = 1,
        .sharedMemBytes = launch->shared_memory,
        .attrs = &attribute,
        .numAttrs = 1,
    };
    int clusters = 0;
    MN_TRY(mn_cuda_find_kernel(device, launch->module, launch->kernel, &kernel, error));
    MN_TRY(mn_cuda_check(
        device->driver,
        device->driver->occupancy_max_active_clusters(&clusters, kernel->function, &config),
        "cuOccupancyMaxActiveClusters", error));
    if (clusters == 0)
        return mn_fail(error, MONARCH_ERROR_UNSUPPORTED,
                       "the device runs no cluster of %d work-groups, which variant slice needs",
                       MN_SLICE_CLUSTER);
    if (getenv("MN_CLUSTERS"))
        clusters = atoi(getenv("MN_CLUSTERS"));
    if (getenv("MN_NOPDL"))
        launch->overlaps = false;
    int64_t most = (int64_t)clusters * MN_SLICE_CLUSTER;
    launch->work_groups = launch->work_groups < most ? launch->work_groups : most;
    return MONARCH_OK;
}

static monarch_status prepare(const monarch_plan *plan, mn_cuda_launch *launch,
                              monarch_error *error)
{
    MN_TRY(count_clusters(plan, launch, error));
    return mn_cuda_ring_make_maps(plan, launch, error);
}

const mn_cuda_variant mn_cuda_slice = {
    .base = {"slice", covers, suits, scratch},
    .launches = launches,
    .prepare = prepare,
};
