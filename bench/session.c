/* SPDX-License-Identifier: Apache-2.0 */
#include "session.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "convert.h"
#include "report.h"

/* Elements that move through host memory at a time. */
enum { CHUNK = 1 << 18 };

/* Opens only the backend that the device's name starts with: the others may take long to start. */
static int create_instance(struct session *session, const struct problem_options *options)
{
    monarch_error error = {0};
    char backend[64];
    snprintf(backend, sizeof backend, "%.*s", (int)strcspn(options->device, ":"), options->device);
    monarch_instance_params params = monarch_instance_params_default();
    params.cpu_threads = options->threads;
    params.backends = backend;
    monarch_status status = monarch_instance_create(&params, &session->instance, &error);
    if (status == MONARCH_ERROR_INVALID_ARGUMENT) {
        return fail(TOOL_USAGE, "--device %s: %s; 'monarch devices' lists what there is",
                    options->device, error.message);
    }
    return status ? fail_library(status, &error) : TOOL_OK;
}

static int find_device(struct session *session, const struct problem_options *options)
{
    monarch_error error = {0};
    monarch_status status =
        monarch_instance_find(session->instance, options->device, &session->device, &error);
    if (status) {
        /* The device was named on the command line, so that it is absent is bad input. */
        return fail(TOOL_USAGE, "--device %s: %s; 'monarch devices' lists what there is",
                    options->device, error.message);
    }
    session->info.struct_size = (uint32_t)sizeof session->info;
    status = monarch_device_info_get(session->device, &session->info, &error);
    if (!status) {
        status = monarch_queue_create(session->device, &session->queue, &error);
    }
    return status ? fail_library(status, &error) : TOOL_OK;
}

/* The library would refuse it too, but only the tool can name the option. */
static int check_variant(const struct session *session, const char *variant)
{
    const char *names = session->info.variants;
    size_t length = variant ? strlen(variant) : 0;
    while (variant && *names) {
        size_t word = strcspn(names, " ");
        if (word == length && length && memcmp(names, variant, length) == 0) {
            return TOOL_OK;
        }
        names += word + (names[word] == ' ');
    }
    char label[64];
    return variant ? fail(TOOL_USAGE, "--variant: '%s' is not accepted; %s has %s", variant,
                          device_label(label, sizeof label, &session->info), session->info.variants)
                   : TOOL_OK;
}

int session_open(struct session *session, const struct problem_options *options)
{
    memset(session, 0, sizeof *session);
    int status = create_instance(session, options);
    if (!status) {
        status = find_device(session, options);
    }
    if (!status) {
        status = check_variant(session, options->variant);
    }
    if (status) {
        session_close(session);
        return status;
    }
    if (strcmp(session->info.backend, "cpu") == 0) {
        session->threads =
            options->threads ? options->threads : (int32_t)session->info.compute_units;
    }
    return TOOL_OK;
}

void session_close(struct session *session)
{
    monarch_queue_destroy(&session->queue);
    session->device = NULL;
    if (session->instance) {
        monarch_instance_destroy(&session->instance);
    }
}

char *device_label(char *text, size_t capacity, const monarch_device_info *info)
{
    snprintf(text, capacity, "%s:%" PRIu32, info->backend, info->index);
    return text;
}

int session_plan(struct session *session, const monarch_problem *problem,
                 const struct problem_options *options, monarch_plan **plan)
{
    monarch_error error = {0};
    monarch_plan_options plan_options = monarch_plan_options_default();
    plan_options.variant = options->variant;
    monarch_status status =
        monarch_plan_create(session->device, problem, &plan_options, plan, &error);
    return status ? fail_library(status, &error) : TOOL_OK;
}

void plan_variant(const monarch_plan *plan, char *text, size_t capacity)
{
    char last[sizeof((monarch_stage_info *)0)->variant] = "";
    size_t used = 0;
    snprintf(text, capacity, "none");
    for (uint32_t i = 0; i < monarch_plan_stage_count(plan); i++) {
        monarch_stage_info info = {.struct_size = (uint32_t)sizeof info};
        if (monarch_plan_stage(plan, i, &info, NULL) || strcmp(info.variant, last) == 0) {
            continue;
        }
        if (used < capacity) {
            used += (size_t)snprintf(text + used, capacity - used, "%s%s", used ? "+" : "",
                                     info.variant);
        }
        memcpy(last, info.variant, sizeof last);
    }
}

int64_t elements_q(const monarch_problem *problem)
{
    return problem->batch * problem->heads * problem->tokens * problem->head_dim;
}

int64_t elements_k(const monarch_problem *problem)
{
    return problem->batch * problem->kv_heads * problem->tokens * problem->head_dim;
}

int64_t elements_v(const monarch_problem *problem)
{
    return problem->batch * problem->kv_heads * problem->tokens * problem->value_dim;
}

int64_t elements_out(const monarch_problem *problem)
{
    return problem->batch * problem->heads * problem->tokens * problem->value_dim;
}

static int fill_nan(struct session *session, monarch_buffer *buffer)
{
    /* All bits one is NaN in f32, f16 and bf16. */
    uint64_t size = monarch_buffer_size(buffer);
    char *ones = malloc(CHUNK);
    if (!ones) {
        return fail_memory("a copy", CHUNK);
    }
    memset(ones, 0xff, CHUNK);
    monarch_error error = {0};
    monarch_status status = MONARCH_OK;
    for (uint64_t at = 0; at < size && !status; at += CHUNK) {
        uint64_t part = size - at < CHUNK ? size - at : CHUNK;
        status = monarch_buffer_write(session->queue, buffer, at, ones, part, &error);
    }
    free(ones);
    return status ? fail_library(status, &error) : TOOL_OK;
}

int tensors_create(struct tensors *tensors, struct session *session, const monarch_plan *plan,
                   const monarch_problem *problem)
{
    memset(tensors, 0, sizeof *tensors);
    monarch_error error = {0};
    uint64_t width = monarch_dtype_size(problem->q.dtype);
    const struct {
        monarch_buffer **buffer;
        uint64_t size;
    } wanted[] = {
        {&tensors->q, (uint64_t)elements_q(problem) * width},
        {&tensors->k, (uint64_t)elements_k(problem) * width},
        {&tensors->v, (uint64_t)elements_v(problem) * width},
        {&tensors->out, (uint64_t)elements_out(problem) * width},
        {&tensors->mask, (uint64_t)(problem->batch * problem->tokens)},
    };
    size_t count = sizeof wanted / sizeof *wanted - (problem->has_mask ? 0 : 1);
    monarch_status status = MONARCH_OK;
    for (size_t i = 0; i < count && !status; i++) {
        status = monarch_buffer_create(session->device, wanted[i].size, wanted[i].buffer, &error);
    }
    if (!status) {
        status = monarch_plan_workspace_create(plan, &tensors->workspace, &error);
    }
    int code = status ? fail_library(status, &error) : fill_nan(session, tensors->out);
    if (code) {
        tensors_destroy(tensors);
    }
    return code;
}

void tensors_destroy(struct tensors *tensors)
{
    monarch_buffer_destroy(&tensors->q);
    monarch_buffer_destroy(&tensors->k);
    monarch_buffer_destroy(&tensors->v);
    monarch_buffer_destroy(&tensors->mask);
    monarch_buffer_destroy(&tensors->out);
    monarch_buffer_destroy(&tensors->workspace);
}

monarch_plan_args tensors_args(const struct tensors *tensors)
{
    monarch_plan_args args = monarch_plan_args_default();
    args.q = monarch_buffer_memory(tensors->q, 0);
    args.k = monarch_buffer_memory(tensors->k, 0);
    args.v = monarch_buffer_memory(tensors->v, 0);
    args.out = monarch_buffer_memory(tensors->out, 0);
    args.workspace = monarch_buffer_memory(tensors->workspace, 0);
    if (tensors->mask) {
        args.mask = monarch_buffer_memory(tensors->mask, 0);
    }
    return args;
}

int buffer_write_f32(struct session *session, monarch_buffer *buffer, monarch_dtype dtype,
                     int64_t first, int64_t count, float *values, int64_t *overflows)
{
    monarch_error error = {0};
    uint64_t width = monarch_dtype_size(dtype);
    *overflows += convert_from_f32(dtype, values, values, count);
    monarch_status status = monarch_buffer_write(session->queue, buffer, (uint64_t)first * width,
                                                 values, (uint64_t)count * width, &error);
    return status ? fail_library(status, &error) : TOOL_OK;
}

int buffer_read_f32(struct session *session, const monarch_buffer *buffer, monarch_dtype dtype,
                    int64_t first, int64_t count, float *values)
{
    monarch_error error = {0};
    uint64_t width = monarch_dtype_size(dtype);
    /* The raw elements go to the end of `values`; going up, each is read before it is
       overwritten. */
    char *raw = (char *)values + (uint64_t)count * (sizeof *values - width);
    monarch_status status = monarch_buffer_read(session->queue, buffer, (uint64_t)first * width,
                                                raw, (uint64_t)count * width, &error);
    if (status) {
        return fail_library(status, &error);
    }
    if (dtype != MONARCH_F32) {
        for (int64_t i = 0; i < count; i++) {
            uint16_t half;
            memcpy(&half, raw + i * 2, sizeof half);
            values[i] = dtype == MONARCH_F16 ? f16_to_f32(half) : bf16_to_f32(half);
        }
    }
    return TOOL_OK;
}
