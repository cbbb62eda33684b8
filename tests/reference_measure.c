/* SPDX-License-Identifier: Apache-2.0 */
#include "reference.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "head.h"
#include "naive.h"
#include "random.h"
#include "reference_parts.h"

/* How large errors may be: naive evaluations, and the sensitivity of the draw. */

static void measure_stage(stage_expected *s, const test_inputs *inputs, int64_t number,
                          const naive_values *naive)
{
    size_t rows = (size_t)(inputs->blocks * inputs->block), row = (size_t)number * rows;
    size_t D = (size_t)inputs->q.features, Dv = (size_t)inputs->v.features;

    if (s->aL.count != 0) {
        expected_measure(&s->aL, row * D, naive->aL, rows * D);
        expected_measure(&s->cL, row, naive->cL, rows);
    }
    if (s->y.count != 0)
        expected_measure(&s->y, row * Dv, naive->y, rows * Dv);
    if (s->aR.count != 0) {
        expected_measure(&s->aR, row * D, naive->aR, rows * D);
        expected_measure(&s->cR, row, naive->cR, rows);
    }
}

static void close_stage(stage_expected *s)
{
    expected_measured(&s->aL);
    expected_measured(&s->cL);
    expected_measured(&s->aR);
    expected_measured(&s->cR);
    expected_measured(&s->y);
}

/* One naive evaluation of one head, each stage on what the one before it gave. */
static void measure_head(reference *r, const head_data *head, int64_t number,
                         const naive_form *form)
{
    size_t count = (size_t)(r->inputs.out.tokens * r->inputs.out.features);
    float *rows = test_alloc(count, sizeof *rows);
    naive_values now;

    naive_values_alloc(&head->p, &now);
    naive_first(&head->p, head->fq, &now);
    for (uint32_t i = 0; i < r->stage_count; i++) {
        head_stage_naive(head, form, i, &now, &now, rows);
        measure_stage(&r->stages[i], &r->inputs, number, &now);
    }
    expected_measure(&r->out, (size_t)number * count, rows, count);
    naive_values_free(&now);
    free(rows);
}

int reference_form_count(const reference *r)
{
    const test_inputs *in = &r->inputs;
    double work = (double)(reference_heads(in) * in->blocks * in->block) *
                  (double)(in->block + in->blocks) * (double)(in->q.features + in->v.features) *
                  (double)r->stage_count;
    double count = 2e8 / work;

    return count < 3.0 ? 3 : count > 40.0 ? 40 : (int)count;
}

/* Each element times 1 plus or minus half an eps of f32. */
static void disturb(double *values, size_t count, test_random *random)
{
    for (size_t i = 0; i < count; i++)
        values[i] *= test_random_below(random, 2) != 0 ? 1.0 + 0x1p-24 : 1.0 - 0x1p-24;
}

/* Relative change of the output when q and k change by less than f32 can tell. */
static double disturbed(const reference *r, uint64_t number)
{
    test_random random = test_random_seed(r->seed, "sensitivity", number);
    size_t count = (size_t)(r->inputs.out.tokens * r->inputs.out.features);
    double *out = test_alloc(count, sizeof *out), change = 0.0, norm = 0.0;

    for (int64_t h = 0; h < reference_heads(&r->inputs); h++) {
        head_data head;
        size_t inputs;
        head_read(&head, &r->inputs, h / r->inputs.q.heads, h % r->inputs.q.heads);
        inputs = (size_t)(head.p.tokens * head.p.head_dim);
        disturb(head.q, inputs, &random);
        disturb(head.k, inputs, &random);
        if (oracle_monarch(&head.p, head.q, head.k, head.v, out) != 0)
            exit(1);
        for (size_t i = 0; i < count; i++) {
            double value = r->out.value[(size_t)h * count + i];
            if (isnan(value))
                continue;
            change += (out[i] - value) * (out[i] - value);
            norm += value * value;
        }
        head_free(&head);
    }
    free(out);
    return norm > 0.0 ? sqrt(change / norm) : 0.0;
}

static void measure_sensitivity(reference *r)
{
    /* Small scores cannot carry an error far, and with others nobody asks. */
    if (r->inputs.dtype != MONARCH_F32 || r->largest_score < 10.0 ||
        r->largest_score > TOLERANCE_F32_SCORES)
        return;
    for (uint64_t number = 0; number < 8; number++) {
        double change = disturbed(r, number);
        r->sensitivity = change > r->sensitivity ? change : r->sensitivity;
    }
}

naive_form reference_form(const reference *r, int index)
{
    int fp8 = r->inputs.problem.intermediates == MONARCH_INTERMEDIATES_FP8;

    return naive_form_make(r->inputs.dtype, fp8, index, r->seed);
}

/* Naive evaluations from the next one on, up to number `end`. */
static void measure_forms(reference *r, int end)
{
    for (; r->forms < end; r->forms++) {
        naive_form form = reference_form(r, r->forms);
        for (int64_t i = 0; i < reference_heads(&r->inputs); i++) {
            head_data head;
            head_read(&head, &r->inputs, i / r->inputs.q.heads, i % r->inputs.q.heads);
            measure_head(r, &head, i, &form);
            head_free(&head);
        }
        for (uint32_t i = 0; i < r->stage_count; i++)
            close_stage(&r->stages[i]);
        expected_measured(&r->out);
    }
}

static void refine(void *owner)
{
    reference *r = owner;

    measure_forms(r, 4 * reference_form_count(r));
}

static void make_refinable(reference *r, expected *e)
{
    e->refine = refine;
    e->owner = r;
}

void reference_measure(reference *r)
{
    measure_forms(r, reference_form_count(r));
    for (uint32_t i = 0; i < r->stage_count; i++) {
        make_refinable(r, &r->stages[i].aL);
        make_refinable(r, &r->stages[i].cL);
        make_refinable(r, &r->stages[i].aR);
        make_refinable(r, &r->stages[i].cR);
        make_refinable(r, &r->stages[i].y);
    }
    make_refinable(r, &r->out);
    measure_sensitivity(r);
}
