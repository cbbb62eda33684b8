/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/cuda/cuda.h"

#include "backends/cuda/ring.h"
#include "core/alloc.h"
#include "core/error.h"

/* plan->state: the launches of all runs, one after the other. */
typedef struct state {
    mn_cuda_launch *launches;
    const mn_cuda_kernel **kernels; /* of each launch */
    uint32_t *first;                /* launch of each run, and behind the last */
} state;

/* One of the two axes that work-groups are counted on; the other takes up to 65,535. */
static const int64_t longest_axis = INT64_C(1) << 30;

static monarch_status allocate_state(monarch_plan *plan, monarch_error *error)
{
    const monarch_allocator *allocator = &plan->device->instance->allocator;
    size_t most = 0;
    for (uint32_t i = 0; i < plan->run_count; i++)
        most += (size_t)MN_CUDA_STEP_LAUNCHES * plan->runs[i].count;
    state *s = mn_alloc(allocator, sizeof *s);
    plan->state = s;
    if (!s)
        return mn_fail_memory(error, "the launches of a plan");
    s->launches = mn_alloc_array(allocator, most, sizeof *s->launches);
    s->kernels = mn_alloc_array(allocator, most, sizeof *s->kernels);
    s->first = mn_alloc_array(allocator, (size_t)plan->run_count + 1, sizeof *s->first);
    if (!s->launches || !s->kernels || !s->first)
        return mn_fail_memory(error, "the launches of a plan");
    return MONARCH_OK;
}

/* Needs the device's context to be current, as tensor maps do. */
static monarch_status find_kernels(const monarch_plan *plan, monarch_error *error)
{
    mn_cuda_device *device = mn_cuda_device_of(plan->device);
    const state *s = plan->state;
    for (uint32_t i = 0; i < s->first[plan->run_count]; i++)
        MN_TRY(mn_cuda_find_kernel(device, s->launches[i].module, s->launches[i].kernel,
                                   &s->kernels[i], error));
    return MONARCH_OK;
}

static monarch_status fix_launches(const monarch_plan *plan, monarch_error *error)
{
    const state *s = plan->state;
    for (uint32_t i = 0; i < plan->run_count; i++) {
        const mn_cuda_variant *variant = plan->runs[i].variant;
        mn_cuda_launch *launches = &s->launches[s->first[i]];
        uint32_t count = variant->launches(variant, plan, i, launches);
        s->first[i + 1] = s->first[i] + count;
        for (uint32_t k = 0; k < count && variant->prepare; k++)
            MN_TRY(variant->prepare(plan, &launches[k], error));
    }
    /* Back and forth: what the launch ahead touched last is what the cache still holds. */
    for (uint32_t i = 0; i < s->first[plan->run_count]; i++)
        s->launches[i].params.block.backwards = i % 2;
    return find_kernels(plan, error);
}

monarch_status mn_cuda_plan_build(monarch_plan *plan, monarch_error *error)
{
    mn_cuda_device *device = mn_cuda_device_of(plan->device);
    if (plan->run_count == 0)
        return MONARCH_OK;
    MN_TRY(allocate_state(plan, error));
    bool pushed;
    MN_TRY(mn_cuda_enter(device, &pushed, error));
    return mn_cuda_leave(device, pushed, fix_launches(plan, error), error);
}

void mn_cuda_plan_free(monarch_plan *plan)
{
    const monarch_allocator *allocator = &plan->device->instance->allocator;
    state *s = plan->state;
    if (!s)
        return;
    mn_free(allocator, s->launches);
    mn_free(allocator, s->kernels);
    mn_free(allocator, s->first);
    mn_free(allocator, s);
}

/*
 * Work-groups are counted over two axes, row by row. x * y may exceed their number by up to y - 1;
 * a kernel returns where there is nothing to do. A launch may overlap the one ahead only where its
 * code waits for that one by itself.
 */
static monarch_status launch(const mn_cuda_driver *driver, const mn_cuda_launch *l,
                             const mn_cuda_kernel *kernel, CUstream stream, mn_stage_params *block,
                             monarch_error *error)
{
    int64_t y = (l->work_groups + longest_axis - 1) / longest_axis;
    int64_t x = (l->work_groups + y - 1) / y;
    CUlaunchAttribute attributes[3];
    unsigned count = 0;
    if (l->overlaps && kernel->waits)
        attributes[count++] =
            (CUlaunchAttribute){.id = CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION,
                                .value.programmaticStreamSerializationAllowed = 1};
    if (l->cooperative)
        attributes[count++] =
            (CUlaunchAttribute){.id = CU_LAUNCH_ATTRIBUTE_COOPERATIVE, .value.cooperative = 1};
    if (l->cluster > 0)
        attributes[count++] = (CUlaunchAttribute){.id = CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION,
                                                  .value.clusterDim = {l->cluster, 1, 1}};
    CUlaunchConfig config = {
        .gridDimX = (unsigned)x,
        .gridDimY = (unsigned)y,
        .gridDimZ = 1,
        .blockDimX = l->threads,
        .blockDimY = 1,
        .blockDimZ = 1,
        .sharedMemBytes = l->shared_memory,
        .hStream = stream,
        .attrs = attributes,
        .numAttrs = count,
    };
    /* The other kernels do not look at it. Its maps lie at multiples of their size. */
    _Alignas(_Alignof(CUtensorMap)) mn_ring_params ring;
    if (l->module == MN_CUDA_RING || l->module == MN_CUDA_RING_256 ||
        l->module == MN_CUDA_RING_FP8 || l->module == MN_CUDA_CLUSTER ||
        l->module == MN_CUDA_SLICE) {
        ring = l->ring;
        MN_TRY(mn_cuda_check(driver, mn_cuda_ring_bind(driver, block, &ring),
                             "cuTensorMapReplaceAddress", error));
    }
    void *arguments[] = {block, &ring};
    return mn_cuda_check(driver, driver->launch_kernel(&config, kernel->function, arguments, NULL),
                         "cuLaunchKernelEx", error);
}

monarch_status mn_cuda_plan_launch(const monarch_plan *plan, CUstream stream,
                                   const mn_bindings *bindings, monarch_error *error)
{
    const mn_cuda_driver *driver = mn_cuda_device_of(plan->device)->driver;
    const state *s = plan->state;
    uint32_t end = s->first[bindings->first_run + bindings->run_count];
    for (uint32_t i = s->first[bindings->first_run]; i < end; i++) {
        if (s->launches[i].work_groups == 0)
            continue;
        mn_stage_params block;
        mn_params_bind(&s->launches[i].params, bindings, &block);
        MN_TRY(launch(driver, &s->launches[i], s->kernels[i], stream, &block, error));
    }
    return MONARCH_OK;
}

monarch_status mn_cuda_plan_enqueue(const monarch_plan *plan, monarch_queue *queue,
                                    const mn_bindings *bindings, monarch_error *error)
{
    const mn_cuda_device *device = mn_cuda_device_of(plan->device);
    if (bindings->run_count == 0)
        return MONARCH_OK;
    bool pushed;
    MN_TRY(mn_cuda_push(device, &pushed, error));
    monarch_status status =
        mn_cuda_plan_launch(plan, ((const mn_cuda_queue *)queue)->stream, bindings, error);
    return mn_cuda_leave(device, pushed, status, error);
}
