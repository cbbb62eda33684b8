/* SPDX-License-Identifier: Apache-2.0 */

/* The host side of the vulkan backend on the stand-in driver: what it offers and refuses, how work
 * becomes dispatches, submissions and allocations. */

#include <stdio.h>
#include <stdlib.h>

#include <monarch/vulkan.h>

#include "vulkan_scene.h"

static int reset(void **state)
{
    (void)state;
    fake_vulkan_reset();
    return 0;
}

static monarch_status support(const vulkan_scene *s, monarch_dtype dtype, const char *variant,
                              monarch_error *error)
{
    monarch_problem problem = fixture_problem();
    monarch_problem_set_dtype(&problem, dtype);
    return monarch_problem_supported(s->device, &problem, variant, error);
}

static void expect_refusal(const vulkan_scene *s, monarch_dtype dtype, const char *variant,
                           const char *word, const char *other)
{
    const char *words[FIXTURE_WORDS] = {word, other, NULL};
    monarch_error error = {MONARCH_OK, ""};
    fixture_expect(variant, support(s, dtype, variant, &error), MONARCH_ERROR_UNSUPPORTED, &error,
                   words);
}

static void test_info(void **state)
{
    (void)state;
    vulkan_scene s;
    monarch_device_info info = {.struct_size = sizeof info};
    vulkan_scene_open(&s);
    fixture_ok("info", monarch_device_info_get(s.device, &info, NULL), NULL);
    assert_string_equal(info.name, "Fake GPU 0");
    assert_string_equal(info.driver, "1.0, Vulkan 1.3.0");
    assert_string_equal(info.features,
                        "storage16 subgroup_size cooperative_matrix cooperative_matrix2 bfloat16");
    assert_int_equal(info.subgroup_size, 32);
    assert_int_equal(info.local_memory, 49152);
    assert_int_equal(fake_vulkan_state()->live.devices, 0); /* looking makes no device */
    for (int dtype = MONARCH_F32; dtype <= MONARCH_BF16; dtype++)
        fixture_ok("plain", support(&s, (monarch_dtype)dtype, "plain", NULL), NULL);
    vulkan_scene_close(&s);
}

/* What a device lacks is named. */
static void test_lacking(void **state)
{
    (void)state;
    vulkan_scene s;
    fake_vulkan *fake = fake_vulkan_state();
    fake->storage16 = false;
    vulkan_scene_open(&s);
    expect_refusal(&s, MONARCH_F32, "tiled", "storageBuffer16BitAccess", "tiled");
    fixture_ok("f16", support(&s, MONARCH_F16, NULL, NULL), NULL);
    vulkan_scene_close(&s);
    fake_vulkan_reset();
    fake->subgroup_size = false;
    vulkan_scene_open(&s);
    if (fixture_has_variant(s.device, "coopmat"))
        expect_refusal(&s, MONARCH_F16, "coopmat", "subgroups", "coopmat");
    fixture_ok("tiled", support(&s, MONARCH_F16, "tiled", NULL), NULL);
    vulkan_scene_close(&s);
    fake_vulkan_reset();
    fake->shared_memory = 2048;
    vulkan_scene_open(&s);
    monarch_problem wide = vulkan_scene_problem();
    monarch_error error = {MONARCH_OK, ""};
    const char *words[FIXTURE_WORDS] = {"2048", "shared memory", NULL};
    wide.head_dim = wide.value_dim = 256;
    fixture_expect("shared", monarch_problem_supported(s.device, &wide, "tiled", &error),
                   MONARCH_ERROR_UNSUPPORTED, &error, words);
    vulkan_scene_close(&s);
}

static void test_matrices(void **state)
{
    (void)state;
    vulkan_scene s;
    fake_vulkan *fake = fake_vulkan_state();
    vulkan_scene_open(&s);
    if (!fixture_has_variant(s.device, "coopmat")) {
        vulkan_scene_close(&s);
        print_message("skipped: this build has no variant coopmat\n");
        skip();
    }
    fixture_ok("f16", support(&s, MONARCH_F16, "coopmat", NULL), NULL);
    fixture_ok("bf16", support(&s, MONARCH_BF16, "coopmat", NULL), NULL);
    expect_refusal(&s, MONARCH_F32, "coopmat", "f32", "round");
    vulkan_scene_close(&s);
    fake->bfloat16 = false;
    vulkan_scene_open(&s);
    fixture_ok("f16", support(&s, MONARCH_F16, "coopmat", NULL), NULL);
    expect_refusal(&s, MONARCH_BF16, "coopmat", "bf16", "cooperative matrices");
    vulkan_scene_close(&s);
    fake->matrices = false;
    vulkan_scene_open(&s);
    assert_false(fixture_has_variant(s.device, "coopmat"));
    vulkan_scene_close(&s);
}

/* The same that can be reduced and converted, which an extension of its own brings. */
static void test_matrices2(void **state)
{
    (void)state;
    vulkan_scene s;
    fake_vulkan *fake = fake_vulkan_state();
    vulkan_scene_open(&s);
    if (!fixture_has_variant(s.device, "coopmat2")) {
        vulkan_scene_close(&s);
        print_message("skipped: this build has no variant coopmat2\n");
        skip();
    }
    fixture_ok("f16", support(&s, MONARCH_F16, "coopmat2", NULL), NULL);
    fixture_ok("bf16", support(&s, MONARCH_BF16, "coopmat2", NULL), NULL);
    expect_refusal(&s, MONARCH_F32, "coopmat2", "f32", "round");
    vulkan_scene_prepare(&s, NULL);
    assert_true(monarch_plan_stage_count(s.plan) > 0);
    for (uint32_t i = 0; i < monarch_plan_stage_count(s.plan); i++) {
        monarch_stage_info info = {.struct_size = sizeof info};
        fixture_ok("stage", monarch_plan_stage(s.plan, i, &info, NULL), NULL);
        assert_string_equal(info.variant, "coopmat2"); /* before the other */
    }
    vulkan_scene_close(&s);
    fake->matrices2 = false;
    vulkan_scene_open(&s);
    assert_true(fixture_has_variant(s.device, "coopmat"));
    assert_false(fixture_has_variant(s.device, "coopmat2"));
    expect_refusal(&s, MONARCH_F16, "coopmat2", "VK_NV_cooperative_matrix2", "coopmat2");
    vulkan_scene_close(&s);
}

/* Without what addresses need there is plain alone, on memory that is bound. */
static void test_bare(void **state)
{
    (void)state;
    vulkan_scene s;
    fake_vulkan *fake = fake_vulkan_state();
    monarch_device_info info = {.struct_size = sizeof info};
    monarch_error error = {MONARCH_OK, ""};
    fake->int64 = false;
    vulkan_scene_open(&s);
    fixture_ok("info", monarch_device_info_get(s.device, &info, NULL), NULL);
    assert_string_equal(info.features, "descriptors");
    assert_string_equal(info.variants, "plain");
    fixture_ok("f16", support(&s, MONARCH_F16, "plain", NULL), NULL);
    fixture_ok("bf16", support(&s, MONARCH_BF16, "plain", NULL), NULL);
    expect_refusal(&s, MONARCH_F32, "tiled", "shaderInt64", "tiled");
    vulkan_scene_prepare(&s, NULL);
    fixture_ok("execute", monarch_plan_execute(s.plan, s.queue, &s.args, &error), &error);
    assert_int_equal(fake->sets, 1);
    const char *words[FIXTURE_WORDS] = {"descriptors", "monarch_vulkan_plan_submit", NULL};
    VkCommandBuffer commands = (VkCommandBuffer)(void *)&s; /* nothing looks into it */
    fixture_expect("record", monarch_vulkan_plan_record(s.plan, commands, &s.args, &error),
                   MONARCH_ERROR_UNSUPPORTED, &error, words);
    vulkan_scene_close(&s);
    fake->bound_bytes = 1024;
    vulkan_scene_open(&s);
    expect_refusal(&s, MONARCH_F32, "plain", "bytes", "binds up to 1024");
    vulkan_scene_close(&s);
}

/* A device without what every shader needs is left out, and an older one too. */
static void test_left_out(void **state)
{
    (void)state;
    fake_vulkan *fake = fake_vulkan_state();
    for (int round = 0; round < 2; round++) {
        vulkan_scene s;
        monarch_error error = {MONARCH_OK, ""};
        monarch_device *device;
        memset(&s, 0, sizeof s);
        fake->int64 = round != 0; /* then descriptors are wanted */
        fake->bound_buffers = round != 0 ? 16 : 4;
        fake->version = round == 0 ? VK_API_VERSION_1_3 : VK_API_VERSION_1_1;
        monarch_instance_params params = vulkan_scene_params(&s);
        fixture_ok("instance", monarch_instance_create(&params, &s.instance, &error), &error);
        const char *words[FIXTURE_WORDS] = {"Fake GPU 1", round == 0 ? "binds 4" : "1.2", NULL};
        fixture_expect("find", monarch_instance_find(s.instance, "vulkan", &device, &error),
                       MONARCH_ERROR_UNSUPPORTED, &error, words);
        assert_non_null(strstr(s.log, "vulkan:0 is left out"));
        s.log[0] = 0;
        vulkan_scene_close(&s);
    }
}

/* A loader without a function that an instance or a device should have. */
static void test_missing(void **state)
{
    (void)state;
    fake_vulkan *fake = fake_vulkan_state();
    vulkan_scene s;
    monarch_error error = {MONARCH_OK, ""};
    monarch_queue *queue;
    const char *words[FIXTURE_WORDS] = {"vkGetPhysicalDeviceFeatures2", "1.2", NULL};
    memset(&s, 0, sizeof s);
    fake->missing = words[0];
    monarch_instance_params params = vulkan_scene_params(&s);
    fixture_ok("instance", monarch_instance_create(&params, &s.instance, &error), &error);
    fixture_expect("find", monarch_instance_find(s.instance, "vulkan", &s.device, &error),
                   MONARCH_ERROR_UNSUPPORTED, &error, words);
    vulkan_scene_close(&s);
    fake->missing = NULL;
    vulkan_scene_open(&s);
    words[0] = fake->missing = "vkWaitSemaphores";
    fixture_expect("queue", monarch_queue_create(s.device, &queue, &error),
                   MONARCH_ERROR_UNSUPPORTED, &error, words);
    assert_null(queue);
    fake->missing = NULL;
    fixture_ok("again", monarch_queue_create(s.device, &queue, &error), &error);
    monarch_queue_destroy(&queue);
    vulkan_scene_close(&s);
}

/* Every work-group is dispatched once, however few a dispatch may have. */
static void test_dispatches(void **state)
{
    (void)state;
    fake_vulkan *fake = fake_vulkan_state();
    const uint32_t limits[] = {65535, 7, 3};
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        vulkan_scene s;
        monarch_error error = {MONARCH_OK, ""};
        fake->work_groups = limits[i];
        vulkan_scene_open(&s);
        vulkan_scene_prepare(&s, "plain");
        fake->dispatches = 0;
        fixture_ok("execute", monarch_plan_execute(s.plan, s.queue, &s.args, &error), &error);
        uint64_t covered = 0, launches = 0, needed = 2 * 4 * 3 * 4; /* of the first stage */
        for (uint64_t d = 0; d < fake->dispatches && d < FAKE_DISPATCHES; d++) {
            const fake_dispatch *at = &fake->latest[d];
            if (at->first_work_group == 0) {
                launches++;
                if (launches == 2)
                    break;
                covered = 0;
            }
            assert_true(at->first_work_group == covered);
            covered += (uint64_t)at->groups[0] * at->groups[1];
        }
        assert_true(covered >= needed && covered < needed + limits[i]);
        vulkan_scene_close(&s);
    }
}

/* The stand-in notices a launch or a copy that no barrier orders after the work before it: within
   an execution, between executions, and between those and copies. */
static void test_order(void **state)
{
    (void)state;
    static const char *const variants[] = {"plain", "tiled", "coopmat", "coopmat2"};
    fake_vulkan *fake = fake_vulkan_state();
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++) {
        vulkan_scene s;
        monarch_error error = {MONARCH_OK, ""};
        char byte = 1;
        vulkan_scene_open(&s);
        if (fixture_has_variant(s.device, variants[i])) {
            vulkan_scene_prepare(&s, variants[i]);
            uint64_t dispatches = fake->dispatches, barriers = fake->barriers;
            fixture_ok("write", monarch_buffer_write(s.queue, s.q, 0, &byte, 1, &error), &error);
            fixture_ok("first", monarch_plan_execute(s.plan, s.queue, &s.args, &error), &error);
            fixture_ok("second", monarch_plan_execute(s.plan, s.queue, &s.args, &error), &error);
            fixture_ok("read", monarch_buffer_read(s.queue, s.out, 0, &byte, 1, &error), &error);
            assert_true(fake->dispatches - dispatches == 2 * 5); /* LEFT has two launches */
            assert_true(fake->barriers - barriers >= 2 * 5 + 2);
        }
        vulkan_scene_close(&s); /* misuse fails here */
    }
}

/* More submissions than a queue has command buffers, and none of them waited for by the caller. */
static void test_many_submissions(void **state)
{
    (void)state;
    vulkan_scene s;
    monarch_error error = {MONARCH_OK, ""};
    vulkan_scene_open(&s);
    vulkan_scene_prepare(&s, NULL);
    uint64_t before = fake_vulkan_state()->submissions;
    for (int i = 0; i < 200; i++)
        fixture_ok("execute", monarch_plan_execute(s.plan, s.queue, &s.args, &error), &error);
    assert_int_equal(fake_vulkan_state()->submissions - before, 200);
    fixture_ok("wait", monarch_queue_wait(s.queue, &error), &error);
    vulkan_scene_close(&s);
}

static void test_lost(void **state)
{
    (void)state;
    vulkan_scene s;
    monarch_error error = {MONARCH_OK, ""};
    const char *words[FIXTURE_WORDS] = {"vkWaitSemaphores", "VK_ERROR_DEVICE_LOST", NULL};
    vulkan_scene_open(&s);
    vulkan_scene_prepare(&s, NULL);
    fixture_ok("execute", monarch_plan_execute(s.plan, s.queue, &s.args, &error), &error);
    fake_vulkan_state()->lost = VK_ERROR_DEVICE_LOST;
    fixture_expect("wait", monarch_queue_wait(s.queue, &error), MONARCH_ERROR_DEVICE_LOST, &error,
                   words);
    monarch_queue_destroy(&s.queue);
    assert_non_null(strstr(s.log, "VK_ERROR_DEVICE_LOST"));
    s.log[0] = 0;
    fake_vulkan_state()->lost = VK_SUCCESS;
    vulkan_scene_close(&s);
}

/* Small buffers share allocations, and what is freed is used again. */
static void test_memory(void **state)
{
    (void)state;
    vulkan_scene s;
    monarch_error error = {MONARCH_OK, ""};
    fake_vulkan *fake = fake_vulkan_state();
    monarch_buffer *buffers[200], *large;
    vulkan_scene_open(&s);
    for (int i = 0; i < 200; i++)
        fixture_ok("buffer",
                   monarch_buffer_create(s.device, 1000 * (uint64_t)i, &buffers[i], &error),
                   &error);
    assert_int_equal(fake->allocations, 1);
    for (int i = 0; i < 200; i += 2)
        monarch_buffer_destroy(&buffers[i]);
    for (int i = 0; i < 200; i += 2)
        fixture_ok("again",
                   monarch_buffer_create(s.device, 1000 * (uint64_t)i, &buffers[i], &error),
                   &error);
    assert_int_equal(fake->allocations, 1);
    fixture_ok("large", monarch_buffer_create(s.device, 100 << 20, &large, &error), &error);
    assert_int_equal(fake->live.memories, 2);
    monarch_buffer_destroy(&large);
    for (int i = 0; i < 200; i++)
        monarch_buffer_destroy(&buffers[i]);
    assert_int_equal(fake->live.memories, 0);
    vulkan_scene_close(&s);
}

static void test_too_large(void **state)
{
    (void)state;
    vulkan_scene s;
    monarch_error error = {MONARCH_OK, ""};
    monarch_buffer *buffer;
    const char *words[FIXTURE_WORDS] = {"1073741824", "up to 1048576", NULL};
    fake_vulkan_state()->largest_allocation = 1 << 20;
    vulkan_scene_open(&s);
    fixture_expect("buffer", monarch_buffer_create(s.device, 1 << 30, &buffer, &error),
                   MONARCH_ERROR_OUT_OF_MEMORY, &error, words);
    assert_null(buffer);
    fixture_ok("smaller", monarch_buffer_create(s.device, 1 << 19, &buffer, &error), &error);
    monarch_buffer_destroy(&buffer);
    vulkan_scene_close(&s);
}

/* Bytes go there and back, more than the staging buffer holds. */
static void test_copies(void **state)
{
    (void)state;
    enum { BYTES = (9 << 20) + 13 };
    vulkan_scene s;
    monarch_error error = {MONARCH_OK, ""};
    monarch_buffer *buffer;
    monarch_queue *queue;
    unsigned char *there = fixture_aligned(BYTES, 64), *back = fixture_aligned(BYTES, 64);
    uint64_t seed = fixture_seed();
    for (size_t i = 0; i < BYTES; i++)
        there[i] = (unsigned char)fixture_random(&seed);
    vulkan_scene_open(&s);
    fixture_ok("queue", monarch_queue_create(s.device, &queue, &error), &error);
    fixture_ok("buffer", monarch_buffer_create(s.device, BYTES + 5, &buffer, &error), &error);
    fixture_ok("write", monarch_buffer_write(queue, buffer, 3, there, BYTES, &error), &error);
    fixture_ok("read", monarch_buffer_read(queue, buffer, 3, back, BYTES, &error), &error);
    assert_memory_equal(there, back, BYTES);
    monarch_buffer_destroy(&buffer);
    monarch_queue_destroy(&queue);
    vulkan_scene_close(&s);
    free(there);
    free(back);
}

/* Two plans of one form share their pipelines. */
static void test_pipelines(void **state)
{
    (void)state;
    vulkan_scene s;
    monarch_error error = {MONARCH_OK, ""};
    monarch_problem problem = vulkan_scene_problem();
    monarch_plan *second;
    vulkan_scene_open(&s);
    vulkan_scene_prepare(&s, NULL);
    int pipelines = fake_vulkan_state()->live.pipelines;
    assert_true(pipelines > 0);
    problem.batch = 7;
    fixture_ok("plan", monarch_plan_create(s.device, &problem, NULL, &second, &error), &error);
    assert_int_equal(fake_vulkan_state()->live.pipelines, pipelines);
    assert_int_equal(fake_vulkan_state()->live.shader_modules, 0);
    monarch_plan_destroy(&second);
    vulkan_scene_close(&s);
}

static void test_time(void **state)
{
    (void)state;
    vulkan_scene s;
    double seconds[40];
    monarch_error error = {MONARCH_OK, ""};
    vulkan_scene_open(&s);
    vulkan_scene_prepare(&s, "plain");
    fixture_ok("time", monarch_plan_time(s.plan, s.queue, &s.args, 40, seconds, &error), &error);
    for (int i = 0; i < 40; i++) /* five launches: LEFT has two */
        assert_float_equal((float)seconds[i], 5e-9 * FAKE_DISPATCH_NS, 1e-12);
    vulkan_scene_close(&s);
    fake_vulkan_reset();
    fake_vulkan_state()->timestamp_bits = 0;
    vulkan_scene_open(&s);
    vulkan_scene_prepare(&s, "plain");
    fixture_ok("time", monarch_plan_time(s.plan, s.queue, &s.args, 3, seconds, &error), &error);
    for (int i = 0; i < 3; i++)
        assert_true(seconds[i] > 0.0 && seconds[i] < 1.0);
    assert_int_equal(fake_vulkan_state()->live.query_pools, 0);
    vulkan_scene_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_info, reset),
        cmocka_unit_test_setup(test_lacking, reset),
        cmocka_unit_test_setup(test_matrices, reset),
        cmocka_unit_test_setup(test_matrices2, reset),
        cmocka_unit_test_setup(test_bare, reset),
        cmocka_unit_test_setup(test_left_out, reset),
        cmocka_unit_test_setup(test_missing, reset),
        cmocka_unit_test_setup(test_dispatches, reset),
        cmocka_unit_test_setup(test_order, reset),
        cmocka_unit_test_setup(test_many_submissions, reset),
        cmocka_unit_test_setup(test_lost, reset),
        cmocka_unit_test_setup(test_memory, reset),
        cmocka_unit_test_setup(test_too_large, reset),
        cmocka_unit_test_setup(test_copies, reset),
        cmocka_unit_test_setup(test_pipelines, reset),
        cmocka_unit_test_setup(test_time, reset),
    };
    return cmocka_run_group_tests_name("vulkan_host", tests, NULL, NULL);
}
