/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_driver.h"

#include <stdlib.h>
#include <string.h>

/*
 * Command buffers, semaphores and queries. Copies happen when they are recorded, which a library
 * that waits for each of them cannot tell from happening later.
 */

struct VkCommandPool_T {
    struct VkCommandBuffer_T *buffers;
};

struct VkCommandBuffer_T {
    bool recording;
    bool ended;
    VkPipeline pipeline;
    uint64_t first_work_group;
    bool unordered; /* something ran since the latest barrier, which what follows must not overtake
                     */
};

struct VkSemaphore_T {
    uint64_t value;
};

struct VkQueryPool_T {
    uint64_t stamps[64];
};

static uint64_t device_time;

static VkResult create_pool(VkDevice device, const VkCommandPoolCreateInfo *info,
                            const VkAllocationCallbacks *allocator, VkCommandPool *pool)
{
    (void)device;
    (void)info;
    (void)allocator;
    if (!fake_enter("vkCreateCommandPool"))
        return fake_state.fail_with;
    *pool = fake_make(sizeof **pool);
    fake_state.live.command_pools++;
    return VK_SUCCESS;
}

static void destroy_pool(VkDevice device, VkCommandPool pool,
                         const VkAllocationCallbacks *allocator)
{
    (void)device;
    (void)allocator;
    if (!pool)
        return;
    fake_state.live.command_pools--;
    free(pool->buffers);
    free(pool);
}

static VkResult allocate_commands(VkDevice device, const VkCommandBufferAllocateInfo *info,
                                  VkCommandBuffer *commands)
{
    (void)device;
    if (!fake_enter("vkAllocateCommandBuffers"))
        return fake_state.fail_with;
    struct VkCommandBuffer_T *buffers = fake_make(info->commandBufferCount * sizeof *buffers);
    info->commandPool->buffers = buffers;
    for (uint32_t i = 0; i < info->commandBufferCount; i++)
        commands[i] = &buffers[i];
    return VK_SUCCESS;
}

static VkResult begin_commands(VkCommandBuffer commands, const VkCommandBufferBeginInfo *info)
{
    (void)info;
    if (!fake_enter("vkBeginCommandBuffer"))
        return fake_state.fail_with;
    commands->recording = true;
    commands->ended = false;
    commands->unordered = true; /* what was submitted before */
    return VK_SUCCESS;
}

static VkResult end_commands(VkCommandBuffer commands)
{
    if (!fake_enter("vkEndCommandBuffer"))
        return fake_state.fail_with;
    if (!commands->recording)
        fake_misuse("vkEndCommandBuffer", "it was not begun");
    commands->recording = false;
    commands->ended = true;
    return VK_SUCCESS;
}

static void bind_pipeline(VkCommandBuffer commands, VkPipelineBindPoint point, VkPipeline pipeline)
{
    if (!commands->recording || point != VK_PIPELINE_BIND_POINT_COMPUTE || !pipeline)
        fake_misuse("vkCmdBindPipeline", "not recording, or no pipeline");
    commands->pipeline = pipeline;
}

static void push_constants(VkCommandBuffer commands, VkPipelineLayout layout,
                           VkShaderStageFlags stages, uint32_t offset, uint32_t size,
                           const void *values)
{
    (void)stages;
    if (!layout || offset != 0 || size < 16)
        fake_misuse("vkCmdPushConstants", "no layout, or too little");
    memcpy(&commands->first_work_group, (const char *)values + 8, 8);
}

static void need_order(const struct VkCommandBuffer_T *commands, const char *call)
{
    if (commands->unordered)
        fake_misuse(call, "no barrier orders it after what ran before");
}

static void dispatch(VkCommandBuffer commands, uint32_t x, uint32_t y, uint32_t z)
{
    if (!commands->recording || !commands->pipeline || x == 0 || y == 0 || z == 0)
        fake_misuse("vkCmdDispatch", "nothing to run");
    if (x > fake_state.work_groups || y > fake_state.work_groups)
        fake_misuse("vkCmdDispatch", "more work-groups than the device takes");
    if (commands->first_work_group == 0) /* a launch begins, its other parts are independent */
        need_order(commands, "vkCmdDispatch");
    commands->unordered = true;
    fake_state.latest[fake_state.dispatches++ % FAKE_DISPATCHES] =
        (fake_dispatch){commands->pipeline, {x, y, z}, commands->first_work_group, commands};
    device_time += FAKE_DISPATCH_NS;
}

static void barrier(VkCommandBuffer commands, VkPipelineStageFlags from, VkPipelineStageFlags to,
                    VkDependencyFlags flags, uint32_t count, const VkMemoryBarrier *barriers,
                    uint32_t buffer_count, const VkBufferMemoryBarrier *buffers,
                    uint32_t image_count, const VkImageMemoryBarrier *images)
{
    const VkPipelineStageFlags stages =
        VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT;
    const VkAccessFlags writes = VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_WRITE_BIT;
    const VkAccessFlags all = writes | VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_TRANSFER_READ_BIT;
    (void)flags;
    (void)buffer_count;
    (void)buffers;
    (void)image_count;
    (void)images;
    if (!commands->recording || from == 0 || to == 0 || count != 1)
        fake_misuse("vkCmdPipelineBarrier", "not recording, or nothing");
    else if ((from & stages) == stages && (to & stages) == stages &&
             (barriers->srcAccessMask & writes) == writes && (barriers->dstAccessMask & all) == all)
        commands->unordered = false;
    fake_state.barriers++;
}

static VkDeviceAddress address(VkBuffer buffer)
{
    PFN_vkGetBufferDeviceAddress get =
        (PFN_vkGetBufferDeviceAddress)fake_find_memory_function("vkGetBufferDeviceAddress");
    return get(NULL, &(VkBufferDeviceAddressInfo){.buffer = buffer});
}

static void copy_buffer(VkCommandBuffer commands, VkBuffer from, VkBuffer to, uint32_t count,
                        const VkBufferCopy *regions)
{
    if (!commands->recording || count != 1)
        fake_misuse("vkCmdCopyBuffer", "not recording, or not one region");
    need_order(commands, "vkCmdCopyBuffer");
    commands->unordered = true;
    memcpy((char *)(uintptr_t)address(to) + regions->dstOffset,
           (const char *)(uintptr_t)address(from) + regions->srcOffset, regions->size);
}

static VkResult create_semaphore(VkDevice device, const VkSemaphoreCreateInfo *info,
                                 const VkAllocationCallbacks *allocator, VkSemaphore *semaphore)
{
    const VkSemaphoreTypeCreateInfo *type = info->pNext;
    (void)device;
    (void)allocator;
    if (!fake_enter("vkCreateSemaphore"))
        return fake_state.fail_with;
    if (!type || type->semaphoreType != VK_SEMAPHORE_TYPE_TIMELINE)
        fake_misuse("vkCreateSemaphore", "no timeline");
    *semaphore = fake_make(sizeof **semaphore);
    fake_state.live.semaphores++;
    return VK_SUCCESS;
}

static void destroy_semaphore(VkDevice device, VkSemaphore semaphore,
                              const VkAllocationCallbacks *allocator)
{
    (void)device;
    (void)allocator;
    fake_state.live.semaphores -= semaphore != VK_NULL_HANDLE;
    free(semaphore);
}

static VkResult submit(VkQueue queue, uint32_t count, const VkSubmitInfo *info, VkFence fence)
{
    const VkTimelineSemaphoreSubmitInfo *values = info->pNext;
    (void)queue;
    if (!fake_enter("vkQueueSubmit"))
        return fake_state.fail_with;
    if (count != 1 || fence || info->commandBufferCount != 1 || !info->pCommandBuffers[0]->ended)
        fake_misuse("vkQueueSubmit", "not one command buffer that has ended");
    if (info->waitSemaphoreCount > 0)
        fake_state.waited = values->pWaitSemaphoreValues[0];
    for (uint32_t i = 0; i < info->signalSemaphoreCount; i++) {
        if (info->pSignalSemaphores[i]->value >= values->pSignalSemaphoreValues[i])
            fake_misuse("vkQueueSubmit", "a semaphore that goes back");
        info->pSignalSemaphores[i]->value = values->pSignalSemaphoreValues[i];
    }
    if (info->signalSemaphoreCount > 1)
        fake_state.signalled = values->pSignalSemaphoreValues[1];
    info->pCommandBuffers[0]->ended = false;
    fake_state.submissions++;
    return VK_SUCCESS;
}

static VkResult wait(VkDevice device, const VkSemaphoreWaitInfo *info, uint64_t timeout)
{
    (void)device;
    (void)timeout;
    if (!fake_enter("vkWaitSemaphores"))
        return fake_state.fail_with;
    if (info->pSemaphores[0]->value < info->pValues[0])
        fake_misuse("vkWaitSemaphores", "nobody will signal it");
    return fake_state.lost;
}

static VkResult create_queries(VkDevice device, const VkQueryPoolCreateInfo *info,
                               const VkAllocationCallbacks *allocator, VkQueryPool *pool)
{
    (void)device;
    (void)allocator;
    if (!fake_enter("vkCreateQueryPool"))
        return fake_state.fail_with;
    if (info->queryCount > 64)
        abort();
    *pool = fake_make(sizeof **pool);
    fake_state.live.query_pools++;
    return VK_SUCCESS;
}

static void destroy_queries(VkDevice device, VkQueryPool pool,
                            const VkAllocationCallbacks *allocator)
{
    (void)device;
    (void)allocator;
    fake_state.live.query_pools -= pool != VK_NULL_HANDLE;
    free(pool);
}

static void reset_queries(VkCommandBuffer commands, VkQueryPool pool, uint32_t first,
                          uint32_t count)
{
    (void)commands;
    memset(pool->stamps + first, 0, count * sizeof *pool->stamps);
}

static void write_timestamp(VkCommandBuffer commands, VkPipelineStageFlagBits stage,
                            VkQueryPool pool, uint32_t query)
{
    (void)commands;
    (void)stage;
    if (pool->stamps[query] != 0)
        fake_misuse("vkCmdWriteTimestamp", "it was not reset");
    pool->stamps[query] = device_time;
}

static VkResult get_results(VkDevice device, VkQueryPool pool, uint32_t first, uint32_t count,
                            size_t size, void *data, VkDeviceSize stride, VkQueryResultFlags flags)
{
    (void)device;
    (void)size;
    (void)stride;
    (void)flags;
    if (!fake_enter("vkGetQueryPoolResults"))
        return fake_state.fail_with;
    memcpy(data, pool->stamps + first, count * sizeof *pool->stamps);
    return VK_SUCCESS;
}

#define ROW(name, function)                                                                        \
    {                                                                                              \
        name, (PFN_vkVoidFunction)(function)                                                       \
    }

PFN_vkVoidFunction fake_find_command_function(const char *name)
{
    static const fake_function table[] = {
        ROW("vkCreateCommandPool", create_pool),
        ROW("vkDestroyCommandPool", destroy_pool),
        ROW("vkAllocateCommandBuffers", allocate_commands),
        ROW("vkBeginCommandBuffer", begin_commands),
        ROW("vkEndCommandBuffer", end_commands),
        ROW("vkCmdBindPipeline", bind_pipeline),
        ROW("vkCmdPushConstants", push_constants),
        ROW("vkCmdDispatch", dispatch),
        ROW("vkCmdPipelineBarrier", barrier),
        ROW("vkCmdCopyBuffer", copy_buffer),
        ROW("vkCreateSemaphore", create_semaphore),
        ROW("vkDestroySemaphore", destroy_semaphore),
        ROW("vkQueueSubmit", submit),
        ROW("vkWaitSemaphores", wait),
        ROW("vkCreateQueryPool", create_queries),
        ROW("vkDestroyQueryPool", destroy_queries),
        ROW("vkCmdResetQueryPool", reset_queries),
        ROW("vkCmdWriteTimestamp", write_timestamp),
        ROW("vkGetQueryPoolResults", get_results),
    };
    return fake_find_in(table, sizeof table / sizeof *table, name);
}
