/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "backends/cpu/fast.h"
#include "backends/cpu/isa.h"
#include "backends/cpu/variants.h"

/*
 * The fast variants run all steps of a few heads before they go on to the next heads, so that what
 * one stage hands to the next is still in the cache. The intermediates of those few heads live
 * in the run's scratch and are used again by the next ones.
 */

enum { CHUNK_BYTES = 4 << 20, TASKS_PER_THREAD = 8, ALIGN_FLOATS = 16 };

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t divide_up(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

/* Takes `floats` floats of a growing scratch area and returns where they start. */
static int64_t take(int64_t *size, int64_t floats)
{
    int64_t start = *size;
    *size += divide_up(floats, ALIGN_FLOATS) * ALIGN_FLOATS;
    return start;
}

/* LEFT with more columns than this needs the statistics of its rows first. */
static bool needs_stats(const mn_step *step)
{
    return step->kind == MONARCH_STAGE_LEFT && step->columns > MN_CPU_LEFT_COLUMNS;
}

static mn_cpu_scratch scratch_of(const mn_step *step)
{
    bool left = step->kind == MONARCH_STAGE_LEFT;
    int64_t most = left && !needs_stats(step) ? MN_CPU_LEFT_COLUMNS : MN_CPU_COLUMN_TILE;
    int64_t columns = mn_cpu_padded(smaller(step->columns, most));
    int64_t rows = smaller(step->rows, MN_CPU_ROW_TILE);
    int64_t depth = mn_cpu_padded(step->depth), values = mn_cpu_padded(step->values.width);
    mn_cpu_scratch s = {0};
    s.queries = take(&s.size, rows * depth);
    s.keys = take(&s.size, columns * depth);
    s.panels = take(&s.size, divide_up(columns, 2 * MN_CPU_PAD) * 2 * MN_CPU_PAD * step->depth);
    s.values = take(&s.size, columns * values);
    s.bias = take(&s.size, columns);
    s.scores = take(&s.size, smaller(step->rows, MN_CPU_STRIP) * columns);
    s.mean = take(&s.size, (left ? columns : rows) * depth);
    s.result = take(&s.size, rows * values);
    s.state = take(&s.size, 3 * MN_CPU_ROW_TILE);
    s.columns = take(&s.size, left ? 3 * MN_CPU_LEFT_COLUMNS : 0);
    return s;
}

/* How the scratch of a run is cut: intermediates by role, row statistics, then the threads'. */
typedef struct layout {
    int64_t heads; /* of one chunk */
    int64_t slots[MN_SLOT_VALUE_MEAN + 1];
    int64_t stats, threads, thread_size;
    int64_t size;
} layout;

/* Tasks that one score matrix of `size` rows and columns is cut into. */
static int64_t pieces_of(int64_t size)
{
    return size > MN_CPU_COLUMN_TILE ? divide_up(size, MN_CPU_ROW_TILE) : 1;
}

/* Heads run together: as many as the cache holds, and enough for every thread to have work. */
static int64_t chunk_heads(const mn_program *program, uint32_t threads)
{
    const monarch_problem *p = &program->problem;
    int64_t padded = program->blocks * p->block_size;
    int64_t bytes = padded * (2 * p->head_dim + p->value_dim + 2) * (int64_t)sizeof(float);
    int64_t right = program->blocks * pieces_of(p->block_size);
    int64_t left = p->block_size * pieces_of(program->blocks);
    int64_t cached = CHUNK_BYTES / bytes;
    int64_t busy = divide_up(TASKS_PER_THREAD * threads, smaller(right, left));
    int64_t heads = cached > busy ? cached : busy;
    return smaller(heads > 0 ? heads : 1, p->batch * p->heads);
}

static layout layout_of(const mn_program *program, uint32_t threads, uint32_t first, uint32_t count)
{
    layout l = {.heads = program->problem.batch * program->problem.heads};
    int64_t rows = program->blocks * program->problem.block_size;
    bool stats = false;
    if (count > 1) { /* the intermediates inside the run are its own */
        l.heads = chunk_heads(program, threads);
        int64_t widths[MN_SLOT_VALUE_MEAN + 1] = {0};
        for (uint32_t i = 0; i < program->slot_count; i++)
            widths[program->slots[i].role] = program->slots[i].row;
        for (int role = 0; role <= MN_SLOT_VALUE_MEAN; role++)
            l.slots[role] = take(&l.size, l.heads * rows * widths[role]);
    }
    for (uint32_t i = first; i < first + count; i++) {
        int64_t size = scratch_of(&program->steps[i]).size;
        l.thread_size = size > l.thread_size ? size : l.thread_size;
        stats |= needs_stats(&program->steps[i]);
    }
    l.stats = take(&l.size, stats ? 2 * l.heads * rows : 0);
    l.threads = take(&l.size, l.thread_size * threads);
    return l;
}

/* One step of one chunk, cut into tasks. */
typedef struct job {
    const mn_cpu_exec *exec;
    const mn_cpu_kernels *kernels;
    const mn_step *step;
    const layout *layout;
    mn_cpu_scratch scratch;
    int64_t pieces;     /* tasks of one group */
    int64_t piece_size; /* rows or columns of one task */
    bool stats;         /* first pass of LEFT */
} job;

static void run_task(void *context, int64_t index, uint32_t thread)
{
    const job *j = context;
    const mn_step *step = j->step;
    float *scratch = (float *)(void *)j->exec->scratch;
    int64_t piece = index % j->pieces, matrix = index / j->pieces;
    int64_t head = j->exec->slot_origin + matrix / step->groups;
    int64_t heads = j->exec->program->problem.heads;
    bool by_columns = step->kind == MONARCH_STAGE_LEFT && !j->stats;
    mn_cpu_task task = {
        .exec = j->exec,
        .step = step,
        .layout = j->scratch,
        .scratch = scratch + j->layout->threads + j->layout->thread_size * (int64_t)thread,
        .batch = head / heads,
        .head = head % heads,
        .group = matrix % step->groups,
        .from = piece * j->piece_size,
        .to = smaller((piece + 1) * j->piece_size, by_columns ? step->columns : step->rows),
        .stats = needs_stats(step) ? scratch + j->layout->stats + 2 * matrix * step->rows : NULL,
    };
    if (j->stats)
        j->kernels->stats(&task);
    else if (by_columns)
        j->kernels->columns(&task);
    else
        j->kernels->rows(&task);
}

static void run_pass(job *j, int64_t extent, int64_t piece_size, int64_t heads, bool stats)
{
    j->stats = stats;
    j->piece_size = piece_size;
    j->pieces = divide_up(extent, piece_size);
    mn_team_run(j->exec->team, run_task, j, heads * j->step->groups * j->pieces);
}

static void run_step(const mn_cpu_variant *variant, const mn_cpu_exec *exec, const layout *l,
                     const mn_step *step, int64_t heads)
{
    job j = {.exec = exec,
             .kernels = variant->kernels,
             .step = step,
             .layout = l,
             .scratch = scratch_of(step)};
    if (needs_stats(step)) {
        run_pass(&j, step->rows, MN_CPU_ROW_TILE, heads, true);
        run_pass(&j, step->columns, MN_CPU_COLUMN_TILE, heads, false);
    } else if (step->kind == MONARCH_STAGE_LEFT) {
        run_pass(&j, step->columns, step->columns, heads, false);
    } else {
        /* A group whose columns are packed once is one task, unless threads would go idle; larger
           ones are cut by rows. Rows do not depend on each other, so no bit depends on this. */
        bool whole = step->columns <= MN_CPU_COLUMN_TILE &&
                     heads * step->groups >= 2 * (int64_t)exec->threads;
        run_pass(&j, step->rows, whole ? step->rows : MN_CPU_ROW_TILE, heads, false);
    }
}

static void run(const mn_cpu_variant *variant, mn_cpu_exec *exec, uint32_t first, uint32_t count)
{
    const mn_program *program = exec->program;
    layout l = layout_of(program, exec->threads, first, count);
    int64_t all = program->problem.batch * program->problem.heads;
    for (uint32_t i = 0; i < program->slot_count && count > 1; i++)
        exec->slots[i] = exec->scratch + l.slots[program->slots[i].role] * (int64_t)sizeof(float);
    for (int64_t head = 0; head < all; head += l.heads) {
        exec->slot_origin = head;
        for (uint32_t i = first; i < first + count; i++)
            run_step(variant, exec, &l, &program->steps[i], smaller(l.heads, all - head));
    }
}

static uint32_t covers(const mn_variant *base, const monarch_device *device,
                       const mn_program *program, uint32_t first, uint32_t limit, mn_reason *reason)
{
    (void)device;
    (void)program;
    (void)first;
    const mn_cpu_variant *variant = (const mn_cpu_variant *)base;
    if (!variant->usable || variant->usable())
        return limit;
    snprintf(reason->text, sizeof reason->text, "the processor lacks %s", variant->needs);
    return 0;
}

static uint64_t scratch(const mn_variant *base, const monarch_device *device,
                        const mn_program *program, uint32_t first, uint32_t count)
{
    (void)base;
    return sizeof(float) *
           (uint64_t)layout_of(program, device->info.compute_units, first, count).size;
}

#if defined(__x86_64__)
const mn_cpu_variant mn_cpu_avx512 = {.base = {"avx512", covers, NULL, scratch},
                                      .usable = mn_cpu_has_avx512,
                                      .needs = "AVX-512 (F, VL, BW, DQ)",
                                      .run = run,
                                      .kernels = &mn_cpu_kernels_avx512};

const mn_cpu_variant mn_cpu_avx2 = {.base = {"avx2", covers, NULL, scratch},
                                    .usable = mn_cpu_has_avx2,
                                    .needs = "AVX2, FMA or F16C",
                                    .run = run,
                                    .kernels = &mn_cpu_kernels_avx2};
#endif

const mn_cpu_variant mn_cpu_generic = {
    .base = {"generic", covers, NULL, scratch},
    .run = run,
    .kernels = &mn_cpu_kernels_generic,
};
