/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CUDA_RING_ROWS_CUH
#define MN_CUDA_RING_ROWS_CUH

#include "shaders/cuda/ring_load.cuh"
#include "shaders/cuda/stage.cuh"

enum { WARPGROUP = 128, WARPGROUP_ROWS = 64 };

/* What all work of a warpgroup on 64 rows has in common: weighted sums of rows, and ways to store
   them. See ring_compute.cuh for the parameters. */
template <class E, int PANELS, int GROUPS, bool WHOLE> struct ring_rows {
    using units = warpgroup<E>;
    using outputs = float[8 * PANELS][4];

    const mn_stage_params &p;
    const mn_ring_params &r;
    const ring_memory &memory;
    const ring_workspace &workspace;
    int group, warp, lane; /* the warpgroup, and the warp in it */

    /* What 64 rows of one task work on. */
    struct part {
        char *staging; /* the warp's own rows, free when the scores are there */
        uint32_t rows, columns, values;
        const float *bias;
        int count, row0; /* columns; the warp's first row */
        float row_bias[2];
        bool any;      /* whether any column is there */
        bool is_idle;  /* whether none of the warp's rows is */
        bool is_plain; /* whether all columns of all tiles are, without a bias */
    };

    __device__ void weigh(outputs &sums, const fragment_a &weights, uint32_t address) const
    {
#pragma unroll
        for (int i = 0; i < PANELS; i++)
            units::sums(reinterpret_cast<float(&)[8][4]>(sums[8 * i]), weights,
                        panel_descriptor(address + i * memory.panel()), 1);
    }

    /* Starts to add rows of `panels`, each times its weight. */
    template <int N>
    __device__ void add_rows(outputs &sums, const fragment_a (&weights)[N], uint32_t panels) const
    {
#pragma unroll
        for (int n = 0; n < N; n++)
            weigh(sums, weights[n], panels + n * 16 * MN_PANEL_ROW);
    }

    /* Sums of whole panels as elements to a warp's rows of those. */
    template <int N> __device__ void put(float (&sums)[N][4], char *staging) const
    {
        uint32_t x[N / 2][4];
        pack_sums<E>(sums, x);
        __syncwarp();
        const uint32_t place = shared_address(staging) + lane % 16 * MN_PANEL_ROW;
        const int byte = (lane / 16 ^ lane % 8) * VECTOR;
#pragma unroll
        for (int n = 0; n < N / 2; n++)
            store_matrices(place + n / 4 * memory.panel() + (n % 4 * 32 ^ byte), x[n]);
        __syncwarp();
    }

    /* A warp's 16 rows of sums to the rows of `to` that are there, by way of its staging rows, so
       that they are stored whole. Rows with factor 0 are zeros, whatever the sums. */
    __device__ void store(outputs &sums, const float (&factor)[2], const part &a,
                          const panel_rows &to, bool once) const
    {
        if (!WHOLE && __any_sync(~0u, factor[0] == 0.0f || factor[1] == 0.0f)) {
#pragma unroll
            for (int n = 0; n < 8 * PANELS; n++)
#pragma unroll
                for (int i = 0; i < 4; i++)
                    sums[n][i] = factor[i / 2] == 0.0f ? 0.0f : sums[n][i];
        }
        multiply(sums, factor);
        if constexpr (PANELS > 2) {
#pragma unroll
            for (int i = 0; i < PANELS; i++)
                put(reinterpret_cast<float(&)[8][4]>(sums[8 * i]), a.staging + i * memory.panel());
        } else {
            put(sums, a.staging);
        }
        if (WHOLE && to.vectors)
            store_whole(a, to, once);
        else
            store_part(a, to);
    }

    /* All 16 rows, of whole panels. */
    __device__ void store_whole(const part &a, const panel_rows &to, bool once) const
    {
        const int unit = lane % 8;
        const char *from = a.staging + lane / 8 * MN_PANEL_ROW;
        char *target = to.base + (a.row0 + lane / 8) * to.stride + unit * VECTOR;
        const uint64_t policy = once ? policy_last_use() : policy_keep();
#pragma unroll
        for (int i = 0; i < MN_TILE_ROWS / 4; i++, target += 4 * to.stride) {
            const int place = 4 * i * MN_PANEL_ROW + (unit ^ (lane / 8 + 4 * i) % 8) * VECTOR;
#pragma unroll
            for (int k = 0; k < PANELS; k++)
                store_hinted(target + k * MN_PANEL_ROW,
                             *reinterpret_cast<const uint4 *>(from + place + k * memory.panel()),
                             policy);
        }
    }

    __device__ void store_part(const part &a, const panel_rows &to) const
    {
        const int unit = lane % 8, bytes = to.bytes - unit * VECTOR;
        const int begin = to.there.begin - a.row0, end = to.there.end - a.row0;
        char *target = to.base + (a.row0 + lane / 8) * to.stride + unit * VECTOR;
#pragma unroll
        for (int i = 0; i < MN_TILE_ROWS / 4; i++, target += 4 * to.stride) {
            const int row = lane / 8 + 4 * i;
            const char *from = a.staging + panel_offset(row, unit);
            if (row >= begin && row < end)
#pragma unroll
                for (int k = 0; k < PANELS; k++)
                    if (k * MN_PANEL_ROW < bytes)
                        store_vector<E>(target + k * MN_PANEL_ROW, from + k * memory.panel(),
                                        to.vectors, bytes - k * MN_PANEL_ROW);
        }
    }

    /* cL of a thread's two rows; behind the last block +inf, as for columns that are absent. */
    __device__ void store_entropy(const ring_task &task, const softmax_state &state,
                                  const bool (&empty)[2], int row) const
    {
        float *to = workspace.entropy(task.slot, task.step(), row) + task.index;
        const int pitch = mn_panel_rows(p.groups);
        const bool last = task.step() == p.steps - 1;
        const float unit = WHOLE && last ? -log2_e / p.scale : log2_e;
#pragma unroll
        for (int i = 0; i < 2; i++)
            if (WHOLE || row + 8 * i < p.columns) {
                float *place = to + 8 * i * pitch;
                *place = empty[i] ? infinity()
                                  : entropy_of<false>(state.entropy[i], state.sum[i]) * unit;
                if (!WHOLE && task.index == p.groups - 1)
                    for (int x = 1; x < pitch - task.index; x++)
                        place[x] = infinity();
            }
    }

    /* The first part that is this warpgroup's turn; then comes every GROUPS-th. `turn` counts the
       parts of all tasks modulo GROUPS. */
    __device__ int first_part(int turn) const
    {
        return group < turn ? group - turn + GROUPS : group - turn;
    }

    __device__ static int turn_after(int turn, int parts)
    {
        return (unsigned)(turn + parts) % GROUPS;
    }
};

#endif
