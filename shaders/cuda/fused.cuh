/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CUDA_FUSED_CUH
#define MN_CUDA_FUSED_CUH

#include "shaders/cuda/softmax.cuh"
#include "shaders/cuda/tile_mma.cuh"

/*
 * All steps of one head in one work-group: Q, K and V are read once, the output is written once,
 * and everything between stays in shared memory. A warp does whole groups, a block in the RIGHT
 * stages and a position in the LEFT ones, each a score matrix of at most 16 TILES rows and columns
 * that fits its registers. Products with values are made 16 features at a time, and each part
 * overwrites the features that it came from: no row is read by another warp in the same stage.
 */

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
        for (int r = 0; r < TILES; r++)
#pragma unroll
            for (int half = 0; half < 2; half++) {
                const int row = r * 16 + half * 8 + lane / 4;
                const float factor = g.factor[r][half];
                char *to = out.base + row * out.stride + f0 * 32 + lane % 4 * 4;
                if (row < rows)
#pragma unroll
                    for (int n = 0; n < 2 * part; n++)
                        *reinterpret_cast<uint32_t *>(to + n * 16) = element<E>::pack(
                            sums[r][n][2 * half] * factor, sums[r][n][2 * half + 1] * factor);
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

/* Calls f(row, block, position, byte) for each vector of all rows [begin, end) of a head, row being
   block * size + position. The quotient is exact: rows are at most 1024. */
template <int WIDTH_BYTES, class F>
__device__ inline void for_each_vector(int begin, int end, int size, F f)
{
    using share = row_sharing<WIDTH_BYTES>;
    const int byte = threadIdx.x % share::lanes * VECTOR;
    const uint32_t inverse = ((1u << 20) + size - 1) / size;
    if (byte >= WIDTH_BYTES)
        return;
#pragma unroll 2
    for (int row = begin + threadIdx.x / share::lanes; row < end;
         row += blockDim.x / share::lanes) {
        int block = (int)(row * inverse >> 20);
        f(row, block, row - block * size, byte);
    }
}

/* Rows of padding: fewer than a block. */
template <int WIDTH_BYTES>
__device__ inline void zero_padding(const mn_stage_params &p, const head_rows &target)
{
    const int begin = (int)p.first, end = (int)(p.first + p.tokens);
    auto zero = [&](int, int block, int position, int byte) {
        *reinterpret_cast<uint4 *>(target.row(block, position) + byte) = make_uint4(0, 0, 0, 0);
    };
    if (begin > 0)
        for_each_vector<WIDTH_BYTES>(0, begin, p.columns, zero);
    if (end < p.groups * p.columns)
        for_each_vector<WIDTH_BYTES>(end, p.groups * p.columns, p.columns, zero);
}

/* Starts to load a tensor. Rows outside the sequence become 0, and masked ones if asked. */
template <class E, int WIDTH>
__device__ inline void load_head(const mn_stage_params &p, int number, const task_place &at,
                                 const head_rows &target, const fused_memory &m, int side,
                                 bool masked)
{
    constexpr int width = WIDTH * (int)sizeof(E);
    const mn_operand_params &o = p.operand[number];
    const rows_view<E> view = view_of<E>(o, at);
    const int begin = (int)p.first, end = (int)(p.first + p.tokens);
    const int block_stride = target.block_pitch, pitch = target.pitch;
    const int64_t group = o.group * (int64_t)sizeof(E), index = o.index * (int64_t)sizeof(E);
    if (o.vectors && view.bytes() == width && !masked) {
        for_each_vector<width>(begin, end, p.columns, [&](int, int block, int position, int byte) {
            copy_vector(target.base + block * block_stride + position * pitch + byte,
                        view.base + block * group + position * index + byte);
        });
        zero_padding<width>(p, target);
    } else {
        for_each_vector<width>(
            0, p.groups * p.columns, p.columns, [&](int row, int block, int position, int byte) {
                bool there =
                    masked ? m.absent[block * side + position] == 0.0f : row >= begin && row < end;
                int valid = there ? max(0, min(view.bytes() - byte, (int)VECTOR)) : 0;
                const char *source =
                    valid > 0 ? view.base + block * group + position * index + byte : view.base;
                char *to = target.row(block, position) + byte;
                if (o.vectors)
                    copy_vector(to, source, valid);
                else
                    copy_elements<E>(to, source, valid);
            });
    }
    copies_commit();
}

template <class E, int WIDTH>
__device__ inline void store_head(const mn_stage_params &p, const task_place &at,
                                  const head_rows &from)
{
    const mn_operand_params &o = p.operand[MN_OPERAND_RESULT];
    const rows_view<E> view = view_of<E>(o, at);
    const int64_t group = o.group * (int64_t)sizeof(E), index = o.index * (int64_t)sizeof(E);
    for_each_vector<WIDTH *(int)sizeof(E)>(
        (int)p.first, (int)(p.first + p.tokens), p.columns,
        [&](int, int block, int position, int byte) {
            if (byte < view.bytes())
                store_vector<E>(view.base + block * group + position * index + byte,
                                from.row(block, position) + byte, o.vectors, view.bytes() - byte);
        });
}

template <class E, int WIDTH, int TILES>
__device__ inline fused_memory divide_head(const mn_stage_params &p)
{
    extern __shared__ __align__(16) char memory[];
    const int pitch = mn_tile_pitch(WIDTH, sizeof(E));
    const int block_pitch = mn_fused_block_pitch(p.columns, pitch);
    const int tensor = p.groups * block_pitch;
    fused_memory m;
    m.zero = memory;
    char *next = memory + pitch;
    m.q = {next, block_pitch, pitch};
    m.k = {next += tensor, block_pitch, pitch};
    m.v = {next += tensor, block_pitch, pitch};
    m.mean = p.steps == 1 ? m.k : head_rows{next += tensor, block_pitch, pitch};
    m.absent = reinterpret_cast<float *>(next += tensor);
    m.entropy = m.absent + 256 * TILES * TILES;
    return m;
}

/* Fills the squares of terms. */
template <int TILES>
__device__ inline void note_absent(const mn_stage_params &p, const task_place &at,
                                   const fused_memory &m)
{
    constexpr int side = 16 * TILES;
    const mn_operand_params &mask = p.operand[MN_OPERAND_MASK];
    const uint8_t *bytes = reinterpret_cast<const uint8_t *>(mask.address) + at.batch * mask.batch;
    for (int i = threadIdx.x; i < side * side; i += blockDim.x) {
        int block = i / side, position = i % side;
        int token = block * p.columns + position - (int)p.first;
        bool there = block < p.groups && position < p.columns && token >= 0 && token < p.tokens;
        if (there && mask.width > 0)
            there = bytes[block * mask.group + position * mask.index] != 0;
        m.absent[i] = there ? 0.0f : infinity();
        m.entropy[i] = infinity();
    }
}

template <class E, int WIDTH, int TILES>
__device__ inline void load_all(const mn_stage_params &p, const task_place &at,
                                const fused_memory &m)
{
    const bool masked = p.operand[MN_OPERAND_MASK].width > 0;
#pragma unroll 1
    for (int i = 0; i < 3; i++) { /* q, k, v: one after the other in memory */
        const int number = i == 0   ? MN_OPERAND_QUERIES
                           : i == 1 ? MN_OPERAND_KEYS
                                    : MN_OPERAND_VALUES;
        head_rows target = m.q;
        target.base += i * (m.k.base - m.q.base);
        load_head<E, WIDTH>(p, number, at, target, m, 16 * TILES, masked && i > 0);
    }
}

template <class E, int WIDTH, int TILES> __device__ void fused(const mn_stage_params &p)
{
    const int64_t task = work_group();
    const int lane = threadIdx.x % WARP, warp = warp_index(), warps = blockDim.x / WARP;
    if (task >= p.tasks)
        return;
    task_place at = {0, 0, 0};
    at.batch = divide(task, p.heads, &at.head);
    const fused_memory m = divide_head<E, WIDTH, TILES>(p);

    let_next_launch_begin();
    wait_for_launches_ahead();
    if (p.operand[MN_OPERAND_MASK].width > 0) { /* which keys to load must be known first */
        note_absent<TILES>(p, at, m);
        __syncthreads();
        load_all<E, WIDTH, TILES>(p, at, m);
    } else {
        load_all<E, WIDTH, TILES>(p, at, m);
        note_absent<TILES>(p, at, m);
    }
    for (int i = threadIdx.x; i < mn_tile_pitch(WIDTH, sizeof(E)) / 4; i += blockDim.x)
        reinterpret_cast<uint32_t *>(m.zero)[i] = 0;

    for (int step = 0; step < p.steps; step++) {
        if (step == 0 && p.steps > 1)
            copies_wait<1>(); /* the values may take longer */
        else
            copies_wait<0>();
        __syncthreads();
        for (int block = warp; block < p.groups; block += warps)
            right<E, WIDTH, TILES>(p, m, block, step, lane);
        __syncthreads();
        for (int position = warp; position < p.columns; position += warps)
            if (step < p.steps - 1)
                left<E, WIDTH, TILES>(p, m, position, lane);
            else
                left_out<E, WIDTH, TILES>(p, m, position, lane);
    }
    __syncthreads();
    store_head<E, WIDTH>(p, at, m.v);
}

#endif
