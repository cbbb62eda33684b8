/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Variant ring on a stand-in for the driver: which problems get it, that its workspace does not
 * grow with batch and heads, how it is launched, which tensors get maps, and what becomes of a
 * driver call for them that fails.
 */

#include <stdio.h>

#include <monarch/cuda.h>

#include "cuda_scene.h"

enum { MULTIPROCESSORS = 132, MAPS = 7 };

static const uint64_t apart = UINT64_C(1) << 44; /* bytes between tensors that nobody touches */

static int reset(void **state)
{
    (void)state;
    fake_cuda_reset();
    return 0;
}

/* The table of variants is asked for each of these; see suits() in backends/cuda/ring.c. */
static void test_choice(void **state)
{
    static const struct {
        int64_t batch, heads, tokens, block, dim;
        int32_t steps;
        const char *variant; /* of the first stage */
    } rows[] = {
        {1, 12, 4000, 64, 64, 1, "cluster"}, /* all heads run at once, in clusters */
        {1, 12, 5120, 62, 64, 1, "hopper"},  /* too little work to hide the start */
        {1, 12, 8192, 64, 64, 1, "slice"},    {1, 12, 4096, 64, 64, 2, "slice"},
        {1, 12, 8192, 72, 64, 1, "ring"},     {1, 12, 16384, 128, 64, 1, "ring"},
        {1, 12, 32768, 181, 64, 1, "ring"},   {1, 12, 65536, 256, 64, 1, "ring"},
        {1, 12, 65536, 192, 64, 1, "hopper"}, /* 342 blocks */
        {1, 12, 16384, 128, 60, 1, "hopper"}, /* rows that are not whole vectors */
        {4, 16, 4096, 64, 128, 1, "slice"},   {4, 16, 4096, 64, 129, 1, "tiled"},
        {4, 16, 4096, 64, 192, 1, "ring"},    {1, 12, 16384, 128, 256, 1, "ring"},
        {4, 16, 4096, 64, 136, 1, "ring"},    {1, 12, 2048, 45, 256, 1, "ring"},
        {1, 12, 16384, 128, 256, 2, "ring"},  {1, 12, 32768, 181, 128, 1, "ring"},
        {1, 1, 2048, 45, 256, 1, "tiled"}, /* not one task for each multiprocessor */
        {1, 12, 16384, 129, 256, 1, "tiled"}, {64, 12, 256, 16, 256, 1, "fused"},
        {1, 12, 2048, 45, 80, 1, "ring"},     {1, 12, 2048, 45, 64, 1, "cluster"},
        {1, 12, 1024, 32, 128, 1, "cluster"}, {64, 12, 256, 16, 64, 1, "fused"},
        {64, 12, 4096, 16, 64, 1, "tiled"},
    };
    (void)state;
    cuda_scene s;
    cuda_scene_open(&s);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        monarch_problem problem = cuda_scene_shape(rows[i].batch, rows[i].heads, rows[i].tokens,
                                                   rows[i].block, rows[i].dim, rows[i].steps);
        cuda_scene_expect(&s, &problem, rows[i].variant);
    }
    cuda_scene_close(&s);
}

static uint64_t workspace_of(const cuda_scene *s, int64_t batch, int64_t tokens, int64_t block)
{
    uint64_t size = 0;
    monarch_problem problem = cuda_scene_shape(batch, 12, tokens, block, 64, 1);
    monarch_plan *plan = cuda_scene_plan(s, &problem, "ring");
    monarch_plan_workspace(plan, &size, NULL);
    monarch_plan_destroy(&plan);
    return size;
}

/* A ring of a few heads, however many there are. */
static void test_workspace(void **state)
{
    (void)state;
    cuda_scene s;
    cuda_scene_open(&s);
    assert_int_equal(workspace_of(&s, 4, 16384, 128), workspace_of(&s, 1000, 16384, 128));
    assert_int_equal(workspace_of(&s, 4, 8192, 90), workspace_of(&s, 1000, 8192, 90));
    /* aL/s and y of all heads would be 2 * 12 * 16384 * 128 bytes. */
    assert_true(workspace_of(&s, 1, 16384, 128) < UINT64_C(12) * 16384 * 256);
    cuda_scene_close(&s);
}

/* How many heads are kept at once: two for each by which a stage is behind the one before it, and
   two more. See set_ring() in backends/cuda/ring.c. */
static void test_slots(void **state)
{
    static const struct {
        int64_t heads, tokens, block, dim;
        int steps, row; /* bytes */
        uint64_t slots;
    } rows[] = {
        {12, 16384, 128, 64, 1, 128, 6},  {12, 16384, 128, 64, 3, 128, 6},
        {12, 16384, 128, 128, 1, 256, 6}, {12, 16384, 128, 256, 1, 512, 4}, /* none loaded ahead */
        {12, 8192, 64, 64, 1, 128, 10},                                     /* a small ring */
        {12, 4096, 64, 96, 1, 256, 12}, /* less to do in a head */
        {3, 16384, 128, 64, 1, 128, 3}, /* all heads there are */
    };
    (void)state;
    cuda_scene s;
    cuda_scene_open(&s);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        monarch_problem problem = cuda_scene_shape(1, rows[i].heads, rows[i].tokens, rows[i].block,
                                                   rows[i].dim, rows[i].steps);
        monarch_plan *plan = cuda_scene_plan(&s, &problem, "ring");
        uint64_t size = 0;
        monarch_plan_workspace(plan, &size, NULL);
        /* Rows of aL/s and aR/cR for each step, one aR/cR less, one y more; and less for cL. */
        assert_int_equal(size / (uint64_t)(2 * rows[i].steps * rows[i].tokens * rows[i].row),
                         rows[i].slots);
        monarch_plan_destroy(&plan);
    }
    cuda_scene_close(&s);
}

static monarch_plan_args far_tensors(uint64_t misaligned)
{
    monarch_plan_args args = monarch_plan_args_default();
    args.q = monarch_cuda_memory(1 * apart, 0);
    args.k = monarch_cuda_memory(2 * apart + misaligned, 0);
    args.v = monarch_cuda_memory(3 * apart, 0);
    args.out = monarch_cuda_memory(4 * apart, 0);
    args.mask = monarch_cuda_memory(5 * apart, 0);
    args.workspace = monarch_cuda_memory(6 * apart, 0);
    return args;
}

/* Plans and executes with variant ring; checks how many maps were made and given addresses. */
static void check_maps(const cuda_scene *s, const char *what, const monarch_problem *problem,
                       uint64_t misaligned, bool made, bool used)
{
    monarch_error error = {MONARCH_OK, ""};
    fake_cuda_clear();
    monarch_plan *plan = cuda_scene_plan(s, problem, "ring");
    if (cuda_scene_calls("cuTensorMapEncodeTiled") != (made ? MAPS : 0))
        fail_msg("%s: %d maps made", what, cuda_scene_calls("cuTensorMapEncodeTiled"));
    monarch_plan_args args = far_tensors(misaligned);
    if (!problem->has_mask)
        args.mask = monarch_plan_args_default().mask;
    fake_cuda_clear();
    fixture_ok(what, monarch_plan_execute(plan, s->queue, &args, &error), &error);
    if (cuda_scene_calls("cuTensorMapReplaceAddress") != (used ? MAPS : 0))
        fail_msg("%s: %d maps bound", what, cuda_scene_calls("cuTensorMapReplaceAddress"));
    monarch_plan_destroy(&plan);
}

static void test_maps(void **state)
{
    (void)state;
    cuda_scene s;
    monarch_error error = {MONARCH_OK, ""};
    cuda_scene_open(&s);
    fixture_ok("queue", monarch_queue_create(s.device, &s.queue, &error), &error);
    monarch_problem problem = cuda_scene_shape(2, 12, 8192, 90, 64, 2);
    check_maps(&s, "packed, last block not whole", &problem, 0, true, true);
    check_maps(&s, "keys not at a multiple of 16", &problem, 2, true, false);
    problem.pad = MONARCH_PAD_BEGIN;
    check_maps(&s, "padding at the begin", &problem, 0, true, true);
    problem.has_mask = 1;
    check_maps(&s, "masked", &problem, 0, false, false);
    problem = cuda_scene_shape(2, 12, 96, 1, 64, 1);
    check_maps(&s, "blocks of one token", &problem, 0, true, true);
    problem = cuda_scene_shape(2, 12, 96, 128, 64, 1);
    check_maps(&s, "one block", &problem, 0, true, true);
    problem = cuda_scene_shape(2, 12, 4096, 64, 65, 1);
    check_maps(&s, "rows that are not whole vectors", &problem, 0, false, false);
    problem = cuda_scene_shape(1, 12, 4096, 64, 64, 1);
    problem.kv_heads = 3;
    check_maps(&s, "shared key heads", &problem, 0, true, true);
    cuda_scene_close(&s);
}

/* All work-groups run at once, one a multiprocessor, and none before the launch ahead has ended. */
static void test_launch(void **state)
{
    (void)state;
    cuda_scene s;
    monarch_error error = {MONARCH_OK, ""};
    cuda_scene_open(&s);
    fixture_ok("queue", monarch_queue_create(s.device, &s.queue, &error), &error);
    monarch_problem problem = cuda_scene_shape(1, 12, 16384, 128, 64, 3);
    monarch_plan *plan = cuda_scene_plan(&s, &problem, "ring");
    monarch_plan_args args = far_tensors(0);
    args.mask = monarch_plan_args_default().mask;
    fixture_ok("execute", monarch_plan_execute(plan, s.queue, &args, &error), &error);
    const fake_cuda *fake = fake_cuda_state();
    assert_int_equal(fake->launches, 1);
    assert_true(fake->latest[0].cooperative && !fake->latest[0].overlaps);
    assert_int_equal(fake->latest[0].grid[0], MULTIPROCESSORS);
    assert_int_equal(fake->latest[0].grid[1], 1);
    monarch_plan_destroy(&plan);
    cuda_scene_close(&s);
}

/* Which kernel it is, how many threads it has, and that shared memory holds so many stages. */
static void test_kernels(void **state)
{
    static const struct {
        int64_t tokens, block, dim;
        const char *kernel;
        unsigned threads;
        int stage_rows, panels, stages;
    } rows[] = {
        {4096, 64, 64, "ring_whole_f16_64", 512, 64, 1, 4},
        {4090, 64, 128, "ring_f16_128", 384, 64, 2, 4},
        {4096, 64, 256, "ring_whole_f16_256", 384, 64, 4, 2},
        {4096, 64, 192, "ring_whole_f16_192", 384, 64, 3, 3},
        {4096, 64, 200, "ring_f16_256", 384, 64, 4, 2}, /* which do not fill four panels */
        {8192, 128, 256, "ring_whole_f16_256", 384, 128, 4, 1},
        {8192, 90, 136, "ring_f16_192", 384, 128, 3, 1},
        {32768, 181, 128, "ring_wide_f16_128", 384, 192, 2, 1},
        {32768, 128, 128, "ring_wide_whole_f16_128", 384, 256, 2, 1},
    };
    (void)state;
    cuda_scene s;
    monarch_error error = {MONARCH_OK, ""};
    cuda_scene_open(&s);
    fixture_ok("queue", monarch_queue_create(s.device, &s.queue, &error), &error);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        monarch_problem problem =
            cuda_scene_shape(1, 12, rows[i].tokens, rows[i].block, rows[i].dim, 1);
        monarch_plan *plan = cuda_scene_plan(&s, &problem, "ring");
        monarch_plan_args args = far_tensors(0);
        args.mask = monarch_plan_args_default().mask;
        fake_cuda_clear();
        fixture_ok("execute", monarch_plan_execute(plan, s.queue, &args, &error), &error);
        const fake_launch *launch = &fake_cuda_state()->latest[i];
        const unsigned stage =
            3u * 128 * (unsigned)(rows[i].stage_rows * rows[i].panels); /* its matrices */
        assert_string_equal(launch->kernel, rows[i].kernel);
        assert_int_equal(launch->threads, rows[i].threads);
        assert_int_equal(launch->shared_memory / stage, rows[i].stages);
        monarch_plan_destroy(&plan);
    }
    cuda_scene_close(&s);
}

static void expect_refusal(const cuda_scene *s, const monarch_problem *problem, const char *reason)
{
    monarch_error error = {MONARCH_OK, ""};
    assert_int_equal(monarch_problem_supported(s->device, problem, "ring", &error),
                     MONARCH_ERROR_UNSUPPORTED);
    if (!strstr(error.message, reason))
        fail_msg("\"%s\" instead of \"%s\"", error.message, reason);
}

static void test_refusal(void **state)
{
    (void)state;
    cuda_scene s;
    cuda_scene_open(&s);
    monarch_problem problem = cuda_scene_shape(1, 12, 16384, 128, 257, 1);
    expect_refusal(&s, &problem, "257 features");
    problem = cuda_scene_shape(1, 12, 16384, 129, 136, 1);
    expect_refusal(&s, &problem, "128 blocks of 129 tokens with 136 features");
    problem = cuda_scene_shape(1, 12, 16385, 128, 136, 1);
    expect_refusal(&s, &problem, "129 blocks of 128 tokens with 136 features");
    problem = cuda_scene_shape(1, 12, 65537, 256, 128, 1);
    expect_refusal(&s, &problem, "257 blocks");
    problem = cuda_scene_shape(1, 12, 4096, 64, 256, 1);
    problem.intermediates = MONARCH_INTERMEDIATES_FP8;
    expect_refusal(&s, &problem, "fp8");
    cuda_scene_close(&s);
}

static monarch_status plan_and_execute(const cuda_scene *s, monarch_error *error)
{
    monarch_problem problem = cuda_scene_shape(1, 12, 8192, 90, 64, 1);
    monarch_plan_options options = monarch_plan_options_default();
    monarch_plan_args args = far_tensors(0);
    monarch_plan *plan;
    options.variant = "ring";
    args.mask = monarch_plan_args_default().mask;
    monarch_status status = monarch_plan_create(s->device, &problem, &options, &plan, error);
    if (status == MONARCH_OK)
        status = monarch_plan_execute(plan, s->queue, &args, error);
    monarch_plan_destroy(&plan);
    return status;
}

/* Each call for a map failed in turn: the status says so by its name, and the next attempt works.
   All other calls are failed in test_cuda_failure.c. */
static void test_failures(void **state)
{
    (void)state;
    const char *names[FAKE_CALLS];
    int failed = 0;
    cuda_scene s;
    monarch_error error = {MONARCH_OK, ""};
    cuda_scene_open(&s);
    fixture_ok("queue", monarch_queue_create(s.device, &s.queue, &error), &error);
    fixture_ok("once", plan_and_execute(&s, &error), &error);
    fake_cuda *fake = fake_cuda_state();
    fake_cuda_clear();
    fixture_ok("twice", plan_and_execute(&s, &error), &error);
    const uint64_t calls = fake->calls;
    memcpy(names, fake->names, sizeof names);
    for (uint64_t i = 0; i < calls; i++) {
        if (strncmp(names[i], "cuTensorMap", 11) != 0)
            continue;
        fake->fail_with = CUDA_ERROR_INVALID_VALUE;
        fake->fail_at = i + 1;
        assert_int_equal(plan_and_execute(&s, &error), MONARCH_ERROR_NATIVE);
        assert_non_null(strstr(error.message, names[i]));
        fixture_ok("again", plan_and_execute(&s, &error), &error);
        failed++;
    }
    assert_int_equal(failed, 2 * MAPS);
    cuda_scene_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_choice, reset),  cmocka_unit_test_setup(test_workspace, reset),
        cmocka_unit_test_setup(test_slots, reset),   cmocka_unit_test_setup(test_maps, reset),
        cmocka_unit_test_setup(test_launch, reset),  cmocka_unit_test_setup(test_kernels, reset),
        cmocka_unit_test_setup(test_refusal, reset), cmocka_unit_test_setup(test_failures, reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
