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
 *
 * A warp loads the blocks that it works on first, and so begins with one while others are on their
 * way; and it stores its positions when it has them.
 */

/* Calls f(x, byte) for each vector of rows x < count: the threads of a warp share rows. */
template <int WIDTH_BYTES, class F> __device__ inline void for_each_vector(int count, int lane, F f)
{
    using share = row_sharing<WIDTH_BYTES>;
    const int byte = lane % share::lanes * VECTOR;
    if (byte < WIDTH_BYTES)
#pragma unroll 2
        for (int x = lane / share::lanes; x < count; x += WARP / share::lanes)
            f(x, byte);
}

/* Starts to load a block of a tensor. Rows outside the sequence become 0, and masked ones if asked.
 */
template <class E, int WIDTH>
__device__ inline void load_block(const mn_stage_params &p, int number, const task_place &at,
                                  const head_rows &target, int block, const float *absent, int lane)
{
    constexpr int width = WIDTH * (int)sizeof(E);
    const mn_operand_params &o = p.operand[number];
    const rows_view<E> view = view_of<E>(o, at);
    const int64_t index = o.index * (int64_t)sizeof(E);
    const char *source = view.base + block * o.group * (int64_t)sizeof(E);
    const int token = block * p.columns - (int)p.first;
    const bool is_whole = token >= 0 && token + p.columns <= p.tokens;
    if (o.vectors && view.bytes() == width && is_whole && absent == nullptr) {
        for_each_vector<width>(p.columns, lane, [&](int x, int byte) {
            copy_vector(target.row(block, x) + byte, source + x * index + byte);
        });
        return;
    }
    for_each_vector<width>(p.columns, lane, [&](int x, int byte) {
        bool there = absent != nullptr ? absent[x] == 0.0f : token + x >= 0 && token + x < p.tokens;
        int valid = there ? max(0, min(view.bytes() - byte, (int)VECTOR)) : 0;
        const char *from = valid > 0 ? source + x * index + byte : view.base;
        char *to = target.row(block, x) + byte;
        if (o.vectors)
            copy_vector(to, from, valid);
        else
            copy_elements<E>(to, from, valid);
    });
}

/* Stores the rows of a position. */
template <class E, int WIDTH>
__device__ inline void store_position(const mn_stage_params &p, const task_place &at,
                                      const head_rows &from, int position, int lane)
{
    const mn_operand_params &o = p.operand[MN_OPERAND_RESULT];
    const rows_view<E> view = view_of<E>(o, at);
    const int64_t group = o.group * (int64_t)sizeof(E);
    char *to = view.base + position * o.index * (int64_t)sizeof(E);
    for_each_vector<WIDTH *(int)sizeof(E)>(p.groups, lane, [&](int x, int byte) {
        const int token = x * p.columns + position - (int)p.first;
        if (byte < view.bytes() && token >= 0 && token < p.tokens)
            store_vector<E>(to + x * group + byte, from.row(x, position) + byte, o.vectors,
                            view.bytes() - byte);
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

/* The work of one warp. */
template <class E, int WIDTH, int TILES> struct fused_worker {
    static constexpr int side = 16 * TILES;

    const mn_stage_params &p;
    const fused_memory &m;
    const task_place &at;
    int lane, warp, warps;

    /* Of q, k, v, which lie one after the other, number `i`. */
    __device__ void load(int i, int block) const
    {
        const int number = i == 0   ? MN_OPERAND_QUERIES
                           : i == 1 ? MN_OPERAND_KEYS
                                    : MN_OPERAND_VALUES;
        const bool masked = p.operand[MN_OPERAND_MASK].width > 0 && i > 0;
        head_rows target = m.q;
        target.base += i * (m.k.base - m.q.base);
        load_block<E, WIDTH>(p, number, at, target, block,
                             masked ? m.absent + block * side : nullptr, lane);
    }

    /* A group of copies for each block; where the values are needed later, one more for each. */
    __device__ void load_all() const
    {
        const int tensors = p.steps == 1 ? 3 : 2;
#pragma unroll 1
        for (int first = 0; first < 3; first += tensors)
#pragma unroll 1
            for (int block = warp; block < p.groups; block += warps) {
#pragma unroll 1
                for (int i = first; i < min(first + tensors, 3); i++)
                    load(i, block);
                copies_commit();
            }
    }

    /* Waits for what a stage needs of the warp's blocks, this being the next of them; for more
       where there are many. */
    __device__ void wait_for(int block, int step) const
    {
        const int blocks_behind = (p.groups - 1 - block) / warps;
        const int values = p.steps == 1 ? 0 : (p.groups - 1 - warp) / warps + 1;
        const int behind = step > 0 ? 0 : blocks_behind + values;
        if (behind == 0)
            copies_wait<0>();
        else if (behind == 1)
            copies_wait<1>();
        else if (behind == 2)
            copies_wait<2>();
        else
            copies_wait<3>();
        __syncwarp();
    }

    __device__ void run() const
    {
        for (int step = 0; step < p.steps; step++) {
            __syncthreads();
            for (int block = warp; block < p.groups; block += warps) {
                if (step == 0 || step == p.steps - 1)
                    wait_for(block, step);
                right<E, WIDTH, TILES>(p, m, block, step, lane);
            }
            __syncthreads();
            for (int position = warp; position < p.columns; position += warps) {
                if (step < p.steps - 1) {
                    left<E, WIDTH, TILES>(p, m, position, lane);
                } else {
                    left_out<E, WIDTH, TILES>(p, m, position, lane);
                    __syncwarp();
                    store_position<E, WIDTH>(p, at, m.v, position, lane);
                }
            }
        }
    }
};

template <class E, int WIDTH, int TILES> __device__ void fused(const mn_stage_params &p)
{
    const int64_t task = work_group();
    if (task >= p.tasks)
        return;
    task_place at = {0, 0, 0};
    at.batch = divide(task, p.heads, &at.head);
    const fused_memory m = divide_head<E, WIDTH, TILES>(p);
    const fused_worker<E, WIDTH, TILES> worker = {
        p, m, at, (int)threadIdx.x % WARP, warp_index(), (int)blockDim.x / WARP};

    let_next_launch_begin();
    wait_for_launches_ahead();
    if (p.operand[MN_OPERAND_MASK].width > 0) { /* which keys to load must be known first */
        note_absent<TILES>(p, at, m);
        __syncthreads();
        worker.load_all();
    } else {
        worker.load_all();
        note_absent<TILES>(p, at, m);
    }
    for (int i = threadIdx.x; i < mn_tile_pitch(WIDTH, sizeof(E)) / 4; i += blockDim.x)
        reinterpret_cast<uint32_t *>(m.zero)[i] = 0;
    worker.run();
}

#endif
