// SPDX-License-Identifier: Apache-2.0
#version 460
#extension GL_GOOGLE_include_directive : require

#include "shaders/vulkan/operand.glsl"

// Every stage in plain loops: a work-group for each row of each score matrix, one score an
// invocation, one output feature an invocation, all of it f32. Scores are computed anew in each
// pass rather than kept. It is here to be read and to be compared with; nothing in it is fast.
//
// Scores are in units of log2, and the softmax is 2^(score - largest) / sum.

layout(local_size_x = 64) in;
const int THREADS = 64;

// Which kernel: a row of RIGHT, RIGHT_VALUE or LEFT_OUT; LEFT's first launch (the largest score and
// log2 of the sum of each row that is there); LEFT's second launch, a column of P each.
const int ROW = 0, LEFT_STATS = 1, LEFT_MEAN = 2;
layout(constant_id = 0) const int KERNEL = ROW;

shared float values[THREADS];
shared float weights[THREADS];

task_place at;
index_t row; // of the work-group; with LEFT_MEAN a column of P

// Score (r, column) as core/step.h defines it; -inf for an absent column, none of whose bytes are
// used then. The second launch of LEFT gets the same bits as the first.
float score(index_t r, index_t column)
{
    bool left = STAGE.kind == KIND_LEFT || STAGE.kind == KIND_LEFT_OUT;
    float bias = 0.0;
    if (STAGE.operand[OPERAND_BIAS].width > 0)
        bias = load_f32(OPERAND_BIAS, row_offset(OPERAND_BIAS, at, column));
    if (left ? is_infinite(bias) : !is_present(at, column))
        return -INFINITY;
    if (STAGE.absent_is_zero != 0 && !is_present(at, r))
        return 0.0;
    index_t q = row_offset(OPERAND_QUERIES, at, r), k = row_offset(OPERAND_KEYS, at, column);
    index_t q_step = LOW(STAGE.operand[OPERAND_QUERIES].feature);
    index_t k_step = LOW(STAGE.operand[OPERAND_KEYS].feature);
    int q_dtype = STAGE.operand[OPERAND_QUERIES].dtype;
    int k_dtype = STAGE.operand[OPERAND_KEYS].dtype;
    precise float dot = 0.0;
    for (int f = 0; f < push.depth; f++)
        dot = fma(load_element(OPERAND_QUERIES, q_dtype, q + f * q_step),
                  load_element(OPERAND_KEYS, k_dtype, k + f * k_step), dot);
    precise float value = fma(STAGE.scale, dot, -(bias * LOG2_E));
    return value;
}

// The term of a softmax over x: the score of this row with column x; of LEFT's second launch
// log2 P[x, row], where rows and columns have changed places: x is a query block l, left out if it
// is absent, and the row is a block k.
float term(index_t x)
{
    if (KERNEL != LEFT_MEAN)
        return score(row, x);
    if (!is_present(at, x))
        return -INFINITY;
    float s = score(x, row);
    if (is_minus_infinite(s))
        return s;
    index_t pair = row_offset(OPERAND_STATS, at, x);
    // Taking off the largest first keeps the logarithms of the weights that count exact: a compiler
    // must not add the two up before.
    precise float log_weight =
        s - load_f32(OPERAND_STATS, pair) - load_f32(OPERAND_STATS, pair + 1);
    return log_weight;
}

// Combines one value of each invocation, always in the same order, and gives the result to all.
float combine(float value, bool add)
{
    uint own = gl_LocalInvocationIndex;
    barrier();
    values[own] = value;
    for (uint half_of = THREADS / 2; half_of > 0; half_of /= 2) {
        barrier();
        if (own < half_of)
            values[own] = add ? values[own] + values[own + half_of]
                              : max(values[own], values[own + half_of]);
    }
    barrier();
    return values[0];
}

// A softmax over `count` terms.
struct softmax_sums {
    float largest;  // -inf when every term is
    float sum;      // of 2^(term - largest); 0 then
    float weighted; // of 2^(term - largest) * (term - largest)
};

softmax_sums softmax(index_t count)
{
    softmax_sums s = softmax_sums(-INFINITY, 0.0, 0.0);
    for (index_t x = index_t(gl_LocalInvocationIndex); x < count; x += THREADS)
        s.largest = max(s.largest, term(x));
    s.largest = combine(s.largest, false);
    for (index_t x = index_t(gl_LocalInvocationIndex); x < count; x += THREADS) {
        float value = term(x);
        if (is_minus_infinite(value))
            continue;
        float power = exp2_exact(value - s.largest);
        s.sum += power;
        if (power != 0.0) // 0 * -inf is no number
            s.weighted += power * (value - s.largest);
    }
    s.sum = combine(s.sum, true);
    s.weighted = combine(s.weighted, true);
    return s;
}

// out[row] = sum over x of weight(x) times row x of `from`; weight 0 never touches a value.
void weighted_sum(index_t count, softmax_sums s, int from, int to)
{
    int width = STAGE.operand[to].width;
    if (width == 0)
        return;
    int from_dtype = STAGE.operand[from].dtype, to_dtype = STAGE.operand[to].dtype;
    index_t from_step = LOW(STAGE.operand[from].feature), to_step = LOW(STAGE.operand[to].feature);
    index_t to_row = row_offset(to, at, row);
    uint own = gl_LocalInvocationIndex;
    for (int chunk = 0; chunk < width; chunk += THREADS) {
        int feature = chunk + int(own);
        float sum = 0.0;
        for (index_t first = 0; first < count; first += THREADS) {
            index_t x = first + int(own);
            float value = -INFINITY;
            if (x < count)
                value = term(x);
            barrier();
            weights[own] =
                is_minus_infinite(value) ? 0.0 : exp2_exact(value - s.largest) / s.sum;
            barrier();
            for (int i = 0; i < THREADS && feature < width; i++) {
                if (weights[i] == 0.0)
                    continue;
                index_t offset = row_offset(from, at, first + i) + feature * from_step;
                sum = fma(weights[i], load_element(from, from_dtype, offset), sum);
            }
        }
        if (feature < width)
            store_element(to, to_dtype, to_row + feature * to_step, sum);
    }
}

void store_weight(float value)
{
    if (STAGE.operand[OPERAND_WEIGHT].width > 0 && gl_LocalInvocationIndex == 0)
        store_f32(OPERAND_WEIGHT, row_offset(OPERAND_WEIGHT, at, row), value);
}

void row_of_right_or_out()
{
    softmax_sums s = softmax(STAGE.columns);
    // cL = sum of P log P. Neither part is above 0, so nothing cancels.
    store_weight(s.sum == 0.0 ? INFINITY : LN_2 * (s.weighted / s.sum - log2_exact(s.sum)));
    weighted_sum(STAGE.columns, s, OPERAND_KEYS, OPERAND_MEAN);
    weighted_sum(STAGE.columns, s, OPERAND_VALUES, OPERAND_RESULT);
}

void row_of_left_stats()
{
    softmax_sums s = softmax(STAGE.columns);
    index_t pair = row_offset(OPERAND_STATS, at, row);
    if (gl_LocalInvocationIndex == 0) {
        store_f32(OPERAND_STATS, pair, s.largest);
        store_f32(OPERAND_STATS, pair + 1, log2_exact(s.sum));
    }
}

void column_of_left()
{
    softmax_sums s = softmax(STAGE.rows);
    store_weight(s.sum == 0.0 ? 0.0 : exp2_exact(s.largest) * s.sum);
    weighted_sum(STAGE.rows, s, OPERAND_QUERIES, OPERAND_MEAN);
}

void main()
{
    read_stage();
    index_t rows = KERNEL == LEFT_MEAN ? STAGE.columns : STAGE.rows;
    index_t index = index_t(work_group());
    index_t task = index / rows;
    row = index % rows;
    if (task >= LOW(STAGE.tasks)) // the grid has more work-groups than there are rows
        return;
    at = place_of(task);
    if (STAGE.kind == KIND_LEFT_OUT && !is_token(at, row))
        return;
    if (KERNEL == ROW)
        row_of_right_or_out();
    else if (KERNEL == LEFT_STATS && is_present(at, row))
        row_of_left_stats();
    else if (KERNEL == LEFT_MEAN)
        column_of_left();
}
