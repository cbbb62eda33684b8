/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/vulkan/vulkan.h"

#include "core/error.h"

/* Binding 0 of params.glsl is the memory of all sources, 1 the parameter blocks. */
static monarch_status make_set_layout(mn_vulkan_device *device, monarch_error *error)
{
    const VkDescriptorSetLayoutBinding bindings[] = {
        {0, VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, MN_VULKAN_SOURCES, VK_SHADER_STAGE_COMPUTE_BIT,
         NULL},
        {1, VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, 1, VK_SHADER_STAGE_COMPUTE_BIT, NULL},
    };
    const VkDescriptorSetLayoutCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO,
        .bindingCount = 2,
        .pBindings = bindings,
    };
    if (device->limits.by_address)
        return MONARCH_OK;
    return mn_vulkan_check(
        device->vk.create_set_layout(device->handle, &info, NULL, &device->set_layout),
        "vkCreateDescriptorSetLayout", error);
}

static monarch_status make_layout(mn_vulkan_device *device, monarch_error *error)
{
    MN_TRY(make_set_layout(device, error));
    const VkPushConstantRange range = {
        .stageFlags = VK_SHADER_STAGE_COMPUTE_BIT,
        .offset = 0,
        .size = sizeof(mn_vulkan_push),
    };
    const VkPipelineLayoutCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
        .setLayoutCount = device->set_layout != VK_NULL_HANDLE,
        .pSetLayouts = &device->set_layout,
        .pushConstantRangeCount = 1,
        .pPushConstantRanges = &range,
    };
    return mn_vulkan_check(
        device->vk.create_pipeline_layout(device->handle, &info, NULL, &device->layout),
        "vkCreatePipelineLayout", error);
}

monarch_status mn_vulkan_start(mn_vulkan_device *device, monarch_error *error)
{
    return make_layout(device, error);
}

monarch_status mn_vulkan_make_cache(mn_vulkan_device *device, const void *data, size_t size,
                                    VkPipelineCache *cache, monarch_error *error)
{
    const VkPipelineCacheCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO,
        .initialDataSize = size,
        .pInitialData = data,
    };
    return mn_vulkan_check(device->vk.create_pipeline_cache(device->handle, &info, NULL, cache),
                           "vkCreatePipelineCache", error);
}

static monarch_status make_device(mn_vulkan_device *device, monarch_error *error)
{
    const float priority = 1.0f;
    const VkDeviceQueueCreateInfo queue = {
        .sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
        .queueFamilyIndex = device->queue_family,
        .queueCount = 1,
        .pQueuePriorities = &priority,
    };
    const uint32_t features = device->limits.features;
    const char *extensions[4];
    uint32_t count = 0;
    mn_vulkan_feature_chain chain;
    mn_vulkan_set_chain(&chain, features);
    if (features & MONARCH_VULKAN_SUBGROUP_SIZE && device->has_size_extension)
        extensions[count++] = VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME;
    if (features & MONARCH_VULKAN_COOPERATIVE_MATRIX)
        extensions[count++] = MN_VK_COOPERATIVE_MATRIX;
    if (features & MONARCH_VULKAN_COOPERATIVE_MATRIX2)
        extensions[count++] = MN_VK_COOPERATIVE_MATRIX2;
    if (features & MONARCH_VULKAN_BFLOAT16_MATRIX)
        extensions[count++] = MN_VK_SHADER_BFLOAT16;
    const VkDeviceCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
        .pNext = &chain.base,
        .queueCreateInfoCount = 1,
        .pQueueCreateInfos = &queue,
        .enabledExtensionCount = count,
        .ppEnabledExtensionNames = extensions,
    };
    VkDevice handle = NULL;
    MN_TRY(
        mn_vulkan_check(device->instance_vk.create_device(device->physical, &info, NULL, &handle),
                        "vkCreateDevice", error));
    device->handle = handle;
    MN_TRY(mn_vulkan_find_functions(device->instance_vk.get_device_function, handle, &device->vk,
                                    error));
    device->vk.get_queue(handle, device->queue_family, 0, &device->queue);
    return mn_vulkan_start(device, error);
}

monarch_status mn_vulkan_retain(mn_vulkan_device *device, monarch_error *error)
{
    pthread_mutex_lock(&device->mutex);
    monarch_status status = MONARCH_OK;
    if (!device->handle) {
        status = make_device(device, error);
        if (status != MONARCH_OK)
            mn_vulkan_release(device, true);
    }
    pthread_mutex_unlock(&device->mutex);
    return status;
}

void mn_vulkan_release(mn_vulkan_device *device, bool driver_too)
{
    const mn_vulkan_functions *vk = &device->vk;
    bool usable = driver_too && device->handle && vk->get_pipeline_cache_data;
    mn_vulkan_free_pipelines(device, usable);
    mn_vulkan_free_blocks(device, usable);
    if (usable && device->cache)
        vk->destroy_pipeline_cache(device->handle, device->cache, NULL);
    if (usable && device->layout)
        vk->destroy_pipeline_layout(device->handle, device->layout, NULL);
    if (usable && device->set_layout)
        vk->destroy_set_layout(device->handle, device->set_layout, NULL);
    if (driver_too && device->handle && !device->wrapped && vk->destroy_device)
        vk->destroy_device(device->handle, NULL);
    device->handle = NULL;
    device->cache = VK_NULL_HANDLE;
    device->layout = VK_NULL_HANDLE;
    device->set_layout = VK_NULL_HANDLE;
}
