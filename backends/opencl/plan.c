/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/opencl/opencl.h"

#include <inttypes.h>
#include <stdio.h>

#include "core/alloc.h"
#include "core/error.h"

static monarch_status allocate(monarch_plan *plan, monarch_error *error)
{
    const monarch_allocator *allocator = &plan->device->instance->allocator;
    size_t most = 0;
    for (uint32_t i = 0; i < plan->run_count; i++)
        most += (size_t)MN_OPENCL_STEP_LAUNCHES * plan->runs[i].count;
    mn_opencl_plan *s = mn_alloc(allocator, sizeof *s);
    plan->state = s;
    if (!s)
        return mn_fail_memory(error, "the launches of a plan");
    for (int i = 0; i < MN_OPENCL_KERNEL_SETS; i++)
        pthread_mutex_init(&s->sets[i].mutex, NULL);
    s->launches = mn_alloc_array(allocator, most, sizeof *s->launches);
    s->first = mn_alloc_array(allocator, (size_t)plan->run_count + 1, sizeof *s->first);
    bool all = s->launches && s->first;
    for (int i = 0; i < MN_OPENCL_KERNEL_SETS; i++) {
        s->sets[i].kernels = mn_alloc_array(allocator, most, sizeof(cl_kernel));
        all = all && s->sets[i].kernels;
    }
    return all ? MONARCH_OK : mn_fail_memory(error, "the launches of a plan");
}

/* A compiler that needed many registers may allow smaller work-groups than the device. */
static monarch_status check_work_group(const mn_opencl_device *device,
                                       const mn_opencl_launch *launch, cl_kernel kernel,
                                       monarch_error *error)
{
    size_t most = 0;
    MN_TRY(mn_opencl_check(device->driver->get_kernel_work_group_info(kernel, device->handle,
                                                                      CL_KERNEL_WORK_GROUP_SIZE,
                                                                      sizeof most, &most, NULL),
                           "clGetKernelWorkGroupInfo", error));
    if (launch->work_group <= most)
        return MONARCH_OK;
    return mn_fail(error, MONARCH_ERROR_UNSUPPORTED,
                   "kernel %s takes work-groups of up to %zu items on this device, %" PRIu32
                   " are needed",
                   launch->kernel, most, launch->work_group);
}

static monarch_status make_kernels(monarch_plan *plan, uint32_t index, monarch_error *error)
{
    mn_opencl_device *device = mn_opencl_device_of(plan->device);
    mn_opencl_plan *s = plan->state;
    const mn_opencl_launch *launch = &s->launches[index];
    cl_program program;
    char call[64];
    MN_TRY(mn_opencl_find_program(device, launch->module, launch->options, &program, error));
    snprintf(call, sizeof call, "clCreateKernel(%s)", launch->kernel);
    for (int i = 0; i < MN_OPENCL_KERNEL_SETS; i++) {
        cl_int result = CL_SUCCESS;
        cl_kernel kernel = device->driver->create_kernel(program, launch->kernel, &result);
        MN_TRY(mn_opencl_check(result, call, error));
        s->sets[i].kernels[index] = kernel;
    }
    return check_work_group(device, launch, s->sets[0].kernels[index], error);
}

monarch_status mn_opencl_plan_build(monarch_plan *plan, monarch_error *error)
{
    if (plan->run_count == 0)
        return MONARCH_OK;
    MN_TRY(mn_opencl_retain(mn_opencl_device_of(plan->device), error));
    MN_TRY(allocate(plan, error));
    const mn_opencl_plan *s = plan->state;
    for (uint32_t i = 0; i < plan->run_count; i++) {
        const mn_opencl_variant *variant = plan->runs[i].variant;
        s->first[i + 1] =
            s->first[i] + variant->launches(variant, plan, i, &s->launches[s->first[i]]);
    }
    for (uint32_t i = 0; i < s->first[plan->run_count]; i++) {
        /* Back and forth: what the launch ahead touched last is what the cache still holds. */
        s->launches[i].params.block.backwards = i % 2;
        MN_TRY(make_kernels(plan, i, error));
    }
    return MONARCH_OK;
}

static void free_kernels(const monarch_plan *plan, cl_kernel *kernels, bool may_free)
{
    const mn_opencl_device *device = mn_opencl_device_of(plan->device);
    const mn_opencl_plan *s = plan->state;
    uint32_t count = s->first && kernels && may_free ? s->first[plan->run_count] : 0;
    for (uint32_t i = 0; i < count; i++)
        if (kernels[i])
            mn_opencl_warn(plan->device->instance, device->driver->release_kernel(kernels[i]),
                           "clReleaseKernel");
    mn_free(&plan->device->instance->allocator, kernels);
}

void mn_opencl_plan_free(monarch_plan *plan)
{
    const monarch_allocator *allocator = &plan->device->instance->allocator;
    mn_opencl_plan *s = plan->state;
    bool may_free = mn_opencl_may_free(plan->device);
    if (!s)
        return;
    for (int i = 0; i < MN_OPENCL_KERNEL_SETS; i++) {
        free_kernels(plan, s->sets[i].kernels, may_free);
        if (may_free)
            pthread_mutex_destroy(&s->sets[i].mutex);
    }
    mn_free(allocator, s->launches);
    mn_free(allocator, s->first);
    mn_free(allocator, s);
}

monarch_status mn_opencl_plan_enqueue(const monarch_plan *plan, monarch_queue *queue,
                                      const mn_bindings *bindings, monarch_error *error)
{
    const mn_opencl_events events = {.ordered = true};
    if (bindings->run_count == 0)
        return MONARCH_OK;
    return mn_opencl_plan_launch(plan, (const mn_opencl_queue *)queue, bindings, &events, error);
}
