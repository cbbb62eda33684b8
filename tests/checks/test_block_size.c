/* SPDX-License-Identifier: Apache-2.0 */

/* The block size that block_size = 0 stands for, by the rule in monarch/problem.h. */

#include <inttypes.h>
#include <stdio.h>

#include "fixture.h"

/* Multiply-adds per feature of one head: N_pad * (2T*B + B + 2T*M). */
static double work(int64_t tokens, int64_t block, int32_t steps)
{
    int64_t blocks = (tokens + block - 1) / block;
    double t = steps;
    return (double)blocks * (double)block *
           (2 * t * (double)block + (double)block + 2 * t * (double)blocks);
}

typedef struct best {
    double any, tiled; /* least work over all B, and over the multiples of 16 */
} best;

/* The work at B is at least N * ((2T+1)*B + 2T*N/B), so far from the root nothing can be best. */
static best search(int64_t tokens, int32_t steps)
{
    best b = {1e300, 1e300};
    for (int64_t block = 1; block <= tokens; block++) {
        double bound = (double)tokens * ((2.0 * steps + 1) * (double)block +
                                         2.0 * steps * (double)tokens / (double)block);
        if (bound > b.any && bound > b.tiled) {
            if (block > 16 && block * block > tokens)
                break;
            continue;
        }
        double w = work(tokens, block, steps);
        b.any = w < b.any ? w : b.any;
        if (block % 16 == 0)
            b.tiled = w < b.tiled ? w : b.tiled;
    }
    return b;
}

static void check(int64_t tokens, int32_t steps)
{
    int64_t block = monarch_default_block_size(tokens, steps);
    if (tokens <= 16) {
        assert_int_equal(block, tokens);
        return;
    }
    best b = search(tokens, steps);
    double w = work(tokens, block, steps);
    bool tiled = b.tiled <= 1.05 * b.any;
    if (block < 1 || block > tokens || (tiled ? block % 16 != 0 || w != b.tiled : w != b.any))
        fail_msg("tokens %" PRId64 ", steps %" PRId32 ": block %" PRId64 " costs %g; least is %g, "
                 "least with a multiple of 16 is %g",
                 tokens, steps, block, w, b.any, b.tiled);
}

static void test_every_small(void **state)
{
    (void)state;
    for (int64_t tokens = 1; tokens <= 2000; tokens++)
        for (int32_t steps = 1; steps <= 4; steps++)
            check(tokens, steps);
    for (int64_t tokens = 1; tokens <= 300; tokens++)
        check(tokens, MONARCH_MAX_STEPS);
}

static void test_some_large(void **state)
{
    (void)state;
    uint64_t random = fixture_seed();
    for (int i = 0; i < 300; i++)
        check(2000 + (int64_t)(fixture_random(&random) % 998001),
              1 + (int32_t)(fixture_random(&random) % 4));
    for (int64_t tokens = 1024; tokens <= 1 << 20; tokens *= 2)
        check(tokens, 1);
    check(1000000, 1);
}

/* Values that plans in the field depend on: a change of rule has to change this table. */
static void test_table(void **state)
{
    (void)state;
    static const int64_t values[][3] = {/* tokens, steps, block */
                                        {1, 1, 1},     {7, 3, 7},      {16, 1, 16},
                                        {256, 3, 16},  {1024, 1, 32},  {4096, 1, 48},
                                        {8192, 2, 80}, {16384, 1, 96}, {65536, 1, 208}};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        assert_int_equal(monarch_default_block_size(values[i][0], (int32_t)values[i][1]),
                         values[i][2]);
}

static void test_out_of_range(void **state)
{
    (void)state;
    static const int64_t tokens[] = {0, -1, INT64_MIN};
    for (int i = 0; i < 3; i++)
        assert_int_equal(monarch_default_block_size(tokens[i], 1), 0);
    assert_int_equal(monarch_default_block_size(100, 0), 0);
    assert_int_equal(monarch_default_block_size(100, INT32_MIN), 0);
    /* Far beyond any problem it still answers in a moment, with a block in range. */
    static const int64_t huge[] = {INT64_C(1) << 31, INT64_C(1) << 40};
    for (int i = 0; i < 2; i++) {
        int64_t block = monarch_default_block_size(huge[i], MONARCH_MAX_STEPS);
        assert_true(block > 1 && block < huge[i] && block % 16 == 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_small), cmocka_unit_test(test_some_large),
        cmocka_unit_test(test_table), cmocka_unit_test(test_out_of_range)};
    return cmocka_run_group_tests_name("block_size", tests, NULL, NULL);
}
