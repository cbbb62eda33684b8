/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The host side of the cuda backend on the stand-in driver: what it asks of the driver, when, and
 * in which context. What kernels compute is not looked at; test_cuda_failure.c fails the calls.
 */

#include <pthread.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <monarch/cuda.h>

#include "cuda_scene.h"

static int reset(void **state)
{
    (void)state;
    fake_cuda_reset();
    return 0;
}

static int count_calls(const char *name)
{
    const fake_cuda *fake = fake_cuda_state();
    int count = 0;
    assert_true(fake->calls <= FAKE_CALLS);
    for (uint64_t i = 0; i < fake->calls; i++)
        count += strcmp(fake->names[i], name) == 0;
    return count;
}

static void test_devices(void **state)
{
    (void)state;
    cuda_scene s;
    cuda_scene_open(&s);
    monarch_device_info info = {.struct_size = sizeof info};
    monarch_device *second;
    monarch_error error = {MONARCH_OK, ""};
    assert_int_equal(monarch_instance_device_count(s.instance), 2);
    fixture_ok("find", monarch_instance_find(s.instance, "cuda:1", &second, &error), &error);
    fixture_ok("info", monarch_device_info_get(second, &info, &error), &error);
    assert_string_equal(info.backend, "cuda");
    assert_string_equal(info.name, "Fake GPU 1");
    assert_string_equal(info.features, "sm_90");
    assert_int_equal(info.index, 1);
    assert_int_equal(info.compute_units, 132);
    assert_int_equal(info.subgroup_size, 32);
    assert_non_null(strstr(info.driver, "CUDA 13.0"));
    assert_true(fixture_has_variant(second, "plain"));
    /* Looking makes no context, and neither does an empty plan. */
    monarch_problem problem = cuda_scene_problem(NULL);
    problem.tokens = 0;
    fixture_ok("empty plan", monarch_plan_create(s.device, &problem, NULL, &s.plan, &error),
               &error);
    assert_int_equal(fake_cuda_state()->live.contexts, 0);
    assert_int_equal(count_calls("cuDevicePrimaryCtxRetain"), 0);
    cuda_scene_close(&s);
}

static void refuse_instance(const char *word)
{
    cuda_scene s;
    monarch_device *device;
    monarch_error error = {MONARCH_OK, ""};
    memset(&s, 0, sizeof s);
    monarch_instance_params params = cuda_scene_params(&s);
    fixture_ok("instance", monarch_instance_create(&params, &s.instance, &error), &error);
    const char *words[FIXTURE_WORDS] = {word, NULL};
    fixture_expect("find", monarch_instance_find(s.instance, "cuda", &device, &error),
                   MONARCH_ERROR_UNSUPPORTED, &error, words);
    assert_null(device);
    monarch_instance_destroy(&s.instance);
    assert_int_equal(s.allocations, 0);
    cuda_scene_check_clean();
}

static void test_no_device(void **state)
{
    (void)state;
    fake_cuda_state()->devices = 0;
    refuse_instance("no device");
    fake_cuda_reset();
    fake_cuda_state()->capability = 61;
    refuse_instance("compute capability 6.1");
    fake_cuda_reset();
    fake_cuda_state()->fail_at = 1;
    fake_cuda_state()->fail_with = CUDA_ERROR_INVALID_VALUE;
    refuse_instance("cuInit failed: CUDA_ERROR_INVALID_VALUE");
}

static void run_variant(const char *variant)
{
    cuda_scene s;
    monarch_error error = {MONARCH_OK, ""};
    cuda_scene_open(&s);
    cuda_scene_prepare(&s, variant);
    uint64_t before = fake_cuda_state()->launches;
    fixture_ok(variant, monarch_plan_execute(s.plan, s.queue, &s.args, &error), &error);
    fixture_ok(variant, monarch_queue_wait(s.queue, &error), &error);
    assert_true(fake_cuda_state()->launches > before);
    uint64_t last = (fake_cuda_state()->launches - 1) % FAKE_LAUNCHES;
    assert_ptr_equal(fake_cuda_state()->latest[last].stream, monarch_cuda_queue_stream(s.queue));
    cuda_scene_close(&s);
}

static void test_variants(void **state)
{
    (void)state;
    cuda_scene s;
    cuda_scene_open(&s);
    cuda_scene_variants(s.device, run_variant);
    cuda_scene_close(&s);
}

static void test_copies(void **state)
{
    (void)state;
    cuda_scene s;
    char sent[1000], got[1000] = {0};
    monarch_buffer *nothing;
    monarch_error error = {MONARCH_OK, ""};
    uint64_t seed = fixture_seed();
    cuda_scene_open(&s);
    cuda_scene_prepare(&s, NULL);
    for (size_t i = 0; i < sizeof sent; i++)
        sent[i] = (char)fixture_random(&seed);
    fixture_ok("write", monarch_buffer_write(s.queue, s.q, 17, sent, sizeof sent, &error), &error);
    fixture_ok("read", monarch_buffer_read(s.queue, s.q, 18, got, sizeof got - 1, &error), &error);
    assert_memory_equal(sent + 1, got, sizeof got - 1);
    assert_true(monarch_cuda_buffer_pointer(s.q) != 0);
    fixture_ok("0 bytes", monarch_buffer_create(s.device, 0, &nothing, &error), &error);
    monarch_buffer_destroy(&nothing);
    cuda_scene_close(&s);
}

/* Device memory that runs out is reported, and the device works on. */
static void test_out_of_memory(void **state)
{
    (void)state;
    cuda_scene s;
    cuda_scene_open(&s);
    monarch_buffer *buffer = (monarch_buffer *)&s;
    monarch_error error = {MONARCH_OK, ""};
    const char *words[FIXTURE_WORDS] = {"cuMemAlloc", "5000000 bytes", "CUDA_ERROR_OUT_OF_MEMORY",
                                        "out of memory"};
    fake_cuda_state()->memory_limit = 1 << 20;
    fixture_expect("buffer", monarch_buffer_create(s.device, 5000000, &buffer, &error),
                   MONARCH_ERROR_OUT_OF_MEMORY, &error, words);
    assert_null(buffer);
    cuda_scene_prepare(&s, NULL);
    fixture_ok("execute", monarch_plan_execute(s.plan, s.queue, &s.args, &error), &error);
    cuda_scene_close(&s);
}

/*
 * During a capture an execution asks which context is current, pushes and pops its own where it is
 * another, puts addresses into maps, launches, and does nothing else. `current`: the caller has the
 * context current meanwhile.
 */
static void capture(cuda_scene *s, CUstream stream, CUcontext context, bool current)
{
    monarch_error error = {MONARCH_OK, ""};
    double seconds;
    char byte = 0;
    CUgraph graph;
    assert_int_equal(cuCtxPushCurrent(context), CUDA_SUCCESS);
    assert_int_equal(cuStreamBeginCapture(stream, CU_STREAM_CAPTURE_MODE_GLOBAL), CUDA_SUCCESS);
    if (!current)
        assert_int_equal(cuCtxPopCurrent(&context), CUDA_SUCCESS);
    int depth = fake_cuda_depth();
    int pushes = current ? 0 : 3;
    uint64_t requests = s->requests;
    fake_cuda_clear();
    for (int i = 0; i < 3; i++)
        fixture_ok("execute", monarch_plan_execute(s->plan, s->queue, &s->args, &error), &error);
    assert_true(s->requests == requests);
    int launches = count_calls("cuLaunchKernelEx");
    assert_true(launches > 0);
    assert_int_equal(count_calls("cuCtxGetCurrent"), 3);
    assert_int_equal(count_calls("cuCtxPushCurrent"), pushes);
    assert_int_equal(count_calls("cuCtxPopCurrent"), pushes);
    int maps = count_calls("cuTensorMapReplaceAddress");
    assert_int_equal(fake_cuda_state()->calls, launches + maps + 3 + 2 * pushes);
    fixture_invalid("wait", monarch_queue_wait(s->queue, &error), &error, "captured", "queue_wait");
    fixture_invalid("time", monarch_plan_time(s->plan, s->queue, &s->args, 1, &seconds, &error),
                    &error, "captured", "plan_time");
    fixture_invalid("write", monarch_buffer_write(s->queue, s->q, 0, &byte, 1, &error), &error,
                    "captured", "buffer_write");
    fixture_invalid("read", monarch_buffer_read(s->queue, s->q, 0, &byte, 1, &error), &error,
                    "captured", "buffer_read");
    assert_int_equal(fake_cuda_captured(stream), launches);
    assert_int_equal(fake_cuda_depth(), depth);
    if (!current)
        assert_int_equal(cuCtxPushCurrent(context), CUDA_SUCCESS);
    assert_int_equal(cuStreamEndCapture(stream, &graph), CUDA_SUCCESS);
    assert_int_equal(cuGraphDestroy(graph), CUDA_SUCCESS);
    assert_int_equal(cuCtxPopCurrent(&context), CUDA_SUCCESS);
}

/* Variant tiled takes any width up to 256 however little shared memory a GPU has. */
static void test_little_shared_memory(void **state)
{
    static const int limits[] = {101376, 166912, 232448};
    static const int64_t blocks[] = {1, 16, 48, 64, 200};
    (void)state;
    for (int i = 0; i < 3 * 5 * 16; i++) {
        monarch_error error = {MONARCH_OK, ""};
        monarch_problem problem = monarch_problem_default();
        cuda_scene s;
        fake_cuda_reset();
        fake_cuda_state()->shared_memory = limits[i % 3];
        cuda_scene_open(&s);
        problem.batch = problem.heads = 2;
        problem.tokens = 1000;
        problem.block_size = blocks[i / 3 % 5];
        problem.head_dim = 16 * (i / 15 + 1);
        problem.steps = 2;
        fixture_ok("f32", monarch_problem_supported(s.device, &problem, "tiled", &error), &error);
        monarch_problem_set_dtype(&problem, MONARCH_F16);
        fixture_ok("f16", monarch_problem_supported(s.device, &problem, "tiled", &error), &error);
        cuda_scene_close(&s);
    }
}

static void overlap(const char *variant, int ptx_version, bool expected)
{
    cuda_scene s;
    monarch_error error = {MONARCH_OK, ""};
    fake_cuda_reset();
    fake_cuda_state()->ptx_version = ptx_version;
    cuda_scene_open(&s);
    cuda_scene_prepare(&s, variant);
    fixture_ok("execute", monarch_plan_execute(s.plan, s.queue, &s.args, &error), &error);
    assert_int_equal(fake_cuda_state()->latest[0].overlaps, expected);
    cuda_scene_close(&s);
}

/* Only launches whose code waits by itself may begin early: that of 9.0, not what a newer device
   made of older PTX, and never the plain one. */
static void test_overlap(void **state)
{
    (void)state;
    overlap("tiled", 90, true);
    overlap("tiled", 80, false);
    overlap("fused", 90, true);
    overlap("fused", 80, false);
    overlap("plain", 90, false);
}

static void capture_variant(const char *variant)
{
    cuda_scene s;
    CUcontext context;
    monarch_error error = {MONARCH_OK, ""};
    cuda_scene_open(&s);
    cuda_scene_prepare(&s, variant);
    fixture_ok("context", monarch_cuda_device_context(s.device, &context, &error), &error);
    capture(&s, monarch_cuda_queue_stream(s.queue), context, true);
    capture(&s, monarch_cuda_queue_stream(s.queue), context, false);
    cuda_scene_close(&s);
}

static void test_capture(void **state)
{
    (void)state;
    cuda_scene s;
    cuda_scene_open(&s);
    cuda_scene_variants(s.device, capture_variant);
    cuda_scene_close(&s);
}

/* A plan's time is that of its kernels; the stand-in's take FAKE_KERNEL_US each. */
static void test_time(void **state)
{
    (void)state;
    enum { COUNT = 70 }; /* more than are taken between two waits */
    cuda_scene s;
    double seconds[COUNT];
    monarch_error error = {MONARCH_OK, ""};
    cuda_scene_open(&s);
    cuda_scene_prepare(&s, NULL);
    uint64_t before = fake_cuda_state()->launches;
    fixture_ok("execute", monarch_plan_execute(s.plan, s.queue, &s.args, &error), &error);
    double expected = 1e-6 * FAKE_KERNEL_US * (double)(fake_cuda_state()->launches - before);
    fixture_ok("time", monarch_plan_time(s.plan, s.queue, &s.args, COUNT, seconds, &error), &error);
    for (int i = 0; i < COUNT; i++)
        if (seconds[i] < 0.999 * expected || seconds[i] > 1.001 * expected)
            fail_msg("time %d is %g s instead of %g s", i, seconds[i], expected);
    fixture_ok("no time", monarch_plan_time(s.plan, s.queue, &s.args, 0, NULL, &error), &error);
    cuda_scene_close(&s);
}

/* Work-groups beyond one axis of a grid: none is lost, and hardly one too many is launched. */
static void test_geometry(void **state)
{
    (void)state;
    cuda_scene s;
    monarch_plan *plan;
    monarch_error error = {MONARCH_OK, ""};
    cuda_scene_open(&s);
    cuda_scene_prepare(&s, NULL);
    monarch_problem problem = monarch_problem_default();
    problem.batch = 1009; /* odd sizes: no number of rows of the grid divides them */
    problem.heads = 4003;
    problem.tokens = 3721;
    problem.head_dim = 64;
    problem.block_size = 61;
    monarch_plan_options options = monarch_plan_options_default();
    options.variant = "plain"; /* one work-group a row */
    fixture_ok("plan", monarch_plan_create(s.device, &problem, &options, &plan, &error), &error);
    const uint64_t step = UINT64_C(1) << 50;
    monarch_plan_args args = monarch_plan_args_default();
    args.q = monarch_cuda_memory(1 * step, 0);
    args.k = monarch_cuda_memory(2 * step, 0);
    args.v = monarch_cuda_memory(3 * step, 0);
    args.out = monarch_cuda_memory(4 * step, 0);
    args.workspace = monarch_cuda_memory(5 * step, 0);
    uint64_t at = fake_cuda_state()->launches;
    fixture_ok("execute", monarch_plan_execute(plan, s.queue, &args, &error), &error);
    assert_true(fake_cuda_state()->launches > at);
    const uint64_t rows = UINT64_C(1009) * 4003 * 3721;
    for (; at < fake_cuda_state()->launches; at++) {
        const fake_launch *launch = &fake_cuda_state()->latest[at % FAKE_LAUNCHES];
        uint64_t groups = (uint64_t)launch->grid[0] * launch->grid[1];
        assert_true(groups >= rows && groups < rows + launch->grid[1]);
    }
    monarch_plan_destroy(&plan);
    cuda_scene_close(&s);
}

enum { THREADS = 8, EXECUTIONS = 200 };

typedef struct worker {
    const cuda_scene *scene;
    pthread_t thread;
    monarch_error error;
    int failures;
} worker;

/* A queue and a plan of its own kernels for each thread, besides the plan that all share. */
static void *work(void *argument)
{
    worker *w = argument;
    monarch_queue *queue = NULL;
    monarch_plan *plan = NULL;
    monarch_problem problem = cuda_scene_problem(NULL);
    w->failures += monarch_queue_create(w->scene->device, &queue, &w->error) != MONARCH_OK;
    w->failures +=
        monarch_plan_create(w->scene->device, &problem, NULL, &plan, &w->error) != MONARCH_OK;
    for (int i = 0; i < EXECUTIONS && w->failures == 0; i++)
        w->failures += monarch_plan_execute(i % 2 == 0 ? w->scene->plan : plan, queue,
                                            &w->scene->args, &w->error) != MONARCH_OK;
    if (w->failures == 0)
        w->failures += monarch_queue_wait(queue, &w->error) != MONARCH_OK;
    monarch_plan_destroy(&plan);
    monarch_queue_destroy(&queue);
    w->failures += fake_cuda_depth() != 0;
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    cuda_scene s;
    worker workers[THREADS];
    monarch_error error = {MONARCH_OK, ""};
    cuda_scene_open(&s);
    cuda_scene_prepare(&s, NULL);
    uint64_t start = fake_cuda_state()->launches;
    fixture_ok("execute", monarch_plan_execute(s.plan, s.queue, &s.args, &error), &error);
    uint64_t each = fake_cuda_state()->launches - start;
    int attributes = fake_cuda_state()->attributes_set;
    for (int i = 0; i < THREADS; i++) {
        workers[i] = (worker){.scene = &s};
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
        if (workers[i].failures > 0)
            fail_msg("thread %d: %s", i, workers[i].error.message);
    }
    assert_int_equal(fake_cuda_state()->launches, start + each * (1 + THREADS * EXECUTIONS));
    assert_int_equal(fake_cuda_state()->attributes_set, attributes); /* once for each kernel */
    cuda_scene_close(&s);
}

/* A child may free what it inherited; the driver must not hear of it. */
static void test_fork(void **state)
{
    (void)state;
    cuda_scene s;
    monarch_error error = {MONARCH_OK, ""};
    CUcontext mine = fake_cuda_context(1);
    monarch_device *wrapped;
    cuda_scene_open(&s);
    cuda_scene_prepare(&s, NULL);
    fixture_ok("wrap", monarch_cuda_device_wrap(s.instance, mine, &wrapped, &error), &error);
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        fake_cuda_clear();
        monarch_device *device = NULL;
        int bad = monarch_plan_execute(s.plan, s.queue, &s.args, &error) != MONARCH_ERROR_FORKED;
        bad += monarch_cuda_device_wrap(s.instance, mine, &device, &error) != MONARCH_ERROR_FORKED;
        monarch_buffer_destroy(&s.q);
        monarch_plan_destroy(&s.plan);
        monarch_queue_destroy(&s.queue);
        monarch_cuda_device_destroy(&wrapped);
        monarch_instance_destroy(&s.instance);
        _exit(bad > 0 || fake_cuda_state()->calls > 0 || s.log[0] != '\0');
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    fixture_ok("execute", monarch_plan_execute(s.plan, s.queue, &s.args, &error), &error);
    monarch_cuda_device_destroy(&wrapped);
    fake_cuda_context_end(mine);
    cuda_scene_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_little_shared_memory),
        cmocka_unit_test(test_overlap),
        cmocka_unit_test_setup(test_devices, reset),
        cmocka_unit_test_setup(test_no_device, reset),
        cmocka_unit_test_setup(test_variants, reset),
        cmocka_unit_test_setup(test_copies, reset),
        cmocka_unit_test_setup(test_out_of_memory, reset),
        cmocka_unit_test_setup(test_capture, reset),
        cmocka_unit_test_setup(test_time, reset),
        cmocka_unit_test_setup(test_geometry, reset),
        cmocka_unit_test_setup(test_threads, reset),
        cmocka_unit_test_setup(test_fork, reset),
    };
    return cmocka_run_group_tests_name("cuda_host", tests, NULL, NULL);
}
