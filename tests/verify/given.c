/* SPDX-License-Identifier: Apache-2.0 */
#include "verification.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *address(const test_tensor *t)
{
    return t->memory != NULL ? t->memory->bytes + t->origin : NULL;
}

monarch_stage_tensors verify_tensors(const test_inputs *inputs)
{
    monarch_stage_tensors tensors = {
        .q = address(&inputs->q),
        .k = address(&inputs->k),
        .v = address(&inputs->v),
        .mask = address(&inputs->mask),
        .out = address(&inputs->out),
    };

    return tensors;
}

void verify_restore(test_inputs *inputs)
{
    for (size_t i = 0; i < inputs->memories; i++)
        memcpy(inputs->memory[i]->bytes, inputs->memory[i]->before, inputs->memory[i]->size);
}

static float *room_for(const expected *e)
{
    float *values;

    if (e->count == 0)
        return NULL;
    values = test_alloc(e->count, sizeof *values);
    memset(values, TEST_POISON, e->count * sizeof *values);
    return values;
}

stage_arrays verify_outputs(const stage_expected *stage)
{
    stage_arrays arrays = {room_for(&stage->aL), room_for(&stage->cL), room_for(&stage->aR),
                           room_for(&stage->cR), room_for(&stage->y)};

    return arrays;
}

monarch_stage_values verify_values(const stage_arrays *arrays)
{
    monarch_stage_values values = {arrays->aL, arrays->cL, arrays->aR, arrays->cR, arrays->y};

    return values;
}

monarch_status verify_call_stage(monarch_verification *v, const monarch_verify_subject *subject,
                                 uint32_t index, const stage_alone *alone,
                                 const stage_arrays *outputs, float *out, monarch_error *error)
{
    test_inputs *inputs = &v->r.inputs;
    monarch_stage_tensors tensors = verify_tensors(inputs);
    monarch_stage_values in = verify_values(&alone->inputs), to = verify_values(outputs);
    monarch_status status;

    test_inputs_reset_output(inputs);
    status = subject->stage(subject->user, &inputs->problem, index, &tensors, &in, &to, error);
    if (status == MONARCH_OK && out != NULL)
        test_inputs_output(inputs, out);
    return status;
}

monarch_status verify_call_stages(monarch_verification *v, const monarch_verify_subject *subject,
                                  const stage_arrays *outputs, float *out, monarch_error *error)
{
    test_inputs *inputs = &v->r.inputs;
    monarch_stage_tensors tensors = verify_tensors(inputs);
    monarch_stage_values *to = test_alloc(v->r.stage_count, sizeof *to);
    monarch_status status;

    for (uint32_t i = 0; i < v->r.stage_count; i++)
        to[i] = verify_values(&outputs[i]);
    test_inputs_reset_output(inputs);
    status =
        subject->stages(subject->user, &inputs->problem, &tensors, to, v->r.stage_count, error);
    if (status == MONARCH_OK)
        test_inputs_output(inputs, out);
    free(to);
    return status;
}

/* Inputs that are not finite would tell nothing about who is given them. */
static monarch_status check_finite(const char *array, const expected *e, const float *values,
                                   monarch_error *error)
{
    for (size_t i = 0; i < e->count; i++)
        if (isfinite(e->value[i]) && !isfinite(values[i])) {
            error->status = MONARCH_ERROR_NATIVE;
            snprintf(error->message, sizeof error->message,
                     "it gives %g for element %zu of %s, so it is no measure for others",
                     (double)values[i], i, array);
            return error->status;
        }
    return MONARCH_OK;
}

static monarch_status check_stage(const stage_expected *e, const stage_arrays *a,
                                  monarch_error *error)
{
    monarch_status status = check_finite("aL", &e->aL, a->aL, error);

    if (status == MONARCH_OK)
        status = check_finite("cL", &e->cL, a->cL, error);
    if (status == MONARCH_OK)
        status = check_finite("aR", &e->aR, a->aR, error);
    if (status == MONARCH_OK)
        status = check_finite("cR", &e->cR, a->cR, error);
    return status == MONARCH_OK ? check_finite("y", &e->y, a->y, error) : status;
}

static monarch_status run_program(monarch_verification *v, verify_given *g, monarch_error *error)
{
    monarch_stage_tensors tensors = verify_tensors(&v->r.inputs);
    monarch_status status;

    for (uint32_t i = 0; i < v->r.stage_count; i++)
        g->program[i] = verify_outputs(&v->r.stages[i]);
    status = verify_call_stages(v, &g->subject, g->program, g->program_out, error);
    for (uint32_t i = 0; i < v->compared && status == MONARCH_OK; i++)
        status = check_stage(&v->r.stages[i], &g->program[i], error);
    if (status != MONARCH_OK)
        return status;
    test_inputs_reset_output(&v->r.inputs);
    status = g->subject.run(g->subject.user, &v->r.inputs.problem, &tensors, TEST_POISON, error);
    if (status == MONARCH_OK)
        test_inputs_output(&v->r.inputs, g->result);
    return status;
}

/* Each stage alone, on what its own program's stage before handed on. */
static monarch_status run_alone(monarch_verification *v, verify_given *g, monarch_error *error)
{
    monarch_status status = MONARCH_OK;

    for (uint32_t i = 0; i < v->compared && status == MONARCH_OK; i++) {
        int last = i + 1 == v->r.stage_count;
        g->stages[i] = stage_alone_create(&v->r, i, i > 0 ? &g->program[i - 1] : NULL);
        g->alone[i] = verify_outputs(&g->stages[i]->stage);
        status = verify_call_stage(v, &g->subject, i, g->stages[i], &g->alone[i],
                                   last ? g->alone_out : NULL, error);
        if (status == MONARCH_OK)
            status = check_stage(&g->stages[i]->stage, &g->alone[i], error);
    }
    return status;
}

monarch_status verify_given_create(monarch_verification *v, const monarch_verify_subject *against,
                                   monarch_error *error)
{
    verify_given *g = v->against = test_alloc(1, sizeof *g);
    monarch_status status;

    g->subject = *against;
    g->program = test_alloc(v->r.stage_count, sizeof *g->program);
    g->alone = test_alloc(v->r.stage_count, sizeof *g->alone);
    g->stages = test_alloc(v->r.stage_count, sizeof *g->stages);
    g->program_out = test_alloc(v->r.out.count, sizeof *g->program_out);
    g->alone_out = test_alloc(v->r.out.count, sizeof *g->alone_out);
    g->result = test_alloc(v->r.out.count, sizeof *g->result);
    status = run_program(v, g, error);
    return status == MONARCH_OK ? run_alone(v, g, error) : status;
}

void verify_given_free(monarch_verification *v)
{
    verify_given *g = v->against;

    if (g == NULL)
        return;
    for (uint32_t i = 0; i < v->r.stage_count; i++) {
        stage_arrays_free(&g->program[i]);
        stage_arrays_free(&g->alone[i]);
        stage_alone_free(g->stages[i]);
    }
    free(g->program);
    free(g->alone);
    free(g->stages);
    free(g->program_out);
    free(g->alone_out);
    free(g->result);
    free(g);
}
