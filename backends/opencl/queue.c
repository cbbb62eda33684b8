/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/opencl/opencl.h"

#include "core/alloc.h"
#include "core/error.h"

static mn_opencl_queue *make_queue(monarch_device *device, cl_command_queue native, bool wrapped,
                                   monarch_error *error)
{
    mn_opencl_queue *queue = mn_alloc(&device->instance->allocator, sizeof *queue);
    if (!queue) {
        mn_fail_memory(error, "a queue");
        return NULL;
    }
    queue->base.device = device;
    queue->queue = native;
    queue->wrapped = wrapped;
    return queue;
}

monarch_status mn_opencl_queue_create(monarch_device *base, monarch_queue **out,
                                      monarch_error *error)
{
    mn_opencl_device *device = mn_opencl_device_of(base);
    MN_TRY(mn_opencl_retain(device, error));
    mn_opencl_queue *queue = make_queue(base, NULL, false, error);
    if (!queue)
        return MONARCH_ERROR_OUT_OF_MEMORY;
    cl_int result = CL_SUCCESS;
    queue->queue =
        device->driver->create_command_queue(device->context, device->handle, 0, &result);
    monarch_status status = mn_opencl_check(result, "clCreateCommandQueue", error);
    if (status != MONARCH_OK) {
        queue->queue = NULL;
        mn_opencl_queue_destroy(&queue->base);
        return status;
    }
    *out = &queue->base;
    return MONARCH_OK;
}

/* A queue of another context would fail at the first launch; say so where the mistake is. */
static monarch_status check_queue(const mn_opencl_device *device, cl_command_queue native,
                                  cl_command_queue_properties *properties, monarch_error *error)
{
    const mn_opencl_driver *driver = device->driver;
    cl_context context = NULL;
    cl_device_id handle = NULL;
    MN_TRY(mn_opencl_check(
        driver->get_command_queue_info(native, CL_QUEUE_CONTEXT, sizeof context, &context, NULL),
        "clGetCommandQueueInfo", error));
    MN_TRY(mn_opencl_check(
        driver->get_command_queue_info(native, CL_QUEUE_DEVICE, sizeof handle, &handle, NULL),
        "clGetCommandQueueInfo", error));
    MN_TRY(mn_opencl_check(driver->get_command_queue_info(native, CL_QUEUE_PROPERTIES,
                                                          sizeof *properties, properties, NULL),
                           "clGetCommandQueueInfo", error));
    if (context == device->context && handle == device->handle)
        return MONARCH_OK;
    return mn_fail(error, MONARCH_ERROR_INVALID_ARGUMENT,
                   "native belongs to another context or device than those of the device; see "
                   "monarch_opencl_device_context and monarch_opencl_device_wrap");
}

monarch_status mn_opencl_queue_open(monarch_device *base, cl_command_queue native,
                                    monarch_queue **out, monarch_error *error)
{
    mn_opencl_device *device = mn_opencl_device_of(base);
    cl_command_queue_properties properties = 0;
    MN_TRY(mn_opencl_retain(device, error));
    MN_TRY(check_queue(device, native, &properties, error));
    mn_opencl_queue *queue = make_queue(base, native, true, error);
    if (!queue)
        return MONARCH_ERROR_OUT_OF_MEMORY;
    queue->out_of_order = (properties & CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE) != 0;
    *out = &queue->base;
    return MONARCH_OK;
}

void mn_opencl_queue_destroy(monarch_queue *base)
{
    mn_opencl_queue *queue = (mn_opencl_queue *)base;
    const mn_opencl_driver *driver = mn_opencl_device_of(base->device)->driver;
    const monarch_instance *instance = base->device->instance;
    if (queue->queue && !queue->wrapped && mn_opencl_may_free(base->device)) {
        mn_opencl_warn(instance, driver->finish(queue->queue), "clFinish");
        mn_opencl_warn(instance, driver->release_command_queue(queue->queue),
                       "clReleaseCommandQueue");
    }
    mn_free(&instance->allocator, queue);
}

monarch_status mn_opencl_queue_wait(monarch_queue *base, monarch_error *error)
{
    const mn_opencl_driver *driver = mn_opencl_device_of(base->device)->driver;
    return mn_opencl_check(driver->finish(((const mn_opencl_queue *)base)->queue), "clFinish",
                           error);
}
