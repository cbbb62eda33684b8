/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "backends/cpu/variants.h"
#include "core/dtype.h"

/*
 * The program in plain loops, one score at a time, as core/step.h describes it. It is here to be
 * read and to be compared with; nothing in it is fast.
 */

/* One score matrix of one step. */
typedef struct group {
    const mn_cpu_exec *exec;
    const mn_step *step;
    int64_t batch, head, index;
    float *scores; /* [rows or columns], scratch of this thread */
    float *shifts; /* [rows], likewise: largest score of each row in LEFT */
    float *sums;   /* [rows], likewise: log of the row's sum of weights, shifted by that */
} group;

static float load(const group *g, const mn_operand *operand, int64_t x, int64_t feature)
{
    const char *row = mn_cpu_at(g->exec, operand, g->batch, g->head, g->index, x);
    return mn_load(operand->dtype, row, feature * operand->feature);
}

static void store(const group *g, const mn_operand *operand, int64_t x, int64_t feature,
                  float value)
{
    char *row = mn_cpu_at(g->exec, operand, g->batch, g->head, g->index, x);
    mn_store(operand->dtype, row, feature * operand->feature, value);
}

/* Whether token `x` of this group (a key in RIGHT, a query in LEFT) is there and not masked. */
static bool is_present(const group *g, int64_t x)
{
    bool left = mn_step_is_left(g->step);
    return mn_cpu_is_present(g->exec, g->batch, left ? x : g->index, left ? g->index : x);
}

/* Whether the row's query counts: always, except for absent tokens in the first RIGHT. */
static bool row_counts(const group *g, int64_t row)
{
    return !g->step->first || mn_cpu_is_present(g->exec, g->batch, g->index, row);
}

static float score(const group *g, int64_t row, int64_t column)
{
    const mn_step *step = g->step;
    float bias = step->bias.width > 0 ? load(g, &step->bias, column, 0) : 0.0f;
    float dot = 0.0f;
    if (mn_step_is_left(step) ? bias == INFINITY : !is_present(g, column))
        return -INFINITY;
    for (int64_t f = 0; f < step->depth && row_counts(g, row); f++)
        dot += load(g, &step->queries, row, f) * load(g, &step->keys, column, f);
    return step->scale * dot - bias;
}

static float largest_of(const float *values, int64_t count)
{
    float largest = -INFINITY;
    for (int64_t i = 0; i < count; i++)
        if (values[i] > largest)
            largest = values[i];
    return largest;
}

/*
 * Turns `count` values of g->scores, of which `largest` is the largest, into their softmax. Returns
 * the sum of exp(value - largest): 0 when every value is -inf; then all weights are 0.
 */
static float softmax(const group *g, int64_t count, float largest)
{
    float sum = 0.0f;
    for (int64_t i = 0; i < count; i++) {
        g->scores[i] = g->scores[i] == -INFINITY ? 0.0f : expf(g->scores[i] - largest);
        sum += g->scores[i];
    }
    for (int64_t i = 0; i < count && sum != 0.0f; i++)
        if (g->scores[i] != 0.0f) /* 0 / NaN would bring an absent column back */
            g->scores[i] /= sum;
    return sum;
}

/* Scores of all columns for one row, in g->scores; returns the largest. */
static float row_scores(const group *g, int64_t row)
{
    for (int64_t c = 0; c < g->step->columns; c++)
        g->scores[c] = score(g, row, c);
    return largest_of(g->scores, g->step->columns);
}

/* Sum of p log p over the weights of a row; +inf when there is no weight. */
static float entropy(const group *g, float weight)
{
    float sum = 0.0f;
    if (weight == 0.0f)
        return INFINITY;
    for (int64_t c = 0; c < g->step->columns; c++)
        if (g->scores[c] != 0.0f)
            sum += g->scores[c] * logf(g->scores[c]);
    return sum;
}

/* out[row] = sum over columns of weight times row of `values`; weight 0 never touches a value. */
static void weighted_sum(const group *g, int64_t row, const mn_operand *values,
                         const mn_operand *out)
{
    for (int64_t f = 0; f < out->width; f++) {
        float sum = 0.0f;
        for (int64_t c = 0; c < g->step->columns; c++)
            if (g->scores[c] != 0.0f)
                sum += g->scores[c] * load(g, values, c, f);
        store(g, out, row, f, sum);
    }
    if (out->e4m3) /* slots are f32 here, features adjacent */
        mn_round_row_e4m3(
            (float *)(void *)mn_cpu_at(g->exec, out, g->batch, g->head, g->index, row), out->width);
}

static void run_right(const group *g)
{
    const mn_step *step = g->step;
    for (int64_t row = 0; row < step->rows; row++) {
        float weight = softmax(g, step->columns, row_scores(g, row));
        store(g, &step->weight, row, 0, entropy(g, weight));
        weighted_sum(g, row, &step->keys, &step->mean);
        weighted_sum(g, row, &step->values, &step->result);
    }
}

/* One column of LEFT: softmax over the rows of log P[:, column], and the mean of queries under it.
 */
static void run_left_column(const group *g, int64_t column)
{
    const mn_step *step = g->step;
    for (int64_t row = 0; row < step->rows; row++) {
        float value = is_present(g, row) ? score(g, row, column) : -INFINITY;
        /* Taking off the largest first keeps the logarithms of the weights that count exact. */
        g->scores[row] = value == -INFINITY ? value : value - g->shifts[row] - g->sums[row];
    }
    float largest = largest_of(g->scores, step->rows);
    float sum_of_weights = softmax(g, step->rows, largest);
    if (step->weight.width > 0)
        store(g, &step->weight, column, 0,
              sum_of_weights == 0.0f ? 0.0f : expf(largest) * sum_of_weights);
    for (int64_t f = 0; f < step->mean.width; f++) {
        float sum = 0.0f;
        for (int64_t row = 0; row < step->rows; row++)
            if (g->scores[row] != 0.0f)
                sum += g->scores[row] * load(g, &step->queries, row, f);
        store(g, &step->mean, column, f, sum);
    }
}

static void run_left(const group *g)
{
    for (int64_t row = 0; row < g->step->rows; row++) {
        if (!is_present(g, row))
            continue;
        g->shifts[row] = row_scores(g, row);
        g->sums[row] = logf(softmax(g, g->step->columns, g->shifts[row]));
    }
    for (int64_t column = 0; column < g->step->columns; column++)
        run_left_column(g, column);
}

static void run_left_out(const group *g)
{
    const mn_step *step = g->step;
    for (int64_t row = 0; row < step->rows; row++) {
        if (!mn_program_is_token(g->exec->program, row, g->index))
            continue;
        softmax(g, step->columns, row_scores(g, row));
        weighted_sum(g, row, &step->values, &step->result);
    }
}

typedef struct job {
    const mn_cpu_exec *exec;
    const mn_step *step;
} job;

static void run_group(void *context, int64_t task, uint32_t thread)
{
    const job *j = context;
    const mn_step *step = j->step;
    int64_t heads = j->exec->program->problem.heads;
    float *scratch = (float *)(void *)j->exec->scratch + 3 * step->columns * (int64_t)thread;
    group g = {
        .exec = j->exec,
        .step = step,
        .batch = task / step->groups / heads,
        .head = task / step->groups % heads,
        .index = task % step->groups,
        .scores = scratch,
        .shifts = scratch + step->columns,
        .sums = scratch + 2 * step->columns,
    };
    if (step->kind == MONARCH_STAGE_LEFT)
        run_left(&g);
    else if (step->kind == MONARCH_STAGE_LEFT_OUT)
        run_left_out(&g);
    else
        run_right(&g);
}

static void run(const mn_cpu_variant *variant, mn_cpu_exec *exec, uint32_t first, uint32_t count)
{
    (void)variant;
    const monarch_problem *p = &exec->program->problem;
    for (uint32_t i = first; i < first + count; i++) {
        job j = {exec, &exec->program->steps[i]};
        mn_team_run(exec->team, run_group, &j, p->batch * p->heads * j.step->groups);
    }
}

static uint32_t covers(const mn_variant *variant, const monarch_device *device,
                       const mn_program *program, uint32_t first, uint32_t limit, mn_reason *reason)
{
    (void)variant;
    (void)device;
    (void)program;
    (void)first;
    (void)limit;
    (void)reason;
    return 1;
}

static uint64_t scratch(const mn_variant *variant, const monarch_device *device,
                        const mn_program *program, uint32_t first, uint32_t count)
{
    (void)variant;
    (void)count;
    return 3 * sizeof(float) * (uint64_t)program->steps[first].columns * device->info.compute_units;
}

const mn_cpu_variant mn_cpu_naive = {
    .base = {"naive", covers, NULL, scratch},
    .run = run,
};
