/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>

#include <monarch/vulkan.h>

#include "backends/vulkan/vulkan.h"
#include "core/abi.h"
#include "core/arguments.h"
#include "core/error.h"

static monarch_status find_driver(const monarch_instance *instance, const mn_vulkan_driver **driver,
                                  monarch_error *error)
{
    const char *reason = "";
    for (uint32_t i = 0; i < instance->backend_count; i++) {
        const mn_backend_slot *slot = &instance->backends[i];
        if (slot->backend == &mn_vulkan_backend) {
            *driver = slot->state;
            return MONARCH_OK;
        }
        if (strcmp(slot->info.name, mn_vulkan_backend.name) == 0)
            reason = slot->info.reason;
    }
    return mn_fail(error, MONARCH_ERROR_UNSUPPORTED, "the vulkan backend is not offered: %s",
                   reason);
}

/* The caller's vkGetInstanceProcAddr, or that of the library's own loader. */
static monarch_status choose_loader(const monarch_instance *instance, monarch_vulkan_function given,
                                    PFN_vkGetInstanceProcAddr *find, monarch_error *error)
{
    const mn_vulkan_driver *driver = NULL;
    MN_TRY(mn_instance_check_process(instance, error));
    *find = (PFN_vkGetInstanceProcAddr)given;
    if (given)
        return MONARCH_OK;
    monarch_status status = find_driver(instance, &driver, error);
    if (driver)
        *find = driver->get_instance_function;
    return status;
}

static bool is_vulkan(const monarch_device *device)
{
    return device->backend == &mn_vulkan_backend;
}

static monarch_status check_device(const monarch_device *device, monarch_error *error)
{
    if (!device)
        return mn_fail_null(error, "device");
    MN_TRY(mn_instance_check_process(device->instance, error));
    if (!is_vulkan(device))
        return mn_fail(error, MONARCH_ERROR_INVALID_ARGUMENT,
                       "device is %s:%" PRIu32 "; it must be a vulkan device", device->info.backend,
                       device->info.index);
    return MONARCH_OK;
}

monarch_status monarch_vulkan_features(monarch_instance *instance, VkInstance vulkan,
                                       VkPhysicalDevice physical_device,
                                       monarch_vulkan_function get_instance_proc_addr,
                                       uint32_t *features, monarch_error *error)
{
    PFN_vkGetInstanceProcAddr find;
    mn_vulkan_instance_functions vk;
    if (!features)
        return mn_fail_null(error, "features");
    *features = 0;
    if (!instance)
        return mn_fail_null(error, "instance");
    if (!vulkan)
        return mn_fail_null(error, "vulkan");
    if (!physical_device)
        return mn_fail_null(error, "physical_device");
    MN_TRY(choose_loader(instance, get_instance_proc_addr, &find, error));
    MN_TRY(mn_vulkan_find_instance_functions(find, vulkan, &vk, error));
    return mn_vulkan_read_features(&vk, physical_device, &instance->allocator, features, error);
}

static monarch_status check_device_params(const monarch_vulkan_device_params *params,
                                          monarch_error *error)
{
    if (!params->instance)
        return mn_fail_null(error, "params.instance");
    if (!params->physical_device)
        return mn_fail_null(error, "params.physical_device");
    if (!params->device)
        return mn_fail_null(error, "params.device");
    if ((params->features & MONARCH_VULKAN_REQUIRED) != MONARCH_VULKAN_REQUIRED)
        return mn_fail(error, MONARCH_ERROR_INVALID_ARGUMENT,
                       "params.features is 0x%" PRIx32
                       "; it must hold all of MONARCH_VULKAN_REQUIRED (0x%x), and they must be "
                       "enabled on the device",
                       params->features, (unsigned)MONARCH_VULKAN_REQUIRED);
    return MONARCH_OK;
}

monarch_status monarch_vulkan_device_wrap(monarch_instance *instance,
                                          const monarch_vulkan_device_params *given,
                                          monarch_device **device, monarch_error *error)
{
    PFN_vkGetInstanceProcAddr find;
    monarch_vulkan_device_params params = monarch_vulkan_device_params_default();
    if (!device)
        return mn_fail_null(error, "device");
    *device = NULL;
    if (!instance)
        return mn_fail_null(error, "instance");
    if (!given)
        return mn_fail_null(error, "params");
    MN_TRY(mn_copy_struct("monarch_vulkan_device_params", given, &params, (uint32_t)sizeof params,
                          (uint32_t)sizeof params, error));
    MN_TRY(check_device_params(&params, error));
    MN_TRY(choose_loader(instance, params.get_instance_proc_addr, &find, error));
    return mn_vulkan_device_open_native(instance, &params, find, device, error);
}

void monarch_vulkan_device_destroy(monarch_device **device)
{
    if (!device || !*device || !is_vulkan(*device) || !mn_vulkan_device_of(*device)->wrapped)
        return;
    mn_vulkan_device_close(*device);
    *device = NULL;
}

monarch_status monarch_vulkan_queue_wrap(monarch_device *device,
                                         const monarch_vulkan_queue_params *given,
                                         monarch_queue **queue, monarch_error *error)
{
    monarch_vulkan_queue_params params = monarch_vulkan_queue_params_default();
    if (!queue)
        return mn_fail_null(error, "queue");
    *queue = NULL;
    if (!given)
        return mn_fail_null(error, "params");
    MN_TRY(mn_copy_struct("monarch_vulkan_queue_params", given, &params, (uint32_t)sizeof params,
                          (uint32_t)sizeof params, error));
    MN_TRY(check_device(device, error));
    if (!params.queue)
        return mn_fail_null(error, "params.queue");
    return mn_vulkan_queue_open_native(device, &params, queue, error);
}

monarch_status monarch_vulkan_plan_record(const monarch_plan *plan, VkCommandBuffer commands,
                                          const monarch_plan_args *args, monarch_error *error)
{
    mn_bindings bindings = {0};
    if (!plan)
        return mn_fail_null(error, "plan");
    if (!commands)
        return mn_fail_null(error, "commands");
    MN_TRY(check_device(plan->device, error));
    if (!mn_vulkan_device_limits(plan->device)->by_address)
        return mn_fail(error, MONARCH_ERROR_UNSUPPORTED,
                       "without MONARCH_VULKAN_INT64, MONARCH_VULKAN_DEVICE_ADDRESS and "
                       "MONARCH_VULKAN_SMALL_STORAGE an execution needs descriptors, which belong "
                       "to a queue: use monarch_vulkan_plan_submit or monarch_plan_execute");
    /* The checks of an execution; they want a queue only for its device. */
    monarch_queue queue = {plan->device};
    MN_TRY(mn_bind_arguments(plan, &queue, args, &bindings, error));
    if (bindings.run_count > 0)
        mn_vulkan_plan_record(plan, commands, &bindings, VK_NULL_HANDLE);
    return MONARCH_OK;
}

monarch_status monarch_vulkan_plan_submit(const monarch_plan *plan, monarch_queue *queue,
                                          const monarch_plan_args *args,
                                          const monarch_vulkan_timeline *wait,
                                          const monarch_vulkan_timeline *signal,
                                          monarch_error *error)
{
    mn_bindings bindings = {0};
    if (!plan)
        return mn_fail_null(error, "plan");
    MN_TRY(check_device(plan->device, error));
    MN_TRY(mn_bind_arguments(plan, queue, args, &bindings, error));
    return mn_vulkan_plan_submit(plan, queue, &bindings, wait, signal, error);
}

monarch_status monarch_vulkan_cache_save(monarch_device *base, void *data, size_t *size,
                                         monarch_error *error)
{
    if (!size)
        return mn_fail_null(error, "size");
    MN_TRY(check_device(base, error));
    return mn_vulkan_save_cache(mn_vulkan_device_of(base), data, size, error);
}

monarch_status monarch_vulkan_cache_load(monarch_device *base, const void *data, size_t size,
                                         monarch_error *error)
{
    if (!data)
        return mn_fail_null(error, "data");
    MN_TRY(check_device(base, error));
    return mn_vulkan_load_cache(mn_vulkan_device_of(base), data, size, error);
}

VkDevice monarch_vulkan_device_handle(const monarch_device *device)
{
    return device && is_vulkan(device) ? mn_vulkan_device_of(device)->handle : NULL;
}

VkQueue monarch_vulkan_queue_handle(const monarch_queue *queue)
{
    return queue && is_vulkan(queue->device) ? ((const mn_vulkan_queue *)queue)->handle : NULL;
}

VkBuffer monarch_vulkan_buffer_handle(const monarch_buffer *buffer)
{
    return buffer && is_vulkan(buffer->device) ? ((const mn_vulkan_buffer *)buffer)->memory.buffer
                                               : VK_NULL_HANDLE;
}
