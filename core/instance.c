/* SPDX-License-Identifier: Apache-2.0 */
#include "core/instance.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "core/abi.h"
#include "core/alloc.h"
#include "core/error.h"
#include "core/log.h"
#include "core/registry.h"

enum { MAX_CPU_THREADS = 1024 };

static void set_reason(monarch_backend_info *info, const char *reason)
{
    snprintf(info->reason, sizeof info->reason, "%s", reason);
}

/* Whether `name` stands in the comma-separated `list`; a NULL list holds every name. */
static bool is_listed(const char *list, const char *name)
{
    size_t length = strlen(name);
    for (const char *at = list; at; at = strchr(at, ',')) {
        at += *at == ',';
        size_t item = strcspn(at, ",");
        if (item == length && strncmp(at, name, length) == 0)
            return true;
    }
    return list == NULL;
}

static monarch_status check_list(const char *list, monarch_error *error)
{
    uint32_t count;
    const mn_registry_entry *entries = mn_registry(&count);
    for (const char *at = list; at; at = strchr(at, ',')) {
        at += *at == ',';
        size_t item = strcspn(at, ",");
        bool known = false;
        for (uint32_t i = 0; i < count; i++)
            known |= strlen(entries[i].name) == item && strncmp(at, entries[i].name, item) == 0;
        if (!known)
            return mn_fail(error, MONARCH_ERROR_INVALID_ARGUMENT,
                           "params.backends names \"%.*s\"; it must list names out of cpu, cuda, "
                           "opencl, vulkan with commas between",
                           (int)item, at);
    }
    return MONARCH_OK;
}

static monarch_status check_params(const monarch_instance_params *params, monarch_error *error)
{
    if (params->cpu_threads < 0 || params->cpu_threads > MAX_CPU_THREADS)
        return mn_fail(error, MONARCH_ERROR_INVALID_ARGUMENT,
                       "params.cpu_threads is %" PRId32 "; it must be from 0 (choose) to %d",
                       params->cpu_threads, MAX_CPU_THREADS);
    if (!params->allocator.allocate != !params->allocator.release)
        return mn_fail(error, MONARCH_ERROR_INVALID_ARGUMENT,
                       "params.allocator has only one of allocate and release; give both or none");
    return check_list(params->backends, error);
}

/*
 * Whether this process may open the driver of backend `index`: not one that was opened before a
 * fork(), whose threads are missing in the child and whose locks may be held for ever.
 */
static bool may_open(uint32_t index)
{
    static atomic_long opener[MN_BACKENDS];
    long first = 0, process = (long)getpid();
    return atomic_compare_exchange_strong(&opener[index], &first, process) || first == process;
}

/* Opens one backend; a backend that offers nothing keeps its reason and is no failure. */
static monarch_status open_backend(monarch_instance *instance, uint32_t index, const char *list)
{
    const mn_registry_entry *entry = mn_registry(&(uint32_t){0}) + index;
    mn_backend_slot *slot = &instance->backends[index];
    slot->info.struct_size = (uint32_t)sizeof slot->info;
    snprintf(slot->info.name, sizeof slot->info.name, "%s", entry->name);
    if (!entry->backend) {
        set_reason(&slot->info, entry->absent);
        return MONARCH_OK;
    }
    if (!is_listed(list, entry->name)) {
        set_reason(&slot->info, "not among the backends that the instance was asked to open");
        return MONARCH_OK;
    }
    if (entry->backend->abi != MN_BACKEND_ABI) {
        set_reason(&slot->info, "it was built for another version of the contract");
        return MONARCH_OK;
    }
    if (entry->has_driver && !may_open(index)) {
        set_reason(&slot->info, "this process was forked from one that had opened the driver, "
                                "which a child cannot use; start a program, or fork first");
        return MONARCH_OK;
    }
    monarch_error why = {MONARCH_OK, ""};
    uint32_t devices = 0;
    monarch_status status = entry->backend->open(instance, &slot->state, &devices, &why);
    if (status != MONARCH_OK) {
        set_reason(&slot->info, why.message);
        return status == MONARCH_ERROR_OUT_OF_MEMORY ? status : MONARCH_OK;
    }
    slot->backend = entry->backend;
    slot->info.device_count = devices;
    if (devices == 0)
        set_reason(&slot->info, "the driver lists no device");
    return MONARCH_OK;
}

static monarch_status open_backends(monarch_instance *instance, const char *list,
                                    monarch_error *error)
{
    uint32_t count;
    mn_registry(&count);
    instance->backends = mn_alloc_array(&instance->allocator, count, sizeof *instance->backends);
    if (!instance->backends)
        return mn_fail_memory(error, "the list of backends");
    for (uint32_t i = 0; i < count; i++) {
        instance->backend_count = i + 1;
        if (open_backend(instance, i, list) != MONARCH_OK)
            return mn_fail_memory(error, "a backend");
    }
    return MONARCH_OK;
}

/* A device that cannot be opened is left out, with a warning: the others still work. */
static monarch_status open_devices(monarch_instance *instance, monarch_error *error)
{
    uint32_t total = 0;
    for (uint32_t i = 0; i < instance->backend_count; i++)
        total += instance->backends[i].info.device_count;
    instance->devices = mn_alloc_array(&instance->allocator, total, sizeof *instance->devices);
    if (!instance->devices)
        return mn_fail_memory(error, "the list of devices");
    for (uint32_t i = 0; i < instance->backend_count; i++) {
        mn_backend_slot *slot = &instance->backends[i];
        uint32_t listed = slot->info.device_count;
        for (uint32_t d = 0; d < listed; d++) {
            monarch_error why = {MONARCH_OK, ""};
            monarch_device *device = NULL;
            monarch_status status =
                slot->backend->device_open(instance, slot->state, d, &device, &why);
            if (status == MONARCH_OK) {
                instance->devices[instance->device_count++] = device;
                continue;
            }
            if (status == MONARCH_ERROR_OUT_OF_MEMORY)
                return mn_fail_memory(error, "a device");
            mn_log(instance, MONARCH_LOG_WARNING, "%s:%" PRIu32 " is left out: %s", slot->info.name,
                   d, why.message);
            if (--slot->info.device_count == 0)
                set_reason(&slot->info, why.message);
        }
    }
    return MONARCH_OK;
}

monarch_status monarch_instance_create(const monarch_instance_params *given, monarch_instance **out,
                                       monarch_error *error)
{
    if (!out)
        return mn_fail_null(error, "instance");
    *out = NULL;
    monarch_instance_params params = monarch_instance_params_default();
    if (given)
        MN_TRY(mn_copy_struct("monarch_instance_params", given, &params, (uint32_t)sizeof params,
                              (uint32_t)sizeof params, error));
    MN_TRY(check_params(&params, error));
    monarch_allocator allocator =
        params.allocator.allocate ? params.allocator : mn_default_allocator();
    monarch_instance *instance = mn_alloc(&allocator, sizeof *instance);
    if (!instance)
        return mn_fail_memory(error, "the instance");
    instance->allocator = allocator;
    instance->log = params.log;
    instance->log_user = params.log_user;
    instance->cpu_threads = params.cpu_threads;
    instance->process = getpid();
    monarch_status status = open_backends(instance, params.backends, error);
    if (status == MONARCH_OK)
        status = open_devices(instance, error);
    if (status != MONARCH_OK)
        monarch_instance_destroy(&instance);
    *out = instance;
    return status;
}

void monarch_instance_destroy(monarch_instance **handle)
{
    if (!handle || !*handle)
        return;
    monarch_instance *instance = *handle;
    *handle = NULL;
    for (uint32_t i = 0; i < instance->device_count; i++)
        instance->devices[i]->backend->device_close(instance->devices[i]);
    for (uint32_t i = 0; i < instance->backend_count; i++)
        if (instance->backends[i].backend)
            instance->backends[i].backend->close(instance, instance->backends[i].state);
    monarch_allocator allocator = instance->allocator;
    mn_free(&allocator, instance->devices);
    mn_free(&allocator, instance->backends);
    mn_free(&allocator, instance);
}

monarch_status mn_instance_check_process(const monarch_instance *instance, monarch_error *error)
{
    if (getpid() == instance->process)
        return MONARCH_OK;
    return mn_fail(error, MONARCH_ERROR_FORKED,
                   "the process forked after the instance was created (by process %ld); create a "
                   "new instance after the fork",
                   (long)instance->process);
}
