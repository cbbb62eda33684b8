/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_driver.h"

#include <stdlib.h>
#include <sys/mman.h>

/* Device memory of the stand-in: pages of the host's, which cost nothing until they are touched.
   Addresses are pointers. */

struct VkDeviceMemory_T {
    char *bytes;
    VkDeviceSize size;
    uint32_t type;
};

struct VkBuffer_T {
    VkDeviceSize size;
    VkDeviceMemory memory;
    VkDeviceSize offset;
};

static VkResult allocate_memory(VkDevice device, const VkMemoryAllocateInfo *info,
                                const VkAllocationCallbacks *allocator, VkDeviceMemory *memory)
{
    (void)device;
    (void)allocator;
    fake_lock();
    fake_state.allocations++;
    fake_unlock();
    if (!fake_enter("vkAllocateMemory"))
        return fake_state.fail_with;
    if (info->allocationSize > fake_state.largest_allocation)
        fake_misuse("vkAllocateMemory", "more than the device allocates at a time");
    void *bytes = mmap(NULL, info->allocationSize, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (bytes == MAP_FAILED)
        return VK_ERROR_OUT_OF_DEVICE_MEMORY;
    *memory = fake_make(sizeof **memory);
    **memory = (struct VkDeviceMemory_T){bytes, info->allocationSize, info->memoryTypeIndex};
    fake_count(&fake_state.live.memories, 1);
    return VK_SUCCESS;
}

static void free_memory(VkDevice device, VkDeviceMemory memory,
                        const VkAllocationCallbacks *allocator)
{
    (void)device;
    (void)allocator;
    if (!memory)
        return;
    fake_count(&fake_state.live.memories, -1);
    munmap(memory->bytes, memory->size);
    free(memory);
}

static VkResult map_memory(VkDevice device, VkDeviceMemory memory, VkDeviceSize offset,
                           VkDeviceSize size, VkMemoryMapFlags flags, void **bytes)
{
    (void)device;
    (void)size;
    (void)flags;
    if (!fake_enter("vkMapMemory"))
        return fake_state.fail_with;
    if (memory->type == 0)
        fake_misuse("vkMapMemory", "memory that the host cannot see");
    *bytes = memory->bytes + offset;
    return VK_SUCCESS;
}

static VkResult create_buffer(VkDevice device, const VkBufferCreateInfo *info,
                              const VkAllocationCallbacks *allocator, VkBuffer *buffer)
{
    (void)device;
    (void)allocator;
    if (!fake_enter("vkCreateBuffer"))
        return fake_state.fail_with;
    if (info->size == 0)
        fake_misuse("vkCreateBuffer", "0 bytes");
    *buffer = fake_make(sizeof **buffer);
    (*buffer)->size = info->size;
    fake_count(&fake_state.live.buffers, 1);
    return VK_SUCCESS;
}

static void destroy_buffer(VkDevice device, VkBuffer buffer, const VkAllocationCallbacks *allocator)
{
    (void)device;
    (void)allocator;
    fake_count(&fake_state.live.buffers, -(buffer != VK_NULL_HANDLE));
    free(buffer);
}

static void get_requirements(VkDevice device, VkBuffer buffer, VkMemoryRequirements *needs)
{
    (void)device;
    *needs = (VkMemoryRequirements){(buffer->size + 63) / 64 * 64, 64, 3};
}

static VkResult bind_memory(VkDevice device, VkBuffer buffer, VkDeviceMemory memory,
                            VkDeviceSize offset)
{
    (void)device;
    if (!fake_enter("vkBindBufferMemory"))
        return fake_state.fail_with;
    if (buffer->memory || offset % 64 != 0 || offset + buffer->size > memory->size)
        fake_misuse("vkBindBufferMemory", "bound already, misaligned or past the end");
    buffer->memory = memory;
    buffer->offset = offset;
    return VK_SUCCESS;
}

static VkDeviceAddress get_address(VkDevice device, const VkBufferDeviceAddressInfo *info)
{
    (void)device;
    if (!info->buffer->memory) {
        fake_misuse("vkGetBufferDeviceAddress", "a buffer without memory");
        return 0;
    }
    return (VkDeviceAddress)(uintptr_t)(info->buffer->memory->bytes + info->buffer->offset);
}

#define ROW(name, function)                                                                        \
    {                                                                                              \
        name, (PFN_vkVoidFunction)(function)                                                       \
    }

PFN_vkVoidFunction fake_find_memory_function(const char *name)
{
    static const fake_function table[] = {
        ROW("vkAllocateMemory", allocate_memory),
        ROW("vkFreeMemory", free_memory),
        ROW("vkMapMemory", map_memory),
        ROW("vkCreateBuffer", create_buffer),
        ROW("vkDestroyBuffer", destroy_buffer),
        ROW("vkGetBufferMemoryRequirements", get_requirements),
        ROW("vkBindBufferMemory", bind_memory),
        ROW("vkGetBufferDeviceAddress", get_address),
    };
    return fake_find_in(table, sizeof table / sizeof *table, name);
}
