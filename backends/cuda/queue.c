/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/cuda/cuda.h"

#include "core/alloc.h"
#include "core/error.h"

static mn_cuda_queue *make_queue(monarch_device *device, CUstream stream, bool wrapped,
                                 monarch_error *error)
{
    mn_cuda_queue *queue = mn_alloc(&device->instance->allocator, sizeof *queue);
    if (!queue) {
        mn_fail_memory(error, "a queue");
        return NULL;
    }
    queue->base.device = device;
    queue->stream = stream;
    queue->wrapped = wrapped;
    return queue;
}

monarch_status mn_cuda_queue_create(monarch_device *base, monarch_queue **out, monarch_error *error)
{
    mn_cuda_device *device = mn_cuda_device_of(base);
    const mn_cuda_driver *driver = device->driver;
    mn_cuda_queue *queue = make_queue(base, NULL, false, error);
    if (!queue)
        return MONARCH_ERROR_OUT_OF_MEMORY;
    bool pushed;
    monarch_status status = mn_cuda_enter(device, &pushed, error);
    if (status == MONARCH_OK) {
        /* Non-blocking: nothing that others do on the legacy default stream waits for it. */
        status =
            mn_cuda_check(driver, driver->stream_create(&queue->stream, CU_STREAM_NON_BLOCKING),
                          "cuStreamCreate", error);
        status = mn_cuda_leave(device, pushed, status, error);
    }
    if (status != MONARCH_OK) {
        mn_cuda_queue_destroy(&queue->base);
        return status;
    }
    *out = &queue->base;
    return MONARCH_OK;
}

/* A stream of another context would fail at the first launch; say so where the mistake is. */
static monarch_status check_context(const mn_cuda_device *device, CUstream stream,
                                    monarch_error *error)
{
    CUcontext context = NULL;
    MN_TRY(mn_cuda_check(device->driver, device->driver->stream_get_ctx(stream, &context),
                         "cuStreamGetCtx", error));
    if (context == device->context)
        return MONARCH_OK;
    return mn_fail(error, MONARCH_ERROR_INVALID_ARGUMENT,
                   "stream belongs to another context than that of the device; see "
                   "monarch_cuda_device_context and monarch_cuda_device_wrap");
}

monarch_status mn_cuda_queue_open_stream(monarch_device *base, CUstream stream, monarch_queue **out,
                                         monarch_error *error)
{
    mn_cuda_device *device = mn_cuda_device_of(base);
    bool pushed;
    MN_TRY(mn_cuda_enter(device, &pushed, error));
    MN_TRY(mn_cuda_leave(device, pushed, check_context(device, stream, error), error));
    mn_cuda_queue *queue = make_queue(base, stream, true, error);
    if (!queue)
        return MONARCH_ERROR_OUT_OF_MEMORY;
    *out = &queue->base;
    return MONARCH_OK;
}

void mn_cuda_queue_destroy(monarch_queue *base)
{
    mn_cuda_queue *queue = (mn_cuda_queue *)base;
    const mn_cuda_device *device = mn_cuda_device_of(base->device);
    const monarch_instance *instance = base->device->instance;
    bool pushed;
    if (queue->stream && !queue->wrapped && mn_cuda_enter_to_free(device, &pushed)) {
        mn_cuda_warn(device->driver, instance, device->driver->stream_synchronize(queue->stream),
                     "cuStreamSynchronize");
        mn_cuda_warn(device->driver, instance, device->driver->stream_destroy(queue->stream),
                     "cuStreamDestroy");
        mn_cuda_leave_after_free(device, pushed);
    }
    mn_free(&instance->allocator, queue);
}

monarch_status mn_cuda_queue_refuse_capture(const mn_cuda_queue *queue, const char *call,
                                            monarch_error *error)
{
    const mn_cuda_driver *driver = mn_cuda_device_of(queue->base.device)->driver;
    CUstreamCaptureStatus capture = CU_STREAM_CAPTURE_STATUS_NONE;
    CUresult result = driver->stream_is_capturing(queue->stream, &capture);
    if (result == CUDA_ERROR_STREAM_CAPTURE_IMPLICIT) /* legacy stream, another one is captured */
        capture = CU_STREAM_CAPTURE_STATUS_ACTIVE;
    else
        MN_TRY(mn_cuda_check(driver, result, "cuStreamIsCapturing", error));
    if (capture == CU_STREAM_CAPTURE_STATUS_NONE)
        return MONARCH_OK;
    return mn_fail(error, MONARCH_ERROR_INVALID_ARGUMENT,
                   "the queue's stream is being captured; %s waits for the stream, which a capture "
                   "forbids: only monarch_plan_execute may be called until the capture ends",
                   call);
}

monarch_status mn_cuda_queue_drain(const mn_cuda_queue *queue, const char *call,
                                   monarch_error *error)
{
    const mn_cuda_driver *driver = mn_cuda_device_of(queue->base.device)->driver;
    MN_TRY(mn_cuda_queue_refuse_capture(queue, call, error));
    return mn_cuda_check(driver, driver->stream_synchronize(queue->stream), "cuStreamSynchronize",
                         error);
}

monarch_status mn_cuda_queue_wait(monarch_queue *base, monarch_error *error)
{
    const mn_cuda_device *device = mn_cuda_device_of(base->device);
    bool pushed;
    MN_TRY(mn_cuda_push(device, &pushed, error));
    monarch_status status =
        mn_cuda_queue_drain((const mn_cuda_queue *)base, "monarch_queue_wait", error);
    return mn_cuda_leave(device, pushed, status, error);
}
