/* SPDX-License-Identifier: Apache-2.0 */

/* The functions of monarch/cuda.h in a build without the cuda backend: all are there and say so. */

#include <monarch/cuda.h>

#include "fixture.h"

static void test_absent(void **state)
{
    (void)state;
    fixture f = fixture_open(1);
    const char *words[FIXTURE_WORDS] = {"this build has no cuda backend", NULL};
    monarch_error error = {MONARCH_OK, ""};
    CUcontext context = (CUcontext)&error;
    monarch_device *device = (monarch_device *)&error;
    monarch_queue *queue = (monarch_queue *)&error;
    fixture_expect("wrap", monarch_cuda_device_wrap(f.instance, context, &device, &error),
                   MONARCH_ERROR_UNSUPPORTED, &error, words);
    assert_null(device);
    fixture_expect("queue", monarch_cuda_queue_wrap(f.device, NULL, &queue, &error),
                   MONARCH_ERROR_UNSUPPORTED, &error, words);
    assert_null(queue);
    fixture_expect("context", monarch_cuda_device_context(f.device, &context, &error),
                   MONARCH_ERROR_UNSUPPORTED, &error, words);
    assert_null(context);
    fixture_invalid("NULL", monarch_cuda_device_wrap(f.instance, context, NULL, &error), &error,
                    "device", "NULL");
    fixture_expect("find", monarch_instance_find(f.instance, "cuda", &device, &error),
                   MONARCH_ERROR_UNSUPPORTED, &error, words);
    monarch_memory memory = monarch_cuda_memory(4096, 12);
    assert_int_equal(memory.kind, MONARCH_MEMORY_CUDA);
    assert_true(memory.handle == 4096 && memory.offset == 0 && memory.size == 12);
    assert_null(monarch_cuda_queue_stream(f.queue));
    assert_true(monarch_cuda_buffer_pointer(NULL) == 0);
    monarch_cuda_device_destroy(&f.device);
    assert_non_null(f.device);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_absent)};
    return cmocka_run_group_tests_name("cuda_absent", tests, NULL, NULL);
}
