/* SPDX-License-Identifier: Apache-2.0 */

/* monarch/vulkan.h on the stand-in driver: what must be refused, and what must be left alone. */

#include <stdio.h>

#include <monarch/vulkan.h>

#include "vulkan_scene.h"

static int reset(void **state)
{
    (void)state;
    fake_vulkan_reset();
    return 0;
}

static void *somewhere(void)
{
    static int place;
    return &place;
}

/* Arguments of a wrap that are right, but for handles that nothing looks into. */
static monarch_vulkan_device_params good_params(void)
{
    monarch_vulkan_device_params params = monarch_vulkan_device_params_default();
    params.features = MONARCH_VULKAN_REQUIRED | MONARCH_VULKAN_INT64 |
                      MONARCH_VULKAN_DEVICE_ADDRESS | MONARCH_VULKAN_SMALL_STORAGE;
    params.instance = somewhere();
    params.physical_device = somewhere();
    params.device = somewhere();
    params.queue_family = 1;
    params.queue_index = 1;
    return params;
}

static void expect_params(monarch_instance *instance, const monarch_vulkan_device_params *params,
                          const char *word, const char *other)
{
    monarch_error error = {MONARCH_OK, ""};
    monarch_device *device = somewhere();
    fixture_invalid(word, monarch_vulkan_device_wrap(instance, params, &device, &error), &error,
                    word, other);
    assert_null(device);
}

static void test_device_params(void **state)
{
    (void)state;
    vulkan_scene s;
    monarch_error error = {MONARCH_OK, ""};
    vulkan_scene_open(&s);
    monarch_vulkan_device_params params = good_params();
    fixture_invalid("device", monarch_vulkan_device_wrap(s.instance, &params, NULL, &error), &error,
                    "device", "NULL");
    expect_params(NULL, &params, "instance", "NULL");
    expect_params(s.instance, NULL, "params", "NULL");
    params.instance = NULL;
    expect_params(s.instance, &params, "params.instance", "NULL");
    params = good_params();
    params.physical_device = NULL;
    expect_params(s.instance, &params, "params.physical_device", "NULL");
    params = good_params();
    params.device = NULL;
    expect_params(s.instance, &params, "params.device", "NULL");
    params = good_params();
    params.features = MONARCH_VULKAN_INT64;
    expect_params(s.instance, &params, "params.features", "MONARCH_VULKAN_REQUIRED");
    params.features = MONARCH_VULKAN_REQUIRED | 1 << 20;
    expect_params(s.instance, &params, "params.features", "has only");
    params = good_params();
    params.queue_family = 0;
    expect_params(s.instance, &params, "queue family 0", "compute");
    params.queue_family = 5;
    expect_params(s.instance, &params, "queue family 5", "2 queue families");
    params = good_params();
    params.struct_size = 3;
    expect_params(s.instance, &params, "monarch_vulkan_device_params", "struct_size");
    vulkan_scene_close(&s);
}

/* A device on handles of the caller's, of which nothing is freed. */
static void test_device(void **state)
{
    (void)state;
    vulkan_scene s;
    monarch_error error = {MONARCH_OK, ""};
    monarch_device *device, *listed;
    vulkan_scene_open(&s);
    monarch_vulkan_device_params params = good_params();
    params.pipeline_cache = somewhere();
    fixture_ok("wrap", monarch_vulkan_device_wrap(s.instance, &params, &device, &error), &error);
    assert_int_equal(fake_vulkan_state()->live.devices, 0);
    listed = s.device;
    s.device = device;
    vulkan_scene_prepare(&s, "plain");
    fixture_ok("execute", monarch_plan_execute(s.plan, s.queue, &s.args, &error), &error);
    assert_ptr_equal(fake_vulkan_state()->latest_cache, params.pipeline_cache);
    assert_int_equal(fake_vulkan_state()->live.caches, 0); /* none beside the caller's */
    /* The instance's own device is not the caller's to destroy. */
    monarch_vulkan_device_destroy(&listed);
    assert_non_null(listed);
    monarch_vulkan_device_destroy(NULL);
    monarch_buffer_destroy(&s.q);
    monarch_buffer_destroy(&s.k);
    monarch_buffer_destroy(&s.v);
    monarch_buffer_destroy(&s.out);
    monarch_buffer_destroy(&s.mask);
    monarch_buffer_destroy(&s.workspace);
    monarch_plan_destroy(&s.plan);
    monarch_queue_destroy(&s.queue);
    monarch_vulkan_device_destroy(&device);
    assert_null(device);
    vulkan_scene_close(&s);
}

static void test_queue_and_record(void **state)
{
    (void)state;
    vulkan_scene s;
    monarch_error error = {MONARCH_OK, ""};
    monarch_queue *queue = somewhere();
    monarch_vulkan_queue_params params = monarch_vulkan_queue_params_default();
    vulkan_scene_open(&s);
    vulkan_scene_prepare(&s, NULL);
    fixture_invalid("queue", monarch_vulkan_queue_wrap(s.device, &params, NULL, &error), &error,
                    "queue", "NULL");
    fixture_invalid("params", monarch_vulkan_queue_wrap(s.device, NULL, &queue, &error), &error,
                    "params", "NULL");
    assert_null(queue);
    fixture_invalid("queue", monarch_vulkan_queue_wrap(s.device, &params, &queue, &error), &error,
                    "params.queue", "NULL");
    fixture_invalid("device", monarch_vulkan_queue_wrap(NULL, &params, &queue, &error), &error,
                    "device", "NULL");
    fixture_invalid("plan", monarch_vulkan_plan_record(NULL, somewhere(), &s.args, &error), &error,
                    "plan", "NULL");
    fixture_invalid("commands", monarch_vulkan_plan_record(s.plan, NULL, &s.args, &error), &error,
                    "commands", "NULL");
    fixture_invalid("plan", monarch_vulkan_plan_submit(NULL, s.queue, &s.args, NULL, NULL, &error),
                    &error, "plan", "NULL");
    monarch_plan_args args = s.args;
    args.q = monarch_host_memory(somewhere(), 4);
    fixture_invalid("host", monarch_vulkan_plan_record(s.plan, somewhere(), &args, &error), &error,
                    "args.q", "HOST");
    args.q = monarch_vulkan_memory(monarch_vulkan_buffer_handle(s.q), 2, 4);
    fixture_invalid("short", monarch_vulkan_plan_record(s.plan, somewhere(), &args, &error), &error,
                    "args.q", "4 bytes");
    vulkan_scene_close(&s);
}

static void test_cache(void **state)
{
    (void)state;
    vulkan_scene s;
    monarch_error error = {MONARCH_OK, ""};
    char data[64] = {0};
    size_t size = sizeof data;
    vulkan_scene_open(&s);
    fixture_ok("nothing yet", monarch_vulkan_cache_save(s.device, data, &size, &error), &error);
    assert_int_equal(size, 0);
    vulkan_scene_prepare(&s, NULL);
    size = 3;
    fixture_invalid("room", monarch_vulkan_cache_save(s.device, data, &size, &error), &error, "3",
                    "32");
    size = sizeof data;
    fixture_ok("save", monarch_vulkan_cache_save(s.device, data, &size, &error), &error);
    assert_int_equal(size, 32);
    fixture_invalid("late", monarch_vulkan_cache_load(s.device, data, size, &error), &error,
                    "already", NULL);
    monarch_device *second;
    fixture_ok("second", monarch_instance_find(s.instance, "vulkan:1", &second, &error), &error);
    fixture_invalid("short", monarch_vulkan_cache_load(second, data, 31, &error), &error, "31",
                    NULL);
    data[4] = 9; /* another version of the header */
    fixture_invalid("else", monarch_vulkan_cache_load(second, data, size, &error), &error, "32",
                    NULL);
    data[4] = 1;
    fixture_ok("load", monarch_vulkan_cache_load(second, data, size, &error), &error);
    assert_int_equal(fake_vulkan_state()->initial_cache_bytes, 32);
    fixture_invalid("data", monarch_vulkan_cache_load(second, NULL, size, &error), &error, "data",
                    "NULL");
    fixture_invalid("size", monarch_vulkan_cache_save(second, data, NULL, &error), &error, "size",
                    "NULL");
    vulkan_scene_close(&s);
}

/* Objects of the cpu device are no vulkan objects. */
static void test_cpu(void **state)
{
    (void)state;
    fixture f = fixture_open(1);
    monarch_queue *queue;
    monarch_buffer *buffer;
    monarch_error error = {MONARCH_OK, ""};
    monarch_device *device = f.device;
    monarch_vulkan_queue_params params = monarch_vulkan_queue_params_default();
    size_t size = 0;
    fixture_invalid("wrap", monarch_vulkan_queue_wrap(f.device, &params, &queue, &error), &error,
                    "cpu:0", "vulkan device");
    fixture_invalid("cache", monarch_vulkan_cache_save(f.device, NULL, &size, &error), &error,
                    "cpu:0", "vulkan device");
    fixture_ok("buffer", monarch_buffer_create(f.device, 4, &buffer, &error), &error);
    assert_null(monarch_vulkan_device_handle(f.device));
    assert_null(monarch_vulkan_device_handle(NULL));
    assert_null(monarch_vulkan_queue_handle(f.queue));
    assert_true(monarch_vulkan_buffer_handle(buffer) == 0);
    monarch_vulkan_device_destroy(&device);
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
    monarch_device *device = somewhere();
    monarch_vulkan_device_params good = good_params();
    uint32_t features = 1;
    const char *words[FIXTURE_WORDS] = {"vulkan", "not among", NULL};
    params.backends = "cpu";
    fixture_ok("instance", monarch_instance_create(&params, &instance, &error), &error);
    fixture_expect("wrap", monarch_vulkan_device_wrap(instance, &good, &device, &error),
                   MONARCH_ERROR_UNSUPPORTED, &error, words);
    assert_null(device);
    fixture_expect(
        "features",
        monarch_vulkan_features(instance, somewhere(), somewhere(), NULL, &features, &error),
        MONARCH_ERROR_UNSUPPORTED, &error, words);
    assert_int_equal(features, 0);
    monarch_instance_destroy(&instance);
    vulkan_scene_check_clean();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_device_params, reset),
        cmocka_unit_test_setup(test_device, reset),
        cmocka_unit_test_setup(test_queue_and_record, reset),
        cmocka_unit_test_setup(test_cache, reset),
        cmocka_unit_test_setup(test_cpu, reset),
        cmocka_unit_test_setup(test_not_opened, reset),
    };
    return cmocka_run_group_tests_name("vulkan_wrap", tests, NULL, NULL);
}
