/* SPDX-License-Identifier: Apache-2.0 */

/* The one-call form and the debug form: wrong arguments, and agreement with a plan's result. */

#include <math.h>
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

static void test_attention_arguments(void **state)
{
    (void)state;
    fixture_tensors t;
    fixture_fill(&t, fixture_seed());
    monarch_problem p = fixture_problem();
    monarch_error error = {MONARCH_OK, ""};
    monarch_device *d = shared.device;
    fixture_invalid("device", monarch_attention(NULL, &p, t.q, t.k, t.v, NULL, t.out, &error),
                    &error, "device", "NULL");
    fixture_invalid("problem", monarch_attention(d, NULL, t.q, t.k, t.v, NULL, t.out, &error),
                    &error, "problem", "NULL");
    fixture_invalid("q", monarch_attention(d, &p, NULL, t.k, t.v, NULL, t.out, &error), &error, "q",
                    "NULL");
    fixture_invalid("k", monarch_attention(d, &p, t.q, NULL, t.v, NULL, t.out, &error), &error, "k",
                    "NULL");
    fixture_invalid("v", monarch_attention(d, &p, t.q, t.k, NULL, NULL, t.out, &error), &error, "v",
                    "NULL");
    fixture_invalid("out", monarch_attention(d, &p, t.q, t.k, t.v, NULL, NULL, &error), &error,
                    "out", "NULL");
    fixture_invalid("mask", monarch_attention(d, &p, t.q, t.k, t.v, t.mask, t.out, &error), &error,
                    "mask", "has_mask");
    fixture_invalid("overlap", monarch_attention(d, &p, t.q, t.k, t.v, NULL, t.q, &error), &error,
                    "out", "q");
    p.has_mask = 1;
    fixture_invalid("mask", monarch_attention(d, &p, t.q, t.k, t.v, NULL, t.out, &error), &error,
                    "mask", "NULL");
    assert_int_equal(monarch_attention(NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
                     MONARCH_ERROR_INVALID_ARGUMENT);
    assert_true(fixture_all_poison(t.out, sizeof t.out));
}

/* What a stage writes in fixture_problem: 8 heads, 3 blocks of 4. */
enum { CELLS = 8 * 3 * 4, KEY = CELLS * 8, VALUE = CELLS * 6, STAGES = 4 };

typedef struct stage_memory {
    float aL[KEY], cL[CELLS], aR[KEY], cR[CELLS], y[VALUE];
} stage_memory;

static void point_at(stage_memory memory[STAGES], monarch_stage_values values[STAGES])
{
    fixture_poison(memory, STAGES * sizeof *memory);
    for (int i = 0; i < STAGES; i++)
        values[i] = (monarch_stage_values){memory[i].aL, memory[i].cL, memory[i].aR, memory[i].cR,
                                           memory[i].y};
}

static void test_stages_arguments(void **state)
{
    (void)state;
    fixture_tensors t;
    fixture_fill(&t, fixture_seed());
    monarch_problem p = fixture_problem();
    monarch_stage_tensors tensors = {t.q, t.k, t.v, NULL, t.out}, wrong;
    static stage_memory memory[STAGES];
    monarch_stage_values values[STAGES];
    point_at(memory, values);
    monarch_error error = {MONARCH_OK, ""};
    monarch_device *d = shared.device;
    fixture_invalid("device", monarch_stages_run(NULL, &p, NULL, &tensors, values, 4, &error),
                    &error, "device", "NULL");
    fixture_invalid("problem", monarch_stages_run(d, NULL, NULL, &tensors, values, 4, &error),
                    &error, "problem", "NULL");
    fixture_invalid("tensors", monarch_stages_run(d, &p, NULL, NULL, values, 4, &error), &error,
                    "tensors", "NULL");
    fixture_invalid("outputs", monarch_stages_run(d, &p, NULL, &tensors, NULL, 4, &error), &error,
                    "outputs", "NULL");
    static const uint32_t counts[] = {0, 3, 5, UINT32_MAX};
    for (int i = 0; i < 4; i++)
        fixture_invalid("count",
                        monarch_stages_run(d, &p, NULL, &tensors, values, counts[i], &error),
                        &error, "count", "4");
    wrong = tensors;
    wrong.q = NULL;
    fixture_invalid("q", monarch_stages_run(d, &p, NULL, &wrong, values, 4, &error), &error, "q",
                    "NULL");
    wrong = tensors;
    wrong.out = NULL;
    fixture_invalid("out", monarch_stages_run(d, &p, NULL, &wrong, values, 4, &error), &error,
                    "out", "NULL");
    wrong = tensors;
    wrong.mask = t.mask;
    fixture_invalid("mask", monarch_stages_run(d, &p, NULL, &wrong, values, 4, &error), &error,
                    "mask", "has_mask");
    assert_true(fixture_all_poison(t.out, sizeof t.out));
    assert_true(fixture_all_poison(memory, sizeof memory));
}

static void test_stage_arguments(void **state)
{
    (void)state;
    fixture_tensors t;
    fixture_fill(&t, fixture_seed());
    monarch_problem p = fixture_problem();
    monarch_stage_tensors tensors = {t.q, t.k, t.v, NULL, t.out};
    static stage_memory memory[STAGES];
    monarch_stage_values values[STAGES], none;
    memset(&none, 0, sizeof none);
    point_at(memory, values);
    monarch_error error = {MONARCH_OK, ""};
    monarch_device *d = shared.device;
    fixture_invalid("tensors", monarch_stage_run(d, &p, NULL, 0, NULL, values, values, &error),
                    &error, "tensors", "NULL");
    fixture_invalid("inputs", monarch_stage_run(d, &p, NULL, 0, &tensors, NULL, values, &error),
                    &error, "inputs", "NULL");
    fixture_invalid("outputs", monarch_stage_run(d, &p, NULL, 0, &tensors, values, NULL, &error),
                    &error, "outputs", "NULL");
    fixture_invalid("index", monarch_stage_run(d, &p, NULL, 4, &tensors, values, values, &error),
                    &error, "index", "4");
    /* Each stage but the first names the inputs that it misses. */
    static const struct {
        uint32_t index;
        size_t missing;
        const char *word;
    } misses[] = {
        {1, offsetof(monarch_stage_values, aL), "aL"},
        {1, offsetof(monarch_stage_values, cL), "cL"},
        {2, offsetof(monarch_stage_values, aR), "aR"},
        {2, offsetof(monarch_stage_values, cR), "cR"},
        {3, offsetof(monarch_stage_values, aL), "aL"},
        {3, offsetof(monarch_stage_values, cL), "cL"},
        {3, offsetof(monarch_stage_values, y), "y"},
    };
    for (size_t i = 0; i < sizeof misses / sizeof *misses; i++) {
        monarch_stage_values inputs = values[0];
        memset((char *)&inputs + misses[i].missing, 0, sizeof(float *));
        fixture_invalid(
            "missing",
            monarch_stage_run(d, &p, NULL, misses[i].index, &tensors, &inputs, &none, &error),
            &error, misses[i].word, "NULL");
    }
    fixture_ok("stage 0 reads nothing",
               monarch_stage_run(d, &p, NULL, 0, &tensors, &none, &values[0], &error), &error);
    assert_true(fixture_all_poison(t.out, sizeof t.out)); /* only the last stage writes out */
}

static bool close_to(const float *a, const float *b, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!(fabsf(a[i] - b[i]) <= 1e-5f))
            return false;
    return true;
}

/* Plan, one call, all stages, and stage after stage on the last one's outputs. */
static void test_agreement(void **state)
{
    (void)state;
    fixture_tensors t;
    fixture_fill(&t, fixture_seed());
    monarch_problem p = fixture_problem();
    monarch_error error = {MONARCH_OK, ""};
    monarch_device *d = shared.device;
    fixture_ok("attention", monarch_attention(d, &p, t.q, t.k, t.v, NULL, t.out, &error), &error);
    float first[FIXTURE_OUT];
    memcpy(first, t.out, sizeof first);
    fixture_poison(t.out, sizeof t.out);
    monarch_plan *plan = NULL;
    monarch_buffer *workspace = NULL;
    fixture_ok("plan", monarch_plan_create(d, &p, NULL, &plan, &error), &error);
    fixture_ok("workspace", monarch_plan_workspace_create(plan, &workspace, &error), &error);
    monarch_plan_args args = fixture_args(&t);
    args.workspace = monarch_buffer_memory(workspace, 0);
    fixture_ok("execute", monarch_plan_execute(plan, shared.queue, &args, &error), &error);
    assert_memory_equal(t.out, first, sizeof first);
    monarch_buffer_destroy(&workspace);
    monarch_plan_destroy(&plan);
    monarch_stage_tensors tensors = {t.q, t.k, t.v, NULL, t.out};
    static stage_memory whole[STAGES], single[STAGES];
    monarch_stage_values a[STAGES], b[STAGES];
    point_at(whole, a);
    point_at(single, b);
    fixture_poison(t.out, sizeof t.out);
    fixture_ok("stages", monarch_stages_run(d, &p, NULL, &tensors, a, STAGES, &error), &error);
    assert_true(close_to(t.out, first, FIXTURE_OUT));
    for (uint32_t i = 0; i < STAGES; i++) {
        fixture_poison(t.out, sizeof t.out);
        fixture_ok(
            "stage",
            monarch_stage_run(d, &p, NULL, i, &tensors, &b[i > 0 ? i - 1 : 0], &b[i], &error),
            &error);
        bool last = i == STAGES - 1, left = i % 2 != 0;
        assert_int_equal(fixture_all_poison(t.out, sizeof t.out), !last);
        if (last)
            assert_true(close_to(t.out, first, FIXTURE_OUT));
        /* A stage writes what the table in stages.h says, and nothing more. */
        assert_int_equal(!fixture_all_poison(b[i].aL, sizeof whole->aL), !left);
        assert_int_equal(!fixture_all_poison(b[i].cL, sizeof whole->cL), !left);
        assert_int_equal(!fixture_all_poison(b[i].aR, sizeof whole->aR), left && !last);
        assert_int_equal(!fixture_all_poison(b[i].cR, sizeof whole->cR), left && !last);
        assert_int_equal(!fixture_all_poison(b[i].y, sizeof whole->y), i == 2);
        if (!left)
            assert_true(close_to(a[i].aL, b[i].aL, KEY) && close_to(a[i].cL, b[i].cL, CELLS));
        else if (!last)
            assert_true(close_to(a[i].aR, b[i].aR, KEY) && close_to(a[i].cR, b[i].cR, CELLS));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_attention_arguments), cmocka_unit_test(test_stages_arguments),
        cmocka_unit_test(test_stage_arguments), cmocka_unit_test(test_agreement)};
    return cmocka_run_group_tests_name("api_attention", tests, open_shared, close_shared);
}
