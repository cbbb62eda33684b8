/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_VULKAN_LOADER_H
#define MN_VULKAN_LOADER_H

#include <stdbool.h>

#include "backends/vulkan/khr.h"
#include "core/instance.h"

/* The functions that an instance offers. */
typedef struct mn_vulkan_instance_functions {
    PFN_vkDestroyInstance destroy_instance;
    PFN_vkEnumeratePhysicalDevices enumerate_physical_devices;
    PFN_vkEnumerateDeviceExtensionProperties enumerate_extensions;
    PFN_vkGetPhysicalDeviceProperties2 get_properties;
    PFN_vkGetPhysicalDeviceFeatures2 get_features;
    PFN_vkGetPhysicalDeviceMemoryProperties get_memory_properties;
    PFN_vkGetPhysicalDeviceQueueFamilyProperties get_queue_families;
    PFN_vkCreateDevice create_device;
    PFN_vkGetDeviceProcAddr get_device_function;
    mn_vk_get_cooperative_matrices get_cooperative_matrices; /* NULL without the extension */
} mn_vulkan_instance_functions;

/* The functions that a device offers. */
typedef struct mn_vulkan_functions {
    PFN_vkDestroyDevice destroy_device;
    PFN_vkGetDeviceQueue get_queue;
    PFN_vkQueueSubmit queue_submit;
    PFN_vkCreateSemaphore create_semaphore;
    PFN_vkDestroySemaphore destroy_semaphore;
    PFN_vkWaitSemaphores wait_semaphores;
    PFN_vkCreateCommandPool create_command_pool;
    PFN_vkDestroyCommandPool destroy_command_pool;
    PFN_vkAllocateCommandBuffers allocate_command_buffers;
    PFN_vkBeginCommandBuffer begin_command_buffer;
    PFN_vkEndCommandBuffer end_command_buffer;
    PFN_vkCmdBindPipeline cmd_bind_pipeline;
    PFN_vkCmdPushConstants cmd_push_constants;
    PFN_vkCmdDispatch cmd_dispatch;
    PFN_vkCmdPipelineBarrier cmd_pipeline_barrier;
    PFN_vkCmdCopyBuffer cmd_copy_buffer;
    PFN_vkCmdResetQueryPool cmd_reset_query_pool;
    PFN_vkCmdWriteTimestamp cmd_write_timestamp;
    PFN_vkCreateQueryPool create_query_pool;
    PFN_vkDestroyQueryPool destroy_query_pool;
    PFN_vkGetQueryPoolResults get_query_results;
    PFN_vkCreateBuffer create_buffer;
    PFN_vkDestroyBuffer destroy_buffer;
    PFN_vkGetBufferMemoryRequirements get_buffer_requirements;
    PFN_vkGetBufferDeviceAddress get_buffer_address;
    PFN_vkAllocateMemory allocate_memory;
    PFN_vkFreeMemory free_memory;
    PFN_vkBindBufferMemory bind_buffer_memory;
    PFN_vkMapMemory map_memory;
    PFN_vkCreateShaderModule create_shader_module;
    PFN_vkDestroyShaderModule destroy_shader_module;
    PFN_vkCreateDescriptorSetLayout create_set_layout;
    PFN_vkDestroyDescriptorSetLayout destroy_set_layout;
    PFN_vkCreateDescriptorPool create_descriptor_pool;
    PFN_vkDestroyDescriptorPool destroy_descriptor_pool;
    PFN_vkAllocateDescriptorSets allocate_sets;
    PFN_vkUpdateDescriptorSets update_sets;
    PFN_vkCmdBindDescriptorSets cmd_bind_sets;
    PFN_vkCreatePipelineLayout create_pipeline_layout;
    PFN_vkDestroyPipelineLayout destroy_pipeline_layout;
    PFN_vkCreateComputePipelines create_compute_pipelines;
    PFN_vkDestroyPipeline destroy_pipeline;
    PFN_vkCreatePipelineCache create_pipeline_cache;
    PFN_vkDestroyPipelineCache destroy_pipeline_cache;
    PFN_vkGetPipelineCacheData get_pipeline_cache_data;
} mn_vulkan_functions;

/* The loader libvulkan, opened at run time, and the instance that the backend makes there. */
typedef struct mn_vulkan_driver {
    void *library;
    PFN_vkGetInstanceProcAddr get_instance_function;
    VkInstance instance;
    mn_vulkan_instance_functions vk;
    uint32_t count;
    VkPhysicalDevice *devices; /* those that an instance lists: GPUs before software */
} mn_vulkan_driver;

/* Opens libvulkan and makes an instance. Errors: UNSUPPORTED or NATIVE with the reason,
   OUT_OF_MEMORY of the host only. */
monarch_status mn_vulkan_driver_open(const monarch_allocator *allocator, mn_vulkan_driver **driver,
                                     monarch_error *error);
/* `driver_too` is false in a forked child. */
void mn_vulkan_driver_close(mn_vulkan_driver *driver, const monarch_allocator *allocator,
                            bool driver_too);

/* Fill the tables. Errors: UNSUPPORTED with the name of the function that is not there. */
monarch_status mn_vulkan_find_instance_functions(PFN_vkGetInstanceProcAddr find, VkInstance from,
                                                 mn_vulkan_instance_functions *vk,
                                                 monarch_error *error);
monarch_status mn_vulkan_find_functions(PFN_vkGetDeviceProcAddr find, VkDevice from,
                                        mn_vulkan_functions *vk, monarch_error *error);

/*
 * OK, or an error that names the call and gives Vulkan's name for the result: OUT_OF_MEMORY where
 * host or device has no memory left, DEVICE_LOST where the device is lost, else NATIVE.
 */
monarch_status mn_vulkan_check(VkResult result, const char *call, monarch_error *error);

/* The same for calls that only look at a device: it is the host's memory alone whose end fails an
   instance, so a driver that says it is out of memory has simply failed. */
monarch_status mn_vulkan_look(VkResult result, const char *call, monarch_error *error);

/* The same for calls whose failure nobody can be told: a warning for the log. */
void mn_vulkan_warn(const monarch_instance *instance, VkResult result, const char *call);

#endif
