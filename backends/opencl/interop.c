/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>

#include "backends/opencl/opencl.h"
#include "core/abi.h"
#include "core/alloc.h"
#include "core/arguments.h"
#include "core/error.h"

static monarch_status find_driver(const monarch_instance *instance, const mn_opencl_driver **driver,
                                  monarch_error *error)
{
    const char *reason = "";
    for (uint32_t i = 0; i < instance->backend_count; i++) {
        const mn_backend_slot *slot = &instance->backends[i];
        if (slot->backend == &mn_opencl_backend) {
            *driver = slot->state;
            return MONARCH_OK;
        }
        if (strcmp(slot->info.name, mn_opencl_backend.name) == 0)
            reason = slot->info.reason;
    }
    return mn_fail(error, MONARCH_ERROR_UNSUPPORTED, "the opencl backend is not offered: %s",
                   reason);
}

static bool is_opencl(const monarch_device *device)
{
    return device->backend == &mn_opencl_backend;
}

static monarch_status check_device(const monarch_device *device, monarch_error *error)
{
    if (!device)
        return mn_fail_null(error, "device");
    MN_TRY(mn_instance_check_process(device->instance, error));
    if (!is_opencl(device))
        return mn_fail(error, MONARCH_ERROR_INVALID_ARGUMENT,
                       "device is %s:%" PRIu32 "; it must be an opencl device",
                       device->info.backend, device->info.index);
    return MONARCH_OK;
}

monarch_status monarch_opencl_device_wrap(monarch_instance *instance, cl_context context,
                                          cl_device_id native, monarch_device **device,
                                          monarch_error *error)
{
    const mn_opencl_driver *driver = NULL;
    if (!device)
        return mn_fail_null(error, "device");
    *device = NULL;
    if (!instance)
        return mn_fail_null(error, "instance");
    if (!context)
        return mn_fail_null(error, "context");
    if (!native)
        return mn_fail_null(error, "native");
    MN_TRY(mn_instance_check_process(instance, error));
    MN_TRY(find_driver(instance, &driver, error));
    return mn_opencl_device_open_context(instance, driver, context, native, device, error);
}

void monarch_opencl_device_destroy(monarch_device **device)
{
    if (!device || !*device || !is_opencl(*device) || !mn_opencl_device_of(*device)->wrapped)
        return;
    mn_opencl_device_close(*device);
    *device = NULL;
}

monarch_status monarch_opencl_queue_wrap(monarch_device *device, cl_command_queue native,
                                         monarch_queue **queue, monarch_error *error)
{
    if (!queue)
        return mn_fail_null(error, "queue");
    *queue = NULL;
    MN_TRY(check_device(device, error));
    if (!native)
        return mn_fail_null(error, "native");
    return mn_opencl_queue_open(device, native, queue, error);
}

monarch_status monarch_opencl_device_context(monarch_device *device, cl_context *context,
                                             cl_device_id *native, monarch_error *error)
{
    if (!context)
        return mn_fail_null(error, "context");
    *context = NULL;
    if (native)
        *native = NULL;
    MN_TRY(check_device(device, error));
    MN_TRY(mn_opencl_retain(mn_opencl_device_of(device), error));
    *context = mn_opencl_device_of(device)->context;
    if (native)
        *native = mn_opencl_device_of(device)->handle;
    return MONARCH_OK;
}

monarch_status monarch_opencl_device_set_cache(monarch_device *base,
                                               const monarch_opencl_cache *given,
                                               monarch_error *error)
{
    monarch_opencl_cache cache = {0};
    MN_TRY(check_device(base, error));
    if (given)
        MN_TRY(mn_copy_struct("monarch_opencl_cache", given, &cache, (uint32_t)sizeof cache,
                              (uint32_t)sizeof cache, error));
    if (!cache.load != !cache.store || (cache.load && cache.directory))
        return mn_fail(error, MONARCH_ERROR_INVALID_ARGUMENT,
                       "cache needs either a directory, or both of load and store, or nothing");
    mn_opencl_device *device = mn_opencl_device_of(base);
    const monarch_allocator *allocator = &base->instance->allocator;
    char *directory = NULL;
    if (cache.directory) {
        directory = mn_alloc(allocator, strlen(cache.directory) + 1);
        if (!directory)
            return mn_fail_memory(error, "the name of the cache's directory");
        memcpy(directory, cache.directory, strlen(cache.directory) + 1);
    }
    pthread_mutex_lock(&device->mutex);
    mn_free(allocator, (void *)(uintptr_t)device->cache.directory);
    device->cache = cache;
    device->cache.directory = directory;
    pthread_mutex_unlock(&device->mutex);
    return MONARCH_OK;
}

/* The event of an execution in which there is nothing to do. */
static monarch_status mark(const mn_opencl_queue *queue, const mn_opencl_events *events,
                           monarch_error *error)
{
    const mn_opencl_driver *driver = mn_opencl_device_of(queue->base.device)->driver;
    if (!events->end)
        return MONARCH_OK;
    return mn_opencl_check(driver->enqueue_marker_with_wait_list(queue->queue, events->wait_count,
                                                                 events->wait, events->end),
                           "clEnqueueMarkerWithWaitList", error);
}

monarch_status monarch_opencl_plan_execute(const monarch_plan *plan, monarch_queue *queue,
                                           const monarch_plan_args *args, uint32_t wait_count,
                                           const cl_event *wait, cl_event *event,
                                           monarch_error *error)
{
    mn_bindings bindings = {0};
    if (event)
        *event = NULL;
    if (!plan)
        return mn_fail_null(error, "plan");
    MN_TRY(check_device(plan->device, error));
    if (wait_count > 0 && !wait)
        return mn_fail_null(error, "wait");
    MN_TRY(mn_bind_arguments(plan, queue, args, &bindings, error));
    const mn_opencl_events events = {
        .wait_count = wait_count, .wait = wait_count > 0 ? wait : NULL, .end = event};
    const mn_opencl_queue *native = (const mn_opencl_queue *)queue;
    if (bindings.run_count == 0)
        return mark(native, &events, error);
    return mn_opencl_plan_launch(plan, native, &bindings, &events, error);
}

cl_command_queue monarch_opencl_queue_native(const monarch_queue *queue)
{
    return queue && is_opencl(queue->device) ? ((const mn_opencl_queue *)queue)->queue : NULL;
}

cl_mem monarch_opencl_buffer_native(const monarch_buffer *buffer)
{
    return buffer && is_opencl(buffer->device) ? ((const mn_opencl_buffer *)buffer)->memory : NULL;
}
