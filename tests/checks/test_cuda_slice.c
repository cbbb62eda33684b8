/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Variant slice on a stand-in for the driver: which problems get it, what it refuses and why, that
 * it needs no workspace, and how it is launched. The stand-in runs 132 / size clusters at once.
 */

#include <stdio.h>

#include <monarch/cuda.h>

#include "cuda_scene.h"

enum { MULTIPROCESSORS = 132, MAPS = 5, MAPS_WITH_PADDING = 7 };

static int reset(void **state)
{
    (void)state;
    fake_cuda_reset();
    return 0;
}

static monarch_problem shape(int64_t heads, int64_t tokens, int64_t block, int64_t dim)
{
    return cuda_scene_shape(1, heads, tokens, block, dim, 1);
}

/* See suits() in backends/cuda/slice.c. */
static void test_choice(void **state)
{
    static const struct {
        int64_t heads, tokens, block, dim;
        int32_t steps;
        const char *variant;
    } rows[] = {
        {1, 4096, 64, 64, 1, "slice"},    {12, 4096, 64, 64, 1, "slice"},
        {96, 4096, 64, 64, 1, "slice"},   {12, 4096, 64, 64, 2, "slice"},
        {1, 4096, 64, 64, 3, "slice"},    {12, 4095, 64, 64, 1, "cluster"},
        {12, 8192, 64, 64, 1, "slice"},   {3, 8192, 64, 64, 1, "hopper"}, /* 3 of 7 clusters */
        {12, 8192, 128, 64, 1, "slice"},  {12, 8192, 90, 64, 1, "slice"},
        {3, 8192, 90, 64, 1, "hopper"},   {12, 8192, 72, 64, 1, "ring"},   /* two slices */
        {12, 5120, 70, 64, 1, "slice"},   {12, 16384, 128, 64, 1, "ring"}, /* 3.4 rounds */
        {24, 16384, 128, 64, 1, "slice"}, {64, 4096, 64, 128, 1, "slice"},
        {12, 16384, 128, 128, 1, "ring"}, /* too much for shared memory */
    };
    (void)state;
    cuda_scene s;
    cuda_scene_open(&s);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        monarch_problem problem = shape(rows[i].heads, rows[i].tokens, rows[i].block, rows[i].dim);
        problem.steps = rows[i].steps;
        cuda_scene_expect(&s, &problem, rows[i].variant);
    }
    cuda_scene_close(&s);
}

static void expect_refusal(const cuda_scene *s, const monarch_problem *problem, const char *reason)
{
    monarch_error error = {MONARCH_OK, ""};
    monarch_plan_options options = monarch_plan_options_default();
    options.variant = "slice";
    monarch_plan *plan;
    assert_int_equal(monarch_plan_create(s->device, problem, &options, &plan, &error),
                     MONARCH_ERROR_UNSUPPORTED);
    if (!strstr(error.message, reason))
        fail_msg("\"%s\" instead of \"%s\"", error.message, reason);
    assert_null(plan);
}

static void test_refusal(void **state)
{
    (void)state;
    cuda_scene s;
    cuda_scene_open(&s);
    monarch_problem problem = shape(12, 4096, 64, 64);
    problem.steps = 2;
    fixture_ok("T = 2", monarch_problem_supported(s.device, &problem, "slice", NULL), NULL);
    problem.head_dim = problem.value_dim = 128;
    expect_refusal(&s, &problem, "T = 1");
    problem = shape(12, 4095, 64, 64);
    problem.steps = 2;
    expect_refusal(&s, &problem, "T = 1");
    problem = shape(12, 4032, 64, 64);
    expect_refusal(&s, &problem, "64 to 128 blocks");
    problem = shape(12, 6000, 63, 64);
    expect_refusal(&s, &problem, "64 to 128 tokens");
    problem = shape(12, 8192, 90, 128);
    expect_refusal(&s, &problem, "with 64 features");
    problem = shape(12, 8192, 90, 64);
    problem.has_mask = true;
    expect_refusal(&s, &problem, "no mask");
    problem = shape(12, 16384, 128, 128);
    expect_refusal(&s, &problem, "do not fit into the shared memory of a cluster");
    cuda_scene_close(&s);
}

static void test_small_gpu(void **state)
{
    (void)state;
    cuda_scene s;
    fake_cuda_state()->multiprocessors = 112;
    cuda_scene_open(&s);
    monarch_problem problem = shape(12, 4096, 64, 64);
    expect_refusal(&s, &problem, "112 multiprocessors");
    cuda_scene_expect(&s, &problem, "cluster");
    cuda_scene_close(&s);
    /* A part of a GPU. */
    for (int count = 1; count <= 32; count *= 2) {
        fake_cuda_state()->multiprocessors = count;
        cuda_scene_open(&s);
        expect_refusal(&s, &problem, "multiprocessors; variant slice needs clusters");
        cuda_scene_close(&s);
    }
}

/* The device turns out to run no cluster of that size. */
static void test_no_clusters(void **state)
{
    (void)state;
    cuda_scene s;
    cuda_scene_open(&s);
    monarch_problem problem = shape(1, 4096, 64, 64);
    fake_cuda_state()->multiprocessors = 0;
    expect_refusal(&s, &problem, "runs no cluster of 16 work-groups");
    cuda_scene_close(&s);
}

static void expect_launch(cuda_scene *s, int64_t heads, int64_t tokens, int64_t block, int maps,
                          unsigned cluster, unsigned work_groups)
{
    const uint64_t apart = UINT64_C(1) << 44; /* bytes between tensors that nobody touches */
    monarch_error error = {MONARCH_OK, ""};
    uint64_t size = 1;
    monarch_problem problem = shape(heads, tokens, block, 64);
    fake_cuda_clear();
    monarch_plan *plan = cuda_scene_plan(s, &problem, "slice");
    monarch_plan_workspace(plan, &size, NULL);
    assert_int_equal(size, 0);
    assert_int_equal(cuda_scene_calls("cuTensorMapEncodeTiled"), maps);
    monarch_plan_args args = monarch_plan_args_default();
    args.q = monarch_cuda_memory(1 * apart, 0);
    args.k = monarch_cuda_memory(2 * apart, 0);
    args.v = monarch_cuda_memory(3 * apart, 0);
    args.out = monarch_cuda_memory(4 * apart, 0);
    fake_cuda_state()->launches = 0;
    fixture_ok("execute", monarch_plan_execute(plan, s->queue, &args, &error), &error);
    const fake_cuda *fake = fake_cuda_state();
    assert_int_equal(fake->launches, 1);
    assert_true(fake->latest[0].overlaps && !fake->latest[0].cooperative);
    assert_int_equal(fake->latest[0].cluster, cluster);
    assert_int_equal(fake->latest[0].grid[0], work_groups);
    monarch_plan_destroy(&plan);
}

static void test_launch(void **state)
{
    (void)state;
    cuda_scene s;
    monarch_error error = {MONARCH_OK, ""};
    cuda_scene_open(&s);
    fixture_ok("queue", monarch_queue_create(s.device, &s.queue, &error), &error);
    expect_launch(&s, 2, 4096, 64, MAPS, 16, 2 * 16);
    expect_launch(&s, 12, 4096, 64, MAPS, 8, 12 * 8);
    expect_launch(&s, 96, 4096, 64, MAPS, 8, MULTIPROCESSORS / 8 * 8);
    expect_launch(&s, 12, 8192, 64, MAPS, 16, MULTIPROCESSORS / 16 * 16);
    /* Ragged: one slice of a head, or two of those for which there is no room. */
    expect_launch(&s, 2, 8192, 90, MAPS_WITH_PADDING, 16, 2 * 16);
    expect_launch(&s, 12, 8100, 90, MAPS, 16, MULTIPROCESSORS / 16 * 16);
    expect_launch(&s, 2, 8192, 72, MAPS_WITH_PADDING, 16, 4 * 16);
    expect_launch(&s, 2, 8192, 100, MAPS_WITH_PADDING, 16, 4 * 16);
    cuda_scene_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_choice, reset),
        cmocka_unit_test_setup(test_refusal, reset),
        cmocka_unit_test_setup(test_small_gpu, reset),
        cmocka_unit_test_setup(test_no_clusters, reset),
        cmocka_unit_test_setup(test_launch, reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
