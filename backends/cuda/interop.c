/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>

#include <monarch/cuda.h>

#include "backends/cuda/cuda.h"
#include "core/error.h"

static monarch_status find_driver(const monarch_instance *instance, const mn_cuda_driver **driver,
                                  monarch_error *error)
{
    const char *reason = "";
    for (uint32_t i = 0; i < instance->backend_count; i++) {
        const mn_backend_slot *slot = &instance->backends[i];
        if (slot->backend == &mn_cuda_backend) {
            *driver = slot->state;
            return MONARCH_OK;
        }
        if (strcmp(slot->info.name, mn_cuda_backend.name) == 0)
            reason = slot->info.reason;
    }
    return mn_fail(error, MONARCH_ERROR_UNSUPPORTED, "the cuda backend is not offered: %s", reason);
}

static bool is_cuda(const monarch_device *device)
{
    return device->backend == &mn_cuda_backend;
}

static monarch_status check_device(const monarch_device *device, monarch_error *error)
{
    if (!device)
        return mn_fail_null(error, "device");
    MN_TRY(mn_instance_check_process(device->instance, error));
    if (!is_cuda(device))
        return mn_fail(error, MONARCH_ERROR_INVALID_ARGUMENT,
                       "device is %s:%" PRIu32 "; it must be a cuda device", device->info.backend,
                       device->info.index);
    return MONARCH_OK;
}

monarch_status monarch_cuda_device_wrap(monarch_instance *instance, CUcontext context,
                                        monarch_device **device, monarch_error *error)
{
    const mn_cuda_driver *driver = NULL;
    if (!device)
        return mn_fail_null(error, "device");
    *device = NULL;
    if (!instance)
        return mn_fail_null(error, "instance");
    if (!context)
        return mn_fail_null(error, "context");
    MN_TRY(mn_instance_check_process(instance, error));
    MN_TRY(find_driver(instance, &driver, error));
    return mn_cuda_device_open_context(instance, driver, context, device, error);
}

void monarch_cuda_device_destroy(monarch_device **device)
{
    if (!device || !*device || !is_cuda(*device) || !mn_cuda_device_of(*device)->wrapped)
        return;
    mn_cuda_device_close(*device);
    *device = NULL;
}

monarch_status monarch_cuda_queue_wrap(monarch_device *device, CUstream stream,
                                       monarch_queue **queue, monarch_error *error)
{
    if (!queue)
        return mn_fail_null(error, "queue");
    *queue = NULL;
    MN_TRY(check_device(device, error));
    return mn_cuda_queue_open_stream(device, stream, queue, error);
}

monarch_status monarch_cuda_device_context(monarch_device *device, CUcontext *context,
                                           monarch_error *error)
{
    if (!context)
        return mn_fail_null(error, "context");
    *context = NULL;
    MN_TRY(check_device(device, error));
    MN_TRY(mn_cuda_retain(mn_cuda_device_of(device), error));
    *context = mn_cuda_device_of(device)->context;
    return MONARCH_OK;
}

CUstream monarch_cuda_queue_stream(const monarch_queue *queue)
{
    return queue && is_cuda(queue->device) ? ((const mn_cuda_queue *)queue)->stream : NULL;
}

CUdeviceptr monarch_cuda_buffer_pointer(const monarch_buffer *buffer)
{
    return buffer && is_cuda(buffer->device) ? ((const mn_cuda_buffer *)buffer)->pointer : 0;
}
