/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "execute.h"
#include "harness.h"
#include "random.h"

/* What must not change a bit of a result: its place, its neighbours, what is masked, threads. */

enum { PLACES = 8, HOLES = 16 };

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
    float *straight = test_compute(entry, &r->inputs, report), *out;

    test_inputs_relayout(&reversed, &r->inputs, entry->c);
    reverse(&reversed.q, &r->inputs.q);
    reverse(&reversed.k, &r->inputs.k);
    reverse(&reversed.v, &r->inputs.v);
    if (reversed.mask.memory != NULL)
        reverse(&reversed.mask, &r->inputs.mask);
    out = straight != NULL ? test_compute(entry, &reversed, report) : NULL;
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
    first = test_compute(entry, &inputs, report);
    for (size_t i = 0; first != NULL && i < sizeof contents / sizeof contents[0]; i++) {
        fill_masked(&inputs, &inputs.k, contents[i]);
        fill_masked(&inputs, &inputs.v, contents[i]);
        out = test_compute(entry, &inputs, report);
        if (out != NULL)
            check_bits(&inputs, first, out, 1, "other masked keys and values", report);
        free(out);
    }
    for (size_t i = 0; first != NULL && i < sizeof contents / sizeof contents[0]; i++) {
        fill_masked(&inputs, &inputs.q, contents[i]);
        out = test_compute(entry, &inputs, report);
        if (out != NULL)
            check_bits(&inputs, first, out, 0, "other masked queries", report);
        free(out);
    }
    free(first);
    test_inputs_free(&inputs);
}

static void fill_first_head(test_tensor *t, float value)
{
    for (int64_t n = 0; n < t->tokens; n++)
        for (int64_t f = 0; f < t->features; f++)
            test_tensor_set(t, 0, 0, n, f, value);
}

/* What a head holds does not matter to the others, not even NaN. */
static void check_neighbours(const test_entry *entry, test_report *report)
{
    reference *r = test_reference(entry);
    size_t per_head = (size_t)(r->inputs.out.tokens * r->inputs.out.features);
    size_t heads = r->out.count / per_head;
    test_inputs inputs;
    float *first, *out;

    test_inputs_relayout(&inputs, &r->inputs, entry->c);
    first = test_compute(entry, &inputs, report);
    fill_first_head(&inputs.q, NAN);
    fill_first_head(&inputs.k, NAN);
    fill_first_head(&inputs.v, NAN);
    out = first != NULL ? test_compute(entry, &inputs, report) : NULL;
    for (size_t h = 1; out != NULL && h < heads; h++)
        if (memcmp(&out[h * per_head], &first[h * per_head], per_head * sizeof *out) != 0)
            test_fail(report, "head %zu gives something else beside a head of NaN", h);
    free(first);
    free(out);
    test_inputs_free(&inputs);
}

/* Where tensors lie does not change a bit. */
static void check_layouts(const test_entry *entry, test_report *report)
{
    static const test_layout layouts[] = {LAYOUT_BSHD,   LAYOUT_QKV,    LAYOUT_GRID,
                                          LAYOUT_GAPS,   LAYOUT_OFFSET, LAYOUT_NEGATIVE,
                                          LAYOUT_FEATURE};
    reference *r = test_reference(entry);
    float *packed = test_compute(entry, &r->inputs, report);

    for (size_t i = 0; packed != NULL && i < sizeof layouts / sizeof layouts[0]; i++) {
        test_case c = *entry->c;
        test_report refusal;
        test_inputs inputs;
        float *out;
        c.layout = layouts[i];
        memset(&refusal, 0, sizeof refusal);
        test_inputs_relayout(&inputs, &r->inputs, &c);
        out = test_compute(entry, &inputs, &refusal);
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

/* Opens a runner whose buffers lie between holes: where a driver gives freed memory back, nothing
   is mapped there, and what reads beyond a tensor fails. */
static monarch_status open_between_holes(test_runner *runner, const test_entry *entry,
                                         const test_inputs *inputs, test_random *random,
                                         monarch_error *error)
{
    monarch_device *device = entry->target->device;
    monarch_buffer *holes[HOLES] = {NULL};
    monarch_status status = MONARCH_OK;

    for (size_t i = 0; i < HOLES && status == MONARCH_OK; i++) {
        uint64_t size = (uint64_t)(1 + test_random_below(random, 6)) << 20;
        status = monarch_buffer_create(device, size, &holes[i], error);
    }
    for (size_t i = 0; i < HOLES; i++)
        if (test_random_below(random, 2) == 0)
            monarch_buffer_destroy(&holes[i]);
    if (status == MONARCH_OK)
        status = test_runner_open(runner, device, entry->variant, 0, inputs, error);
    for (size_t i = 0; i < HOLES; i++)
        monarch_buffer_destroy(&holes[i]);
    return status;
}

/* Where buffers lie, and what lies around them, does not change a bit. */
static void check_places(const test_entry *entry, test_report *report)
{
    reference *r = test_reference(entry);
    test_random random = test_random_seed(entry->seed, entry->c->name, 1);
    float *first = test_compute(entry, &r->inputs, report);
    float *out = test_alloc(count_of(&r->inputs), sizeof *out);

    for (int i = 0; i < PLACES && first != NULL; i++) {
        test_runner runner;
        monarch_error error;
        monarch_status status = open_between_holes(&runner, entry, &r->inputs, &random, &error);
        if (status == MONARCH_OK) {
            test_inputs_reset_output(&r->inputs);
            status = test_runner_execute(&runner, &r->inputs, TEST_POISON, &error);
            test_runner_close(&runner);
        }
        if (status != MONARCH_OK) {
            test_status(report, "execution between holes", status, &error);
            break;
        }
        test_inputs_output(&r->inputs, out);
        check_bits(&r->inputs, first, out, 1, "other places", report);
    }
    free(first);
    free(out);
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
            out = test_compute_on(device, entry->variant, &r->inputs, report);
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

static const char *const permuted_cases[] = {
    "odd_n_steps_2", "heads_many",   "grouped", "mask_sequence_nan",
    "one_kv_head",   "fp8_mask_nan", NULL,
};
static const char *const masked_cases[] = {
    "mask_random",        "mask_blocks",       "mask_sequence", "mask_block_1",
    "mask_block_above_n", "mask_trailing_nan", "fp8_mask_nan",  NULL,
};
static const char *const neighbour_cases[] = {
    "odd_n_steps_2",  "odd_n_steps_3_begin", "heads_many",      "vit_steps_2", "many_block_70",
    "many_blocks_70", "heads_of_384_few",    "shares_130_mask", NULL,
};
static const char *const layout_cases[] = {
    "odd_n_steps_2", "odd_n_steps_3_begin", "dim_17", "dim_33_value_31",
    "grouped",       "mask_random_nan",     NULL,
};
static const char *const place_cases[] = {
    "odd_n_begin",
    "vit_steps_2",
    "slices_90_begin",
    "ring_136_value_200_begin",
    "ring_40_value_100_begin",
    "many_block_70",
    NULL,
};
static const char *const thread_cases[] = {
    "one_token",   "odd_n_steps_3_begin", "block_large", "blocks_many",
    "heads_many",  "tiles_plus_1",        "vit_steps_2", "mask_blocks_nan",
    "one_kv_head", "fp8_steps_2",         NULL,
};

static const test_definition definitions[] = {
    {"permuted", check_permuted, SCOPE_VARIANT, 0, permuted_cases, NULL},
    {"masked", check_masked, SCOPE_VARIANT, 0, masked_cases, NULL},
    {"neighbours", check_neighbours, SCOPE_VARIANT, 0, neighbour_cases, NULL},
    {"layouts", check_layouts, SCOPE_VARIANT, 0, layout_cases, NULL},
    {"places", check_places, SCOPE_VARIANT, 0, place_cases, NULL},
    {"threads", check_threads, SCOPE_VARIANT, 0, thread_cases, "cpu"},
};

int main(int argc, char **argv)
{
    return test_main(argc, argv, "test_bitwise", definitions,
                     sizeof definitions / sizeof definitions[0]);
}
