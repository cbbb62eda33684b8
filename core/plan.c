/* SPDX-License-Identifier: Apache-2.0 */
#include "core/plan.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "core/abi.h"
#include "core/alloc.h"
#include "core/arguments.h"
#include "core/cost.h"
#include "core/error.h"
#include "core/log.h"

/* A promise beyond the alignment of the library's own buffers would help nobody. */
enum { MAX_ALIGNMENT = MN_WORKSPACE_ALIGNMENT };

/* Builds the program for a device and asks its selector. The runs belong to the caller. */
static monarch_status select_runs(const monarch_device *device, const monarch_problem *problem,
                                  const mn_plan_options *options, mn_program *program,
                                  mn_run **runs, uint32_t *run_count, monarch_error *error)
{
    const monarch_allocator *allocator = &device->instance->allocator;
    monarch_problem resolved;
    MN_TRY(monarch_problem_resolve(problem, &resolved, error));
    mn_program_options build = {device->intermediate, options->alignment, options->stages};
    MN_TRY(mn_program_build(&resolved, &build, allocator, program, error));
    *run_count = 0;
    *runs = mn_alloc_array(allocator, program->step_count, sizeof **runs);
    mn_select_options select = {options->variant, options->stages};
    monarch_status status =
        *runs ? device->backend->select(device, program, &select, *runs, run_count, error)
              : mn_fail_memory(error, "the list of runs");
    if (status != MONARCH_OK) {
        mn_free(allocator, *runs);
        mn_program_free(program, allocator);
    }
    return status;
}

/* A slot is stored when it leaves the run that writes it. */
static bool is_stored(const monarch_plan *plan, const mn_slot *slot, bool keep)
{
    for (uint32_t i = 0; i < plan->run_count; i++) {
        const mn_run *run = &plan->runs[i];
        if (slot->writer >= run->first && slot->writer < run->first + run->count)
            return keep || slot->last_reader >= run->first + run->count;
    }
    return true;
}

static monarch_status book_workspace(monarch_plan *plan, bool keep, monarch_error *error)
{
    const monarch_allocator *allocator = &plan->device->instance->allocator;
    const mn_program *program = &plan->program;
    uint32_t slots = program->slot_count, runs = plan->run_count;
    mn_workspace workspace;
    plan->slot_offsets = mn_alloc_array(allocator, slots, sizeof *plan->slot_offsets);
    plan->scratch_offsets = mn_alloc_array(allocator, runs, sizeof *plan->scratch_offsets);
    if (!plan->slot_offsets || !plan->scratch_offsets)
        return mn_fail_memory(error, "the workspace offsets");
    MN_TRY(mn_workspace_init(&workspace, slots + runs, allocator, error));
    for (uint32_t i = 0; i < slots; i++) {
        const mn_slot *slot = &program->slots[i];
        mn_workspace_book(&workspace, is_stored(plan, slot, keep) ? slot->bytes : 0, slot->writer,
                          slot->last_reader);
    }
    for (uint32_t i = 0; i < runs; i++)
        mn_workspace_book(&workspace, plan->runs[i].scratch, plan->runs[i].first,
                          plan->runs[i].first + plan->runs[i].count - 1);
    mn_workspace_pack(&workspace);
    for (uint32_t i = 0; i < slots; i++)
        plan->slot_offsets[i] =
            workspace.bookings[i].bytes > 0 ? workspace.bookings[i].offset : UINT64_MAX;
    for (uint32_t i = 0; i < runs; i++)
        plan->scratch_offsets[i] = workspace.bookings[slots + i].offset;
    plan->workspace_size = workspace.size;
    mn_workspace_free(&workspace, allocator);
    return MONARCH_OK;
}

static void free_plan(monarch_plan *plan)
{
    const monarch_allocator *allocator = &plan->device->instance->allocator;
    mn_program_free(&plan->program, allocator);
    mn_free(allocator, plan->runs);
    mn_free(allocator, plan->slot_offsets);
    mn_free(allocator, plan->scratch_offsets);
    mn_free(allocator, plan);
}

static void log_plan(const monarch_plan *plan)
{
    const monarch_device_info *info = &plan->device->info;
    for (uint32_t i = 0; i < plan->run_count; i++)
        mn_log(plan->device->instance, MONARCH_LOG_INFO,
               "plan on %s:%" PRIu32 ": stages %" PRIu32 " to %" PRIu32 " by variant %s %s",
               info->backend, info->index, plan->runs[i].first,
               plan->runs[i].first + plan->runs[i].count - 1, plan->runs[i].name,
               plan->runs[i].detail);
}

monarch_status mn_plan_create(monarch_device *device, const monarch_problem *problem,
                              const mn_plan_options *options, monarch_plan **out,
                              monarch_error *error)
{
    if (!out)
        return mn_fail_null(error, "plan");
    *out = NULL;
    if (!device)
        return mn_fail_null(error, "device");
    const monarch_allocator *allocator = &device->instance->allocator;
    MN_TRY(mn_instance_check_process(device->instance, error));
    monarch_plan *plan = mn_alloc(allocator, sizeof *plan);
    if (!plan)
        return mn_fail_memory(error, "the plan");
    plan->device = device;
    monarch_status status =
        select_runs(device, problem, options, &plan->program, &plan->runs, &plan->run_count, error);
    if (status != MONARCH_OK) {
        mn_free(allocator, plan);
        return status;
    }
    status = book_workspace(plan, options->stages, error);
    if (status == MONARCH_OK && device->backend->plan_build)
        status = device->backend->plan_build(plan, error);
    if (status != MONARCH_OK) {
        monarch_plan_destroy(&plan);
        return status;
    }
    log_plan(plan);
    *out = plan;
    return MONARCH_OK;
}

monarch_status monarch_plan_create(monarch_device *device, const monarch_problem *problem,
                                   const monarch_plan_options *given, monarch_plan **plan,
                                   monarch_error *error)
{
    monarch_plan_options options = monarch_plan_options_default();
    if (plan)
        *plan = NULL;
    if (given)
        MN_TRY(mn_copy_struct("monarch_plan_options", given, &options, (uint32_t)sizeof options,
                              (uint32_t)sizeof options, error));
    if (options.alignment > MAX_ALIGNMENT || (options.alignment & (options.alignment - 1)) != 0)
        return mn_fail(error, MONARCH_ERROR_INVALID_ARGUMENT,
                       "options.alignment is %" PRIu32 "; it must be a power of two up to %d, or 0",
                       options.alignment, MAX_ALIGNMENT);
    mn_plan_options internal = {.variant = options.variant, .alignment = options.alignment};
    return mn_plan_create(device, problem, &internal, plan, error);
}

void monarch_plan_destroy(monarch_plan **handle)
{
    if (!handle || !*handle)
        return;
    monarch_plan *plan = *handle;
    *handle = NULL;
    if (plan->device->backend->plan_free)
        plan->device->backend->plan_free(plan);
    free_plan(plan);
}

monarch_status monarch_problem_supported(const monarch_device *device,
                                         const monarch_problem *problem, const char *variant,
                                         monarch_error *error)
{
    if (!device)
        return mn_fail_null(error, "device");
    MN_TRY(mn_instance_check_process(device->instance, error));
    mn_plan_options options = {.variant = variant};
    mn_program program;
    mn_run *runs;
    uint32_t run_count;
    MN_TRY(select_runs(device, problem, &options, &program, &runs, &run_count, error));
    mn_free(&device->instance->allocator, runs);
    mn_program_free(&program, &device->instance->allocator);
    return MONARCH_OK;
}

monarch_status monarch_plan_problem(const monarch_plan *plan, monarch_problem *problem,
                                    monarch_error *error)
{
    if (!plan)
        return mn_fail_null(error, "plan");
    if (!problem)
        return mn_fail_null(error, "problem");
    return mn_copy_out("monarch_problem", problem, &plan->program.problem,
                       (uint32_t)sizeof *problem, error);
}

void monarch_plan_workspace(const monarch_plan *plan, uint64_t *size, uint64_t *alignment)
{
    if (size)
        *size = plan ? plan->workspace_size : 0;
    if (alignment)
        *alignment = MN_WORKSPACE_ALIGNMENT;
}

monarch_status monarch_plan_workspace_create(const monarch_plan *plan, monarch_buffer **workspace,
                                             monarch_error *error)
{
    if (!workspace)
        return mn_fail_null(error, "workspace");
    *workspace = NULL;
    if (!plan)
        return mn_fail_null(error, "plan");
    return monarch_buffer_create(plan->device, plan->workspace_size, workspace, error);
}

monarch_status monarch_plan_execute(const monarch_plan *plan, monarch_queue *queue,
                                    const monarch_plan_args *args, monarch_error *error)
{
    mn_bindings bindings = {0};
    MN_TRY(mn_bind_arguments(plan, queue, args, &bindings, error));
    if (bindings.run_count == 0)
        return MONARCH_OK;
    return plan->device->backend->plan_enqueue(plan, queue, &bindings, error);
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

monarch_status monarch_plan_time(const monarch_plan *plan, monarch_queue *queue,
                                 const monarch_plan_args *args, uint32_t count, double *seconds,
                                 monarch_error *error)
{
    mn_bindings bindings = {0};
    MN_TRY(mn_bind_arguments(plan, queue, args, &bindings, error));
    if (!seconds && count > 0)
        return mn_fail_null(error, "seconds");
    const mn_backend *backend = plan->device->backend;
    if (bindings.run_count > 0 && backend->plan_time)
        return backend->plan_time(plan, queue, &bindings, count, seconds, error);
    for (uint32_t i = 0; i < count; i++) {
        double start = now();
        if (bindings.run_count > 0) {
            MN_TRY(backend->plan_enqueue(plan, queue, &bindings, error));
            MN_TRY(backend->queue_wait(queue, error));
        }
        seconds[i] = now() - start;
    }
    return MONARCH_OK;
}
