/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CUDA_HOPPER_CUH
#define MN_CUDA_HOPPER_CUH

#include "shaders/cuda/stage.cuh"
#include "shaders/cuda/wgmma.cuh"

/*
 * A stage by warpgroups of 64 rows, for groups that fit into shared memory as a whole, and twice:
 * a work-group does one score matrix after the other, and the operands of the next are on their way
 * while one is worked on. Only as many work-groups are launched as run at once.
 */

/* One kernel: PANELS times 64 features. */
template <class E, int PANELS, form FORM> struct hopper_attention {
    using stage = stage_task<FORM>;
    using units = warpgroup<E>;
    static constexpr int N = MN_TILE_COLUMNS / 8;
    using outputs = float[8 * PANELS][4];

    /* A score matrix's operands in shared memory. */
    struct slot {
        char *queries, *keys, *values; /* PANELS panels each */
        float *bias;                   /* of all columns, then the second terms */
    };

    const mn_stage_params &p;
    char *memory;
    int lane, warp, row0; /* row of the group at which the warp's 16 begin */
    int rows, columns;    /* rounded up to 64, as shared memory holds them */
    softmax_state state;
    outputs mean, result;

    __device__ hopper_attention(const mn_stage_params &params, char *shared)
        : p(params), memory(shared), lane(threadIdx.x % WARP), warp(warp_index()),
          row0(warp * MN_TILE_ROWS), rows(mn_panel_rows(params.rows)),
          columns(mn_panel_rows(params.columns))
    {
    }

    __device__ slot slot_of(int index) const
    {
        char *base =
            memory + index * mn_hopper_slot_bytes(p.rows, p.columns, PANELS, stage::has_result);
        slot s;
        s.queries = base;
        s.keys = s.queries + PANELS * rows * MN_PANEL_ROW;
        s.values = s.keys + PANELS * columns * MN_PANEL_ROW;
        s.bias = reinterpret_cast<float *>(
            s.values + (stage::has_result ? PANELS * columns * MN_PANEL_ROW : 0));
        return s;
    }

    /* Starts to load rows into panels: those that are there, zeros for others up to `end`. */
    __device__ void load_panels(char *target, int pitch, const rows_view<E> &view,
                                const presence &there, int end) const
    {
        const int unit = threadIdx.x % 8, step = blockDim.x / 8;
        const int64_t stride = view.operand.index * (int64_t)sizeof(E);
        const int bytes = view.bytes() - unit * VECTOR;
        int row = threadIdx.x / 8;
        const char *source = view.base + row * stride + unit * VECTOR;
        char *to = target + panel_offset(row, unit); /* step is a multiple of 8 */
        if (view.operand.vectors && view.bytes() == PANELS * MN_PANEL_ROW &&
            there.mask == nullptr && there.begin == 0) {
            for (; row < there.end; row += step, source += step * stride, to += step * MN_PANEL_ROW)
#pragma unroll
                for (int i = 0; i < PANELS; i++)
                    copy_vector(to + i * pitch, source + i * MN_PANEL_ROW);
        }
#pragma unroll 1
        for (; row < end; row += step, source += step * stride, to += step * MN_PANEL_ROW) {
            const bool is_there = there(row);
#pragma unroll 1
            for (int i = 0; i < PANELS; i++) {
                int valid = is_there ? max(0, min(bytes - i * MN_PANEL_ROW, (int)VECTOR)) : 0;
                const char *from = valid > 0 ? source + i * MN_PANEL_ROW : view.base;
                if (view.operand.vectors)
                    copy_vector(to + i * pitch, from, valid);
                else
                    copy_elements<E>(to + i * pitch, from, valid);
            }
        }
    }

    /* Products work on 64 rows and columns whatever there are. Rows from p.rows on hold anything,
       NaN included: a row's garbage stays in its own row, which is not stored. Columns from
       p.columns on get weight 0, so they must be zeros. */

    /* Starts to load a score matrix's operands; tells whether any of this thread's columns is
     * there. */
    __device__ bool load(const stage &task, const slot &s) const
    {
        const presence there = task.columns();
        load_panels(s.queries, rows * MN_PANEL_ROW,
                    view_of<E>(p.operand[stage::row_operand], task.at), task.rows_read(), p.rows);
        load_panels(s.keys, columns * MN_PANEL_ROW,
                    view_of<E>(p.operand[stage::column_operand], task.at), there, columns);
        if (stage::has_result)
            load_panels(s.values, columns * MN_PANEL_ROW,
                        view_of<E>(p.operand[MN_OPERAND_VALUES], task.at), there, columns);
        copies_commit();
        bool any = false;
        for (int x = threadIdx.x; x < columns; x += blockDim.x) {
            float2 b = there(x) ? task.column_bias(x) : make_float2(infinity(), 0.0f);
            s.bias[x] = b.x;
            if (FORM == LEFT_MEAN)
                s.bias[columns + x] = b.y;
            any |= b.x != infinity();
        }
        return any;
    }

    __device__ void weigh(outputs &sums, const fragment_a &weights, uint32_t address, int pitch,
                          int add)
    {
#pragma unroll
        for (int i = 0; i < PANELS; i++)
            units::sums(reinterpret_cast<float(&)[8][4]>(sums[8 * i]), weights,
                        panel_descriptor(address + i * pitch), add);
    }

    /* Takes a tile of 64 columns into the sums. */
    __device__ void take_tile(const slot &s, int tile, const float (&row_bias)[2])
    {
        const uint32_t queries = shared_address(s.queries) + warp / 4 * 64 * MN_PANEL_ROW;
        const uint32_t keys = shared_address(s.keys) + tile * 64 * MN_PANEL_ROW;
        float x[N][4], shrink[2];
        wgmma_begin();
#pragma unroll
        for (int k = 0; k < 4 * PANELS; k++)
            units::scores(x, panel_descriptor(queries + k / 4 * rows * MN_PANEL_ROW + k % 4 * 32),
                          panel_descriptor(keys + k / 4 * columns * MN_PANEL_ROW + k % 4 * 32),
                          k > 0);
        wgmma_end();
        const score_bias terms = {s.bias + tile * 64, columns, {row_bias[0], row_bias[1]}};
        softmax_tile<stage::right, FORM == LEFT_MEAN>(x, state, shrink, terms, p.scale, N / 2,
                                                      lane);
        if (tile > 0) {
            if (stage::has_mean)
                multiply(mean, shrink);
            if (stage::has_result)
                multiply(result, shrink);
        }
        if constexpr (stage::has_mean || stage::has_result)
            take_weights(s, tile, x);
    }

    /* Adds the rows of keys and values, each times its weight. */
    __device__ void take_weights(const slot &s, int tile, const float (&x)[N][4])
    {
        const uint32_t keys = shared_address(s.keys) + tile * 64 * MN_PANEL_ROW;
        const uint32_t values = shared_address(s.values) + tile * 64 * MN_PANEL_ROW;
        fragment_a weights[N / 2];
        pack_weights<E>(weights, x);
        wgmma_begin();
#pragma unroll
        for (int n = 0; n < N / 2; n++) {
            if (stage::has_mean)
                weigh(mean, weights[n], keys + n * 16 * MN_PANEL_ROW, columns * MN_PANEL_ROW, 1);
            if (stage::has_result)
                weigh(result, weights[n], values + n * 16 * MN_PANEL_ROW, columns * MN_PANEL_ROW,
                      1);
        }
        wgmma_end();
    }

    /* A warp's 16 rows of sums, by way of its own rows of the queries, which nobody needs again. */
    __device__ void store(const stage &task, const slot &s, int number, outputs &sums,
                          const float (&factor)[2], bool any)
    {
        const int panel = rows * MN_PANEL_ROW;
        if (!any) {
            keep_apart();
            set_zero(sums);
        }
        multiply(sums, factor);
        limit_overflow<E>(sums);
        __syncwarp();
        /* Four 8 x 8 matrices at a time: rows 0-7 and 8-15 of two units of 8 features. */
        const uint32_t place = shared_address(s.queries) + (row0 + lane % 16) * MN_PANEL_ROW;
#pragma unroll
        for (int n = 0; n < 8 * PANELS; n += 2) {
            uint32_t x[4];
#pragma unroll
            for (int i = 0; i < 4; i++)
                x[i] = element<E>::pack(sums[n + i / 2][i % 2 * 2], sums[n + i / 2][i % 2 * 2 + 1]);
            store_matrices(place + n / 8 * panel + ((n % 8 + lane / 16 ^ lane % 8) << 4), x);
        }
        __syncwarp();
        const rows_view<E> view = view_of<E>(p.operand[number], task.at);
        const presence there = task.rows_written();
        const int unit = lane % 8, bytes = view.bytes() - unit * VECTOR;
        const int64_t stride = 4 * view.operand.index * (int64_t)sizeof(E);
        char *to = view.row(row0 + lane / 8) + unit * VECTOR;
#pragma unroll
        for (int i = 0; i < MN_TILE_ROWS / 4; i++, to += stride) {
            const int row = row0 + lane / 8 + 4 * i;
            const char *from = s.queries + panel_offset(row, unit);
            if (there(row))
#pragma unroll
                for (int k = 0; k < PANELS; k++)
                    if (k * MN_PANEL_ROW < bytes)
                        store_vector<E>(to + k * MN_PANEL_ROW, from + k * panel,
                                        view.operand.vectors, bytes - k * MN_PANEL_ROW);
        }
    }

    __device__ void work_on(const stage &task, const slot &s, bool any)
    {
        const int x = row0 + lane / 4;
        const float row_bias[2] = {task.row_bias(x), task.row_bias(x + 8)};
        state.start();
        set_zero(mean);
        set_zero(result);
        for (int tile = 0; tile * 64 < p.columns; tile++)
            take_tile(s, tile, row_bias);
        state.template finish<stage::right>();
        float factor[2];
        for (int r = 0; r < 2; r++) {
            bool empty = !any || state.sum[r] == 0.0f || row_bias[r] == infinity();
            factor[r] = empty ? 0.0f : reciprocal_fast(state.sum[r]);
            if (lane % 4 == 0 && x + 8 * r < p.rows)
                task.template store_scalars<false>(x + 8 * r, state, r, empty);
        }
        if (stage::has_mean)
            store(task, s, MN_OPERAND_MEAN, mean, factor, any);
        if (stage::has_result)
            store(task, s, MN_OPERAND_RESULT, result, factor, any);
    }

    __device__ void run()
    {
        const int64_t first = work_group(), step = (int64_t)gridDim.x * gridDim.y;
        int current = 0;
        let_next_launch_begin();
        wait_for_launches_ahead();
        const task_place stride = place_of(p, step);
        task_place at = {0, 0, 0}, next = {0, 0, 0};
        if (first < p.tasks)
            next = place_of(p, p.backwards ? p.tasks - 1 - first : first);
        bool any = false;
        /* The loop starts one task early, to load the first. */
        for (int64_t number = first - step; number < p.tasks; number += step, current ^= 1) {
            bool next_any = false;
            if (number + step < p.tasks)
                next_any = load({p, next}, slot_of(current ^ 1));
            if (number >= 0) {
                if (number + step < p.tasks)
                    copies_wait<1>();
                else
                    copies_wait<0>();
                fence_for_wgmma();
                any = __syncthreads_or(any);
                work_on({p, at}, slot_of(current), any);
                __syncthreads();
            }
            at = next;
            next = advance(next, stride);
            any = next_any;
        }
    }

    /* Place of the task that lies `stride`, as a place, behind one; or before it. */
    __device__ task_place advance(task_place at, const task_place &stride) const
    {
        if (p.backwards) {
            at.group -= stride.group;
            int borrow = at.group < 0;
            at.group += borrow ? p.groups : 0;
            at.head -= stride.head + borrow;
            borrow = at.head < 0;
            at.head += borrow ? p.heads : 0;
            at.batch -= stride.batch + borrow;
            return at;
        }
        at.group += stride.group;
        int carry = at.group >= p.groups;
        at.group -= carry ? p.groups : 0;
        at.head += stride.head + carry;
        carry = at.head >= p.heads;
        at.head -= carry ? p.heads : 0;
        at.batch += stride.batch + carry;
        return at;
    }
};

template <class E, int PANELS, form FORM> __device__ inline void hopper(const mn_stage_params &p)
{
    char *const shared = dynamic_memory<1024>();
    hopper_attention<E, PANELS, FORM>(p, shared).run();
}

#endif
