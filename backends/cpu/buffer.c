/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>

#include "backends/cpu/cpu.h"
#include "core/alloc.h"
#include "core/error.h"
#include "core/workspace.h"

monarch_status mn_cpu_buffer_create(monarch_device *device, uint64_t size, monarch_buffer **out,
                                    monarch_error *error)
{
    const monarch_allocator *allocator = &device->instance->allocator;
    monarch_buffer *buffer = mn_alloc(allocator, sizeof *buffer);
    void *bytes = buffer ? mn_alloc_raw(allocator, (size_t)size, MN_WORKSPACE_ALIGNMENT) : NULL;
    if (!bytes) {
        mn_free(allocator, buffer);
        return mn_fail(error, MONARCH_ERROR_OUT_OF_MEMORY,
                       "no memory for a buffer of %" PRIu64 " bytes", size);
    }
    buffer->device = device;
    buffer->size = size;
    buffer->memory = monarch_host_memory(bytes, size);
    *out = buffer;
    return MONARCH_OK;
}

static char *bytes_of(const monarch_buffer *buffer)
{
    return (char *)(uintptr_t)buffer->memory.handle;
}

void mn_cpu_buffer_destroy(monarch_buffer *buffer)
{
    const monarch_allocator *allocator = &buffer->device->instance->allocator;
    mn_free(allocator, bytes_of(buffer));
    mn_free(allocator, buffer);
}

monarch_status mn_cpu_buffer_write(monarch_queue *queue, monarch_buffer *buffer, uint64_t offset,
                                   const void *source, uint64_t size, monarch_error *error)
{
    (void)queue;
    (void)error;
    memcpy(bytes_of(buffer) + offset, source, (size_t)size);
    return MONARCH_OK;
}

monarch_status mn_cpu_buffer_read(monarch_queue *queue, const monarch_buffer *buffer,
                                  uint64_t offset, void *destination, uint64_t size,
                                  monarch_error *error)
{
    (void)queue;
    (void)error;
    memcpy(destination, bytes_of(buffer) + offset, (size_t)size);
    return MONARCH_OK;
}
