/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/cpu/cpu.h"

extern const mn_backend mn_cpu_backend;

/* There is one cpu device, whatever the machine: the processors that the process may run on. */
static monarch_status open_cpu(monarch_instance *instance, void **state, uint32_t *device_count,
                               monarch_error *error)
{
    (void)instance;
    (void)error;
    *state = NULL;
    *device_count = 1;
    return MONARCH_OK;
}

static void close_cpu(monarch_instance *instance, void *state)
{
    (void)instance;
    (void)state;
}

const mn_backend mn_cpu_backend = {
    .abi = MN_BACKEND_ABI,
    .name = "cpu",
    .open = open_cpu,
    .close = close_cpu,
    .device_open = mn_cpu_device_open,
    .device_close = mn_cpu_device_close,
    .select = mn_cpu_select,
    .plan_enqueue = mn_cpu_plan_enqueue,
    .queue_create = mn_cpu_queue_create,
    .queue_destroy = mn_cpu_queue_destroy,
    .queue_wait = mn_cpu_queue_wait,
    .buffer_create = mn_cpu_buffer_create,
    .buffer_destroy = mn_cpu_buffer_destroy,
    .buffer_write = mn_cpu_buffer_write,
    .buffer_read = mn_cpu_buffer_read,
};
