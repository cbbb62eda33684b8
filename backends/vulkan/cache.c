/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>

#include "backends/vulkan/vulkan.h"
#include "core/error.h"

/* What the driver has compiled, as data that the caller keeps. */

monarch_status mn_vulkan_save_cache(mn_vulkan_device *device, void *data, size_t *size,
                                    monarch_error *error)
{
    static const char call[] = "vkGetPipelineCacheData";
    const mn_vulkan_functions *vk = &device->vk;
    size_t needed = 0;
    MN_TRY(mn_vulkan_retain(device, error));
    pthread_mutex_lock(&device->mutex);
    VkPipelineCache cache = device->given_cache ? device->given_cache : device->cache;
    pthread_mutex_unlock(&device->mutex);
    if (!cache) { /* nothing was compiled yet */
        *size = 0;
        return MONARCH_OK;
    }
    MN_TRY(mn_vulkan_check(vk->get_pipeline_cache_data(device->handle, cache, &needed, NULL), call,
                           error));
    if (data && *size < needed)
        return mn_fail(error, MONARCH_ERROR_INVALID_ARGUMENT,
                       "*size is %zu; the data takes %zu bytes", *size, needed);
    *size = needed;
    if (!data)
        return MONARCH_OK;
    return mn_vulkan_check(vk->get_pipeline_cache_data(device->handle, cache, size, data), call,
                           error);
}

/* Drivers trust what follows a header that they take for theirs, so see that it is one at all. */
static monarch_status check_header(const void *data, size_t size, monarch_error *error)
{
    VkPipelineCacheHeaderVersionOne header;
    if (size >= sizeof header) {
        memcpy(&header, data, sizeof header);
        if (header.headerSize >= sizeof header && header.headerSize <= size &&
            header.headerVersion == VK_PIPELINE_CACHE_HEADER_VERSION_ONE)
            return MONARCH_OK;
    }
    return mn_fail(error, MONARCH_ERROR_INVALID_ARGUMENT,
                   "data (%zu bytes) is not what monarch_vulkan_cache_save wrote", size);
}

monarch_status mn_vulkan_load_cache(mn_vulkan_device *device, const void *data, size_t size,
                                    monarch_error *error)
{
    MN_TRY(check_header(data, size, error));
    MN_TRY(mn_vulkan_retain(device, error));
    pthread_mutex_lock(&device->mutex);
    monarch_status status =
        device->cache || device->given_cache
            ? mn_fail(error, MONARCH_ERROR_INVALID_ARGUMENT,
                      "the device has a pipeline cache already; load before the first plan")
            : mn_vulkan_make_cache(device, data, size, &device->cache, error);
    pthread_mutex_unlock(&device->mutex);
    return status;
}
