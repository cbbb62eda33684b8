/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Every OpenCL call failed in turn. Whatever the library was doing must say so with a status and
 * the name of the call (or, where it only frees, in the log), leak nothing, null its out-handle,
 * and work when it is asked again. Two failures are no errors: of the self test of variant matrix,
 * which the device then goes without, and of what only keeps a binary for the next process.
 */

#include <stdio.h>

#include <monarch/opencl.h>

#include "opencl_scene.h"

enum { TIMES = 2 };

/* What a run of all operations works on. */
typedef struct work {
    opencl_scene s;
    monarch_device *wrapped;
    monarch_queue *wrapped_queue;
    cl_context context;
    cl_device_id native;
    cl_command_queue mine; /* of the caller, out of order */
    cl_event event;
    char bytes[64];
    double seconds[TIMES];
    const char *variant;
} work;

static void *poison(void)
{
    static int somewhere;
    return &somewhere;
}

/* Calls of the test itself do not fail. */
static uint64_t disarm(void)
{
    uint64_t at = fake_opencl_state()->fail_at;
    fake_opencl_state()->fail_at = 0;
    return at;
}

/* ---- operations, in the order in which they run; each leaves what the next ones need ---- */

static monarch_status do_open(work *w, monarch_error *error)
{
    monarch_instance_params params = opencl_scene_params(&w->s);
    w->s.instance = poison();
    monarch_status status = monarch_instance_create(&params, &w->s.instance, error);
    if (status == MONARCH_OK)
        status = monarch_instance_find(w->s.instance, "opencl:0", &w->s.device, error);
    monarch_device *second;
    if (status == MONARCH_OK)
        status = monarch_instance_find(w->s.instance, "opencl:1", &second, error);
    if (status != MONARCH_OK)
        monarch_instance_destroy(&w->s.instance);
    return status;
}

static monarch_status do_context(work *w, monarch_error *error)
{
    w->context = poison();
    monarch_status status =
        monarch_opencl_device_context(w->s.device, &w->context, &w->native, error);
    assert_true((w->context != NULL) == (status == MONARCH_OK));
    return status;
}

static monarch_status do_queue(work *w, monarch_error *error)
{
    w->s.queue = poison();
    monarch_status status = monarch_queue_create(w->s.device, &w->s.queue, error);
    assert_true((w->s.queue != NULL) == (status == MONARCH_OK));
    return status;
}

static monarch_status do_plan(work *w, monarch_error *error)
{
    monarch_problem problem = opencl_scene_problem();
    monarch_plan_options options = monarch_plan_options_default();
    options.variant = w->variant;
    w->s.plan = poison();
    monarch_status status = monarch_plan_create(w->s.device, &problem, &options, &w->s.plan, error);
    assert_true((w->s.plan != NULL) == (status == MONARCH_OK));
    return status;
}

static monarch_status do_buffer(work *w, monarch_error *error)
{
    w->s.q = poison();
    monarch_status status =
        monarch_buffer_create(w->s.device, sizeof(uint16_t) * 5 * FIXTURE_Q, &w->s.q, error);
    assert_true((w->s.q != NULL) == (status == MONARCH_OK));
    return status;
}

static monarch_status do_workspace(work *w, monarch_error *error)
{
    monarch_plan_args *args = &w->s.args;
    monarch_status status = monarch_plan_workspace_create(w->s.plan, &w->s.workspace, error);
    *args = monarch_plan_args_default();
    args->q = args->k = args->v = monarch_buffer_memory(w->s.q, 0);
    args->mask = monarch_buffer_memory(w->s.q, 0);
    args->out = monarch_buffer_memory(w->s.q, sizeof(uint16_t) * 4 * FIXTURE_Q);
    args->workspace = monarch_buffer_memory(w->s.workspace, 0);
    return status;
}

static monarch_status do_write(work *w, monarch_error *error)
{
    return monarch_buffer_write(w->s.queue, w->s.q, 0, w->bytes, sizeof w->bytes, error);
}

static monarch_status do_execute(work *w, monarch_error *error)
{
    return monarch_plan_execute(w->s.plan, w->s.queue, &w->s.args, error);
}

static monarch_status do_wait(work *w, monarch_error *error)
{
    return monarch_queue_wait(w->s.queue, error);
}

static monarch_status do_read(work *w, monarch_error *error)
{
    return monarch_buffer_read(w->s.queue, w->s.q, 0, w->bytes, sizeof w->bytes, error);
}

static monarch_status do_time(work *w, monarch_error *error)
{
    return monarch_plan_time(w->s.plan, w->s.queue, &w->s.args, TIMES, w->seconds, error);
}

static monarch_status do_wrap_device(work *w, monarch_error *error)
{
    w->wrapped = poison();
    monarch_status status =
        monarch_opencl_device_wrap(w->s.instance, w->context, w->native, &w->wrapped, error);
    assert_true((w->wrapped != NULL) == (status == MONARCH_OK));
    return status;
}

/* The caller's own queue, on the context of the listed device, so that its plan can be used. */
static monarch_status do_mine(work *w, monarch_error *error)
{
    (void)error;
    cl_int result;
    uint64_t at = disarm();
    w->mine = clCreateCommandQueue(w->context, w->native, CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE,
                                   &result);
    fake_opencl_state()->fail_at = at;
    return MONARCH_OK;
}

static monarch_status do_wrap_queue(work *w, monarch_error *error)
{
    w->wrapped_queue = poison();
    monarch_status status =
        monarch_opencl_queue_wrap(w->s.device, w->mine, &w->wrapped_queue, error);
    assert_true((w->wrapped_queue != NULL) == (status == MONARCH_OK));
    return status;
}

static monarch_status do_ordered(work *w, monarch_error *error)
{
    return monarch_plan_execute(w->s.plan, w->wrapped_queue, &w->s.args, error);
}

static monarch_status do_events(work *w, monarch_error *error)
{
    cl_event event = poison();
    monarch_status status = monarch_opencl_plan_execute(w->s.plan, w->wrapped_queue, &w->s.args, 0,
                                                        NULL, &event, error);
    assert_true((event != NULL) == (status == MONARCH_OK));
    uint64_t at = disarm();
    if (event)
        clReleaseEvent(event);
    fake_opencl_state()->fail_at = at;
    return status;
}

static monarch_status do_close(work *w, monarch_error *error)
{
    (void)error;
    monarch_queue_destroy(&w->wrapped_queue);
    monarch_opencl_device_destroy(&w->wrapped);
    uint64_t at = disarm();
    clReleaseCommandQueue(w->mine);
    fake_opencl_state()->fail_at = at;
    monarch_buffer_destroy(&w->s.q);
    monarch_buffer_destroy(&w->s.workspace);
    monarch_plan_destroy(&w->s.plan);
    monarch_queue_destroy(&w->s.queue);
    monarch_instance_destroy(&w->s.instance);
    return MONARCH_OK;
}

typedef struct operation {
    const char *name;
    monarch_status (*run)(work *w, monarch_error *error);
} operation;

static const operation operations[] = {
    {"open", do_open},
    {"context", do_context},
    {"queue", do_queue},
    {"plan", do_plan},
    {"buffer", do_buffer},
    {"workspace", do_workspace},
    {"write", do_write},
    {"execute", do_execute},
    {"wait", do_wait},
    {"read", do_read},
    {"time", do_time},
    {"wrap device", do_wrap_device},
    {"a queue of the caller's", do_mine},
    {"wrap queue", do_wrap_queue},
    {"execute on a queue out of order", do_ordered},
    {"execute with events", do_events},
    {"close", do_close},
};

/* ---- the sweep ---- */

typedef struct failure {
    cl_int result;
    monarch_status status;
    const char *name;
} failure;

static int alive(void)
{
    const fake_live *live = &fake_opencl_state()->live;
    return live->contexts + live->queues + live->buffers + live->programs + live->kernels +
           live->events;
}

/* The failure must have been told, by status and message or in the log. */
static void check_told(const operation *op, const failure *f, monarch_status status,
                       const monarch_error *error, const char *log)
{
    const char *call = fake_opencl_state()->failed;
    bool in_message = status != MONARCH_OK && strstr(error->message, call);
    if (!in_message && !strstr(log, call))
        fail_msg("%s: %s failed, but neither message \"%s\" nor log \"%s\" says so", op->name, call,
                 status != MONARCH_OK ? error->message : "", log);
    if (!strstr(in_message ? error->message : log, f->name))
        fail_msg("%s: no %s in \"%s\"", op->name, f->name, in_message ? error->message : log);
    /* An instance goes on without what its driver cannot offer, and a device whose self test fails
       without that variant; a device that is only looked at has not run out of memory. */
    bool absent = (op->run == do_open || op->run == do_plan) && status == MONARCH_ERROR_UNSUPPORTED;
    bool looked = op->run == do_wrap_device && status == MONARCH_ERROR_NATIVE;
    if (status != MONARCH_OK && status != f->status && !absent && !looked)
        fail_msg("%s: %s failed: %s instead of %s", op->name, call, monarch_status_name(status),
                 monarch_status_name(f->status));
}

/* Whether the failure was one of the self test, whose answer stays. */
static bool is_probe(const operation *op, const work *w, monarch_status status)
{
    return op->run == do_plan && strcmp(w->variant, "matrix") == 0 &&
           status == MONARCH_ERROR_UNSUPPORTED;
}

/* Runs an operation, again if it failed; returns whether the one failing call fell into it. */
static bool run_operation(const operation *op, work *w, const failure *f)
{
    fake_opencl *fake = fake_opencl_state();
    bool armed = fake->fail_at > 0;
    int before = alive();
    monarch_error error = {MONARCH_OK, ""};
    monarch_status status = op->run(w, &error);
    bool failed = armed && fake->fail_at == 0;
    if (!failed) {
        fixture_ok(op->name, status, &error);
        return false;
    }
    check_told(op, f, status, &error, w->s.log);
    if (status == MONARCH_OK)
        return true;
    if (alive() != before && op->run != do_plan) /* programs stay for the next plan */
        fail_msg("%s: %s failed, and %d objects were left", op->name, fake->failed,
                 alive() - before);
    if (is_probe(op, w, status))
        w->variant = "tiled";
    fixture_ok(op->name, op->run(w, &error), &error);
    return true;
}

/* One run of everything, in which call `at` fails. Returns false when there are fewer calls. */
static bool run_all(const char *variant, uint64_t at, const failure *f)
{
    work w;
    fake_opencl_reset();
    memset(&w, 0, sizeof w);
    w.variant = variant;
    fake_opencl *fake = fake_opencl_state();
    fake->fail_at = at;
    fake->fail_with = f->result;
    bool failed = false;
    for (size_t i = 0; i < sizeof operations / sizeof *operations; i++)
        failed |= run_operation(&operations[i], &w, f);
    fake->fail_at = 0;
    assert_int_equal(w.s.allocations, 0);
    if (fake->misuses > 0)
        fail_msg("after a failure of %s: %s", fake->failed, fake->misuse);
    if (!failed || !strstr(fake->failed, "Release")) /* that object stays */
        assert_int_equal(alive(), 0);
    return failed;
}

static void sweep(const char *variant)
{
    static const failure failures[] = {
        {CL_INVALID_VALUE, MONARCH_ERROR_NATIVE, "CL_INVALID_VALUE"},
        {CL_MEM_OBJECT_ALLOCATION_FAILURE, MONARCH_ERROR_OUT_OF_MEMORY,
         "CL_MEM_OBJECT_ALLOCATION_FAILURE"},
        {CL_DEVICE_NOT_AVAILABLE, MONARCH_ERROR_DEVICE_LOST, "CL_DEVICE_NOT_AVAILABLE"},
    };
    for (size_t i = 0; i < sizeof failures / sizeof *failures; i++) {
        uint64_t calls = 0;
        while (run_all(variant, calls + 1, &failures[i]))
            calls++;
        print_message("%s: %d calls failed in turn with error %d\n", variant, (int)calls,
                      (int)failures[i].result);
        assert_true(calls > 60);
    }
}

static void test_sweep(void **state)
{
    (void)state;
    opencl_scene s;
    fake_opencl_reset();
    opencl_scene_open(&s);
    opencl_scene_variants(s.device, sweep);
    /* The sweep has reset the stand-in; what the scene holds is host memory alone. */
    monarch_instance_destroy(&s.instance);
    assert_int_equal(s.allocations, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sweep)};
    return cmocka_run_group_tests_name("opencl_failure", tests, NULL, NULL);
}
