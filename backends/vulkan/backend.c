/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/vulkan/vulkan.h"

#include "core/alloc.h"
#include "core/error.h"

/* Discrete GPUs first, software last: "vulkan" stands for the first one. */
static int rank(VkPhysicalDeviceType type)
{
    switch (type) {
    case VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU:
        return 0;
    case VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU:
        return 1;
    case VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU:
        return 2;
    case VK_PHYSICAL_DEVICE_TYPE_CPU:
        return 4;
    default:
        return 3;
    }
}

static int rank_of(const mn_vulkan_driver *driver, VkPhysicalDevice device)
{
    VkPhysicalDeviceProperties2 properties = {.sType =
                                                  VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2};
    driver->vk.get_properties(device, &properties);
    return rank(properties.properties.deviceType);
}

/* Sorts by rank and keeps the driver's order otherwise; there are few of them. */
static void sort_devices(mn_vulkan_driver *driver)
{
    for (uint32_t i = 1; i < driver->count; i++) {
        VkPhysicalDevice device = driver->devices[i];
        uint32_t at = i;
        for (; at > 0 && rank_of(driver, driver->devices[at - 1]) > rank_of(driver, device); at--)
            driver->devices[at] = driver->devices[at - 1];
        driver->devices[at] = device;
    }
}

static monarch_status list_devices(mn_vulkan_driver *driver, const monarch_allocator *allocator,
                                   monarch_error *error)
{
    static const char call[] = "vkEnumeratePhysicalDevices";
    uint32_t count = 0;
    MN_TRY(mn_vulkan_look(driver->vk.enumerate_physical_devices(driver->instance, &count, NULL),
                          call, error));
    driver->devices = mn_alloc_array(allocator, count, sizeof *driver->devices);
    if (!driver->devices)
        return mn_fail_memory(error, "the list of devices");
    MN_TRY(mn_vulkan_look(
        driver->vk.enumerate_physical_devices(driver->instance, &count, driver->devices), call,
        error));
    driver->count = count;
    sort_devices(driver);
    return MONARCH_OK;
}

/* Opens the loader and counts devices; a VkDevice is made when something wants one. */
static monarch_status open_vulkan(monarch_instance *instance, void **state, uint32_t *device_count,
                                  monarch_error *error)
{
    mn_vulkan_driver *driver;
    MN_TRY(mn_vulkan_driver_open(&instance->allocator, &driver, error));
    monarch_status status = list_devices(driver, &instance->allocator, error);
    if (status != MONARCH_OK) {
        mn_vulkan_driver_close(driver, &instance->allocator, true);
        return status;
    }
    *state = driver;
    *device_count = driver->count;
    return MONARCH_OK;
}

static void close_vulkan(monarch_instance *instance, void *state)
{
    bool forked = mn_instance_check_process(instance, NULL) != MONARCH_OK;
    mn_vulkan_driver_close(state, &instance->allocator, !forked);
}

const mn_backend mn_vulkan_backend = {
    .abi = MN_BACKEND_ABI,
    .name = "vulkan",
    .open = open_vulkan,
    .close = close_vulkan,
    .device_open = mn_vulkan_device_open,
    .device_close = mn_vulkan_device_close,
    .select = mn_vulkan_select,
    .plan_build = mn_vulkan_plan_build,
    .plan_free = mn_vulkan_plan_free,
    .plan_enqueue = mn_vulkan_plan_enqueue,
    .plan_time = mn_vulkan_plan_time,
    .queue_create = mn_vulkan_queue_create,
    .queue_destroy = mn_vulkan_queue_destroy,
    .queue_wait = mn_vulkan_queue_wait,
    .buffer_create = mn_vulkan_buffer_create,
    .buffer_destroy = mn_vulkan_buffer_destroy,
    .buffer_write = mn_vulkan_buffer_write,
    .buffer_read = mn_vulkan_buffer_read,
};
