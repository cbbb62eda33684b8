/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/vulkan/loader.h"

#include "backends/common/dynlib.h"
#include "core/alloc.h"
#include "core/error.h"
#include "core/log.h"

static const char library_name[] = "libvulkan.so.1";

static const mn_dynlib_symbol loader_symbols[] = {
    {"vkGetInstanceProcAddr", offsetof(mn_vulkan_driver, get_instance_function), false},
};

#define IN_INSTANCE(member) offsetof(mn_vulkan_instance_functions, member)
static const mn_dynlib_symbol instance_symbols[] = {
    {"vkDestroyInstance", IN_INSTANCE(destroy_instance), false},
    {"vkEnumeratePhysicalDevices", IN_INSTANCE(enumerate_physical_devices), false},
    {"vkEnumerateDeviceExtensionProperties", IN_INSTANCE(enumerate_extensions), false},
    {"vkGetPhysicalDeviceProperties2", IN_INSTANCE(get_properties), false},
    {"vkGetPhysicalDeviceFeatures2", IN_INSTANCE(get_features), false},
    {"vkGetPhysicalDeviceMemoryProperties", IN_INSTANCE(get_memory_properties), false},
    {"vkGetPhysicalDeviceQueueFamilyProperties", IN_INSTANCE(get_queue_families), false},
    {"vkCreateDevice", IN_INSTANCE(create_device), false},
    {"vkGetDeviceProcAddr", IN_INSTANCE(get_device_function), false},
    {"vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR", IN_INSTANCE(get_cooperative_matrices),
     true},
};

#define IN_DEVICE(member) offsetof(mn_vulkan_functions, member)
static const mn_dynlib_symbol device_symbols[] = {
    {"vkDestroyDevice", IN_DEVICE(destroy_device), false},
    {"vkGetDeviceQueue", IN_DEVICE(get_queue), false},
    {"vkQueueSubmit", IN_DEVICE(queue_submit), false},
    {"vkCreateSemaphore", IN_DEVICE(create_semaphore), false},
    {"vkDestroySemaphore", IN_DEVICE(destroy_semaphore), false},
    {"vkWaitSemaphores", IN_DEVICE(wait_semaphores), false},
    {"vkCreateCommandPool", IN_DEVICE(create_command_pool), false},
    {"vkDestroyCommandPool", IN_DEVICE(destroy_command_pool), false},
    {"vkAllocateCommandBuffers", IN_DEVICE(allocate_command_buffers), false},
    {"vkBeginCommandBuffer", IN_DEVICE(begin_command_buffer), false},
    {"vkEndCommandBuffer", IN_DEVICE(end_command_buffer), false},
    {"vkCmdBindPipeline", IN_DEVICE(cmd_bind_pipeline), false},
    {"vkCmdPushConstants", IN_DEVICE(cmd_push_constants), false},
    {"vkCmdDispatch", IN_DEVICE(cmd_dispatch), false},
    {"vkCmdPipelineBarrier", IN_DEVICE(cmd_pipeline_barrier), false},
    {"vkCmdCopyBuffer", IN_DEVICE(cmd_copy_buffer), false},
    {"vkCmdResetQueryPool", IN_DEVICE(cmd_reset_query_pool), false},
    {"vkCmdWriteTimestamp", IN_DEVICE(cmd_write_timestamp), false},
    {"vkCreateQueryPool", IN_DEVICE(create_query_pool), false},
    {"vkDestroyQueryPool", IN_DEVICE(destroy_query_pool), false},
    {"vkGetQueryPoolResults", IN_DEVICE(get_query_results), false},
    {"vkCreateBuffer", IN_DEVICE(create_buffer), false},
    {"vkDestroyBuffer", IN_DEVICE(destroy_buffer), false},
    {"vkGetBufferMemoryRequirements", IN_DEVICE(get_buffer_requirements), false},
    {"vkGetBufferDeviceAddress", IN_DEVICE(get_buffer_address), false},
    {"vkAllocateMemory", IN_DEVICE(allocate_memory), false},
    {"vkFreeMemory", IN_DEVICE(free_memory), false},
    {"vkBindBufferMemory", IN_DEVICE(bind_buffer_memory), false},
    {"vkMapMemory", IN_DEVICE(map_memory), false},
    {"vkCreateShaderModule", IN_DEVICE(create_shader_module), false},
    {"vkDestroyShaderModule", IN_DEVICE(destroy_shader_module), false},
    {"vkCreateDescriptorSetLayout", IN_DEVICE(create_set_layout), false},
    {"vkDestroyDescriptorSetLayout", IN_DEVICE(destroy_set_layout), false},
    {"vkCreateDescriptorPool", IN_DEVICE(create_descriptor_pool), false},
    {"vkDestroyDescriptorPool", IN_DEVICE(destroy_descriptor_pool), false},
    {"vkAllocateDescriptorSets", IN_DEVICE(allocate_sets), false},
    {"vkUpdateDescriptorSets", IN_DEVICE(update_sets), false},
    {"vkCmdBindDescriptorSets", IN_DEVICE(cmd_bind_sets), false},
    {"vkCreatePipelineLayout", IN_DEVICE(create_pipeline_layout), false},
    {"vkDestroyPipelineLayout", IN_DEVICE(destroy_pipeline_layout), false},
    {"vkCreateComputePipelines", IN_DEVICE(create_compute_pipelines), false},
    {"vkDestroyPipeline", IN_DEVICE(destroy_pipeline), false},
    {"vkCreatePipelineCache", IN_DEVICE(create_pipeline_cache), false},
    {"vkDestroyPipelineCache", IN_DEVICE(destroy_pipeline_cache), false},
    {"vkGetPipelineCacheData", IN_DEVICE(get_pipeline_cache_data), false},
};

static const char *result_name(VkResult result)
{
    switch (result) {
    case VK_NOT_READY:
        return "VK_NOT_READY";
    case VK_TIMEOUT:
        return "VK_TIMEOUT";
    case VK_INCOMPLETE:
        return "VK_INCOMPLETE";
    case VK_ERROR_OUT_OF_HOST_MEMORY:
        return "VK_ERROR_OUT_OF_HOST_MEMORY";
    case VK_ERROR_OUT_OF_DEVICE_MEMORY:
        return "VK_ERROR_OUT_OF_DEVICE_MEMORY";
    case VK_ERROR_INITIALIZATION_FAILED:
        return "VK_ERROR_INITIALIZATION_FAILED";
    case VK_ERROR_DEVICE_LOST:
        return "VK_ERROR_DEVICE_LOST";
    case VK_ERROR_MEMORY_MAP_FAILED:
        return "VK_ERROR_MEMORY_MAP_FAILED";
    case VK_ERROR_LAYER_NOT_PRESENT:
        return "VK_ERROR_LAYER_NOT_PRESENT";
    case VK_ERROR_EXTENSION_NOT_PRESENT:
        return "VK_ERROR_EXTENSION_NOT_PRESENT";
    case VK_ERROR_FEATURE_NOT_PRESENT:
        return "VK_ERROR_FEATURE_NOT_PRESENT";
    case VK_ERROR_INCOMPATIBLE_DRIVER:
        return "VK_ERROR_INCOMPATIBLE_DRIVER";
    case VK_ERROR_TOO_MANY_OBJECTS:
        return "VK_ERROR_TOO_MANY_OBJECTS";
    case VK_ERROR_FRAGMENTED_POOL:
        return "VK_ERROR_FRAGMENTED_POOL";
    case VK_ERROR_INVALID_OPAQUE_CAPTURE_ADDRESS:
        return "VK_ERROR_INVALID_OPAQUE_CAPTURE_ADDRESS";
    default:
        return "unknown result";
    }
}

monarch_status mn_vulkan_check(VkResult result, const char *call, monarch_error *error)
{
    if (result == VK_SUCCESS)
        return MONARCH_OK;
    bool memory = result == VK_ERROR_OUT_OF_HOST_MEMORY || result == VK_ERROR_OUT_OF_DEVICE_MEMORY;
    monarch_status status = memory                           ? MONARCH_ERROR_OUT_OF_MEMORY
                            : result == VK_ERROR_DEVICE_LOST ? MONARCH_ERROR_DEVICE_LOST
                                                             : MONARCH_ERROR_NATIVE;
    return mn_fail(error, status, "%s failed: %s (%d)", call, result_name(result), (int)result);
}

monarch_status mn_vulkan_look(VkResult result, const char *call, monarch_error *error)
{
    monarch_status status = mn_vulkan_check(result, call, error);
    if (status != MONARCH_ERROR_OUT_OF_MEMORY)
        return status;
    if (error)
        error->status = MONARCH_ERROR_NATIVE;
    return MONARCH_ERROR_NATIVE;
}

void mn_vulkan_warn(const monarch_instance *instance, VkResult result, const char *call)
{
    monarch_error why = {MONARCH_OK, ""};
    if (mn_vulkan_check(result, call, &why) != MONARCH_OK)
        mn_log(instance, MONARCH_LOG_WARNING, "%s", why.message);
}

static monarch_status set_function(const mn_dynlib_symbol *symbol, PFN_vkVoidFunction function,
                                   void *table, monarch_error *error)
{
    if (!function && !symbol->optional)
        return mn_fail(error, MONARCH_ERROR_UNSUPPORTED,
                       "the driver has no function %s; Vulkan 1.2 is needed", symbol->name);
    memcpy((char *)table + symbol->offset, &function, sizeof function);
    return MONARCH_OK;
}

monarch_status mn_vulkan_find_instance_functions(PFN_vkGetInstanceProcAddr find, VkInstance from,
                                                 mn_vulkan_instance_functions *vk,
                                                 monarch_error *error)
{
    for (size_t i = 0; i < sizeof instance_symbols / sizeof *instance_symbols; i++)
        MN_TRY(set_function(&instance_symbols[i], find(from, instance_symbols[i].name), vk, error));
    return MONARCH_OK;
}

monarch_status mn_vulkan_find_functions(PFN_vkGetDeviceProcAddr find, VkDevice from,
                                        mn_vulkan_functions *vk, monarch_error *error)
{
    for (size_t i = 0; i < sizeof device_symbols / sizeof *device_symbols; i++)
        MN_TRY(set_function(&device_symbols[i], find(from, device_symbols[i].name), vk, error));
    return MONARCH_OK;
}

static monarch_status make_instance(mn_vulkan_driver *driver, monarch_error *error)
{
    const VkApplicationInfo application = {
        .sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
        .pEngineName = "libmonarch",
        .apiVersion = VK_API_VERSION_1_3, /* the newest that is used where it is there */
    };
    const VkInstanceCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
        .pApplicationInfo = &application,
    };
    PFN_vkCreateInstance create =
        (PFN_vkCreateInstance)driver->get_instance_function(NULL, "vkCreateInstance");
    if (!create)
        return mn_fail(error, MONARCH_ERROR_UNSUPPORTED, "%s has no function vkCreateInstance",
                       library_name);
    MN_TRY(mn_vulkan_look(create(&info, NULL, &driver->instance), "vkCreateInstance", error));
    return mn_vulkan_find_instance_functions(driver->get_instance_function, driver->instance,
                                             &driver->vk, error);
}

monarch_status mn_vulkan_driver_open(const monarch_allocator *allocator, mn_vulkan_driver **out,
                                     monarch_error *error)
{
    mn_vulkan_driver *driver = mn_alloc(allocator, sizeof *driver);
    if (!driver)
        return mn_fail_memory(error, "the functions of the Vulkan loader");
    monarch_status status =
        mn_dynlib_open(library_name, loader_symbols, sizeof loader_symbols / sizeof *loader_symbols,
                       driver, &driver->library, error);
    if (status == MONARCH_OK)
        status = make_instance(driver, error);
    if (status != MONARCH_OK) {
        mn_vulkan_driver_close(driver, allocator, true);
        return status;
    }
    *out = driver;
    return MONARCH_OK;
}

void mn_vulkan_driver_close(mn_vulkan_driver *driver, const monarch_allocator *allocator,
                            bool driver_too)
{
    if (driver_too && driver->instance && driver->vk.destroy_instance)
        driver->vk.destroy_instance(driver->instance, NULL);
    if (driver_too) /* a child leaves even the loader alone */
        mn_dynlib_close(driver->library);
    mn_free(allocator, driver->devices);
    mn_free(allocator, driver);
}
