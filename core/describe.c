/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "core/abi.h"
#include "core/backend.h"
#include "core/cost.h"
#include "core/error.h"

const char *monarch_stage_kind_name(monarch_stage_kind kind)
{
    switch (kind) {
    case MONARCH_STAGE_RIGHT:
        return "right";
    case MONARCH_STAGE_LEFT:
        return "left";
    case MONARCH_STAGE_RIGHT_VALUE:
        return "right_value";
    case MONARCH_STAGE_LEFT_OUT:
        return "left_out";
    }
    return "?";
}

uint32_t monarch_plan_stage_count(const monarch_plan *plan)
{
    return plan ? plan->program.step_count : 0;
}

/* The run that covers a step; every step has one. */
static const mn_run *run_of(const monarch_plan *plan, uint32_t step)
{
    const mn_run *run = plan->runs;
    while (step >= run->first + run->count)
        run++;
    return run;
}

monarch_status monarch_plan_stage(const monarch_plan *plan, uint32_t index,
                                  monarch_stage_info *info, monarch_error *error)
{
    if (!plan)
        return mn_fail_null(error, "plan");
    if (!info)
        return mn_fail_null(error, "info");
    if (index >= plan->program.step_count)
        return mn_fail(error, MONARCH_ERROR_INVALID_ARGUMENT,
                       "index is %" PRIu32 "; the plan has %" PRIu32 " stages", index,
                       plan->program.step_count);
    const mn_step *step = &plan->program.steps[index];
    mn_cost cost = mn_cost_step(&plan->program, step);
    monarch_stage_info known = {.kind = step->kind,
                                .groups = step->groups,
                                .rows = step->rows,
                                .columns = step->columns,
                                .flops = cost.flops,
                                .bytes = cost.bytes};
    snprintf(known.variant, sizeof known.variant, "%s", run_of(plan, index)->name);
    return mn_copy_out("monarch_stage_info", info, &known, (uint32_t)sizeof known, error);
}

monarch_status monarch_plan_cost(const monarch_plan *plan, monarch_plan_cost_info *cost,
                                 monarch_error *error)
{
    if (!plan)
        return mn_fail_null(error, "plan");
    if (!cost)
        return mn_fail_null(error, "cost");
    const mn_program *program = &plan->program;
    mn_cost exact = mn_cost_exact(program);
    monarch_plan_cost_info known = {.exact_flops = exact.flops, .floor_bytes = exact.bytes};
    for (uint32_t i = 0; i < program->step_count; i++) {
        mn_cost step = mn_cost_step(program, &program->steps[i]);
        known.flops += step.flops;
        known.bytes += step.bytes;
    }
    return mn_copy_out("monarch_plan_cost_info", cost, &known, (uint32_t)sizeof known, error);
}

/* Text that grows in a buffer of fixed size and remembers how long it would be. */
typedef struct writer {
    char *text;
    size_t capacity, length;
} writer;

__attribute__((format(printf, 2, 3))) static void write_text(writer *w, const char *format, ...)
{
    bool room = w->length < w->capacity;
    va_list arguments;
    va_start(arguments, format);
    int wrote = vsnprintf(room ? w->text + w->length : NULL, room ? w->capacity - w->length : 0,
                          format, arguments);
    va_end(arguments);
    w->length += wrote > 0 ? (size_t)wrote : 0;
}

static void write_problem(writer *w, const monarch_plan *plan)
{
    const mn_program *program = &plan->program;
    const monarch_problem *p = &program->problem;
    int64_t padded = program->blocks * p->block_size;
    write_text(w, "batch %" PRId64 ", heads %" PRId64, p->batch, p->heads);
    if (p->kv_heads != p->heads)
        write_text(w, " (%" PRId64 " of keys and values)", p->kv_heads);
    write_text(w, ", tokens %" PRId64 ", head_dim %" PRId64, p->tokens, p->head_dim);
    if (p->value_dim != p->head_dim)
        write_text(w, ", value_dim %" PRId64, p->value_dim);
    write_text(w, ", %s", monarch_dtype_name(p->q.dtype));
    if (p->k.dtype != p->q.dtype || p->v.dtype != p->q.dtype)
        write_text(w, " (k %s, v %s)", monarch_dtype_name(p->k.dtype),
                   monarch_dtype_name(p->v.dtype));
    if (p->out.dtype != p->q.dtype)
        write_text(w, " to %s", monarch_dtype_name(p->out.dtype));
    if (p->intermediates == MONARCH_INTERMEDIATES_FP8)
        write_text(w, ", intermediates fp8");
    write_text(w, "%s\n%" PRId64 " blocks of %" PRId64 " tokens", p->has_mask ? ", key mask" : "",
               program->blocks, p->block_size);
    if (padded != p->tokens)
        write_text(w, " (%" PRId64 " of padding at the %s)", padded - p->tokens,
                   p->pad == MONARCH_PAD_BEGIN ? "beginning" : "end");
    write_text(w, ", %" PRId32 " step%s, scale %.6g\n", p->steps, p->steps == 1 ? "" : "s",
               (double)p->scale);
}

static void write_stages(writer *w, const monarch_plan *plan)
{
    const mn_program *program = &plan->program;
    if (program->step_count == 0) {
        write_text(w, "empty: nothing to do\n");
        return;
    }
    write_text(w, "%-5s  %-11s  %-20s  %9s  %9s  %s\n", "stage", "kind", "scores per head", "GFLOP",
               "MB", "variant");
    for (uint32_t i = 0; i < program->step_count; i++) {
        const mn_step *step = &program->steps[i];
        mn_cost cost = mn_cost_step(program, step);
        char scores[64];
        snprintf(scores, sizeof scores, "%" PRId64 " x (%" PRId64 " x %" PRId64 ")", step->groups,
                 step->rows, step->columns);
        write_text(w, "%5" PRIu32 "  %-11s  %-20s  %9.4g  %9.4g  %s%s%s\n", i,
                   monarch_stage_kind_name(step->kind), scores, cost.flops * 1e-9,
                   cost.bytes * 1e-6, run_of(plan, i)->name, *run_of(plan, i)->detail ? " " : "",
                   run_of(plan, i)->detail);
    }
}

size_t monarch_plan_describe(const monarch_plan *plan, char *text, size_t capacity)
{
    writer w = {text, text ? capacity : 0, 0};
    if (w.capacity > 0)
        text[0] = '\0';
    if (!plan)
        return 0;
    write_text(&w, "device %s:%" PRIu32 " (%s)\n", plan->device->info.backend,
               plan->device->info.index, plan->device->info.name);
    write_problem(&w, plan);
    write_stages(&w, plan);
    write_text(&w, "workspace %" PRIu64 " bytes\n", plan->workspace_size);
    return w.length;
}
