/* SPDX-License-Identifier: Apache-2.0 */

/* Every check of the descriptor: one change to a valid problem, the status it must give, and the
 * words that the message must have (field, value, what is accepted). */

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "fixture.h"

typedef enum field_type { INT32, INT64, FLOAT } field_type;

typedef struct change {
    size_t offset;
    field_type type;
    int64_t value;
    double real;
} change;

typedef struct row {
    const char *name;
    change changes[6];
    monarch_status expected;
    const char *words[FIXTURE_WORDS];
} row;

/* Versions of clang-format disagree about a macro that starts with a brace. */
/* clang-format off */
#define I32(field, value) {offsetof(monarch_problem, field), INT32, value, 0}
#define I64(field, value) {offsetof(monarch_problem, field), INT64, value, 0}
#define F32(field, value) {offsetof(monarch_problem, field), FLOAT, 0, value}
/* clang-format on */
#define OUT(b, h, k, t, f)                                                                         \
    I64(out.strides.batch, b), I64(out.strides.head, h), I64(out.strides.block, k),                \
        I64(out.strides.token, t), I64(out.strides.feature, f)
/* A change at offset 0 ends the list: struct_size has tests of its own. */

#define BAD MONARCH_ERROR_INVALID_ARGUMENT
#define GOOD MONARCH_OK

static const row table[] = {
    {"valid", {{0}}, GOOD, {NULL}},
    {"batch -1", {I64(batch, -1)}, BAD, {"batch", "-1", "0"}},
    {"batch least", {I64(batch, INT64_MIN)}, BAD, {"batch", "-9223372036854775808"}},
    {"batch most", {I64(batch, INT64_MAX)}, BAD, {"batch", "9223372036854775807"}},
    {"batch 0", {I64(batch, 0)}, GOOD, {NULL}},
    {"heads 0", {I64(heads, 0)}, BAD, {"heads", "0", "1"}},
    {"heads -3", {I64(heads, -3)}, BAD, {"heads", "-3"}},
    {"heads most", {I64(heads, INT64_MAX), I64(kv_heads, 0)}, BAD, {"heads"}},
    {"heads 100000", {I64(heads, 100000)}, GOOD, {NULL}},
    {"kv_heads -1", {I64(kv_heads, -1)}, BAD, {"kv_heads", "-1"}},
    {"kv_heads 3", {I64(kv_heads, 3)}, BAD, {"kv_heads", "3", "divide", "4"}},
    {"kv_heads 8", {I64(kv_heads, 8)}, BAD, {"kv_heads", "8", "divide", "4"}},
    {"kv_heads 0", {I64(kv_heads, 0)}, GOOD, {NULL}},
    {"kv_heads 1", {I64(kv_heads, 1)}, GOOD, {NULL}},
    {"tokens -1", {I64(tokens, -1)}, BAD, {"tokens", "-1", "0"}},
    {"tokens most", {I64(tokens, INT64_MAX)}, BAD, {"tokens", "9223372036854775807"}},
    {"tokens 0", {I64(tokens, 0)}, GOOD, {NULL}},
    {"head_dim 0", {I64(head_dim, 0)}, BAD, {"head_dim", "0", "1"}},
    {"head_dim -8", {I64(head_dim, -8)}, BAD, {"head_dim", "-8"}},
    {"head_dim most", {I64(head_dim, INT64_MAX)}, BAD, {"head_dim"}},
    {"value_dim -1", {I64(value_dim, -1)}, BAD, {"value_dim", "-1"}},
    {"value_dim most", {I64(value_dim, INT64_MAX)}, BAD, {"value_dim"}},
    {"value_dim 0", {I64(value_dim, 0)}, GOOD, {NULL}},
    {"block_size -1", {I64(block_size, -1)}, BAD, {"block_size", "-1", "0"}},
    {"block_size 0", {I64(block_size, 0)}, GOOD, {NULL}},
    {"block_size most", {I64(block_size, INT64_MAX)}, GOOD, {NULL}},
    {"steps -1", {I32(steps, -1)}, BAD, {"steps", "-1", "64"}},
    {"steps 65", {I32(steps, 65)}, BAD, {"steps", "65", "64"}},
    {"steps most", {I32(steps, INT32_MAX)}, BAD, {"steps", "2147483647", "64"}},
    {"steps 0", {I32(steps, 0)}, GOOD, {NULL}},
    {"steps 64", {I32(steps, 64)}, GOOD, {NULL}},
    {"scale nan", {F32(scale, NAN)}, BAD, {"scale", "nan", "finite"}},
    {"scale inf", {F32(scale, INFINITY)}, BAD, {"scale", "inf", "finite"}},
    {"scale -inf", {F32(scale, -INFINITY)}, BAD, {"scale", "-inf", "finite"}},
    {"scale -1", {F32(scale, -1.0)}, GOOD, {NULL}},
    {"scale subnormal", {F32(scale, 1e-40)}, GOOD, {NULL}},
    {"pad 2", {I32(pad, 2)}, BAD, {"pad", "2", "MONARCH_PAD_BEGIN"}},
    {"pad -1", {I32(pad, -1)}, BAD, {"pad", "-1", "MONARCH_PAD_END"}},
    {"pad begin", {I32(pad, MONARCH_PAD_BEGIN)}, GOOD, {NULL}},
    {"has_mask 2", {I32(has_mask, 2)}, BAD, {"has_mask", "2", "1"}},
    {"has_mask -1", {I32(has_mask, -1)}, BAD, {"has_mask", "-1"}},
    {"has_mask 1", {I32(has_mask, 1)}, GOOD, {NULL}},
    {"intermediates 2", {I32(intermediates, 2)}, BAD, {"intermediates", "2", "FP8 (1)"}},
    {"intermediates -1", {I32(intermediates, -1)}, BAD, {"intermediates", "-1"}},
    {"intermediates fp8", {I32(intermediates, 1)}, GOOD, {NULL}},
    {"q.dtype 3", {I32(q.dtype, 3)}, BAD, {"q.dtype", "3", "MONARCH_BF16"}},
    {"q.dtype -1", {I32(q.dtype, -1)}, BAD, {"q.dtype", "-1"}},
    {"k.dtype 3", {I32(k.dtype, 3)}, BAD, {"k.dtype", "3", "MONARCH_F16"}},
    {"v.dtype 4", {I32(v.dtype, 4)}, BAD, {"v.dtype", "4", "MONARCH_F32"}},
    {"out.dtype 99", {I32(out.dtype, 99)}, BAD, {"out.dtype", "99"}},
    {"dtypes mixed", {I32(q.dtype, 1), I32(k.dtype, 2), I32(out.dtype, 1)}, GOOD, {NULL}},
    {"mask head", {I32(has_mask, 1), I64(mask_strides.head, 5)}, BAD, {"mask", "head", "5", "0"}},
    {"mask feature",
     {I32(has_mask, 1), I64(mask_strides.feature, 7)},
     BAD,
     {"mask", "feature", "7", "0"}},
    {"mask broadcast", {I32(has_mask, 1), I64(mask_strides.token, 1)}, GOOD, {NULL}},
    {"mask backwards",
     {I32(has_mask, 1), I64(mask_strides.batch, 10), I64(mask_strides.token, -1)},
     GOOD,
     {NULL}},
    {"size overflow",
     {I64(batch, 1 << 24), I64(heads, 1 << 24), I64(tokens, 1 << 24)},
     BAD,
     {"batch", "heads", "tokens", "16777216"}},
    {"size above 2^56",
     {I64(batch, 1 << 18), I64(heads, 1 << 18), I64(tokens, 1 << 18)},
     BAD,
     {"batch", "heads", "tokens", "2^56"}},
    {"size above 64 bits",
     {I64(batch, INT64_C(1) << 32), I64(heads, INT64_C(1) << 32)},
     BAD,
     {"batch", "heads"}},
    {"2^31 tokens", {I64(tokens, INT64_C(1) << 31)}, GOOD, {NULL}},
    {"q reaches too far", {I64(q.strides.batch, INT64_MAX)}, BAD, {"q", "strides"}},
    {"k reaches too far", {I64(k.strides.token, INT64_MIN)}, BAD, {"strides"}},
    {"v reaches too far", {I64(v.strides.head, INT64_MAX / 2)}, BAD, {"v", "strides"}},
    {"block reaches too far",
     {I64(q.strides.token, INT64_MAX / 2), I64(tokens, 2), I64(block_size, 2)},
     BAD,
     {"strides"}},
    {"unused stride", {I64(batch, 1), OUT(INT64_MIN, 60, 0, 6, 1)}, GOOD, {NULL}},
    {"q one row", {I64(q.strides.feature, 1)}, GOOD, {NULL}},
    {"q backwards", {I64(q.strides.batch, 320), I64(q.strides.token, -8)}, GOOD, {NULL}},
    {"q wide feature", {I64(q.strides.token, 24), I64(q.strides.feature, 3)}, GOOD, {NULL}},
    {"out broadcast token", {OUT(240, 60, 0, 0, 1)}, BAD, {"out", "token 0", "coincide"}},
    {"out broadcast head", {OUT(240, 0, 0, 6, 1)}, BAD, {"out", "head 0", "coincide"}},
    {"out broadcast batch", {OUT(0, 60, 0, 6, 1)}, BAD, {"out", "batch 0", "coincide"}},
    {"out narrow token", {OUT(240, 60, 0, 3, 1)}, BAD, {"out", "token 3", "coincide"}},
    {"out narrow head", {OUT(240, 59, 0, 6, 1)}, BAD, {"out", "head 59", "coincide"}},
    {"out narrow batch", {OUT(239, 60, 0, 6, 1)}, BAD, {"out", "batch 239", "coincide"}},
    {"out wide feature", {OUT(240, 60, 0, 6, 2)}, BAD, {"out", "feature 2", "coincide"}},
    {"out block on token", {OUT(240, 60, 6, 6, 1)}, BAD, {"out", "block 6", "coincide"}},
    {"out same strides", {OUT(60, 60, 0, 6, 1)}, BAD, {"out", "batch 60", "coincide"}},
    {"out backwards", {OUT(240, 60, 0, -6, 1)}, GOOD, {NULL}},
    {"out token first", {OUT(240, 6, 0, 24, 1)}, GOOD, {NULL}},
    {"out grid", {OUT(288, 72, 6, 18, 1)}, GOOD, {NULL}},
    {"out features apart", {OUT(480, 120, 0, 12, 2)}, GOOD, {NULL}},
    {"out feature first", {OUT(240, 60, 0, 1, 10)}, GOOD, {NULL}},
    {"out empty overlap", {I64(batch, 0), OUT(0, 0, 0, 6, 1)}, GOOD, {NULL}},
};

static monarch_problem changed(const row *r)
{
    monarch_problem problem = fixture_problem();
    for (size_t i = 0; i < sizeof r->changes / sizeof *r->changes && r->changes[i].offset; i++) {
        char *at = (char *)&problem + r->changes[i].offset;
        int32_t small = (int32_t)r->changes[i].value;
        float real = (float)r->changes[i].real;
        switch (r->changes[i].type) {
        case INT32:
            memcpy(at, &small, sizeof small);
            break;
        case INT64:
            memcpy(at, &r->changes[i].value, sizeof r->changes[i].value);
            break;
        case FLOAT:
            memcpy(at, &real, sizeof real);
            break;
        }
    }
    return problem;
}

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

/* A refused descriptor is refused by every call that takes one, with the same words. */
static void refused_everywhere(const row *r, const monarch_problem *problem)
{
    monarch_error error = {MONARCH_OK, ""};
    monarch_plan *plan = (monarch_plan *)&error;
    monarch_status status = monarch_problem_supported(shared.device, problem, NULL, &error);
    fixture_expect("supported", status, r->expected, &error, r->words);
    memset(&error, 0, sizeof error);
    status = monarch_plan_create(shared.device, problem, NULL, &plan, &error);
    fixture_expect("plan_create", status, r->expected, &error, r->words);
    assert_null(plan);
    float memory[4] = {0};
    memset(&error, 0, sizeof error);
    status =
        monarch_attention(shared.device, problem, memory, memory, memory, NULL, memory, &error);
    fixture_expect("attention", status, r->expected, &error, r->words);
    memset(&error, 0, sizeof error);
    monarch_stage_tensors tensors = {memory, memory, memory, NULL, memory};
    monarch_stage_values values[4];
    memset(values, 0, sizeof values);
    status = monarch_stages_run(shared.device, problem, NULL, &tensors, values, 4, &error);
    fixture_expect("stages_run", status, r->expected, &error, r->words);
    memset(&error, 0, sizeof error);
    status = monarch_stage_run(shared.device, problem, NULL, 0, &tensors, values, values, &error);
    fixture_expect("stage_run", status, r->expected, &error, r->words);
    assert_int_equal(monarch_problem_supported(shared.device, problem, NULL, NULL), r->expected);
}

static void test_row(void **state)
{
    const row *r = *state;
    monarch_problem problem = changed(r), copy = problem, resolved;
    monarch_error error = {MONARCH_OK, ""};
    fixture_poison(&resolved, sizeof resolved);
    monarch_status status = monarch_problem_resolve(&problem, &resolved, &error);
    fixture_expect(r->name, status, r->expected, &error, r->words);
    assert_memory_equal(&problem, &copy, sizeof problem);
    assert_int_equal(monarch_problem_resolve(&problem, &resolved, NULL), r->expected);
    if (r->expected != MONARCH_OK) {
        refused_everywhere(r, &problem);
        return;
    }
    assert_int_equal(error.status, MONARCH_OK); /* written only on failure */
    assert_string_equal(error.message, "");
    /* A resolved problem is valid, complete, and may be resolved in place. */
    copy = resolved;
    fixture_ok("again", monarch_problem_resolve(&resolved, &resolved, &error), &error);
    assert_memory_equal(&resolved, &copy, sizeof copy);
    assert_true(resolved.kv_heads > 0 && resolved.value_dim > 0 && resolved.steps > 0);
    assert_true(resolved.block_size > 0 && resolved.scale != 0.0f);
    assert_int_equal(resolved.q.strides.feature != 0, 1);
}

static void test_defaults(void **state)
{
    (void)state;
    monarch_problem problem = monarch_problem_default(), r;
    monarch_error error = {MONARCH_OK, ""};
    assert_int_equal(problem.struct_size, sizeof problem);
    problem.batch = 3;
    problem.heads = 4;
    problem.tokens = 100;
    problem.head_dim = 16;
    problem.has_mask = 1;
    fixture_ok("resolve", monarch_problem_resolve(&problem, &r, &error), &error);
    assert_int_equal(r.kv_heads, 4);
    assert_int_equal(r.value_dim, 16);
    assert_int_equal(r.steps, 1);
    assert_int_equal(r.block_size, monarch_default_block_size(100, 1));
    assert_true(r.scale == 0.25f);
    const monarch_strides packed = {4 * 100 * 16, 100 * 16, r.block_size * 16, 16, 1};
    assert_memory_equal(&r.q.strides, &packed, sizeof packed);
    assert_memory_equal(&r.k.strides, &packed, sizeof packed);
    assert_memory_equal(&r.v.strides, &packed, sizeof packed);
    assert_memory_equal(&r.out.strides, &packed, sizeof packed);
    const monarch_strides mask = {100, 0, r.block_size, 1, 0};
    assert_int_equal(r.mask_strides.batch, mask.batch);
    assert_int_equal(r.mask_strides.head, 0);
    assert_int_equal(r.mask_strides.block, mask.block);
    assert_int_equal(r.mask_strides.token, 1);
}

static void test_defaults_of_strides(void **state)
{
    (void)state;
    monarch_problem problem = fixture_problem(), r;
    monarch_error error = {MONARCH_OK, ""};
    problem.q.strides = (monarch_strides){320, 8, 0, 32, 0}; /* [batch, token, head, feature] */
    problem.block_size = 100;                                /* longer than the sequence */
    fixture_ok("resolve", monarch_problem_resolve(&problem, &r, &error), &error);
    assert_int_equal(r.block_size, 10);
    assert_int_equal(r.q.strides.feature, 1);
    assert_int_equal(r.q.strides.block, 10 * 32);
    assert_int_equal(r.kv_heads, 2);
    assert_int_equal(r.k.strides.batch, 2 * 10 * 8);
    assert_int_equal(r.v.strides.batch, 2 * 10 * 6);
    assert_int_equal(r.out.strides.batch, 4 * 10 * 6);
}

/* A structure of another version: shorter is refused, longer only when the rest says nothing. */
static void test_struct_size(void **state)
{
    (void)state;
    static const uint32_t small[] = {0, 1, 4, 100, sizeof(monarch_problem) - 1};
    monarch_error error = {MONARCH_OK, ""};
    monarch_problem resolved;
    for (size_t i = 0; i < sizeof small / sizeof *small; i++) {
        monarch_problem problem = fixture_problem();
        problem.struct_size = small[i];
        char value[16];
        snprintf(value, sizeof value, "%u", small[i]);
        fixture_invalid("short", monarch_problem_resolve(&problem, &resolved, &error), &error,
                        "struct_size", value);
    }
    enum { EXTRA = 24 };
    unsigned char bytes[sizeof(monarch_problem) + EXTRA] = {0};
    monarch_problem problem = fixture_problem();
    problem.struct_size = (uint32_t)sizeof bytes;
    memcpy(bytes, &problem, sizeof problem);
    monarch_problem *larger = fixture_aligned(sizeof bytes, 64);
    memcpy(larger, bytes, sizeof bytes);
    fixture_ok("zero tail", monarch_problem_resolve(larger, &resolved, &error), &error);
    assert_int_equal(resolved.struct_size, sizeof resolved);
    for (size_t at = 0; at < EXTRA; at += EXTRA - 1) {
        memcpy(larger, bytes, sizeof bytes);
        ((unsigned char *)larger)[sizeof(monarch_problem) + at] = 1;
        fixture_invalid("tail", monarch_problem_resolve(larger, &resolved, &error), &error,
                        "struct_size", NULL);
    }
    free(larger);
}

static void test_null(void **state)
{
    (void)state;
    monarch_problem problem = fixture_problem(), resolved;
    monarch_error error = {MONARCH_OK, ""};
    fixture_invalid("resolve", monarch_problem_resolve(NULL, &resolved, &error), &error, "problem",
                    "NULL");
    fixture_invalid("resolve", monarch_problem_resolve(&problem, NULL, &error), &error, "resolved",
                    "NULL");
    fixture_invalid("supported", monarch_problem_supported(NULL, &problem, NULL, &error), &error,
                    "device", "NULL");
    fixture_invalid("supported", monarch_problem_supported(shared.device, NULL, NULL, &error),
                    &error, "problem", "NULL");
    assert_int_equal(monarch_problem_resolve(NULL, NULL, NULL), BAD);
    assert_int_equal(monarch_problem_supported(NULL, NULL, NULL, NULL), BAD);
}

static void test_set_dtype(void **state)
{
    (void)state;
    monarch_problem problem = fixture_problem();
    monarch_problem_set_dtype(&problem, MONARCH_BF16);
    assert_int_equal(problem.q.dtype, MONARCH_BF16);
    assert_int_equal(problem.k.dtype, MONARCH_BF16);
    assert_int_equal(problem.v.dtype, MONARCH_BF16);
    assert_int_equal(problem.out.dtype, MONARCH_BF16);
}

int main(void)
{
    enum { ROWS = sizeof table / sizeof *table, OTHERS = 5 };
    struct CMUnitTest tests[OTHERS + ROWS] = {
        cmocka_unit_test(test_defaults), cmocka_unit_test(test_defaults_of_strides),
        cmocka_unit_test(test_struct_size), cmocka_unit_test(test_null),
        cmocka_unit_test(test_set_dtype)};
    static char names[ROWS][64];
    for (size_t i = 0; i < ROWS; i++) {
        snprintf(names[i], sizeof names[i], "problem[%s]", table[i].name);
        tests[OTHERS + i].name = names[i];
        tests[OTHERS + i].test_func = test_row;
        tests[OTHERS + i].initial_state = (void *)(uintptr_t)&table[i];
    }
    return _cmocka_run_group_tests("api_problem", tests, OTHERS + ROWS, open_shared, close_shared);
}
