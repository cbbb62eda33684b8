/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>

#include "backends/cuda/cuda.h"
#include "backends/cuda/ring.h"
#include "core/error.h"

/*
 * All stages by clusters of work-groups that take 48 to 96 positions of a head at a time, for GPUs
 * of compute capability 9.0: what stages hand on stays in their shared memories.
 */

enum {
    WIDEST = 128,
    LEAST_GROUP = 64,    /* so that each warpgroup has a block of every slice */
    MIDDLE_GROUP = 96,   /* up to which kernels have room for fewer rows */
    LARGEST_GROUP = 128, /* whose scores a warpgroup's registers hold */
    MOST_HEADS = 1 << 22,
    SMALL = 8, /* work-groups of a cluster */
    LARGE = 16,
    LEAST_MULTIPROCESSORS = 113, /* in 8 groups of an even number each, one has 16 */
    WARPGROUP = 128              /* threads */
};

/* What follows from the shape of a problem: a pure function, asked by everyone. */
typedef struct shape {
    mn_slice_extents extents; /* of the kernel */
    int of_head;              /* slices of a head */
    int64_t slices;           /* of all heads */
    int64_t at_once, rounds;
} shape;

/* Clusters that run at once. Multiprocessors come in groups, of 16 or 18 and some of fewer, and a
   cluster lies within one: an H100's 132 run 7 of 16 and 15 of 8 work-groups. */
static int64_t clusters_of(int size, const mn_cuda_limits *limits)
{
    return limits->multiprocessors / size - 1;
}

static void set_size(shape *s, int size, const mn_cuda_limits *limits)
{
    s->extents.size = size;
    s->at_once = clusters_of(size, limits);
    s->rounds = (s->slices + s->at_once - 1) / s->at_once;
}

/* Small clusters have less shared memory: where they suffice, large ones do. */
static bool fits(const shape *s)
{
    return mn_slice_units(s->extents) > 0;
}

/* There are kernels for whole problems, and those that have room for 96 or 128 rows. */
static int room_for(int64_t group)
{
    return group <= MIDDLE_GROUP ? MIDDLE_GROUP : LARGEST_GROUP;
}

static mn_slice_extents extents_of(const mn_program *program)
{
    const monarch_problem *p = &program->problem;
    const bool whole = mn_cuda_is_whole(program);
    return (mn_slice_extents){
        .block = whole ? (int)p->block_size : room_for(p->block_size),
        .blocks = whole ? (int)program->blocks : room_for(program->blocks),
        .panels = (int)p->head_dim / MN_PANEL_FEATURES,
        .size = LARGE,
        .whole = whole,
        .several = p->steps > 1,
    };
}

/* A round of large clusters takes half as long as one of small ones, which run in twice as many. */
static shape shape_of(const mn_program *program, const mn_cuda_limits *limits)
{
    const monarch_problem *p = &program->problem;
    shape s = {.extents = extents_of(program)};
    const int rows = mn_slice_rows(s.extents);
    s.of_head = ((int)p->block_size + rows - 1) / rows;
    s.slices = p->batch * p->heads * s.of_head;
    shape small = s;
    set_size(&s, LARGE, limits);
    set_size(&small, SMALL, limits);
    return fits(&small) && 2 * small.rounds <= s.rounds ? small : s;
}

/* Kernels for ragged problems and for several steps have one panel; with these RIGHT and LEFT send
   each other rows, which needs as many blocks as a slice has positions. */
static bool has_kernel(const mn_program *program)
{
    const monarch_problem *p = &program->problem;
    if (!mn_cuda_has_panels(program))
        return false;
    if (p->steps > 1)
        return mn_cuda_is_whole(program) && p->head_dim == MN_PANEL_FEATURES &&
               p->block_size == LEAST_GROUP && program->blocks == LEAST_GROUP;
    return mn_cuda_is_whole(program) ||
           (p->head_dim == MN_PANEL_FEATURES && p->block_size >= LEAST_GROUP &&
            program->blocks >= LEAST_GROUP);
}

static bool takes(const mn_program *program, const mn_cuda_limits *limits, mn_reason *reason)
{
    if (!has_kernel(program))
        snprintf(reason->text, sizeof reason->text,
                 "variant slice takes T = 1, no mask and 64 to 128 blocks of 64 to 128 tokens with "
                 "64 features, or whole ones, 64 or 128 of each, with 128; or T > 1 with 64 whole "
                 "blocks of 64 tokens and 64 features");
    else if (limits->multiprocessors < LEAST_MULTIPROCESSORS)
        snprintf(reason->text, sizeof reason->text,
                 "%" PRId32 " multiprocessors; variant slice needs clusters of %d, which %d are "
                 "sure to have",
                 limits->multiprocessors, LARGE, LEAST_MULTIPROCESSORS);
    else
        return true;
    return false;
}

static uint32_t covers(const mn_variant *variant, const monarch_device *device,
                       const mn_program *program, uint32_t first, uint32_t limit, mn_reason *reason)
{
    static const mn_cuda_most most = {WIDEST, LARGEST_GROUP, MOST_HEADS, false};
    const mn_cuda_limits *limits = mn_cuda_device_limits(device);
    if (!mn_cuda_takes_whole(variant, limits, program, first, limit, &most, reason) ||
        !takes(program, limits, reason))
        return 0;
    shape s = shape_of(program, limits);
    if (fits(&s))
        return program->step_count;
    snprintf(reason->text, sizeof reason->text,
             "%" PRId64 " blocks with %" PRId64
             " features do not fit into the shared memory of a cluster",
             program->blocks, program->problem.head_dim);
    return 0;
}

/*
 * Where more than half of the clusters have work, and everywhere with 64 blocks of 64 features.
 * Measured on an H100 with builds between commits, beside the best other variant, features 64: 12
 * heads of 4096 tokens 16.4 and 20.2 us, one head 8.7 and 9.9, 96 heads 101 and 131; 12 heads of
 * 8192 in blocks of 64 35.0 and 44.4, two heads 16.9 and 14.3; in blocks of 128 36.1 and 44.8, two
 * heads 11.3 and 14.7. Features 128: 32 heads of 4096 80.8 and 93.0, two heads 15.0 and 13.7; 12
 * heads of 8192 78.4 and 82.8. 128 blocks of 128 tokens leave little memory for what is on its way:
 * 12 heads of 16384 81.3 and 78.3, 16 heads, 4.6 rounds, 102 and 102, 24 heads, 6.9 rounds, 142 and
 * 147. Two steps: 12 heads of 4096 31.6 and 40.4, three heads 19.2 and 20.9, one head 18.8, ring
 * 17.2 and cluster, which would be next, 38.7. Ragged, in pairs: 12 heads of 8192 in blocks of 90
 * 41.9 and 51.5, four heads 22.2 and 25.0, two 21.8 and 18.7; 12 heads of 4500 in blocks of 66 36.1
 * and 41.7, eight 35.0 and 31.5; but of 4095 in blocks of 64 30.4 and 20.4. The other ragged ones
 * read keys and values twice and lose: 12 heads of 12000 in blocks of 110 78.1 and 66.9, of 8192 in
 * blocks of 72 59.6 and 52.2.
 */
static bool suits(const mn_variant *variant, const monarch_device *device,
                  const mn_program *program, uint32_t first, uint32_t count)
{
    (void)variant;
    (void)first;
    (void)count;
    shape s = shape_of(program, mn_cuda_device_limits(device));
    const mn_slice_extents *e = &s.extents;
    const int64_t places = s.rounds * s.at_once;
    if (!e->whole && (!mn_slice_in_pairs(*e) || program->problem.block_size == LEAST_GROUP))
        return false;
    if (e->whole && e->blocks == 64 && e->panels == 1)
        return true;
    if (e->blocks == 128 && e->block == 128)
        return 20 * s.slices >= 19 * places;
    return 2 * s.slices > places;
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

/* The block that padding is in, -1 without any. */
static int32_t short_block_of(const mn_program *program)
{
    const monarch_problem *p = &program->problem;
    if (p->tokens == program->blocks * p->block_size)
        return -1;
    return program->first > 0 ? 0 : (int32_t)program->blocks - 1;
}

static uint32_t launches(const mn_cuda_variant *variant, const monarch_plan *plan, uint32_t run,
                         mn_cuda_launch *out)
{
    (void)variant;
    (void)run;
    const monarch_problem *p = &plan->program.problem;
    shape s = shape_of(&plan->program, mn_cuda_device_limits(plan->device));
    const mn_slice_extents *e = &s.extents;
    *out = (mn_cuda_launch){
        .module = MN_CUDA_SLICE,
        .threads = (uint32_t)(mn_slice_groups(*e) + 1) * WARPGROUP,
        .shared_memory = (uint32_t)mn_slice_bytes(*e, mn_slice_units(*e)),
        .overlaps = true,
        .cluster = (uint32_t)e->size,
        .work_groups = s.slices * e->size,
    };
    mn_params_from_program(plan, &out->params);
    out->ring = (mn_ring_params){
        .heads = (int32_t)(p->batch * p->heads),
        .slices = s.of_head,
        .query_rows = mn_slice_rows(*e),
        .key_rows = e->whole ? 0 : e->block,
        .short_block = short_block_of(&plan->program),
    };
    snprintf(out->kernel, sizeof out->kernel, "slice_%s%s_%d_%d_%d_%d",
             e->several ? "steps_"
             : e->whole ? ""
                        : "ragged_",
             monarch_dtype_name(p->q.dtype), e->panels * MN_PANEL_FEATURES, e->block, e->blocks,
             e->size);
    return 1;
}

/* Clusters stay and take one slice after the other: there are as many as run at once. */
static monarch_status count_clusters(const monarch_plan *plan, mn_cuda_launch *launch,
                                     monarch_error *error)
{
    mn_cuda_device *device = mn_cuda_device_of(plan->device);
    const mn_cuda_kernel *kernel;
    CUlaunchAttribute attribute = {.id = CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION,
                                   .value.clusterDim = {launch->cluster, 1, 1}};
    CUlaunchConfig config = {
        .gridDimX = launch->cluster,
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
                       "the device runs no cluster of %" PRIu32
                       " work-groups, which variant slice needs",
                       launch->cluster);
    int64_t most = (int64_t)clusters * launch->cluster;
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
