/* SPDX-License-Identifier: Apache-2.0 */
#include <math_constants.h>

#include "shaders/cuda/e4m3.cuh"
#include "shaders/cuda/scalar.cuh"

/*
 * Every stage in plain loops: a work-group of 128 threads for each row of each score matrix, one
 * score a thread, one output feature a thread, all of it f32. Scores are computed anew in each pass
 * rather than kept. It is here to be read and to be compared with; nothing in it is fast.
 *
 * Scores are in units of log2, and the softmax is 2^(score - largest) / sum.
 */

enum { THREADS = 128 };

static constexpr float LN2 = 0.693147180559945309f;
static constexpr float LOG2_E = 1.44269504088896341f;

/* The (batch, head, group) that a work-group is about, and its row. */
struct Place {
    mn_i64 batch, group, row;
    mn_i32 head;
};

/* False where there is nothing left to do: the grid has more work-groups than there are rows. */
static __device__ bool find_place(const mn_stage_params &p, mn_i64 rows, Place &at)
{
    mn_i64 index = (mn_i64)blockIdx.y * gridDim.x + blockIdx.x;
    mn_i64 task = index / rows;
    at.row = index % rows;
    at.group = task % p.groups;
    at.head = (mn_i32)(task / p.groups % p.heads);
    at.batch = task / p.groups / p.heads;
    return task < p.tasks;
}

static __device__ bool is_left(const mn_stage_params &p)
{
    return p.kind == MN_KIND_LEFT || p.kind == MN_KIND_LEFT_OUT;
}

/* Score (row, column) as core/step.h defines it; -inf for an absent column, none of whose bytes are
   used then. The second launch of LEFT gets the same bits as the first. Not inlined: the code is
   compiled for many architectures, and short that way. */
static __device__ __noinline__ float score(const mn_stage_params &p, const Place &at, mn_i64 row,
                                           mn_i64 column)
{
    const mn_operand_params &q = p.operand[MN_OPERAND_QUERIES], &k = p.operand[MN_OPERAND_KEYS],
                            &b = p.operand[MN_OPERAND_BIAS];
    float bias = 0.0f;
    if (b.width > 0)
        bias = mn_load_element(b, mn_row_offset(b, at.batch, at.head, at.group, column));
    if (is_left(p) ? bias == CUDART_INF_F : !mn_is_present(p, at.batch, at.head, at.group, column))
        return -CUDART_INF_F;
    if (p.absent_is_zero && !mn_is_present(p, at.batch, at.head, at.group, row))
        return 0.0f;
    mn_i64 q_row = mn_row_offset(q, at.batch, at.head, at.group, row);
    mn_i64 k_row = mn_row_offset(k, at.batch, at.head, at.group, column);
    float dot = 0.0f;
#pragma unroll 1
    for (mn_i64 f = 0; f < p.depth; f++)
        dot = fmaf(mn_load_element(q, q_row + f * q.feature),
                   mn_load_element(k, k_row + f * k.feature), dot);
    return fmaf(p.scale, dot, -(bias * LOG2_E));
}

/*
 * The term of a softmax over `x`: of RIGHT and LEFT_OUT, the score of this row with column x; of
 * LEFT's second launch, log2 P[x, row], where rows and columns have changed places: x is a query
 * block l, left out if it is absent, and the row is a block k.
 */
static __device__ float term(const mn_stage_params &p, const Place &at, mn_i64 x)
{
    if (p.kind != MN_KIND_LEFT)
        return score(p, at, at.row, x);
    if (!mn_is_present(p, at.batch, at.head, at.group, x))
        return -CUDART_INF_F;
    float s = score(p, at, x, at.row);
    if (s == -CUDART_INF_F)
        return s;
    const mn_operand_params &stats = p.operand[MN_OPERAND_STATS];
    mn_i64 pair = mn_row_offset(stats, at.batch, at.head, at.group, x);
    /* Taking off the largest first keeps the logarithms of the weights that count exact. */
    return s - mn_load_element(stats, pair) - mn_load_element(stats, pair + 1);
}

/* Combines one value of each thread, always in the same order, and gives the result to all. */
template <typename Both> static __device__ float combine(float value, const Both &both)
{
    __shared__ float values[THREADS];
    __syncthreads();
    values[threadIdx.x] = value;
    for (int half = THREADS / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half)
            values[threadIdx.x] = both(values[threadIdx.x], values[threadIdx.x + half]);
    }
    __syncthreads();
    return values[0];
}

/* A softmax over `count` terms. */
struct Softmax {
    float largest;  /* -inf when every term is */
    float sum;      /* of 2^(term - largest); 0 then */
    float weighted; /* of 2^(term - largest) * (term - largest) */
};

template <typename Term> static __device__ Softmax softmax(mn_i64 count, const Term &value_of)
{
    Softmax s = {-CUDART_INF_F, 0.0f, 0.0f};
    auto larger = [](float a, float b) { return fmaxf(a, b); };
    auto add = [](float a, float b) { return a + b; };
    for (mn_i64 x = threadIdx.x; x < count; x += THREADS)
        s.largest = fmaxf(s.largest, value_of(x));
    s.largest = combine(s.largest, larger);
    for (mn_i64 x = threadIdx.x; x < count; x += THREADS) {
        float value = value_of(x);
        if (value == -CUDART_INF_F)
            continue;
        float power = exp2f(value - s.largest);
        s.sum += power;
        if (power != 0.0f) /* 0 * -inf is no number */
            s.weighted += power * (value - s.largest);
    }
    s.sum = combine(s.sum, add);
    s.weighted = combine(s.weighted, add);
    return s;
}

/* A feature of a thread: sum over x of weight(x) times row x of `values`, 0 from feature `width`
   on; weight 0 never touches a value. */
template <typename Term>
static __device__ float weighted_sum(const Place &at, mn_i64 count, const Softmax &s,
                                     const Term &value_of, const mn_operand_params &values,
                                     mn_i64 feature, mn_i64 width)
{
    __shared__ float weights[THREADS];
    float sum = 0.0f;
    for (mn_i64 first = 0; first < count; first += THREADS) {
        mn_i64 x = first + threadIdx.x;
        float value = x < count ? value_of(x) : -CUDART_INF_F;
        __syncthreads();
        weights[threadIdx.x] = value == -CUDART_INF_F ? 0.0f : exp2f(value - s.largest) / s.sum;
        __syncthreads();
#pragma unroll 1
        for (mn_i64 i = 0; i < THREADS && feature < width; i++) {
            if (weights[i] == 0.0f)
                continue;
            mn_i64 row = mn_row_offset(values, at.batch, at.head, at.group, first + i);
            sum = fmaf(weights[i], mn_load_element(values, row + feature * values.feature), sum);
        }
    }
    return sum;
}

/* out[row] = weighted sum. FP8: as e4m3 with a power of two for the row would hold it; as long as
   the row's largest is not known all sums are computed for that alone. */
template <bool FP8, typename Term>
static __device__ void weighted_row(const Place &at, mn_i64 count, const Softmax &s,
                                    const Term &value_of, const mn_operand_params &values,
                                    const mn_operand_params &out)
{
    if (out.width == 0)
        return;
    float largest = 0.0f, scale = 1.0f;
    for (mn_i64 chunk = 0; chunk < out.width && FP8; chunk += THREADS) {
        float x = weighted_sum(at, count, s, value_of, values, chunk + threadIdx.x, out.width);
        largest = fmaxf(largest, fabsf(x));
    }
    if (FP8)
        scale = e4m3_scale(combine(largest, [](float a, float b) { return fmaxf(a, b); }));
    mn_i64 out_row = mn_row_offset(out, at.batch, at.head, at.group, at.row);
    for (mn_i64 chunk = 0; chunk < out.width; chunk += THREADS) {
        mn_i64 feature = chunk + threadIdx.x;
        float x = weighted_sum(at, count, s, value_of, values, feature, out.width);
        if (feature < out.width)
            mn_store_element(out, out_row + feature * out.feature,
                             FP8 ? scale * round_e4m3(x / scale) : x);
    }
}

static __device__ void store_weight(const mn_stage_params &p, const Place &at, float value)
{
    const mn_operand_params &weight = p.operand[MN_OPERAND_WEIGHT];
    if (weight.width > 0 && threadIdx.x == 0)
        mn_store_element(weight, mn_row_offset(weight, at.batch, at.head, at.group, at.row), value);
}

/* RIGHT, RIGHT_VALUE and LEFT_OUT: one row each. */
template <bool FP8> static __device__ void any_row(const mn_stage_params &p)
{
    Place at;
    if (!find_place(p, p.rows, at))
        return;
    if (p.kind == MN_KIND_LEFT_OUT && !mn_is_token(p, at.group, at.row))
        return;
    auto value_of = [&](mn_i64 x) { return term(p, at, x); };
    Softmax s = softmax(p.columns, value_of);
    /* cL = sum of P log P. Neither part is above 0, so nothing cancels. */
    store_weight(p, at, s.sum == 0.0f ? CUDART_INF_F : LN2 * (s.weighted / s.sum - log2f(s.sum)));
    weighted_row<FP8>(at, p.columns, s, value_of, p.operand[MN_OPERAND_KEYS],
                      p.operand[MN_OPERAND_MEAN]);
    weighted_row<FP8>(at, p.columns, s, value_of, p.operand[MN_OPERAND_VALUES],
                      p.operand[MN_OPERAND_RESULT]);
}

extern "C" __global__ void __launch_bounds__(THREADS)
    plain_row(const __grid_constant__ mn_stage_params p)
{
    any_row<false>(p);
}

/* Of the RIGHT kinds. */
extern "C" __global__ void __launch_bounds__(THREADS)
    plain_row_fp8(const __grid_constant__ mn_stage_params p)
{
    any_row<true>(p);
}

/* LEFT, first launch: largest score and log2 of the sum, for each row that is there. */
extern "C" __global__ void __launch_bounds__(THREADS)
    plain_left_stats(const __grid_constant__ mn_stage_params p)
{
    Place at;
    if (!find_place(p, p.rows, at) || !mn_is_present(p, at.batch, at.head, at.group, at.row))
        return;
    Softmax s = softmax(p.columns, [&](mn_i64 x) { return score(p, at, at.row, x); });
    const mn_operand_params &stats = p.operand[MN_OPERAND_STATS];
    mn_i64 pair = mn_row_offset(stats, at.batch, at.head, at.group, at.row);
    if (threadIdx.x == 0) {
        mn_store_element(stats, pair, s.largest);
        mn_store_element(stats, pair + 1, log2f(s.sum));
    }
}

/* LEFT, second launch: one column of P each. */
extern "C" __global__ void __launch_bounds__(THREADS)
    plain_left(const __grid_constant__ mn_stage_params p)
{
    Place at;
    if (!find_place(p, p.columns, at))
        return;
    auto value_of = [&](mn_i64 x) { return term(p, at, x); };
    Softmax s = softmax(p.rows, value_of);
    store_weight(p, at, s.sum == 0.0f ? 0.0f : exp2f(s.largest) * s.sum);
    weighted_row<false>(at, p.rows, s, value_of, p.operand[MN_OPERAND_QUERIES],
                        p.operand[MN_OPERAND_MEAN]);
}
