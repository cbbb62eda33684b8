/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/opencl/opencl.h"

#include "core/error.h"

/*
 * Device time of a plan, from the device's own clock: on a queue that records when commands ran,
 * several executions follow each other, and a time is that from the start of the first one's first
 * kernel to the end of the last one's last, divided by their number. There are so many that the gap
 * between commands and the clock's resolution hardly count.
 */

static const double least_seconds = 400e-6; /* of one sample */

enum { MOST_EXECUTIONS = 32, PROBES = 3 };

typedef struct timer {
    const monarch_plan *plan;
    const mn_bindings *bindings;
    const mn_opencl_driver *driver;
    mn_opencl_queue queue;
} timer;

static monarch_status read_clock(const timer *t, cl_event event, cl_profiling_info what,
                                 cl_ulong *nanoseconds, monarch_error *error)
{
    return mn_opencl_check(
        t->driver->get_event_profiling_info(event, what, sizeof *nanoseconds, nanoseconds, NULL),
        "clGetEventProfilingInfo", error);
}

static void release(const timer *t, cl_event event)
{
    if (event)
        mn_opencl_warn(t->plan->device->instance, t->driver->release_event(event),
                       "clReleaseEvent");
}

static monarch_status run(const timer *t, uint32_t executions, cl_event *begin, cl_event *end,
                          monarch_error *error)
{
    for (uint32_t i = 0; i < executions; i++) {
        const mn_opencl_events events = {
            .begin = i == 0 ? begin : NULL,
            .end = i + 1 == executions ? end : NULL,
        };
        MN_TRY(mn_opencl_plan_launch(t->plan, &t->queue, t->bindings, &events, error));
    }
    return mn_opencl_check(t->driver->finish(t->queue.queue), "clFinish", error);
}

static monarch_status sample(const timer *t, uint32_t executions, double *seconds,
                             monarch_error *error)
{
    cl_event begin = NULL, end = NULL;
    cl_ulong first = 0, last = 0;
    monarch_status status = run(t, executions, &begin, &end, error);
    if (status == MONARCH_OK)
        status = read_clock(t, begin, CL_PROFILING_COMMAND_START, &first, error);
    if (status == MONARCH_OK)
        status = read_clock(t, end, CL_PROFILING_COMMAND_END, &last, error);
    release(t, begin);
    release(t, end);
    *seconds = 1e-9 * (double)(last - first) / executions;
    return status;
}

static monarch_status take_samples(const timer *t, uint32_t count, double *seconds,
                                   monarch_error *error)
{
    double shortest = 1e9;
    for (int i = 0; i < PROBES; i++) {
        double one;
        MN_TRY(sample(t, 1, &one, error));
        shortest = one < shortest ? one : shortest;
    }
    double wanted = shortest > 0.0 ? least_seconds / shortest : MOST_EXECUTIONS;
    uint32_t executions = wanted >= MOST_EXECUTIONS ? MOST_EXECUTIONS : (uint32_t)wanted + 1;
    for (uint32_t i = 0; i < count; i++)
        MN_TRY(sample(t, executions, &seconds[i], error));
    return MONARCH_OK;
}

monarch_status mn_opencl_plan_time(const monarch_plan *plan, monarch_queue *queue,
                                   const mn_bindings *bindings, uint32_t count, double *seconds,
                                   monarch_error *error)
{
    const mn_opencl_device *device = mn_opencl_device_of(plan->device);
    const mn_opencl_driver *driver = device->driver;
    timer t = {.plan = plan, .bindings = bindings, .driver = driver};
    MN_TRY(mn_opencl_queue_wait(queue, error));
    cl_int result = CL_SUCCESS;
    t.queue.base.device = plan->device;
    t.queue.queue = driver->create_command_queue(device->context, device->handle,
                                                 CL_QUEUE_PROFILING_ENABLE, &result);
    MN_TRY(mn_opencl_check(result, "clCreateCommandQueue", error));
    monarch_status status = take_samples(&t, count, seconds, error);
    mn_opencl_warn(plan->device->instance, driver->finish(t.queue.queue), "clFinish");
    mn_opencl_warn(plan->device->instance, driver->release_command_queue(t.queue.queue),
                   "clReleaseCommandQueue");
    return status;
}
