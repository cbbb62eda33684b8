/* SPDX-License-Identifier: Apache-2.0 */

/* monarch/cuda.h on the stand-in driver: the caller's contexts, streams and pointers, and whose
 * context is current meanwhile. */

#include <stdio.h>

#include <monarch/cuda.h>

#include "cuda_scene.h"

static int reset(void **state)
{
    (void)state;
    fake_cuda_reset();
    return 0;
}

/* A stream of the caller's, made in `context`. */
static CUstream make_stream(CUcontext context)
{
    CUstream stream;
    assert_int_equal(cuInit(0), CUDA_SUCCESS);
    assert_int_equal(cuCtxPushCurrent(context), CUDA_SUCCESS);
    assert_int_equal(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING), CUDA_SUCCESS);
    assert_int_equal(cuCtxPopCurrent(&context), CUDA_SUCCESS);
    return stream;
}

static void end_stream(CUcontext context, CUstream stream)
{
    assert_int_equal(cuCtxPushCurrent(context), CUDA_SUCCESS);
    assert_int_equal(cuStreamDestroy(stream), CUDA_SUCCESS);
    assert_int_equal(cuCtxPopCurrent(&context), CUDA_SUCCESS);
}

/* The caller's own context is current from here on, and must be after every call. */
static void check_current(CUcontext expected)
{
    CUcontext context;
    assert_int_equal(cuCtxGetCurrent(&context), CUDA_SUCCESS);
    assert_ptr_equal(context, expected);
    assert_int_equal(fake_cuda_depth(), 1);
}

/* Device, queue, plan and memory, all on what the caller has. */
static void test_engine(void **state)
{
    (void)state;
    cuda_scene s;
    monarch_error error = {MONARCH_OK, ""};
    CUcontext mine = fake_cuda_context(1), other = fake_cuda_context(0);
    CUstream stream = make_stream(mine);
    monarch_queue *queue;
    monarch_device_info info = {.struct_size = sizeof info};
    cuda_scene_open(&s);
    assert_int_equal(cuCtxPushCurrent(other), CUDA_SUCCESS);
    fixture_ok("wrap", monarch_cuda_device_wrap(s.instance, mine, &s.device, &error), &error);
    check_current(other);
    fixture_ok("info", monarch_device_info_get(s.device, &info, &error), &error);
    assert_string_equal(info.name, "Fake GPU 1");
    assert_int_equal(info.index, 1);
    cuda_scene_prepare(&s, NULL);
    check_current(other);
    fixture_ok("queue", monarch_cuda_queue_wrap(s.device, stream, &queue, &error), &error);
    assert_ptr_equal(monarch_cuda_queue_stream(queue), stream);
    s.args.q = monarch_cuda_memory(monarch_cuda_buffer_pointer(s.q), monarch_buffer_size(s.q));
    fixture_ok("execute", monarch_plan_execute(s.plan, queue, &s.args, &error), &error);
    check_current(other);
    uint64_t last = (fake_cuda_state()->launches - 1) % FAKE_LAUNCHES;
    assert_ptr_equal(fake_cuda_state()->latest[last].stream, stream);
    assert_ptr_equal(fake_cuda_state()->latest[last].context, mine);
    fixture_ok("wait", monarch_queue_wait(queue, &error), &error);
    check_current(other);
    monarch_queue_destroy(&queue);
    check_current(other);
    CUcontext context;
    fixture_ok("context", monarch_cuda_device_context(s.device, &context, &error), &error);
    assert_ptr_equal(context, mine);
    assert_int_equal(fake_cuda_state()->live.contexts, 2); /* no primary one was retained */
    monarch_device *device = s.device;
    monarch_buffer_destroy(&s.q);
    monarch_buffer_destroy(&s.k);
    monarch_buffer_destroy(&s.v);
    monarch_buffer_destroy(&s.out);
    monarch_buffer_destroy(&s.mask);
    monarch_buffer_destroy(&s.workspace);
    monarch_plan_destroy(&s.plan);
    monarch_queue_destroy(&s.queue);
    monarch_cuda_device_destroy(&device);
    assert_null(device);
    check_current(other);
    assert_int_equal(cuCtxPopCurrent(&context), CUDA_SUCCESS);
    end_stream(mine, stream); /* both are still the caller's */
    fake_cuda_context_end(mine);
    fake_cuda_context_end(other);
    cuda_scene_close(&s);
}

/* The primary context of a listed device, and the stream without a handle. */
static void test_runtime(void **state)
{
    (void)state;
    cuda_scene s;
    CUcontext context;
    monarch_queue *queue;
    monarch_error error = {MONARCH_OK, ""};
    cuda_scene_open(&s);
    fixture_ok("context", monarch_cuda_device_context(s.device, &context, &error), &error);
    assert_int_equal(fake_cuda_state()->live.contexts, 1);
    CUstream stream = make_stream(context);
    fixture_ok("queue", monarch_cuda_queue_wrap(s.device, stream, &queue, &error), &error);
    monarch_queue_destroy(&queue);
    cuda_scene_prepare(&s, NULL);
    fixture_ok("NULL stream", monarch_cuda_queue_wrap(s.device, NULL, &queue, &error), &error);
    fixture_ok("execute", monarch_plan_execute(s.plan, queue, &s.args, &error), &error);
    fixture_ok("wait", monarch_queue_wait(queue, &error), &error);
    assert_null(monarch_cuda_queue_stream(queue));
    assert_null(fake_cuda_state()->latest[0].stream);
    monarch_queue_destroy(&queue);
    end_stream(context, stream);
    cuda_scene_close(&s);
}

/* What must be refused, or left alone. */
static void test_refusals(void **state)
{
    (void)state;
    cuda_scene s;
    CUcontext mine = fake_cuda_context(0), context = mine;
    CUstream stream = make_stream(mine);
    monarch_error error = {MONARCH_OK, ""};
    cuda_scene_open(&s);
    monarch_device *device = s.device;
    monarch_queue *queue = (monarch_queue *)&s;
    fixture_invalid("device", monarch_cuda_device_wrap(s.instance, mine, NULL, &error), &error,
                    "device", "NULL");
    fixture_invalid("instance", monarch_cuda_device_wrap(NULL, mine, &device, &error), &error,
                    "instance", "NULL");
    assert_null(device);
    fixture_invalid("context", monarch_cuda_device_wrap(s.instance, NULL, &device, &error), &error,
                    "context", "NULL");
    fixture_invalid("queue", monarch_cuda_queue_wrap(s.device, stream, NULL, &error), &error,
                    "queue", "NULL");
    fixture_invalid("device", monarch_cuda_queue_wrap(NULL, stream, &queue, &error), &error,
                    "device", "NULL");
    assert_null(queue);
    fixture_invalid("stream", monarch_cuda_queue_wrap(s.device, stream, &queue, &error), &error,
                    "stream", "another context");
    assert_null(queue);
    fixture_invalid("context", monarch_cuda_device_context(s.device, NULL, &error), &error,
                    "context", "NULL");
    fixture_invalid("device", monarch_cuda_device_context(NULL, &context, &error), &error, "device",
                    "NULL");
    assert_null(context);
    device = s.device;
    monarch_cuda_device_destroy(&device); /* the instance's */
    assert_ptr_equal(device, s.device);
    device = NULL;
    monarch_cuda_device_destroy(&device);
    monarch_cuda_device_destroy(NULL);
    assert_null(monarch_cuda_queue_stream(NULL));
    assert_true(monarch_cuda_buffer_pointer(NULL) == 0);
    end_stream(mine, stream);
    fake_cuda_context_end(mine);
    cuda_scene_close(&s);
}

/* Objects of the cpu device are no cuda objects. */
static void test_cpu(void **state)
{
    (void)state;
    fixture f = fixture_open(1);
    monarch_queue *queue;
    monarch_buffer *buffer;
    CUcontext context;
    monarch_error error = {MONARCH_OK, ""};
    monarch_device *device = f.device;
    fixture_invalid("wrap", monarch_cuda_queue_wrap(f.device, NULL, &queue, &error), &error,
                    "cpu:0", "cuda device");
    fixture_invalid("context", monarch_cuda_device_context(f.device, &context, &error), &error,
                    "cpu:0", "cuda device");
    fixture_ok("buffer", monarch_buffer_create(f.device, 4, &buffer, &error), &error);
    assert_null(monarch_cuda_queue_stream(f.queue));
    assert_true(monarch_cuda_buffer_pointer(buffer) == 0);
    monarch_cuda_device_destroy(&device);
    assert_non_null(device);
    monarch_buffer_destroy(&buffer);
    fixture_close(&f);
}

static void test_not_opened(void **state)
{
    (void)state;
    monarch_instance *instance;
    monarch_instance_params params = monarch_instance_params_default();
    monarch_error error = {MONARCH_OK, ""};
    CUcontext mine = fake_cuda_context(0);
    monarch_device *device = (monarch_device *)&params;
    const char *words[FIXTURE_WORDS] = {"cuda", "not among", NULL};
    params.backends = "cpu";
    fixture_ok("instance", monarch_instance_create(&params, &instance, &error), &error);
    fixture_expect("wrap", monarch_cuda_device_wrap(instance, mine, &device, &error),
                   MONARCH_ERROR_UNSUPPORTED, &error, words);
    assert_null(device);
    monarch_instance_destroy(&instance);
    fake_cuda_context_end(mine);
    cuda_scene_check_clean();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_engine, reset),     cmocka_unit_test_setup(test_runtime, reset),
        cmocka_unit_test_setup(test_refusals, reset),   cmocka_unit_test_setup(test_cpu, reset),
        cmocka_unit_test_setup(test_not_opened, reset),
    };
    return cmocka_run_group_tests_name("cuda_wrap", tests, NULL, NULL);
}
