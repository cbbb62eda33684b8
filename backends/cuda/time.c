/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/cuda/cuda.h"

#include "core/error.h"

/*
 * Device time of a plan. A graph of several executions is replayed on a stream of its own, replay
 * after replay without a gap for the host, and events between the replays tell the time:
 *
 *     graph | graph event graph event graph event ...
 *
 * Each time is that of one replay divided by its executions. There are so many that events, which
 * resolve about a microsecond, and the gap between replays hardly count; launching by the host is
 * not part of it, as it is not for an engine that replays a graph of its own.
 */

static const double least_seconds = 100e-6; /* of one replay */

enum {
    MOST_EXECUTIONS = 64, /* in one graph */
    PROBES = 4,           /* replays from which the length of an execution is judged */
    BATCH = 32            /* samples between two waits */
};

typedef struct timer {
    const mn_cuda_driver *driver;
    const monarch_instance *instance;
    CUstream stream;
    CUgraphExec graph;
    CUevent events[BATCH + 1];
} timer;

static monarch_status open_timer(timer *t, monarch_error *error)
{
    const mn_cuda_driver *driver = t->driver;
    MN_TRY(mn_cuda_check(driver, driver->stream_create(&t->stream, CU_STREAM_NON_BLOCKING),
                         "cuStreamCreate", error));
    for (int i = 0; i <= BATCH; i++)
        MN_TRY(mn_cuda_check(driver, driver->event_create(&t->events[i], CU_EVENT_DEFAULT),
                             "cuEventCreate", error));
    return MONARCH_OK;
}

static void free_graph(timer *t)
{
    if (t->graph)
        mn_cuda_warn(t->driver, t->instance, t->driver->graph_exec_destroy(t->graph),
                     "cuGraphExecDestroy");
    t->graph = NULL;
}

static void close_timer(timer *t)
{
    const mn_cuda_driver *driver = t->driver;
    if (t->stream) /* after a failure replays may still be running */
        mn_cuda_warn(driver, t->instance, driver->stream_synchronize(t->stream),
                     "cuStreamSynchronize");
    free_graph(t);
    for (int i = 0; i <= BATCH; i++)
        if (t->events[i])
            mn_cuda_warn(driver, t->instance, driver->event_destroy(t->events[i]),
                         "cuEventDestroy");
    if (t->stream)
        mn_cuda_warn(driver, t->instance, driver->stream_destroy(t->stream), "cuStreamDestroy");
}

/* Puts a graph of `executions` executions in the place of the one that is there. */
static monarch_status make_graph(timer *t, const monarch_plan *plan, const mn_bindings *bindings,
                                 uint32_t executions, monarch_error *error)
{
    const mn_cuda_driver *driver = t->driver;
    CUgraph graph = NULL;
    free_graph(t);
    /* Relaxed: what other threads do meanwhile is none of this capture's business. */
    MN_TRY(mn_cuda_check(driver,
                         driver->stream_begin_capture(t->stream, CU_STREAM_CAPTURE_MODE_RELAXED),
                         "cuStreamBeginCapture", error));
    monarch_status status = MONARCH_OK;
    for (uint32_t i = 0; i < executions && status == MONARCH_OK; i++)
        status = mn_cuda_plan_launch(plan, t->stream, bindings, error);
    CUresult ended = driver->stream_end_capture(t->stream, &graph);
    if (status == MONARCH_OK)
        status = mn_cuda_check(driver, ended, "cuStreamEndCapture", error);
    if (status == MONARCH_OK)
        status = mn_cuda_check(driver, driver->graph_instantiate(&t->graph, graph, 0),
                               "cuGraphInstantiate", error);
    if (graph)
        mn_cuda_warn(driver, t->instance, driver->graph_destroy(graph), "cuGraphDestroy");
    return status;
}

static monarch_status replay(const timer *t, uint32_t count, monarch_error *error)
{
    for (uint32_t i = 0; i < count; i++)
        MN_TRY(mn_cuda_check(t->driver, t->driver->graph_launch(t->graph, t->stream),
                             "cuGraphLaunch", error));
    return MONARCH_OK;
}

static monarch_status record(const timer *t, uint32_t event, monarch_error *error)
{
    return mn_cuda_check(t->driver, t->driver->event_record(t->events[event], t->stream),
                         "cuEventRecord", error);
}

/* Seconds from `event` to the next one, after waiting for that. */
static monarch_status elapsed(const timer *t, uint32_t event, double *seconds, monarch_error *error)
{
    float milliseconds = 0.0f;
    MN_TRY(mn_cuda_check(t->driver, t->driver->event_synchronize(t->events[event + 1]),
                         "cuEventSynchronize", error));
    MN_TRY(mn_cuda_check(
        t->driver,
        t->driver->event_elapsed_time(&milliseconds, t->events[event], t->events[event + 1]),
        "cuEventElapsedTime", error));
    *seconds = 1e-3 * (double)milliseconds;
    return MONARCH_OK;
}

/* How many executions make a replay long enough to be timed; the graph holds one. */
static monarch_status choose_executions(const timer *t, uint32_t *executions, monarch_error *error)
{
    double seconds = 0.0;
    MN_TRY(replay(t, PROBES, error));
    MN_TRY(record(t, 0, error));
    MN_TRY(replay(t, PROBES, error));
    MN_TRY(record(t, 1, error));
    MN_TRY(elapsed(t, 0, &seconds, error));
    double wanted = seconds > 0.0 ? PROBES * least_seconds / seconds : MOST_EXECUTIONS;
    *executions = wanted < 1.0               ? 1
                  : wanted > MOST_EXECUTIONS ? MOST_EXECUTIONS
                                             : (uint32_t)(wanted + 0.5);
    return MONARCH_OK;
}

/* Up to BATCH samples, with a replay before them so that the device never waits for the host. */
static monarch_status take_samples(const timer *t, uint32_t count, uint32_t executions,
                                   double *seconds, monarch_error *error)
{
    MN_TRY(replay(t, 1, error));
    MN_TRY(record(t, 0, error));
    for (uint32_t i = 0; i < count; i++) {
        MN_TRY(replay(t, 1, error));
        MN_TRY(record(t, i + 1, error));
    }
    for (uint32_t i = 0; i < count; i++) {
        MN_TRY(elapsed(t, i, &seconds[i], error));
        seconds[i] /= executions;
    }
    return MONARCH_OK;
}

static monarch_status measure(timer *t, const monarch_plan *plan, const mn_bindings *bindings,
                              uint32_t count, double *seconds, monarch_error *error)
{
    uint32_t executions = 1;
    MN_TRY(open_timer(t, error));
    MN_TRY(make_graph(t, plan, bindings, 1, error));
    MN_TRY(choose_executions(t, &executions, error));
    if (executions > 1)
        MN_TRY(make_graph(t, plan, bindings, executions, error));
    for (uint32_t done = 0; done < count; done += BATCH) {
        uint32_t batch = count - done < BATCH ? count - done : BATCH;
        MN_TRY(take_samples(t, batch, executions, seconds + done, error));
    }
    return MONARCH_OK;
}

monarch_status mn_cuda_plan_time(const monarch_plan *plan, monarch_queue *queue,
                                 const mn_bindings *bindings, uint32_t count, double *seconds,
                                 monarch_error *error)
{
    const mn_cuda_device *device = mn_cuda_device_of(plan->device);
    timer t = {.driver = device->driver, .instance = plan->device->instance};
    if (count == 0)
        return MONARCH_OK;
    bool pushed;
    MN_TRY(mn_cuda_push(device, &pushed, error));
    /* What the queue still has to do may write the inputs. */
    monarch_status status =
        mn_cuda_queue_drain((const mn_cuda_queue *)queue, "monarch_plan_time", error);
    if (status == MONARCH_OK) {
        status = measure(&t, plan, bindings, count, seconds, error);
        close_timer(&t);
    }
    return mn_cuda_leave(device, pushed, status, error);
}
