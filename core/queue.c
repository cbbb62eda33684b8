/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>

#include "core/backend.h"
#include "core/error.h"

/* Queues and buffers: validate, then call the backend. */

monarch_status monarch_queue_create(monarch_device *device, monarch_queue **queue,
                                    monarch_error *error)
{
    if (!queue)
        return mn_fail_null(error, "queue");
    *queue = NULL;
    if (!device)
        return mn_fail_null(error, "device");
    MN_TRY(mn_instance_check_process(device->instance, error));
    return device->backend->queue_create(device, queue, error);
}

void monarch_queue_destroy(monarch_queue **queue)
{
    if (!queue || !*queue)
        return;
    (*queue)->device->backend->queue_destroy(*queue);
    *queue = NULL;
}

monarch_status monarch_queue_wait(monarch_queue *queue, monarch_error *error)
{
    if (!queue)
        return mn_fail_null(error, "queue");
    MN_TRY(mn_instance_check_process(queue->device->instance, error));
    return queue->device->backend->queue_wait(queue, error);
}

monarch_status monarch_buffer_create(monarch_device *device, uint64_t size, monarch_buffer **buffer,
                                     monarch_error *error)
{
    if (!buffer)
        return mn_fail_null(error, "buffer");
    *buffer = NULL;
    if (!device)
        return mn_fail_null(error, "device");
    MN_TRY(mn_instance_check_process(device->instance, error));
    if (size > (uint64_t)INT64_MAX)
        return mn_fail(error, MONARCH_ERROR_OUT_OF_MEMORY,
                       "size is %" PRIu64 " bytes; no device has that much memory", size);
    return device->backend->buffer_create(device, size, buffer, error);
}

void monarch_buffer_destroy(monarch_buffer **buffer)
{
    if (!buffer || !*buffer)
        return;
    (*buffer)->device->backend->buffer_destroy(*buffer);
    *buffer = NULL;
}

uint64_t monarch_buffer_size(const monarch_buffer *buffer)
{
    return buffer ? buffer->size : 0;
}

monarch_memory monarch_host_memory(const void *pointer, uint64_t size)
{
    return (monarch_memory){MONARCH_MEMORY_HOST, (uint64_t)(uintptr_t)pointer, 0, size};
}

monarch_memory monarch_buffer_memory(const monarch_buffer *buffer, uint64_t offset)
{
    return (monarch_memory){MONARCH_MEMORY_BUFFER, (uint64_t)(uintptr_t)buffer, offset, 0};
}

/* What both directions of a copy must satisfy. */
static monarch_status check_copy(const monarch_queue *queue, const monarch_buffer *buffer,
                                 uint64_t offset, const void *host, uint64_t size,
                                 monarch_error *error)
{
    if (!queue)
        return mn_fail_null(error, "queue");
    if (!buffer)
        return mn_fail_null(error, "buffer");
    if (!host && size > 0)
        return mn_fail_null(error, "the host pointer");
    MN_TRY(mn_instance_check_process(queue->device->instance, error));
    if (queue->device != buffer->device)
        return mn_fail(error, MONARCH_ERROR_INVALID_ARGUMENT,
                       "queue and buffer belong to different devices; they must share one");
    if (offset > buffer->size || size > buffer->size - offset)
        return mn_fail(error, MONARCH_ERROR_INVALID_ARGUMENT,
                       "offset %" PRIu64 " + size %" PRIu64
                       " is past the end of the buffer of %" PRIu64 " bytes",
                       offset, size, buffer->size);
    return MONARCH_OK;
}

monarch_status monarch_buffer_write(monarch_queue *queue, monarch_buffer *buffer, uint64_t offset,
                                    const void *source, uint64_t size, monarch_error *error)
{
    MN_TRY(check_copy(queue, buffer, offset, source, size, error));
    return size > 0
               ? queue->device->backend->buffer_write(queue, buffer, offset, source, size, error)
               : MONARCH_OK;
}

monarch_status monarch_buffer_read(monarch_queue *queue, const monarch_buffer *buffer,
                                   uint64_t offset, void *destination, uint64_t size,
                                   monarch_error *error)
{
    MN_TRY(check_copy(queue, buffer, offset, destination, size, error));
    return size > 0 ? queue->device->backend->buffer_read(queue, buffer, offset, destination, size,
                                                          error)
                    : MONARCH_OK;
}
