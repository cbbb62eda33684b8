/* SPDX-License-Identifier: Apache-2.0 */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backends/cpu/cpu.h"
#include "backends/cpu/variants.h"
#include "core/alloc.h"
#include "core/error.h"

/* The processors this process may run on, which a container may have cut. */
static uint32_t available_processors(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0)
        return (uint32_t)CPU_COUNT(&set);
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (uint32_t)online : 1;
}

static uint64_t physical_memory(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
    return pages > 0 && size > 0 ? (uint64_t)pages * (uint64_t)size : 0;
}

/* The processor's own name, where the system tells it. */
static void read_name(char *name, size_t capacity)
{
    char line[256];
    snprintf(name, capacity, "host processor");
    FILE *file = fopen("/proc/cpuinfo", "r");
    if (!file)
        return;
    while (fgets(line, sizeof line, file)) {
        char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) == 0 && colon) {
            colon[strcspn(colon, "\n")] = '\0';
            snprintf(name, capacity, "%s", colon + 1 + strspn(colon + 1, " \t"));
            break;
        }
    }
    fclose(file);
}

monarch_status mn_cpu_device_open(monarch_instance *instance, void *state, uint32_t index,
                                  monarch_device **out, monarch_error *error)
{
    (void)state;
    monarch_device *device = mn_alloc(&instance->allocator, sizeof *device);
    if (!device)
        return mn_fail_memory(error, "the cpu device");
    extern const mn_backend mn_cpu_backend;
    device->backend = &mn_cpu_backend;
    device->instance = instance;
    device->memory_kinds = 1u << MONARCH_MEMORY_HOST;
    /* Every intermediate is f32, the dtype of all arithmetic here. */
    monarch_device_info *info = &device->info;
    info->struct_size = (uint32_t)sizeof *info;
    info->index = index;
    snprintf(info->backend, sizeof info->backend, "cpu");
    read_name(info->name, sizeof info->name);
    snprintf(info->driver, sizeof info->driver, "libmonarch %s", monarch_version_string());
    mn_cpu_describe_isa(info);
    info->compute_units =
        instance->cpu_threads > 0 ? (uint32_t)instance->cpu_threads : available_processors();
    info->memory = physical_memory();
    *out = device;
    return MONARCH_OK;
}

void mn_cpu_device_close(monarch_device *device)
{
    mn_free(&device->instance->allocator, device);
}
