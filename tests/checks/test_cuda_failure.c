/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Every driver call failed in turn, on a thread without a context and on one that has the device's
 * current. Whatever the library was doing must say so with a status and the name of the call (or,
 * where it only frees, in the log), put the thread's context back, leak nothing, null its
 * out-handle, and work when it is asked again. Only where the driver does not tell what is current
 * does the library go on, by pushing.
 */

#include <stdio.h>

#include <monarch/cuda.h>

#include "cuda_scene.h"

enum { TIMES = 2 };

/* What a run of all operations works on. */
typedef struct work {
    cuda_scene s;
    monarch_device *wrapped;
    monarch_queue *wrapped_queue;
    CUcontext mine;
    CUstream stream; /* of the caller, in the first device's context */
    char bytes[64];
    double seconds[TIMES];
    const char *variant;
    bool current; /* make the device's context current once it is there */
} work;

static void *poison(void)
{
    static int somewhere;
    return &somewhere;
}

/* ---- operations, in the order in which they run; each leaves what the next ones need ---- */

static monarch_status do_open(work *w, monarch_error *error)
{
    monarch_instance_params params = cuda_scene_params(&w->s);
    w->s.instance = poison();
    monarch_status status = monarch_instance_create(&params, &w->s.instance, error);
    if (status == MONARCH_OK)
        status = monarch_instance_find(w->s.instance, "cuda:0", &w->s.device, error);
    monarch_device *second;
    if (status == MONARCH_OK)
        status = monarch_instance_find(w->s.instance, "cuda:1", &second, error);
    if (status != MONARCH_OK)
        monarch_instance_destroy(&w->s.instance);
    return status;
}

static monarch_status do_context(work *w, monarch_error *error)
{
    CUcontext context = poison();
    monarch_status status = monarch_cuda_device_context(w->s.device, &context, error);
    assert_true((context != NULL) == (status == MONARCH_OK));
    if (status == MONARCH_OK && w->current) {
        uint64_t fail_at = fake_cuda_state()->fail_at; /* of the library's calls alone */
        fake_cuda_state()->fail_at = 0;
        assert_int_equal(cuCtxPushCurrent(context), CUDA_SUCCESS);
        fake_cuda_state()->fail_at = fail_at;
    }
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
    monarch_problem problem = cuda_scene_problem(w->variant);
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
    monarch_status status = monarch_buffer_create(
        w->s.device, sizeof(uint16_t) * 5 * cuda_scene_elements(w->variant), &w->s.q, error);
    assert_true((w->s.q != NULL) == (status == MONARCH_OK));
    return status;
}

static monarch_status do_workspace(work *w, monarch_error *error)
{
    monarch_plan_args *args = &w->s.args;
    monarch_status status = monarch_plan_workspace_create(w->s.plan, &w->s.workspace, error);
    *args = monarch_plan_args_default();
    args->q = args->k = args->v = monarch_buffer_memory(w->s.q, 0);
    if (cuda_scene_problem(w->variant).has_mask)
        args->mask = monarch_buffer_memory(w->s.q, 0);
    args->out =
        monarch_buffer_memory(w->s.q, sizeof(uint16_t) * 4 * cuda_scene_elements(w->variant));
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
    monarch_status status = monarch_cuda_device_wrap(w->s.instance, w->mine, &w->wrapped, error);
    assert_true((w->wrapped != NULL) == (status == MONARCH_OK));
    return status;
}

static monarch_status do_wrap_queue(work *w, monarch_error *error)
{
    w->wrapped_queue = poison();
    monarch_status status = monarch_cuda_queue_wrap(w->wrapped, NULL, &w->wrapped_queue, error);
    assert_true((w->wrapped_queue != NULL) == (status == MONARCH_OK));
    return status;
}

static monarch_status do_close(work *w, monarch_error *error)
{
    (void)error;
    monarch_queue_destroy(&w->wrapped_queue);
    monarch_cuda_device_destroy(&w->wrapped);
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
    {"wrap queue", do_wrap_queue},
    {"close", do_close},
};

/* ---- the sweep ---- */

typedef struct failure {
    CUresult result;
    monarch_status status;
    const char *name;
} failure;

static int alive(void)
{
    const fake_live *live = &fake_cuda_state()->live;
    return live->contexts + live->modules + live->streams + live->events + live->graphs +
           live->executables + live->memories;
}

/* Whether the failed call was there to free something, which then stays. */
static bool frees(const char *call)
{
    static const char *const words[] = {"Destroy", "Unload", "Release", "MemFree"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strstr(call, words[i]))
            return true;
    return false;
}

/* The failure must have been told, by status and message or in the log. */
static void check_told(const operation *op, const failure *f, monarch_status status,
                       const monarch_error *error, const char *log)
{
    const char *call = fake_cuda_state()->failed;
    if (strcmp(call, "cuCtxGetCurrent") == 0) {
        fixture_ok(op->name, status, error);
        return;
    }
    bool in_message = status != MONARCH_OK && strstr(error->message, call);
    if (!in_message && !strstr(log, call))
        fail_msg("%s: %s failed, but neither message \"%s\" nor log \"%s\" says so", op->name, call,
                 status != MONARCH_OK ? error->message : "", log);
    if (f->name && !strstr(in_message ? error->message : log, f->name))
        fail_msg("%s: no %s in \"%s\"", op->name, f->name, in_message ? error->message : log);
    /* An instance goes on without what its driver cannot offer; and a device that is only looked
       at has not run out of memory, whatever the driver says. */
    bool absent = op->run == do_open && status == MONARCH_ERROR_UNSUPPORTED;
    bool looked = op->run == do_wrap_device && status == MONARCH_ERROR_NATIVE;
    if (status != MONARCH_OK && status != f->status && !absent && !looked)
        fail_msg("%s: %s failed: %s instead of %s", op->name, call, monarch_status_name(status),
                 monarch_status_name(f->status));
}

/* Runs an operation, again if it failed; returns whether the one failing call fell into it. */
static bool run_operation(const operation *op, work *w, const failure *f)
{
    fake_cuda *fake = fake_cuda_state();
    bool armed = fake->fail_at > 0;
    int before = alive(), depth = fake_cuda_depth();
    monarch_error error = {MONARCH_OK, ""};
    monarch_status status = op->run(w, &error);
    bool failed = armed && fake->fail_at == 0;
    if (!failed) {
        fixture_ok(op->name, status, &error);
        return false;
    }
    check_told(op, f, status, &error, w->s.log);
    if (strcmp(fake->failed, "cuCtxPopCurrent") == 0) { /* it could not be put back */
        CUcontext context;
        assert_int_equal(fake_cuda_depth(), depth + 1);
        assert_int_equal(cuCtxPopCurrent(&context), CUDA_SUCCESS);
    }
    assert_int_equal(fake_cuda_depth(), depth);
    if (status != MONARCH_OK) {
        if (alive() != before && op->run != do_plan) /* modules stay for the next plan */
            fail_msg("%s: %s failed, and %d objects were left", op->name, fake->failed,
                     alive() - before);
        fixture_ok(op->name, op->run(w, &error), &error);
    }
    return true;
}

/* One run of everything, in which call `at` fails. Returns false when there are fewer calls. */
static bool run_all(const char *variant, bool current, uint64_t at, const failure *f)
{
    work w;
    fake_cuda_reset();
    memset(&w, 0, sizeof w);
    w.variant = variant;
    w.current = current;
    w.mine = fake_cuda_context(1);
    fake_cuda *fake = fake_cuda_state();
    fake->fail_at = at;
    fake->fail_with = f->result;
    bool failed = false, closing = false;
    for (size_t i = 0; i < sizeof operations / sizeof *operations; i++) {
        bool here = run_operation(&operations[i], &w, f);
        failed |= here;
        closing |= here && operations[i].run == do_close;
    }
    fake->fail_at = 0;
    if (current)
        assert_int_equal(cuCtxPopCurrent(&(CUcontext){NULL}), CUDA_SUCCESS);
    fake_cuda_context_end(w.mine);
    assert_int_equal(w.s.allocations, 0);
    assert_int_equal(fake_cuda_depth(), 0);
    if (fake->misuses > 0)
        fail_msg("after a failure of %s: %s", fake->failed, fake->misuse);
    /* An object whose end failed stays, and so does what lives in a context that could not be
       entered to free it. */
    if (!failed || !(frees(fake->failed) || closing))
        assert_int_equal(alive(), 0);
    return failed;
}

static void sweep(const char *variant)
{
    static const failure failures[] = {
        {CUDA_ERROR_INVALID_VALUE, MONARCH_ERROR_NATIVE, "CUDA_ERROR_INVALID_VALUE"},
        {CUDA_ERROR_OUT_OF_MEMORY, MONARCH_ERROR_OUT_OF_MEMORY, NULL},
        {CUDA_ERROR_ILLEGAL_ADDRESS, MONARCH_ERROR_DEVICE_LOST, "CUDA_ERROR_ILLEGAL_ADDRESS"},
    };
    for (size_t i = 0; i < 2 * sizeof failures / sizeof *failures; i++) {
        const failure *f = &failures[i / 2];
        bool current = i % 2 == 1;
        uint64_t calls = 0;
        while (run_all(variant, current, calls + 1, f))
            calls++;
        print_message("%s, context %s: %d calls failed in turn with error %d\n", variant,
                      current ? "current" : "not current", (int)calls, (int)f->result);
        assert_true(calls > 60);
    }
}

static void test_sweep(void **state)
{
    (void)state;
    cuda_scene s;
    fake_cuda_reset();
    cuda_scene_open(&s);
    cuda_scene_variants(s.device, sweep);
    /* The sweep has reset the stand-in; what the scene holds is host memory alone. */
    monarch_instance_destroy(&s.instance);
    assert_int_equal(s.allocations, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sweep)};
    return cmocka_run_group_tests_name("cuda_failure", tests, NULL, NULL);
}
