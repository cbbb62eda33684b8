/* SPDX-License-Identifier: Apache-2.0 */

/* Instances, backends and devices, with every argument wrong once. */

#include <stdio.h>
#include <stdlib.h>

#include "fixture.h"

static fixture shared;

static int open_shared(void **state)
{
    (void)state;
    shared = fixture_open(1);
    return 0;
}

static int close_shared(void **state)
{
    (void)state;
    fixture_close(&shared);
    return 0;
}

static void *take(void *user, size_t size, size_t alignment)
{
    void *pointer = NULL;
    ++*(int *)user;
    return posix_memalign(&pointer, alignment, size) == 0 ? pointer : NULL;
}

static void give(void *user, void *pointer)
{
    --*(int *)user;
    free(pointer);
}

static void refuse_params(const monarch_instance_params *params, const char *word,
                          const char *other)
{
    monarch_error error = {MONARCH_OK, ""};
    monarch_instance *instance = (monarch_instance *)&error;
    monarch_status status = monarch_instance_create(params, &instance, &error);
    fixture_invalid("instance_create", status, &error, word, other);
    assert_null(instance);
    assert_int_equal(monarch_instance_create(params, &instance, NULL), status);
}

static void test_instance_params(void **state)
{
    (void)state;
    monarch_instance_params params = monarch_instance_params_default();
    params.struct_size = 0;
    refuse_params(&params, "struct_size", "0");
    params.struct_size = (uint32_t)sizeof params - 1;
    refuse_params(&params, "struct_size", NULL);
    params = monarch_instance_params_default();
    params.cpu_threads = -1;
    refuse_params(&params, "cpu_threads", "-1");
    params.cpu_threads = INT32_MAX;
    refuse_params(&params, "cpu_threads", "2147483647");
    params = monarch_instance_params_default();
    static const char *const lists[] = {"foo", "", ",", "cpu,", "cpu,foo", "CPU", "cpu cuda", "cp"};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        params.backends = lists[i];
        refuse_params(&params, "backends", "vulkan");
    }
    int live = 0;
    params = monarch_instance_params_default();
    params.allocator.allocate = take;
    params.allocator.user = &live;
    refuse_params(&params, "allocator", "release");
    params.allocator.allocate = NULL;
    params.allocator.release = give;
    refuse_params(&params, "allocator", "allocate");
    assert_int_equal(live, 0);
    monarch_error error = {MONARCH_OK, ""};
    fixture_invalid("instance_create", monarch_instance_create(NULL, NULL, &error), &error,
                    "instance", "NULL");
}

static void test_instance_choices(void **state)
{
    (void)state;
    monarch_error error = {MONARCH_OK, ""};
    monarch_instance *instance = NULL;
    fixture_ok("NULL params", monarch_instance_create(NULL, &instance, &error), &error);
    assert_true(monarch_instance_device_count(instance) >= 1);
    monarch_instance_destroy(&instance);
    assert_null(instance);
    int live = 0;
    monarch_instance_params params = monarch_instance_params_default();
    params.backends = "cpu";
    params.allocator = (monarch_allocator){take, give, &live};
    fixture_ok("cpu only", monarch_instance_create(&params, &instance, &error), &error);
    assert_true(live > 0);
    assert_int_equal(monarch_instance_device_count(instance), 1);
    monarch_instance_destroy(&instance);
    assert_int_equal(live, 0);
    params.backends = "cuda,vulkan";
    fixture_ok("no cpu", monarch_instance_create(&params, &instance, &error), &error);
    monarch_device *device = NULL;
    const char *words[FIXTURE_WORDS] = {"cpu"};
    monarch_status status = monarch_instance_find(instance, "cpu", &device, &error);
    fixture_expect("find", status, MONARCH_ERROR_UNSUPPORTED, &error, words);
    monarch_instance_destroy(&instance);
    assert_int_equal(live, 0);
    monarch_instance_destroy(&instance);
    monarch_instance_destroy(NULL);
}

/* A larger structure of a newer program is taken when it asks for nothing unknown. */
static void test_instance_newer(void **state)
{
    (void)state;
    struct {
        monarch_instance_params params;
        uint64_t more[2];
    } newer = {monarch_instance_params_default(), {0, 0}};
    newer.params.struct_size = (uint32_t)sizeof newer;
    monarch_error error = {MONARCH_OK, ""};
    monarch_instance *instance = NULL;
    fixture_ok("zero tail", monarch_instance_create(&newer.params, &instance, &error), &error);
    monarch_instance_destroy(&instance);
    newer.more[1] = 1;
    refuse_params(&newer.params, "struct_size", NULL);
}

static void test_backends(void **state)
{
    (void)state;
    monarch_error error = {MONARCH_OK, ""};
    uint32_t count = monarch_instance_backend_count(shared.instance), devices = 0;
    bool cpu = false;
    assert_true(count >= 1);
    for (uint32_t i = 0; i < count; i++) {
        monarch_backend_info info;
        fixture_poison(&info, sizeof info);
        info.struct_size = (uint32_t)sizeof info;
        fixture_ok("backend", monarch_instance_backend(shared.instance, i, &info, &error), &error);
        assert_non_null(memchr(info.name, 0, sizeof info.name));
        assert_non_null(memchr(info.reason, 0, sizeof info.reason));
        printf("backend %s: %u devices %s\n", info.name, info.device_count, info.reason);
        /* No device and no reason, or a device and a reason: both leave the user in the dark. */
        assert_int_equal(info.device_count == 0, info.reason[0] != 0);
        cpu |= strcmp(info.name, "cpu") == 0 && info.device_count == 1;
        devices += info.device_count;
        info.struct_size = 0;
        fixture_invalid("backend", monarch_instance_backend(shared.instance, i, &info, &error),
                        &error, "struct_size", "0");
    }
    assert_true(cpu);
    assert_int_equal(monarch_instance_device_count(shared.instance), devices);
    monarch_backend_info info = {.struct_size = sizeof info};
    char past[16];
    snprintf(past, sizeof past, "%u", count);
    fixture_invalid("past", monarch_instance_backend(shared.instance, count, &info, &error), &error,
                    "index", past);
    fixture_invalid("null", monarch_instance_backend(NULL, 0, &info, &error), &error, "instance",
                    "NULL");
    fixture_invalid("null", monarch_instance_backend(shared.instance, 0, NULL, &error), &error,
                    "info", "NULL");
    assert_int_equal(monarch_instance_backend_count(NULL), 0);
}

static void test_devices(void **state)
{
    (void)state;
    uint32_t count = monarch_instance_device_count(shared.instance);
    for (uint32_t i = 0; i < count; i++) {
        monarch_error error = {MONARCH_OK, ""};
        monarch_device *device = monarch_instance_device(shared.instance, i), *found = NULL;
        assert_non_null(device);
        monarch_device_info info = {.struct_size = sizeof info};
        fixture_ok("info", monarch_device_info_get(device, &info, &error), &error);
        char name[32];
        snprintf(name, sizeof name, "%.16s:%u", info.backend, info.index);
        fixture_ok(name, monarch_instance_find(shared.instance, name, &found, &error), &error);
        assert_ptr_equal(found, device);
        assert_true(info.name[0] && info.variants[0]);
        /* Vulkan does not tell how many there are; 0 says so. */
        assert_true(info.compute_units > 0 || strcmp(info.backend, "vulkan") == 0);
    }
    assert_null(monarch_instance_device(shared.instance, count));
    assert_null(monarch_instance_device(NULL, 0));
    assert_int_equal(monarch_instance_device_count(NULL), 0);
}

/* Programs of another version know fewer or more bytes of the structure than the library. */
static void test_device_info_sizes(void **state)
{
    (void)state;
    monarch_error error = {MONARCH_OK, ""};
    struct {
        monarch_device_info info;
        unsigned char more[64];
    } all;
    fixture_poison(&all, sizeof all);
    all.info.struct_size = offsetof(monarch_device_info, name);
    fixture_ok("short", monarch_device_info_get(shared.device, &all.info, &error), &error);
    assert_string_equal(all.info.backend, "cpu");
    assert_true(fixture_all_poison(all.info.name, sizeof all.info.name));
    all.info.struct_size = (uint32_t)sizeof all;
    fixture_ok("long", monarch_device_info_get(shared.device, &all.info, &error), &error);
    assert_true(all.info.compute_units > 0);
    all.info.struct_size = 0;
    fixture_invalid("0", monarch_device_info_get(shared.device, &all.info, &error), &error,
                    "struct_size", "0");
    fixture_invalid("null", monarch_device_info_get(NULL, &all.info, &error), &error, "device",
                    "NULL");
    fixture_invalid("null", monarch_device_info_get(shared.device, NULL, &error), &error, "info",
                    "NULL");
}

static void test_find(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        monarch_status expected;
    } names[] = {
        {"cpu", MONARCH_OK},
        {"cpu:0", MONARCH_OK},
        {"cpu:1", MONARCH_ERROR_UNSUPPORTED},
        {"cpu:4294967296", MONARCH_ERROR_UNSUPPORTED},
        {"foo", MONARCH_ERROR_INVALID_ARGUMENT},
        {"foo:0", MONARCH_ERROR_INVALID_ARGUMENT},
        {"", MONARCH_ERROR_INVALID_ARGUMENT},
        {":0", MONARCH_ERROR_INVALID_ARGUMENT},
        {"cpu:", MONARCH_ERROR_INVALID_ARGUMENT},
        {"cpu:x", MONARCH_ERROR_INVALID_ARGUMENT},
        {"cpu:-1", MONARCH_ERROR_INVALID_ARGUMENT},
        {"cpu:+0", MONARCH_ERROR_INVALID_ARGUMENT},
        {"cpu: 0", MONARCH_ERROR_INVALID_ARGUMENT},
        {"cpu:0x0", MONARCH_ERROR_INVALID_ARGUMENT},
        {"cpu:0:0", MONARCH_ERROR_INVALID_ARGUMENT},
        {"cpu:99999999999999999999999", MONARCH_ERROR_INVALID_ARGUMENT},
        {"cpu0", MONARCH_ERROR_INVALID_ARGUMENT},
        {"CPU", MONARCH_ERROR_INVALID_ARGUMENT},
        {"cpu ", MONARCH_ERROR_INVALID_ARGUMENT},
        {"cuda:9999", MONARCH_ERROR_UNSUPPORTED},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        monarch_error error = {MONARCH_OK, ""};
        monarch_device *device = (monarch_device *)&error;
        const char *words[FIXTURE_WORDS] = {names[i].name};
        monarch_status status =
            monarch_instance_find(shared.instance, names[i].name, &device, &error);
        fixture_expect(names[i].name, status, names[i].expected, &error, words);
        if (status == MONARCH_OK)
            assert_ptr_equal(device, shared.device);
        else
            assert_null(device);
    }
    monarch_error error = {MONARCH_OK, ""};
    monarch_device *device = (monarch_device *)&error;
    fixture_invalid("null", monarch_instance_find(NULL, "cpu", &device, &error), &error, "instance",
                    "NULL");
    assert_null(device);
    fixture_invalid("null", monarch_instance_find(shared.instance, NULL, &device, &error), &error,
                    "name", "NULL");
    fixture_invalid("null", monarch_instance_find(shared.instance, "cpu", NULL, &error), &error,
                    "device", "NULL");
}

/* A backend without a device refuses with the very reason that its info gives. */
static void test_find_absent(void **state)
{
    (void)state;
    uint32_t count = monarch_instance_backend_count(shared.instance);
    for (uint32_t i = 0; i < count; i++) {
        monarch_error error = {MONARCH_OK, ""};
        monarch_backend_info info = {.struct_size = sizeof info};
        fixture_ok("backend", monarch_instance_backend(shared.instance, i, &info, &error), &error);
        if (info.device_count > 0)
            continue;
        monarch_device *device = NULL;
        const char *words[FIXTURE_WORDS] = {info.name, info.reason};
        monarch_status status = monarch_instance_find(shared.instance, info.name, &device, &error);
        fixture_expect("find", status, MONARCH_ERROR_UNSUPPORTED, &error, words);
    }
}

static void note(void *user, monarch_log_level level, const char *message)
{
    assert_true(level == MONARCH_LOG_WARNING || level == MONARCH_LOG_INFO);
    assert_non_null(message);
    ++*(int *)user;
}

static void test_log(void **state)
{
    (void)state;
    int messages = 0;
    monarch_error error = {MONARCH_OK, ""};
    monarch_instance *instance = NULL;
    monarch_instance_params params = monarch_instance_params_default();
    params.log = note;
    params.log_user = &messages;
    fixture_ok("create", monarch_instance_create(&params, &instance, &error), &error);
    monarch_device *device = NULL;
    fixture_ok("find", monarch_instance_find(instance, "cpu", &device, &error), &error);
    monarch_problem problem = fixture_problem();
    monarch_plan *plan = NULL;
    fixture_ok("plan", monarch_plan_create(device, &problem, NULL, &plan, &error), &error);
    monarch_plan_destroy(&plan);
    monarch_instance_destroy(&instance);
    printf("%d log messages\n", messages);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_instance_params),
        cmocka_unit_test(test_instance_choices),
        cmocka_unit_test(test_instance_newer),
        cmocka_unit_test(test_backends),
        cmocka_unit_test(test_devices),
        cmocka_unit_test(test_device_info_sizes),
        cmocka_unit_test(test_find),
        cmocka_unit_test(test_find_absent),
        cmocka_unit_test(test_log),
    };
    return cmocka_run_group_tests_name("api_device", tests, open_shared, close_shared);
}
