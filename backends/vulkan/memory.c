/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>

#include "backends/vulkan/vulkan.h"
#include "core/alloc.h"
#include "core/error.h"

/*
 * Drivers allow few allocations of memory, some only 4096, and make them slowly; so memory comes
 * in blocks, and buffers are bound to pieces of them. A piece is taken from the first gap that is
 * large enough. Whatever is larger than half a block has one of its own.
 */

enum { BLOCK_BYTES = 32 << 20 };

typedef struct piece {
    struct piece *next; /* in the order in which they lie */
    VkDeviceSize offset, size;
} piece;

typedef struct mn_vulkan_block {
    struct mn_vulkan_block *next;
    mn_vulkan_heap heap;
    VkDeviceMemory memory;
    VkDeviceSize size;
    char *host; /* where the block is mapped, or NULL */
    piece *pieces;
} block;

static VkDeviceSize round_up(VkDeviceSize value, VkDeviceSize alignment)
{
    return (value + alignment - 1) / alignment * alignment;
}

/* The first gap of a block that takes `size` bytes; false when there is none. */
static bool find_gap(const block *b, VkDeviceSize size, VkDeviceSize alignment,
                     VkDeviceSize *offset)
{
    VkDeviceSize at = 0;
    for (const piece *p = b->pieces;; p = p->next) {
        VkDeviceSize end = p ? p->offset : b->size;
        at = round_up(at, alignment);
        if (at <= end && end - at >= size) {
            *offset = at;
            return true;
        }
        if (!p)
            return false;
        at = p->offset + p->size;
    }
}

static monarch_status take(const mn_vulkan_device *device, block *b, VkDeviceSize offset,
                           VkDeviceSize size, monarch_error *error)
{
    piece *taken = mn_alloc(&device->base.instance->allocator, sizeof *taken);
    if (!taken)
        return mn_fail_memory(error, "a piece of device memory");
    piece **place = &b->pieces;
    while (*place && (*place)->offset < offset)
        place = &(*place)->next;
    *taken = (piece){*place, offset, size};
    *place = taken;
    return MONARCH_OK;
}

static void free_block(const mn_vulkan_device *device, block *b, bool driver_too)
{
    const monarch_allocator *allocator = &device->base.instance->allocator;
    while (b->pieces) {
        piece *p = b->pieces;
        b->pieces = p->next;
        mn_free(allocator, p);
    }
    if (b->memory && driver_too) /* unmaps it too */
        device->vk.free_memory(device->handle, b->memory, NULL);
    mn_free(allocator, b);
}

static monarch_status fill_block(const mn_vulkan_device *device, block *b, monarch_error *error)
{
    const VkMemoryAllocateFlagsInfo flags = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_FLAGS_INFO,
        .flags = VK_MEMORY_ALLOCATE_DEVICE_ADDRESS_BIT,
    };
    const VkMemoryAllocateInfo info = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
        .pNext = device->limits.by_address ? &flags : NULL,
        .allocationSize = b->size,
        .memoryTypeIndex = device->memory_types[b->heap],
    };
    char call[64];
    void *host = NULL;
    snprintf(call, sizeof call, "vkAllocateMemory(%" PRIu64 " bytes)", (uint64_t)b->size);
    MN_TRY(mn_vulkan_check(device->vk.allocate_memory(device->handle, &info, NULL, &b->memory),
                           call, error));
    if (b->heap == MN_VULKAN_DEVICE_HEAP)
        return MONARCH_OK;
    MN_TRY(mn_vulkan_check(
        device->vk.map_memory(device->handle, b->memory, 0, VK_WHOLE_SIZE, 0, &host), "vkMapMemory",
        error));
    b->host = host;
    return MONARCH_OK;
}

static monarch_status add_block(mn_vulkan_device *device, mn_vulkan_heap heap, VkDeviceSize size,
                                block **added, monarch_error *error)
{
    block *b = mn_alloc(&device->base.instance->allocator, sizeof *b);
    if (!b)
        return mn_fail_memory(error, "a block of device memory");
    b->heap = heap;
    b->size = size > BLOCK_BYTES / 2 ? size : BLOCK_BYTES;
    if (b->size > device->largest_allocation)
        b->size = size;
    monarch_status status = fill_block(device, b, error);
    if (status != MONARCH_OK) {
        free_block(device, b, true);
        return status;
    }
    b->next = device->blocks;
    device->blocks = b;
    *added = b;
    return MONARCH_OK;
}

/* Takes a piece of some block, a new one if need be. */
static monarch_status place(mn_vulkan_device *device, mn_vulkan_heap heap,
                            const VkMemoryRequirements *needs, mn_vulkan_memory *memory,
                            monarch_error *error)
{
    block *b = device->blocks;
    VkDeviceSize offset = 0;
    while (b && !(b->heap == heap && find_gap(b, needs->size, needs->alignment, &offset)))
        b = b->next;
    if (!b) {
        offset = 0;
        monarch_status status = add_block(device, heap, needs->size, &b, error);
        if (!b)
            return status;
    }
    MN_TRY(take(device, b, offset, needs->size, error));
    memory->block = b;
    memory->offset = offset;
    memory->host = b->host ? b->host + offset : NULL;
    return MONARCH_OK;
}

static monarch_status bind(mn_vulkan_device *device, mn_vulkan_heap heap, mn_vulkan_memory *memory,
                           monarch_error *error)
{
    const mn_vulkan_functions *vk = &device->vk;
    VkMemoryRequirements needs;
    vk->get_buffer_requirements(device->handle, memory->buffer, &needs);
    if (!(needs.memoryTypeBits >> device->memory_types[heap] & 1u))
        return mn_fail(error, MONARCH_ERROR_NATIVE,
                       "a buffer cannot lie in memory of type %" PRIu32,
                       device->memory_types[heap]);
    if (needs.alignment < 256) /* what monarch_buffer promises */
        needs.alignment = 256;
    if (needs.size > device->largest_allocation)
        return mn_fail(error, MONARCH_ERROR_OUT_OF_MEMORY,
                       "%" PRIu64 " bytes of memory; the device allocates up to %" PRIu64
                       " at a time",
                       (uint64_t)needs.size, device->largest_allocation);
    pthread_mutex_lock(&device->memory_mutex);
    monarch_status status = place(device, heap, &needs, memory, error);
    pthread_mutex_unlock(&device->memory_mutex);
    MN_TRY(status);
    MN_TRY(mn_vulkan_check(vk->bind_buffer_memory(device->handle, memory->buffer,
                                                  memory->block->memory, memory->offset),
                           "vkBindBufferMemory", error));
    const VkBufferDeviceAddressInfo info = {.sType = VK_STRUCTURE_TYPE_BUFFER_DEVICE_ADDRESS_INFO,
                                            .buffer = memory->buffer};
    if (device->limits.by_address)
        memory->address = vk->get_buffer_address(device->handle, &info);
    return MONARCH_OK;
}

monarch_status mn_vulkan_allocate(mn_vulkan_device *device, mn_vulkan_heap heap, uint64_t size,
                                  mn_vulkan_memory *memory, monarch_error *error)
{
    const VkBufferUsageFlags address =
        device->limits.by_address ? VK_BUFFER_USAGE_SHADER_DEVICE_ADDRESS_BIT : 0;
    const VkBufferCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
        .size = size,
        .usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | address | VK_BUFFER_USAGE_TRANSFER_SRC_BIT |
                 VK_BUFFER_USAGE_TRANSFER_DST_BIT,
        .sharingMode = VK_SHARING_MODE_EXCLUSIVE,
    };
    *memory = (mn_vulkan_memory){.size = size};
    MN_TRY(mn_vulkan_check(device->vk.create_buffer(device->handle, &info, NULL, &memory->buffer),
                           "vkCreateBuffer", error));
    monarch_status status = bind(device, heap, memory, error);
    if (status != MONARCH_OK)
        mn_vulkan_free(device, memory, true);
    return status;
}

static void give_back(mn_vulkan_device *device, const mn_vulkan_memory *memory, bool driver_too)
{
    block *b = memory->block;
    piece **place = &b->pieces;
    while (*place && (*place)->offset != memory->offset)
        place = &(*place)->next;
    piece *given = *place;
    if (given)
        *place = given->next;
    mn_free(&device->base.instance->allocator, given);
    if (b->pieces)
        return;
    block **link = &device->blocks;
    while (*link != b)
        link = &(*link)->next;
    *link = b->next;
    free_block(device, b, driver_too);
}

void mn_vulkan_free(mn_vulkan_device *device, mn_vulkan_memory *memory, bool driver_too)
{
    if (memory->buffer && driver_too)
        device->vk.destroy_buffer(device->handle, memory->buffer, NULL);
    if (memory->block) {
        if (driver_too)
            pthread_mutex_lock(&device->memory_mutex);
        give_back(device, memory, driver_too);
        if (driver_too)
            pthread_mutex_unlock(&device->memory_mutex);
    }
    *memory = (mn_vulkan_memory){0};
}

void mn_vulkan_free_blocks(mn_vulkan_device *device, bool driver_too)
{
    while (device->blocks) {
        block *b = device->blocks;
        device->blocks = b->next;
        free_block(device, b, driver_too);
    }
}
