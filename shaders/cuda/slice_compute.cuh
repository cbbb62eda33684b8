/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CUDA_SLICE_COMPUTE_CUH
#define MN_CUDA_SLICE_COMPUTE_CUH

#include "shaders/cuda/slice_load.cuh"
#include "shaders/cuda/stage.cuh"

enum { WARPGROUP = 128, WARPGROUP_ROWS = 64 };

/*
 * One warpgroup of a work-group of the slice kernel, one of GROUPS that take turns: 64 rows of a
 * score matrix at a time, all their scores in registers, then one output after the other. What
 * RIGHT makes of a block leaves by way of the block's own place in shared memory, which nobody
 * needs again, for the work-groups that have the positions.
 *
 * Whoever waits for what other work-groups sent waits as for its own threads: it came into this
 * work-group's memory, and to wait for the cluster empties the L1 cache each time.
 */
template <class E, class PLACES> struct slice_compute {
    using places = PLACES;
    using units = warpgroup<E>;
    static constexpr int PANELS = places::PANELS, GROUPS = places::GROUPS;
    static constexpr int BLOCK = places::BLOCK, BLOCKS = places::BLOCKS, SIZE = places::SIZE;
    static constexpr bool WHOLE = places::WHOLE;
    static constexpr int TEAM = places::TEAM;
    static_assert((WHOLE ? BLOCKS : 64) / SIZE * TEAM >= GROUPS,
                  "each waits for `released` in every slice");
    using outputs = float[8 * PANELS][4];
    static constexpr int PARTS = (BLOCKS + WARPGROUP_ROWS - 1) / WARPGROUP_ROWS; /* of a position */

    const mn_stage_params &p;
    const mn_ring_params &r;
    const places &memory;
    int group, warp, lane; /* the warpgroup, and the warp in it */
    uint32_t owners[4];    /* whose positions are rows lane / 8, + 4 and so on, of this warp */

    /* What 64 rows of a score matrix work on; `pitch` from panel to panel. */
    struct part {
        uint32_t rows, columns, values;
        int row_pitch, column_pitch;
    };

    /* A block's operands in the units of the pipeline, for right(). */
    struct unit_block {
        const slice_compute &c;
        int place; /* of queries */
        slice_cursor key_unit, value_unit;

        __device__ char *queries() const
        {
            return c.memory.queries(place);
        }

        __device__ char *keys() const
        {
            return c.memory.unit(key_unit.unit);
        }

        __device__ char *values() const
        {
            return c.memory.unit(value_unit.unit);
        }

        __device__ void wait_for_keys() const /* and queries */
        {
            c.wait_for(key_unit, places::BLOCK_UNITS);
        }

        __device__ void wait_for_values() const
        {
            c.wait_for(value_unit, places::BLOCK_UNITS);
        }

        __device__ void end_queries() const
        {
            barrier_arrive(c.memory.queries_empty(place));
        }

        __device__ void end_keys() const
        {
            c.empty(key_unit, places::BLOCK_UNITS);
        }

        __device__ void end_values() const
        {
            c.empty(value_unit, places::BLOCK_UNITS);
        }
    };

    __device__ void find_owners()
    {
        for (int i = 0; i < 4; i++)
            owners[i] = address_in(shared_address(memory.base), (lane / 8 + 4 * i) % SIZE);
    }

    /* What scores start from where columns have biases. */
    template <int N> __device__ void take_bias(float (&x)[N][4], const float *bias) const
    {
#pragma unroll
        for (int n = 0; n < N; n++) {
            const float2 two = *reinterpret_cast<const float2 *>(bias + n * 8 + lane % 4 * 2);
            x[n][0] = x[n][2] = two.x;
            x[n][1] = x[n][3] = two.y;
        }
    }

    /* Scores; with BIASED products are added to what x has: then biases are already taken off. */
    template <bool BIASED, int N> __device__ void find_scores(float (&x)[N][4], const part &a) const
    {
        const uint64_t rows = panel_descriptor(a.rows), columns = panel_descriptor(a.columns);
        wgmma_begin();
#pragma unroll
        for (int k = 0; k < 4 * PANELS; k++)
            units::scores(x, rows + (k / 4 * (a.row_pitch >> 4) + k % 4 * 2),
                          columns + (k / 4 * (a.column_pitch >> 4) + k % 4 * 2), BIASED || k > 0);
        wgmma_end();
    }

    template <int N>
    __device__ void weigh(outputs &sums, const fragment_a (&weights)[N], uint32_t rows,
                          int pitch) const
    {
        const uint64_t first = panel_descriptor(rows);
#pragma unroll
        for (int n = 0; n < N; n++)
#pragma unroll
            for (int i = 0; i < PANELS; i++)
                units::sums(reinterpret_cast<float(&)[8][4]>(sums[8 * i]), weights[n],
                            first + (i * (pitch >> 4) + n * MN_PANEL_ROW), 1);
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
    }

    /* Row i of four that a thread has a part of, from its staging place. */
    __device__ static uint4 staged(const char *staging, int i, int lane)
    {
        return *reinterpret_cast<const uint4 *>(staging + panel_offset(lane / 8 + 4 * i, lane % 8));
    }

    /* Sends the warp's rows of a matrix, from `row0` on, to the work-groups that have their
       positions, or blocks. There each is row `index`, in `area` and with barriers as here. */
    __device__ void send(const char *staging, int pitch, const char *area, uint64_t *barriers,
                         int index, int row0) const
    {
        const int place = (int)(area - memory.base) + panel_offset(index, lane % 8);
        const int sent = (int)(reinterpret_cast<char *>(barriers) - memory.base);
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const int local = (row0 + lane / 8 + 4 * i) / SIZE;
#pragma unroll
            for (int k = 0; k < PANELS; k++)
                send_bytes(owners[i] + place + (local * PANELS + k) * BLOCKS * MN_PANEL_ROW,
                           staged(staging + k * pitch, i, lane), owners[i] + sent + local * 8);
        }
    }

    __device__ void send_entropy(const softmax_state &state, int block, int row0) const
    {
        const float unit = -log2_e / p.scale;
        const int sent = (int)(reinterpret_cast<char *>(memory.sent(0)) - memory.base);
#pragma unroll
        for (int i = 0; i < 2; i++) {
            const int position = row0 + lane / 4 + 8 * i;
            const int local = position / SIZE;
            const int place =
                (int)(reinterpret_cast<char *>(memory.bias(local) + block) - memory.base);
            const uint32_t there = address_in(shared_address(memory.base), position - local * SIZE);
            if (lane % 4 == 0)
                send_bytes(there + place, entropy_of<false>(state.entropy[i], state.sum[i]) * unit,
                           there + sent + local * 8);
        }
    }

    /* To memory, the rows that are there. */
    __device__ void store(const char *staging, int pitch, const panel_rows &to, int row0) const
    {
        char *target = to.base + (row0 + lane / 8) * to.stride + lane % 8 * VECTOR;
        const uint64_t policy = policy_last_use();
#pragma unroll
        for (int i = 0; i < 4; i++, target += 4 * to.stride) {
            const int row = row0 + lane / 8 + 4 * i;
            if (!WHOLE && (row < to.there.begin || row >= to.there.end))
                continue;
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
    }

    /* Until a matrix is there. The other units are with the first, but their barriers' phases must
       be seen to end. */
    __device__ void wait_for(const slice_cursor &at, int units) const
    {
        for (int i = 0; i < units; i++)
            barrier_wait(memory.full(at.unit + i), at.parity);
    }

    /* Done with a matrix. All warpgroups say so of all of them, as all must see every phase of
       their barriers end. */
    __device__ void empty(const slice_cursor &at, int units) const
    {
        for (int i = 0; i < units; i++)
            barrier_arrive(memory.empty(at.unit + i));
    }

    __device__ void skip(const slice_cursor &at) const
    {
        wait_for(at, places::BLOCK_UNITS);
        empty(at, places::BLOCK_UNITS);
    }

    /* Of a warp without rows, which takes part in products all the same. */
    template <int N> __device__ static void set_no_weight(fragment_a (&weights)[N])
    {
#pragma unroll
        for (int n = 0; n < N; n++)
            weights[n] = {};
    }

    /* All warps that share a block are done with a product. */
    __device__ void meet() const
    {
        barrier_of_warps(1 + group / TEAM, TEAM * WARPGROUP);
    }

    /*
     * The first row of part `number` of a matrix of ROWS. Where 96 are less than two times 64, the
     * second part takes 32 of the first one's in every other matrix: thus the warps that then have
     * no rows to take are not always the same, which share a scheduler.
     */
    template <int ROWS> __device__ static int first_of(int number, int odd)
    {
        const bool overlaps = !WHOLE && number > 0 && ROWS % WARPGROUP_ROWS != 0;
        return number * WARPGROUP_ROWS - (overlaps && odd != 0 ? ROWS % WARPGROUP_ROWS : 0);
    }

    /* Whether the warp has none of `rows`, or they are those of the part before. */
    __device__ static bool is_idle_at(int row0, int number, int rows)
    {
        return !WHOLE && (row0 < number * WARPGROUP_ROWS || row0 >= rows);
    }

    /* 64 of a block's rows for the positions of the slice. */
    template <class BLOCK_PLACES>
    __device__ __forceinline__ void right(int block, int odd, const BLOCK_PLACES &at, int turn,
                                          bool is_first) const
    {
        constexpr int N = BLOCK / 8;
        const int number = group % TEAM, first = first_of<places::ROWS>(number, odd);
        const int row0 = first + warp * MN_TILE_ROWS;
        const bool is_idle = is_idle_at(row0, number, places::ROWS);
        part a;
        a.rows = shared_address(at.queries()) + first * MN_PANEL_ROW;
        a.columns = shared_address(at.keys());
        a.row_pitch = places::ROWS * MN_PANEL_ROW;
        a.column_pitch = BLOCK * MN_PANEL_ROW;
        at.wait_for_keys();
        softmax_state state;
        fragment_a weights[N / 2];
        float x[N][4], shrink[2], factor[2];
        state.start();
        if constexpr (!WHOLE)
            take_bias(x, memory.key_bias(block == 0 ? 0 : block == p.groups - 1 ? 2 : 1));
        find_scores<!WHOLE>(x, a);
        at.end_queries();
        if (is_idle) {
            set_no_weight(weights);
        } else {
            softmax_plain_tile<true>(x, state, shrink, p.scale);
            pack_weights<E>(weights, x);
        }
        state.template finish<true>();
        for (int i = 0; i < 2; i++)
            factor[i] = reciprocal_fast(state.sum[i]);
        if (is_first && turn > 0)
            barrier_wait(memory.released(), (turn - 1) % 2);
        if (!is_idle)
            send_entropy(state, block, row0);
        send_mean(weights, factor, at.keys(), 0, block, row0, is_idle);
        at.end_keys();
        at.wait_for_values();
        send_mean(weights, factor, at.values(), 1, block, row0, is_idle);
        at.end_values();
    }

    /* Weighted means of a block's keys or values, output 0 or 1, by way of their own place. */
    template <int N>
    __device__ void send_mean(const fragment_a (&weights)[N], const float (&factor)[2], char *rows,
                              int output, int block, int row0, bool is_idle) const
    {
        constexpr int pitch = BLOCK * MN_PANEL_ROW;
        char *staging = rows + row0 * MN_PANEL_ROW;
        outputs sums;
        set_zero(sums);
        wgmma_begin();
        weigh(sums, weights, shared_address(rows), pitch);
        wgmma_end();
        meet();
        if (!is_idle) {
            stage(sums, factor, shared_address(staging), pitch);
            __syncwarp();
            send(staging, pitch, memory.base + output * places::AREA, memory.sent(0), block, row0);
        }
        fence_for_wgmma(); /* what was written here, before the copy engine overwrites it */
    }

    /* 64 rows of a position. */
    __device__ __forceinline__ void left(const slice_item &item, int local, int number,
                                         char *queries) const
    {
        const int first = first_of<BLOCKS>(number, local % 2), row0 = first + warp * MN_TILE_ROWS;
        const bool is_idle = is_idle_at(row0, number, p.groups);
        constexpr int N = BLOCKS / 8, pitch = BLOCKS * MN_PANEL_ROW;
        part a;
        a.rows = shared_address(queries) + first * MN_PANEL_ROW;
        a.columns = shared_address(memory.means(local));
        a.values = a.columns + places::AREA;
        a.row_pitch = a.column_pitch = pitch;
        softmax_state state;
        fragment_a weights[N / 2];
        float x[N][4], shrink[2], factor[2];
        state.start();
        take_bias(x, memory.bias(local));
        find_scores<true>(x, a);
        if (!is_idle)
            softmax_plain_tile<false>(x, state, shrink, p.scale);
        pack_weights<E>(weights, x);
        state.template finish<false>();
        for (int i = 0; i < 2; i++)
            factor[i] = reciprocal_fast(state.sum[i]);
        outputs sums;
        set_zero(sums);
        wgmma_begin();
        weigh(sums, weights, a.values, pitch);
        wgmma_end();
        if (is_idle)
            return;
        char *staging = queries + row0 * MN_PANEL_ROW;
        stage(sums, factor, shared_address(staging), pitch);
        __syncwarp();
        store(staging, pitch,
              tensor_rows<E>(p, MN_OPERAND_RESULT,
                             {item.batch, item.head, item.first + memory.own(local), true}, false),
              row0);
        fence_for_wgmma();
    }

    /* What a slice sends to a position. */
    __device__ void expect_rows(int local) const
    {
        barrier_arrive_expecting(memory.sent(local), memory.sent_bytes(p));
    }

    /* At a barrier of all work-groups: each gets as many arrivals as it has threads here. */
    __device__ void arrive_everywhere(uint64_t *barrier) const
    {
        __syncwarp();
        barrier_arrive_in(address_in(shared_address(barrier), lane % SIZE));
    }

    __device__ __forceinline__ void run(int first, int clusters) const
    {
        static_assert(TEAM == 1, "two that share a matrix are of slice_pairs.cuh");
        slice_cursor at = {0, 0};
        int task = 0, turn = 0, mine = group; /* whose next 64 rows are: 0 is this warpgroup */
        const auto is_mine = [&] {
            const bool now = mine == 0;
            mine = now ? GROUPS - 1 : mine - 1;
            return now;
        };
        const int all = r.heads * r.slices;
        const int blocks = memory.blocks(p);
        for (int number = first; number < all; number += clusters, turn++) {
            const slice_item item(p, r, places::ROWS, number);
            bool is_first = true;
            for (int local = 0; local < blocks; local++, task++) {
                const slice_cursor keys = at;
                at.template advance<places::UNITS>(places::BLOCK_UNITS);
                const slice_cursor values = at;
                at.template advance<places::UNITS>(places::BLOCK_UNITS);
                if (!is_mine()) {
                    skip(keys);
                    skip(values);
                    continue;
                }
                const unit_block block = {*this, task % places::QUERY_SLOTS, keys, values};
                right(memory.own(local), local % 2, block, turn, is_first);
                is_first = false;
            }
            for (int local = 0; local < places::SHARE; local++) {
                barrier_wait(memory.sent(local), turn % 2);
                if (!WHOLE && item.first + memory.own(local) >= p.columns) {
                    if (threadIdx.x == 0 && number + clusters < all)
                        expect_rows(local);
                    continue;
                }
                wait_for(at, places::POSITION_UNITS);
                fence_for_wgmma(); /* rows came otherwise than by the copy engine */
                for (int i = 0; i < PARTS; i++) {
                    if (!is_mine())
                        continue;
                    if (i == 0 && threadIdx.x % WARPGROUP == 0 && number + clusters < all)
                        expect_rows(local);
                    left(item, local, i, memory.unit(at.unit));
                }
                empty(at, places::POSITION_UNITS);
                at.template advance<places::UNITS>(places::POSITION_UNITS);
            }
            if (number + clusters < all)
                arrive_everywhere(memory.released());
        }
    }
};

#endif
