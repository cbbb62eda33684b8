/* SPDX-License-Identifier: Apache-2.0 */
#include <monarch/stages.h>

#include <inttypes.h>

#include "core/alloc.h"
#include "core/arguments.h"
#include "core/dtype.h"
#include "core/error.h"
#include "core/plan.h"
#include "core/staging.h"

/* The debug form of a program in flight. */
typedef struct session {
    monarch_plan *plan;
    mn_staging staging;
    mn_bindings bindings;
    void *raw; /* room for the largest slot */
} session;

static void close_session(session *s)
{
    mn_staging_close(&s->staging);
    mn_free(&s->plan->device->instance->allocator, s->raw);
    monarch_plan_destroy(&s->plan);
}

/* Fills all slots with NaN, so that what a stage forgets to write shows in what it hands out. */
static monarch_status poison_slots(session *s, uint64_t largest, monarch_error *error)
{
    const mn_program *program = &s->plan->program;
    memset(s->raw, 0xff, (size_t)largest);
    for (uint32_t i = 0; i < program->slot_count; i++)
        MN_TRY(monarch_buffer_write(s->staging.queue, s->staging.workspace,
                                    s->plan->slot_offsets[i], s->raw, program->slots[i].bytes,
                                    error));
    return MONARCH_OK;
}

static monarch_status prepare(session *s, const monarch_stage_tensors *tensors,
                              monarch_error *error)
{
    const mn_program *program = &s->plan->program;
    uint64_t largest = 0;
    for (uint32_t i = 0; i < program->slot_count; i++)
        if (program->slots[i].bytes > largest)
            largest = program->slots[i].bytes;
    s->raw = mn_alloc(&s->plan->device->instance->allocator, (size_t)largest);
    if (!s->raw)
        return mn_fail_memory(error, "a copy of a stage's output");
    MN_TRY(mn_staging_open(s->plan, tensors, &s->staging, error));
    MN_TRY(poison_slots(s, largest, error));
    return mn_bind_arguments(s->plan, s->staging.queue, &s->staging.args, &s->bindings, error);
}

static monarch_status open_session(monarch_device *device, const monarch_problem *problem,
                                   const char *variant, const monarch_stage_tensors *tensors,
                                   session *s, monarch_error *error)
{
    memset(s, 0, sizeof *s);
    mn_plan_options options = {.variant = variant, .stages = true};
    MN_TRY(mn_plan_create(device, problem, &options, &s->plan, error));
    if (s->plan->program.step_count == 0)
        return MONARCH_OK;
    monarch_status status = prepare(s, tensors, error);
    if (status != MONARCH_OK)
        close_session(s);
    return status;
}

static int64_t row_count(const mn_slot *slot)
{
    return (int64_t)(slot->bytes / monarch_dtype_size(slot->dtype)) / slot->row;
}

/* Reads a slot as f32, every element multiplied by `factor`. NULL: not wanted. */
static monarch_status read_slot(session *s, int64_t slot, float factor, float *values,
                                monarch_error *error)
{
    if (slot < 0 || !values)
        return MONARCH_OK;
    const mn_slot *known = &s->plan->program.slots[slot];
    MN_TRY(monarch_buffer_read(s->staging.queue, s->staging.workspace, s->plan->slot_offsets[slot],
                               s->raw, known->bytes, error));
    int64_t rows = row_count(known);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t f = 0; f < known->width; f++)
            values[r * known->width + f] =
                factor * mn_load(known->dtype, s->raw, r * known->row + f);
    return MONARCH_OK;
}

/* Writes f32 values, divided by `factor`, to a slot; a divisor per row, if given, comes on top. */
static monarch_status write_slot(session *s, int64_t slot, float factor, const float *rows,
                                 const char *name, const float *values, monarch_error *error)
{
    const mn_slot *known = &s->plan->program.slots[slot];
    if (!values)
        return mn_fail(error, MONARCH_ERROR_INVALID_ARGUMENT,
                       "inputs.%s is NULL; the stage reads it", name);
    int64_t count = row_count(known);
    for (int64_t r = 0; r < count; r++) {
        float divisor = factor * (rows ? rows[r] : 1.0f);
        for (int64_t f = 0; f < known->width; f++)
            mn_store(known->dtype, s->raw, r * known->row + f,
                     divisor == 0.0f ? 0.0f : values[r * known->width + f] / divisor);
    }
    return monarch_buffer_write(s->staging.queue, s->staging.workspace, s->plan->slot_offsets[slot],
                                s->raw, known->bytes, error);
}

/* Turns the means that the program stores into aL = s * mean and aR = cR * mean. */
static monarch_status read_outputs(session *s, uint32_t stage, const monarch_stage_values *out,
                                   monarch_error *error)
{
    const mn_program *program = &s->plan->program;
    float scale = program->problem.scale;
    int64_t weight = mn_program_slot(program, stage, MN_SLOT_QUERY_WEIGHT);
    int64_t mean = mn_program_slot(program, stage, MN_SLOT_QUERY_MEAN);
    MN_TRY(read_slot(s, mn_program_slot(program, stage, MN_SLOT_KEY_MEAN), scale, out->aL, error));
    MN_TRY(read_slot(s, mn_program_slot(program, stage, MN_SLOT_ENTROPY), 1.0f, out->cL, error));
    MN_TRY(read_slot(s, mn_program_slot(program, stage, MN_SLOT_VALUE_MEAN), 1.0f, out->y, error));
    MN_TRY(read_slot(s, weight, 1.0f, out->cR, error));
    MN_TRY(read_slot(s, mean, 1.0f, out->aR, error));
    if (mean < 0 || !out->aR)
        return MONARCH_OK;
    const mn_slot *slot = &program->slots[weight];
    MN_TRY(monarch_buffer_read(s->staging.queue, s->staging.workspace,
                               s->plan->slot_offsets[weight], s->raw, slot->bytes, error));
    int64_t width = program->slots[mean].width;
    for (int64_t i = 0; i < (int64_t)(slot->bytes / sizeof(float)) * width; i++)
        out->aR[i] *= ((const float *)s->raw)[i / width];
    return MONARCH_OK;
}

static monarch_status write_inputs(session *s, uint32_t stage, const monarch_stage_values *in,
                                   monarch_error *error)
{
    const mn_program *program = &s->plan->program;
    if (stage == 0)
        return MONARCH_OK;
    int64_t mean = mn_program_slot(program, stage - 1, MN_SLOT_QUERY_MEAN);
    if (mean >= 0) {
        if (!in->cR)
            return mn_fail_null(error, "inputs.cR");
        return write_slot(s, mean, 1.0f, in->cR, "aR", in->aR, error);
    }
    MN_TRY(write_slot(s, mn_program_slot(program, stage - 1, MN_SLOT_KEY_MEAN),
                      program->problem.scale, NULL, "aL", in->aL, error));
    MN_TRY(write_slot(s, mn_program_slot(program, stage - 1, MN_SLOT_ENTROPY), 1.0f, NULL, "cL",
                      in->cL, error));
    int64_t value = mn_program_slot(program, stage - 1, MN_SLOT_VALUE_MEAN);
    return value >= 0 ? write_slot(s, value, 1.0f, NULL, "y", in->y, error) : MONARCH_OK;
}

static monarch_status run_range(session *s, uint32_t first, uint32_t count, monarch_error *error)
{
    s->bindings.first_run = first;
    s->bindings.run_count = count;
    MN_TRY(s->plan->device->backend->plan_enqueue(s->plan, s->staging.queue, &s->bindings, error));
    return monarch_queue_wait(s->staging.queue, error);
}

monarch_status monarch_stages_run(monarch_device *device, const monarch_problem *problem,
                                  const char *variant, const monarch_stage_tensors *tensors,
                                  const monarch_stage_values *outputs, uint32_t count,
                                  monarch_error *error)
{
    session s;
    if (!tensors)
        return mn_fail_null(error, "tensors");
    if (!outputs)
        return mn_fail_null(error, "outputs");
    MN_TRY(open_session(device, problem, variant, tensors, &s, error));
    uint32_t stages = s.plan->program.step_count;
    monarch_status status = MONARCH_OK;
    if (stages > 0 && count != stages)
        status = mn_fail(error, MONARCH_ERROR_INVALID_ARGUMENT,
                         "count is %" PRIu32 "; it must be 2 * steps = %" PRIu32, count, stages);
    if (status == MONARCH_OK && stages > 0)
        status = run_range(&s, 0, stages, error);
    for (uint32_t i = 0; i < stages && status == MONARCH_OK; i++)
        status = read_outputs(&s, i, &outputs[i], error);
    if (status == MONARCH_OK && stages > 0)
        status = mn_staging_fetch(s.plan, &s.staging, tensors->out, error);
    close_session(&s);
    return status;
}

monarch_status monarch_stage_run(monarch_device *device, const monarch_problem *problem,
                                 const char *variant, uint32_t index,
                                 const monarch_stage_tensors *tensors,
                                 const monarch_stage_values *inputs,
                                 const monarch_stage_values *outputs, monarch_error *error)
{
    session s;
    if (!tensors)
        return mn_fail_null(error, "tensors");
    if (!inputs || !outputs)
        return mn_fail_null(error, inputs ? "outputs" : "inputs");
    MN_TRY(open_session(device, problem, variant, tensors, &s, error));
    uint32_t stages = s.plan->program.step_count;
    monarch_status status = MONARCH_OK;
    if (stages > 0 && index >= stages)
        status = mn_fail(error, MONARCH_ERROR_INVALID_ARGUMENT,
                         "index is %" PRIu32 "; the program has %" PRIu32 " stages", index, stages);
    if (status == MONARCH_OK && stages > 0) {
        status = write_inputs(&s, index, inputs, error);
        if (status == MONARCH_OK)
            status = run_range(&s, index, 1, error);
        if (status == MONARCH_OK)
            status = read_outputs(&s, index, outputs, error);
        if (status == MONARCH_OK && index + 1 == stages)
            status = mn_staging_fetch(s.plan, &s.staging, tensors->out, error);
    }
    close_session(&s);
    return status;
}
