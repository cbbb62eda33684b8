/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/cuda/cuda.h"

#include "core/error.h"

/* Loads the driver and counts devices; contexts are made when something wants one. */
static monarch_status open_cuda(monarch_instance *instance, void **state, uint32_t *device_count,
                                monarch_error *error)
{
    mn_cuda_driver *driver;
    int count = 0;
    MN_TRY(mn_cuda_driver_open(&instance->allocator, &driver, error));
    monarch_status status =
        mn_cuda_check(driver, driver->device_get_count(&count), "cuDeviceGetCount", error);
    if (status != MONARCH_OK) {
        mn_cuda_driver_close(driver, &instance->allocator);
        return MONARCH_ERROR_NATIVE; /* whatever it was, the instance goes on without CUDA */
    }
    *state = driver;
    *device_count = (uint32_t)count;
    return MONARCH_OK;
}

static void close_cuda(monarch_instance *instance, void *state)
{
    mn_cuda_driver *driver = state;
    if (mn_instance_check_process(instance, NULL) != MONARCH_OK)
        driver->library = NULL; /* the child leaves even the loader alone */
    mn_cuda_driver_close(driver, &instance->allocator);
}

const mn_backend mn_cuda_backend = {
    .abi = MN_BACKEND_ABI,
    .name = "cuda",
    .open = open_cuda,
    .close = close_cuda,
    .device_open = mn_cuda_device_open,
    .device_close = mn_cuda_device_close,
    .select = mn_cuda_select,
    .plan_build = mn_cuda_plan_build,
    .plan_free = mn_cuda_plan_free,
    .plan_enqueue = mn_cuda_plan_enqueue,
    .plan_time = mn_cuda_plan_time,
    .queue_create = mn_cuda_queue_create,
    .queue_destroy = mn_cuda_queue_destroy,
    .queue_wait = mn_cuda_queue_wait,
    .buffer_create = mn_cuda_buffer_create,
    .buffer_destroy = mn_cuda_buffer_destroy,
    .buffer_write = mn_cuda_buffer_write,
    .buffer_read = mn_cuda_buffer_read,
};
