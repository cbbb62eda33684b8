/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/cpu/cpu.h"

#include "core/alloc.h"
#include "core/error.h"

/* A queue owns its threads, so two queues never wait for each other. */

monarch_status mn_cpu_queue_create(monarch_device *device, monarch_queue **out,
                                   monarch_error *error)
{
    const monarch_allocator *allocator = &device->instance->allocator;
    mn_cpu_queue *queue = mn_alloc(allocator, sizeof *queue);
    if (!queue)
        return mn_fail_memory(error, "a queue");
    queue->base.device = device;
    monarch_status status =
        mn_team_create(device->info.compute_units, allocator, &queue->team, error);
    if (status != MONARCH_OK) {
        mn_free(allocator, queue);
        return status;
    }
    *out = &queue->base;
    return MONARCH_OK;
}

void mn_cpu_queue_destroy(monarch_queue *base)
{
    mn_cpu_queue *queue = (mn_cpu_queue *)base;
    const monarch_instance *instance = base->device->instance;
    int forked = mn_instance_check_process(instance, NULL) != MONARCH_OK;
    mn_team_destroy(queue->team, &instance->allocator, forked);
    mn_free(&instance->allocator, queue);
}

monarch_status mn_cpu_queue_wait(monarch_queue *queue, monarch_error *error)
{
    (void)queue; /* work is done when enqueue returns */
    (void)error;
    return MONARCH_OK;
}
