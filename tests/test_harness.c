/* SPDX-License-Identifier: Apache-2.0 */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "convert.h"
#include "e4m3_table.h"
#include "harness.h"
#include "random.h"

/* The tests' own tools: a comparison that cannot fail, or a guard that sees nothing, is no test. */

/* Every f16 and bf16 value survives the way to f32 and back. */
static void test_round_trip(const test_entry *entry, test_report *report)
{
    (void)entry;
    for (uint32_t bits = 0; bits < 0x10000; bits++) {
        float f16 = test_f16_to_float((uint16_t)bits), bf16 = test_bf16_to_float((uint16_t)bits);
        if (!isnan(f16) && test_f16_from_float(f16) != bits)
            test_fail(report, "f16 0x%04x became 0x%04x", bits, test_f16_from_float(f16));
        if (!isnan(bf16) && test_bf16_from_float(bf16) != bits)
            test_fail(report, "bf16 0x%04x became 0x%04x", bits, test_bf16_from_float(bf16));
        if (isnan(f16) && !isnan(test_f16_to_float(test_f16_from_float(f16))))
            test_fail(report, "f16 NaN 0x%04x is lost", bits);
        if (isnan(bf16) && !isnan(test_bf16_to_float(test_bf16_from_float(bf16))))
            test_fail(report, "bf16 NaN 0x%04x is lost", bits);
    }
}

/* Rounds to the nearest value, and half way to the one whose last bit is 0. */
static void test_rounding(const test_entry *entry, test_report *report)
{
    static const struct {
        monarch_dtype dtype;
        float value, rounded;
    } known[] = {
        {MONARCH_F16, 2049.0f, 2048.0f},
        {MONARCH_F16, 2051.0f, 2052.0f},
        {MONARCH_F16, 2049.001f, 2050.0f},
        {MONARCH_F16, -1.00048828125f, -1.0f},
        {MONARCH_F16, 65519.0f, 65504.0f},
        {MONARCH_F16, 65520.0f, INFINITY},
        {MONARCH_F16, 0x1p-25f, 0.0f},
        {MONARCH_F16, 0x1.8p-24f, 0x1p-23f},
        {MONARCH_F16, 0x1.ff8p-15f, 0x1.ff8p-15f},
        {MONARCH_F16, 0x1.fffp-15f, 0x1p-14f},
        {MONARCH_BF16, 257.0f, 256.0f},
        {MONARCH_BF16, 259.0f, 260.0f},
        {MONARCH_BF16, -257.001f, -258.0f},
        {MONARCH_BF16, FLT_MAX, INFINITY},
        {MONARCH_F32, 1.1f, 1.1f},
    };

    (void)entry;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        float rounded = test_round(known[i].dtype, known[i].value);
        if (rounded != known[i].rounded)
            test_fail(report, "%s(%.9g) is %.9g instead of %.9g",
                      monarch_dtype_name(known[i].dtype), (double)known[i].value, (double)rounded,
                      (double)known[i].rounded);
    }
}

static void expect(test_report *report, int wanted, int got, const char *what)
{
    if (!wanted != !got)
        test_fail(report, "%s is %s", what, got ? "accepted" : "refused");
}

/* e4m3 against a table, all its numbers there and back, and rows with a power of two. */
static void test_e4m3(const test_entry *entry, test_report *report)
{
    float row[] = {450.0f, 432.0f, -300.0f, 0x1p-9f, 0x1.8p-9f};
    static const float rounded[] = {448.0f, 448.0f, -288.0f, 0.0f, 0x1p-8f};

    (void)entry;
    for (int i = 0; i < E4M3_TABLE; i++) {
        float x = test_e4m3_to_float(test_e4m3_from_float(e4m3_table[i].value));
        if (x != e4m3_table[i].rounded)
            test_fail(report, "e4m3 of %.9g is %.9g", (double)e4m3_table[i].value, (double)x);
    }
    for (int bits = 0; bits < 256; bits++)
        if (test_e4m3_from_float(test_e4m3_to_float((uint8_t)bits)) != bits)
            test_fail(report, "e4m3 0x%02x does not come back", bits);
    expect(report, 1, test_e4m3_from_float(1e9f) == 0x7e, "the largest for 1e9");
    expect(report, 1, test_e4m3_from_float(-INFINITY) == 0xfe, "the largest for infinity");
    expect(report, 1, (test_e4m3_from_float(NAN) & 0x7f) == 0x7f, "NaN for NaN");
    expect(report, 1, test_e4m3_to_float(0x08) == 0x1p-6f, "the least normal number of e4m3");
    test_round_e4m3(row, 5); /* by 2, as 450 exceeds 448 */
    for (int i = 0; i < 5; i++)
        if (row[i] != rounded[i])
            test_fail(report, "element %d of the row is %.9g", i, (double)row[i]);
}

/* The comparison accepts what the policy allows and refuses the least bit more. */
static void test_tolerance(const test_entry *entry, test_report *report)
{
    static const int64_t shape[5] = {1, 1, 4, 1, 100};
    expected e;
    comparison result;
    float actual[400], naive[400];

    (void)entry;
    expected_alloc(&e, "values", shape);
    for (size_t i = 0; i < e.count; i++) {
        e.value[i] = 1.0;
        e.magnitude[i] = 10.0;
        actual[i] = naive[i] = 1.0f;
    }
    naive[3] = 1.01f;
    expected_measure(&e, 0, naive, e.count);
    expected_measured(&e);
    expect(report, 1, expected_compare(&e, MONARCH_F32, actual, &result), "the exact result");
    actual[5] = 1.0199f;
    expect(report, 1, expected_compare(&e, MONARCH_F32, actual, &result), "twice naive's error");
    actual[5] = 1.0201f;
    expect(report, 0, expected_compare(&e, MONARCH_F32, actual, &result), "a larger error");
    expect(report, 1, result.worst == 5, "the place of the worst element");
    actual[5] = 1.0f;
    actual[7] = NAN;
    expect(report, 0, expected_compare(&e, MONARCH_F32, actual, &result), "NaN");
    actual[7] = INFINITY;
    expect(report, 0, expected_compare(&e, MONARCH_F32, actual, &result), "an infinity");
    e.value[7] = INFINITY;
    expect(report, 1, expected_compare(&e, MONARCH_F32, actual, &result), "a wanted infinity");
    actual[7] = 1.0f;
    expect(report, 0, expected_compare(&e, MONARCH_F32, actual, &result), "a missing infinity");
    e.value[7] = NAN;
    expect(report, 1, expected_compare(&e, MONARCH_F32, actual, &result), "what is not promised");
    e.value[9] = e.magnitude[9] = 0.0;
    actual[9] = 1e-30f;
    expect(report, 0, expected_compare(&e, MONARCH_F32, actual, &result), "a zero that is not");
    actual[9] = -0.0f;
    expect(report, 1, expected_compare(&e, MONARCH_F32, actual, &result), "minus zero for zero");
    for (size_t i = 0; i < e.count; i++)
        actual[i] = i == 9 ? 0.0f : 1.009f;
    expect(report, 0, expected_compare(&e, MONARCH_F32, actual, &result),
           "a large error in total, of elements that each are within the limit");
    expected_free(&e);
}

/* Without any error of a naive evaluation, one eps remains. */
static void test_floor(const test_entry *entry, test_report *report)
{
    static const int64_t shape[5] = {1, 1, 1, 1, 1};
    static const monarch_dtype dtypes[] = {MONARCH_F32, MONARCH_F16, MONARCH_BF16};

    (void)entry;
    for (size_t i = 0; i < 3; i++) {
        double eps = tolerance_eps(dtypes[i]);
        float inside = (float)(1.0 + eps), outside = (float)(1.0 + 2.0 * eps);
        comparison result;
        expected e;
        expected_alloc(&e, "value", shape);
        e.value[0] = e.magnitude[0] = 1.0;
        expect(report, 1, expected_compare(&e, dtypes[i], &inside, &result), "one eps");
        expect(report, 0, expected_compare(&e, dtypes[i], &outside, &result), "two eps");
        if (test_round(dtypes[i], inside) != inside || test_round(dtypes[i], inside) == 1.0f)
            test_fail(report, "eps of %s is wrong", monarch_dtype_name(dtypes[i]));
        expected_free(&e);
    }
}

/* Whether byte `at` of the output's memory belongs to an element. */
static int is_element(const test_inputs *inputs, size_t at)
{
    const test_tensor *t = &inputs->out;

    for (int64_t b = 0; b < t->batch; b++)
        for (int64_t h = 0; h < t->heads; h++)
            for (int64_t n = 0; n < t->tokens; n++) {
                size_t row = test_tensor_at(t, b, h, n);
                for (int64_t f = 0; f < t->features; f++) {
                    size_t first = row + (size_t)(f * t->strides.feature) * t->element;
                    if (at >= first && at < first + t->element)
                        return 1;
                }
            }
    return 0;
}

/* A byte changed anywhere but in an element of the output is seen, and nothing else is. */
static void test_guards(const test_entry *entry, test_report *report)
{
    test_random random = test_random_seed(entry->seed, entry->c->name, 1000);
    test_inputs inputs;
    char text[256];

    test_inputs_create(&inputs, entry->c, entry->dtype, entry->seed);
    for (size_t i = 0; i < inputs.memories; i++) {
        test_memory *memory = inputs.memory[i];
        for (int draw = 0; draw < 40; draw++) {
            size_t at = (size_t)test_random_below(&random, (int64_t)memory->size);
            int allowed = memory == inputs.out.memory && is_element(&inputs, at);
            memory->bytes[at] ^= 1;
            if (test_inputs_touched(&inputs, text, sizeof text) == allowed)
                test_fail(report, "byte %zu of memory %zu: a change %s", at, i,
                          allowed ? "of the output is refused" : "is not seen");
            memory->bytes[at] ^= 1;
            if (test_inputs_touched(&inputs, text, sizeof text))
                test_fail(report, "byte %zu of memory %zu: %s", at, i, text);
        }
    }
    test_inputs_free(&inputs);
}

/* All addresses of a tensor are inside of its memory, and no two of the output's coincide. */
static void test_addresses(const test_entry *entry, test_report *report)
{
    test_inputs inputs;
    unsigned char *seen;

    test_inputs_create(&inputs, entry->c, entry->dtype, entry->seed);
    seen = test_alloc(inputs.out.memory->size, 1);
    for (int64_t b = 0; b < inputs.out.batch; b++)
        for (int64_t h = 0; h < inputs.out.heads; h++)
            for (int64_t n = 0; n < inputs.out.tokens; n++) {
                size_t at = test_tensor_at(&inputs.out, b, h, n);
                if (at < inputs.out.memory->first || at >= inputs.out.memory->last || seen[at]++)
                    test_fail(report, "the row at byte %zu is outside or not the only one", at);
            }
    free(seen);
    test_inputs_free(&inputs);
}

/* The same seed gives the same inputs, another gives others. */
static void test_seeds(const test_entry *entry, test_report *report)
{
    test_inputs first, same, other;

    test_inputs_create(&first, entry->c, entry->dtype, entry->seed);
    test_inputs_create(&same, entry->c, entry->dtype, entry->seed);
    test_inputs_create(&other, entry->c, entry->dtype, entry->seed + 1);
    for (size_t i = 0; i < first.memories; i++) {
        const test_memory *a = first.memory[i], *b = same.memory[i];
        if (a->size != b->size || memcmp(a->bytes, b->bytes, a->size) != 0)
            test_fail(report, "memory %zu differs for the same seed", i);
    }
    if (memcmp(first.v.memory->bytes, other.v.memory->bytes, first.v.memory->size) == 0)
        test_fail(report, "another draw gives the same values");
    test_inputs_free(&first);
    test_inputs_free(&same);
    test_inputs_free(&other);
}

static const char *const layout_cases[] = {
    "odd_n_begin",
    "bshd",
    "qkv",
    "qkv_grouped",
    "broadcast_batch",
    "broadcast_head",
    "broadcast_token",
    "grid",
    "grid_short_begin",
    "grid_short_end",
    "gaps",
    "gaps_begin",
    "offset",
    "negative",
    "negative_begin",
    "feature_stride",
    "one_kv_head",
    NULL,
};
static const char *const seed_cases[] = {"odd_n", "mask_blocks_nan", "large_logits", NULL};

static const test_definition definitions[] = {
    {"round_trip", test_round_trip, SCOPE_ONCE, 0, NULL, NULL},
    {"rounding", test_rounding, SCOPE_ONCE, 0, NULL, NULL},
    {"e4m3", test_e4m3, SCOPE_ONCE, 0, NULL, NULL},
    {"tolerance", test_tolerance, SCOPE_ONCE, 0, NULL, NULL},
    {"floor", test_floor, SCOPE_ONCE, 0, NULL, NULL},
    {"guards", test_guards, SCOPE_CASE, 0, layout_cases, NULL},
    {"addresses", test_addresses, SCOPE_CASE, 0, layout_cases, NULL},
    {"seeds", test_seeds, SCOPE_CASE, 0, seed_cases, NULL},
};

int main(int argc, char **argv)
{
    return test_main(argc, argv, "test_harness", definitions,
                     sizeof definitions / sizeof definitions[0]);
}
