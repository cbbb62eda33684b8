/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/vulkan/vulkan.h"

#include "core/alloc.h"
#include "core/error.h"
#include "core/log.h"

/*
 * Each call that enqueues something is one submission: a command buffer out of a ring, and the next
 * value of a timeline semaphore. Only who is MN_VULKAN_COMMANDS submissions ahead of the device
 * waits for it.
 */

static monarch_status make_commands(mn_vulkan_queue *queue, monarch_error *error)
{
    const mn_vulkan_device *device = mn_vulkan_device_of(queue->base.device);
    const VkCommandPoolCreateInfo pool = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
        .flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT,
        .queueFamilyIndex = device->queue_family,
    };
    MN_TRY(
        mn_vulkan_check(device->vk.create_command_pool(device->handle, &pool, NULL, &queue->pool),
                        "vkCreateCommandPool", error));
    const VkCommandBufferAllocateInfo buffers = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
        .commandPool = queue->pool,
        .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
        .commandBufferCount = MN_VULKAN_COMMANDS,
    };
    return mn_vulkan_check(
        device->vk.allocate_command_buffers(device->handle, &buffers, queue->commands),
        "vkAllocateCommandBuffers", error);
}

static monarch_status make_timeline(mn_vulkan_queue *queue, monarch_error *error)
{
    const mn_vulkan_device *device = mn_vulkan_device_of(queue->base.device);
    const VkSemaphoreTypeCreateInfo type = {
        .sType = VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO,
        .semaphoreType = VK_SEMAPHORE_TYPE_TIMELINE,
    };
    const VkSemaphoreCreateInfo info = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO,
                                        .pNext = &type};
    return mn_vulkan_check(
        device->vk.create_semaphore(device->handle, &info, NULL, &queue->timeline),
        "vkCreateSemaphore", error);
}

/* A set for each command buffer, to be written when that is recorded. */
static monarch_status make_sets(mn_vulkan_queue *queue, monarch_error *error)
{
    const mn_vulkan_device *device = mn_vulkan_device_of(queue->base.device);
    const VkDescriptorPoolSize size = {VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
                                       MN_VULKAN_BOUND * MN_VULKAN_COMMANDS};
    const VkDescriptorPoolCreateInfo pool = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO,
        .maxSets = MN_VULKAN_COMMANDS,
        .poolSizeCount = 1,
        .pPoolSizes = &size,
    };
    VkDescriptorSetLayout layouts[MN_VULKAN_COMMANDS];
    if (device->limits.by_address)
        return MONARCH_OK;
    MN_TRY(mn_vulkan_check(
        device->vk.create_descriptor_pool(device->handle, &pool, NULL, &queue->set_pool),
        "vkCreateDescriptorPool", error));
    for (int i = 0; i < MN_VULKAN_COMMANDS; i++)
        layouts[i] = device->set_layout;
    const VkDescriptorSetAllocateInfo info = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO,
        .descriptorPool = queue->set_pool,
        .descriptorSetCount = MN_VULKAN_COMMANDS,
        .pSetLayouts = layouts,
    };
    return mn_vulkan_check(device->vk.allocate_sets(device->handle, &info, queue->sets),
                           "vkAllocateDescriptorSets", error);
}

static monarch_status fill_queue(mn_vulkan_queue *queue, monarch_error *error)
{
    mn_vulkan_device *device = mn_vulkan_device_of(queue->base.device);
    MN_TRY(make_commands(queue, error));
    MN_TRY(make_timeline(queue, error));
    MN_TRY(make_sets(queue, error));
    return mn_vulkan_allocate(device, MN_VULKAN_STAGING_HEAP, MN_VULKAN_STAGING_BYTES,
                              &queue->staging, error);
}

static monarch_status open_queue(monarch_device *base, VkQueue handle, bool wrapped,
                                 void (*lock)(void *user, int32_t locked), void *lock_user,
                                 monarch_queue **out, monarch_error *error)
{
    mn_vulkan_device *device = mn_vulkan_device_of(base);
    MN_TRY(mn_vulkan_retain(device, error));
    mn_vulkan_queue *queue = mn_alloc(&base->instance->allocator, sizeof *queue);
    if (!queue)
        return mn_fail_memory(error, "a queue");
    queue->base.device = base;
    queue->handle = wrapped ? handle : device->queue;
    queue->wrapped = wrapped;
    queue->lock = wrapped ? lock : device->lock;
    queue->lock_user = wrapped ? lock_user : device->lock_user;
    monarch_status status = fill_queue(queue, error);
    if (status != MONARCH_OK) {
        mn_vulkan_queue_destroy(&queue->base);
        return status;
    }
    *out = &queue->base;
    return MONARCH_OK;
}

monarch_status mn_vulkan_queue_create(monarch_device *device, monarch_queue **queue,
                                      monarch_error *error)
{
    return open_queue(device, NULL, false, NULL, NULL, queue, error);
}

monarch_status mn_vulkan_queue_open_native(monarch_device *device,
                                           const monarch_vulkan_queue_params *params,
                                           monarch_queue **queue, monarch_error *error)
{
    return open_queue(device, params->queue, true, params->lock, params->lock_user, queue, error);
}

/* Waits for submission `number`. */
static monarch_status wait_for(const mn_vulkan_queue *queue, uint64_t number, monarch_error *error)
{
    const mn_vulkan_device *device = mn_vulkan_device_of(queue->base.device);
    const VkSemaphoreWaitInfo info = {
        .sType = VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO,
        .semaphoreCount = 1,
        .pSemaphores = &queue->timeline,
        .pValues = &number,
    };
    if (number == 0)
        return MONARCH_OK;
    return mn_vulkan_check(device->vk.wait_semaphores(device->handle, &info, UINT64_MAX),
                           "vkWaitSemaphores", error);
}

monarch_status mn_vulkan_queue_wait(monarch_queue *base, monarch_error *error)
{
    const mn_vulkan_queue *queue = (const mn_vulkan_queue *)base;
    return wait_for(queue, queue->submitted, error);
}

void mn_vulkan_queue_destroy(monarch_queue *base)
{
    mn_vulkan_queue *queue = (mn_vulkan_queue *)base;
    mn_vulkan_device *device = mn_vulkan_device_of(base->device);
    const mn_vulkan_functions *vk = &device->vk;
    const monarch_instance *instance = base->device->instance;
    bool driver_too = mn_instance_check_process(instance, NULL) == MONARCH_OK;
    monarch_error why = {MONARCH_OK, ""};
    if (driver_too && wait_for(queue, queue->submitted, &why) != MONARCH_OK)
        mn_log(instance, MONARCH_LOG_WARNING, "%s", why.message);
    if (driver_too && queue->timeline)
        vk->destroy_semaphore(device->handle, queue->timeline, NULL);
    if (driver_too && queue->pool) /* and the command buffers */
        vk->destroy_command_pool(device->handle, queue->pool, NULL);
    if (driver_too && queue->set_pool) /* and the sets */
        vk->destroy_descriptor_pool(device->handle, queue->set_pool, NULL);
    mn_vulkan_free(device, &queue->staging, driver_too);
    mn_free(&instance->allocator, queue);
}

void mn_vulkan_barrier(const mn_vulkan_functions *vk, VkCommandBuffer commands)
{
    const VkPipelineStageFlags stages =
        VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT;
    const VkMemoryBarrier all = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
        .srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_WRITE_BIT,
        .dstAccessMask = VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT |
                         VK_ACCESS_TRANSFER_READ_BIT | VK_ACCESS_TRANSFER_WRITE_BIT,
    };
    vk->cmd_pipeline_barrier(commands, stages, stages, 0, 1, &all, 0, NULL, 0, NULL);
}

monarch_status mn_vulkan_queue_begin(mn_vulkan_queue *queue, VkCommandBuffer *commands,
                                     monarch_error *error)
{
    const mn_vulkan_functions *vk = &mn_vulkan_device_of(queue->base.device)->vk;
    const VkCommandBufferBeginInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
        .flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT,
    };
    uint64_t number = queue->submitted + 1;
    if (number > MN_VULKAN_COMMANDS)
        MN_TRY(wait_for(queue, number - MN_VULKAN_COMMANDS, error));
    *commands = queue->commands[number % MN_VULKAN_COMMANDS];
    MN_TRY(
        mn_vulkan_check(vk->begin_command_buffer(*commands, &info), "vkBeginCommandBuffer", error));
    mn_vulkan_barrier(vk, *commands);
    return MONARCH_OK;
}

VkDescriptorSet mn_vulkan_queue_set(const mn_vulkan_queue *queue)
{
    return queue->sets[(queue->submitted + 1) % MN_VULKAN_COMMANDS];
}

static void lock_queue(mn_vulkan_device *device, const mn_vulkan_queue *queue, int32_t locked)
{
    if (!queue->wrapped) {
        if (locked)
            pthread_mutex_lock(&device->queue_mutex);
        else
            pthread_mutex_unlock(&device->queue_mutex);
    }
    if (queue->lock)
        queue->lock(queue->lock_user, locked);
}

monarch_status mn_vulkan_queue_submit(mn_vulkan_queue *queue, const monarch_vulkan_timeline *wait,
                                      const monarch_vulkan_timeline *signal, monarch_error *error)
{
    mn_vulkan_device *device = mn_vulkan_device_of(queue->base.device);
    const uint64_t number = queue->submitted + 1;
    VkCommandBuffer commands = queue->commands[number % MN_VULKAN_COMMANDS];
    MN_TRY(mn_vulkan_check(device->vk.end_command_buffer(commands), "vkEndCommandBuffer", error));
    const bool waits = wait && wait->semaphore, signals = signal && signal->semaphore;
    const VkPipelineStageFlags stages = VK_PIPELINE_STAGE_ALL_COMMANDS_BIT;
    const VkSemaphore semaphores[] = {queue->timeline,
                                      signals ? signal->semaphore : VK_NULL_HANDLE};
    const uint64_t values[] = {number, signals ? signal->value : 0};
    const VkTimelineSemaphoreSubmitInfo timeline = {
        .sType = VK_STRUCTURE_TYPE_TIMELINE_SEMAPHORE_SUBMIT_INFO,
        .waitSemaphoreValueCount = waits,
        .pWaitSemaphoreValues = waits ? &wait->value : NULL,
        .signalSemaphoreValueCount = signals ? 2 : 1,
        .pSignalSemaphoreValues = values,
    };
    const VkSubmitInfo info = {
        .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
        .pNext = &timeline,
        .waitSemaphoreCount = waits,
        .pWaitSemaphores = waits ? &wait->semaphore : NULL,
        .pWaitDstStageMask = &stages,
        .commandBufferCount = 1,
        .pCommandBuffers = &commands,
        .signalSemaphoreCount = signals ? 2 : 1,
        .pSignalSemaphores = semaphores,
    };
    lock_queue(device, queue, true);
    VkResult result = device->vk.queue_submit(queue->handle, 1, &info, VK_NULL_HANDLE);
    lock_queue(device, queue, false);
    MN_TRY(mn_vulkan_check(result, "vkQueueSubmit", error));
    queue->submitted = number;
    return MONARCH_OK;
}
