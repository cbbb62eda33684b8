/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/opencl/opencl.h"

#include "core/error.h"

/*
 * From a plan to commands in a queue. Arguments are set in kernel objects that one thread has to
 * itself meanwhile: a plan has several sets of them, so that threads rarely wait for each other,
 * and then only for as long as a few commands take to enqueue.
 */

/* One of the two axes that work-groups are counted on; the other takes up to 65,535. */
static const int64_t longest_axis = INT64_C(1) << 24;

static const mn_opencl_kernels *take_kernels(const monarch_plan *plan)
{
    mn_opencl_plan *s = plan->state;
    for (int i = 0; i < MN_OPENCL_KERNEL_SETS; i++)
        if (pthread_mutex_trylock(&s->sets[i].mutex) == 0)
            return &s->sets[i];
    pthread_mutex_lock(&s->sets[0].mutex);
    return &s->sets[0];
}

static void give_kernels(const mn_opencl_kernels *set)
{
    pthread_mutex_unlock(&((mn_opencl_kernels *)(uintptr_t)set)->mutex);
}

static cl_int set_memory(const mn_opencl_driver *driver, cl_kernel kernel, cl_uint index,
                         const monarch_memory *memory)
{
    if (memory->kind == MONARCH_MEMORY_SVM)
        return driver->set_kernel_arg_svm_pointer(kernel, index,
                                                  (const void *)(uintptr_t)memory->handle);
    cl_mem handle = (cl_mem)(uintptr_t)memory->handle;
    return driver->set_kernel_arg(kernel, index, sizeof handle, &handle);
}

/* The block of parameters, a buffer for each operand, local memory. An operand that is absent gets
   q: some drivers take no NULL. */
static monarch_status set_arguments(const mn_opencl_driver *driver, const mn_opencl_launch *launch,
                                    cl_kernel kernel, const mn_bindings *bindings,
                                    monarch_error *error)
{
    mn_stage_params block;
    const monarch_memory *memory[MN_OPERAND_COUNT];
    mn_params_place(&launch->params, bindings, &block, memory);
    cl_int result = driver->set_kernel_arg(kernel, 0, sizeof block, &block);
    for (cl_uint i = 0; i < MN_OPERAND_COUNT && result == CL_SUCCESS; i++)
        result = set_memory(driver, kernel, i + 1, memory[i] ? memory[i] : &bindings->q);
    if (result == CL_SUCCESS && launch->local_memory > 0)
        result = driver->set_kernel_arg(kernel, MN_OPERAND_COUNT + 1, launch->local_memory, NULL);
    return mn_opencl_check(result, "clSetKernelArg", error);
}

/*
 * Work-groups are counted over two axes, row by row. x * y may exceed their number by up to y - 1;
 * a kernel does nothing where there is nothing to do.
 */
static monarch_status enqueue(const mn_opencl_driver *driver, const mn_opencl_launch *launch,
                              cl_kernel kernel, cl_command_queue queue, cl_uint wait_count,
                              const cl_event *wait, cl_event *event, monarch_error *error)
{
    int64_t y = (launch->work_groups + longest_axis - 1) / longest_axis;
    int64_t x = (launch->work_groups + y - 1) / y;
    size_t global[2] = {(size_t)x * launch->work_group, (size_t)y};
    size_t local[2] = {launch->work_group, 1};
    return mn_opencl_check(driver->enqueue_nd_range_kernel(queue, kernel, 2, NULL, global, local,
                                                           wait_count, wait, event),
                           "clEnqueueNDRangeKernel", error);
}

/* Which events a launch waits for and makes. */
typedef struct chain {
    const mn_opencl_driver *driver;
    const monarch_instance *instance;
    cl_event previous; /* that this launch waits for, on a queue that is out of order */
} chain;

static void release(const chain *c, cl_event event)
{
    if (event)
        mn_opencl_warn(c->instance, c->driver->release_event(event), "clReleaseEvent");
}

/* Launches `begin` to `end` - 1, none of which is empty. */
static monarch_status launch_all(const monarch_plan *plan, const mn_opencl_queue *queue,
                                 const mn_bindings *bindings, const mn_opencl_events *events,
                                 const mn_opencl_kernels *set, chain *c, monarch_error *error)
{
    const mn_opencl_plan *s = plan->state;
    uint32_t begin = s->first[bindings->first_run];
    uint32_t end = s->first[bindings->first_run + bindings->run_count];
    for (uint32_t i = begin; i < end; i++) {
        cl_kernel kernel = set->kernels[i];
        bool first = i == begin, last = i + 1 == end;
        cl_event made = NULL;
        cl_event *event = last && events->end      ? events->end
                          : first && events->begin ? events->begin
                          : queue->out_of_order    ? &made
                                                   : NULL;
        cl_uint wait_count = first ? events->wait_count : c->previous != NULL;
        const cl_event *wait = first ? events->wait : &c->previous;
        wait = wait_count > 0 ? wait : NULL;
        MN_TRY(set_arguments(c->driver, &s->launches[i], kernel, bindings, error));
        MN_TRY(enqueue(c->driver, &s->launches[i], kernel, queue->queue, wait_count, wait, event,
                       error));
        release(c, c->previous);
        c->previous = made;
    }
    return MONARCH_OK;
}

static monarch_status barrier(const mn_opencl_driver *driver, const mn_opencl_queue *queue,
                              const mn_opencl_events *events, monarch_error *error)
{
    if (!queue->out_of_order || !events->ordered)
        return MONARCH_OK;
    return mn_opencl_check(driver->enqueue_barrier_with_wait_list(queue->queue, 0, NULL, NULL),
                           "clEnqueueBarrierWithWaitList", error);
}

monarch_status mn_opencl_plan_launch(const monarch_plan *plan, const mn_opencl_queue *queue,
                                     const mn_bindings *bindings, const mn_opencl_events *events,
                                     monarch_error *error)
{
    const mn_opencl_driver *driver = mn_opencl_device_of(plan->device)->driver;
    chain c = {driver, plan->device->instance, NULL};
    MN_TRY(barrier(driver, queue, events, error));
    const mn_opencl_kernels *set = take_kernels(plan);
    monarch_status status = launch_all(plan, queue, bindings, events, set, &c, error);
    give_kernels(set);
    release(&c, c.previous);
    if (status == MONARCH_OK)
        status = barrier(driver, queue, events, error);
    if (status == MONARCH_OK)
        status = mn_opencl_check(driver->flush(queue->queue), "clFlush", error);
    if (status != MONARCH_OK && events->end) { /* the call has failed, whatever is under way */
        release(&c, *events->end);
        *events->end = NULL;
    }
    return status;
}
