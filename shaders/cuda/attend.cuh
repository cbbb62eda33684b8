/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CUDA_ATTEND_CUH
#define MN_CUDA_ATTEND_CUH

#include "shaders/cuda/softmax.cuh"
#include "shaders/cuda/tile.cuh"

/*
 * Every stage is the same pass: a warp holds 16 rows of a score matrix, walks over the columns in
 * tiles, and keeps for each row the largest score so far, the sum of 2^(score - largest) and
 * that sum weighted by the rows of one or two operands. The next tile is on its way to shared
 * memory while one is worked on. Scores are in units of log2.
 *
 *   FORM         rows            columns        score less     outputs
 *   RIGHT        queries (k,j)   keys (k,i)     -              mean of keys, cL
 *   RIGHT_VALUE  queries (k,j)   keys (k,i)     -              mean of keys, cL, mean of values
 *   LEFT_STATS   queries (l,j)   key means k    cL             largest and log2 of the sum
 *   LEFT_MEAN    key means k     queries (l,j)  cL, stats      mean of queries, cR if asked
 *   LEFT_OUT     queries (l,j)   key means k    cL             mean of values
 */
enum form { RIGHT, RIGHT_VALUE, LEFT_STATS, LEFT_MEAN, LEFT_OUT };

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
    static constexpr bool right = FORM == RIGHT || FORM == RIGHT_VALUE;
    static constexpr bool has_mean = right || FORM == LEFT_MEAN;
    static constexpr bool has_result = FORM == RIGHT_VALUE || FORM == LEFT_OUT;
    static constexpr int N = size::columns / 8;
    using outputs = float[size::out / 8][4];

    const mn_stage_params &p;
    int lane, warp;      /* the warp among those of the work-group */
    int member, own;     /* group, and warp in the group */
    int thread, threads; /* among those of the group */
    bool active;         /* whether there is such a group */
    bool leads;          /* whether it also writes what is not cut into chunks */
    task_place at;
    int row0; /* of the group */
    bool with_mean, with_result;
    int part; /* byte of the rows of an output at which this chunk begins */

    /* Shared memory of the group, and of this warp. */
    char *keys, *values, *queries, *probabilities;
    float *bias;
    int *any; /* whether any column is there */

    rows_view<E> key_rows, value_rows;
    presence columns;
    softmax_state state;
    float row_bias[2]; /* cL of rows that are blocks; +inf where all keys of the block are absent */
    outputs mean, result;

    /* LEFT_MEAN works on the transposed matrix. */
    static constexpr int row_operand = FORM == LEFT_MEAN ? MN_OPERAND_KEYS : MN_OPERAND_QUERIES;
    static constexpr int column_operand = FORM == LEFT_MEAN ? MN_OPERAND_QUERIES : MN_OPERAND_KEYS;

    __device__ attention(const mn_stage_params &params, char *memory)
        : p(params), lane(threadIdx.x % WARP), warp(warp_index()), at(find_place()),
          key_rows(view_of<E>(p.operand[column_operand], at)),
          value_rows(
              view_of<E>(p.operand[MN_OPERAND_VALUES], at, size::wide && with_result ? part : 0))
    {
        divide_memory(memory);
        columns = right || FORM == LEFT_MEAN ? present_of(p, at, p.columns) : all_of(p.columns);
        if (!active)
            columns.end = 0;
    }

    /* Which group, which rows of it, which features of its outputs. */
    __device__ task_place find_place()
    {
        int chunk = 0, split = 0;
        member = warp / p.warps;
        own = warp - member * p.warps;
        thread = own * WARP + lane;
        threads = p.warps * WARP;
        int64_t pack = work_group();
        if (size::wide)
            pack = divide(pack, p.chunks, &chunk);
        if (p.row_splits > 1)
            pack = divide(pack, p.row_splits, &split);
        int64_t task = pack * p.packed + member;
        active = task < p.tasks;
        leads = chunk == 0;
        row0 = (split * p.warps + own) * MN_TILE_ROWS;
        int mean_chunks =
            has_mean ? (p.operand[MN_OPERAND_MEAN].width + size::out - 1) / size::out : 0;
        with_mean = has_mean && (!size::wide || chunk < mean_chunks);
        with_result = has_result && (!size::wide || !with_mean);
        part = size::wide ? (with_mean ? chunk : chunk - mean_chunks) * size::out_bytes : 0;
        return place_of(p, active ? task : 0);
    }

    /* In the order in which layout.h counts. */
    __device__ void divide_memory(char *memory)
    {
        memory += member * mn_tile_group_bytes(p.warps, p.stages, p.column_tile, WIDTH,
                                               has_result ? size::out : 0, sizeof(E));
        queries = memory + own * MN_TILE_ROWS * size::pitch;
        keys = memory + p.warps * MN_TILE_ROWS * size::pitch;
        values = keys + p.stages * p.column_tile * size::pitch;
        char *next = values + (has_result ? p.stages * p.column_tile * size::out_pitch : 0);
        bias = reinterpret_cast<float *>(next);
        next += p.stages * MN_TILE_BIAS_BYTES;
        probabilities = next + own * mn_tile_probability_bytes(sizeof(E));
        any = reinterpret_cast<int *>(next + p.warps * mn_tile_probability_bytes(sizeof(E)));
    }

    /* The number that an f32 operand has for row x of the group. */
    __device__ float *scalar(int number, int x) const
    {
        const mn_operand_params &o = p.operand[number];
        return reinterpret_cast<float *>(o.address) + at.batch * o.batch + at.head * o.head +
               at.group * o.group + x * o.index;
    }

    __device__ void load_queries()
    {
        presence rows = all_of(p.rows);
        if constexpr (FORM == LEFT_STATS || FORM == LEFT_OUT)
            rows = tokens_of(p, at, p.rows);
        if (right && p.absent_is_zero)
            rows = columns;
        if (!active)
            rows.end = 0;
        load_rows<E, size::bytes, size::pitch>(queries, view_of<E>(p.operand[row_operand], at),
                                               row0, MN_TILE_ROWS, rows, lane, WARP);
        row_bias[0] = row_bias[1] = 0.0f;
        if constexpr (FORM == LEFT_MEAN)
            for (int r = 0; r < 2; r++) {
                int x = row0 + lane / 4 + 8 * r;
                row_bias[r] = x < p.rows ? *scalar(MN_OPERAND_BIAS, x) * log2_e : infinity();
            }
    }

    /* The terms to take off the scores of one column; +inf for a column that is not there. */
    __device__ float2 bias_of(int column) const
    {
        if (!columns(column))
            return make_float2(infinity(), 0.0f);
        if constexpr (FORM == LEFT_STATS || FORM == LEFT_OUT)
            return make_float2(*scalar(MN_OPERAND_BIAS, column) * log2_e, 0.0f);
        if constexpr (FORM == LEFT_MEAN)
            return *reinterpret_cast<const float2 *>(scalar(MN_OPERAND_STATS, column));
        return make_float2(0.0f, 0.0f);
    }

    __device__ void load_tile(int tile)
    {
        int stage = tile % p.stages, first = tile * p.column_tile;
        load_rows<E, size::bytes, size::pitch>(keys + stage * p.column_tile * size::pitch, key_rows,
                                               first, p.column_tile, columns, thread, threads);
        if (with_result)
            load_rows<E, size::out_bytes, size::out_pitch>(
                values + stage * p.column_tile * size::out_pitch, value_rows, first, p.column_tile,
                columns, thread, threads);
        copies_commit();
        float *terms = bias + stage * 2 * size::columns;
        for (int i = thread; i < p.column_tile; i += threads) {
            float2 b = bias_of(first + i);
            terms[i] = b.x;
            if (FORM == LEFT_MEAN)
                terms[size::columns + i] = b.y;
            if (b.x != infinity())
                *any = 1;
        }
    }

    static __device__ void multiply(outputs &sums, const float (&shrink)[2])
    {
#pragma unroll
        for (int n = 0; n < size::out / 8; n++)
#pragma unroll
            for (int i = 0; i < 4; i++)
                sums[n][i] *= shrink[i / 2];
    }

    /* Takes the first 16 * count columns of a tile into the sums. */
    __device__ void take_tile(int tile, int count)
    {
        const int stage = tile % p.stages;
        const char *tile_keys = keys + stage * p.column_tile * size::pitch;
        const char *tile_values = values + stage * p.column_tile * size::out_pitch;
        const score_bias terms = {bias + stage * 2 * size::columns, {row_bias[0], row_bias[1]}};
        float s[N][4], shrink[2];
        tile_scores<E, WIDTH, size::pitch>(s, queries, tile_keys, count, lane);
        softmax_tile<right, FORM == LEFT_MEAN>(s, state, shrink, terms, p.scale, count, lane);
        if (tile > 0 && __any_sync(~0u, shrink[0] != 1.0f || shrink[1] != 1.0f)) {
            if (has_mean)
                multiply(mean, shrink);
            if (has_result)
                multiply(result, shrink);
        }
        if (has_mean && with_mean)
            tile_accumulate<E, size::out, size::pitch>(mean, s, probabilities, tile_keys + part,
                                                       count, lane);
        if (has_result && with_result)
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
        if (*any == 0) {                   /* 0 * NaN is NaN */
            asm volatile("" ::: "memory"); /* rare: no selects for the others */
#pragma unroll
            for (int n = 0; n < size::out / 8; n++)
#pragma unroll
                for (int i = 0; i < 4; i++)
                    sums[n][i] = 0.0f;
        }
        multiply(sums, factor);
        __syncwarp();
        tile_write<E, size::out, size::out_pitch>(queries, sums, lane);
        __syncwarp();
        store_rows<E, size::out_bytes, size::out_pitch>(
            queries, view_of<E>(p.operand[number], at, part), row0, MN_TILE_ROWS,
            FORM == LEFT_OUT ? tokens_of(p, at, p.rows) : all_of(p.rows), lane);
    }

    __device__ void store_scalars(int x, int r, bool empty)
    {
        if (FORM == LEFT_STATS)
            *reinterpret_cast<float2 *>(scalar(MN_OPERAND_STATS, x)) =
                make_float2(state.largest[r], log2f(state.sum[r]));
        if (right)
            *scalar(MN_OPERAND_WEIGHT, x) =
                empty ? infinity() : entropy_of(state.entropy[r], state.sum[r]);
        if (FORM == LEFT_MEAN && p.operand[MN_OPERAND_WEIGHT].width > 0)
            *scalar(MN_OPERAND_WEIGHT, x) = empty ? 0.0f : exp2f(state.largest[r]) * state.sum[r];
    }

    /* Absent columns took no part; where there was no other, what a NaN in the row's own query has
       left in the sums does not count either. */
    __device__ void finish()
    {
        state.template finish<right>();
        float factor[2];
        for (int r = 0; r < 2; r++) {
            int x = row0 + lane / 4 + 8 * r;
            bool empty = *any == 0 || state.sum[r] == 0.0f || row_bias[r] == infinity();
            factor[r] = empty ? 0.0f : 1.0f / state.sum[r];
            if (lane % 4 == 0 && x < p.rows && leads)
                store_scalars(x, r, empty);
        }
        if (has_mean && with_mean)
            store(MN_OPERAND_MEAN, mean, factor);
        if (has_result && with_result)
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
#pragma unroll
        for (int n = 0; n < size::out / 8; n++)
#pragma unroll
            for (int i = 0; i < 4; i++)
                mean[n][i] = result[n][i] = 0.0f;
        __syncthreads();
        take_columns();
        if (active && row0 < p.rows)
            finish();
    }
};

template <class E, int WIDTH, form FORM> __device__ inline void attend(const mn_stage_params &p)
{
    extern __shared__ __align__(16) char memory[];
    attention<E, WIDTH, FORM>(p, memory).run();
}

#endif
