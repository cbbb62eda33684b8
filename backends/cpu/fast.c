/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/cpu/fast.h"

#include "backends/cpu/pack.h"

/*
 * Stages in tiles. Scores are kept in units of log2 so that exp2 serves the softmax:
 *
 *     score2[r,c] = (scale * log2 e) * queries[r] . keys[c] + bias2[c],   bias2 = -bias * log2 e
 *
 * with bias2 = -inf for an absent column, which makes its weight exactly 0. Everything that is
 * absent is packed as zeros, so no byte behind a mask is ever multiplied.
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

static rows_view view_of(const mn_cpu_task *t, const mn_operand *operand)
{
    int64_t size = (int64_t)monarch_dtype_size(operand->dtype);
    char *base = (char *)t->scratch; /* absent ones are not read, but NULL + 0 is undefined */
    if (operand->source != MN_SOURCE_NONE)
        base = mn_cpu_at(t->exec, operand, t->batch, t->head, t->group, 0);
    return (rows_view){operand, base, operand->index * size, operand->group * size};
}

static tile tile_of(const mn_cpu_task *t)
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

static void load_view(const rows_view *view, int64_t x, int64_t padded, float *row)
{
    load_row(view->operand->dtype, view->base + x * view->row, view->operand->feature,
             view->operand->width, padded, row);
}

static void store_view(const rows_view *view, int64_t x, float factor, float *row)
{
    store_row(view->operand->dtype, view->base + x * view->row, view->operand->feature,
              view->operand->width, factor, row);
}

static float *scalar_at(const rows_view *view, int64_t x)
{
    return (float *)(void *)(view->base + x * view->row);
}

/* Asks for row `x` of the next score matrix, which this thread most likely takes next. */
static void prefetch_row(const rows_view *view, int64_t x)
{
    enum { LINE = 64 };
    const char *row = view->base + view->group + x * view->row;
    int64_t bytes = view->operand->width * (int64_t)monarch_dtype_size(view->operand->dtype);
    for (int64_t at = 0; at < bytes; at += LINE)
        __builtin_prefetch(row + at, 0, 2);
}

static void prefetch_next(const mn_cpu_task *t, const tile *s, int64_t row)
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
static bool row_counts(const mn_cpu_task *t, int64_t row)
{
    const mn_step *step = t->step;
    if (step->kind == MONARCH_STAGE_LEFT_OUT)
        return mn_program_is_token(t->exec->program, row, t->group);
    if (step->kind == MONARCH_STAGE_LEFT)
        return mn_cpu_is_present(t->exec, t->batch, row, t->group);
    return !step->first || mn_cpu_is_present(t->exec, t->batch, t->group, row);
}

/* Whether rows can be used where they lie: contiguous f32 rows that end with a whole vector. */
static bool in_place(const rows_view *view, int64_t padded)
{
    return view->operand->dtype == MONARCH_F32 && view->operand->feature == 1 &&
           view->operand->width == padded && view->row == padded * (int64_t)sizeof(float);
}

static matrix rows_in_place(const rows_view *view, int64_t first, int64_t padded)
{
    return (matrix){(const float *)(const void *)(view->base + first * view->row), padded};
}

static void load_queries(const mn_cpu_task *t, tile *s, int64_t first, int64_t count)
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
static float column_bias(const mn_cpu_task *t, const tile *s, int64_t column)
{
    if (mn_step_is_left(t->step))
        return -LOG2_E * *scalar_at(&s->bias_rows, column);
    return mn_cpu_is_present(t->exec, t->batch, t->group, column) ? 0.0f : -INFINITY;
}

/* Rows of keys or values for the columns whose biases are known; absent ones become zeros. */
static matrix pack_rows(const tile *s, const rows_view *view, int64_t first, int64_t columns,
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
static int64_t pack_columns(const mn_cpu_task *t, tile *s, int64_t first, int64_t count)
{
    int64_t columns = (count + LANES - 1) / LANES * LANES, present = 0;
    for (int64_t c = 0; c < columns; c++) {
        s->bias[c] = c < count ? column_bias(t, s, first + c) : -INFINITY;
        present += s->bias[c] != -INFINITY;
    }
    bool all = present == columns;
    s->any_key |= present > 0;
    s->key = pack_rows(s, &s->key_rows, first, columns, all, s->depth, s->keys);
    s->value = pack_rows(s, &s->value_rows, first, columns, all, s->width, s->values);
    pack_panels(s->key.rows, columns, s->key.stride, t->step->depth, s->panels);
    return columns;
}

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
