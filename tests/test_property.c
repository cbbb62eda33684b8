/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "execute.h"
#include "harness.h"
#include "head.h"
#include "random.h"

/* Facts that hold exactly, whatever the numbers: they find what a shared mistake would hide. */

/* Runs a problem once; the output as packed f32, or NULL after a report. */
static float *compute_on(monarch_device *device, const char *variant, test_inputs *inputs,
                         test_report *report)
{
    size_t count =
        (size_t)(inputs->out.batch * inputs->out.heads * inputs->out.tokens * inputs->out.features);
    test_runner runner;
    monarch_error error;
    monarch_status status = test_runner_open(&runner, device, variant, 0, inputs, &error);
    float *out;

    if (status == MONARCH_OK) {
        test_inputs_reset_output(inputs);
        status = test_runner_execute(&runner, inputs, TEST_POISON, &error);
        test_runner_close(&runner);
    }
    if (status != MONARCH_OK) {
        test_status(report, "execution", status, &error);
        return NULL;
    }
    out = test_alloc(count, sizeof *out);
    test_inputs_output(inputs, out);
    return out;
}

static float *compute(const test_entry *entry, test_inputs *inputs, test_report *report)
{
    return compute_on(entry->target->device, entry->variant, inputs, report);
}

static size_t count_of(const test_inputs *inputs)
{
    return (size_t)(inputs->out.batch * inputs->out.heads * inputs->out.tokens *
                    inputs->out.features);
}

/* Whether two outputs agree bit for bit; rows of masked tokens only if `masked_too`. */
static void check_bits(const test_inputs *inputs, const float *first, const float *second,
                       int masked_too, const char *what, test_report *report)
{
    const test_tensor *t = &inputs->out;
    size_t row = (size_t)t->features;

    for (size_t r = 0; r < count_of(inputs) / row; r++) {
        int64_t n = (int64_t)r % t->tokens, b = (int64_t)r / t->tokens / t->heads;
        if (!masked_too && !inputs->valid[b * t->tokens + n])
            continue;
        if (memcmp(&first[r * row], &second[r * row], row * sizeof *first) == 0)
            continue;
        test_fail(report, "%s: batch %" PRId64 ", head %" PRId64 ", token %" PRId64 " differs",
                  what, b, (int64_t)r / t->tokens % t->heads, n);
        return;
    }
}

/* One block, blocks of one token, and blocks of equal keys: exact attention. */
static void check_exact(const test_entry *entry, test_report *report)
{
    reference *r = test_reference(entry);
    size_t per_head = (size_t)(r->inputs.out.tokens * r->inputs.out.features);
    expected exact = r->out;
    float *out = compute(entry, &r->inputs, report);

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
    float *out = compute(entry, &r->inputs, report);

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
    /* f16 has subnormals in reach: y and out may each round to their steps of 2^-24. */
    double slack = entry->dtype == MONARCH_F16 ? 0x1p-22 : 0.0;

    test_inputs_relayout(&inputs, &r->inputs, entry->c);
    once = compute(entry, &inputs, report);
    scale_values(&inputs, -2.0f);
    scaled = compute(entry, &inputs, report);
    for (size_t i = 0; once != NULL && scaled != NULL && i < r->out.count; i++) {
        if (isnan(r->out.value[i]) || fabs((double)scaled[i] + 2.0 * (double)once[i]) <= slack)
            continue;
        test_fail(report, "element %zu: %.9g for v, %.9g for -2 v", i, (double)once[i],
                  (double)scaled[i]);
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
    of_a = compute(entry, &a, report);
    of_b = compute(entry, &b, report);
    fill_eighths(&b, &random, &a);
    of_sum = compute(entry, &b, report);
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

/* Copies a tensor with batch entries and heads in reverse order. */
static void reverse(test_tensor *to, const test_tensor *from)
{
    size_t element = to->element;

    for (int64_t b = 0; b < to->batch; b++)
        for (int64_t h = 0; h < to->heads; h++)
            for (int64_t n = 0; n < to->tokens; n++) {
                size_t at = test_tensor_at(to, b, h, n);
                size_t source = test_tensor_at(from, to->batch - 1 - b, to->heads - 1 - h, n);
                memcpy(&to->memory->bytes[at], &from->memory->bytes[source],
                       (size_t)to->features * element);
            }
}

/* Batch entries and heads in another order give the same results in that order. */
static void check_permuted(const test_entry *entry, test_report *report)
{
    reference *r = test_reference(entry);
    test_inputs reversed;
    size_t per_head = (size_t)(r->inputs.out.tokens * r->inputs.out.features);
    size_t heads = r->out.count / per_head;
    float *straight = compute(entry, &r->inputs, report), *out;

    test_inputs_relayout(&reversed, &r->inputs, entry->c);
    reverse(&reversed.q, &r->inputs.q);
    reverse(&reversed.k, &r->inputs.k);
    reverse(&reversed.v, &r->inputs.v);
    if (reversed.mask.memory != NULL)
        reverse(&reversed.mask, &r->inputs.mask);
    out = straight != NULL ? compute(entry, &reversed, report) : NULL;
    for (size_t h = 0; out != NULL && h < heads; h++)
        if (memcmp(&out[h * per_head], &straight[(heads - 1 - h) * per_head],
                   per_head * sizeof *out) != 0)
            test_fail(report, "head %zu of %zu gives something else at another place",
                      heads - 1 - h, heads);
    free(straight);
    free(out);
    test_inputs_free(&reversed);
}

/* Fills the rows of masked tokens with something. */
static void fill_masked(test_inputs *inputs, test_tensor *t, float value)
{
    for (int64_t b = 0; b < t->batch; b++)
        for (int64_t h = 0; h < t->heads; h++)
            for (int64_t n = 0; n < t->tokens; n++)
                for (int64_t f = 0; f < t->features && !inputs->valid[b * t->tokens + n]; f++)
                    test_tensor_set(t, b, h, n, f, value);
}

/* What masked keys and values hold does not matter; masked queries only to their own rows. */
static void check_masked(const test_entry *entry, test_report *report)
{
    static const float contents[] = {NAN, INFINITY, -INFINITY, 60000.0f, 0.0f};
    reference *r = test_reference(entry);
    test_inputs inputs;
    float *first, *out;

    test_inputs_relayout(&inputs, &r->inputs, entry->c);
    first = compute(entry, &inputs, report);
    for (size_t i = 0; first != NULL && i < sizeof contents / sizeof contents[0]; i++) {
        fill_masked(&inputs, &inputs.k, contents[i]);
        fill_masked(&inputs, &inputs.v, contents[i]);
        out = compute(entry, &inputs, report);
        if (out != NULL)
            check_bits(&inputs, first, out, 1, "other masked keys and values", report);
        free(out);
    }
    for (size_t i = 0; first != NULL && i < sizeof contents / sizeof contents[0]; i++) {
        fill_masked(&inputs, &inputs.q, contents[i]);
        out = compute(entry, &inputs, report);
        if (out != NULL)
            check_bits(&inputs, first, out, 0, "other masked queries", report);
        free(out);
    }
    free(first);
    test_inputs_free(&inputs);
}

/* Where tensors lie does not change a bit. */
static void check_layouts(const test_entry *entry, test_report *report)
{
    static const test_layout layouts[] = {LAYOUT_BSHD,   LAYOUT_QKV,    LAYOUT_GRID,
                                          LAYOUT_GAPS,   LAYOUT_OFFSET, LAYOUT_NEGATIVE,
                                          LAYOUT_FEATURE};
    reference *r = test_reference(entry);
    float *packed = compute(entry, &r->inputs, report);

    for (size_t i = 0; packed != NULL && i < sizeof layouts / sizeof layouts[0]; i++) {
        test_case c = *entry->c;
        test_report refusal;
        test_inputs inputs;
        float *out;
        c.layout = layouts[i];
        memset(&refusal, 0, sizeof refusal);
        test_inputs_relayout(&inputs, &r->inputs, &c);
        out = compute(entry, &inputs, &refusal);
        if (out != NULL)
            check_bits(&inputs, packed, out, 1, test_layout_name(layouts[i]), report);
        else if (refusal.skipped)
            test_note(report, "%s: %s", test_layout_name(layouts[i]), refusal.text);
        else
            test_fail(report, "%s: %s", test_layout_name(layouts[i]), refusal.text);
        free(out);
        test_inputs_free(&inputs);
    }
    free(packed);
}

/* The number of threads does not change a bit. */
static void check_threads(const test_entry *entry, test_report *report)
{
    static const int32_t counts[] = {1, 2, 3, 5};
    reference *r = test_reference(entry);
    float *first = NULL;

    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        monarch_instance_params params = monarch_instance_params_default();
        monarch_instance *instance = NULL;
        monarch_device *device = NULL;
        monarch_error error;
        float *out = NULL;
        char what[32];
        params.cpu_threads = counts[i];
        params.backends = "cpu";
        if (monarch_instance_create(&params, &instance, &error) != MONARCH_OK ||
            monarch_instance_find(instance, "cpu", &device, &error) != MONARCH_OK)
            test_fail(report, "%d threads: %s", counts[i], error.message);
        else
            out = compute_on(device, entry->variant, &r->inputs, report);
        snprintf(what, sizeof what, "%d threads", counts[i]);
        if (out != NULL && first != NULL)
            check_bits(&r->inputs, first, out, 1, what, report);
        if (first == NULL)
            first = out;
        else
            free(out);
        monarch_instance_destroy(&instance);
    }
    free(first);
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
    out = compute(entry, &inputs, report);
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
static const char *const permuted_cases[] = {
    "odd_n_steps_2", "heads_many", "grouped", "mask_sequence_nan", "one_kv_head", NULL,
};
static const char *const masked_cases[] = {
    "mask_random",       "mask_blocks", "mask_sequence", "mask_block_1", "mask_block_above_n",
    "mask_trailing_nan", NULL,
};
static const char *const layout_cases[] = {
    "odd_n_steps_2", "odd_n_steps_3_begin", "dim_17", "dim_33_value_31",
    "grouped",       "mask_random_nan",     NULL,
};
static const char *const thread_cases[] = {
    "one_token",    "odd_n_steps_3_begin", "block_large",     "blocks_many", "heads_many",
    "tiles_plus_1", "vit_steps_2",         "mask_blocks_nan", "one_kv_head", NULL,
};
static const char *const block_cases[] = {"equal_blocks_value_dim_m", NULL};

static const test_definition definitions[] = {
    {"exact", check_exact, SCOPE_VARIANT, 0, exact_cases, NULL},
    {"ones", check_ones, SCOPE_VARIANT, 0, ones_cases, NULL},
    {"scaled", check_scaled, SCOPE_VARIANT, 0, linear_cases, NULL},
    {"additive", check_additive, SCOPE_VARIANT, 1u << MONARCH_F32, linear_cases, NULL},
    {"permuted", check_permuted, SCOPE_VARIANT, 0, permuted_cases, NULL},
    {"masked", check_masked, SCOPE_VARIANT, 0, masked_cases, NULL},
    {"layouts", check_layouts, SCOPE_VARIANT, 0, layout_cases, NULL},
    {"threads", check_threads, SCOPE_VARIANT, 0, thread_cases, "cpu"},
    {"equal_blocks", check_equal_blocks, SCOPE_VARIANT, 0, block_cases, NULL},
};

int main(int argc, char **argv)
{
    return test_main(argc, argv, "test_property", definitions,
                     sizeof definitions / sizeof definitions[0]);
}
