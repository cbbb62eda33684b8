/* SPDX-License-Identifier: Apache-2.0 */
#include <time.h>

#include "backends/vulkan/vulkan.h"

#include "core/error.h"

/*
 * Device time of a plan: one command buffer holds several samples, each of so many executions that
 * timestamps and the gap between samples hardly count, with a timestamp between samples:
 *
 *     sample | timestamp sample timestamp sample timestamp ...
 *
 * The first sample is there so that the device never waits for the host. A queue without timestamps
 * is timed by the host's clock.
 */

static const double least_seconds = 100e-6; /* of one sample */

enum {
    MOST_EXECUTIONS = 64, /* in one sample */
    PROBES = 4,           /* executions from which the length of one is judged */
    BATCH = 16            /* samples between two waits */
};

typedef struct timer {
    mn_vulkan_device *device;
    mn_vulkan_queue *queue;
    VkQueryPool pool;
    const monarch_plan *plan;
    const mn_bindings *bindings;
} timer;

static void record(const timer *t, VkCommandBuffer commands, uint32_t executions)
{
    for (uint32_t i = 0; i < executions; i++) {
        mn_vulkan_plan_record(t->plan, commands, t->bindings, mn_vulkan_queue_set(t->queue));
        mn_vulkan_barrier(&t->device->vk, commands);
    }
}

/* Up to BATCH samples. */
static monarch_status take_samples(const timer *t, uint32_t count, uint32_t executions,
                                   double *seconds, monarch_error *error)
{
    const mn_vulkan_functions *vk = &t->device->vk;
    const uint64_t mask = t->device->timestamp_bits < 64
                              ? (UINT64_C(1) << t->device->timestamp_bits) - 1
                              : UINT64_MAX;
    uint64_t stamps[BATCH + 1];
    VkCommandBuffer commands;
    MN_TRY(mn_vulkan_queue_begin(t->queue, &commands, error));
    mn_vulkan_plan_describe(t->plan, t->bindings, mn_vulkan_queue_set(t->queue));
    vk->cmd_reset_query_pool(commands, t->pool, 0, count + 1);
    record(t, commands, executions);
    for (uint32_t i = 0; i <= count; i++) {
        if (i > 0)
            record(t, commands, executions);
        vk->cmd_write_timestamp(commands, VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT, t->pool, i);
    }
    MN_TRY(mn_vulkan_queue_submit(t->queue, NULL, NULL, error));
    MN_TRY(mn_vulkan_queue_wait(&t->queue->base, error));
    MN_TRY(
        mn_vulkan_check(vk->get_query_results(t->device->handle, t->pool, 0, count + 1,
                                              (count + 1) * sizeof *stamps, stamps, sizeof *stamps,
                                              VK_QUERY_RESULT_64_BIT | VK_QUERY_RESULT_WAIT_BIT),
                        "vkGetQueryPoolResults", error));
    for (uint32_t i = 0; i < count; i++)
        seconds[i] = (double)((stamps[i + 1] - stamps[i]) & mask) * t->device->timestamp_seconds /
                     executions;
    return MONARCH_OK;
}

static monarch_status measure(const timer *t, uint32_t count, double *seconds, monarch_error *error)
{
    double probe = 0.0;
    MN_TRY(take_samples(t, 1, PROBES, &probe, error));
    double wanted = probe > 0.0 ? least_seconds / probe + 0.5 : MOST_EXECUTIONS;
    uint32_t executions = wanted < 1.0               ? 1
                          : wanted > MOST_EXECUTIONS ? MOST_EXECUTIONS
                                                     : (uint32_t)wanted;
    for (uint32_t done = 0; done < count; done += BATCH) {
        uint32_t batch = count - done < BATCH ? count - done : BATCH;
        MN_TRY(take_samples(t, batch, executions, seconds + done, error));
    }
    return MONARCH_OK;
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static monarch_status measure_on_host(const timer *t, uint32_t count, double *seconds,
                                      monarch_error *error)
{
    for (uint32_t i = 0; i < count; i++) {
        double start = now();
        MN_TRY(mn_vulkan_plan_enqueue(t->plan, &t->queue->base, t->bindings, error));
        MN_TRY(mn_vulkan_queue_wait(&t->queue->base, error));
        seconds[i] = now() - start;
    }
    return MONARCH_OK;
}

monarch_status mn_vulkan_plan_time(const monarch_plan *plan, monarch_queue *queue,
                                   const mn_bindings *bindings, uint32_t count, double *seconds,
                                   monarch_error *error)
{
    timer t = {.device = mn_vulkan_device_of(plan->device),
               .queue = (mn_vulkan_queue *)queue,
               .plan = plan,
               .bindings = bindings};
    const VkQueryPoolCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_QUERY_POOL_CREATE_INFO,
        .queryType = VK_QUERY_TYPE_TIMESTAMP,
        .queryCount = BATCH + 1,
    };
    if (count == 0)
        return MONARCH_OK;
    /* What the queue still has to do may write the inputs. */
    MN_TRY(mn_vulkan_queue_wait(queue, error));
    if (t.device->timestamp_bits == 0)
        return measure_on_host(&t, count, seconds, error);
    MN_TRY(mn_vulkan_check(t.device->vk.create_query_pool(t.device->handle, &info, NULL, &t.pool),
                           "vkCreateQueryPool", error));
    monarch_status status = measure(&t, count, seconds, error);
    if (status != MONARCH_OK) /* the samples may still be running */
        mn_vulkan_queue_wait(queue, NULL);
    t.device->vk.destroy_query_pool(t.device->handle, t.pool, NULL);
    return status;
}
