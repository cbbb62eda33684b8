/* SPDX-License-Identifier: Apache-2.0 */
#include "verification.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static monarch_status refuse(monarch_error *error, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static monarch_status refuse(monarch_error *error, const char *format, ...)
{
    va_list arguments;

    if (error != NULL) {
        error->status = MONARCH_ERROR_INVALID_ARGUMENT;
        va_start(arguments, format);
        vsnprintf(error->message, sizeof error->message, format, arguments);
        va_end(arguments);
    }
    return MONARCH_ERROR_INVALID_ARGUMENT;
}

const char *monarch_verify_check_name(monarch_verify_check check)
{
    static const char *const names[] = {"alone", "program", "result", "again", "head"};

    return (unsigned)check < sizeof names / sizeof names[0] ? names[check] : "?";
}

const char *monarch_verify_case_name(uint32_t index)
{
    return index < test_case_count ? test_cases[index].name : NULL;
}

/* A case for a problem of the caller's. */
static test_case case_of(const monarch_problem *p, const char *name)
{
    test_case c = {
        .name = name,
        .shape = {p->batch, p->heads, p->kv_heads, p->tokens, p->head_dim, p->value_dim,
                  p->block_size, p->steps},
        .scale = p->scale,
        .pad = p->pad,
        .mask = p->has_mask ? MASK_RANDOM : MASK_NONE,
    };

    if (c.shape.steps == 0)
        c.shape.steps = 1;
    return c;
}

/* The case that the parameters ask for; `name` has room for its name. */
static int find_case(const monarch_verify_params *params, char name[64], test_case *c)
{
    uint64_t index;

    if (params->problem != NULL) {
        snprintf(name, 64, "%s", params->case_name != NULL ? params->case_name : "problem");
        *c = case_of(params->problem, name);
        return 1;
    }
    if (params->case_name == NULL)
        return 0;
    if (test_case_is_random(params->case_name, &index)) {
        *c = test_case_random(params->seed, index, name);
        return 1;
    }
    if (test_case_find(params->case_name) == NULL)
        return 0;
    *c = *test_case_find(params->case_name);
    return 1;
}

size_t monarch_verify_case_describe(const monarch_verify_params *params, char *text,
                                    size_t capacity)
{
    char name[64];
    test_case c;

    if (capacity > 0)
        text[0] = '\0';
    if (!find_case(params, name, &c))
        return 0;
    return (size_t)test_case_print(&c, text, capacity);
}

static monarch_status check_params(const monarch_verify_params *params, monarch_error *error)
{
    const monarch_verify_subject *against = params->against;
    monarch_problem resolved = monarch_problem_default();

    if (params->struct_size < sizeof *params)
        return refuse(error, "params->struct_size is %u; it must be that of the structure, %zu",
                      params->struct_size, sizeof *params);
    if (monarch_dtype_size(params->dtype) == 0)
        return refuse(error, "params->dtype is %d; accepted are f32, f16 and bf16",
                      (int)params->dtype);
    if (against != NULL && (!against->run || !against->stages || !against->stage))
        return refuse(error, "params->against lacks a function; run, stages and stage are needed");
    if (params->problem == NULL)
        return MONARCH_OK;
    if (params->problem->batch < 1 || params->problem->tokens < 1)
        return refuse(error, "params->problem has no rows; batch and tokens must be 1 or more");
    return monarch_problem_resolve(params->problem, &resolved, error);
}

monarch_status monarch_verification_create(const monarch_verify_params *params,
                                           monarch_verification **verification,
                                           monarch_error *error)
{
    monarch_error local;
    monarch_verification *v;
    monarch_status status;

    if (verification == NULL)
        return refuse(error, "verification is NULL");
    *verification = NULL;
    if (params == NULL)
        return refuse(error, "params is NULL");
    if (error == NULL)
        error = &local;
    status = check_params(params, error);
    if (status != MONARCH_OK)
        return status;
    v = test_alloc(1, sizeof *v);
    if (!find_case(params, v->name, &v->c)) {
        free(v);
        return refuse(error, "there is no case \"%s\"; monarch_verify_case_name lists them",
                      params->case_name != NULL ? params->case_name : "");
    }
    v->maps = params->maps;
    reference_create(&v->r, &v->c, params->dtype, params->seed);
    v->compared = v->r.determined ? v->r.stage_count : 1;
    if (params->against != NULL)
        status = verify_given_create(v, params->against, error);
    *verification = v;
    if (status != MONARCH_OK)
        monarch_verification_destroy(verification);
    return status;
}

void monarch_verification_destroy(monarch_verification **verification)
{
    monarch_verification *v = verification != NULL ? *verification : NULL;

    if (v == NULL)
        return;
    verify_given_free(v);
    reference_free(&v->r);
    free(v);
    *verification = NULL;
}

/* Whether a stage wrote to a tensor where it may not. */
static void check_untouched(verify_run *run, monarch_verify_check check, int32_t stage)
{
    const test_memory *memory = run->v->r.inputs.out.memory;
    int last = stage + 1 == (int32_t)run->v->r.stage_count;
    char text[300];

    if (!last && memcmp(memory->bytes, memory->before, memory->size) != 0)
        verify_tell_failure(run, check, stage, "it is not the last stage, but wrote the output");
    else if (test_inputs_touched(&run->v->r.inputs, text, sizeof text))
        verify_tell_failure(run, check, stage, "%s", text);
    else
        return;
    verify_restore(&run->v->r.inputs);
}

/* One stage on the inputs that the other side had. */
static void verify_alone(verify_run *run, uint32_t index)
{
    monarch_verification *v = run->v;
    const verify_given *given = v->against;
    const stage_alone *alone = given != NULL ? given->stages[index] : reference_alone(&v->r, index);
    stage_arrays outputs = verify_outputs(&alone->stage);
    float *out = test_alloc(v->r.out.count, sizeof *out);
    monarch_error error = {MONARCH_OK, ""};
    monarch_status status = verify_call_stage(v, run->subject, index, alone, &outputs, out, &error);

    if (status != MONARCH_OK) {
        verify_tell_status(run, MONARCH_VERIFY_ALONE, (int32_t)index, status, &error);
    } else {
        verify_compare_stage(run, MONARCH_VERIFY_ALONE, index, &alone->stage, &outputs,
                             given != NULL ? &given->alone[index] : NULL);
        verify_compare(run, MONARCH_VERIFY_ALONE, (int32_t)index, &alone->out, out,
                       given != NULL ? given->alone_out : NULL);
        check_untouched(run, MONARCH_VERIFY_ALONE, (int32_t)index);
    }
    stage_arrays_free(&outputs);
    free(out);
}

/* The whole program, each stage on what the subject's own earlier ones gave. */
static void verify_program(verify_run *run)
{
    monarch_verification *v = run->v;
    const verify_given *given = v->against;
    stage_arrays *outputs = test_alloc(v->r.stage_count, sizeof *outputs);
    float *out = test_alloc(v->r.out.count, sizeof *out);
    int32_t last = (int32_t)v->r.stage_count - 1;
    monarch_error error = {MONARCH_OK, ""};
    monarch_status status;

    for (uint32_t i = 0; i < v->r.stage_count; i++)
        outputs[i] = verify_outputs(&v->r.stages[i]);
    status = verify_call_stages(v, run->subject, outputs, out, &error);
    if (status != MONARCH_OK) {
        verify_tell_status(run, MONARCH_VERIFY_PROGRAM, -1, status, &error);
    } else {
        for (uint32_t i = 0; i < v->compared; i++)
            verify_compare_stage(run, MONARCH_VERIFY_PROGRAM, i, &v->r.stages[i], &outputs[i],
                                 given != NULL ? &given->program[i] : NULL);
        if (v->r.determined)
            verify_compare(run, MONARCH_VERIFY_PROGRAM, last, &v->r.out, out,
                           given != NULL ? given->program_out : NULL);
        check_untouched(run, MONARCH_VERIFY_PROGRAM, last);
    }
    for (uint32_t i = 0; i < v->r.stage_count; i++)
        stage_arrays_free(&outputs[i]);
    free(outputs);
    free(out);
}

monarch_status monarch_verification_run(monarch_verification *verification,
                                        const monarch_verify_subject *subject,
                                        monarch_verify_report report, void *user,
                                        monarch_verify_summary *summary, monarch_error *error)
{
    if (verification == NULL || subject == NULL || summary == NULL)
        return refuse(error, "%s is NULL",
                      verification == NULL ? "verification"
                      : subject == NULL    ? "subject"
                                           : "summary");
    if (summary->struct_size < sizeof *summary || subject->struct_size < sizeof *subject)
        return refuse(error, "struct_size of summary and subject must be that of the structures");
    if (subject->run == NULL)
        return refuse(error, "subject->run is NULL");
    verify_run run = {verification, subject, report, user, summary};
    memset(summary, 0, sizeof *summary);
    summary->struct_size = (uint32_t)sizeof *summary;
    summary->stage = -1;
    for (uint32_t i = 0; subject->stage != NULL && i < verification->compared; i++)
        verify_alone(&run, i);
    if (subject->stages != NULL)
        verify_program(&run);
    verify_result(&run);
    summary->verdict = summary->failed > 0   ? MONARCH_VERIFY_FAIL
                       : summary->passed > 0 ? MONARCH_VERIFY_PASS
                                             : MONARCH_VERIFY_SKIP;
    summary->worst.map = NULL;
    return MONARCH_OK;
}
