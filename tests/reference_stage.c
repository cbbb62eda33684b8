/* SPDX-License-Identifier: Apache-2.0 */
#include "reference.h"

#include <stdlib.h>
#include <string.h>

#include "head.h"
#include "naive.h"
#include "reference_parts.h"

/* Single stages on given inputs. */

/* Under this, aR and cR have lost digits as f32 that aR / cR would need. */
#define SMALLEST_CHOSEN 0x1p-100

static size_t row_count(const test_inputs *inputs)
{
    return (size_t)(inputs->q.batch * inputs->q.heads * inputs->blocks * inputs->block);
}

void stage_arrays_alloc(stage_arrays *arrays, const test_inputs *inputs)
{
    size_t rows = row_count(inputs), D = (size_t)inputs->q.features;
    size_t Dv = (size_t)inputs->v.features;

    arrays->aL = test_alloc(rows * D, sizeof(float));
    arrays->cL = test_alloc(rows, sizeof(float));
    arrays->aR = test_alloc(rows * D, sizeof(float));
    arrays->cR = test_alloc(rows, sizeof(float));
    arrays->y = test_alloc(rows * Dv, sizeof(float));
}

void stage_arrays_free(stage_arrays *arrays)
{
    free(arrays->aL);
    free(arrays->cL);
    free(arrays->aR);
    free(arrays->cR);
    free(arrays->y);
    memset(arrays, 0, sizeof *arrays);
}

static void to_float(float *to, const expected *from)
{
    for (size_t i = 0; i < from->count; i++)
        to[i] = (float)from->value[i];
}

static void copy_float(float *to, const float *from, size_t count)
{
    memcpy(to, from, count * sizeof *to);
}

static void make_inputs(const reference *r, uint32_t index, const stage_arrays *arrays)
{
    const stage_expected *from = &r->stages[index - 1];

    to_float(arrays->aL, &from->aL);
    to_float(arrays->cL, &from->cL);
    to_float(arrays->aR, &from->aR);
    to_float(arrays->cR, &from->cR);
    to_float(arrays->y, &from->y);
}

/* The same from what somebody else's stage gave; arrays that it does not have are NULL. */
static void copy_inputs(const reference *r, const stage_arrays *given, const stage_arrays *arrays)
{
    size_t rows = row_count(&r->inputs), D = (size_t)r->inputs.q.features;

    if (given->aL != NULL)
        copy_float(arrays->aL, given->aL, rows * D);
    if (given->cL != NULL)
        copy_float(arrays->cL, given->cL, rows);
    if (given->aR != NULL)
        copy_float(arrays->aR, given->aR, rows * D);
    if (given->cR != NULL)
        copy_float(arrays->cR, given->cR, rows);
    if (given->y != NULL)
        copy_float(arrays->y, given->y, rows * (size_t)r->inputs.v.features);
}

/* A cR from which aR / cR cannot be had any more stands for "no query chose this block". */
static void clear_unchosen(const reference *r, const stage_arrays *arrays)
{
    size_t D = (size_t)r->inputs.q.features;

    for (size_t row = 0; row < row_count(&r->inputs); row++) {
        if ((double)arrays->cR[row] >= SMALLEST_CHOSEN)
            continue;
        arrays->cR[row] = 0.0f;
        memset(&arrays->aR[row * D], 0, D * sizeof(float));
    }
}

/* Where a head's part of arrays [batch, heads, blocks, block, features] starts. */
static stage_arrays head_of(const reference *r, const stage_arrays *arrays, int64_t number)
{
    size_t row = (size_t)(number * r->inputs.blocks * r->inputs.block);
    stage_arrays part = {arrays->aL + row * (size_t)r->inputs.q.features, arrays->cL + row,
                         arrays->aR + row * (size_t)r->inputs.q.features, arrays->cR + row,
                         arrays->y + row * (size_t)r->inputs.v.features};

    return part;
}

static void copy_double(double *to, const float *from, size_t count)
{
    for (size_t i = 0; i < count; i++)
        to[i] = (double)from[i];
}

/* The inputs of one head for the naive evaluation and for the oracle; NULL: those of stage 0. */
static void load_head(const reference *r, const head_data *head, const stage_arrays *arrays,
                      int64_t number, const oracle_values *in, const naive_values *naive)
{
    size_t rows = (size_t)(r->inputs.blocks * r->inputs.block);
    size_t D = (size_t)head->p.head_dim, Dv = (size_t)head->p.value_dim;
    stage_arrays part;

    if (arrays == NULL) {
        oracle_first(&head->p, head->q, in);
        naive_first(&head->p, head->fq, naive);
        return;
    }
    part = head_of(r, arrays, number);
    copy_float(naive->aL, part.aL, rows * D);
    copy_float(naive->cL, part.cL, rows);
    copy_float(naive->aR, part.aR, rows * D);
    copy_float(naive->cR, part.cR, rows);
    copy_float(naive->y, part.y, rows * Dv);
    copy_double(in->aL, part.aL, rows * D);
    copy_double(in->cL, part.cL, rows);
    copy_double(in->aR, part.aR, rows * D);
    copy_double(in->cR, part.cR, rows);
    copy_double(in->y, part.y, rows * Dv);
    oracle_accept(&head->p, in);
}

/* One array of one head: what the oracle gave, and its magnitude. */
static void set_expected(expected *e, int64_t number, int64_t heads, const double *value,
                         const double *magnitude)
{
    size_t count = e->count / (size_t)heads, at = (size_t)number * count;

    if (count == 0)
        return;
    memcpy(&e->value[at], value, count * sizeof *value);
    memcpy(&e->magnitude[at], magnitude, count * sizeof *magnitude);
}

static void measure_part(expected *e, int64_t number, int64_t heads, const float *naive)
{
    size_t count = e->count / (size_t)heads;

    expected_measure(e, (size_t)number * count, naive, count);
}

/* One head's stage in the making. */
typedef struct stage_work {
    head_data head;
    oracle_values in, result, magnitude;
    naive_values given, naive;
    double *rows, *rows_magnitude;
    float *naive_rows;
} stage_work;

static void open_work(stage_work *w, const reference *r, int64_t number)
{
    size_t count = (size_t)(r->inputs.out.tokens * r->inputs.out.features);

    head_read(&w->head, &r->inputs, number / r->inputs.q.heads, number % r->inputs.q.heads);
    head_values_alloc(&w->head, &w->in);
    head_values_alloc(&w->head, &w->result);
    head_values_alloc(&w->head, &w->magnitude);
    naive_values_alloc(&w->head.p, &w->given);
    naive_values_alloc(&w->head.p, &w->naive);
    w->rows = test_alloc(count, sizeof *w->rows);
    w->rows_magnitude = test_alloc(count, sizeof *w->rows_magnitude);
    w->naive_rows = test_alloc(count, sizeof *w->naive_rows);
}

static void close_work(stage_work *w)
{
    head_free(&w->head);
    oracle_values_free(&w->in);
    oracle_values_free(&w->result);
    oracle_values_free(&w->magnitude);
    naive_values_free(&w->given);
    naive_values_free(&w->naive);
    free(w->rows);
    free(w->rows_magnitude);
    free(w->naive_rows);
}

/* What is right for one head. */
static void expect_head(stage_work *w, const reference *r, uint32_t index, int64_t number,
                        stage_expected *stage, expected *out)
{
    int64_t heads = r->inputs.q.batch * r->inputs.q.heads;

    head_stage_oracle(&w->head, index, &w->in, &w->result, w->rows);
    head_stage_magnitude(&w->head, r->inputs.range, index, &w->in, w->in.y, &w->magnitude,
                         w->rows_magnitude);
    set_expected(&stage->aL, number, heads, w->result.aL, w->magnitude.aL);
    set_expected(&stage->cL, number, heads, w->result.cL, w->magnitude.cL);
    set_expected(&stage->aR, number, heads, w->result.aR, w->magnitude.aR);
    set_expected(&stage->cR, number, heads, w->result.cR, w->magnitude.cR);
    set_expected(&stage->y, number, heads, w->result.y, w->magnitude.y);
    set_expected(out, number, heads, w->rows, w->rows_magnitude);
}

/* One naive evaluation of one head. */
static void measure_head(stage_work *w, const reference *r, uint32_t index, int64_t number,
                         const naive_form *form, stage_expected *stage, expected *out)
{
    int64_t heads = r->inputs.q.batch * r->inputs.q.heads;

    if (index > 0)
        naive_accept(&w->head.p, form, &w->given);
    head_stage_naive(&w->head, form, index, &w->given, &w->naive, w->naive_rows);
    measure_part(&stage->aL, number, heads, w->naive.aL);
    measure_part(&stage->cL, number, heads, w->naive.cL);
    measure_part(&stage->aR, number, heads, w->naive.aR);
    measure_part(&stage->cR, number, heads, w->naive.cR);
    measure_part(&stage->y, number, heads, w->naive.y);
    measure_part(out, number, heads, w->naive_rows);
}

/* Naive evaluations from the next one on, up to number `end`; the first brings the oracle's
 * results. */
static void measure_forms(stage_alone *alone, int end)
{
    const reference *r = alone->whole;
    stage_expected *stage = &alone->stage;
    const stage_arrays *arrays = alone->index > 0 ? &alone->inputs : NULL;

    for (; alone->forms < end; alone->forms++) {
        naive_form form = reference_form(r, alone->forms);
        for (int64_t i = 0; i < r->inputs.q.batch * r->inputs.q.heads; i++) {
            stage_work work;
            open_work(&work, r, i);
            load_head(r, &work.head, arrays, i, &work.in, &work.given);
            if (alone->forms == 0)
                expect_head(&work, r, alone->index, i, stage, &alone->out);
            measure_head(&work, r, alone->index, i, &form, stage, &alone->out);
            close_work(&work);
        }
        expected_measured(&stage->aL);
        expected_measured(&stage->cL);
        expected_measured(&stage->aR);
        expected_measured(&stage->cR);
        expected_measured(&stage->y);
        expected_measured(&alone->out);
    }
}

/* No stage before this one magnifies the error of a row, so luck has less to decide. */
static int form_count(const reference *r)
{
    return reference_form_count(r) < 12 ? reference_form_count(r) : 12;
}

static void refine(void *owner)
{
    stage_alone *alone = owner;

    measure_forms(alone, 4 * form_count(alone->whole));
}

static void make_refinable(stage_alone *alone, expected *e)
{
    e->refine = refine;
    e->owner = alone;
}

static void expect_stage(stage_alone *alone)
{
    const reference *r = alone->whole;
    stage_expected *stage = &alone->stage;

    stage_expected_alloc(stage, &r->inputs, alone->index, r->stage_count);
    if (alone->index == r->stage_count - 1)
        out_expected_alloc(&alone->out, &r->inputs);
    measure_forms(alone, form_count(r));
    make_refinable(alone, &stage->aL);
    make_refinable(alone, &stage->cL);
    make_refinable(alone, &stage->aR);
    make_refinable(alone, &stage->cR);
    make_refinable(alone, &stage->y);
    make_refinable(alone, &alone->out);
}

stage_alone *stage_alone_create(const reference *r, uint32_t index, const stage_arrays *given)
{
    stage_alone *alone = test_alloc(1, sizeof *alone);

    alone->whole = r;
    alone->index = index;
    if (index > 0) {
        stage_arrays_alloc(&alone->inputs, &r->inputs);
        if (given != NULL)
            copy_inputs(r, given, &alone->inputs);
        else
            make_inputs(r, index, &alone->inputs);
        clear_unchosen(r, &alone->inputs);
    }
    expect_stage(alone);
    return alone;
}

const stage_alone *reference_alone(reference *r, uint32_t index)
{
    if (r->alone[index] == NULL)
        r->alone[index] = stage_alone_create(r, index, NULL);
    return r->alone[index];
}

void stage_alone_free(stage_alone *alone)
{
    if (alone == NULL)
        return;
    stage_arrays_free(&alone->inputs);
    stage_expected_free(&alone->stage);
    expected_free(&alone->out);
    free(alone);
}
