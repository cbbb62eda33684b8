/* SPDX-License-Identifier: Apache-2.0 */
#include <monarch/plan.h>
#include <monarch/verify.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A device of the library as a subject: a plan on buffers of its own, and the debug form. */

/* A margin before and behind what a tensor spans, which must stay as it was. */
enum { MARGIN = 256, MARGIN_BYTE = 0xff };

/* A host tensor, the part of it that is touched, and its copy on the device. */
typedef struct placed {
    const unsigned char *host; /* of token 0 */
    int64_t low, high;         /* bytes from there to the first and past the last that is used */
    unsigned char *bytes;      /* margins and all */
    monarch_buffer *buffer;
} placed;

typedef struct execution {
    const monarch_verify_device *on;
    monarch_problem problem; /* resolved */
    monarch_plan *plan;
    monarch_queue *queue;
    monarch_buffer *workspace;
    placed q, k, v, mask, out;
} execution;

static void widen(int64_t at, int64_t *low, int64_t *high)
{
    *low = at < *low ? at : *low;
    *high = at > *high ? at : *high;
}

/* What the axes of a tensor span around token 0 of batch entry and head 0. */
static void set_span(placed *p, const monarch_problem *problem, const monarch_strides *s,
                     int64_t heads, int64_t features, int64_t element)
{
    int64_t B = problem->block_size, blocks = (problem->tokens + B - 1) / B;
    int64_t first = problem->pad == MONARCH_PAD_BEGIN ? blocks * B - problem->tokens : 0;
    int64_t low = 0, high = 0;

    for (int64_t n = 0; n < problem->tokens; n++)
        widen((n + first) / B * s->block + ((n + first) % B - first) * s->token, &low, &high);
    const int64_t far[] = {(problem->batch - 1) * s->batch, (heads - 1) * s->head,
                           (features - 1) * s->feature};
    for (size_t i = 0; i < 3; i++) {
        low += far[i] < 0 ? far[i] : 0;
        high += far[i] > 0 ? far[i] : 0;
    }
    p->low = low * element;
    p->high = (high + 1) * element;
}

static size_t size_of(const placed *p)
{
    return (size_t)(p->high - p->low) + 2 * MARGIN;
}

static monarch_status place(execution *e, placed *p, const void *host, monarch_error *error)
{
    monarch_status status;

    p->host = host;
    p->bytes = malloc(size_of(p));
    if (p->bytes == NULL) {
        snprintf(error->message, sizeof error->message, "no memory for a copy of %zu bytes",
                 size_of(p));
        return error->status = MONARCH_ERROR_OUT_OF_MEMORY;
    }
    memset(p->bytes, MARGIN_BYTE, size_of(p));
    memcpy(p->bytes + MARGIN, p->host + p->low, size_of(p) - 2 * MARGIN);
    status = monarch_buffer_create(e->on->device, size_of(p), &p->buffer, error);
    return status == MONARCH_OK
               ? monarch_buffer_write(e->queue, p->buffer, 0, p->bytes, size_of(p), error)
               : status;
}

static monarch_status place_all(execution *e, const monarch_stage_tensors *t, monarch_error *error)
{
    const monarch_problem *p = &e->problem;
    int64_t size = (int64_t)monarch_dtype_size(p->q.dtype);
    monarch_status status;

    set_span(&e->q, p, &p->q.strides, p->heads, p->head_dim, size);
    size = (int64_t)monarch_dtype_size(p->k.dtype);
    set_span(&e->k, p, &p->k.strides, p->kv_heads, p->head_dim, size);
    size = (int64_t)monarch_dtype_size(p->v.dtype);
    set_span(&e->v, p, &p->v.strides, p->kv_heads, p->value_dim, size);
    size = (int64_t)monarch_dtype_size(p->out.dtype);
    set_span(&e->out, p, &p->out.strides, p->heads, p->value_dim, size);
    set_span(&e->mask, p, &p->mask_strides, 1, 1, 1);
    status = place(e, &e->q, t->q, error);
    if (status == MONARCH_OK)
        status = place(e, &e->k, t->k, error);
    if (status == MONARCH_OK)
        status = place(e, &e->v, t->v, error);
    if (status == MONARCH_OK)
        status = place(e, &e->out, t->out, error);
    return status == MONARCH_OK && p->has_mask ? place(e, &e->mask, t->mask, error) : status;
}

static monarch_status open_execution(execution *e, const monarch_problem *problem,
                                     int workspace_byte, monarch_error *error)
{
    monarch_plan_options options = monarch_plan_options_default();
    monarch_status status;
    uint64_t size, alignment;
    void *bytes;

    options.variant = e->on->variant;
    status = monarch_plan_create(e->on->device, problem, &options, &e->plan, error);
    if (status != MONARCH_OK)
        return status;
    e->problem = monarch_problem_default();
    status = monarch_plan_problem(e->plan, &e->problem, error);
    if (status == MONARCH_OK)
        status = monarch_queue_create(e->on->device, &e->queue, error);
    if (status == MONARCH_OK)
        status = monarch_plan_workspace_create(e->plan, &e->workspace, error);
    monarch_plan_workspace(e->plan, &size, &alignment);
    if (status != MONARCH_OK || size == 0)
        return status;
    bytes = malloc((size_t)size);
    if (bytes == NULL)
        return error->status = MONARCH_ERROR_OUT_OF_MEMORY;
    memset(bytes, workspace_byte, (size_t)size);
    status = monarch_buffer_write(e->queue, e->workspace, 0, bytes, size, error);
    free(bytes);
    return status;
}

static monarch_memory memory_of(const placed *p)
{
    return monarch_buffer_memory(p->buffer, (uint64_t)(MARGIN - p->low));
}

/* Copies the output back, unless a byte beside it changed. */
static monarch_status fetch(execution *e, const monarch_stage_tensors *t, monarch_error *error)
{
    placed *p = &e->out;
    size_t size = size_of(p);
    monarch_status status = monarch_buffer_read(e->queue, p->buffer, 0, p->bytes, size, error);

    for (size_t i = 0; i < MARGIN && status == MONARCH_OK; i++)
        if (p->bytes[i] != MARGIN_BYTE || p->bytes[size - 1 - i] != MARGIN_BYTE) {
            snprintf(error->message, sizeof error->message,
                     "a byte outside of the output was written, %zu %s", i + 1,
                     p->bytes[i] != MARGIN_BYTE ? "from the start of the margin before it"
                                                : "from the end of the margin behind it");
            status = error->status = MONARCH_ERROR_NATIVE;
        }
    if (status == MONARCH_OK)
        memcpy((unsigned char *)t->out + p->low, p->bytes + MARGIN, size - 2 * MARGIN);
    return status;
}

static void close_execution(execution *e)
{
    placed *all[] = {&e->q, &e->k, &e->v, &e->mask, &e->out};

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        monarch_buffer_destroy(&all[i]->buffer);
        free(all[i]->bytes);
    }
    monarch_buffer_destroy(&e->workspace);
    monarch_queue_destroy(&e->queue);
    monarch_plan_destroy(&e->plan);
}

static monarch_status run(void *user, const monarch_problem *problem,
                          const monarch_stage_tensors *tensors, int workspace_byte,
                          monarch_error *error)
{
    execution e = {.on = user};
    monarch_plan_args args = monarch_plan_args_default();
    monarch_status status = open_execution(&e, problem, workspace_byte, error);

    if (status == MONARCH_OK)
        status = place_all(&e, tensors, error);
    if (status == MONARCH_OK) {
        args.q = memory_of(&e.q);
        args.k = memory_of(&e.k);
        args.v = memory_of(&e.v);
        args.out = memory_of(&e.out);
        if (e.mask.buffer != NULL)
            args.mask = memory_of(&e.mask);
        args.workspace = monarch_buffer_memory(e.workspace, 0);
        status = monarch_plan_execute(e.plan, e.queue, &args, error);
    }
    if (status == MONARCH_OK)
        status = monarch_queue_wait(e.queue, error);
    if (status == MONARCH_OK)
        status = fetch(&e, tensors, error);
    close_execution(&e);
    return status;
}

static monarch_status stages(void *user, const monarch_problem *problem,
                             const monarch_stage_tensors *tensors,
                             const monarch_stage_values *outputs, uint32_t count,
                             monarch_error *error)
{
    const monarch_verify_device *on = user;

    return monarch_stages_run(on->device, problem, on->variant, tensors, outputs, count, error);
}

static monarch_status stage(void *user, const monarch_problem *problem, uint32_t index,
                            const monarch_stage_tensors *tensors,
                            const monarch_stage_values *inputs, const monarch_stage_values *outputs,
                            monarch_error *error)
{
    const monarch_verify_device *on = user;

    return monarch_stage_run(on->device, problem, on->variant, index, tensors, inputs, outputs,
                             error);
}

monarch_verify_subject monarch_verify_device_subject(monarch_verify_device *on, const char *name)
{
    monarch_verify_subject subject = {
        .struct_size = (uint32_t)sizeof subject,
        .neighbours = on->variant != NULL,
        .name = name,
        .user = on,
        .run = run,
        .stages = stages,
        .stage = stage,
    };

    return subject;
}
