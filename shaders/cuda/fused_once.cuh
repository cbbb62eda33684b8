/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CUDA_FUSED_ONCE_CUH
#define MN_CUDA_FUSED_ONCE_CUH

#include "shaders/cuda/fused_warp.cuh"

/*
 * The kernels of one step. A work-group that is alone on its multiprocessor takes one head after
 * another. The tensors q, k, v, q, k, v ... of its heads take the places in shared memory in turn,
 * three or more. Each is loaded as soon as its place is free, q and k of the next head therefore
 * while this one's values are weighed or earlier: R is kept until v is there, and L until all have
 * made theirs and need q and k no more. So a warp must have few groups: one, or two where there are
 * more than 16.
 */
template <class E, int WIDTH, int RIGHT_TILES, int LEFT_TILES, int SHARES>
struct once_warp : fused_warp<E, WIDTH, RIGHT_TILES, LEFT_TILES, SHARES> {
    using base = fused_warp<E, WIDTH, RIGHT_TILES, LEFT_TILES, SHARES>;
    using base::is_masked, base::lane, base::p, base::warp, base::warps;

    static constexpr int blocks = LEFT_TILES, positions = RIGHT_TILES; /* of a warp */
    static constexpr bool keeps = LEFT_TILES + RIGHT_TILES < 4;        /* registers hold R and L */

    /* What is loaded next: which tensor of which head, to which place. */
    int64_t next_head;
    int next_tensor, next_place, next_mask;
    int loaded; /* how many have been, or are under way */
    score_exchange<SHARES> shares;

    __device__ explicit once_warp(const base &warp)
        : base(warp), next_head(base::first_head()), next_tensor(0), next_place(0), next_mask(0),
          loaded(0), shares(base::exchange())
    {
    }

    static __device__ int64_t heads_apart()
    {
        return (int64_t)gridDim.x * gridDim.y / SHARES;
    }

    __device__ int after(int place) const
    {
        return place + 1 < p.stages ? place + 1 : 0;
    }

    /* Without a mask all heads have the same terms; with one those of two are there at a time. */
    __device__ int mask_after(int mask) const
    {
        return is_masked() ? 1 - mask : 0;
    }

    /* Starts to load the next tensor, as a group of copies; an empty one behind the last head. */
    __device__ void load_next()
    {
        if (next_head < p.tasks) {
            const task_place at = this->place_of_head(next_head);
            const head_rows target = this->tensor_at(next_place);
            float *absent = this->absent_of(next_mask);
            if (is_masked() && next_tensor == 1) { /* which keys to load must be known first */
                this->note_absent(absent, at.batch);
                __syncthreads();
            }
#pragma unroll 1
            for (int block = warp; block < p.groups; block += warps)
                this->load(next_tensor, at, target, block, absent);
        }
        copies_commit();
        loaded++;
        next_place = after(next_place);
        if (++next_tensor == 3) {
            next_tensor = 0;
            next_head += heads_apart();
            next_mask = mask_after(next_mask);
        }
    }

    __device__ void load_until(int count)
    {
#pragma unroll 1
        while (loaded < count)
            load_next();
    }

    /* Waits until the warp's blocks of so many tensors are there. */
    __device__ void wait_for(int count) const
    {
        copies_wait_until(loaded - count);
        __syncwarp();
    }

    /* The n-th of the warp's groups. */
    __device__ int own(int n) const
    {
        return warp + n * warps;
    }

    /* One head, before which `before` tensors have been loaded. */
    __device__ void run(const fused_memory &m, int64_t head, int before)
    {
        group_weights<RIGHT_TILES> r[blocks];
        group_weights<LEFT_TILES> l[positions];
        wait_for(before + (keeps ? 2 : 3));
#pragma unroll
        for (int i = 0; i < blocks; i++)
            if (own(i) < p.groups) {
                right<E, WIDTH, RIGHT_TILES, LEFT_TILES>(p, m, shares, r[i], own(i), m.q, true, m.k,
                                                         lane);
                if (!keeps)
                    right_value<E, WIDTH, 2>(p, m, r[i], own(i), lane);
            }
        __syncthreads();
        load_until(before + p.stages); /* the head before is done with */
        if (keeps) {
#pragma unroll
            for (int i = 0; i < positions; i++)
                if (own(i) < p.columns)
                    left_out<E, WIDTH, RIGHT_TILES>(p, m, shares, l[i], own(i), m.k, lane);
            __syncthreads();
            load_until(before + 2 + p.stages); /* q and k are done with */
            wait_for(before + 3);
#pragma unroll
            for (int i = 0; i < blocks; i++)
                if (own(i) < p.groups)
                    right_value<E, WIDTH, 2>(p, m, r[i], own(i), lane);
            __syncthreads();
        }
        const task_place at = this->place_of_head(head);
#pragma unroll
        for (int i = 0; i < positions; i++)
            if (own(i) < p.columns) {
                if (!keeps)
                    left_out<E, WIDTH, RIGHT_TILES>(p, m, shares, l[i], own(i), m.k, lane);
                left_out_value<E, WIDTH, 2>(p, m, l[i], own(i), lane);
                this->store(m, at, own(i));
            }
    }

    __device__ void run()
    {
        shares.begin();
        load_until(p.stages);
        if (!is_masked())
            this->note_absent(this->absent_of(0), 0);
        this->fill_constants();
        shares.begun();
        __syncthreads();
        fused_memory m;
        m.zero = dynamic_memory<128>();
        m.nowhere = m.zero + base::spare;
        m.entropy = this->entropy();
        int place = 0, mask = 0, before = 0;
#pragma unroll 1
        for (int64_t head = base::first_head(); head < p.tasks; head += heads_apart()) {
            m.q = this->tensor_at(place);
            m.k = this->tensor_at(place = after(place));
            m.v = this->tensor_at(place = after(place));
            m.absent = this->absent_of(mask);
            run(m, head, before);
            place = after(place);
            mask = mask_after(mask);
            before += 3;
            if (p.stages == 3 || !keeps) { /* v of the next head needs the place of this one's */
                __syncthreads();
                load_until(before + p.stages);
            }
        }
        copies_wait<0>();
        shares.end();
    }
};

#endif
