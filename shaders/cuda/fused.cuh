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
    float *entropy;          /* cL of (block, position) */
    uint8_t *present;        /* 1 for a token that is there and not masked */
    char *zero;              /* a row of zeros */
};

__device__ inline group_rows of_block(const head_rows &rows, int block)
{
    return {rows.row(block, 0), rows.pitch};
}

__device__ inline group_rows of_position(const head_rows &rows, int position)
{
    return {rows.row(0, position), rows.block_pitch};
}

/* What of a group's indices is there: present[x * stride] for x < count. */
struct group_presence {
    const uint8_t *present;
    int stride, count;

    __device__ bool operator()(int x) const
    {
        return x < count && (present == nullptr || present[x * stride] != 0);
    }
};

/* Address of row x, or of zeros where it is not there. */
__device__ inline uint32_t row_address(const group_rows &rows, const group_presence &there, int x,
                                       const char *zero)
{
    return shared_address(there(x) ? rows.base + x * rows.stride : zero);
}

template <int TILES> struct group_scores {
    float s[TILES][2 * TILES][4];
    float factor[TILES][2]; /* 1 / sum of each row, 0 for a row without columns */
};

/* Raw products of rows and columns. */
template <class E, int WIDTH, int TILES>
__device__ inline void multiply(group_scores<TILES> &g, const group_rows &rows,
                                const group_presence &row_there, const group_rows &columns,
                                const group_presence &column_there, const char *zero, int lane)
{
    uint32_t a_address[TILES], b_address[TILES];
#pragma unroll
    for (int i = 0; i < TILES; i++) {
        a_address[i] = row_address(rows, row_there, i * 16 + lane % 16, zero) + lane / 16 * VECTOR;
        b_address[i] = row_address(columns, column_there, i * 16 + lane % 8 + lane / 16 * 8, zero) +
                       lane / 8 % 2 * VECTOR;
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

/* Scores to 2^(score - largest of the row). Writes cL of each row where `entropy` is given. */
template <int TILES>
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
                    if (entropy != nullptr)
                        weighted = add_entropy(g.s[r][n][i], y, weighted);
                }
            sum = row_sum(sum);
            g.factor[r][half] = sum == 0.0f ? 0.0f : 1.0f / sum;
            int row = r * 16 + half * 8 + lane / 4;
            if (entropy == nullptr)
                continue;
            weighted = row_sum(weighted);
            if (lane % 4 == 0 && row < rows)
                entropy[row] = entropy_of(weighted, sum);
        }
}

/* out = P values, 16 features at a time; rows that `row_there` denies are left alone. `out` may be
   `values`: part f of it is written when all have read it. */
template <class E, int WIDTH, int TILES>
__device__ inline void weigh(const group_scores<TILES> &g, const group_rows &values,
                             const group_presence &value_there, const group_rows &out, int rows,
                             const char *zero, int lane)
{
    fragment_a p[TILES][TILES];
    uint32_t address[TILES];
#pragma unroll
    for (int c = 0; c < TILES; c++) {
        address[c] =
            row_address(values, value_there, c * 16 + lane % 16, zero) + lane / 16 * VECTOR;
#pragma unroll
        for (int r = 0; r < TILES; r++)
#pragma unroll
            for (int i = 0; i < 4; i++)
                p[r][c].x[i] = element<E>::pack(g.s[r][2 * c + i / 2][i % 2 * 2],
                                                g.s[r][2 * c + i / 2][i % 2 * 2 + 1]);
    }
#pragma unroll
    for (int f = 0; f < WIDTH / 16; f++) {
        float sums[TILES][2][4] = {};
#pragma unroll
        for (int c = 0; c < TILES; c++) {
            uint32_t b[4];
            load_matrices_transposed(b, address[c] + f * 32);
#pragma unroll
            for (int r = 0; r < TILES; r++) {
                element<E>::mma(sums[r][0], p[r][c], b[0], b[1]);
                element<E>::mma(sums[r][1], p[r][c], b[2], b[3]);
            }
        }
        __syncwarp();
#pragma unroll
        for (int r = 0; r < TILES; r++)
#pragma unroll
            for (int half = 0; half < 2; half++) {
                int row = r * 16 + half * 8 + lane / 4;
                if (row >= rows)
                    continue;
                char *to = out.base + row * out.stride + f * 32 + lane % 4 * 4;
#pragma unroll
                for (int n = 0; n < 2; n++) {
                    float x = sums[r][n][2 * half], y = sums[r][n][2 * half + 1];
                    float factor = g.factor[r][half];
                    *reinterpret_cast<uint32_t *>(to + n * 16) = element<E>::pack(
                        factor == 0.0f ? 0.0f : x * factor, factor == 0.0f ? 0.0f : y * factor);
                }
            }
    }
}

/* R of one block; aL/s, cL and, the last time, y. */
template <class E, int WIDTH, int TILES>
__device__ inline void right(const mn_stage_params &p, const fused_memory &m, int block, int step,
                             int lane)
{
    const int columns = p.columns;
    const uint8_t *present = m.present + block * columns;
    const group_presence keys = {present, 1, columns};
    const group_presence rows = {step == 0 ? present : nullptr, 1, columns};
    group_scores<TILES> g;
    multiply<E, WIDTH>(g, of_block(step == 0 ? m.q : m.mean, block), rows, of_block(m.k, block),
                       keys, m.zero, lane);
#pragma unroll
    for (int n = 0; n < 2 * TILES; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) {
            bool there = keys(n * 8 + lane % 4 * 2 + i % 2);
#pragma unroll
            for (int r = 0; r < TILES; r++)
                g.s[r][n][i] = there ? g.s[r][n][i] * p.scale : -infinity();
        }
    row_softmax(g, m.entropy + block * columns, columns, lane);
    __syncwarp();
    weigh<E, WIDTH>(g, of_block(m.k, block), keys, of_block(m.mean, block), columns, m.zero, lane);
    if (step == p.steps - 1)
        weigh<E, WIDTH>(g, of_block(m.v, block), keys, of_block(m.v, block), columns, m.zero, lane);
}

/* aR/cR of one position, on the transposed scores: rows are blocks k, columns are queries l. Each
   column is turned into log2 of a distribution over the blocks, then each row is normalised. */
template <class E, int WIDTH, int TILES>
__device__ inline void left(const mn_stage_params &p, const fused_memory &m, int position, int lane)
{
    const int blocks = p.groups;
    const group_presence all = {nullptr, 0, blocks};
    const group_presence there = {m.present + position, p.columns, blocks};
    const float *entropy = m.entropy + position;
    group_scores<TILES> g;
    multiply<E, WIDTH>(g, of_position(m.mean, position), all, of_position(m.q, position), there,
                       m.zero, lane);
    float bias[TILES][2];
#pragma unroll
    for (int r = 0; r < TILES; r++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
            int row = r * 16 + half * 8 + lane / 4;
            bias[r][half] = row < blocks ? entropy[row * p.columns] * log2_e : infinity();
        }
#pragma unroll
    for (int n = 0; n < 2 * TILES; n++)
#pragma unroll
        for (int i = 0; i < 2; i++) {
            float largest = -infinity(), sum = 0.0f;
#pragma unroll
            for (int r = 0; r < TILES; r++)
#pragma unroll
                for (int half = 0; half < 2; half++) {
                    float &x = g.s[r][n][2 * half + i];
                    x = x * p.scale - bias[r][half];
                    largest = fmaxf(largest, x);
                }
            largest = column_largest(largest);
            bool counts = largest != -infinity() && there(n * 8 + lane % 4 * 2 + i);
#pragma unroll
            for (int r = 0; r < TILES; r++)
#pragma unroll
                for (int half = 0; half < 2; half++) {
                    float &x = g.s[r][n][2 * half + i];
                    x = counts ? x - largest : -infinity();
                    sum += exp2_fast(x);
                }
            float log_sum = log2f(column_sum(sum));
#pragma unroll
            for (int r = 0; r < TILES; r++)
#pragma unroll
                for (int half = 0; half < 2; half++)
                    if (counts)
                        g.s[r][n][2 * half + i] -= log_sum;
        }
    row_softmax<TILES>(g, nullptr, 0, lane);
    __syncwarp();
    weigh<E, WIDTH>(g, of_position(m.q, position), there, of_position(m.mean, position), blocks,
                    m.zero, lane);
}

/* L and the output of one position; the output takes the place of y. */
template <class E, int WIDTH, int TILES>
__device__ inline void left_out(const mn_stage_params &p, const fused_memory &m, int position,
                                int lane)
{
    const int blocks = p.groups;
    const group_presence all = {nullptr, 0, blocks};
    const float *entropy = m.entropy + position;
    group_scores<TILES> g;
    multiply<E, WIDTH>(g, of_position(m.q, position), all, of_position(m.mean, position), all,
                       m.zero, lane);
    bool any = false;
#pragma unroll
    for (int n = 0; n < 2 * TILES; n++)
#pragma unroll
        for (int i = 0; i < 2; i++) {
            int column = n * 8 + lane % 4 * 2 + i;
            float bias = column < blocks ? entropy[column * p.columns] : infinity();
            any |= bias != infinity();
#pragma unroll
            for (int r = 0; r < TILES; r++)
#pragma unroll
                for (int half = 0; half < 2; half++) {
                    float &x = g.s[r][n][2 * half + i];
                    x = bias == infinity() ? -infinity() : x * p.scale - bias * log2_e;
                }
        }
    row_softmax<TILES>(g, nullptr, 0, lane);
    any = __any_sync(~0u, any);
#pragma unroll
    for (int r = 0; r < TILES; r++)
        for (int half = 0; half < 2; half++)
            g.factor[r][half] = any ? g.factor[r][half] : 0.0f;
    weigh<E, WIDTH>(g, of_position(m.v, position), all, of_position(m.v, position), blocks, m.zero,
                    lane);
}

/*
 * Walks over the vectors of all rows of a head, as the threads of the work-group share them: in
 * steps of `step` rows, block and position carried along.
 */
template <class E, int WIDTH> struct head_walk {
    using share = row_sharing<WIDTH *(int)sizeof(E)>;
    int byte, row, block, position; /* row = block * size + position */
    int step, size;

    __device__ head_walk(int block_size)
        : byte(threadIdx.x % share::lanes * VECTOR), row(threadIdx.x / share::lanes), block(0),
          position(row), step(blockDim.x / share::lanes), size(block_size)
    {
        carry();
    }

    __device__ void carry()
    {
        for (; position >= size; position -= size)
            block++;
    }

    __device__ void next()
    {
        row += step;
        position += step;
        carry();
    }
};

/* Starts to load a tensor. Rows of queries outside the sequence and all absent keys become 0. */
template <class E, int WIDTH>
__device__ inline void load_head(const mn_stage_params &p, int number, const task_place &at,
                                 const head_rows &target, const fused_memory &m, bool masked)
{
    const mn_operand_params &o = p.operand[number];
    const rows_view<E> view = view_of<E>(o, at);
    const int begin = (int)p.first, end = (int)(p.first + p.tokens);
    head_walk<E, WIDTH> walk(p.columns);
    if (walk.byte < WIDTH * (int)sizeof(E))
        for (; walk.row < p.groups * p.columns; walk.next()) {
            bool there = masked ? m.present[walk.row] != 0 : walk.row >= begin && walk.row < end;
            int valid = there ? max(0, min(view.bytes() - walk.byte, (int)VECTOR)) : 0;
            const char *source = view.base;
            if (valid > 0)
                source += (walk.block * o.group + walk.position * o.index) * (int64_t)sizeof(E) +
                          walk.byte;
            char *to = target.row(walk.block, walk.position) + walk.byte;
            if (o.vectors)
                copy_vector(to, source, valid);
            else
                copy_elements<E>(to, source, valid);
        }
    copies_commit();
}

template <class E, int WIDTH>
__device__ inline void store_head(const mn_stage_params &p, const task_place &at,
                                  const head_rows &from)
{
    const mn_operand_params &o = p.operand[MN_OPERAND_RESULT];
    const rows_view<E> view = view_of<E>(o, at);
    const int begin = (int)p.first, end = (int)(p.first + p.tokens);
    head_walk<E, WIDTH> walk(p.columns);
    for (; walk.row < end; walk.next())
        if (walk.row >= begin && walk.byte < view.bytes())
            store_vector<E>(
                view.base + (walk.block * o.group + walk.position * o.index) * (int64_t)sizeof(E) +
                    walk.byte,
                from.row(walk.block, walk.position) + walk.byte, o.vectors,
                view.bytes() - walk.byte);
}

template <class E, int WIDTH> __device__ inline fused_memory divide_head(const mn_stage_params &p)
{
    extern __shared__ __align__(16) char memory[];
    const int pitch = mn_tile_pitch(WIDTH, sizeof(E));
    const int block_pitch = mn_fused_block_pitch(p.columns, pitch);
    const int tensor = p.groups * block_pitch, rows = p.groups * p.columns;
    fused_memory m;
    m.zero = memory;
    char *next = memory + pitch;
    m.q = {next, block_pitch, pitch};
    m.k = {next += tensor, block_pitch, pitch};
    m.v = {next += tensor, block_pitch, pitch};
    m.mean = p.steps == 1 ? m.k : head_rows{next += tensor, block_pitch, pitch};
    m.entropy = reinterpret_cast<float *>(next += tensor);
    m.present = reinterpret_cast<uint8_t *>(m.entropy + rows);
    return m;
}

__device__ inline void note_present(const mn_stage_params &p, const task_place &at,
                                    uint8_t *present)
{
    const mn_operand_params &mask = p.operand[MN_OPERAND_MASK];
    const uint8_t *bytes = reinterpret_cast<const uint8_t *>(mask.address) + at.batch * mask.batch;
    const int begin = (int)p.first, end = (int)(p.first + p.tokens);
    for (int row = threadIdx.x; row < p.groups * p.columns; row += blockDim.x) {
        bool there = row >= begin && row < end;
        if (there && mask.width > 0) {
            int block = row / p.columns;
            there = bytes[block * mask.group + (row - block * p.columns) * mask.index] != 0;
        }
        present[row] = there;
    }
}

template <class E, int WIDTH, int TILES> __device__ void fused(const mn_stage_params &p)
{
    const int64_t task = work_group();
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, warps = blockDim.x / WARP;
    if (task >= p.tasks)
        return;
    task_place at = {0, 0, 0};
    at.batch = divide(task, p.heads, &at.head);
    const fused_memory m = divide_head<E, WIDTH>(p);

    note_present(p, at, m.present);
    for (int i = threadIdx.x; i < mn_tile_pitch(WIDTH, sizeof(E)) / 4; i += blockDim.x)
        reinterpret_cast<uint32_t *>(m.zero)[i] = 0;
    __syncthreads();
    load_head<E, WIDTH>(p, MN_OPERAND_QUERIES, at, m.q, m, false);
    load_head<E, WIDTH>(p, MN_OPERAND_KEYS, at, m.k, m, true);
    load_head<E, WIDTH>(p, MN_OPERAND_VALUES, at, m.v, m, true);

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
