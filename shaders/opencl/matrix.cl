/* SPDX-License-Identifier: Apache-2.0 */
#include "shaders/opencl/matrix_tile.clh"

/*
 * Variant matrix: a stage by warps that hold 16 rows of a score matrix each, on the matrix units of
 * NVIDIA GPUs. Compiled for MN_FORM, MN_DTYPE (f16 or bf16), MN_WIDTH features and MN_COLUMNS
 * columns at a time; MN_WARPS warps share a group, MN_PACKED groups a work-group. The columns come
 * in tiles, with an online softmax; MN_STAGES tiles are in local memory at once, and with 2 the
 * next one is on its way while one is worked on.
 */

enum {
    TILE_BYTES = MN_COLUMNS * PITCH,
    TERM_BYTES = 2 * 4 * MN_COLUMNS,
    STAGE_BYTES = TILE_BYTES * (HAS_RESULT ? 2 : 1) + TERM_BYTES,
    ROWS_BYTES = MN_WARPS * WARP_ROWS * PITCH,
    GROUP_BYTES = ROWS_BYTES + MN_STAGES * STAGE_BYTES,
    THREADS = MN_WARPS * WARP /* that share a group */
};

/* What a warp works on. */
typedef struct warp_task {
    mn_place at;
    mn_i32 row0;
    bool active;
    uint lane, thread; /* of the warp; of the warps that share the group */
    rows_view rows, keys, values;
    presence rows_there, columns_there;
    const __global uchar *bias, *mask;
    __global uchar *mean, *weight, *result, *stats;
    __local uchar *row_memory, *tile_memory; /* of the warp; of the group */
} warp_task;

INLINE void find_warp_task(const mn_stage_params *p, uint warp, warp_task *task)
{
    mn_i32 split = 0, group = 0;
    mn_i64 number = mn_work_group();
    mn_i64 pack = p->row_splits > 1 ? divide(number, p->row_splits, &split) : number;
    if (p->backwards)
        pack = (p->tasks - 1) / MN_PACKED - pack;
    mn_i64 index = pack * MN_PACKED + warp / MN_WARPS;
    task->active = index >= 0 && index < p->tasks;
    mn_i64 head = divide(task->active ? index : 0, p->groups, &group);
    task->at.batch = divide(head, p->heads, &task->at.head);
    task->at.group = group;
    task->row0 = (split * MN_WARPS + (mn_i32)(warp % MN_WARPS)) * WARP_ROWS;
}

/* The terms of MN_COLUMNS columns from `first` on, two arrays one after the other. */
INLINE void load_terms(const mn_stage_params *p, const warp_task *task, __local float *terms,
                       mn_i32 first)
{
    for (int c = (int)task->thread; c < MN_COLUMNS; c += THREADS) {
        float2 term =
            column_terms(p, &task->at, first + c, is_there(&task->columns_there, first + c),
                         task->bias, task->stats);
        terms[c] = term.x;
        terms[MN_COLUMNS + c] = term.y;
    }
}

/* Whether the columns of a tile have no terms: see softmax_tile. */
INLINE bool is_plain_tile(const mn_stage_params *p, const warp_task *task, mn_i32 first)
{
    return IS_RIGHT && p->scale > 0.0f && are_all_there(first, MN_COLUMNS, &task->columns_there);
}

/* What is written of rows beside their means; by what sums are multiplied at the end. */
INLINE void end_softmax(const mn_stage_params *p, const warp_task *task, mn_i32 row0,
                        const softmax_state *state, const float row_terms[2], float factor[2])
{
    const float here = state->any ? 1.0f : 0.0f;
    const bool any = row_sum(here) > 0.0f;
#pragma unroll
    for (int r = 0; r < 2; r++) {
        mn_i32 x = row0 + (mn_i32)(task->lane / 4) + 8 * r;
        float sum = row_sum(state->sum[r]), entropy = IS_RIGHT ? row_sum(state->entropy[r]) : 0.0f;
        bool empty = !any || sum == 0.0f || row_terms[r] == INFINITY;
        factor[r] = empty ? 0.0f : 1.0f / sum;
        if (task->lane % 4 == 0 && task->active && x < p->rows)
            store_scalars(p, &task->at, x, state->largest[r], sum, entropy, empty, task->weight,
                          task->stats);
    }
}

INLINE void find_row_terms(const mn_stage_params *p, const warp_task *task, mn_i32 row0,
                           float row_terms[2])
{
#pragma unroll
    for (int r = 0; r < 2; r++)
        row_terms[r] = row_term(p, &task->at, row0 + (mn_i32)(task->lane / 4) + 8 * r, task->bias);
}

/* Where rows go is worked out when they do: until then it would take registers. */
INLINE void store_output(const mn_stage_params *p, const warp_task *task, int operand, mn_i32 row0,
                         float sums[OUT][4], const float factor[2])
{
    const rows_view view = view_of(
        &p->operand[operand], operand == MN_OPERAND_MEAN ? task->mean : task->result, &task->at);
    presence written = rows_written(p, &task->at, task->mask);
    if (!task->active)
        written.end = written.begin;
    store_rows(task->row_memory, &view, &written, row0, sums, factor, task->lane);
}

INLINE void load_tile(const mn_stage_params *p, const warp_task *task, __local uchar *stage,
                      mn_i32 first)
{
    load_rows(stage, &task->keys, first, MN_COLUMNS, &task->columns_there, task->thread, THREADS);
    if (HAS_RESULT)
        load_rows(stage + TILE_BYTES, &task->values, first, MN_COLUMNS, &task->columns_there,
                  task->thread, THREADS);
    copies_commit();
    if (!is_plain_tile(p, task, first))
        load_terms(p, task, (__local float *)(stage + STAGE_BYTES - TERM_BYTES), first);
}

INLINE void attend(const mn_stage_params *p, const warp_task *task)
{
    __local uchar *const rows = task->row_memory;
    softmax_state state;
    float mean[OUT][4], result[OUT][4], row_terms[2], factor[2];
    start_softmax(&state);
    set_zero(mean);
    set_zero(result);
    find_row_terms(p, task, task->row0, row_terms);
    load_rows(rows, &task->rows, task->row0, WARP_ROWS, &task->rows_there, task->lane, WARP);
    const int tiles = (p->columns + MN_COLUMNS - 1) / MN_COLUMNS;
    /* With two stages the loop starts one tile early, to load the first. */
    for (int tile = 1 - MN_STAGES; tile < tiles; tile++) {
        const int next = tile + MN_STAGES - 1;
        if (next < tiles)
            load_tile(p, task, task->tile_memory + next % MN_STAGES * STAGE_BYTES,
                      next * MN_COLUMNS);
        if (tile < 0)
            continue;
        if (next == tile || next >= tiles)
            copies_wait_for_all();
        else
            copies_wait_but_last();
        barrier(CLK_LOCAL_MEM_FENCE);
        __local uchar *stage = task->tile_memory + tile % MN_STAGES * STAGE_BYTES;
        const __local float *terms = (const __local float *)(stage + STAGE_BYTES - TERM_BYTES);
        float s[N][4], shrink[2];
        uint weights[N / 2][4];
        find_scores(s, rows, stage, task->lane);
        if (is_plain_tile(p, task, tile * MN_COLUMNS))
            softmax_tile(s, &state, shrink, true, terms, row_terms, p->scale, task->lane);
        else
            softmax_tile(s, &state, shrink, false, terms, row_terms, p->scale, task->lane);
        pack_all(weights, s);
        if (HAS_MEAN) {
            shrink_rows(mean, shrink);
            accumulate(mean, weights, stage, task->lane);
        }
        if (HAS_RESULT) {
            shrink_rows(result, shrink);
            accumulate(result, weights, stage + TILE_BYTES, task->lane);
        }
        barrier(CLK_LOCAL_MEM_FENCE);
    }
    end_softmax(p, task, task->row0, &state, row_terms, factor);
    if (HAS_MEAN)
        store_output(p, task, MN_OPERAND_MEAN, task->row0, mean, factor);
    if (HAS_RESULT)
        store_output(p, task, MN_OPERAND_RESULT, task->row0, result, factor);
}

__kernel __attribute__((reqd_work_group_size(MN_PACKED * MN_WARPS * 32, 1, 1))) void
matrix(const mn_stage_params p, const __global uchar *queries, const __global uchar *keys,
       const __global uchar *bias, const __global uchar *values, __global uchar *mean_out,
       __global uchar *weight, __global uchar *result_out, const __global uchar *mask,
       __global uchar *stats)
{
    __local uchar memory[MN_PACKED * GROUP_BYTES] __attribute__((aligned(16)));
    const bool transposed = MN_FORM == MN_LEFT_MEAN;
    const uint warp = (uint)get_local_id(0) / WARP;
    warp_task task;
    task.bias = bias;
    task.mask = mask;
    task.mean = mean_out;
    task.weight = weight;
    task.result = result_out;
    task.stats = stats;
    find_warp_task(&p, warp, &task);
    task.lane = (uint)get_local_id(0) % WARP;
    task.thread = warp % MN_WARPS * WARP + task.lane;
    task.row_memory = memory + warp / MN_WARPS * GROUP_BYTES + warp % MN_WARPS * WARP_ROWS * PITCH;
    task.tile_memory = memory + warp / MN_WARPS * GROUP_BYTES + ROWS_BYTES;
    task.rows = view_of(&p.operand[ROW_OPERAND], transposed ? keys : queries, &task.at);
    task.keys = view_of(&p.operand[COLUMN_OPERAND], transposed ? queries : keys, &task.at);
    task.values = view_of(&p.operand[MN_OPERAND_VALUES], values, &task.at);
    task.rows_there = rows_read(&p, &task.at, mask);
    task.columns_there = columns_there(&p, &task.at, mask);
    attend(&p, &task);
}
