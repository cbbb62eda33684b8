/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CUDA_ATTEND_CUH
#define MN_CUDA_ATTEND_CUH

#include "shaders/cuda/tile_fma.cuh"
#include "shaders/cuda/tile_mma.cuh"

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
 *   LEFT_MEAN    key means k     queries (l,j)  those of l     mean of queries, cR if asked
 *   LEFT_OUT     queries (l,j)   key means k    cL             mean of values
 */
enum form { RIGHT, RIGHT_VALUE, LEFT_STATS, LEFT_MEAN, LEFT_OUT };

template <form F> constexpr bool has_mean = F == RIGHT || F == RIGHT_VALUE || F == LEFT_MEAN;

template <form F> constexpr bool has_result = F == RIGHT_VALUE || F == LEFT_OUT;

/* Sizes of one kernel: WIDTH features of queries and keys, more than 128 in chunks of the outputs.
 */
template <class E, int WIDTH> struct sizes {
    static constexpr bool wide = WIDTH > MN_TILE_WIDEST;
    static constexpr int out = wide ? MN_TILE_WIDEST : WIDTH; /* features of an output at a time */
    static constexpr int columns = MN_TILE_COLUMNS;
    static constexpr int threads = WIDTH <= 64 && sizeof(E) == 2 ? 256 : 128; /* at most */
    static constexpr int pitch = WIDTH * (int)sizeof(E) + MN_TILE_ROW_PADDING;
    static constexpr int value_pitch = out * (int)sizeof(E) + MN_TILE_ROW_PADDING;
};

template <class E, int WIDTH, int PITCH, int N>
__device__ inline void scores(float (&s)[N][4], const char *queries, const char *keys, int count,
                              int lane)
{
    if constexpr (element<E>::has_mma)
        tile_scores<E, WIDTH, PITCH>(s, queries, keys, count, lane);
    else
        tile_scores_fma<E, WIDTH, PITCH>(s, queries, keys, count, lane);
}

template <class E, int WIDTH, int PITCH, int N>
__device__ inline void accumulate(float (&sums)[WIDTH / 8][4], const float (&p)[N][4],
                                  char *probabilities, const char *values, int count, int lane)
{
    if constexpr (element<E>::has_mma)
        tile_accumulate<E, WIDTH, PITCH>(sums, p, probabilities, values, count, lane);
    else
        tile_accumulate_fma<E, WIDTH, PITCH>(sums, p, probabilities, values, count, lane);
}

template <class E, int WIDTH, int PITCH>
__device__ inline void write_rows(char *target, const float (&sums)[WIDTH / 8][4],
                                  const float (&factor)[2], int lane)
{
    if constexpr (element<E>::has_mma)
        tile_write<E, WIDTH, PITCH>(target, sums, factor, lane);
    else
        tile_write_fma<WIDTH, PITCH>(target, sums, factor, lane);
}

/* Largest of, or sum over, the four threads that share a row. */
__device__ inline float row_largest(float x)
{
    x = fmaxf(x, __shfl_xor_sync(~0u, x, 1));
    return fmaxf(x, __shfl_xor_sync(~0u, x, 2));
}

__device__ inline float row_sum(float x)
{
    x += __shfl_xor_sync(~0u, x, 1);
    return x + __shfl_xor_sync(~0u, x, 2);
}

/* Softmax of a thread's two rows over the columns seen so far. */
struct softmax_state {
    float largest[2];
    float sum[2];     /* of this thread's columns until finish() */
    float entropy[2]; /* sum of 2^y y with y = score - largest, likewise */

    __device__ void start()
    {
        for (int r = 0; r < 2; r++) {
            largest[r] = -infinity();
            sum[r] = entropy[r] = 0.0f;
        }
    }

    /* What to take off scores; a row without any column yet must not make NaN of them. */
    __device__ float base(int r) const
    {
        return largest[r] == -infinity() ? 0.0f : largest[r];
    }

    /* Takes in the tile's largest scores; returns by what earlier sums shrink. */
    __device__ void raise(const float (&tile)[2], float (&shrink)[2])
    {
        for (int r = 0; r < 2; r++) {
            float before = largest[r];
            largest[r] = fmaxf(before, tile[r]);
            shrink[r] = exp2_fast(before - base(r));
            if (before != -infinity())
                entropy[r] = shrink[r] * fmaf(before - largest[r], sum[r], entropy[r]);
            sum[r] *= shrink[r];
        }
    }

    __device__ void finish()
    {
        for (int r = 0; r < 2; r++) {
            sum[r] = row_sum(sum[r]);
            entropy[r] = row_sum(entropy[r]);
        }
    }
};

/* Turns a tile of raw products into 2^(score - largest), taking its columns into the state. */
template <form FORM, int N>
__device__ inline void softmax_tile(float (&s)[N][4], softmax_state &state, float (&shrink)[2],
                                    const float *bias, const float (&row_bias)[2], float scale,
                                    int count, int lane)
{
    float tile[2] = {-infinity(), -infinity()};
#pragma unroll
    for (int n = 0; n < N; n++) {
        if (n / 2 < count) {
            const float *b = bias + n * 8 + lane % 4 * 2;
            float2 first = *reinterpret_cast<const float2 *>(b);
            if constexpr (FORM == LEFT_MEAN) {
                /* log2 P in the order in which LEFT_STATS has it: exact where P is near 1. */
                float2 second = *reinterpret_cast<const float2 *>(b + N * 8);
#pragma unroll
                for (int i = 0; i < 4; i++)
                    s[n][i] = s[n][i] * scale - row_bias[i / 2] - (i % 2 ? first.y : first.x) -
                              (i % 2 ? second.y : second.x);
            } else {
#pragma unroll
                for (int i = 0; i < 4; i++)
                    s[n][i] = s[n][i] * scale - (i % 2 ? first.y : first.x);
            }
            tile[0] = fmaxf(tile[0], fmaxf(s[n][0], s[n][1]));
            tile[1] = fmaxf(tile[1], fmaxf(s[n][2], s[n][3]));
        }
    }
    tile[0] = row_largest(tile[0]);
    tile[1] = row_largest(tile[1]);
    state.raise(tile, shrink);
    const float base[2] = {state.base(0), state.base(1)};
#pragma unroll
    for (int n = 0; n < N; n++) {
        if (n / 2 < count) {
#pragma unroll
            for (int i = 0; i < 4; i++) {
                float y = s[n][i] - base[i / 2];
                s[n][i] = exp2_fast(y);
                state.sum[i / 2] += s[n][i];
                if constexpr (FORM == RIGHT || FORM == RIGHT_VALUE) /* 0 * -inf is NaN */
                    state.entropy[i / 2] = fmaf(s[n][i], fmaxf(y, -1000.0f), state.entropy[i / 2]);
            }
        }
    }
}

/* The terms to take off the scores of one column; +inf for a column that is not there. */
template <form FORM>
__device__ inline float2 bias_of(const mn_stage_params &p, const task_place &at,
                                 const presence &there, int column)
{
    if (column >= p.columns)
        return make_float2(infinity(), 0.0f);
    if constexpr (FORM == LEFT_STATS || FORM == LEFT_OUT) {
        const mn_operand_params &o = p.operand[MN_OPERAND_BIAS];
        const float *entropy = reinterpret_cast<const float *>(o.address);
        return make_float2(
            entropy[at.batch * o.batch + at.head * o.head + at.group * o.group + column * o.index] *
                log2_e,
            0.0f);
    }
    if (!there(column))
        return make_float2(infinity(), 0.0f);
    if constexpr (FORM == LEFT_MEAN) {
        const mn_operand_params &o = p.operand[MN_OPERAND_STATS];
        const float *stats = reinterpret_cast<const float *>(o.address);
        return *reinterpret_cast<const float2 *>(stats + at.batch * o.batch + at.head * o.head +
                                                 at.group * o.group + column * o.index);
    }
    return make_float2(0.0f, 0.0f);
}

/* Where in shared memory a group's pieces lie; layout.h counts the same bytes. */
struct tile_memory {
    char *queries, *keys, *values, *probabilities;
    float *bias;
    int *any; /* whether any column is there */
};

template <class E, int WIDTH, form FORM>
__device__ inline tile_memory divide_memory(char *memory, const mn_stage_params &p)
{
    using size = sizes<E, WIDTH>;
    tile_memory m;
    m.queries = memory;
    m.keys = m.queries + p.warps * MN_TILE_ROWS * size::pitch;
    m.values = m.keys + p.stages * p.column_tile * size::pitch;
    char *end = m.values + (has_result<FORM> ? p.stages * p.column_tile * size::value_pitch : 0);
    m.bias = reinterpret_cast<float *>(end);
    end += p.stages * MN_TILE_BIAS_BYTES;
    m.probabilities = end;
    end += p.warps * mn_tile_probability_bytes(sizeof(E));
    m.any = reinterpret_cast<int *>(end);
    return m;
}

template <class E, int WIDTH, form FORM> __device__ void attend(const mn_stage_params &p)
{
    using size = sizes<E, WIDTH>;
    constexpr int N = size::columns / 8;
    extern __shared__ __align__(16) char memory[];
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    const int member = warp / p.warps; /* which of the packed groups */
    const int thread = threadIdx.x - member * p.warps * WARP, threads = p.warps * WARP;

    /* Which group, which rows of it, which features of its outputs. */
    int chunk, split;
    int64_t pack = divide(divide(work_group(), p.chunks, &chunk), p.row_splits, &split);
    int64_t task = pack * p.packed + member;
    const bool active = task < p.tasks;
    const task_place at = place_of(p, active ? task : 0);
    const int row0 = (split * p.warps + warp % p.warps) * MN_TILE_ROWS;
    const int mean_chunks =
        has_mean<FORM> ? (p.operand[MN_OPERAND_MEAN].width + size::out - 1) / size::out : 0;
    const bool with_mean = has_mean<FORM> && (!size::wide || chunk < mean_chunks);
    const bool with_result = has_result<FORM> && (!size::wide || !with_mean);
    const int part = (with_mean ? chunk : chunk - mean_chunks) * size::out * (int)sizeof(E);

    /* The matrices: LEFT_MEAN works on the transposed one. */
    constexpr int row_operand = FORM == LEFT_MEAN ? MN_OPERAND_KEYS : MN_OPERAND_QUERIES;
    constexpr int column_operand = FORM == LEFT_MEAN ? MN_OPERAND_QUERIES : MN_OPERAND_KEYS;
    const rows_view<E> queries = view_of<E>(p.operand[row_operand], at);
    const rows_view<E> keys = view_of<E>(p.operand[column_operand], at);
    const rows_view<E> values =
        view_of<E>(p.operand[MN_OPERAND_VALUES], at, size::wide && with_result ? part : 0);
    const presence there = presence_of(p, at);
    constexpr bool token_rows = FORM == LEFT_STATS || FORM == LEFT_OUT;
    constexpr bool token_columns = !token_rows;
    auto row_there = [&](int x) {
        return active && x < p.rows && (!token_rows || there.is_token(x)) &&
               (FORM == LEFT_MEAN || !p.absent_is_zero || there(x));
    };
    auto column_there = [&](int x) {
        return active && x < p.columns && (!token_columns || there(x));
    };

    const int group_bytes = mn_tile_group_bytes(p.warps, p.stages, p.column_tile, WIDTH,
                                                has_result<FORM> ? size::out : 0, sizeof(E));
    const tile_memory m = divide_memory<E, WIDTH, FORM>(memory + member * group_bytes, p);
    char *own_queries = m.queries + warp % p.warps * MN_TILE_ROWS * size::pitch;
    char *own_probabilities =
        m.probabilities + warp % p.warps * mn_tile_probability_bytes(sizeof(E));

    const int tiles = (p.columns + p.column_tile - 1) / p.column_tile;
    auto load_tile = [&](int tile) {
        int stage = tile % p.stages, first = tile * p.column_tile;
        load_rows<E, WIDTH *(int)sizeof(E), size::pitch>(
            m.keys + stage * p.column_tile * size::pitch, keys, first, p.column_tile, column_there,
            thread, threads);
        if (with_result)
            load_rows<E, size::out *(int)sizeof(E), size::value_pitch>(
                m.values + stage * p.column_tile * size::value_pitch, values, first, p.column_tile,
                column_there, thread, threads);
        float *bias = m.bias + stage * 2 * size::columns;
        for (int i = thread; i < p.column_tile; i += threads) {
            float2 b =
                active ? bias_of<FORM>(p, at, there, first + i) : make_float2(infinity(), 0.0f);
            bias[i] = b.x;
            bias[size::columns + i] = b.y;
            if (b.x != infinity())
                *m.any = 1;
        }
        copies_commit();
    };

    if (thread == 0)
        *m.any = 0;
    load_rows<E, WIDTH *(int)sizeof(E), size::pitch>(own_queries, queries, row0, MN_TILE_ROWS,
                                                     row_there, lane, WARP);
    __syncthreads();

    /* cL of the rows, where they are blocks; +inf for a block whose keys are all absent. */
    const int x[2] = {row0 + lane / 4, row0 + lane / 4 + 8};
    float row_bias[2] = {0.0f, 0.0f};
    if constexpr (FORM == LEFT_MEAN) {
        const mn_operand_params &o = p.operand[MN_OPERAND_BIAS];
        const float *entropy = reinterpret_cast<const float *>(o.address) + at.batch * o.batch +
                               at.head * o.head + at.group * o.group;
        for (int r = 0; r < 2; r++)
            row_bias[r] = x[r] < p.rows ? entropy[x[r] * o.index] * log2_e : infinity();
    }

    softmax_state state;
    state.start();
    float mean[has_mean<FORM> ? size::out / 8 : 1][4];
    float result[has_result<FORM> ? size::out / 8 : 1][4];
#pragma unroll
    for (auto &n : mean)
#pragma unroll
        for (float &x : n)
            x = 0.0f;
#pragma unroll
    for (auto &n : result)
#pragma unroll
        for (float &x : n)
            x = 0.0f;

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

        int stage = tile % p.stages;
        const char *tile_keys = m.keys + stage * p.column_tile * size::pitch;
        const char *tile_values = m.values + stage * p.column_tile * size::value_pitch;
        int count = (min(p.columns - tile * p.column_tile, p.column_tile) + 15) / 16;
        float s[N][4], shrink[2];
        scores<E, WIDTH, size::pitch>(s, own_queries, tile_keys, count, lane);
        softmax_tile<FORM>(s, state, shrink, m.bias + stage * 2 * size::columns, row_bias, p.scale,
                           count, lane);
        if (tile > 0 && __any_sync(~0u, shrink[0] != 1.0f || shrink[1] != 1.0f)) {
#pragma unroll
            for (auto &n : mean)
#pragma unroll
                for (int i = 0; i < 4; i++)
                    n[i] *= shrink[i / 2];
#pragma unroll
            for (auto &n : result)
#pragma unroll
                for (int i = 0; i < 4; i++)
                    n[i] *= shrink[i / 2];
        }
        if constexpr (has_mean<FORM>)
            if (with_mean)
                accumulate<E, size::out, size::pitch>(
                    mean, s, own_probabilities, tile_keys + (size::wide ? part : 0), count, lane);
        if constexpr (has_result<FORM>)
            if (with_result)
                accumulate<E, size::out, size::value_pitch>(result, s, own_probabilities,
                                                            tile_values, count, lane);
        __syncthreads();
    }
    if (!active || row0 >= p.rows)
        return;

    /* Columns that are absent took no part; without any other one, what a row's own NaN has left
       in the sums does not count either. */
    state.finish();
    const bool any = *m.any != 0;
    float factor[2];
    bool empty[2];
#pragma unroll
    for (int r = 0; r < 2; r++) {
        empty[r] = !any || state.sum[r] == 0.0f || row_bias[r] == infinity();
        factor[r] = empty[r] ? 0.0f : 1.0f / state.sum[r];
        if (lane % 4 != 0 || x[r] >= p.rows || (size::wide && chunk > 0))
            continue;
        if constexpr (FORM == LEFT_STATS) {
            const mn_operand_params &o = p.operand[MN_OPERAND_STATS];
            float2 *stats = reinterpret_cast<float2 *>(reinterpret_cast<float *>(o.address) +
                                                       at.batch * o.batch + at.head * o.head +
                                                       at.group * o.group + x[r] * o.index);
            *stats = make_float2(state.largest[r], log2f(state.sum[r]));
        } else if constexpr (has_mean<FORM>) {
            const mn_operand_params &o = p.operand[MN_OPERAND_WEIGHT];
            float *weight = reinterpret_cast<float *>(o.address) + at.batch * o.batch +
                            at.head * o.head + at.group * o.group + x[r] * o.index;
            if (FORM == LEFT_MEAN && o.width > 0)
                *weight = empty[r] ? 0.0f : exp2f(state.largest[r]) * state.sum[r];
            if (FORM != LEFT_MEAN)
                *weight = empty[r] ? infinity()
                                   : ln_2 * (state.entropy[r] * factor[r] - log2f(state.sum[r]));
        }
    }
    if constexpr (FORM == LEFT_STATS)
        return;

    /* Outputs leave by way of shared memory, so that rows are stored whole. */
    auto out_there = [&](int row) {
        return row < p.rows && (FORM != LEFT_OUT || there.is_token(row));
    };
    auto store = [&](int number, auto &sums) {
#pragma unroll
        for (auto &n : sums)
#pragma unroll
            for (int i = 0; i < 4; i++) /* 0 * NaN is NaN */
                n[i] = empty[i / 2] ? 0.0f : n[i];
        __syncwarp();
        write_rows<E, size::out, size::value_pitch>(own_queries, sums, factor, lane);
        __syncwarp();
        const rows_view<E> view = view_of<E>(p.operand[number], at, size::wide ? part : 0);
        store_rows<E, size::out *(int)sizeof(E), size::value_pitch>(own_queries, view, row0,
                                                                    MN_TILE_ROWS, out_there, lane);
    };
    if constexpr (has_mean<FORM>)
        if (with_mean)
            store(MN_OPERAND_MEAN, mean);
    if constexpr (has_result<FORM>)
        if (with_result)
            store(MN_OPERAND_RESULT, result);
}

#endif
