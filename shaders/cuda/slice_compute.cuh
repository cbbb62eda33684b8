/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CUDA_SLICE_COMPUTE_CUH
#define MN_CUDA_SLICE_COMPUTE_CUH

#include "shaders/cuda/slice_load.cuh"
#include "shaders/cuda/stage.cuh"

enum { WARPGROUP = 128 };

/*
 * One warpgroup of a work-group of the slice kernel, one of GROUPS that take turns: 64 rows of a
 * score matrix at a time, all their scores in registers, then one output after the other. What
 * RIGHT makes of a block leaves by way of the block's own place in shared memory, which nobody
 * needs again, for the work-groups that have the positions.
 */
template <class E, int PANELS, int GROUPS> struct slice_compute {
    using units = warpgroup<E>;
    using outputs = float[8 * PANELS][4];

    const mn_stage_params &p;
    const mn_ring_params &r;
    const slice_memory<PANELS> &memory;
    int group, warp, lane; /* the warpgroup, and the warp in it */
    uint32_t owners[4];    /* whose positions are rows lane / 8, + 4 and so on, of this warp */

    /* What 64 rows of a score matrix work on; `pitch` from panel to panel. */
    struct part {
        uint32_t rows, columns, values;
        int row_pitch, column_pitch;
        const float *bias;
    };

    __device__ void find_owners()
    {
        for (int i = 0; i < 4; i++)
            owners[i] = address_in(shared_address(memory.base), (lane / 8 + 4 * i) % memory.size);
    }

    /* Scores with their biases already taken off: products are added to those. */
    template <int N> __device__ void find_scores(float (&x)[N][4], const part &a) const
    {
#pragma unroll
        for (int n = 0; n < N; n++) {
            const float2 bias = *reinterpret_cast<const float2 *>(a.bias + n * 8 + lane % 4 * 2);
            x[n][0] = x[n][2] = bias.x;
            x[n][1] = x[n][3] = bias.y;
        }
        wgmma_begin();
#pragma unroll
        for (int k = 0; k < 4 * PANELS; k++)
            units::scores(x, panel_descriptor(a.rows + k / 4 * a.row_pitch + k % 4 * 32),
                          panel_descriptor(a.columns + k / 4 * a.column_pitch + k % 4 * 32), 1);
        wgmma_end();
    }

    template <int N>
    __device__ void pack(fragment_a (&weights)[N / 2], const float (&x)[N][4]) const
    {
#pragma unroll
        for (int n = 0; n < N / 2; n++)
#pragma unroll
            for (int i = 0; i < 4; i++)
                weights[n].x[i] =
                    element<E>::pack(x[2 * n + i / 2][i % 2 * 2], x[2 * n + i / 2][i % 2 * 2 + 1]);
    }

    template <int N>
    __device__ void weigh(outputs &sums, const fragment_a (&weights)[N], uint32_t rows,
                          int pitch) const
    {
        set_zero(sums);
        wgmma_begin();
#pragma unroll
        for (int n = 0; n < N; n++)
#pragma unroll
            for (int i = 0; i < PANELS; i++)
                units::sums(reinterpret_cast<float(&)[8][4]>(sums[8 * i]), weights[n],
                            panel_descriptor(rows + i * pitch + n * 16 * MN_PANEL_ROW), 1);
        wgmma_end();
    }

    /* A warp's 16 rows, each times its factor, as elements to `staging`. */
    __device__ void stage(outputs &sums, const float (&factor)[2], uint32_t staging,
                          int pitch) const
    {
        multiply(sums, factor);
        uint32_t x[4 * PANELS][4];
        pack_sums<E>(sums, x);
        const uint32_t place = staging + lane % 16 * MN_PANEL_ROW;
        const int byte = (lane / 16 ^ lane % 8) * VECTOR;
#pragma unroll
        for (int n = 0; n < 4 * PANELS; n++)
            store_matrices(place + n / 4 * pitch + (n % 4 * 32 ^ byte), x[n]);
        __syncwarp();
    }

    /* Row i of four that a thread has a part of, from its staging place. */
    __device__ static uint4 staged(const char *staging, int i, int lane)
    {
        return *reinterpret_cast<const uint4 *>(staging + panel_offset(lane / 8 + 4 * i, lane % 8));
    }

    /* Sends the warp's rows of a block to where their positions are; `area` is there as it is
       here. */
    __device__ void send(const char *staging, int pitch, const char *area, int block) const
    {
        const int place = (int)(area - memory.base) + panel_offset(block, lane % 8);
        const int sent = (int)(reinterpret_cast<char *>(memory.sent(0)) - memory.base);
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const int local = (warp * MN_TILE_ROWS + lane / 8 + 4 * i) / memory.size;
#pragma unroll
            for (int k = 0; k < PANELS; k++)
                send_bytes(owners[i] + place + (local * PANELS + k) * p.groups * MN_PANEL_ROW,
                           staged(staging + k * pitch, i, lane), owners[i] + sent + local * 8);
        }
    }

    __device__ void send_entropy(const softmax_state &state, int block) const
    {
        const float unit = -log2_e / p.scale;
        const int sent = (int)(reinterpret_cast<char *>(memory.sent(0)) - memory.base);
#pragma unroll
        for (int i = 0; i < 2; i++) {
            const int position = warp * MN_TILE_ROWS + lane / 4 + 8 * i;
            const int local = position / memory.size;
            const int place =
                (int)(reinterpret_cast<char *>(memory.bias(local) + block) - memory.base);
            const uint32_t there =
                address_in(shared_address(memory.base), position - local * memory.size);
            if (lane % 4 == 0)
                send_bytes(there + place, entropy_of<false>(state.entropy[i], state.sum[i]) * unit,
                           there + sent + local * 8);
        }
    }

    /* To memory. */
    __device__ void store(const char *staging, int pitch, const panel_rows &to, int row0) const
    {
        char *target = to.base + (row0 + lane / 8) * to.stride + lane % 8 * VECTOR;
        const uint64_t policy = policy_last_use();
#pragma unroll
        for (int i = 0; i < 4; i++, target += 4 * to.stride)
#pragma unroll
            for (int k = 0; k < PANELS; k++) {
                const char *from = staging + k * pitch + panel_offset(lane / 8 + 4 * i, lane % 8);
                if (to.vectors)
                    store_hinted(target + k * MN_PANEL_ROW, *reinterpret_cast<const uint4 *>(from),
                                 policy);
                else
                    store_vector<E>(target + k * MN_PANEL_ROW, from, false, VECTOR);
            }
    }

    __device__ void empty(const slice_cursor &at, int units, int count) const
    {
        fence_for_wgmma(); /* what was written here, before the copy engine overwrites it */
        for (int i = 0; i < units; i++)
            barrier_arrive(memory.empty(at.unit + i), count);
    }

    /* All warps of this warpgroup are done with a product. */
    __device__ void meet() const
    {
        barrier_of_warps(1 + group, WARPGROUP);
    }

    /* One block's share of a task: what is sent of it. */
    template <int N>
    __device__ __forceinline__ void right(int block, int place, const slice_cursor &keys,
                                          const slice_cursor &values, int turn, bool first) const
    {
        part a;
        a.rows = shared_address(memory.queries(place));
        a.columns = shared_address(memory.unit(keys.unit));
        a.values = shared_address(memory.unit(values.unit));
        a.row_pitch = MN_SLICE_ROWS * MN_PANEL_ROW;
        a.column_pitch = p.columns * MN_PANEL_ROW;
        a.bias = memory.zeros();
        barrier_wait(memory.full(keys.unit), keys.parity);
        softmax_state state;
        fragment_a weights[N / 2];
        float x[N][4], shrink[2], factor[2];
        state.start();
        find_scores(x, a);
        barrier_arrive(memory.queries_empty(place));
        softmax_plain_tile<true>(x, state, shrink, p.scale);
        pack(weights, x);
        state.template finish<true>();
        for (int i = 0; i < 2; i++)
            factor[i] = reciprocal_fast(state.sum[i]);
        if (first && turn > 0)
            barrier_wait_cluster(memory.released(), (turn - 1) % 2);
        send_entropy(state, block);
#pragma unroll 1
        for (int output = 0; output < 2; output++) {
            const slice_cursor &at = output == 0 ? keys : values;
            char *staging = memory.unit(at.unit) + warp * MN_TILE_ROWS * MN_PANEL_ROW;
            outputs sums;
            if (output == 1)
                barrier_wait(memory.full(values.unit), values.parity);
            weigh(sums, weights, output == 0 ? a.columns : a.values, a.column_pitch);
            meet();
            stage(sums, factor, shared_address(staging), a.column_pitch);
            send(staging, a.column_pitch, memory.base + output * memory.area(), block);
            empty(at, memory.block_units(), memory.position_units());
        }
    }

    /* 64 rows of a position. */
    template <int N>
    __device__ __forceinline__ void left(const slice_item &item, int local, int number,
                                         const slice_cursor &at) const
    {
        const int row0 = number * MN_SLICE_ROWS + warp * MN_TILE_ROWS;
        const int pitch = p.groups * MN_PANEL_ROW;
        part a;
        a.rows = shared_address(memory.unit(at.unit)) + number * MN_SLICE_ROWS * MN_PANEL_ROW;
        a.columns = shared_address(memory.means(local));
        a.values = a.columns + memory.area();
        a.row_pitch = a.column_pitch = pitch;
        a.bias = memory.bias(local);
        softmax_state state;
        fragment_a weights[N / 2];
        float x[N][4], shrink[2], factor[2];
        state.start();
        find_scores(x, a);
        softmax_plain_tile<false>(x, state, shrink, p.scale);
        pack(weights, x);
        state.template finish<false>();
        for (int i = 0; i < 2; i++)
            factor[i] = reciprocal_fast(state.sum[i]);
        outputs sums;
        weigh(sums, weights, a.values, pitch);
        char *staging = memory.unit(at.unit) + row0 * MN_PANEL_ROW;
        stage(sums, factor, shared_address(staging), pitch);
        store(staging, pitch,
              tensor_rows<E>(p, MN_OPERAND_RESULT,
                             {item.batch, item.head, item.first + memory.own(local), true}, false),
              row0);
        empty(at, memory.position_units(), 1);
    }

    /* What a slice sends to a position. */
    __device__ void expect_rows(int local) const
    {
        barrier_arrive_expecting(memory.sent(local), p.groups * (2 * memory.ROW + 4));
    }

    __device__ void release() const
    {
        __syncwarp();
        barrier_arrive_in(address_in(shared_address(memory.released()), lane % memory.size));
    }

    __device__ __forceinline__ void run(int first, int clusters) const
    {
        slice_cursor at = {0, 0};
        int task = 0, turn = 0, mine = group; /* whose next 64 rows are: 0 is this warpgroup */
        const auto is_mine = [&] {
            const bool now = mine == 0;
            mine = now ? GROUPS - 1 : mine - 1;
            return now;
        };
        const int all = r.heads * r.slices;
        for (int number = first; number < all; number += clusters, turn++) {
            const slice_item item(p, r, number);
            bool is_first = true;
            for (int local = 0; local < memory.blocks_here(); local++, task++) {
                const slice_cursor keys = at;
                at.advance(memory.block_units(), r.units);
                const slice_cursor values = at;
                at.advance(memory.block_units(), r.units);
                if (!is_mine())
                    continue;
                const int place = task % r.query_slots, block = memory.own(local);
                if (p.columns == 64)
                    right<8>(block, place, keys, values, turn, is_first);
                else
                    right<16>(block, place, keys, values, turn, is_first);
                is_first = false;
            }
            for (int local = 0; local < memory.share(); local++) {
                for (int i = 0; i < memory.position_units(); i++) {
                    if (!is_mine())
                        continue;
                    barrier_wait_cluster(memory.sent(local), turn % 2);
                    if (i == 0 && threadIdx.x % WARPGROUP == 0 && number + clusters < all)
                        expect_rows(local);
                    barrier_wait(memory.full(at.unit), at.parity);
                    fence_for_wgmma(); /* rows came otherwise than by the copy engine */
                    if (p.groups == 64)
                        left<8>(item, local, i, at);
                    else
                        left<16>(item, local, i, at);
                }
                at.advance(memory.position_units(), r.units);
            }
            release();
        }
    }
};

#endif
