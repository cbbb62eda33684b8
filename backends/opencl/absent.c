/* SPDX-License-Identifier: Apache-2.0 */
#include <monarch/opencl.h>

#include "core/error.h"

/* The public functions in a build without the backend. */

static monarch_status fail_absent(monarch_error *error)
{
    return mn_fail(error, MONARCH_ERROR_UNSUPPORTED, "this build has no opencl backend");
}

monarch_status monarch_opencl_device_wrap(monarch_instance *instance, cl_context context,
                                          cl_device_id native, monarch_device **device,
                                          monarch_error *error)
{
    (void)instance;
    (void)context;
    (void)native;
    if (!device)
        return mn_fail_null(error, "device");
    *device = NULL;
    return fail_absent(error);
}

void monarch_opencl_device_destroy(monarch_device **device)
{
    (void)device; /* none was ever made */
}

monarch_status monarch_opencl_queue_wrap(monarch_device *device, cl_command_queue native,
                                         monarch_queue **queue, monarch_error *error)
{
    (void)device;
    (void)native;
    if (!queue)
        return mn_fail_null(error, "queue");
    *queue = NULL;
    return fail_absent(error);
}

monarch_status monarch_opencl_device_context(monarch_device *device, cl_context *context,
                                             cl_device_id *native, monarch_error *error)
{
    (void)device;
    if (!context)
        return mn_fail_null(error, "context");
    *context = NULL;
    if (native)
        *native = NULL;
    return fail_absent(error);
}

monarch_status monarch_opencl_device_set_cache(monarch_device *device,
                                               const monarch_opencl_cache *cache,
                                               monarch_error *error)
{
    (void)device;
    (void)cache;
    return fail_absent(error);
}

monarch_status monarch_opencl_plan_execute(const monarch_plan *plan, monarch_queue *queue,
                                           const monarch_plan_args *args, uint32_t wait_count,
                                           const cl_event *wait, cl_event *event,
                                           monarch_error *error)
{
    (void)plan;
    (void)queue;
    (void)args;
    (void)wait_count;
    (void)wait;
    if (event)
        *event = NULL;
    return fail_absent(error);
}

cl_command_queue monarch_opencl_queue_native(const monarch_queue *queue)
{
    (void)queue;
    return NULL;
}

cl_mem monarch_opencl_buffer_native(const monarch_buffer *buffer)
{
    (void)buffer;
    return NULL;
}
