/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/cuda/cuda.h"

#include "core/error.h"

monarch_status mn_cuda_retain(mn_cuda_device *device, monarch_error *error)
{
    pthread_mutex_lock(&device->mutex);
    monarch_status status = MONARCH_OK;
    if (!device->context) {
        CUcontext context = NULL;
        status = mn_cuda_check(device->driver,
                               device->driver->primary_ctx_retain(&context, device->handle),
                               "cuDevicePrimaryCtxRetain", error);
        if (status == MONARCH_OK)
            device->context = context;
    }
    pthread_mutex_unlock(&device->mutex);
    return status;
}

/*
 * An engine's thread mostly has the context current already, and asking for it is cheaper than
 * pushing and popping. A driver that does not answer, as when what is current has been destroyed,
 * can still push.
 */
static bool is_current(const mn_cuda_device *device)
{
    CUcontext context = NULL;
    return device->driver->ctx_get_current(&context) == CUDA_SUCCESS && context == device->context;
}

monarch_status mn_cuda_enter(mn_cuda_device *device, bool *pushed, monarch_error *error)
{
    MN_TRY(mn_cuda_retain(device, error));
    return mn_cuda_push(device, pushed, error);
}

monarch_status mn_cuda_push(const mn_cuda_device *device, bool *pushed, monarch_error *error)
{
    *pushed = !is_current(device);
    if (!*pushed)
        return MONARCH_OK;
    return mn_cuda_check(device->driver, device->driver->ctx_push_current(device->context),
                         "cuCtxPushCurrent", error);
}

monarch_status mn_cuda_leave(const mn_cuda_device *device, bool pushed, monarch_status status,
                             monarch_error *error)
{
    CUcontext popped;
    CUresult result = pushed ? device->driver->ctx_pop_current(&popped) : CUDA_SUCCESS;
    if (status != MONARCH_OK) /* the first failure is the one to report */
        return status;
    return mn_cuda_check(device->driver, result, "cuCtxPopCurrent", error);
}

bool mn_cuda_enter_to_free(const mn_cuda_device *device, bool *pushed)
{
    const monarch_instance *instance = device->base.instance;
    *pushed = false;
    if (!device->context || mn_instance_check_process(instance, NULL) != MONARCH_OK)
        return false;
    if (is_current(device))
        return true;
    CUresult result = device->driver->ctx_push_current(device->context);
    mn_cuda_warn(device->driver, instance, result, "cuCtxPushCurrent");
    *pushed = result == CUDA_SUCCESS;
    return *pushed;
}

void mn_cuda_leave_after_free(const mn_cuda_device *device, bool pushed)
{
    CUcontext popped;
    if (pushed)
        mn_cuda_warn(device->driver, device->base.instance,
                     device->driver->ctx_pop_current(&popped), "cuCtxPopCurrent");
}
