/* SPDX-License-Identifier: Apache-2.0 */
#include "stages.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "convert.h"
#include "npy.h"
#include "report.h"

/* Host copies of the tensors, and the outputs of all stages. */
struct stage_run {
    void *q, *k, *v, *out;
    uint8_t *mask;
    monarch_stage_values *values; /* one per stage */
    uint32_t count;
    int64_t blocks;
};

/* An output of a stage: its name, and how many features each of its positions has. */
struct stage_output {
    const char *name;
    float *values;
    int64_t features; /* 0: a number per position, and the array has no such axis */
};

enum { MAX_OUTPUTS = 3 };

int stages_prepare(const char *directory)
{
    struct stat info;
    if (mkdir(directory, 0777) != 0 && errno != EEXIST) {
        return fail(TOOL_USAGE, "--stages %s: cannot be created: %s", directory, strerror(errno));
    }
    if (stat(directory, &info) != 0 || !S_ISDIR(info.st_mode)) {
        return fail(TOOL_USAGE, "--stages %s: is not a directory", directory);
    }
    return TOOL_OK;
}

/* Which arrays a stage of this kind writes. Returns their number; 0 for left_out. */
static int stage_outputs(monarch_stage_kind kind, const monarch_problem *problem,
                         const monarch_stage_values *values, struct stage_output *outputs)
{
    if (kind == MONARCH_STAGE_LEFT_OUT) {
        return 0;
    }
    int left = kind == MONARCH_STAGE_LEFT;
    outputs[0] = (struct stage_output){left ? "aR" : "aL", left ? values->aR : values->aL,
                                       problem->head_dim};
    outputs[1] = (struct stage_output){left ? "cR" : "cL", left ? values->cR : values->cL, 0};
    outputs[2] = (struct stage_output){"y", values->y, problem->value_dim};
    return kind == MONARCH_STAGE_RIGHT_VALUE ? 3 : 2;
}

static monarch_stage_kind stage_kind(const monarch_plan *plan, uint32_t index)
{
    monarch_stage_info info = {.struct_size = (uint32_t)sizeof info};
    monarch_plan_stage(plan, index, &info, NULL);
    return info.kind;
}

/* `bytes` of memory, of which `copied` come from `buffer`. */
static void *host_copy(struct session *session, const monarch_buffer *buffer, int *status)
{
    uint64_t bytes = monarch_buffer_size(buffer);
    monarch_error error = {0};
    void *memory = *status ? NULL : malloc((size_t)bytes + 1);
    if (!memory) {
        *status = *status ? *status : fail_memory("--stages", bytes);
        return NULL;
    }
    monarch_status result = monarch_buffer_read(session->queue, buffer, 0, memory, bytes, &error);
    if (result) {
        *status = fail_library(result, &error);
    }
    return memory;
}

static int copy_tensors(struct stage_run *run, struct session *session,
                        const struct tensors *tensors)
{
    int status = TOOL_OK;
    run->q = host_copy(session, tensors->q, &status);
    run->k = host_copy(session, tensors->k, &status);
    run->v = host_copy(session, tensors->v, &status);
    run->out = host_copy(session, tensors->out, &status);
    if (tensors->mask) {
        run->mask = host_copy(session, tensors->mask, &status);
    }
    return status;
}

static float *stage_array(const struct stage_run *run, const monarch_problem *problem,
                          int64_t features, int *status)
{
    uint64_t count =
        (uint64_t)(problem->batch * problem->heads * run->blocks * problem->block_size * features);
    float *values = *status ? NULL : calloc((size_t)count + 1, sizeof *values);
    if (!values && !*status) {
        *status = fail_memory("--stages", count * sizeof *values);
    }
    return values;
}

static int allocate_outputs(struct stage_run *run, const monarch_plan *plan,
                            const monarch_problem *problem)
{
    int status = TOOL_OK;
    run->values = calloc(run->count + 1, sizeof *run->values);
    if (!run->values) {
        return fail_memory("--stages", run->count * sizeof *run->values);
    }
    for (uint32_t i = 0; i < run->count; i++) {
        monarch_stage_values *values = &run->values[i];
        switch (stage_kind(plan, i)) {
        case MONARCH_STAGE_LEFT:
            values->aR = stage_array(run, problem, problem->head_dim, &status);
            values->cR = stage_array(run, problem, 1, &status);
            break;
        case MONARCH_STAGE_RIGHT_VALUE:
            values->y = stage_array(run, problem, problem->value_dim, &status);
            /* fall through */
        case MONARCH_STAGE_RIGHT:
            values->aL = stage_array(run, problem, problem->head_dim, &status);
            values->cL = stage_array(run, problem, 1, &status);
            break;
        case MONARCH_STAGE_LEFT_OUT:
            break;
        }
    }
    return status;
}

static int save_output(const struct stage_run *run, const monarch_problem *problem,
                       const char *directory, uint32_t index, monarch_stage_kind kind,
                       const struct stage_output *output)
{
    char path[4096];
    int length = snprintf(path, sizeof path, "%s/stage%02" PRIu32 "_%s_%s.npy", directory, index,
                          monarch_stage_kind_name(kind), output->name);
    if (length < 0 || (size_t)length >= sizeof path) {
        return fail(TOOL_USAGE, "--stages %s: is too long a name", directory);
    }
    const int64_t shape[5] = {problem->batch, problem->heads, run->blocks, problem->block_size,
                              output->features};
    return npy_save(path, shape, output->features ? 5 : 4, output->values);
}

/* The last stage's output is that of the whole, in the problem's dtype. */
static int save_last(const struct stage_run *run, const monarch_problem *problem,
                     const char *directory)
{
    char path[4096];
    const int64_t shape[4] = {problem->batch, problem->heads, problem->tokens, problem->value_dim};
    int64_t count = elements_out(problem);
    int length = snprintf(path, sizeof path, "%s/stage%02" PRIu32 "_left_out_out.npy", directory,
                          run->count - 1);
    if (length < 0 || (size_t)length >= sizeof path) {
        return fail(TOOL_USAGE, "--stages %s: is too long a name", directory);
    }
    float *values = malloc((size_t)count * sizeof *values + 1);
    if (!values) {
        return fail_memory("--stages", (uint64_t)count * sizeof *values);
    }
    convert_to_f32(problem->out.dtype, run->out, values, count);
    int status = npy_save(path, shape, 4, values);
    free(values);
    return status;
}

static int save_all(const struct stage_run *run, const monarch_plan *plan,
                    const monarch_problem *problem, const char *directory)
{
    int status = TOOL_OK;
    for (uint32_t i = 0; i < run->count && !status; i++) {
        struct stage_output outputs[MAX_OUTPUTS];
        monarch_stage_kind kind = stage_kind(plan, i);
        int count = stage_outputs(kind, problem, &run->values[i], outputs);
        for (int output = 0; output < count && !status; output++) {
            status = save_output(run, problem, directory, i, kind, &outputs[output]);
        }
    }
    return status || run->count == 0 ? status : save_last(run, problem, directory);
}

static void release(struct stage_run *run)
{
    for (uint32_t i = 0; run->values && i < run->count; i++) {
        free(run->values[i].aL);
        free(run->values[i].cL);
        free(run->values[i].aR);
        free(run->values[i].cR);
        free(run->values[i].y);
    }
    free(run->values);
    free(run->q);
    free(run->k);
    free(run->v);
    free(run->out);
    free(run->mask);
}

int stages_write(struct session *session, const monarch_plan *plan, const monarch_problem *problem,
                 const struct problem_options *options, const struct tensors *tensors,
                 const char *directory)
{
    struct stage_run run = {.count = monarch_plan_stage_count(plan)};
    run.blocks = problem->tokens ? (problem->tokens - 1) / problem->block_size + 1 : 0;
    int status = copy_tensors(&run, session, tensors);
    if (!status) {
        status = allocate_outputs(&run, plan, problem);
    }
    if (!status && run.count) {
        monarch_error error = {0};
        monarch_stage_tensors host = {run.q, run.k, run.v, run.mask, run.out};
        monarch_status result = monarch_stages_run(session->device, problem, options->variant,
                                                   &host, run.values, run.count, &error);
        status = result ? fail_library(result, &error) : TOOL_OK;
    }
    if (!status) {
        status = save_all(&run, plan, problem, directory);
    }
    release(&run);
    return status;
}
