/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CPU_TILE_H
#define MN_CPU_TILE_H

#include "backends/cpu/fast.h"
#include "backends/cpu/pack.h"

/*
 * What the kernels of fast.c work on: a task's operands and scratch memory, and the packing of
 * query and key rows. Everything that is absent is packed as zeros, so no byte behind a mask is
 * ever multiplied.
 */

static const float LOG2_E = 1.44269504088896340736f;
static const float LN_2 = 0.69314718055994530942f;

/* Where the rows of an operand lie for the score matrix of a task. */
typedef struct rows_view {
    const mn_operand *operand;
    char *base;    /* row 0 */
    int64_t row;   /* bytes from row to row */
    int64_t group; /* bytes to the same row of the next score matrix */
} rows_view;

/* f32 rows of whole vectors, `stride` floats apart. */
typedef struct matrix {
    const float *rows;
    int64_t stride;
} matrix;

/* A task's operands, its scratch, and its sizes padded to whole vectors. */
typedef struct tile {
    rows_view query_rows, key_rows, value_rows, bias_rows, mean_rows, weight_rows, result_rows;
    int64_t depth, width; /* of keys and of values */
    bool any_key;         /* whether any column seen so far is present */
    float *queries, *keys, *panels, *values, *bias, *scores, *mean, *result; /* scratch */
    matrix query, key, value;       /* rows ready for gemm: in the scratch, or in place */
    float *largest, *sum, *entropy; /* state of each row of a row tile, log2 units */
    float *column_largest, *column_before, *column_sum; /* state of each column in LEFT */
} tile;

static inline rows_view view_of(const mn_cpu_task *t, const mn_operand *operand)
{
    int64_t size = (int64_t)monarch_dtype_size(operand->dtype);
    char *base = (char *)t->scratch; /* absent ones are not read, but NULL + 0 is undefined */
    if (operand->source != MN_SOURCE_NONE)
        base = mn_cpu_at(t->exec, operand, t->batch, t->head, t->group, 0);
    return (rows_view){operand, base, operand->index * size, operand->group * size};
}

static inline tile tile_of(const mn_cpu_task *t)
{
    float *s = t->scratch;
    const mn_cpu_scratch *l = &t->layout;
    const mn_step *step = t->step;
    return (tile){
        .query_rows = view_of(t, &step->queries),
        .key_rows = view_of(t, &step->keys),
        .value_rows = view_of(t, &step->values),
        .bias_rows = view_of(t, &step->bias),
        .mean_rows = view_of(t, &step->mean),
        .weight_rows = view_of(t, &step->weight),
        .result_rows = view_of(t, &step->result),
        .depth = mn_cpu_padded(step->depth),
        .width = mn_cpu_padded(step->values.width),
        .queries = s + l->queries,
        .keys = s + l->keys,
        .panels = s + l->panels,
        .values = s + l->values,
        .bias = s + l->bias,
        .scores = s + l->scores,
        .mean = s + l->mean,
        .result = s + l->result,
        .largest = s + l->state,
        .sum = s + l->state + MN_CPU_ROW_TILE,
        .entropy = s + l->state + 2 * MN_CPU_ROW_TILE,
        .column_largest = s + l->columns,
        .column_before = s + l->columns + MN_CPU_LEFT_COLUMNS,
        .column_sum = s + l->columns + 2 * MN_CPU_LEFT_COLUMNS,
    };
}

static inline void load_view(const rows_view *view, int64_t x, int64_t padded, float *row)
{
    load_row(view->operand->dtype, view->base + x * view->row, view->operand->feature,
             view->operand->width, padded, row);
}

static inline void store_view(const rows_view *view, int64_t x, float factor, float *row)
{
    store_row(view->operand->dtype, view->base + x * view->row, view->operand->feature,
              view->operand->width, factor, row);
    if (view->operand->e4m3) /* slots are f32 here, features adjacent */
        mn_round_row_e4m3((float *)(void *)(view->base + x * view->row), view->operand->width);
}

static inline float *scalar_at(const rows_view *view, int64_t x)
{
    return (float *)(void *)(view->base + x * view->row);
}

/* Asks for row `x` of the next score matrix, which this thread most likely takes next. */
static inline void prefetch_row(const rows_view *view, int64_t x)
{
    enum { LINE = 64 };
    const char *row = view->base + view->group + x * view->row;
    int64_t bytes = view->operand->width * (int64_t)monarch_dtype_size(view->operand->dtype);
    for (int64_t at = 0; at < bytes; at += LINE)
        __builtin_prefetch(row + at, 0, 2);
}

static inline void prefetch_next(const mn_cpu_task *t, const tile *s, int64_t row)
{
    if (t->group + 1 >= t->step->groups)
        return;
    prefetch_row(&s->query_rows, row);
    if (row >= t->step->columns)
        return;
    prefetch_row(&s->key_rows, row);
    prefetch_row(&s->value_rows, row);
}

/* Whether the query of a row takes part: absent tokens do not, save in LEFT_OUT. */
static inline bool row_counts(const mn_cpu_task *t, int64_t row)
{
    const mn_step *step = t->step;
    if (step->kind == MONARCH_STAGE_LEFT_OUT)
        return mn_program_is_token(t->exec->program, row, t->group);
    if (step->kind == MONARCH_STAGE_LEFT)
        return mn_cpu_is_present(t->exec, t->batch, row, t->group);
    return !step->first || mn_cpu_is_present(t->exec, t->batch, t->group, row);
}

/* Whether rows can be used where they lie: contiguous f32 rows that end with a whole vector. */
static inline bool in_place(const rows_view *view, int64_t padded)
{
    return view->operand->dtype == MONARCH_F32 && view->operand->feature == 1 &&
           view->operand->width == padded && view->row == padded * (int64_t)sizeof(float);
}

static inline matrix rows_in_place(const rows_view *view, int64_t first, int64_t padded)
{
    return (matrix){(const float *)(const void *)(view->base + first * view->row), padded};
}

static inline void load_queries(const mn_cpu_task *t, tile *s, int64_t first, int64_t count)
{
    bool all = in_place(&s->query_rows, s->depth);
    for (int64_t r = 0; r < count && all; r++)
        all = row_counts(t, first + r);
    s->query = (matrix){s->queries, s->depth};
    if (all) {
        s->query = rows_in_place(&s->query_rows, first, s->depth);
        return;
    }
    for (int64_t r = 0; r < count; r++) {
        float *row = s->queries + r * s->depth;
        if (row_counts(t, first + r))
            load_view(&s->query_rows, first + r, s->depth, row);
        else
            zero_row(row, s->depth);
    }
}

/* bias2 of a column; -inf when it is absent. */
static inline float column_bias(const mn_cpu_task *t, const tile *s, int64_t column)
{
    if (mn_step_is_left(t->step))
        return -LOG2_E * *scalar_at(&s->bias_rows, column);
    return mn_cpu_is_present(t->exec, t->batch, t->group, column) ? 0.0f : -INFINITY;
}

/* Rows of keys or values for the columns whose biases are known; absent ones become zeros. */
static inline matrix pack_rows(const tile *s, const rows_view *view, int64_t first, int64_t columns,
                               bool all_present, int64_t width, float *scratch)
{
    if (width > 0 && all_present && in_place(view, width))
        return rows_in_place(view, first, width);
    for (int64_t c = 0; c < columns && width > 0; c++) {
        if (s->bias[c] == -INFINITY)
            zero_row(scratch + c * width, width);
        else
            load_view(view, first + c, width, scratch + c * width);
    }
    return (matrix){scratch, width};
}

/* Packs key rows [first, first + count) and what goes with them. Returns the padded count. */
static inline int64_t pack_columns(const mn_cpu_task *t, tile *s, int64_t first, int64_t count)
{
    int64_t columns = (count + LANES - 1) / LANES * LANES, present = 0;
    for (int64_t c = 0; c < columns; c++) {
        s->bias[c] = c < count ? column_bias(t, s, first + c) : -INFINITY;
        present += s->bias[c] != -INFINITY;
    }
    bool all = present == columns;
    s->any_key |= present > 0;
    matrix key = pack_rows(s, &s->key_rows, first, columns, all, s->depth, s->keys);
    pack_panels(key.rows, columns, key.stride, t->step->depth, s->panels);
    s->key = key;
    s->value = pack_rows(s, &s->value_rows, first, columns, all, s->width, s->values);
    return columns;
}

#endif
