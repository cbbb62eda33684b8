/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>

#include "backends/vulkan/vulkan.h"
#include "core/alloc.h"
#include "core/error.h"

static mn_vulkan_device *make_device(monarch_instance *instance, monarch_error *error)
{
    mn_vulkan_device *device = mn_alloc(&instance->allocator, sizeof *device);
    if (!device) {
        mn_fail_memory(error, "a vulkan device");
        return NULL;
    }
    device->base.backend = &mn_vulkan_backend;
    device->base.instance = instance;
    device->base.memory_kinds = 1u << MONARCH_MEMORY_VULKAN;
    /* Means of keys, queries and values fit in the dtype that they are means of. */
    device->base.intermediate[MONARCH_F32] = MONARCH_F32;
    device->base.intermediate[MONARCH_F16] = MONARCH_F16;
    device->base.intermediate[MONARCH_BF16] = MONARCH_BF16;
    pthread_mutex_init(&device->mutex, NULL);
    pthread_mutex_init(&device->queue_mutex, NULL);
    pthread_mutex_init(&device->memory_mutex, NULL);
    return device;
}

monarch_status mn_vulkan_device_open(monarch_instance *instance, void *state, uint32_t index,
                                     monarch_device **out, monarch_error *error)
{
    const mn_vulkan_driver *driver = state;
    mn_vulkan_device *device = make_device(instance, error);
    if (!device)
        return MONARCH_ERROR_OUT_OF_MEMORY;
    device->instance_vk = driver->vk;
    device->physical = driver->devices[index];
    monarch_status status = mn_vulkan_read_features(
        &driver->vk, device->physical, &instance->allocator, &device->limits.features, error);
    if (status == MONARCH_OK)
        status = mn_vulkan_read_device(device, index, error);
    if (status != MONARCH_OK) {
        mn_vulkan_device_close(&device->base);
        return status;
    }
    *out = &device->base;
    return MONARCH_OK;
}

/* The number under which the library lists a physical device of its own; 0 for another's. */
static uint32_t index_of(const mn_vulkan_device *device)
{
    const monarch_instance *instance = device->base.instance;
    for (uint32_t i = 0; i < instance->device_count; i++) {
        const monarch_device *listed = instance->devices[i];
        if (listed->backend == &mn_vulkan_backend &&
            strcmp(listed->info.name, device->base.info.name) == 0)
            return listed->info.index;
    }
    return 0;
}

static monarch_status adopt(mn_vulkan_device *device, const monarch_vulkan_device_params *params,
                            PFN_vkGetInstanceProcAddr find, monarch_error *error)
{
    uint32_t has = 0;
    device->wrapped = true;
    device->physical = params->physical_device;
    device->queue_family = params->queue_family;
    device->given_cache = params->pipeline_cache;
    device->lock = params->lock;
    device->lock_user = params->lock_user;
    MN_TRY(mn_vulkan_find_instance_functions(find, params->instance, &device->instance_vk, error));
    MN_TRY(mn_vulkan_read_features(&device->instance_vk, device->physical,
                                   &device->base.instance->allocator, &has, error));
    if ((params->features & ~has) != 0)
        return mn_fail(error, MONARCH_ERROR_INVALID_ARGUMENT,
                       "params.features is 0x%" PRIx32 "; the physical device has only 0x%" PRIx32,
                       params->features, has);
    device->limits.features = params->features;
    MN_TRY(mn_vulkan_read_device(device, 0, error));
    device->base.info.index = index_of(device);
    device->handle = params->device;
    MN_TRY(mn_vulkan_find_functions(device->instance_vk.get_device_function, device->handle,
                                    &device->vk, error));
    device->vk.get_queue(device->handle, device->queue_family, params->queue_index, &device->queue);
    return mn_vulkan_start(device, error);
}

monarch_status mn_vulkan_device_open_native(monarch_instance *instance,
                                            const monarch_vulkan_device_params *params,
                                            PFN_vkGetInstanceProcAddr find, monarch_device **out,
                                            monarch_error *error)
{
    mn_vulkan_device *device = make_device(instance, error);
    if (!device)
        return MONARCH_ERROR_OUT_OF_MEMORY;
    monarch_status status = adopt(device, params, find, error);
    if (status != MONARCH_OK) {
        mn_vulkan_device_close(&device->base);
        return status;
    }
    *out = &device->base;
    return MONARCH_OK;
}

void mn_vulkan_device_close(monarch_device *base)
{
    mn_vulkan_device *device = mn_vulkan_device_of(base);
    const monarch_instance *instance = base->instance;
    bool forked = mn_instance_check_process(instance, NULL) != MONARCH_OK;
    mn_vulkan_release(device, !forked);
    if (!forked) { /* in a child another thread of the parent may seem to hold them */
        pthread_mutex_destroy(&device->mutex);
        pthread_mutex_destroy(&device->queue_mutex);
        pthread_mutex_destroy(&device->memory_mutex);
    }
    mn_free(&instance->allocator, device);
}

const mn_vulkan_limits *mn_vulkan_device_limits(const monarch_device *device)
{
    return &mn_vulkan_device_of(device)->limits;
}
