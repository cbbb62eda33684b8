/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CUDA_ATTEND_CUH
#define MN_CUDA_ATTEND_CUH

#include "shaders/cuda/stage.cuh"
#include "shaders/cuda/tile.cuh"

/*
 * A stage by warps that hold 16 rows of a score matrix each and walk over its columns in tiles. The
 * next tile is on its way to shared memory while one is worked on.
 */

/* Sizes of one kernel: WIDTH features of queries and keys, more than 128 in chunks of outputs. */
template <class E, int WIDTH> struct sizes {
    static constexpr bool wide = WIDTH > MN_TILE_WIDEST;
    static constexpr int out = wide ? MN_TILE_WIDEST : WIDTH; /* features of an output at a time */
    static constexpr int bytes = WIDTH * (int)sizeof(E), out_bytes = out * (int)sizeof(E);
    static constexpr int pitch = bytes + MN_TILE_ROW_PADDING;
    static constexpr int out_pitch = out_bytes + MN_TILE_ROW_PADDING;
    static constexpr int columns = MN_TILE_COLUMNS;
    static constexpr int threads = WIDTH <= 64 && sizeof(E) == 2 ? 256 : 128; /* at most */
};

/* One warp's part of a launch. */
template <class E, int WIDTH, form FORM> struct attention {
    using size = sizes<E, WIDTH>;
    using stage = stage_task<FORM>;
    static constexpr int N = size::columns / 8;
    using outputs = float[size::out / 8][4];

    const mn_stage_params &p;
    int lane, warp;      /* the warp among those of the work-group */
    int member, own;     /* group, and warp in the group */
    int thread, threads; /* among those of the group */
    bool active;         /* whether there is such a group */
    bool leads;          /* whether it also writes what is not cut into chunks */
    int row0;            /* of the group */
    bool with_mean, with_result;
    int part; /* byte of the rows of an output at which this chunk begins */
    stage task;

    /* Shared memory of the group, and of this warp. */
    char *keys, *values, *queries, *probabilities;
    float *bias;
    int *any; /* whether any column is there */

    rows_view<E> key_rows, value_rows;
    presence columns;
    softmax_state state;
    float row_bias[2];
    outputs mean, result;

    /* The members are set in the order in which they stand: find_place() sets those above task. */
    __device__ attention(const mn_stage_params &params, char *memory)
        : p(params), lane(threadIdx.x % WARP), warp(warp_index()), task{params, find_place()},
          key_rows(view_of<E>(p.operand[stage::column_operand], task.at)),
          value_rows(view_of<E>(p.operand[MN_OPERAND_VALUES], task.at,
                                size::wide && with_result ? part : 0)),
          columns(task.columns())
    {
        divide_memory(memory);
        if (!active)
            columns.end = 0;
    }

    /* Which group, which rows of it, which features of its outputs. */
    __device__ task_place find_place()
    {
        int chunk = 0, split = 0;
        int64_t pack = work_group();
        member = warp / p.warps;
        own = warp - member * p.warps;
        thread = own * WARP + lane;
        threads = p.warps * WARP;
        if (size::wide)
            pack = divide(pack, p.chunks, &chunk);
        if (p.row_splits > 1)
            pack = divide(pack, p.row_splits, &split);
        if (p.backwards)
            pack = (p.tasks - 1) / p.packed - pack;
        int64_t number = pack * p.packed + member;
        active = number >= 0 && number < p.tasks;
        leads = chunk == 0;
        row0 = (split * p.warps + own) * MN_TILE_ROWS;
        int mean_chunks =
            stage::has_mean ? (p.operand[MN_OPERAND_MEAN].width + size::out - 1) / size::out : 0;
        with_mean = stage::has_mean && (!size::wide || chunk < mean_chunks);
        with_result = stage::has_result && (!size::wide || !with_mean);
        part = size::wide ? (with_mean ? chunk : chunk - mean_chunks) * size::out_bytes : 0;
        return place_of(p, active ? number : 0);
    }

    /* In the order in which layout.h counts. */
    __device__ void divide_memory(char *memory)
    {
        memory += member * mn_tile_group_bytes(p.warps, p.stages, p.column_tile, WIDTH,
                                               stage::has_result ? size::out : 0, sizeof(E));
        queries = memory + own * MN_TILE_ROWS * size::pitch;
        keys = memory + p.warps * MN_TILE_ROWS * size::pitch;
        values = keys + p.stages * p.column_tile * size::pitch;
        char *next = values + (stage::has_result ? p.stages * p.column_tile * size::out_pitch : 0);
        bias = reinterpret_cast<float *>(next);
        next += p.stages * MN_TILE_BIAS_BYTES;
        probabilities = next + own * mn_tile_probability_bytes(sizeof(E));
        any = reinterpret_cast<int *>(next + p.warps * mn_tile_probability_bytes(sizeof(E)));
    }

    __device__ void load_queries()
    {
        presence rows = task.rows_read();
        if (!active)
            rows.end = 0;
        load_rows<E, size::bytes, size::pitch>(queries,
                                               view_of<E>(p.operand[stage::row_operand], task.at),
                                               row0, MN_TILE_ROWS, rows, lane, WARP);
        for (int r = 0; r < 2; r++)
            row_bias[r] = active ? task.row_bias(row0 + lane / 4 + 8 * r) : 0.0f;
    }

    __device__ void load_tile(int tile)
    {
        int slot = tile % p.stages, first = tile * p.column_tile;
        load_rows<E, size::bytes, size::pitch>(keys + slot * p.column_tile * size::pitch, key_rows,
                                               first, p.column_tile, columns, thread, threads);
        if (with_result)
            load_rows<E, size::out_bytes, size::out_pitch>(
                values + slot * p.column_tile * size::out_pitch, value_rows, first, p.column_tile,
                columns, thread, threads);
        copies_commit();
        float *terms = bias + slot * 2 * size::columns;
        for (int i = thread; i < p.column_tile; i += threads) {
            bool there = columns(first + i);
            float2 b = there ? task.column_bias(first + i) : make_float2(infinity(), 0.0f);
            terms[i] = b.x;
            if (FORM == LEFT_MEAN)
                terms[size::columns + i] = b.y;
            if (b.x != infinity())
                *any = 1;
        }
    }

    /* Takes the first 16 * count columns of a tile into the sums. */
    __device__ void take_tile(int tile, int count)
    {
        const int slot = tile % p.stages;
        const char *tile_keys = keys + slot * p.column_tile * size::pitch;
        const char *tile_values = values + slot * p.column_tile * size::out_pitch;
        const score_bias terms = {
            bias + slot * 2 * size::columns, size::columns, {row_bias[0], row_bias[1]}};
        float s[N][4], shrink[2];
        tile_scores<E, WIDTH, size::pitch>(s, queries, tile_keys, count, lane);
        softmax_tile<stage::right, FORM == LEFT_MEAN>(s, state, shrink, terms, p.scale, count,
                                                      lane);
        if (tile > 0 && __any_sync(~0u, shrink[0] != 1.0f || shrink[1] != 1.0f)) {
            if (stage::has_mean)
                multiply(mean, shrink);
            if (stage::has_result)
                multiply(result, shrink);
        }
        if (stage::has_mean && with_mean)
            tile_accumulate<E, size::out, size::pitch>(mean, s, probabilities, tile_keys + part,
                                                       count, lane);
        if (stage::has_result && with_result)
            tile_accumulate<E, size::out, size::out_pitch>(result, s, probabilities, tile_values,
                                                           count, lane);
    }

    __device__ void take_columns()
    {
        const int tiles = (p.columns + p.column_tile - 1) / p.column_tile;
        /* With two stages the loop starts one tile early, to load the first. */
        for (int tile = 1 - p.stages; tile < tiles; tile++) {
            int next = tile + p.stages - 1;
            if (next < tiles)
                load_tile(next);
            if (tile < 0)
                continue;
            if (next > tile && next < tiles)
                copies_wait<1>();
            else
                copies_wait<0>();
            __syncthreads();
            /* Whole tiles apart from others: no branch in their inner loops. */
            int count = (min(p.columns - tile * p.column_tile, p.column_tile) + 15) / 16;
            if (count == N / 2)
                take_tile(tile, N / 2);
            else
                take_tile(tile, count);
            __syncthreads();
        }
    }

    /* Rows leave by way of shared memory, so that they are stored whole. */
    __device__ void store(int number, outputs &sums, const float (&factor)[2])
    {
        if (*any == 0) {  /* 0 * NaN is NaN */
            keep_apart(); /* rare: no selects for the others */
            set_zero(sums);
        }
        multiply(sums, factor);
        limit_overflow<E>(sums);
        __syncwarp();
        tile_write<E, size::out, size::out_pitch>(queries, sums, lane);
        __syncwarp();
        store_rows<E, size::out_bytes, size::out_pitch>(
            queries, view_of<E>(p.operand[number], task.at, part), row0, MN_TILE_ROWS,
            task.rows_written(), lane);
    }

    /* Absent columns took no part; where there was no other, what a NaN in the row's own query has
       left in the sums does not count either. */
    __device__ void finish()
    {
        state.template finish<stage::right>();
        float factor[2];
        for (int r = 0; r < 2; r++) {
            int x = row0 + lane / 4 + 8 * r;
            bool empty = *any == 0 || state.sum[r] == 0.0f || row_bias[r] == infinity();
            factor[r] = empty ? 0.0f : 1.0f / state.sum[r];
            if (lane % 4 == 0 && x < p.rows && leads)
                task.template store_scalars<!element<E>::has_mma>(x, state, r, empty);
        }
        if (stage::has_mean && with_mean)
            store(MN_OPERAND_MEAN, mean, factor);
        if (stage::has_result && with_result)
            store(MN_OPERAND_RESULT, result, factor);
    }

    __device__ void run()
    {
        if (thread == 0)
            *any = 0;
        let_next_launch_begin();
        wait_for_launches_ahead();
        load_queries();
        state.start();
        set_zero(mean);
        set_zero(result);
        __syncthreads();
        take_columns();
        if (active && row0 < p.rows)
            finish();
    }
};

template <class E, int WIDTH, form FORM> __device__ inline void attend(const mn_stage_params &p)
{
    char *const memory = dynamic_memory<16>();
    attention<E, WIDTH, FORM>(p, memory).run();
}

#endif
