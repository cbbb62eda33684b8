/* SPDX-License-Identifier: Apache-2.0 */
#include <monarch/vulkan.h>

#include "core/error.h"

/* The public functions in a build without the backend. */

static monarch_status fail_absent(monarch_error *error)
{
    return mn_fail(error, MONARCH_ERROR_UNSUPPORTED, "this build has no vulkan backend");
}

monarch_status monarch_vulkan_features(monarch_instance *instance, VkInstance vulkan,
                                       VkPhysicalDevice physical_device,
                                       monarch_vulkan_function get_instance_proc_addr,
                                       uint32_t *features, monarch_error *error)
{
    (void)instance;
    (void)vulkan;
    (void)physical_device;
    (void)get_instance_proc_addr;
    if (!features)
        return mn_fail_null(error, "features");
    *features = 0;
    return fail_absent(error);
}

monarch_status monarch_vulkan_device_wrap(monarch_instance *instance,
                                          const monarch_vulkan_device_params *params,
                                          monarch_device **device, monarch_error *error)
{
    (void)instance;
    (void)params;
    if (!device)
        return mn_fail_null(error, "device");
    *device = NULL;
    return fail_absent(error);
}

void monarch_vulkan_device_destroy(monarch_device **device)
{
    (void)device; /* none was ever made */
}

monarch_status monarch_vulkan_queue_wrap(monarch_device *device,
                                         const monarch_vulkan_queue_params *params,
                                         monarch_queue **queue, monarch_error *error)
{
    (void)device;
    (void)params;
    if (!queue)
        return mn_fail_null(error, "queue");
    *queue = NULL;
    return fail_absent(error);
}

monarch_status monarch_vulkan_plan_record(const monarch_plan *plan, VkCommandBuffer commands,
                                          const monarch_plan_args *args, monarch_error *error)
{
    (void)plan;
    (void)commands;
    (void)args;
    return fail_absent(error);
}

monarch_status monarch_vulkan_plan_submit(const monarch_plan *plan, monarch_queue *queue,
                                          const monarch_plan_args *args,
                                          const monarch_vulkan_timeline *wait,
                                          const monarch_vulkan_timeline *signal,
                                          monarch_error *error)
{
    (void)plan;
    (void)queue;
    (void)args;
    (void)wait;
    (void)signal;
    return fail_absent(error);
}

monarch_status monarch_vulkan_cache_save(monarch_device *device, void *data, size_t *size,
                                         monarch_error *error)
{
    (void)device;
    (void)data;
    (void)size;
    return fail_absent(error);
}

monarch_status monarch_vulkan_cache_load(monarch_device *device, const void *data, size_t size,
                                         monarch_error *error)
{
    (void)device;
    (void)data;
    (void)size;
    return fail_absent(error);
}

VkDevice monarch_vulkan_device_handle(const monarch_device *device)
{
    (void)device;
    return NULL;
}

VkQueue monarch_vulkan_queue_handle(const monarch_queue *queue)
{
    (void)queue;
    return NULL;
}

VkBuffer monarch_vulkan_buffer_handle(const monarch_buffer *buffer)
{
    (void)buffer;
    return 0;
}
