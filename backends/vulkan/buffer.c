/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/vulkan/vulkan.h"
#include "core/alloc.h"
#include "core/error.h"

monarch_status mn_vulkan_buffer_create(monarch_device *base, uint64_t size, monarch_buffer **out,
                                       monarch_error *error)
{
    mn_vulkan_device *device = mn_vulkan_device_of(base);
    MN_TRY(mn_vulkan_retain(device, error));
    mn_vulkan_buffer *buffer = mn_alloc(&base->instance->allocator, sizeof *buffer);
    if (!buffer)
        return mn_fail_memory(error, "a buffer");
    buffer->base.device = base;
    buffer->base.size = size;
    monarch_status status =
        mn_vulkan_allocate(device, MN_VULKAN_DEVICE_HEAP, (size > 0 ? size + 3 : 4) & ~UINT64_C(3),
                           &buffer->memory, error);
    if (status != MONARCH_OK) {
        mn_vulkan_buffer_destroy(&buffer->base);
        return status;
    }
    buffer->base.memory = monarch_vulkan_memory(buffer->memory.buffer, 0, size);
    *out = &buffer->base;
    return MONARCH_OK;
}

void mn_vulkan_buffer_destroy(monarch_buffer *base)
{
    mn_vulkan_buffer *buffer = (mn_vulkan_buffer *)base;
    const monarch_instance *instance = base->device->instance;
    mn_vulkan_free(mn_vulkan_device_of(base->device), &buffer->memory,
                   mn_instance_check_process(instance, NULL) == MONARCH_OK);
    mn_free(&instance->allocator, buffer);
}

/* Copies by way of the queue's staging buffer, as much of it at a time as that holds. */
static monarch_status copy(mn_vulkan_queue *queue, const mn_vulkan_memory *memory, uint64_t offset,
                           const char *source, char *destination, uint64_t size,
                           monarch_error *error)
{
    const mn_vulkan_functions *vk = &mn_vulkan_device_of(queue->base.device)->vk;
    for (uint64_t done = 0; done < size; done += MN_VULKAN_STAGING_BYTES) {
        uint64_t part = size - done;
        VkCommandBuffer commands;
        if (part > MN_VULKAN_STAGING_BYTES)
            part = MN_VULKAN_STAGING_BYTES;
        if (source) /* the staging buffer is free: each copy is waited for */
            memcpy(queue->staging.host, source + done, part);
        MN_TRY(mn_vulkan_queue_begin(queue, &commands, error));
        if (source)
            vk->cmd_copy_buffer(commands, queue->staging.buffer, memory->buffer, 1,
                                &(VkBufferCopy){0, offset + done, part});
        else
            vk->cmd_copy_buffer(commands, memory->buffer, queue->staging.buffer, 1,
                                &(VkBufferCopy){offset + done, 0, part});
        const VkMemoryBarrier to_host = {
            .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
            .srcAccessMask = VK_ACCESS_TRANSFER_WRITE_BIT,
            .dstAccessMask = VK_ACCESS_HOST_READ_BIT,
        };
        vk->cmd_pipeline_barrier(commands, VK_PIPELINE_STAGE_TRANSFER_BIT,
                                 VK_PIPELINE_STAGE_HOST_BIT, 0, 1, &to_host, 0, NULL, 0, NULL);
        MN_TRY(mn_vulkan_queue_submit(queue, NULL, NULL, error));
        MN_TRY(mn_vulkan_queue_wait(&queue->base, error));
        if (destination)
            memcpy(destination + done, queue->staging.host, part);
    }
    return MONARCH_OK;
}

monarch_status mn_vulkan_buffer_write(monarch_queue *queue, monarch_buffer *buffer, uint64_t offset,
                                      const void *source, uint64_t size, monarch_error *error)
{
    const mn_vulkan_memory *memory = &((const mn_vulkan_buffer *)buffer)->memory;
    return copy((mn_vulkan_queue *)queue, memory, offset, source, NULL, size, error);
}

monarch_status mn_vulkan_buffer_read(monarch_queue *queue, const monarch_buffer *buffer,
                                     uint64_t offset, void *destination, uint64_t size,
                                     monarch_error *error)
{
    const mn_vulkan_memory *memory = &((const mn_vulkan_buffer *)buffer)->memory;
    return copy((mn_vulkan_queue *)queue, memory, offset, NULL, destination, size, error);
}
