/* SPDX-License-Identifier: Apache-2.0 */
#include "shaders/opencl/ptx.clh"
#include "shaders/opencl/rows.clh"

/*
 * Variant matrix: a stage by warps that hold 16 rows of a score matrix each, on the matrix units of
 * NVIDIA GPUs, and walk over its columns in tiles. The next tile is on its way to local memory
 * while one is worked on. Compiled for MN_FORM, MN_DTYPE (f16 or bf16), MN_WIDTH features and
 * MN_COLUMNS columns at a time; MN_WARPS warps share a group, MN_PACKED groups a work-group, and
 * MN_STAGES tiles are in local memory at once.
 *
 * Thread 4g + t of a warp holds, of an accumulator s[n] (16 rows x 8 columns), columns 8n + 2t and
 * 8n + 2t + 1 of rows g (s[n][0..1]) and g + 8.
 */

enum {
    N = MN_COLUMNS / 8,
    OUT = MN_WIDTH / 8,
    PITCH = MN_WIDTH * 2 + 16, /* bytes: 8 rows read at once meet all banks */
    TILE_BYTES = MN_COLUMNS * PITCH,
    TERM_BYTES = 2 * 4 * MN_COLUMNS,
    STAGE_BYTES = TILE_BYTES * (HAS_RESULT ? 2 : 1) + TERM_BYTES,
    GROUP_BYTES = MN_WARPS * 16 * PITCH + MN_STAGES * STAGE_BYTES,
    THREADS = MN_WARPS * WARP /* that share a group */
};

/* One warp's part of a launch. */
typedef struct warp_task {
    mn_place at;
    mn_i32 row0;
    bool active;
} warp_task;

INLINE warp_task find_warp_task(const mn_stage_params *p, int warp)
{
    warp_task task;
    mn_i32 split = 0, group = 0;
    mn_i64 number = mn_work_group();
    mn_i64 pack = p->row_splits > 1 ? divide(number, p->row_splits, &split) : number;
    if (p->backwards)
        pack = (p->tasks - 1) / MN_PACKED - pack;
    mn_i64 index = pack * MN_PACKED + warp / MN_WARPS;
    task.active = index >= 0 && index < p->tasks;
    mn_i64 head = divide(task.active ? index : 0, p->groups, &group);
    task.at.batch = divide(head, p->heads, &task.at.head);
    task.at.group = group;
    task.row0 = (split * MN_WARPS + warp % MN_WARPS) * 16;
    return task;
}

/* Eight elements of a row, one after the other; those from `valid` bytes on become 0. */
INLINE void copy_elements(__local uchar *target, const __global uchar *source, int valid)
{
    for (int i = 0; i < 8; i++)
        ((__local ushort *)target)[i] =
            2 * i < valid ? ((const __global ushort *)source)[i] : (ushort)0;
}

/* Whether rows x0 ... x0 + count - 1 are whole vectors of MN_WIDTH elements and all there. */
INLINE bool are_plain(const rows_view *view, mn_i32 x0, int count, const presence *there)
{
    return view->vectors && view->width == MN_WIDTH && !there->masked && x0 >= there->begin &&
           x0 + count <= there->end;
}

/*
 * Starts to load `count` rows from x0 on. What lies behind a row's end, and rows that are not
 * there, become 0. Masked rows must: weight 0 times NaN is NaN.
 */
INLINE void load_rows(__local uchar *target, const rows_view *view, mn_i32 x0, int count,
                      const presence *there, int thread, int threads)
{
    enum { VECTORS = MN_WIDTH / 8 };
    if (are_plain(view, x0, count, there)) {
        /* Nearly always. Widths that are no power of two divide anew for each vector. */
        for (int unit = thread; unit < count * VECTORS; unit += threads) {
            int row = unit / VECTORS, byte = unit % VECTORS * 16;
            copy_vector(target + row * PITCH + byte, view->base + (x0 + row) * view->stride + byte,
                        16);
        }
        return;
    }
    for (int unit = thread; unit < count * VECTORS; unit += threads) {
        int row = unit / VECTORS, feature = unit % VECTORS * 8;
        int valid = is_there(there, x0 + row) ? clamp((view->width - feature) * 2, 0, 16) : 0;
        const __global uchar *source = view->base + (x0 + row) * view->stride + feature * 2;
        __local uchar *to = target + row * PITCH + feature * 2;
        if (view->vectors)
            copy_vector(to, valid > 0 ? source : view->base, valid);
        else
            copy_elements(to, source, valid);
    }
}

/* s = queries . keys. Matrices of `a`: rows 0-7 and 8-15, then the same 8 features on. Of `b`: keys
   0-7 and the same 8 features on, then keys 8-15. */
INLINE void find_scores(float s[N][4], const __local uchar *queries, const __local uchar *keys,
                        int lane)
{
    uint a_address = local_address(queries) + lane % 16 * PITCH + lane / 16 * 16;
    uint b_address = local_address(keys) + (lane % 8 + lane / 16 * 8) * PITCH + lane / 8 % 2 * 16;
#pragma unroll
    for (int n = 0; n < N; n++)
#pragma unroll
        for (int i = 0; i < 4; i++)
            s[n][i] = 0.0f;
#pragma unroll
    for (int k = 0; k < MN_WIDTH / 16; k++) {
        uint a[4];
        load_matrices(a, a_address + k * 32);
#pragma unroll
        for (int n = 0; n < N / 2; n++) {
            uint b[4];
            load_matrices(b, b_address + n * 16 * PITCH + k * 32);
            multiply_add(s[2 * n], a, b[0], b[1]);
            multiply_add(s[2 * n + 1], a, b[2], b[3]);
        }
    }
}

/* sums += p . values. */
INLINE void accumulate(float sums[OUT][4], const float p[N][4], const __local uchar *values,
                       int lane)
{
    uint address = local_address(values) + lane % 16 * PITCH + lane / 16 * 16;
#pragma unroll
    for (int n = 0; n < N / 2; n++) {
        uint a[4];
        a[0] = pack(p[2 * n][0], p[2 * n][1]);
        a[1] = pack(p[2 * n][2], p[2 * n][3]);
        a[2] = pack(p[2 * n + 1][0], p[2 * n + 1][1]);
        a[3] = pack(p[2 * n + 1][2], p[2 * n + 1][3]);
#pragma unroll
        for (int f = 0; f < MN_WIDTH / 16; f++) {
            uint b[4];
            load_matrices_transposed(b, address + n * 16 * PITCH + f * 32);
            multiply_add(sums[2 * f], a, b[0], b[1]);
            multiply_add(sums[2 * f + 1], a, b[2], b[3]);
        }
    }
}

/* ---- softmax ---- */

/* Of, or over, the four threads that share a row. */
INLINE float row_largest(float x)
{
    x = fmax(x, from_lane(x, 1));
    return fmax(x, from_lane(x, 2));
}

INLINE float row_sum(float x)
{
    x += from_lane(x, 1);
    return x + from_lane(x, 2);
}

/* Of a thread's two rows over the columns seen so far. */
typedef struct softmax_state {
    float largest[2], sum[2], entropy[2]; /* the sums are of this thread's columns until the end */
    float shrink[2];                      /* by what earlier sums shrink when a tile has come in */
    float least;                          /* of the terms of the columns; +inf when none is there */
} softmax_state;

/* Scores from raw products: the terms are taken off one after the other, in the order in which they
   were found; then a score that is log2 of a probability is exact where that is near 1. */
INLINE void take_off_terms(float s[N][4], float top[2], softmax_state *state,
                           const __local float *terms, const float row_terms[2], float scale,
                           int lane)
{
    top[0] = top[1] = -INFINITY;
#pragma unroll
    for (int n = 0; n < N; n++) {
        const __local float *from = terms + n * 8 + lane % 4 * 2;
        const float2 one = *(const __local float2 *)from;
        const float2 two = *(const __local float2 *)(from + MN_COLUMNS);
        state->least = fmin(state->least, fmin(one.x, one.y));
#pragma unroll
        for (int i = 0; i < 4; i++) {
            if (MN_FORM == MN_LEFT_MEAN)
                s[n][i] = fma(s[n][i], scale, -row_terms[i / 2]) - (i % 2 ? one.y : one.x) -
                          (i % 2 ? two.y : two.x);
            else
                s[n][i] = fma(s[n][i], scale, i % 2 ? -one.y : -one.x);
            top[i / 2] = fmax(top[i / 2], s[n][i]);
        }
    }
}

/* Turns scores into 2^(score - largest) and takes them into the sums. 0 * -inf would be NaN, hence
   the -1000. */
INLINE void exponentiate(float s[N][4], const float top[2], softmax_state *state)
{
    float base[2];
#pragma unroll
    for (int r = 0; r < 2; r++) {
        float before = state->largest[r], now = fmax(before, row_largest(top[r]));
        base[r] = now == -INFINITY ? 0.0f : now;
        state->shrink[r] = exp2_fast(before - base[r]);
        if (IS_RIGHT && before != -INFINITY)
            state->entropy[r] = state->shrink[r] *
                                fma(fmax(before - now, -1000.0f), state->sum[r], state->entropy[r]);
        state->sum[r] *= state->shrink[r];
        state->largest[r] = now;
    }
#pragma unroll
    for (int n = 0; n < N; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) {
            float y = s[n][i] - base[i / 2];
            s[n][i] = exp2_fast(y);
            state->sum[i / 2] += s[n][i];
            if (IS_RIGHT)
                state->entropy[i / 2] = fma(s[n][i], fmax(y, -1000.0f), state->entropy[i / 2]);
        }
}

/* ---- outputs ---- */

INLINE void multiply(float sums[OUT][4], const float factor[2])
{
#pragma unroll
    for (int n = 0; n < OUT; n++)
#pragma unroll
        for (int i = 0; i < 4; i++)
            sums[n][i] *= factor[i / 2];
}

INLINE void store_vector(__global uchar *to, const __local uchar *from, bool whole, int valid)
{
    if (whole)
        *(__global uint4 *)to = *(const __local uint4 *)from;
    else
        for (int i = 0; i < min(valid, 16) / 2; i++)
            ((__global ushort *)to)[i] = ((const __local ushort *)from)[i];
}

/* Rows leave by way of local memory, so that they are stored whole. */
INLINE void store_rows(__local uchar *rows, const rows_view *view, const presence *written,
                       mn_i32 row0, float sums[OUT][4], const float factor[2], int lane)
{
    __local uchar *own = rows + lane / 4 * PITCH + lane % 4 * 4;
    warp_barrier();
#pragma unroll
    for (int n = 0; n < OUT; n++)
#pragma unroll
        for (int r = 0; r < 2; r++) {
            float low = factor[r] == 0.0f ? 0.0f : limit_overflow(sums[n][2 * r] * factor[r]);
            float high = factor[r] == 0.0f ? 0.0f : limit_overflow(sums[n][2 * r + 1] * factor[r]);
            *(__local uint *)(own + r * 8 * PITCH + n * 16) = pack(low, high);
        }
    warp_barrier();
    for (int unit = lane; unit < 16 * (MN_WIDTH / 8); unit += WARP) {
        int row = unit / (MN_WIDTH / 8), feature = unit % (MN_WIDTH / 8) * 8;
        int valid = (view->width - feature) * 2;
        __global uchar *to =
            (__global uchar *)view->base + (row0 + row) * view->stride + feature * 2;
        if (valid > 0 && is_there(written, row0 + row))
            store_vector(to, rows + row * PITCH + feature * 2, view->vectors && valid >= 16, valid);
    }
}

/* ---- the stage ---- */

/* What a group's warps read their tiles from. */
typedef struct columns_of {
    rows_view keys, values;
    presence there;
    const __global uchar *bias, *stats;
} columns_of;

INLINE void load_tile(const mn_stage_params *p, const mn_place *at, const columns_of *columns,
                      __local uchar *stage, mn_i32 first, int thread)
{
    load_rows(stage, &columns->keys, first, MN_COLUMNS, &columns->there, thread, THREADS);
    if (HAS_RESULT)
        load_rows(stage + TILE_BYTES, &columns->values, first, MN_COLUMNS, &columns->there, thread,
                  THREADS);
    copies_commit();
    __local float *terms = (__local float *)(stage + STAGE_BYTES - TERM_BYTES);
    for (int c = thread; c < MN_COLUMNS; c += THREADS) {
        float2 term = column_terms(p, at, first + c, is_there(&columns->there, first + c),
                                   columns->bias, columns->stats);
        terms[c] = term.x;
        terms[MN_COLUMNS + c] = term.y;
    }
}

__kernel __attribute__((reqd_work_group_size(MN_PACKED * MN_WARPS * 32, 1, 1))) void
matrix(const mn_stage_params p, const __global uchar *queries, const __global uchar *keys,
       const __global uchar *bias, const __global uchar *values, __global uchar *mean_out,
       __global uchar *weight, __global uchar *result_out, const __global uchar *mask,
       __global uchar *stats)
{
    __local uchar memory[MN_PACKED * GROUP_BYTES] __attribute__((aligned(16)));
    const int lane = (int)get_local_id(0) % WARP, warp = (int)get_local_id(0) / WARP;
    const int thread = warp % MN_WARPS * WARP + lane;
    const warp_task task = find_warp_task(&p, warp);
    const mn_place *at = &task.at;
    const bool transposed = MN_FORM == MN_LEFT_MEAN;
    __local uchar *group = memory + warp / MN_WARPS * GROUP_BYTES;
    __local uchar *rows = group + warp % MN_WARPS * 16 * PITCH;
    __local uchar *stages = group + MN_WARPS * 16 * PITCH;

    columns_of columns;
    columns.keys = view_of(&p.operand[COLUMN_OPERAND], transposed ? queries : keys, at);
    columns.values = view_of(&p.operand[MN_OPERAND_VALUES], values, at);
    columns.there = columns_there(&p, at, mask);
    columns.bias = bias;
    columns.stats = stats;
    const rows_view row_view = view_of(&p.operand[ROW_OPERAND], transposed ? keys : queries, at);
    const presence row_there = rows_read(&p, at, mask);
    load_rows(rows, &row_view, task.row0, 16, &row_there, lane, WARP);

    softmax_state state = {
        {-INFINITY, -INFINITY}, {0.0f, 0.0f}, {0.0f, 0.0f}, {0.0f, 0.0f}, INFINITY};
    float mean[OUT][4], result[OUT][4], row_terms[2];
#pragma unroll
    for (int n = 0; n < OUT; n++)
#pragma unroll
        for (int i = 0; i < 4; i++)
            mean[n][i] = result[n][i] = 0.0f;
    for (int r = 0; r < 2; r++)
        row_terms[r] = row_term(&p, at, task.row0 + lane / 4 + 8 * r, bias);

    const int tiles = (p.columns + MN_COLUMNS - 1) / MN_COLUMNS;
    /* With two stages the loop starts one tile early, to load the first. */
    for (int tile = 1 - MN_STAGES; tile < tiles; tile++) {
        const int next = tile + MN_STAGES - 1;
        if (next < tiles)
            load_tile(&p, at, &columns, stages + next % MN_STAGES * STAGE_BYTES, next * MN_COLUMNS,
                      thread);
        if (tile < 0)
            continue;
        copies_wait(next == tile || next >= tiles);
        barrier(CLK_LOCAL_MEM_FENCE);
        const __local uchar *stage = stages + tile % MN_STAGES * STAGE_BYTES;
        float s[N][4], top[2];
        find_scores(s, rows, stage, lane);
        take_off_terms(s, top, &state, (const __local float *)(stage + STAGE_BYTES - TERM_BYTES),
                       row_terms, p.scale, lane);
        exponentiate(s, top, &state);
        if (HAS_MEAN) {
            multiply(mean, state.shrink);
            accumulate(mean, s, stage, lane);
        }
        if (HAS_RESULT) {
            multiply(result, state.shrink);
            accumulate(result, s, stage + TILE_BYTES, lane);
        }
        barrier(CLK_LOCAL_MEM_FENCE);
    }

    if (!task.active || task.row0 >= p.rows)
        return;
    float factor[2];
    state.least = fmin(state.least, from_lane(state.least, 1));
    state.least = fmin(state.least, from_lane(state.least, 2));
    for (int r = 0; r < 2; r++) {
        mn_i32 x = task.row0 + lane / 4 + 8 * r;
        float sum = row_sum(state.sum[r]), entropy = row_sum(state.entropy[r]);
        bool empty = state.least == INFINITY || sum == 0.0f || row_terms[r] == INFINITY;
        factor[r] = empty ? 0.0f : 1.0f / sum;
        if (lane % 4 == 0 && x < p.rows)
            store_scalars(&p, at, x, state.largest[r], sum, entropy, empty, weight, stats);
    }
    const presence written = rows_written(&p, at, mask);
    if (HAS_MEAN) {
        const rows_view view = view_of(&p.operand[MN_OPERAND_MEAN], mean_out, at);
        store_rows(rows, &view, &written, task.row0, mean, factor, lane);
    }
    if (HAS_RESULT) {
        const rows_view view = view_of(&p.operand[MN_OPERAND_RESULT], result_out, at);
        store_rows(rows, &view, &written, task.row0, result, factor, lane);
    }
}
