/* SPDX-License-Identifier: Apache-2.0 */
#include "random_case.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "random.h"

static int one_in(test_random *random, int64_t count)
{
    return test_random_below(random, count) == 0;
}

/* From 1 to `most`, small numbers as often as large ones: uniform in the logarithm. */
static int64_t draw_extent(test_random *random, int64_t most)
{
    return (int64_t)floor(exp(test_random_uniform(random) * log((double)most + 1.0)));
}

/* Head dimensions that people use, or any. */
static int64_t draw_dim(test_random *random)
{
    static const int64_t usual[] = {8, 16, 32, 40, 64, 80, 96, 128};

    if (one_in(random, 2))
        return usual[test_random_below(random, sizeof usual / sizeof usual[0])];
    return draw_extent(random, 136);
}

static int64_t draw_block(test_random *random, int64_t tokens)
{
    switch (test_random_below(random, 8)) {
    case 0:
        return 0;
    case 1:
        return 1;
    case 2:
        return tokens + test_random_below(random, 3);
    case 3: /* the next power of two above a quarter: rarely a divisor */
        return (int64_t)exp2(floor(log2((double)tokens)) - 1.0) + 1;
    default: /* around the square root, as in use */
        return 1 + test_random_below(random, (int64_t)(3.0 * sqrt((double)tokens)) + 1);
    }
}

static test_shape draw_shape(test_random *random)
{
    test_shape s = {.tokens = draw_extent(random, 600), .head_dim = draw_dim(random)};

    s.value_dim = one_in(random, 3) ? draw_dim(random) : 0;
    s.block = draw_block(random, s.tokens);
    s.steps = 1 + (int32_t)test_random_below(random, 3);
    s.batch = draw_extent(random, 4);
    s.kv_heads = draw_extent(random, 3);
    s.heads = s.kv_heads * draw_extent(random, 3);
    /* With a handful of results alone, the error of a correct evaluation is a matter of luck. */
    while (s.batch * s.heads * s.tokens < 150) {
        s.kv_heads *= 2;
        s.heads *= 2;
    }
    return s;
}

/* What masked rows may hold. Rows that several places share may not hold NaN where one of the
 * places is not masked. */
static test_masked draw_masked(test_random *random, test_layout layout)
{
    if (layout == LAYOUT_BROADCAST_HEAD || layout == LAYOUT_BROADCAST_TOKEN)
        return MASKED_ORDINARY;
    return (test_masked)test_random_below(random, 3);
}

test_case test_case_random(uint64_t seed, uint64_t index, char name[RANDOM_CASE_NAME])
{
    test_random random = test_random_seed(seed, "random case", index);
    test_case c = {.name = name, .shape = draw_shape(&random)};

    snprintf(name, RANDOM_CASE_NAME, "random_%" PRIu64, index);
    c.pad = one_in(&random, 2) ? MONARCH_PAD_BEGIN : MONARCH_PAD_END;
    if (one_in(&random, 2))
        c.layout = (test_layout)test_random_below(&random, LAYOUT_COUNT);
    if (one_in(&random, 3))
        c.content = (test_content)test_random_below(&random, CONTENT_COUNT);
    if (one_in(&random, 2)) {
        c.mask = (test_mask)test_random_below(&random, MASK_COUNT);
        if (c.mask != MASK_NONE)
            c.masked = draw_masked(&random, c.layout);
    }
    if (one_in(&random, 6))
        c.scale =
            (float)(test_random_uniform(&random) - 0.3) * 2.0f / sqrtf((float)c.shape.head_dim);
    c.mixed = c.layout != LAYOUT_QKV && one_in(&random, 10);
    return c;
}

int test_case_is_random(const char *name, uint64_t *index)
{
    static const char start[] = "random_";
    char *end;

    if (strncmp(name, start, sizeof start - 1) != 0)
        return 0;
    name += sizeof start - 1;
    *index = strtoull(name, &end, 10);
    return *name >= '0' && *name <= '9' && *end == '\0';
}
