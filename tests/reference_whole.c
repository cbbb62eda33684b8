/* SPDX-License-Identifier: Apache-2.0 */
#include "reference.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

/* What is asked of whole results on top of the policy's two measures. */

/* The least and the largest unmasked value of feature f that head h of batch entry b reads. */
static void bounds(const test_inputs *inputs, int64_t b, int64_t h, int64_t f, float *least,
                   float *most)
{
    const test_tensor *v = &inputs->v;

    *least = INFINITY;
    *most = -INFINITY;
    for (int64_t n = 0; n < v->tokens; n++) {
        float x;
        if (!inputs->valid[b * v->tokens + n])
            continue;
        x = test_tensor_get(v, b, test_inputs_kv_head(inputs, h), n, f);
        *least = x < *least ? x : *least;
        *most = x > *most ? x : *most;
    }
    if (*least > *most) /* a wholly masked sequence gives zeros */
        *least = *most = 0.0f;
}

/*
 * By how much, relatively, the weights of a row may sum to something else than 1: R, L, y and out
 * are each rounded once in the dtype, y perhaps in e4m3, and sums of B and of M terms in f32.
 */
static float slack_of_sums(const test_inputs *inputs)
{
    const double half_step_of_e4m3 = 0x1p-4;
    double sums = (double)(inputs->block + inputs->blocks) * tolerance_eps(MONARCH_F32);

    if (inputs->problem.intermediates == MONARCH_INTERMEDIATES_FP8)
        sums += half_step_of_e4m3;
    return (float)(2.0 * tolerance_eps(inputs->dtype) + sums);
}

/*
 * What e4m3 may add to that where a value is small beside its row: it has steps of 2^-9 at the
 * least, times the least power of two by which the row stays below 448. So the largest of a row is
 * above 224 times that power, and no mean is larger than the largest value.
 */
static float slack_of_small(const test_inputs *inputs, int64_t b, int64_t h)
{
    float largest = 0.0f;

    if (inputs->problem.intermediates != MONARCH_INTERMEDIATES_FP8)
        return 0.0f;
    for (int64_t f = 0; f < inputs->v.features; f++) {
        float least, most;
        bounds(inputs, b, h, f, &least, &most);
        largest = fmaxf(largest, fmaxf(fabsf(least), fabsf(most)));
    }
    return largest * 0x1p-10f / 224.0f;
}

static int head_within_values(const reference *r, int64_t b, int64_t h, const float *out,
                              char *text, size_t capacity)
{
    const test_tensor *t = &r->inputs.out;
    const float smallest = (float)tolerance_smallest(r->inputs.range);
    const float of_sums = slack_of_sums(&r->inputs), of_small = slack_of_small(&r->inputs, b, h);

    for (int64_t f = 0; f < t->features; f++) {
        float least, most, slack;
        bounds(&r->inputs, b, h, f, &least, &most);
        slack = of_sums * (fmaxf(fabsf(least), fabsf(most)) + smallest) + of_small;
        for (int64_t n = 0; n < t->tokens; n++) {
            size_t at = (size_t)(((b * t->heads + h) * t->tokens + n) * t->features + f);
            if (isnan(r->out.value[at]) || (out[at] >= least - slack && out[at] <= most + slack))
                continue;
            snprintf(text, capacity,
                     "out at [%" PRId64 ", %" PRId64 ", %" PRId64 ", %" PRId64
                     "] is %.9g, outside of the values from %.9g to %.9g",
                     b, h, n, f, (double)out[at], (double)least, (double)most);
            return 0;
        }
    }
    return 1;
}

int reference_within_values(const reference *r, const float *out, char *text, size_t capacity)
{
    for (int64_t b = 0; b < r->inputs.out.batch; b++)
        for (int64_t h = 0; h < r->inputs.out.heads; h++)
            if (!head_within_values(r, b, h, out, text, capacity))
                return 0;
    return 1;
}

result_verdict reference_check_relative(const reference *r, const float *out, char *text,
                                        size_t capacity)
{
    comparison result;

    if (r->inputs.dtype != MONARCH_F32 || r->largest_score > TOLERANCE_F32_SCORES ||
        r->inputs.problem.intermediates != MONARCH_INTERMEDIATES_DEFAULT)
        return RESULT_GOOD;
    if (r->sensitivity > TOLERANCE_F32_SENSITIVITY) {
        snprintf(text, capacity, "inputs alone decide the result to %.2g, so %.2g is not asked",
                 r->sensitivity, TOLERANCE_F32_RELATIVE);
        return RESULT_NOTE;
    }
    expected_compare(&r->out, MONARCH_F32, out, &result);
    if (result.relative <= TOLERANCE_F32_RELATIVE)
        return RESULT_GOOD;
    snprintf(text, capacity, "relative error %.3g exceeds %.2g, though no score exceeds %.3g",
             result.relative, TOLERANCE_F32_RELATIVE, r->largest_score);
    return RESULT_BAD;
}
