/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CUDA_FUSED_STAGES_CUH
#define MN_CUDA_FUSED_STAGES_CUH

#include "shaders/cuda/stage.cuh"
#include "shaders/cuda/tile_mma.cuh"

/* The stages of fused.cuh: what a warp does with one group of a head in shared memory. */

/* A tensor in shared memory. Rows of a block and rows of a position are both a multiple of 16 bytes
   apart that is odd in units of 16, so that 8 of either kind meet all banks. */
struct head_rows {
    char *base;
    int block_pitch, pitch;

    __device__ char *row(int block, int position) const
    {
        return base + block * block_pitch + position * pitch;
    }
};

/* One group's rows of a tensor: `count` of them, `stride` bytes apart. */
struct group_rows {
    char *base;
    int stride;
};

struct fused_memory {
    head_rows q, k, v, mean; /* mean: aL/s or aR/cR; k itself where k is not needed again */
    /* Terms to take off scores, [block][position] in a square of 16 TILES: of a key, 0, or +inf if
       it is not there; of a block at a position, cL * log2(e), and +inf outside. */
    float *absent, *entropy;
    char *zero; /* a row of zeros */
};

__device__ inline group_rows of_block(const head_rows &rows, int block)
{
    return {rows.row(block, 0), rows.pitch};
}

__device__ inline group_rows of_position(const head_rows &rows, int position)
{
    return {rows.row(0, position), rows.block_pitch};
}

/* Address of a row, or of zeros where it is not there. */
__device__ inline uint32_t row_address(const group_rows &rows, int x, bool there, const char *zero)
{
    return shared_address(there ? rows.base + x * rows.stride : zero);
}

/* One term for each index of a group. */
struct group_terms {
    const float *terms;
    int stride;

    __device__ float operator[](int x) const
    {
        return terms[x * stride];
    }
};

/* A group's rows, and which of them are there: x < count, and term 0 where there are terms. */
struct group_operand {
    group_rows rows;
    int count;
    group_terms absent;
    const char *zero;

    __device__ uint32_t address(int x) const
    {
        bool there = x < count && (absent.terms == nullptr || absent[x] == 0.0f);
        return row_address(rows, x, there, zero);
    }
};

template <int TILES> struct group_scores {
    float s[TILES][2 * TILES][4];
    float factor[TILES][2]; /* 1 / sum of each row, 0 for a row without columns */
};

/* Raw products of rows and columns. */
template <class E, int WIDTH, int TILES>
__device__ inline void multiply_group(group_scores<TILES> &g, const group_operand &rows,
                                      const group_operand &columns, int lane)
{
    uint32_t a_address[TILES], b_address[TILES];
#pragma unroll
    for (int i = 0; i < TILES; i++) {
        a_address[i] = rows.address(i * 16 + lane % 16) + lane / 16 * VECTOR;
        b_address[i] = columns.address(i * 16 + lane % 8 + lane / 16 * 8) + lane / 8 % 2 * VECTOR;
    }
#pragma unroll
    for (int r = 0; r < TILES; r++)
#pragma unroll
        for (int n = 0; n < 2 * TILES; n++)
#pragma unroll
            for (int i = 0; i < 4; i++)
                g.s[r][n][i] = 0.0f;
#pragma unroll
    for (int k = 0; k < WIDTH / 16; k++) {
        fragment_a a[TILES];
#pragma unroll
        for (int r = 0; r < TILES; r++)
            load_matrices(a[r].x, a_address[r] + k * 32);
#pragma unroll
        for (int n = 0; n < TILES; n++) {
            uint32_t b[4];
            load_matrices(b, b_address[n] + k * 32);
#pragma unroll
            for (int r = 0; r < TILES; r++) {
                element<E>::mma(g.s[r][2 * n], a[r], b[0], b[1]);
                element<E>::mma(g.s[r][2 * n + 1], a[r], b[2], b[3]);
            }
        }
    }
}

/* Scores to 2^(score - largest of the row). Writes cL * log2(e) of each row to `entropy`. */
template <bool ENTROPY, int TILES>
__device__ inline void row_softmax(group_scores<TILES> &g, float *entropy, int rows, int lane)
{
#pragma unroll
    for (int r = 0; r < TILES; r++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
            float largest = -infinity(), sum = 0.0f, weighted = 0.0f;
#pragma unroll
            for (int n = 0; n < 2 * TILES; n++)
                largest = fmaxf(largest, fmaxf(g.s[r][n][2 * half], g.s[r][n][2 * half + 1]));
            largest = row_largest(largest);
            float base = largest == -infinity() ? 0.0f : largest;
#pragma unroll
            for (int n = 0; n < 2 * TILES; n++)
#pragma unroll
                for (int i = 2 * half; i < 2 * half + 2; i++) {
                    float y = g.s[r][n][i] - base;
                    g.s[r][n][i] = exp2_fast(y);
                    sum += g.s[r][n][i];
                    if (ENTROPY)
                        weighted = add_entropy(g.s[r][n][i], y, weighted);
                }
            sum = row_sum(sum);
            g.factor[r][half] = sum == 0.0f ? 0.0f : reciprocal_fast(sum);
            int row = r * 16 + half * 8 + lane / 4;
            if (!ENTROPY)
                continue;
            weighted = row_sum(weighted);
            if (lane % 4 == 0 && row < rows)
                entropy[row] = entropy_of<false>(weighted, sum) * log2_e;
        }
}

/* out = P values, some features at a time. `out` may be where the values are: these features are
   written when all have read them. */
template <class E, int WIDTH, int TILES>
__device__ inline void weigh(const group_scores<TILES> &g, const group_operand &values,
                             const group_rows &out, int rows, int lane)
{
    constexpr int part = TILES == 1 && WIDTH % 64 == 0 ? 4 : 2; /* 16 features each, at a time */
    fragment_a p[TILES][TILES];
    uint32_t address[TILES];
#pragma unroll
    for (int c = 0; c < TILES; c++) {
        address[c] = values.address(c * 16 + lane % 16) + lane / 16 * VECTOR;
#pragma unroll
        for (int r = 0; r < TILES; r++)
#pragma unroll
            for (int i = 0; i < 4; i++)
                p[r][c].x[i] = element<E>::pack(g.s[r][2 * c + i / 2][i % 2 * 2],
                                                g.s[r][2 * c + i / 2][i % 2 * 2 + 1]);
    }
#pragma unroll
    for (int f0 = 0; f0 < WIDTH / 16; f0 += part) {
        float sums[TILES][2 * part][4] = {};
#pragma unroll
        for (int f = 0; f < part; f++)
#pragma unroll
            for (int c = 0; c < TILES; c++) {
                uint32_t b[4];
                load_matrices_transposed(b, address[c] + (f0 + f) * 32);
#pragma unroll
                for (int r = 0; r < TILES; r++) {
                    element<E>::mma(sums[r][2 * f], p[r][c], b[0], b[1]);
                    element<E>::mma(sums[r][2 * f + 1], p[r][c], b[2], b[3]);
                }
            }
        __syncwarp();
#pragma unroll
        for (int r = 0; r < TILES; r++) {
            uint32_t packed[part][4];
            multiply(sums[r], g.factor[r]);
            pack_sums<E>(sums[r], packed);
#pragma unroll
            for (int half = 0; half < 2; half++) {
                const int row = r * 16 + half * 8 + lane / 4;
                char *to = out.base + row * out.stride + f0 * 32 + lane % 4 * 4;
                if (row < rows)
#pragma unroll
                    for (int n = 0; n < 2 * part; n++)
                        *reinterpret_cast<uint32_t *>(to + n * 16) =
                            packed[n / 2][n % 2 * 2 + half];
            }
        }
    }
}

/* The operands of a group, by block and by position. */
template <int TILES> struct head_groups {
    const mn_stage_params &p;
    const fused_memory &m;
    static constexpr int side = 16 * TILES; /* of the squares of terms */

    /* Rows of a block; without those of absent tokens, if asked. */
    __device__ group_operand block(const head_rows &rows, int block, bool present) const
    {
        return {of_block(rows, block),
                p.columns,
                {present ? m.absent + block * side : nullptr, 1},
                m.zero};
    }

    __device__ group_operand position(const head_rows &rows, int position, bool present) const
    {
        return {of_position(rows, position),
                p.groups,
                {present ? m.absent + position : nullptr, side},
                m.zero};
    }
};

/* R of one block; aL/s, cL and, the last time, y. */
template <class E, int WIDTH, int TILES>
__device__ inline void right(const mn_stage_params &p, const fused_memory &m, int block, int step,
                             int lane)
{
    const head_groups<TILES> of = {p, m};
    const float *absent = m.absent + block * of.side + lane % 4 * 2;
    group_scores<TILES> g;
    multiply_group<E, WIDTH>(g, of.block(step == 0 ? m.q : m.mean, block, step == 0),
                             of.block(m.k, block, true), lane);
#pragma unroll
    for (int n = 0; n < 2 * TILES; n++)
#pragma unroll
        for (int i = 0; i < 4; i++)
#pragma unroll
            for (int r = 0; r < TILES; r++)
                g.s[r][n][i] = fmaf(g.s[r][n][i], p.scale, -absent[n * 8 + i % 2]);
    row_softmax<true>(g, m.entropy + block * of.side, p.columns, lane);
    __syncwarp();
    weigh<E, WIDTH>(g, of.block(m.k, block, true), of_block(m.mean, block), p.columns, lane);
    if (step == p.steps - 1)
        weigh<E, WIDTH>(g, of.block(m.v, block, false), of_block(m.v, block), p.columns, lane);
}

/* aR/cR of one position, on the transposed scores: rows are blocks k, columns are queries l. Each
   column is turned into log2 of a distribution over the blocks, then each row is normalised. */
template <class E, int WIDTH, int TILES>
__device__ inline void left(const mn_stage_params &p, const fused_memory &m, int position, int lane)
{
    const head_groups<TILES> of = {p, m};
    const float *entropy = m.entropy + position, *absent = m.absent + position;
    group_scores<TILES> g;
    multiply_group<E, WIDTH>(g, of.position(m.mean, position, false),
                             of.position(m.q, position, true), lane);
#pragma unroll
    for (int r = 0; r < TILES; r++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
            float bias = entropy[(r * 16 + half * 8 + lane / 4) * of.side];
#pragma unroll
            for (int n = 0; n < 2 * TILES; n++)
#pragma unroll
                for (int i = 2 * half; i < 2 * half + 2; i++)
                    g.s[r][n][i] = fmaf(g.s[r][n][i], p.scale, -bias);
        }
#pragma unroll
    for (int n = 0; n < 2 * TILES; n++)
#pragma unroll
        for (int i = 0; i < 2; i++) {
            float largest = -infinity(), sum = 0.0f;
#pragma unroll
            for (int r = 0; r < TILES; r++)
                largest = fmaxf(largest, fmaxf(g.s[r][n][i], g.s[r][n][2 + i]));
            largest = column_largest(largest);
            /* A query that is absent, or finds all blocks absent, counts nowhere. */
            float off = absent[(n * 8 + lane % 4 * 2 + i) * of.side];
            off = largest == -infinity() ? infinity() : off;
            largest = largest == -infinity() ? 0.0f : largest;
#pragma unroll
            for (int r = 0; r < TILES; r++)
#pragma unroll
                for (int half = 0; half < 2; half++) {
                    float &x = g.s[r][n][2 * half + i];
                    x -= largest;
                    sum += exp2_fast(x);
                }
            float log_sum = log2_fast(column_sum(sum));
            off = off == 0.0f ? log_sum : off;
#pragma unroll
            for (int r = 0; r < TILES; r++)
#pragma unroll
                for (int half = 0; half < 2; half++)
                    g.s[r][n][2 * half + i] -= off;
        }
    row_softmax<false>(g, nullptr, 0, lane);
    __syncwarp();
    weigh<E, WIDTH>(g, of.position(m.q, position, true), of_position(m.mean, position), p.groups,
                    lane);
}

/* L and the output of one position; the output takes the place of y. */
template <class E, int WIDTH, int TILES>
__device__ inline void left_out(const mn_stage_params &p, const fused_memory &m, int position,
                                int lane)
{
    const head_groups<TILES> of = {p, m};
    const float *entropy = m.entropy + position;
    group_scores<TILES> g;
    multiply_group<E, WIDTH>(g, of.position(m.q, position, false),
                             of.position(m.mean, position, false), lane);
    bool any = false;
#pragma unroll
    for (int n = 0; n < 2 * TILES; n++)
#pragma unroll
        for (int i = 0; i < 2; i++) {
            float bias = entropy[(n * 8 + lane % 4 * 2 + i) * of.side];
            any |= bias != infinity();
#pragma unroll
            for (int r = 0; r < TILES; r++)
#pragma unroll
                for (int half = 0; half < 2; half++)
                    g.s[r][n][2 * half + i] = fmaf(g.s[r][n][2 * half + i], p.scale, -bias);
        }
    row_softmax<false>(g, nullptr, 0, lane);
    if (!__any_sync(~0u, any)) /* then a NaN in a query does not count either */
        g = {};
    weigh<E, WIDTH>(g, of.position(m.v, position, false), of_position(m.v, position), p.groups,
                    lane);
}

#endif
