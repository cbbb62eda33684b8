/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/opencl/opencl.h"

#include "core/error.h"

/* Loads the ICD loader and lists devices; contexts are made when something wants one. */
static monarch_status open_opencl(monarch_instance *instance, void **state, uint32_t *device_count,
                                  monarch_error *error)
{
    mn_opencl_driver *driver;
    MN_TRY(mn_opencl_driver_open(&instance->allocator, &driver, error));
    *state = driver;
    *device_count = driver->device_count;
    return MONARCH_OK;
}

static void close_opencl(monarch_instance *instance, void *state)
{
    mn_opencl_driver *driver = state;
    if (mn_instance_check_process(instance, NULL) != MONARCH_OK)
        driver->library = NULL; /* the child leaves even the loader alone */
    mn_opencl_driver_close(driver, &instance->allocator);
}

const mn_backend mn_opencl_backend = {
    .abi = MN_BACKEND_ABI,
    .name = "opencl",
    .open = open_opencl,
    .close = close_opencl,
    .device_open = mn_opencl_device_open,
    .device_close = mn_opencl_device_close,
    .select = mn_opencl_select,
    .plan_build = mn_opencl_plan_build,
    .plan_free = mn_opencl_plan_free,
    .plan_enqueue = mn_opencl_plan_enqueue,
    .plan_time = mn_opencl_plan_time,
    .queue_create = mn_opencl_queue_create,
    .queue_destroy = mn_opencl_queue_destroy,
    .queue_wait = mn_opencl_queue_wait,
    .buffer_create = mn_opencl_buffer_create,
    .buffer_destroy = mn_opencl_buffer_destroy,
    .buffer_write = mn_opencl_buffer_write,
    .buffer_read = mn_opencl_buffer_read,
};
