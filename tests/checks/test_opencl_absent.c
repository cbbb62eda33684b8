/* SPDX-License-Identifier: Apache-2.0 */

/* The functions of monarch/opencl.h in a build without the backend: all are there and say so. */

#include <monarch/opencl.h>

#include "fixture.h"

static void test_absent(void **state)
{
    (void)state;
    fixture f = fixture_open(1);
    const char *words[FIXTURE_WORDS] = {"this build has no opencl backend", NULL};
    monarch_error error = {MONARCH_OK, ""};
    cl_context context = (cl_context)&error;
    cl_event event = (cl_event)&error;
    monarch_device *device = (monarch_device *)&error;
    monarch_queue *queue = (monarch_queue *)&error;
    fixture_expect("wrap", monarch_opencl_device_wrap(f.instance, context, NULL, &device, &error),
                   MONARCH_ERROR_UNSUPPORTED, &error, words);
    assert_null(device);
    fixture_expect("queue", monarch_opencl_queue_wrap(f.device, NULL, &queue, &error),
                   MONARCH_ERROR_UNSUPPORTED, &error, words);
    assert_null(queue);
    fixture_expect("context", monarch_opencl_device_context(f.device, &context, NULL, &error),
                   MONARCH_ERROR_UNSUPPORTED, &error, words);
    assert_null(context);
    fixture_invalid("NULL", monarch_opencl_device_wrap(f.instance, context, NULL, NULL, &error),
                    &error, "device", "NULL");
    fixture_expect("find", monarch_instance_find(f.instance, "opencl", &device, &error),
                   MONARCH_ERROR_UNSUPPORTED, &error, words);
    fixture_expect("execute",
                   monarch_opencl_plan_execute(NULL, NULL, NULL, 0, NULL, &event, &error),
                   MONARCH_ERROR_UNSUPPORTED, &error, words);
    assert_null(event);
    fixture_expect("cache", monarch_opencl_device_set_cache(f.device, NULL, &error),
                   MONARCH_ERROR_UNSUPPORTED, &error, words);
    monarch_memory memory = monarch_opencl_memory((cl_mem)&error, 4, 12);
    assert_int_equal(memory.kind, MONARCH_MEMORY_OPENCL);
    assert_true(memory.handle == (uintptr_t)&error && memory.offset == 4 && memory.size == 12);
    memory = monarch_opencl_svm_memory(&error, 12);
    assert_int_equal(memory.kind, MONARCH_MEMORY_SVM);
    assert_null(monarch_opencl_queue_native(f.queue));
    assert_null(monarch_opencl_buffer_native(NULL));
    monarch_opencl_device_destroy(&f.device);
    assert_non_null(f.device);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_absent)};
    return cmocka_run_group_tests_name("opencl_absent", tests, NULL, NULL);
}
