/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CUDA_STAGE_CUH
#define MN_CUDA_STAGE_CUH

#include "shaders/cuda/softmax.cuh"

/*
 * Every stage is the same pass over a score matrix, in units of log2: for each row the largest
 * score, the sum of 2^(score - largest), and that sum weighted by the rows of one or two operands.
 *
 *   FORM         rows            columns        score less     outputs
 *   RIGHT        queries (k,j)   keys (k,i)     -              mean of keys, cL
 *   RIGHT_VALUE  queries (k,j)   keys (k,i)     -              mean of keys, cL, mean of values
 *   LEFT_STATS   queries (l,j)   key means k    cL             largest and log2 of the sum
 *   LEFT_MEAN    key means k     queries (l,j)  cL, stats      mean of queries, cR if asked
 *   LEFT_OUT     queries (l,j)   key means k    cL             mean of values
 */
enum form { RIGHT, RIGHT_VALUE, LEFT_STATS, LEFT_MEAN, LEFT_OUT };

/* One score matrix of a launch: what there is of it, and its terms that are no matrices. */
template <form FORM> struct stage_task {
    static constexpr bool right = FORM == RIGHT || FORM == RIGHT_VALUE;
    static constexpr bool has_mean = right || FORM == LEFT_MEAN;
    static constexpr bool has_result = FORM == RIGHT_VALUE || FORM == LEFT_OUT;
    /* LEFT_MEAN works on the transposed matrix. */
    static constexpr int row_operand = FORM == LEFT_MEAN ? MN_OPERAND_KEYS : MN_OPERAND_QUERIES;
    static constexpr int column_operand = FORM == LEFT_MEAN ? MN_OPERAND_QUERIES : MN_OPERAND_KEYS;

    const mn_stage_params &p;
    task_place at;

    /* Rows whose queries are read; the others count as zero. */
    __device__ presence rows_read() const
    {
        if constexpr (FORM == LEFT_STATS || FORM == LEFT_OUT)
            return tokens_of(p, at, p.rows);
        return right && p.absent_is_zero ? present_of(p, at, p.rows) : all_of(p.rows);
    }

    __device__ presence rows_written() const
    {
        return FORM == LEFT_OUT ? tokens_of(p, at, p.rows) : all_of(p.rows);
    }

    __device__ presence columns() const
    {
        return right || FORM == LEFT_MEAN ? present_of(p, at, p.columns) : all_of(p.columns);
    }

    /* The number that an f32 operand has for row x of the group. */
    __device__ float *scalar(int number, int x) const
    {
        const mn_operand_params &o = p.operand[number];
        return reinterpret_cast<float *>(o.address) + at.batch * o.batch + at.head * o.head +
               at.group * o.group + x * o.index;
    }

    /* The terms to take off the scores of a column that is there. */
    __device__ float2 column_bias(int x) const
    {
        if constexpr (FORM == LEFT_STATS || FORM == LEFT_OUT)
            return make_float2(*scalar(MN_OPERAND_BIAS, x) * log2_e, 0.0f);
        if constexpr (FORM == LEFT_MEAN)
            return *reinterpret_cast<const float2 *>(scalar(MN_OPERAND_STATS, x));
        return make_float2(0.0f, 0.0f);
    }

    /* That of a row: cL where rows are blocks, +inf for a block whose keys are all absent. */
    __device__ float row_bias(int x) const
    {
        if constexpr (FORM == LEFT_MEAN)
            return x < p.rows ? *scalar(MN_OPERAND_BIAS, x) * log2_e : infinity();
        return 0.0f;
    }

    /* What is written of row x beside its means; r: which of the thread's two rows it is. */
    template <bool EXACT>
    __device__ void store_scalars(int x, const softmax_state &state, int r, bool empty) const
    {
        if (FORM == LEFT_STATS)
            *reinterpret_cast<float2 *>(scalar(MN_OPERAND_STATS, x)) =
                make_float2(state.largest[r], log2_of<EXACT>(state.sum[r]));
        if (right)
            *scalar(MN_OPERAND_WEIGHT, x) =
                empty ? infinity() : entropy_of<EXACT>(state.entropy[r], state.sum[r]);
        if (FORM == LEFT_MEAN && p.operand[MN_OPERAND_WEIGHT].width > 0)
            *scalar(MN_OPERAND_WEIGHT, x) = empty ? 0.0f : exp2f(state.largest[r]) * state.sum[r];
    }
};

template <int N> __device__ inline void set_zero(float (&sums)[N][4])
{
#pragma unroll
    for (int n = 0; n < N; n++)
#pragma unroll
        for (int i = 0; i < 4; i++)
            sums[n][i] = 0.0f;
}

/* Each row times its factor. */
template <int N> __device__ inline void multiply(float (&sums)[N][4], const float (&factor)[2])
{
#pragma unroll
    for (int n = 0; n < N; n++)
#pragma unroll
        for (int i = 0; i < 4; i++)
            sums[n][i] *= factor[i / 2];
}

#endif
