/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>

#include "backends/opencl/opencl.h"
#include "core/alloc.h"
#include "core/error.h"

monarch_status mn_opencl_buffer_create(monarch_device *base, uint64_t size, monarch_buffer **out,
                                       monarch_error *error)
{
    mn_opencl_device *device = mn_opencl_device_of(base);
    MN_TRY(mn_opencl_retain(device, error));
    mn_opencl_buffer *buffer = mn_alloc(&base->instance->allocator, sizeof *buffer);
    if (!buffer)
        return mn_fail_memory(error, "a buffer");
    buffer->base.device = base;
    buffer->base.size = size;
    size = size > 0 ? size : 1; /* OpenCL refuses 0 */
    char call[128];
    snprintf(call, sizeof call,
             "clCreateBuffer(%" PRIu64 " bytes; the device tells of up to %" PRIu64 ")", size,
             base->info.max_buffer);
    cl_int result = CL_SUCCESS;
    cl_mem memory =
        device->driver->create_buffer(device->context, CL_MEM_READ_WRITE, size, NULL, &result);
    monarch_status status = mn_opencl_check(result, call, error);
    if (status != MONARCH_OK) {
        mn_opencl_buffer_destroy(&buffer->base);
        return status;
    }
    buffer->memory = memory;
    buffer->base.memory =
        (monarch_memory){MONARCH_MEMORY_OPENCL, (uint64_t)(uintptr_t)memory, 0, buffer->base.size};
    *out = &buffer->base;
    return MONARCH_OK;
}

void mn_opencl_buffer_destroy(monarch_buffer *base)
{
    mn_opencl_buffer *buffer = (mn_opencl_buffer *)base;
    const mn_opencl_driver *driver = mn_opencl_device_of(base->device)->driver;
    const monarch_instance *instance = base->device->instance;
    if (buffer->memory && mn_opencl_may_free(base->device))
        mn_opencl_warn(instance, driver->release_mem_object(buffer->memory), "clReleaseMemObject");
    mn_free(&instance->allocator, buffer);
}

/* On a queue that is out of order, copies wait for what was enqueued before too. */
static monarch_status wait_for_earlier(const mn_opencl_queue *queue, monarch_error *error)
{
    const mn_opencl_driver *driver = mn_opencl_device_of(queue->base.device)->driver;
    if (!queue->out_of_order)
        return MONARCH_OK;
    return mn_opencl_check(driver->enqueue_barrier_with_wait_list(queue->queue, 0, NULL, NULL),
                           "clEnqueueBarrierWithWaitList", error);
}

monarch_status mn_opencl_buffer_write(monarch_queue *base, monarch_buffer *buffer, uint64_t offset,
                                      const void *source, uint64_t size, monarch_error *error)
{
    const mn_opencl_driver *driver = mn_opencl_device_of(base->device)->driver;
    const mn_opencl_queue *queue = (const mn_opencl_queue *)base;
    MN_TRY(wait_for_earlier(queue, error));
    return mn_opencl_check(
        driver->enqueue_write_buffer(queue->queue, ((mn_opencl_buffer *)buffer)->memory, CL_TRUE,
                                     offset, size, source, 0, NULL, NULL),
        "clEnqueueWriteBuffer", error);
}

monarch_status mn_opencl_buffer_read(monarch_queue *base, const monarch_buffer *buffer,
                                     uint64_t offset, void *destination, uint64_t size,
                                     monarch_error *error)
{
    const mn_opencl_driver *driver = mn_opencl_device_of(base->device)->driver;
    const mn_opencl_queue *queue = (const mn_opencl_queue *)base;
    MN_TRY(wait_for_earlier(queue, error));
    return mn_opencl_check(
        driver->enqueue_read_buffer(queue->queue, ((const mn_opencl_buffer *)buffer)->memory,
                                    CL_TRUE, offset, size, destination, 0, NULL, NULL),
        "clEnqueueReadBuffer", error);
}
