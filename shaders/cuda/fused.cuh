/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CUDA_FUSED_CUH
#define MN_CUDA_FUSED_CUH

#include "shaders/cuda/fused_stages.cuh"

/*
 * All steps of one head in one work-group: Q, K and V are read once, the output is written once,
 * and everything between stays in shared memory. A warp does whole groups, a block in the RIGHT
 * stages and a position in the LEFT ones, each a score matrix of at most 16 TILES rows and columns
 * that fits its registers. Products with values are made some features at a time, and each part
 * overwrites the features that it came from: no row is read by another warp in the same stage.
 */

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
    char *const memory = dynamic_memory<16>();
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
