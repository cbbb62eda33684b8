/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Variant cluster on a stand-in for the driver: which problems get it, what it refuses and why, its
 * workspace, how it is launched, and that its tensors get maps.
 */

#include <stdio.h>

#include <monarch/cuda.h>

#include "cuda_scene.h"

enum { MAPS = 5 };

static int reset(void **state)
{
    (void)state;
    fake_cuda_reset();
    return 0;
}

static monarch_status plan_with(const cuda_scene *s, const monarch_problem *problem,
                                const char *variant, monarch_plan **plan, monarch_error *error)
{
    monarch_plan_options options = monarch_plan_options_default();
    options.variant = variant;
    return monarch_plan_create(s->device, problem, &options, plan, error);
}

/* See suits() in backends/cuda/cluster.c. */
static void test_choice(void **state)
{
    static const struct {
        int64_t heads, tokens, block, dim;
        int32_t steps;
        const char *variant;
    } rows[] = {
        {12, 197, 14, 64, 1, "cluster"},
        {12, 384, 24, 64, 1, "cluster"},
        {12, 1024, 32, 64, 1, "cluster"},
        {12, 2048, 45, 64, 1, "cluster"},
        {12, 4000, 64, 64, 2, "cluster"},
        {48, 1024, 32, 64, 1, "cluster"},
        {384, 1024, 32, 64, 1, "cluster"}, /* not at once */
        {384, 1024, 32, 64, 2, "cluster"},
        {192, 2048, 48, 64, 1, "cluster"},
        {96, 4000, 64, 64, 2, "cluster"},
        {256, 1024, 32, 128, 1, "cluster"},
        {96, 197, 14, 64, 2, "fused"}, /* a head fits one work-group */
        {768, 256, 16, 64, 1, "fused"},
        {12, 2048, 48, 128, 1, "ring"}, /* few blocks at a time */
        {16, 2048, 32, 128, 1, "tiled"},
        {12, 8192, 64, 64, 2, "ring"}, /* 128 blocks of 64 do not fit */
    };
    (void)state;
    cuda_scene s;
    cuda_scene_open(&s);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        monarch_problem problem = cuda_scene_shape(1, rows[i].heads, rows[i].tokens, rows[i].block,
                                                   rows[i].dim, rows[i].steps);
        cuda_scene_expect(&s, &problem, rows[i].variant);
    }
    cuda_scene_close(&s);
}

static void test_refusal(void **state)
{
    static const struct {
        int64_t tokens, block, dim;
        const char *reason;
    } rows[] = {
        {4096, 64, 129, "129 features"},
        {4096, 16, 64, "256 blocks of 16 tokens"},
        {8192, 90, 64, "do not fit into the shared memory"},
    };
    (void)state;
    cuda_scene s;
    cuda_scene_open(&s);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        monarch_problem problem =
            cuda_scene_shape(1, 12, rows[i].tokens, rows[i].block, rows[i].dim, 1);
        monarch_error error = {MONARCH_OK, ""};
        monarch_plan *plan;
        assert_int_equal(plan_with(&s, &problem, "cluster", &plan, &error),
                         MONARCH_ERROR_UNSUPPORTED);
        if (!strstr(error.message, rows[i].reason))
            fail_msg("row %zu: %s", i, error.message);
        assert_null(plan);
    }
    cuda_scene_close(&s);
}

static uint64_t workspace_of(const cuda_scene *s, int64_t heads, int32_t steps)
{
    uint64_t size = 0;
    monarch_problem problem = cuda_scene_shape(1, heads, 1024, 32, 64, steps);
    monarch_plan *plan = cuda_scene_plan(s, &problem, "cluster");
    monarch_plan_workspace(plan, &size, NULL);
    monarch_plan_destroy(&plan);
    return size;
}

/* Only aR/cR leaves the chip. Builds with AddressSanitizer guard a workspace with a few bytes. */
static void test_workspace(void **state)
{
    (void)state;
    cuda_scene s;
    cuda_scene_open(&s);
    assert_int_equal(workspace_of(&s, 12, 1), 0);
    assert_in_range(workspace_of(&s, 12, 2), 12 * 1024 * 128, 12 * 1024 * 128 + 1024);
    assert_int_equal(workspace_of(&s, 12, 3), workspace_of(&s, 12, 2));
    cuda_scene_close(&s);
}

static void test_launch(void **state)
{
    const uint64_t apart = UINT64_C(1) << 44; /* bytes between tensors that nobody touches */
    (void)state;
    cuda_scene s;
    monarch_error error = {MONARCH_OK, ""};
    cuda_scene_open(&s);
    fixture_ok("queue", monarch_queue_create(s.device, &s.queue, &error), &error);
    monarch_problem problem = cuda_scene_shape(1, 12, 1024, 32, 64, 1);
    monarch_plan *plan = cuda_scene_plan(&s, &problem, "cluster");
    assert_int_equal(cuda_scene_calls("cuTensorMapEncodeTiled"), MAPS);
    monarch_plan_args args = monarch_plan_args_default();
    args.q = monarch_cuda_memory(1 * apart, 0);
    args.k = monarch_cuda_memory(2 * apart, 0);
    args.v = monarch_cuda_memory(3 * apart, 0);
    args.out = monarch_cuda_memory(4 * apart, 0);
    fake_cuda_clear();
    fixture_ok("execute", monarch_plan_execute(plan, s.queue, &args, &error), &error);
    assert_int_equal(cuda_scene_calls("cuTensorMapReplaceAddress"), MAPS);
    const fake_cuda *fake = fake_cuda_state();
    assert_int_equal(fake->launches, 1);
    assert_true(fake->latest[0].overlaps && !fake->latest[0].cooperative);
    assert_int_equal(fake->latest[0].cluster, 8);
    assert_int_equal(fake->latest[0].grid[0], 12 * 8);
    assert_int_equal(fake->latest[0].grid[1], 1);
    monarch_plan_destroy(&plan);
    problem = cuda_scene_shape(1, 12, 1, 1, 64, 1); /* never alone, even with nothing to share */
    plan = cuda_scene_plan(&s, &problem, "cluster");
    fixture_ok("execute", monarch_plan_execute(plan, s.queue, &args, &error), &error);
    assert_int_equal(fake->latest[1].cluster, 2);
    monarch_plan_destroy(&plan);
    cuda_scene_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_choice, reset),
        cmocka_unit_test_setup(test_refusal, reset),
        cmocka_unit_test_setup(test_workspace, reset),
        cmocka_unit_test_setup(test_launch, reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
