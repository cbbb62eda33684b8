/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_driver.h"

#include <stdlib.h>
#include <string.h>

/* Devices, and what only exists: shaders, layouts, pipelines and their caches. */

typedef struct object {
    uint64_t kind;
} object;

static VkResult create_device(VkPhysicalDevice physical, const VkDeviceCreateInfo *info,
                              const VkAllocationCallbacks *allocator, VkDevice *device)
{
    (void)physical;
    (void)allocator;
    if (!fake_enter("vkCreateDevice"))
        return fake_state.fail_with;
    if (info->queueCreateInfoCount != 1 || info->pQueueCreateInfos[0].queueFamilyIndex != 1)
        fake_misuse("vkCreateDevice", "the family has no compute");
    *device = fake_make(sizeof(object));
    fake_count(&fake_state.live.devices, 1);
    return VK_SUCCESS;
}

static void destroy_device(VkDevice device, const VkAllocationCallbacks *allocator)
{
    (void)allocator;
    fake_count(&fake_state.live.devices, -1);
    if (fake_state.live.devices == 0 && fake_vulkan_alive() > fake_state.live.instances)
        fake_misuse("vkDestroyDevice", "its objects are alive");
    free(device);
}

static void get_queue(VkDevice device, uint32_t family, uint32_t index, VkQueue *queue)
{
    static object queues[2];
    (void)device;
    if (family != 1 || index > 1)
        fake_misuse("vkGetDeviceQueue", "there is no such queue");
    *queue = (VkQueue)&queues[index & 1];
}

static VkResult create_shader(VkDevice device, const VkShaderModuleCreateInfo *info,
                              const VkAllocationCallbacks *allocator, VkShaderModule *shader)
{
    (void)device;
    (void)allocator;
    if (!fake_enter("vkCreateShaderModule"))
        return fake_state.fail_with;
    if (info->codeSize % 4 != 0 || info->codeSize < 20 || info->pCode[0] != 0x07230203)
        fake_misuse("vkCreateShaderModule", "no SPIR-V");
    *shader = fake_make(sizeof(object));
    fake_count(&fake_state.live.shader_modules, 1);
    return VK_SUCCESS;
}

static void destroy_shader(VkDevice device, VkShaderModule shader,
                           const VkAllocationCallbacks *allocator)
{
    (void)device;
    (void)allocator;
    fake_count(&fake_state.live.shader_modules, -(shader != VK_NULL_HANDLE));
    free(shader);
}

static VkResult create_layout(VkDevice device, const VkPipelineLayoutCreateInfo *info,
                              const VkAllocationCallbacks *allocator, VkPipelineLayout *layout)
{
    (void)device;
    (void)allocator;
    if (!fake_enter("vkCreatePipelineLayout"))
        return fake_state.fail_with;
    if (info->pPushConstantRanges[0].size > 128)
        fake_misuse("vkCreatePipelineLayout", "more push constants than every device has");
    *layout = fake_make(sizeof(object));
    fake_count(&fake_state.live.layouts, 1);
    return VK_SUCCESS;
}

static void destroy_layout(VkDevice device, VkPipelineLayout layout,
                           const VkAllocationCallbacks *allocator)
{
    (void)device;
    (void)allocator;
    fake_count(&fake_state.live.layouts, -(layout != VK_NULL_HANDLE));
    free(layout);
}

static VkResult create_pipelines(VkDevice device, VkPipelineCache cache, uint32_t count,
                                 const VkComputePipelineCreateInfo *infos,
                                 const VkAllocationCallbacks *allocator, VkPipeline *pipelines)
{
    (void)device;
    (void)allocator;
    if (!fake_enter("vkCreateComputePipelines"))
        return fake_state.fail_with;
    if (count != 1 || !cache || !infos[0].layout || !infos[0].stage.module)
        fake_misuse("vkCreateComputePipelines", "something is missing");
    fake_lock();
    fake_state.latest_cache = cache;
    fake_unlock();
    *pipelines = fake_make(sizeof(object));
    fake_count(&fake_state.live.pipelines, 1);
    return VK_SUCCESS;
}

static void destroy_pipeline(VkDevice device, VkPipeline pipeline,
                             const VkAllocationCallbacks *allocator)
{
    (void)device;
    (void)allocator;
    fake_count(&fake_state.live.pipelines, -(pipeline != VK_NULL_HANDLE));
    free(pipeline);
}

static VkResult create_cache(VkDevice device, const VkPipelineCacheCreateInfo *info,
                             const VkAllocationCallbacks *allocator, VkPipelineCache *cache)
{
    (void)device;
    (void)allocator;
    if (!fake_enter("vkCreatePipelineCache"))
        return fake_state.fail_with;
    fake_lock();
    fake_state.initial_cache_bytes = info->initialDataSize;
    fake_unlock();
    *cache = fake_make(sizeof(object));
    fake_count(&fake_state.live.caches, 1);
    return VK_SUCCESS;
}

static void destroy_cache(VkDevice device, VkPipelineCache cache,
                          const VkAllocationCallbacks *allocator)
{
    (void)device;
    (void)allocator;
    fake_count(&fake_state.live.caches, -(cache != VK_NULL_HANDLE));
    free(cache);
}

static VkResult get_cache_data(VkDevice device, VkPipelineCache cache, size_t *size, void *data)
{
    const VkPipelineCacheHeaderVersionOne header = {
        .headerSize = sizeof header, .headerVersion = VK_PIPELINE_CACHE_HEADER_VERSION_ONE};
    (void)device;
    (void)cache;
    if (!fake_enter("vkGetPipelineCacheData"))
        return fake_state.fail_with;
    if (data)
        memcpy(data, &header, sizeof header);
    *size = sizeof header;
    return VK_SUCCESS;
}

#define ROW(name, function)                                                                        \
    {                                                                                              \
        name, (PFN_vkVoidFunction)(function)                                                       \
    }

PFN_vkVoidFunction fake_find_object_function(const char *name)
{
    static const fake_function table[] = {
        ROW("vkCreateDevice", create_device),
        ROW("vkDestroyDevice", destroy_device),
        ROW("vkGetDeviceQueue", get_queue),
        ROW("vkCreateShaderModule", create_shader),
        ROW("vkDestroyShaderModule", destroy_shader),
        ROW("vkCreatePipelineLayout", create_layout),
        ROW("vkDestroyPipelineLayout", destroy_layout),
        ROW("vkCreateComputePipelines", create_pipelines),
        ROW("vkDestroyPipeline", destroy_pipeline),
        ROW("vkCreatePipelineCache", create_cache),
        ROW("vkDestroyPipelineCache", destroy_cache),
        ROW("vkGetPipelineCacheData", get_cache_data),
    };
    return fake_find_in(table, sizeof table / sizeof *table, name);
}
