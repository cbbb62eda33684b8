/* SPDX-License-Identifier: Apache-2.0 */
#include <fenv.h>
#include <string.h>

#include "backends/cpu/cpu.h"
#include "backends/cpu/variants.h"
#include "core/error.h"
#include "core/workspace.h"

static char *pointer_of(const monarch_memory *memory)
{
    return (char *)(uintptr_t)(memory->handle + memory->offset);
}

static void bind_exec(const monarch_plan *plan, monarch_queue *queue, const mn_bindings *bindings,
                      mn_cpu_exec *exec)
{
    memset(exec, 0, sizeof *exec);
    exec->program = &plan->program;
    exec->team = ((mn_cpu_queue *)queue)->team;
    exec->threads = plan->device->info.compute_units;
    exec->tensors[MN_SOURCE_Q] = pointer_of(&bindings->q);
    exec->tensors[MN_SOURCE_K] = pointer_of(&bindings->k);
    exec->tensors[MN_SOURCE_V] = pointer_of(&bindings->v);
    exec->tensors[MN_SOURCE_MASK] = pointer_of(&bindings->mask);
    exec->tensors[MN_SOURCE_OUT] = pointer_of(&bindings->out);
    for (uint32_t i = 0; i < plan->program.slot_count; i++)
        if (plan->slot_offsets[i] != UINT64_MAX)
            exec->slots[i] = pointer_of(&bindings->workspace) + plan->slot_offsets[i];
}

#ifndef NDEBUG
enum { PAINT = 0xA5 };

/* The red zones that belong to a run: behind its scratch and behind the slots it writes. */
static bool red_zone(const monarch_plan *plan, const mn_cpu_exec *exec, const mn_run *run,
                     bool check)
{
    bool intact = true;
    for (uint32_t i = 0; i <= plan->program.slot_count; i++) {
        bool scratch = i == plan->program.slot_count;
        char *start = scratch ? exec->scratch + run->scratch : NULL;
        if (!scratch && plan->slot_offsets[i] != UINT64_MAX &&
            plan->program.slots[i].writer >= run->first &&
            plan->program.slots[i].writer < run->first + run->count)
            start = exec->slots[i] + plan->program.slots[i].bytes;
        if (!start || (scratch && run->scratch == 0))
            continue;
        if (!check)
            memset(start, PAINT, MN_WORKSPACE_RED_ZONE);
        for (int k = 0; check && k < MN_WORKSPACE_RED_ZONE; k++)
            intact &= (unsigned char)start[k] == PAINT;
    }
    return intact;
}
#endif

static monarch_status run_all(const monarch_plan *plan, monarch_queue *queue,
                              const mn_bindings *bindings, monarch_error *error)
{
    mn_cpu_exec exec;
    bind_exec(plan, queue, bindings, &exec);
    for (uint32_t i = 0; i < bindings->run_count; i++) {
        const mn_run *run = &plan->runs[bindings->first_run + i];
        const mn_cpu_variant *variant = run->variant;
        exec.scratch =
            pointer_of(&bindings->workspace) + plan->scratch_offsets[bindings->first_run + i];
#ifndef NDEBUG
        red_zone(plan, &exec, run, false);
#endif
        variant->run(variant, &exec, run->first, run->count);
#ifndef NDEBUG
        if (!red_zone(plan, &exec, run, true))
            return mn_fail(error, MONARCH_ERROR_NATIVE,
                           "variant %s wrote past the end of its workspace", run->name);
#endif
    }
    (void)error;
    return MONARCH_OK;
}

/*
 * The caller's floating-point environment (rounding, flushing of subnormals, traps) must not reach
 * the result: the team's threads have their own, and which thread takes which task is open.
 */
monarch_status mn_cpu_plan_enqueue(const monarch_plan *plan, monarch_queue *queue,
                                   const mn_bindings *bindings, monarch_error *error)
{
    fenv_t saved;
    fegetenv(&saved);
    fesetenv(FE_DFL_ENV);
    monarch_status status = run_all(plan, queue, bindings, error);
    fesetenv(&saved);
    return status;
}
