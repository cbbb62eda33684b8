/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>

#include "backends/cuda/cuda.h"
#include "core/alloc.h"
#include "core/error.h"

static monarch_status allocate(mn_cuda_buffer *buffer, monarch_error *error)
{
    mn_cuda_device *device = mn_cuda_device_of(buffer->base.device);
    const mn_cuda_driver *driver = device->driver;
    uint64_t size = buffer->base.size > 0 ? buffer->base.size : 1; /* the driver refuses 0 */
    char call[64];
    snprintf(call, sizeof call, "cuMemAlloc(%" PRIu64 " bytes)", size);
    bool pushed;
    MN_TRY(mn_cuda_enter(device, &pushed, error));
    monarch_status status =
        mn_cuda_check(driver, driver->mem_alloc(&buffer->pointer, size), call, error);
    return mn_cuda_leave(device, pushed, status, error);
}

monarch_status mn_cuda_buffer_create(monarch_device *device, uint64_t size, monarch_buffer **out,
                                     monarch_error *error)
{
    mn_cuda_buffer *buffer = mn_alloc(&device->instance->allocator, sizeof *buffer);
    if (!buffer)
        return mn_fail_memory(error, "a buffer");
    buffer->base.device = device;
    buffer->base.size = size;
    monarch_status status = allocate(buffer, error);
    if (status != MONARCH_OK) {
        mn_cuda_buffer_destroy(&buffer->base);
        return status;
    }
    buffer->base.memory = (monarch_memory){MONARCH_MEMORY_CUDA, buffer->pointer, 0, size};
    *out = &buffer->base;
    return MONARCH_OK;
}

void mn_cuda_buffer_destroy(monarch_buffer *base)
{
    mn_cuda_buffer *buffer = (mn_cuda_buffer *)base;
    const mn_cuda_device *device = mn_cuda_device_of(base->device);
    const monarch_instance *instance = base->device->instance;
    bool pushed;
    if (buffer->pointer != 0 && mn_cuda_enter_to_free(device, &pushed)) {
        mn_cuda_warn(device->driver, instance, device->driver->mem_free(buffer->pointer),
                     "cuMemFree");
        mn_cuda_leave_after_free(device, pushed);
    }
    mn_free(&instance->allocator, buffer);
}

static monarch_status copy(const mn_cuda_queue *queue, CUdeviceptr device_side, const void *source,
                           void *destination, uint64_t size, const char *call, monarch_error *error)
{
    const mn_cuda_driver *driver = mn_cuda_device_of(queue->base.device)->driver;
    MN_TRY(mn_cuda_queue_refuse_capture(queue, call, error));
    if (source)
        MN_TRY(mn_cuda_check(driver,
                             driver->memcpy_to_device(device_side, source, size, queue->stream),
                             "cuMemcpyHtoDAsync", error));
    else
        MN_TRY(mn_cuda_check(driver,
                             driver->memcpy_to_host(destination, device_side, size, queue->stream),
                             "cuMemcpyDtoHAsync", error));
    return mn_cuda_check(driver, driver->stream_synchronize(queue->stream), "cuStreamSynchronize",
                         error);
}

monarch_status mn_cuda_buffer_write(monarch_queue *queue, monarch_buffer *buffer, uint64_t offset,
                                    const void *source, uint64_t size, monarch_error *error)
{
    const mn_cuda_device *device = mn_cuda_device_of(queue->device);
    CUdeviceptr to = ((const mn_cuda_buffer *)buffer)->pointer + offset;
    bool pushed;
    MN_TRY(mn_cuda_push(device, &pushed, error));
    monarch_status status =
        copy((const mn_cuda_queue *)queue, to, source, NULL, size, "monarch_buffer_write", error);
    return mn_cuda_leave(device, pushed, status, error);
}

monarch_status mn_cuda_buffer_read(monarch_queue *queue, const monarch_buffer *buffer,
                                   uint64_t offset, void *destination, uint64_t size,
                                   monarch_error *error)
{
    const mn_cuda_device *device = mn_cuda_device_of(queue->device);
    CUdeviceptr from = ((const mn_cuda_buffer *)buffer)->pointer + offset;
    bool pushed;
    MN_TRY(mn_cuda_push(device, &pushed, error));
    monarch_status status = copy((const mn_cuda_queue *)queue, from, NULL, destination, size,
                                 "monarch_buffer_read", error);
    return mn_cuda_leave(device, pushed, status, error);
}
