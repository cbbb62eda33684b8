/* SPDX-License-Identifier: Apache-2.0 */

/* monarch/vulkan.h in a build without the vulkan backend: everything is there, and says so. */

#include <monarch/vulkan.h>

#include "fixture.h"

static void test_absent(void **state)
{
    (void)state;
    static const char *const words[FIXTURE_WORDS] = {"this build has no vulkan backend", NULL};
    fixture f = fixture_open(1);
    monarch_error error = {MONARCH_OK, ""};
    monarch_device *device = (monarch_device *)&error;
    monarch_queue *queue = (monarch_queue *)&error;
    monarch_vulkan_device_params params = monarch_vulkan_device_params_default();
    monarch_vulkan_queue_params queue_params = monarch_vulkan_queue_params_default();
    uint32_t features = 1;
    size_t size = 0;
    const monarch_status unsupported = MONARCH_ERROR_UNSUPPORTED;
    fixture_expect("features",
                   monarch_vulkan_features(f.instance, NULL, NULL, NULL, &features, &error),
                   unsupported, &error, words);
    assert_int_equal(features, 0);
    fixture_expect("wrap", monarch_vulkan_device_wrap(f.instance, &params, &device, &error),
                   unsupported, &error, words);
    assert_null(device);
    fixture_expect("queue", monarch_vulkan_queue_wrap(f.device, &queue_params, &queue, &error),
                   unsupported, &error, words);
    assert_null(queue);
    fixture_expect("record", monarch_vulkan_plan_record(NULL, NULL, NULL, &error), unsupported,
                   &error, words);
    fixture_expect("submit", monarch_vulkan_plan_submit(NULL, f.queue, NULL, NULL, NULL, &error),
                   unsupported, &error, words);
    fixture_expect("save", monarch_vulkan_cache_save(f.device, NULL, &size, &error), unsupported,
                   &error, words);
    fixture_expect("load", monarch_vulkan_cache_load(f.device, &size, sizeof size, &error),
                   unsupported, &error, words);
    fixture_expect("find", monarch_instance_find(f.instance, "vulkan", &device, &error),
                   unsupported, &error, words);
    monarch_memory memory = monarch_vulkan_memory(NULL, 8, 12);
    assert_int_equal(memory.kind, MONARCH_MEMORY_VULKAN);
    assert_true(memory.handle == 0 && memory.offset == 8 && memory.size == 12);
    assert_null(monarch_vulkan_device_handle(f.device));
    assert_null(monarch_vulkan_queue_handle(f.queue));
    monarch_vulkan_device_destroy(&f.device);
    assert_non_null(f.device);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_absent)};
    return cmocka_run_group_tests_name("vulkan_absent", tests, NULL, NULL);
}
