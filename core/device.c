/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "core/abi.h"
#include "core/backend.h"
#include "core/error.h"

uint32_t monarch_instance_backend_count(const monarch_instance *instance)
{
    return instance ? instance->backend_count : 0;
}

monarch_status monarch_instance_backend(const monarch_instance *instance, uint32_t index,
                                        monarch_backend_info *info, monarch_error *error)
{
    if (!instance)
        return mn_fail_null(error, "instance");
    if (!info)
        return mn_fail_null(error, "info");
    if (index >= instance->backend_count)
        return mn_fail(error, MONARCH_ERROR_INVALID_ARGUMENT,
                       "index is %" PRIu32 "; there are %" PRIu32 " backends", index,
                       instance->backend_count);
    return mn_copy_out("monarch_backend_info", info, &instance->backends[index].info,
                       (uint32_t)sizeof *info, error);
}

uint32_t monarch_instance_device_count(const monarch_instance *instance)
{
    return instance ? instance->device_count : 0;
}

monarch_device *monarch_instance_device(const monarch_instance *instance, uint32_t index)
{
    return instance && index < instance->device_count ? instance->devices[index] : NULL;
}

/* Reads the number behind the colon of "backend:number"; no colon means 0. */
static bool parse_index(const char *colon, unsigned long *index)
{
    *index = 0;
    if (*colon == '\0')
        return true;
    char *end;
    errno = 0;
    *index = strtoul(colon + 1, &end, 10);
    return colon[1] >= '0' && colon[1] <= '9' && *end == '\0' && errno == 0;
}

monarch_status monarch_instance_find(const monarch_instance *instance, const char *name,
                                     monarch_device **device, monarch_error *error)
{
    if (!device)
        return mn_fail_null(error, "device");
    *device = NULL;
    if (!instance)
        return mn_fail_null(error, "instance");
    if (!name)
        return mn_fail_null(error, "name");
    size_t length = strcspn(name, ":");
    const mn_backend_slot *slot = NULL;
    for (uint32_t i = 0; i < instance->backend_count; i++) {
        const char *known = instance->backends[i].info.name;
        if (strlen(known) == length && strncmp(known, name, length) == 0)
            slot = &instance->backends[i];
    }
    unsigned long index;
    if (!slot || !parse_index(name + length, &index))
        return mn_fail(error, MONARCH_ERROR_INVALID_ARGUMENT,
                       "there is no device \"%s\"; a device is cpu, cuda, opencl or vulkan, with "
                       ":number behind it for one that is not the first",
                       name);
    for (uint32_t i = 0; i < instance->device_count; i++) {
        monarch_device *candidate = instance->devices[i];
        if (candidate->backend == slot->backend && candidate->info.index == index) {
            *device = candidate;
            return MONARCH_OK;
        }
    }
    if (slot->info.device_count == 0)
        return mn_fail(error, MONARCH_ERROR_UNSUPPORTED, "device \"%s\" is not offered: %s", name,
                       slot->info.reason);
    return mn_fail(error, MONARCH_ERROR_UNSUPPORTED,
                   "device \"%s\" is not there; %s offers %" PRIu32 " device(s)", name,
                   slot->info.name, slot->info.device_count);
}

monarch_status monarch_device_info_get(const monarch_device *device, monarch_device_info *info,
                                       monarch_error *error)
{
    if (!device)
        return mn_fail_null(error, "device");
    if (!info)
        return mn_fail_null(error, "info");
    return mn_copy_out("monarch_device_info", info, &device->info, (uint32_t)sizeof *info, error);
}
