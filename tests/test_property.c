/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "convert.h"
#include "e4m3_table.h"
#include "execute.h"
#include "harness.h"
#include "head.h"
#include "random.h"

/* Facts that hold exactly, whatever the numbers: they find what a shared mistake would hide. */

/* One block, blocks of one token, and blocks of equal keys: exact attention. */
static void check_exact(const test_entry *entry, test_report *report)
{
    reference *r = test_reference(entry);
    size_t per_head = (size_t)(r->inputs.out.tokens * r->inputs.out.features);
    expected exact = r->out;
    float *out = test_compute(entry, &r->inputs, report);

    if (out == NULL)
        return;
    exact.value = test_alloc(exact.count, sizeof *exact.value);
    for (int64_t i = 0; i < r->inputs.q.batch * r->inputs.q.heads; i++) {
        double *rows = exact.value + (size_t)i * per_head;
        head_data head;
        head_read(&head, &r->inputs, i / r->inputs.q.heads, i % r->inputs.q.heads);
        if (oracle_exact(&head.p, head.q, head.k, head.v, rows) != 0)
            abort();
        /* With one block R of a masked query is uniform: it is left out of aR and cR. */
        for (size_t at = 0; at < per_head && r->inputs.block > 1; at++)
            if (head.p.mask != NULL && head.p.mask[at / (size_t)head.p.value_dim] == 0)
                rows[at] = NAN;
        head_free(&head);
    }
    test_compare(report, "exact attention", &exact, r->inputs.dtype, out);
    free(exact.value);
    free(out);
}

/* v = 1 gives 1, and 0 in sequences that are masked whole. */
static void check_ones(const test_entry *entry, test_report *report)
{
    reference *r = test_reference(entry);
    expected ones = r->out;
    float *out = test_compute(entry, &r->inputs, report);

    if (out == NULL)
        return;
    ones.value = test_alloc(ones.count, sizeof *ones.value);
    for (size_t i = 0; i < ones.count; i++)
        ones.value[i] = ones.magnitude[i] > 0.0 ? 1.0 : 0.0;
    test_compare(report, "v = 1", &ones, r->inputs.dtype, out);
    free(ones.value);
    free(out);
}

/* v = v * factor for every element, exact if factor is a power of 2 or its negative. */
static void scale_values(test_inputs *inputs, float factor)
{
    test_tensor *v = &inputs->v;

    for (int64_t b = 0; b < v->batch; b++)
        for (int64_t h = 0; h < v->heads; h++)
            for (int64_t n = 0; n < v->tokens; n++)
                for (int64_t f = 0; f < v->features; f++)
                    test_tensor_set(v, b, h, n, f, factor * test_tensor_get(v, b, h, n, f));
}

/* The output of -2 v is -2 times that of v, to the bit where no number is subnormal. */
static void check_scaled(const test_entry *entry, test_report *report)
{
    reference *r = test_reference(entry);
    test_inputs inputs;
    float *once, *scaled;
    /* f16 has subnormals in reach, and a subnormal y rounds otherwise than twice that y, which may
       turn the rounding of an element of the output. A change of sign changes no rounding. */
    float factor = entry->dtype == MONARCH_F16 ? -1.0f : -2.0f;

    test_inputs_relayout(&inputs, &r->inputs, entry->c);
    once = test_compute(entry, &inputs, report);
    scale_values(&inputs, factor);
    scaled = test_compute(entry, &inputs, report);
    for (size_t i = 0; once != NULL && scaled != NULL && i < r->out.count; i++) {
        if (isnan(r->out.value[i]) || scaled[i] == factor * once[i])
            continue;
        test_fail(report, "element %zu: %.9g for v, %.9g for %g v", i, (double)once[i],
                  (double)scaled[i], (double)factor);
        break;
    }
    free(once);
    free(scaled);
    test_inputs_free(&inputs);
}

/* Fills v with multiples of 1/8 from -4 to 4: their sums are exact in every dtype. */
static void fill_eighths(test_inputs *inputs, test_random *random, const test_inputs *add_to)
{
    test_tensor *v = &inputs->v;

    for (int64_t b = 0; b < v->batch; b++)
        for (int64_t h = 0; h < v->heads; h++)
            for (int64_t n = 0; n < v->tokens; n++)
                for (int64_t f = 0; f < v->features; f++) {
                    float x = (float)(test_random_below(random, 65) - 32) / 8.0f;
                    if (add_to != NULL)
                        x = test_tensor_get(v, b, h, n, f) +
                            test_tensor_get(&add_to->v, b, h, n, f);
                    test_tensor_set(v, b, h, n, f, x);
                }
}

/* The output of v + w is that of v plus that of w; in f32, up to the rounding of the sums. */
static void check_additive(const test_entry *entry, test_report *report)
{
    reference *r = test_reference(entry);
    test_random random = test_random_seed(entry->seed, "eighths", 0);
    test_inputs a, b;
    float *of_a, *of_b, *of_sum;
    /* Each of three results is a sum of B, then M terms below 8 in magnitude. */
    double terms = (double)(r->inputs.block + r->inputs.blocks + 2);
    double limit = 3.0 * 8.0 * terms * tolerance_eps(entry->dtype) / 2.0;

    test_inputs_relayout(&a, &r->inputs, entry->c);
    test_inputs_relayout(&b, &r->inputs, entry->c);
    fill_eighths(&a, &random, NULL);
    fill_eighths(&b, &random, NULL);
    of_a = test_compute(entry, &a, report);
    of_b = test_compute(entry, &b, report);
    fill_eighths(&b, &random, &a);
    of_sum = test_compute(entry, &b, report);
    for (size_t i = 0; of_a != NULL && of_b != NULL && of_sum != NULL && i < r->out.count; i++) {
        double difference = (double)of_a[i] + (double)of_b[i] - (double)of_sum[i];
        if (isnan(r->out.value[i]) || fabs(difference) <= limit)
            continue;
        test_fail(report, "element %zu: %.9g and %.9g apart, %.9g together", i, (double)of_a[i],
                  (double)of_b[i], (double)of_sum[i]);
        break;
    }
    free(of_a);
    free(of_b);
    free(of_sum);
    test_inputs_free(&a);
    test_inputs_free(&b);
}

/* Half of the values half way between two neighbours in the type of the output. */
static void fill_ties(test_inputs *inputs, test_random *random)
{
    test_tensor *v = &inputs->v;
    float half_step = (float)tolerance_eps(inputs->out.dtype) / 2.0f;

    for (int64_t h = 0; h < v->heads; h++)
        for (int64_t f = 0; f < v->features; f++) {
            float x = test_round(inputs->out.dtype, test_tensor_get(v, 0, h, 0, f));
            int exponent;
            frexpf(x, &exponent);
            if (test_random_below(random, 2) != 0)
                test_tensor_set(v, 0, h, 0, f, x + ldexpf(half_step, exponent - 1));
        }
}

/* One token's output is its value, rounded to the nearest, ties to even. */
static void check_rounded(const test_entry *entry, test_report *report)
{
    reference *r = test_reference(entry);
    test_random random = test_random_seed(entry->seed, "ties", 0);
    test_inputs inputs;
    float *out;

    test_inputs_relayout(&inputs, &r->inputs, entry->c);
    fill_ties(&inputs, &random);
    out = test_compute(entry, &inputs, report);
    for (size_t i = 0; out != NULL && i < r->out.count; i++) {
        int64_t h = (int64_t)i / inputs.v.features, f = (int64_t)i % inputs.v.features;
        float value = test_tensor_get(&inputs.v, 0, h, 0, f);
        if (out[i] == test_round(inputs.out.dtype, value))
            continue;
        test_fail(report, "%.9g became %.9g, the nearest %s is %.9g", (double)value, (double)out[i],
                  monarch_dtype_name(inputs.out.dtype),
                  (double)test_round(inputs.out.dtype, value));
        break;
    }
    free(out);
    test_inputs_free(&inputs);
}

/* Every head's values are the table's numbers times another power of 2. */
static void fill_table(test_inputs *inputs)
{
    for (int64_t h = 0; h < inputs->v.heads; h++)
        for (int64_t f = 0; f < inputs->v.features; f++)
            test_tensor_set(&inputs->v, 0, h, 0, f, ldexpf(e4m3_table[f].value, (int)h - 4));
}

/* With fp8 intermediates one token's output is its value as e4m3 holds it, to the bit. */
static void check_e4m3(const test_entry *entry, test_report *report)
{
    reference *r = test_reference(entry);
    test_inputs inputs;
    float *out;

    test_inputs_relayout(&inputs, &r->inputs, entry->c);
    if (inputs.v.features != E4M3_TABLE)
        test_fail(report, "the case has %d features", (int)inputs.v.features);
    fill_table(&inputs);
    out = test_compute(entry, &inputs, report);
    for (size_t i = 0; out != NULL && i < r->out.count; i++) {
        int h = (int)i / E4M3_TABLE, f = (int)i % E4M3_TABLE;
        float wanted = ldexpf(e4m3_table[f].rounded, h - 4);
        if (out[i] != wanted)
            test_fail(report, "%.9g times 2^%d became %.9g instead of %.9g",
                      (double)e4m3_table[f].value, h - 4, (double)out[i], (double)wanted);
    }
    free(out);
    test_inputs_free(&inputs);
}

/* v = 1 in feature k for the tokens of block k, so that the output is the weights of the blocks. */
static void fill_block_numbers(test_inputs *inputs)
{
    test_tensor *v = &inputs->v;

    for (int64_t b = 0; b < v->batch; b++)
        for (int64_t h = 0; h < v->heads; h++)
            for (int64_t n = 0; n < v->tokens; n++)
                for (int64_t f = 0; f < v->features; f++)
                    test_tensor_set(v, b, h, n, f, n / v->block == f ? 1.0f : 0.0f);
}

/* If all blocks are equal, every query weighs them equally. */
static void check_equal_blocks(const test_entry *entry, test_report *report)
{
    reference *r = test_reference(entry);
    double wanted = 1.0 / (double)r->inputs.blocks;
    /* A weight is as exact as its score, and then rounded as y and out are. */
    double limit = wanted * tolerance_eps(entry->dtype) * (2.0 + 2.0 * r->largest_score);
    test_inputs inputs;
    float *out;

    test_inputs_relayout(&inputs, &r->inputs, entry->c);
    fill_block_numbers(&inputs);
    out = test_compute(entry, &inputs, report);
    for (size_t i = 0; out != NULL && i < r->out.count; i++)
        if (!(fabs((double)out[i] - wanted) <= limit)) {
            test_fail(report, "element %zu: weight %.9g of one of %d equal blocks", i,
                      (double)out[i], (int)r->inputs.blocks);
            break;
        }
    free(out);
    test_inputs_free(&inputs);
}

static const char *const exact_cases[] = {
    "one_token",  "one_token_block_8", "two_tokens",         "block_1",      "block_1_steps_3",
    "block_n",    "block_above_n",     "block_chosen_small", "mask_block_1", "mask_block_above_n",
    "equal_keys", "zero_q_and_k",      "broadcast_token",    NULL,
};
static const char *const ones_cases[] = {"ones", "ones_large_block", "mask_ones", NULL};
static const char *const linear_cases[] = {
    "odd_n_steps_2", "odd_n_begin", "value_dim_1", "dim_33_value_31",
    "mask_blocks",   "vit_steps_2", NULL,
};
static const char *const rounded_cases[] = {"mixed_one_token", NULL};
static const char *const e4m3_cases[] = {"fp8_one_token", NULL};
static const char *const block_cases[] = {"equal_blocks_value_dim_m", NULL};

static const test_definition definitions[] = {
    {"exact", check_exact, SCOPE_VARIANT, 0, exact_cases, NULL},
    {"ones", check_ones, SCOPE_VARIANT, 0, ones_cases, NULL},
    {"scaled", check_scaled, SCOPE_VARIANT, 0, linear_cases, NULL},
    {"additive", check_additive, SCOPE_VARIANT, 1u << MONARCH_F32, linear_cases, NULL},
    {"rounded", check_rounded, SCOPE_VARIANT, 0, rounded_cases, NULL},
    {"e4m3", check_e4m3, SCOPE_VARIANT, 0, e4m3_cases, NULL},
    {"equal_blocks", check_equal_blocks, SCOPE_VARIANT, 0, block_cases, NULL},
};

int main(int argc, char **argv)
{
    return test_main(argc, argv, "test_property", definitions,
                     sizeof definitions / sizeof definitions[0]);
}
