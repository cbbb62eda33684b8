/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Variant fused on a stand-in for the driver, for heads whose features two work-groups share: how
 * they are launched, and what is refused and why.
 */

#include <stdio.h>

#include <monarch/cuda.h>

#include "cuda_scene.h"

static int reset(void **state)
{
    (void)state;
    fake_cuda_reset();
    return 0;
}

static void test_launch(void **state)
{
    static const struct {
        int64_t heads, dim;
        int32_t steps;
        const char *kernel;
        unsigned cluster, work_groups;
    } rows[] = {
        {768, 128, 1, "fused_f16_128_11_once", 0, 132},
        {768, 129, 1, "fused_f16_96x2_11_once", 2, 132}, /* they go on to further heads */
        {768, 192, 2, "fused_f16_96x2_11", 2, 1536},
        {768, 256, 1, "fused_f16_128x2_11_once", 2, 132},
        {12, 256, 1, "fused_f16_128x2_11_once", 2, 24},
        {12, 193, 3, "fused_f16_128x2_11", 2, 24},
    };
    const uint64_t apart = UINT64_C(1) << 44; /* bytes between tensors that nobody touches */
    (void)state;
    cuda_scene s;
    monarch_error error = {MONARCH_OK, ""};
    cuda_scene_open(&s);
    fixture_ok("queue", monarch_queue_create(s.device, &s.queue, &error), &error);
    monarch_plan_args args = monarch_plan_args_default();
    args.q = monarch_cuda_memory(1 * apart, 0);
    args.k = monarch_cuda_memory(2 * apart, 0);
    args.v = monarch_cuda_memory(3 * apart, 0);
    args.out = monarch_cuda_memory(4 * apart, 0);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        monarch_problem problem =
            cuda_scene_shape(1, rows[i].heads, 256, 16, rows[i].dim, rows[i].steps);
        monarch_plan *plan = cuda_scene_plan(&s, &problem, "fused");
        fake_cuda_clear();
        fixture_ok("execute", monarch_plan_execute(plan, s.queue, &args, &error), &error);
        const fake_launch *launch = &fake_cuda_state()->latest[i];
        assert_string_equal(launch->kernel, rows[i].kernel);
        assert_int_equal(launch->cluster, rows[i].cluster);
        assert_int_equal(launch->grid[0], rows[i].work_groups);
        monarch_plan_destroy(&plan);
    }
    cuda_scene_close(&s);
}

static void refuse(int64_t heads, int64_t tokens, int64_t block, int64_t dim, const char *reason)
{
    cuda_scene s;
    monarch_error error = {MONARCH_OK, ""};
    monarch_plan *plan = NULL;
    monarch_plan_options options = monarch_plan_options_default();
    options.variant = "fused";
    cuda_scene_open(&s);
    monarch_problem problem = cuda_scene_shape(1, heads, tokens, block, dim, 1);
    assert_int_equal(monarch_plan_create(s.device, &problem, &options, &plan, &error),
                     MONARCH_ERROR_UNSUPPORTED);
    if (!strstr(error.message, reason))
        fail_msg("%s: %s", reason, error.message);
    cuda_scene_close(&s);
}

static void test_refusal(void **state)
{
    (void)state;
    refuse(12, 256, 16, 257, "257 features; variant fused takes up to 128, and up to 256");
    refuse(12, 272, 16, 129, "17 blocks of 16 tokens with 129 features");
    refuse(12, 272, 17, 129, "16 blocks of 17 tokens with 129 features");
    refuse((1 << 26) + 1, 1, 1, 129, "67108865 heads in the batch with 129 features");
    fake_cuda_state()->capability = 80;
    refuse(12, 256, 16, 129, "compute capability"); /* or there is no code for it at all */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_launch, reset),
        cmocka_unit_test_setup(test_refusal, reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
