/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CUDA_FUSED_STEPS_CUH
#define MN_CUDA_FUSED_STEPS_CUH

#include "shaders/cuda/fused_warp.cuh"

/*
 * The kernels of several steps: one head in each work-group. The less memory a head takes, the more
 * of them share a multiprocessor, one's loading behind another's work: where there is room for no
 * more than three tensors, values are loaded where the keys were, when these have been used for the
 * last time.
 */
template <class E, int WIDTH, int RIGHT_TILES, int LEFT_TILES, int SHARES>
struct steps_warp : fused_warp<E, WIDTH, RIGHT_TILES, LEFT_TILES, SHARES> {
    using base = fused_warp<E, WIDTH, RIGHT_TILES, LEFT_TILES, SHARES>;
    using base::is_masked, base::lane, base::p, base::warp, base::warps;

    score_exchange<SHARES> shares;

    __device__ explicit steps_warp(const base &warp) : base(warp), shares(base::exchange())
    {
    }

    /* Found anew where it is asked for: that takes fewer registers. */
    __device__ task_place head() const
    {
        return this->place_of_head(base::first_head());
    }

    /* How many blocks the warp has beyond its first. */
    __device__ int more_blocks() const
    {
        return (p.groups - 1 - warp) / warps;
    }

    /* A group of copies for each block; if values have a place, one more for each. */
    __device__ void load_all(const fused_memory &m) const
    {
        const task_place at = head();
#pragma unroll 1
        for (int first = 0; first < p.stages - 1; first += 2)
#pragma unroll 1
            for (int block = warp; block < p.groups; block += warps) {
#pragma unroll 1
                for (int tensor = first; tensor < min(first + 2, 3); tensor++) {
                    head_rows target = m.q;
                    target.base = tensor == 0 ? m.q.base : tensor == 1 ? m.k.base : m.v.base;
                    this->load(tensor, at, target, block, m.absent);
                }
                copies_commit();
            }
        if (p.stages == 3)
            for (int block = warp; block < p.groups; block += warps)
                this->prefetch(2, at, block);
    }

    __device__ void right_of(const fused_memory &m, int block, int step)
    {
        head_rows queries = m.q;
        queries.base = step == 0 ? m.q.base : m.mean.base;
        group_weights<RIGHT_TILES> r;
        right<E, WIDTH, RIGHT_TILES, LEFT_TILES>(p, m, shares, r, block, queries, step == 0, m.mean,
                                                 lane);
        if (step < p.steps - 1)
            return;
        if (p.stages == 3) {
            __syncwarp();
            this->load(2, head(), m.v, block, m.absent);
            copies_commit();
            copies_wait<0>();
            __syncwarp();
        }
        right_value<E, WIDTH, most_parts<WIDTH, RIGHT_TILES>>(p, m, r, block, lane);
    }

    __device__ void left_of(const fused_memory &m, int position, int step)
    {
        if (step < p.steps - 1) {
            left<E, WIDTH, RIGHT_TILES, LEFT_TILES>(p, m, shares, position, lane);
            return;
        }
        group_weights<LEFT_TILES> l;
        left_out<E, WIDTH, RIGHT_TILES>(p, m, shares, l, position, m.mean, lane);
        left_out_value<E, WIDTH, most_parts<WIDTH, LEFT_TILES>>(p, m, l, position, lane);
        this->store(m, head(), position);
    }

    __device__ void run()
    {
        shares.begin();
        fused_memory m;
        m.zero = dynamic_memory<128>();
        m.nowhere = m.zero + base::spare;
        m.q = this->tensor_at(0);
        m.k = this->tensor_at(1);
        m.mean = this->tensor_at(2);
        m.v = this->tensor_at(p.stages == 3 ? 1 : 3);
        m.entropy = this->entropy();
        m.absent = this->absent_of(0);
        if (is_masked()) { /* which keys to load must be known first */
            this->note_absent(m.absent, head().batch);
            __syncthreads();
            load_all(m);
        } else {
            load_all(m);
            this->note_absent(m.absent, head().batch);
        }
        this->fill_constants();
        shares.begun();
        int behind = more_blocks() + (p.stages > 3 ? more_blocks() + 1 : 0);
#pragma unroll 1
        for (int step = 0; step < p.steps; step++) {
            __syncthreads();
#pragma unroll 1
            for (int block = warp; block < p.groups; block += warps) {
                if (step == p.steps - 1)
                    copies_wait<0>();
                else if (step == 0)
                    copies_wait_until(behind--);
                __syncwarp();
                right_of(m, block, step);
            }
            __syncthreads();
#pragma unroll 1
            for (int position = warp; position < p.columns; position += warps)
                left_of(m, position, step);
        }
        shares.end();
    }
};

#endif
