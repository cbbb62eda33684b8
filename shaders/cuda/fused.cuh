/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CUDA_FUSED_CUH
#define MN_CUDA_FUSED_CUH

#include "shaders/cuda/fused_load.cuh"
#include "shaders/cuda/fused_stages.cuh"

/*
 * All steps of one head in one work-group: K and V are read once, the output is written once, and
 * everything between stays in shared memory. A warp does whole groups, a block in the RIGHT stages
 * and a position in the LEFT ones. Products with values are made some features at a time, and each
 * part overwrites the features that it came from: no row is read by another warp in the same stage.
 *
 * A warp loads the blocks that it works on first, and so begins with one while others are on their
 * way; and it stores its positions when it has them.
 *
 * The less memory a head takes, the more heads share a multiprocessor, one's loading behind
 * another's work. With one step queries are never there: warps read them twice, by block and by
 * position, and the second time they come from the cache. With more steps they are, but the values
 * may be loaded where the keys were, when these have been used for the last time.
 */

template <int RIGHT_TILES, int LEFT_TILES>
__device__ inline fused_memory divide_head(const mn_stage_params &p, int pitch, bool once)
{
    using layout = term_layout<RIGHT_TILES, LEFT_TILES>;
    const int block_pitch = mn_fused_block_pitch(p.columns, pitch);
    const int tensor = p.groups * block_pitch;
    fused_memory m;
    m.zero = dynamic_memory<16>();
    m.nowhere = m.zero + pitch;
    char *next = m.nowhere + pitch;
    m.k = {next, block_pitch, pitch};
    m.mean = once ? m.k : head_rows{next += tensor, block_pitch, pitch};
    m.q = once ? m.k : head_rows{next += tensor, block_pitch, pitch};
    m.v = p.chunks > 0 ? head_rows{next += tensor, block_pitch, pitch} : m.k;
    m.absent = reinterpret_cast<float *>(next + tensor);
    m.entropy = m.absent + 16 * LEFT_TILES * layout::absent_pitch;
    return m;
}

/* The work of one warp. */
template <class E, int WIDTH, int RIGHT_TILES, int LEFT_TILES> struct fused_worker {
    using layout = term_layout<RIGHT_TILES, LEFT_TILES>;

    const mn_stage_params &p;
    const fused_memory &m;
    const task_place &at;
    const char *queries; /* of the head */
    char *out;
    int lane, warp, warps;

    __device__ bool is_masked() const
    {
        return p.operand[MN_OPERAND_MASK].width > 0;
    }

    static __device__ int64_t bytes_of(int64_t elements)
    {
        return elements * (int64_t)sizeof(E);
    }

    __device__ bool is_token(int block, int position) const
    {
        return (uint32_t)(block * p.columns + position - (int)p.first) < (uint32_t)p.tokens;
    }

    /* Fills the terms, and the row of zeros. */
    __device__ void note_absent() const
    {
        constexpr int pitch = layout::absent_pitch, blocks = 16 * LEFT_TILES;
        const mn_operand_params &mask = p.operand[MN_OPERAND_MASK];
        const uint8_t *bytes =
            reinterpret_cast<const uint8_t *>(mask.address) + at.batch * mask.batch;
        for (int i = threadIdx.x; i < blocks * pitch; i += blockDim.x) {
            const int block = i / pitch, position = i % pitch;
            bool there = block < p.groups && position < p.columns && is_token(block, position);
            if (there && is_masked())
                there = bytes[block * mask.group + position * mask.index] != 0;
            m.absent[i] = there ? 0.0f : infinity();
        }
        for (int i = threadIdx.x; i < p.columns * layout::entropy_pitch; i += blockDim.x)
            m.entropy[i] = infinity();
        for (int i = threadIdx.x; i < mn_tile_pitch(WIDTH, sizeof(E)) / 4; i += blockDim.x)
            reinterpret_cast<uint32_t *>(m.zero)[i] = 0;
    }

    /* Starts to load a block of some tensors, q, k and v being 0, 1 and 2. Masked keys and values
       become 0. In a loop, that it is there once: it is long. */
    __device__ void load(int first, int count, int block) const
    {
        const float *absent = is_masked() ? m.absent + block * layout::absent_pitch : nullptr;
#pragma unroll 1
        for (int i = first; i < first + count; i++) {
            const int number = i < 2 ? MN_OPERAND_QUERIES + i : MN_OPERAND_VALUES;
            head_rows target = m.q;
            target.base = i == 0 ? m.q.base : i == 1 ? m.k.base : m.v.base;
            load_block<E, WIDTH>(p, number, at, target, block, i > 0 ? absent : nullptr, lane);
        }
    }

    /* How many blocks the warp has beyond `block`, one of its own. */
    __device__ int blocks_after(int block) const
    {
        return (p.groups - 1 - block) / warps;
    }

    /* Queries of a block, for its scores; those of absent tokens count as 0. */
    __device__ void read_block(row_parts<WIDTH, RIGHT_TILES> &rows, int block) const
    {
        const mn_operand_params &q = p.operand[MN_OPERAND_QUERIES];
        const float *absent = m.absent + block * layout::absent_pitch;
        const bool is_whole =
            !is_masked() && is_token(block, 0) && is_token(block, p.columns - 1);
        if (!is_whole)
            rows = {};
        read_queries<E>(rows, q, queries + block * bytes_of(q.group), bytes_of(q.index),
                        [&](int x) {
                            bool wanted = x < p.columns;
                            if (!is_whole)
                                wanted = is_masked() ? absent[x] == 0.0f
                                                     : wanted && is_token(block, x);
                            return wanted;
                        },
                        lane);
    }

    __device__ void read_position(row_parts<WIDTH, LEFT_TILES> &rows, int position) const
    {
        const mn_operand_params &q = p.operand[MN_OPERAND_QUERIES];
        read_queries<E>(rows, q, queries + position * bytes_of(q.index), bytes_of(q.group),
                        [&](int x) { return x < p.groups && is_token(x, position); }, lane);
    }

    __device__ void store(int position) const
    {
        const mn_operand_params &o = p.operand[MN_OPERAND_RESULT];
        __syncwarp();
        store_position<E, WIDTH>(m.v, position, p.groups, o, out + position * bytes_of(o.index),
                                 bytes_of(o.group),
                                 [&](int x) { return is_token(x, position); }, lane);
    }

    /* Whether registers hold the queries of one group while another is worked on. */
    static constexpr bool blocks_ahead = WIDTH * RIGHT_TILES <= 128;
    static constexpr bool positions_ahead = WIDTH * LEFT_TILES <= 128;

    __device__ void right_blocks_once() const
    {
        row_parts<WIDTH, RIGHT_TILES> rows = {};
        int behind = blocks_after(warp);
        if (blocks_ahead && warp < p.groups)
            read_block(rows, warp);
#pragma unroll 1
        for (int block = warp; block < p.groups; block += warps, behind--) {
            if (!blocks_ahead)
                read_block(rows, block);
            copies_wait_until(behind);
            __syncwarp();
            group_scores<RIGHT_TILES> g;
            group_weights<RIGHT_TILES> weights;
            multiply_parts<E>(
                g, rows, [&](int x) { return x < p.columns ? m.k.row(block, x) : m.zero; }, lane);
            if (blocks_ahead && behind > 0)
                read_block(rows, block + warps);
            right<E, WIDTH, RIGHT_TILES, LEFT_TILES>(p, m, g, weights, block, lane);
            right_value<E, WIDTH>(p, m, weights, block, lane);
        }
    }

    __device__ void run_once() const
    {
        if (is_masked()) { /* which keys to load must be known first */
            note_absent();
            __syncthreads();
        }
#pragma unroll 1
        for (int block = warp; block < p.groups; block += warps) {
            load(1, 2, block);
            copies_commit();
        }
        if (!is_masked()) {
            note_absent();
            __syncthreads();
        }
        right_blocks_once();
        row_parts<WIDTH, LEFT_TILES> rows = {};
        if (positions_ahead && warp < p.columns)
            read_position(rows, warp);
        __syncthreads();
#pragma unroll 1
        for (int position = warp; position < p.columns; position += warps) {
            group_scores<LEFT_TILES> g;
            if (!positions_ahead)
                read_position(rows, position);
            multiply_parts<E>(
                g, rows, [&](int x) { return x < p.groups ? m.mean.row(x, position) : m.zero; },
                lane);
            if (positions_ahead && position + warps < p.columns)
                read_position(rows, position + warps);
            left_out<E, WIDTH, RIGHT_TILES>(p, m, g, position, lane);
            store(position);
        }
    }

    /* A group of copies for each block; if values have a place, one more for each. */
    __device__ void load_all() const
    {
#pragma unroll 1
        for (int first = 0; first < (p.chunks > 0 ? 3 : 2); first += 2)
#pragma unroll 1
            for (int block = warp; block < p.groups; block += warps) {
                load(first, first == 0 ? 2 : 1, block);
                copies_commit();
            }
        if (p.chunks == 0)
            for (int block = warp; block < p.groups; block += warps)
                prefetch_block<E>(p, MN_OPERAND_VALUES, at, block, lane);
    }

    __device__ void right_of(int block, int step) const
    {
        const bool masked = step == 0 && is_masked();
        const float *absent = m.absent + block * layout::absent_pitch;
        head_rows from = m.q;
        from.base = step == 0 ? m.q.base : m.mean.base;
        group_scores<RIGHT_TILES> g;
        group_weights<RIGHT_TILES> weights;
        auto query = [&](int x) {
            bool there = x < p.columns;
            if (masked)
                there = absent[x] == 0.0f;
            return there ? from.row(block, x) : m.zero;
        };
        multiply_group<E, WIDTH>(
            g, query, [&](int x) { return x < p.columns ? m.k.row(block, x) : m.zero; }, lane);
        right<E, WIDTH, RIGHT_TILES, LEFT_TILES>(p, m, g, weights, block, lane);
        if (step < p.steps - 1)
            return;
        if (p.chunks == 0) {
            __syncwarp();
            load(2, 1, block);
            copies_commit();
            copies_wait<0>();
            __syncwarp();
        }
        right_value<E, WIDTH>(p, m, weights, block, lane);
    }

    __device__ void left_out_of(int position) const
    {
        group_scores<LEFT_TILES> g;
        multiply_group<E, WIDTH>(
            g, [&](int x) { return x < p.groups ? m.q.row(x, position) : m.zero; },
            [&](int x) { return x < p.groups ? m.mean.row(x, position) : m.zero; }, lane);
        left_out<E, WIDTH, RIGHT_TILES>(p, m, g, position, lane);
        store(position);
    }

    __device__ void run_steps() const
    {
        if (is_masked()) { /* which keys to load must be known first */
            note_absent();
            __syncthreads();
            load_all();
        } else {
            load_all();
            note_absent();
            __syncthreads();
        }
        int behind = blocks_after(warp) + (p.chunks > 0 ? blocks_after(warp) + 1 : 0);
#pragma unroll 1
        for (int step = 0; step < p.steps; step++) {
#pragma unroll 1
            for (int block = warp; block < p.groups; block += warps) {
                if (step == p.steps - 1)
                    copies_wait<0>();
                else if (step == 0)
                    copies_wait_until(behind--);
                __syncwarp();
                right_of(block, step);
            }
            __syncthreads();
#pragma unroll 1
            for (int position = warp; position < p.columns; position += warps) {
                if (step < p.steps - 1)
                    left<E, WIDTH, RIGHT_TILES, LEFT_TILES>(p, m, position, lane);
                else
                    left_out_of(position);
            }
            if (step < p.steps - 1)
                __syncthreads();
        }
    }
};

template <class E, int WIDTH, int RIGHT_TILES, int LEFT_TILES, bool ONCE>
__device__ void fused(const mn_stage_params &p)
{
    const int64_t task = work_group();
    if (task >= p.tasks)
        return;
    task_place at = {0, 0, 0};
    at.batch = divide(task, p.heads, &at.head);
    const fused_memory m =
        divide_head<RIGHT_TILES, LEFT_TILES>(p, mn_tile_pitch(WIDTH, sizeof(E)), ONCE);
    const fused_worker<E, WIDTH, RIGHT_TILES, LEFT_TILES> worker = {
        p, m, at, view_of<E>(p.operand[MN_OPERAND_QUERIES], at).base,
        view_of<E>(p.operand[MN_OPERAND_RESULT], at).base, (int)threadIdx.x % WARP, warp_index(), (int)blockDim.x / WARP};

    let_next_launch_begin();
    wait_for_launches_ahead();
    if constexpr (ONCE)
        worker.run_once();
    else
        worker.run_steps();
}

#endif
