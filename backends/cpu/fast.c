/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/cpu/fast.h"

#include "backends/cpu/tile.h"

/*
 * Stages in tiles. Scores are kept in units of log2 so that exp2 serves the softmax:
 *
 *     score2[r,c] = (scale * log2 e) * queries[r] . keys[c] + bias2[c],   bias2 = -bias * log2 e
 *
 * with bias2 = -inf for an absent column, which makes its weight exactly 0. Everything that is
 * absent is packed as zeros, so no byte behind a mask is ever multiplied.
 */

/* Dot products of `rows` packed query rows with the packed columns. */
static void score_strip(const mn_cpu_task *t, const tile *s, int64_t row, int64_t rows,
                        int64_t columns)
{
    gemm(&(gemm_args){.rows = rows,
                      .columns = columns,
                      .depth = t->step->depth,
                      .a = s->query.rows + row * s->query.stride,
                      .a_row = s->query.stride,
                      .a_depth = 1,
                      .x = s->panels,
                      .x_panel = PANEL * t->step->depth,
                      .c = s->scores,
                      .c_row = columns});
}

/* Turns dot products into scores, in log2 units; returns the largest, or -inf. */
static float finish_scores(float factor, const float *bias, float *scores, int64_t columns)
{
    vec largest = splat(-INFINITY);
    for (int64_t c = 0; c < columns; c += LANES) {
        vec score = load(scores + c) * factor + load(bias + c);
        store(scores + c, score);
        largest = larger(score, largest);
    }
    return reduce_max(largest);
}

/* Turns scores into 2^(score - largest); adds to the sum, and to sum p log2 p of these p. */
static void exponentiate(float largest, float *scores, int64_t columns, float *sum, float *entropy)
{
    vec total = splat(0.0f), weighted = splat(0.0f);
    /* With every column absent the largest is -inf, and the difference would be NaN. */
    float shift = largest == -INFINITY ? 0.0f : largest;
    for (int64_t c = 0; c < columns; c += LANES) {
        vec x = larger(splat(-127.0f), load(scores + c) - shift);
        vec p = exp2_nonpositive(x);
        store(scores + c, p);
        total += p;
        weighted = p * x + weighted;
    }
    *sum += reduce_sum(total);
    *entropy += reduce_sum(weighted);
}

static void scale_row(float *row, int64_t padded, float factor)
{
    for (int64_t f = 0; f < padded; f += LANES)
        store(row + f, load(row + f) * factor);
}

/*
 * Softmax of one row over a further tile of columns. When the maximum grows, what was summed so
 * far shrinks: 2^(old - new) for sums, and sum p x moves by (old - new) times the sum.
 */
static void soften_row(const tile *s, float factor, int64_t row, float *scores, int64_t columns,
                       bool outputs)
{
    float before = s->largest[row];
    float largest = finish_scores(factor, s->bias, scores, columns);
    if (largest > before) {
        if (s->sum[row] > 0.0f) {
            /* Below 2^-127 nothing is left; unbounded, the product could leave the range. */
            float fall = before - largest > -127.0f ? before - largest : -127.0f;
            vec power = exp2_nonpositive(splat(fall));
            float shrink = power[0];
            s->entropy[row] = shrink * (s->entropy[row] + fall * s->sum[row]);
            s->sum[row] *= shrink;
            if (outputs) {
                scale_row(s->mean + row * s->depth, s->depth, shrink);
                scale_row(s->result + row * s->width, s->width, shrink);
            }
        }
        s->largest[row] = largest;
    }
    exponentiate(s->largest[row], scores, columns, &s->sum[row], &s->entropy[row]);
}

/* accumulators (+)= P X for the rows of a strip. */
static void weigh_strip(const tile *s, int64_t rows, int64_t columns, const matrix *x,
                        int64_t width, float *out, bool accumulate)
{
    gemm(&(gemm_args){.rows = rows,
                      .columns = width,
                      .depth = columns,
                      .a = s->scores,
                      .a_row = columns,
                      .a_depth = 1,
                      .x = x->rows,
                      .x_depth = x->stride,
                      .x_panel = PANEL,
                      .c = out,
                      .c_row = width,
                      .accumulate = accumulate});
}

/* Softmax state of the row tile at `start`, and P keys and P values where the step wants them. */
static void soften_tile(const mn_cpu_task *t, tile *s, int64_t start, int64_t rows, int64_t *packed)
{
    const mn_step *step = t->step;
    float factor = step->scale * LOG2_E;
    bool mean = step->mean.width > 0 && step->kind != MONARCH_STAGE_LEFT;
    bool result = step->result.width > 0;
    for (int64_t r = 0; r < rows; r++) {
        s->largest[r] = -INFINITY;
        s->sum[r] = s->entropy[r] = 0.0f;
    }
    for (int64_t first = 0; first < step->columns; first += MN_CPU_COLUMN_TILE) {
        int64_t left = step->columns - first;
        int64_t count = left < MN_CPU_COLUMN_TILE ? left : MN_CPU_COLUMN_TILE;
        int64_t columns = (count + LANES - 1) / LANES * LANES;
        if (*packed != first)
            pack_columns(t, s, first, count);
        *packed = first;
        for (int64_t row = 0; row < rows; row += MN_CPU_STRIP) {
            int64_t strip = rows - row < MN_CPU_STRIP ? rows - row : MN_CPU_STRIP;
            score_strip(t, s, row, strip, columns);
            for (int64_t r = 0; r < strip; r++) {
                prefetch_next(t, s, start + row + r);
                soften_row(s, factor, row + r, s->scores + r * columns, columns,
                           first > 0 && (mean || result));
            }
            if (mean)
                weigh_strip(s, strip, columns, &s->key, s->depth, s->mean + row * s->depth,
                            first > 0);
            if (result)
                weigh_strip(s, strip, columns, &s->value, s->width, s->result + row * s->width,
                            first > 0);
        }
    }
}

/* Divides a row's sums by its sum of weights and stores them; cL = sum p log p / sum - log sum. */
static void finish_row(const mn_cpu_task *t, const tile *s, int64_t row, int64_t r)
{
    const mn_step *step = t->step;
    float sum = s->sum[r];
    if (!s->any_key) { /* a NaN in the query counts for nothing either */
        sum = 0.0f;
        zero_row(s->mean + r * s->depth, s->depth);
        zero_row(s->result + r * s->width, s->width);
    }
    float inverse = sum == 0.0f ? 0.0f : 1.0f / sum;
    if (step->result.width > 0)
        store_view(&s->result_rows, row, inverse, s->result + r * s->width);
    if (step->kind == MONARCH_STAGE_LEFT_OUT)
        return;
    store_view(&s->mean_rows, row, inverse, s->mean + r * s->depth);
    *scalar_at(&s->weight_rows, row) =
        sum == 0.0f ? INFINITY : LN_2 * (s->entropy[r] * inverse - log2f(sum));
}

static void run_rows(const mn_cpu_task *t)
{
    tile s = tile_of(t);
    int64_t packed = -1;
    for (int64_t row = t->from; row < t->to; row += MN_CPU_ROW_TILE) {
        int64_t rows = t->to - row < MN_CPU_ROW_TILE ? t->to - row : MN_CPU_ROW_TILE;
        load_queries(t, &s, row, rows);
        soften_tile(t, &s, row, rows, &packed);
        for (int64_t r = 0; r < rows; r++)
            if (t->step->kind != MONARCH_STAGE_LEFT_OUT || row_counts(t, row + r))
                finish_row(t, &s, row + r, r);
    }
}

static void run_stats(const mn_cpu_task *t)
{
    tile s = tile_of(t);
    int64_t packed = -1;
    for (int64_t row = t->from; row < t->to; row += MN_CPU_ROW_TILE) {
        int64_t rows = t->to - row < MN_CPU_ROW_TILE ? t->to - row : MN_CPU_ROW_TILE;
        load_queries(t, &s, row, rows);
        soften_tile(t, &s, row, rows, &packed);
        for (int64_t r = 0; r < rows; r++) {
            t->stats[2 * (row + r)] = s.largest[r];
            t->stats[2 * (row + r) + 1] = log2f(s.sum[r]);
        }
    }
}

static float log2_sum(float largest, const float *scores, int64_t columns)
{
    vec total = splat(0.0f);
    float shift = largest == -INFINITY ? 0.0f : largest;
    for (int64_t c = 0; c < columns; c += LANES)
        total += exp2_nonpositive(load(scores + c) - shift);
    return log2f(reduce_sum(total));
}

/*
 * Turns one row of dot products of LEFT into log2 P, and raises the running maximum of each column.
 * Subtracting the row's maximum first keeps the weights that count exact.
 */
static void log_row(const mn_cpu_task *t, const tile *s, int64_t row, float *scores,
                    int64_t columns)
{
    float shift = finish_scores(t->step->scale * LOG2_E, s->bias, scores, columns);
    float sum = 0.0f;
    if (!row_counts(t, row)) {
        for (int64_t c = 0; c < columns; c += LANES)
            store(scores + c, splat(-INFINITY));
        return;
    }
    if (t->stats) {
        shift = t->stats[2 * row];
        sum = t->stats[2 * row + 1];
    } else {
        sum = log2_sum(shift, scores, columns);
    }
    for (int64_t c = 0; c < columns; c += LANES) {
        vec value = load(scores + c) - shift - sum;
        store(scores + c, value);
        store(s->column_largest + c, larger(value, load(s->column_largest + c)));
    }
}

/* After a strip raised the maxima: shrinks what its predecessors summed, then makes weights. */
static void weigh_columns(const tile *s, int64_t rows, int64_t columns, bool first)
{
    for (int64_t c = 0; c < columns; c += LANES) {
        /* A column without a weight has maximum -inf, and its difference would be NaN. */
        vec largest = larger(load(s->column_largest + c), splat(-3e38f));
        vec shrink = exp2_nonpositive(load(s->column_before + c) - largest);
        vec sum = load(s->column_sum + c) * shrink;
        for (int64_t r = 0; r < rows; r++) {
            vec weight = exp2_nonpositive(load(s->scores + r * columns + c) - largest);
            store(s->scores + r * columns + c, weight);
            sum += weight;
        }
        store(s->column_sum + c, sum);
        store(s->column_before + c, largest);
        for (int i = 0; i < LANES && !first; i++)
            if (shrink[i] != 1.0f)
                scale_row(s->mean + (c + i) * s->depth, s->depth, shrink[i]);
    }
}

/* P' queries of one strip; each column's own scale is 2^-column_largest. */
static void sum_queries(const tile *s, int64_t rows, int64_t columns, bool accumulate)
{
    gemm(&(gemm_args){.rows = columns,
                      .columns = s->depth,
                      .depth = rows,
                      .a = s->scores,
                      .a_row = 1,
                      .a_depth = columns,
                      .x = s->query.rows,
                      .x_depth = s->query.stride,
                      .x_panel = PANEL,
                      .c = s->mean,
                      .c_row = s->depth,
                      .accumulate = accumulate});
}

static void run_columns(const mn_cpu_task *t)
{
    const mn_step *step = t->step;
    tile s = tile_of(t);
    int64_t count = t->to - t->from;
    int64_t columns = pack_columns(t, &s, t->from, count);
    for (int64_t c = 0; c < columns; c++) {
        s.column_largest[c] = s.column_before[c] = -INFINITY;
        s.column_sum[c] = 0.0f;
    }
    for (int64_t row = 0; row < step->rows; row += MN_CPU_STRIP) {
        int64_t rows = step->rows - row < MN_CPU_STRIP ? step->rows - row : MN_CPU_STRIP;
        load_queries(t, &s, row, rows);
        score_strip(t, &s, 0, rows, columns);
        for (int64_t r = 0; r < rows; r++) {
            prefetch_next(t, &s, row + r);
            log_row(t, &s, row + r, s.scores + r * columns, columns);
        }
        weigh_columns(&s, rows, columns, row == 0);
        sum_queries(&s, rows, columns, row > 0);
    }
    for (int64_t c = 0; c < count; c++) {
        float sum = s.column_sum[c], inverse = sum == 0.0f ? 0.0f : 1.0f / sum;
        store_view(&s.mean_rows, t->from + c, inverse, s.mean + c * s.depth);
        if (step->weight.width > 0)
            *scalar_at(&s.weight_rows, t->from + c) = sum * exp2f(s.column_largest[c]);
    }
}

const mn_cpu_kernels MN_CPU_KERNELS = {LANES, run_rows, run_stats, run_columns};
