/* SPDX-License-Identifier: Apache-2.0 */
#include "faults.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "inputs.h"

const char *fault_name(fault kind)
{
    static const char *const names[FAULT_COUNT] = {
        "none",    "barrier", "heads",     "tail",   "mask",   "stride",     "f16 sums",
        "padding", "stale",   "unordered", "result", "random", "neighbours", "outside",
    };

    return names[kind];
}

/* Sizes of the arrays that stages exchange. */
typedef struct extents {
    monarch_problem p; /* resolved */
    int64_t heads;     /* of all batch entries */
    int64_t blocks, rows;
    uint32_t stages;
} extents;

static monarch_status measure(const monarch_problem *problem, extents *e, monarch_error *error)
{
    e->p = monarch_problem_default();
    monarch_status status = monarch_problem_resolve(problem, &e->p, error);

    e->heads = e->p.batch * e->p.heads;
    e->blocks = (e->p.tokens + e->p.block_size - 1) / e->p.block_size;
    e->rows = e->blocks * e->p.block_size;
    e->stages = 2 * (uint32_t)e->p.steps;
    return status;
}

static monarch_stage_values new_values(const extents *e)
{
    size_t rows = (size_t)(e->heads * e->rows), D = (size_t)e->p.head_dim;
    monarch_stage_values v = {
        test_alloc(rows * D, sizeof(float)),
        test_alloc(rows, sizeof(float)),
        test_alloc(rows * D, sizeof(float)),
        test_alloc(rows, sizeof(float)),
        test_alloc(rows * (size_t)e->p.value_dim, sizeof(float)),
    };

    return v;
}

static void free_values(monarch_stage_values *v)
{
    free(v->aL);
    free(v->cL);
    free(v->aR);
    free(v->cR);
    free(v->y);
}

/* Copies `count` rows of all arrays that both sides have. */
static void copy_rows(const extents *e, const monarch_stage_values *to,
                      const monarch_stage_values *from, int64_t row, int64_t from_row,
                      int64_t count)
{
    const struct {
        float *to;
        const float *from;
        int64_t width;
    } arrays[] = {
        {to->aL, from->aL, e->p.head_dim}, {to->cL, from->cL, 1},
        {to->aR, from->aR, e->p.head_dim}, {to->cR, from->cR, 1},
        {to->y, from->y, e->p.value_dim},
    };

    for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++)
        if (arrays[i].to != NULL && arrays[i].from != NULL)
            memcpy(arrays[i].to + row * arrays[i].width,
                   arrays[i].from + from_row * arrays[i].width,
                   (size_t)(count * arrays[i].width) * sizeof(float));
}

static size_t output_bytes(const extents *e)
{
    return (size_t)(e->p.tokens * e->p.value_dim) * monarch_dtype_size(e->p.out.dtype);
}

static unsigned char *output_head(const extents *e, const monarch_stage_tensors *t, int64_t head)
{
    return (unsigned char *)t->out + (size_t)head * output_bytes(e);
}

/* What a call of a stage is made of; faults change a copy. */
typedef struct call {
    const extents *e;
    monarch_problem problem;
    uint32_t index;
    monarch_stage_tensors tensors;
    monarch_stage_values inputs, outputs;
} call;

static int is_left(const call *c)
{
    return c->index % 2 == 1;
}

static int is_last(const call *c)
{
    return c->index + 1 == c->e->stages;
}

static monarch_status run_right(const faulty *f, const call *c, monarch_error *error)
{
    return f->right.stage(f->right.user, &c->problem, c->index, &c->tensors, &c->inputs,
                          &c->outputs, error);
}

/* The stage with more tokens masked: those of `positions` in one block, or just one token. */
static monarch_status run_masked(const faulty *f, call *c, int64_t first, int64_t count,
                                 monarch_error *error)
{
    const extents *e = c->e;
    size_t size = (size_t)(e->p.batch * e->p.tokens);
    uint8_t *mask = test_alloc(size, 1);
    monarch_status status;

    memset(mask, 1, size);
    if (c->tensors.mask != NULL)
        memcpy(mask, c->tensors.mask, size);
    for (int64_t b = 0; b < e->p.batch; b++)
        memset(&mask[b * e->p.tokens + first], 0, (size_t)count);
    c->problem.has_mask = 1;
    c->tensors.mask = mask;
    status = run_right(f, c, error);
    free(mask);
    return status;
}

/* Some keys of block 1 (right), or the whole of block 1 (left), were not there yet. */
static monarch_status run_without_barrier(const faulty *f, call *c, monarch_error *error)
{
    const extents *e = c->e;
    monarch_stage_values early;
    monarch_status status;

    if (!is_left(c))
        return run_masked(f, c, e->p.block_size, e->p.block_size / 2, error);
    early = new_values(e);
    copy_rows(e, &early, &c->inputs, 0, 0, e->heads * e->rows);
    for (int64_t head = 0; head < e->heads; head++)
        for (int64_t j = 0; j < e->p.block_size; j++)
            early.cL[head * e->rows + e->p.block_size + j] = INFINITY;
    c->inputs = early;
    status = run_right(f, c, error);
    free_values(&early);
    return status;
}

static void swap_heads(const call *c)
{
    const extents *e = c->e;
    monarch_stage_values kept = new_values(e);
    unsigned char *row = test_alloc(output_bytes(e), 1);

    copy_rows(e, &kept, &c->outputs, 0, 0, 2 * e->rows);
    copy_rows(e, &c->outputs, &kept, 0, e->rows, e->rows);
    copy_rows(e, &c->outputs, &kept, e->rows, 0, e->rows);
    if (is_last(c)) {
        memcpy(row, output_head(e, &c->tensors, 0), output_bytes(e));
        memcpy(output_head(e, &c->tensors, 0), output_head(e, &c->tensors, 1), output_bytes(e));
        memcpy(output_head(e, &c->tensors, 1), row, output_bytes(e));
    }
    free(row);
    free_values(&kept);
}

/* Zeros where the last two rows of each block (right), the last block (left) or the last tokens
 * (left_out) belong. */
static void cut_tail(const call *c)
{
    const extents *e = c->e;
    monarch_stage_values zeros = new_values(e);
    int64_t B = e->p.block_size;
    size_t row = output_bytes(e) / (size_t)e->p.tokens;

    for (int64_t head = 0; head < e->heads; head++) {
        if (is_left(c))
            copy_rows(e, &c->outputs, &zeros, head * e->rows + e->rows - B, 0, B);
        for (int64_t k = 0; k < e->blocks && !is_left(c); k++)
            copy_rows(e, &c->outputs, &zeros, head * e->rows + (k + 1) * B - 2, 0, 2);
        if (is_last(c))
            memset(output_head(e, &c->tensors, head) + output_bytes(e) - 3 * row, 0, 3 * row);
    }
    free_values(&zeros);
}

static monarch_status run_with_stride(const faulty *f, call *c, monarch_error *error)
{
    monarch_tensor *t = is_left(c) ? &c->problem.q : &c->problem.k;

    *t = is_left(c) ? c->e->p.q : c->e->p.k;
    t->strides.head -= t->strides.token;
    return run_right(f, c, error);
}

/* The real token beside the padding goes; a row of the output that is skipped stays as it was. */
static monarch_status run_with_padding(const faulty *f, call *c, monarch_error *error)
{
    const extents *e = c->e;
    int64_t token = e->p.pad == MONARCH_PAD_BEGIN ? 0 : e->p.tokens - 1;
    size_t row = output_bytes(e) / (size_t)e->p.tokens;
    monarch_status status;

    if (!is_last(c))
        return run_masked(f, c, token, 1, error);
    status = run_right(f, c, error);
    for (int64_t head = 0; head < e->heads; head++)
        memset(output_head(e, &c->tensors, head) + (size_t)token * row, 0, row);
    return status;
}

/* What head 1 of batch entry 0 hands on is that of an execution on other inputs. */
static monarch_status run_stale(const faulty *f, call *c, monarch_error *error)
{
    const extents *e = c->e;
    monarch_stage_values earlier = new_values(e);
    unsigned char *out = test_alloc((size_t)e->heads * output_bytes(e), 1);
    call other = *c;
    monarch_status status;

    other.tensors.q = c->tensors.k;
    other.tensors.k = c->tensors.q;
    other.tensors.out = out;
    other.outputs = earlier;
    status = run_right(f, &other, error);
    if (status == MONARCH_OK)
        status = run_right(f, c, error);
    copy_rows(e, &c->outputs, &earlier, e->rows, e->rows, e->rows);
    if (is_last(c))
        memcpy(output_head(e, &c->tensors, 1), out + output_bytes(e), output_bytes(e));
    free(out);
    free_values(&earlier);
    return status;
}

static monarch_status run_faulty(const faulty *f, call *c, monarch_error *error)
{
    monarch_status status;

    switch (f->kind) {
    case FAULT_BARRIER:
        return run_without_barrier(f, c, error);
    case FAULT_MASK:
        c->problem.has_mask = 0;
        c->tensors.mask = NULL;
        return run_right(f, c, error);
    case FAULT_STRIDE:
        return run_with_stride(f, c, error);
    case FAULT_PADDING:
        return run_with_padding(f, c, error);
    case FAULT_STALE:
        return run_stale(f, c, error);
    case FAULT_F16_SUMS:
        return faulty_f16_stage(&c->e->p, c->index, &c->tensors, &c->inputs, &c->outputs);
    default:
        status = run_right(f, c, error);
        if (status == MONARCH_OK && f->kind == FAULT_HEADS)
            swap_heads(c);
        if (status == MONARCH_OK && f->kind == FAULT_TAIL)
            cut_tail(c);
        return status;
    }
}

/* Whether a fault is there: some take two heads, and the verification also runs one alone. */
static int applies(const faulty *f, const extents *e)
{
    int takes_two = f->kind == FAULT_HEADS || f->kind == FAULT_STALE || f->kind == FAULT_UNORDERED;

    return f->kind != FAULT_NONE && (e->heads > 1 || !takes_two);
}

/* Faults from FAULT_UNORDERED on do not show when one stage is run alone. */
static monarch_status stage(void *user, const monarch_problem *problem, uint32_t index,
                            const monarch_stage_tensors *tensors,
                            const monarch_stage_values *inputs, const monarch_stage_values *outputs,
                            monarch_error *error)
{
    const faulty *f = user;
    extents e;
    monarch_status status = measure(problem, &e, error);
    call c = {
        .e = &e, .problem = *problem, .index = index, .tensors = *tensors, .outputs = *outputs};

    if (inputs != NULL)
        c.inputs = *inputs;
    if (status != MONARCH_OK)
        return status;
    if (index == f->stage && f->kind < FAULT_UNORDERED && applies(f, &e))
        return run_faulty(f, &c, error);
    return run_right(f, &c, error);
}

/* One head's input is still that of another head when the stage reads it. */
static void spoil_order(const extents *e, const monarch_stage_values *inputs)
{
    copy_rows(e, inputs, inputs, e->rows, 0, e->rows);
}

static monarch_status stages(void *user, const monarch_problem *problem,
                             const monarch_stage_tensors *tensors,
                             const monarch_stage_values *outputs, uint32_t count,
                             monarch_error *error)
{
    const faulty *f = user;
    extents e;
    monarch_status status = measure(problem, &e, error);
    monarch_stage_values from = new_values(&e), to = new_values(&e);

    for (uint32_t i = 0; i < count && status == MONARCH_OK; i++) {
        if (f->kind == FAULT_UNORDERED && i == f->stage && applies(f, &e))
            spoil_order(&e, &from);
        status = stage(user, problem, i, tensors, &from, &to, error);
        copy_rows(&e, &outputs[i], &to, 0, 0, e.heads * e.rows);
        monarch_stage_values swap = from;
        from = to;
        to = swap;
    }
    free_values(&from);
    free_values(&to);
    return status;
}

/* Changes the lowest bit of the first element of head 0. */
static void flip(const extents *e, const monarch_stage_tensors *tensors)
{
    *output_head(e, tensors, 0) ^= 1;
}

static monarch_status run(void *user, const monarch_problem *problem,
                          const monarch_stage_tensors *tensors, int workspace_byte,
                          monarch_error *error)
{
    faulty *f = user;
    extents e;
    monarch_status status = measure(problem, &e, error);
    monarch_stage_values *outputs = test_alloc(e.stages, sizeof *outputs);

    (void)workspace_byte;
    if (status == MONARCH_OK)
        status = stages(user, problem, tensors, outputs, e.stages, error);
    if (status == MONARCH_OK && f->kind == FAULT_RESULT)
        memset(output_head(&e, tensors, 0) + output_bytes(&e) / 2, 0, output_bytes(&e) / 8);
    if (status == MONARCH_OK && f->kind == FAULT_RANDOM && f->runs++ % 2)
        flip(&e, tensors);
    if (status == MONARCH_OK && f->kind == FAULT_NEIGHBOURS && e.heads == 1)
        flip(&e, tensors);
    if (status == MONARCH_OK && f->kind == FAULT_OUTSIDE)
        *(unsigned char *)(uintptr_t)tensors->q ^= 1;
    free(outputs);
    return status;
}

void faulty_make(faulty *f, fault kind, uint32_t stage_index, const monarch_verify_subject *right)
{
    memset(f, 0, sizeof *f);
    f->kind = kind;
    f->stage = stage_index;
    f->right = *right;
    f->subject = (monarch_verify_subject){
        .struct_size = (uint32_t)sizeof f->subject,
        .neighbours = 1,
        .name = "faulty",
        .user = f,
        .run = run,
        .stages = stages,
        .stage = stage,
    };
}
