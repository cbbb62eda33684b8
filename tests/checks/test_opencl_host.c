/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The host side of the opencl backend on a stand-in for the driver: which devices are taken, what
 * is enqueued in which order, the caller's contexts, queues, memory and events, what is told of a
 * compiler that fails, the self test of variant matrix, the cache of binaries, several threads.
 */

#include <pthread.h>
#include <stdio.h>

#include <monarch/opencl.h>

#include "opencl_scene.h"

static fake_launch *launch_at(uint64_t number)
{
    return &fake_opencl_state()->latest[number % FAKE_LAUNCHES];
}

static int reset(void **state)
{
    (void)state;
    fake_opencl_reset();
    return 0;
}

/* ---- devices ---- */

/* The reason why no device is offered. */
static void expect_none(const char *word)
{
    opencl_scene s = {0};
    monarch_error error = {MONARCH_OK, ""};
    monarch_instance_params params = opencl_scene_params(&s);
    const char *words[FIXTURE_WORDS] = {word};
    fixture_ok("instance", monarch_instance_create(&params, &s.instance, &error), &error);
    fixture_expect(word, monarch_instance_find(s.instance, "opencl", &s.device, &error),
                   MONARCH_ERROR_UNSUPPORTED, &error, words);
    monarch_instance_destroy(&s.instance);
    assert_int_equal(s.allocations, 0);
    opencl_scene_check_clean();
    fake_opencl_reset();
}

static void test_unfit_devices(void **state)
{
    (void)state;
    fake_opencl *fake = fake_opencl_state();
    fake->platforms = 0;
    expect_none("no driver is installed");
    fake->devices = 0;
    expect_none("lists no device");
    fake->version = "OpenCL 1.1 old";
    expect_none("less than OpenCL 1.2");
    fake->no_compiler = true;
    expect_none("no compiler");
}

static void test_variants_listed(void **state)
{
    (void)state;
    static const struct {
        int capability;
        size_t intel;
        const char *variants, *features;
    } cases[] = {{90, 0, "matrix tiled plain", "sm_90"},
                 {75, 0, "tiled plain", "sm_75"},
                 {0, 0, "tiled plain", "gpu"},
                 {0, 8, "tiled plain", "gpu"},
                 {0, 16, "matrix_intel tiled plain", "gpu intel_matrix"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        opencl_scene s;
        monarch_device_info info = {.struct_size = sizeof info};
        fake_opencl_reset();
        fake_opencl_state()->capability = cases[i].capability;
        fake_opencl_state()->intel = cases[i].intel;
        opencl_scene_open(&s);
        fixture_ok("info", monarch_device_info_get(s.device, &info, NULL), NULL);
        assert_string_equal(info.variants, cases[i].variants);
        assert_string_equal(info.features, cases[i].features);
        opencl_scene_close(&s);
    }
}

/* Less local memory, smaller work-groups, wider sub-groups: other tiles, down to the least, then
   the plain kernels. */
static void test_limits(void **state)
{
    (void)state;
    static const struct {
        cl_ulong local_memory;
        size_t work_group;
        cl_uint wavefront;
        const char *variant;
    } cases[] = {{49152, 1024, 0, "tiled"}, {49152, 1024, 64, "tiled"}, {32768, 256, 0, "tiled"},
                 {16384, 64, 0, "tiled"},   {1024, 1024, 0, "plain"},   {49152, 16, 0, "plain"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        opencl_scene s;
        fake_opencl_reset();
        fake_opencl *fake = fake_opencl_state();
        fake->capability = 0;
        fake->local_memory = cases[i].local_memory;
        fake->work_group = cases[i].work_group;
        fake->wavefront = cases[i].wavefront;
        opencl_scene_open(&s);
        opencl_scene_prepare(&s, NULL);
        monarch_stage_info stage = {.struct_size = sizeof stage};
        fixture_ok("stage", monarch_plan_stage(s.plan, 0, &stage, NULL), NULL);
        assert_string_equal(stage.variant, cases[i].variant);
        monarch_error error = {MONARCH_OK, ""};
        fixture_ok("execute", monarch_plan_execute(s.plan, s.queue, &s.args, &error), &error);
        for (uint64_t n = 0; n < fake->launches; n++)
            assert_true(launch_at(n)->local[0] <= fake->work_group &&
                        (!fake->wavefront || launch_at(n)->local[0] % fake->wavefront == 0));
        opencl_scene_close(&s);
    }
}

/* ---- launches ---- */

static void check_launches(const char *variant)
{
    opencl_scene s;
    monarch_error error = {MONARCH_OK, ""};
    fake_opencl_reset();
    fake_opencl_state()->intel = strcmp(variant, "matrix_intel") == 0 ? 16 : 0;
    opencl_scene_open(&s);
    opencl_scene_prepare(&s, variant);
    uint64_t before = fake_opencl_state()->launches;
    fixture_ok("execute", monarch_plan_execute(s.plan, s.queue, &s.args, &error), &error);
    assert_int_equal(fake_opencl_state()->launches - before,
                     5); /* right left(2) right_value left_out */
    for (uint64_t i = before; i < before + 5; i++) {
        const fake_launch *l = launch_at(i);
        assert_ptr_equal(l->queue, monarch_opencl_queue_native(s.queue));
        assert_int_equal(l->waited, 0);
        for (int a = 1; a <= 9; a++)
            assert_non_null(l->arguments[a]); /* some drivers take no NULL */
    }
    const fake_launch *first = launch_at(before), *last = launch_at(before + 4);
    assert_ptr_equal(first->arguments[1], monarch_opencl_buffer_native(s.q));
    assert_ptr_equal(first->arguments[2], monarch_opencl_buffer_native(s.k));
    assert_ptr_equal(first->arguments[8], monarch_opencl_buffer_native(s.mask));
    assert_ptr_equal(last->arguments[7], monarch_opencl_buffer_native(s.out));
    assert_int_equal(fake_opencl_state()->barriers, 0);
    opencl_scene_close(&s);
}

static void test_launches(void **state)
{
    (void)state;
    check_launches("matrix");
    check_launches("matrix_intel");
    check_launches("tiled");
    check_launches("plain");
}

/* 100,000 heads of 2^20 tokens: more work-groups than one axis takes. Nothing is executed for real,
   and memory of the caller's is not looked at. */
static void test_many_groups(void **state)
{
    (void)state;
    opencl_scene s;
    monarch_error error = {MONARCH_OK, ""};
    opencl_scene_open(&s);
    monarch_problem problem = monarch_problem_default();
    monarch_plan_options options = monarch_plan_options_default();
    options.variant = "plain";
    problem.batch = 100000;
    problem.heads = 1;
    problem.tokens = 1 << 20;
    problem.head_dim = 1;
    problem.block_size = 1024;
    problem.steps = 1;
    fixture_ok("plan", monarch_plan_create(s.device, &problem, &options, &s.plan, &error), &error);
    fixture_ok("queue", monarch_queue_create(s.device, &s.queue, &error), &error);
    fixture_ok("buffer", monarch_buffer_create(s.device, 64, &s.q, &error), &error);
    fixture_ok("buffer", monarch_buffer_create(s.device, 64, &s.out, &error), &error);
    fixture_ok("buffer", monarch_buffer_create(s.device, 64, &s.workspace, &error), &error);
    monarch_plan_args args = monarch_plan_args_default();
    args.q = args.k = args.v = monarch_opencl_memory(monarch_opencl_buffer_native(s.q), 0, 0);
    args.out = monarch_opencl_memory(monarch_opencl_buffer_native(s.out), 0, 0);
    args.workspace = monarch_opencl_memory(monarch_opencl_buffer_native(s.workspace), 0, 0);
    fixture_ok("execute", monarch_plan_execute(s.plan, s.queue, &args, &error), &error);
    for (int i = 0; i < 2; i++) {
        const fake_launch *l = launch_at((uint64_t)i);
        double items = (double)l->global[0] * (double)l->global[1];
        assert_true(l->global[1] > 1 && l->global[1] < 65536);
        assert_true(items >= 1e5 * (1 << 20) && items < 1.01e5 * (1 << 20));
    }
    opencl_scene_close(&s);
}

static void test_small_kernel_groups(void **state)
{
    (void)state;
    opencl_scene s;
    monarch_error error = {MONARCH_OK, ""};
    const char *words[FIXTURE_WORDS] = {"work-groups of up to 32 items", "kernel"};
    opencl_scene_open(&s);
    fake_opencl_state()->kernel_work_group = 32;
    monarch_problem problem = opencl_scene_problem();
    fixture_expect("plan", monarch_plan_create(s.device, &problem, NULL, &s.plan, &error),
                   MONARCH_ERROR_UNSUPPORTED, &error, words);
    assert_null(s.plan);
    opencl_scene_close(&s);
}

/* ---- the caller's own objects ---- */

static cl_command_queue open_queue(monarch_device *device, cl_command_queue_properties properties)
{
    cl_context context;
    cl_device_id native;
    cl_int result;
    fixture_ok("context", monarch_opencl_device_context(device, &context, &native, NULL), NULL);
    cl_command_queue queue = clCreateCommandQueue(context, native, properties, &result);
    assert_int_equal(result, CL_SUCCESS);
    return queue;
}

/* Out of order, a launch waits for the one ahead of it, and the call as a whole for what it is
   told; monarch_plan_execute lies between barriers. */
static void test_out_of_order(void **state)
{
    (void)state;
    opencl_scene s;
    monarch_error error = {MONARCH_OK, ""};
    opencl_scene_open(&s);
    opencl_scene_prepare(&s, "tiled");
    cl_command_queue native = open_queue(s.device, CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE);
    monarch_queue *queue;
    fixture_ok("wrap", monarch_opencl_queue_wrap(s.device, native, &queue, &error), &error);
    fixture_ok("execute", monarch_plan_execute(s.plan, queue, &s.args, &error), &error);
    assert_int_equal(fake_opencl_state()->barriers, 2);
    cl_event ready[2], done = NULL;
    for (int i = 0; i < 2; i++)
        assert_int_equal(clEnqueueMarkerWithWaitList(native, 0, NULL, &ready[i]), CL_SUCCESS);
    uint64_t before = fake_opencl_state()->launches;
    fixture_ok("execute",
               monarch_opencl_plan_execute(s.plan, queue, &s.args, 2, ready, &done, &error),
               &error);
    assert_int_equal(fake_opencl_state()->barriers, 2);
    assert_non_null(done);
    for (uint64_t i = before; i < fake_opencl_state()->launches; i++)
        assert_int_equal(launch_at(i)->waited, i == before ? 2 : 1);
    assert_int_equal(fake_opencl_state()->live.events, 3); /* those between launches are gone */
    fixture_ok("write", monarch_buffer_write(queue, s.q, 0, "x", 1, &error), &error);
    assert_int_equal(fake_opencl_state()->barriers, 3);
    clReleaseEvent(done);
    clReleaseEvent(ready[0]);
    clReleaseEvent(ready[1]);
    monarch_queue_destroy(&queue);
    clReleaseCommandQueue(native);
    opencl_scene_close(&s);
}

static void test_events_in_order(void **state)
{
    (void)state;
    opencl_scene s;
    monarch_error error = {MONARCH_OK, ""};
    cl_event ready, done = NULL;
    opencl_scene_open(&s);
    opencl_scene_prepare(&s, "tiled");
    cl_command_queue native = monarch_opencl_queue_native(s.queue);
    assert_int_equal(clEnqueueMarkerWithWaitList(native, 0, NULL, &ready), CL_SUCCESS);
    fixture_ok("execute",
               monarch_opencl_plan_execute(s.plan, s.queue, &s.args, 1, &ready, &done, &error),
               &error);
    assert_int_equal(fake_opencl_state()->live.events, 2);
    fixture_invalid("wait list",
                    monarch_opencl_plan_execute(s.plan, s.queue, &s.args, 1, NULL, NULL, &error),
                    &error, "wait", "NULL");
    clReleaseEvent(done);
    clReleaseEvent(ready);
    opencl_scene_close(&s);
}

/* An empty problem has an event too. */
static void test_empty(void **state)
{
    (void)state;
    opencl_scene s;
    monarch_error error = {MONARCH_OK, ""};
    monarch_problem problem = opencl_scene_problem();
    cl_event done = NULL;
    opencl_scene_open(&s);
    problem.batch = 0;
    s.args = monarch_plan_args_default();
    fixture_ok("queue", monarch_queue_create(s.device, &s.queue, &error), &error);
    fixture_ok("plan", monarch_plan_create(s.device, &problem, NULL, &s.plan, &error), &error);
    fixture_ok("execute",
               monarch_opencl_plan_execute(s.plan, s.queue, &s.args, 0, NULL, &done, &error),
               &error);
    assert_non_null(done);
    assert_int_equal(fake_opencl_state()->launches, 0);
    clReleaseEvent(done);
    opencl_scene_close(&s);
}

static void test_svm(void **state)
{
    (void)state;
    opencl_scene s;
    monarch_error error = {MONARCH_OK, ""};
    static _Alignas(64) uint16_t memory[FIXTURE_Q];
    opencl_scene_open(&s);
    opencl_scene_prepare(&s, "tiled");
    s.args.q = monarch_opencl_svm_memory(memory, sizeof memory);
    fixture_ok("execute", monarch_plan_execute(s.plan, s.queue, &s.args, &error), &error);
    assert_ptr_equal(launch_at(fake_opencl_state()->launches - 5)->arguments[1], memory);
    opencl_scene_close(&s);
}

static void test_wrapped(void **state)
{
    (void)state;
    opencl_scene s;
    monarch_error error = {MONARCH_OK, ""};
    cl_context context;
    cl_device_id native, other;
    opencl_scene_open(&s);
    monarch_device *second, *wrapped = NULL;
    monarch_queue *queue = NULL;
    fixture_ok("find", monarch_instance_find(s.instance, "opencl:1", &second, &error), &error);
    fixture_ok("context", monarch_opencl_device_context(second, &context, &native, &error), &error);
    fixture_ok("context",
               monarch_opencl_device_context(s.device, &(cl_context){NULL}, &other, &error),
               &error);
    fixture_invalid("wrap",
                    monarch_opencl_device_wrap(s.instance, context, other, &wrapped, &error),
                    &error, "native", "context");
    assert_null(wrapped);
    fixture_ok("wrap", monarch_opencl_device_wrap(s.instance, context, native, &wrapped, &error),
               &error);
    monarch_device_info info = {.struct_size = sizeof info};
    fixture_ok("info", monarch_device_info_get(wrapped, &info, NULL), NULL);
    assert_int_equal(info.index, 1);
    cl_command_queue mine = open_queue(second, 0);
    fixture_invalid("queue", monarch_opencl_queue_wrap(s.device, mine, &queue, &error), &error,
                    "another context", NULL);
    fixture_ok("queue", monarch_opencl_queue_wrap(wrapped, mine, &queue, &error), &error);
    assert_ptr_equal(monarch_opencl_queue_native(queue), mine);
    monarch_queue_destroy(&queue);
    clReleaseCommandQueue(mine); /* still there */
    monarch_opencl_device_destroy(&s.device);
    assert_non_null(s.device); /* a listed one is left alone */
    monarch_opencl_device_destroy(&wrapped);
    assert_null(wrapped);
    opencl_scene_close(&s);
}

/* ---- threads ---- */

enum { THREADS = 8, ROUNDS = 200 };

typedef struct worker {
    const opencl_scene *s;
    pthread_t thread;
    monarch_status status;
} worker;

/* The stand-in notes a kernel whose arguments two threads set at once. */
static void *work(void *user)
{
    worker *w = user;
    monarch_queue *queue;
    w->status = monarch_queue_create(w->s->device, &queue, NULL);
    for (int i = 0; i < ROUNDS && w->status == MONARCH_OK; i++)
        w->status = monarch_plan_execute(w->s->plan, queue, &w->s->args, NULL);
    monarch_queue_destroy(&queue);
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    opencl_scene s;
    worker workers[THREADS];
    opencl_scene_open(&s);
    opencl_scene_prepare(&s, "tiled");
    uint64_t before = fake_opencl_state()->launches;
    for (int i = 0; i < THREADS; i++) {
        workers[i] = (worker){.s = &s};
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(workers[i].thread, NULL);
        assert_int_equal(workers[i].status, MONARCH_OK);
    }
    assert_int_equal(fake_opencl_state()->launches - before, 5 * THREADS * ROUNDS);
    opencl_scene_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_unfit_devices, reset),
        cmocka_unit_test_setup(test_variants_listed, reset),
        cmocka_unit_test_setup(test_limits, reset),
        cmocka_unit_test_setup(test_launches, reset),
        cmocka_unit_test_setup(test_many_groups, reset),
        cmocka_unit_test_setup(test_small_kernel_groups, reset),
        cmocka_unit_test_setup(test_out_of_order, reset),
        cmocka_unit_test_setup(test_events_in_order, reset),
        cmocka_unit_test_setup(test_empty, reset),
        cmocka_unit_test_setup(test_svm, reset),
        cmocka_unit_test_setup(test_wrapped, reset),
        cmocka_unit_test_setup(test_threads, reset),
    };
    return cmocka_run_group_tests_name("opencl_host", tests, NULL, NULL);
}
