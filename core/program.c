/* SPDX-License-Identifier: Apache-2.0 */
#include "core/program.h"

#include "core/alloc.h"
#include "core/error.h"

/* The stride of an axis, 0 where the axis has one index: nothing checked what it would be then. */
static int64_t reach(int64_t extent, int64_t stride)
{
    return extent > 1 ? stride : 0;
}

/* An operand over a tensor of the caller, seen by block (group) and position (index). */
static mn_operand tensor_by_block(const mn_program *program, mn_source source)
{
    const monarch_problem *p = &program->problem;
    const monarch_tensor *tensor = source == MN_SOURCE_Q   ? &p->q
                                   : source == MN_SOURCE_K ? &p->k
                                   : source == MN_SOURCE_V ? &p->v
                                                           : &p->out;
    bool shared = source == MN_SOURCE_K || source == MN_SOURCE_V;
    bool valued = source == MN_SOURCE_V || source == MN_SOURCE_OUT;
    return (mn_operand){
        .source = source,
        .dtype = tensor->dtype,
        .width = (int32_t)(valued ? p->value_dim : p->head_dim),
        .head_share = shared ? p->heads / p->kv_heads : 1,
        .base = -program->first * reach(p->block_size, tensor->strides.token),
        .batch = reach(p->batch, tensor->strides.batch),
        .head = reach(shared ? p->kv_heads : p->heads, tensor->strides.head),
        .group = reach(program->blocks, tensor->strides.block),
        .index = reach(p->block_size, tensor->strides.token),
        .feature = tensor->strides.feature,
    };
}

/* An operand over a slot: [batch, head, block, position, feature], rows padded. */
static mn_operand slot_by_block(const mn_program *program, uint32_t slot)
{
    const monarch_problem *p = &program->problem;
    int64_t row = program->slots[slot].row;
    int64_t head = program->blocks * p->block_size * row;
    return (mn_operand){
        .source = MN_SOURCE_SLOT,
        .slot = slot,
        .dtype = program->slots[slot].dtype,
        .width = program->slots[slot].width,
        .e4m3 = program->slots[slot].e4m3,
        .head_share = 1,
        .batch = p->heads * head,
        .head = head,
        .group = p->block_size * row,
        .index = row,
        .feature = 1,
    };
}

/* The same operand seen by position (group) and block (index), as the LEFT kinds see it. */
static mn_operand by_position(mn_operand operand)
{
    int64_t block = operand.group;
    operand.group = operand.index;
    operand.index = block;
    return operand;
}

static mn_operand absent(void)
{
    return (mn_operand){.head_share = 1};
}

/* Rows of slots start at multiples of this, so that vectors can be loaded whatever the width. */
enum { ROW_BYTES = 16 };

/* The dtype of the tensor that a slot holds means of. */
static monarch_dtype source_dtype(const monarch_problem *p, mn_slot_role role)
{
    return role == MN_SLOT_KEY_MEAN     ? p->k.dtype
           : role == MN_SLOT_VALUE_MEAN ? p->v.dtype
                                        : p->q.dtype;
}

/* Adds a slot that step `writer` writes and the next step reads. */
static uint32_t add_slot(mn_program *program, mn_slot_role role, uint32_t writer,
                         const mn_program_options *options)
{
    const monarch_problem *p = &program->problem;
    bool scalar = role == MN_SLOT_ENTROPY || role == MN_SLOT_QUERY_WEIGHT;
    mn_slot *slot = &program->slots[program->slot_count];
    slot->role = role;
    slot->dtype = scalar ? MONARCH_F32 : options->intermediate[source_dtype(p, role)];
    slot->width = (int32_t)(scalar ? 1 : role == MN_SLOT_VALUE_MEAN ? p->value_dim : p->head_dim);
    slot->e4m3 = p->intermediates == MONARCH_INTERMEDIATES_FP8 &&
                 (role == MN_SLOT_KEY_MEAN || role == MN_SLOT_VALUE_MEAN);
    int64_t quantum = ROW_BYTES / (int64_t)monarch_dtype_size(slot->dtype);
    slot->row = scalar ? 1 : (slot->width + quantum - 1) / quantum * quantum;
    slot->bytes = (uint64_t)(p->batch * p->heads * program->blocks * p->block_size) *
                  (uint64_t)slot->row * monarch_dtype_size(slot->dtype);
    slot->writer = writer;
    slot->last_reader = options->keep ? program->step_count - 1 : writer + 1;
    return program->slot_count++;
}

static void fill_right(mn_program *program, uint32_t index, const mn_program_options *options)
{
    const monarch_problem *p = &program->problem;
    mn_step *step = &program->steps[index];
    bool last = index + 2 == program->step_count;
    int64_t mean = index > 0 ? mn_program_slot(program, index - 1, MN_SLOT_QUERY_MEAN) : -1;
    *step = (mn_step){
        .kind = last ? MONARCH_STAGE_RIGHT_VALUE : MONARCH_STAGE_RIGHT,
        .groups = program->blocks,
        .rows = p->block_size,
        .columns = p->block_size,
        .depth = p->head_dim,
        .scale = p->scale,
        .first = index == 0,
        .token_group = p->block_size,
        .token_index = 1,
        .queries = index == 0 ? tensor_by_block(program, MN_SOURCE_Q)
                              : slot_by_block(program, (uint32_t)mean),
        .keys = tensor_by_block(program, MN_SOURCE_K),
        .bias = absent(),
        .values = last ? tensor_by_block(program, MN_SOURCE_V) : absent(),
        .result = absent(),
    };
    step->mean = slot_by_block(program, add_slot(program, MN_SLOT_KEY_MEAN, index, options));
    step->weight = slot_by_block(program, add_slot(program, MN_SLOT_ENTROPY, index, options));
    if (last)
        step->result =
            slot_by_block(program, add_slot(program, MN_SLOT_VALUE_MEAN, index, options));
}

static void fill_left(mn_program *program, uint32_t index, const mn_program_options *options)
{
    const monarch_problem *p = &program->problem;
    const mn_step *right = &program->steps[index - 1];
    mn_step *step = &program->steps[index];
    bool last = index + 1 == program->step_count;
    *step = (mn_step){
        .kind = last ? MONARCH_STAGE_LEFT_OUT : MONARCH_STAGE_LEFT,
        .groups = p->block_size,
        .rows = program->blocks,
        .columns = program->blocks,
        .depth = p->head_dim,
        .scale = p->scale,
        .token_group = 1,
        .token_index = p->block_size,
        .queries = by_position(tensor_by_block(program, MN_SOURCE_Q)),
        .keys = by_position(right->mean),
        .bias = by_position(right->weight),
        .values = last ? by_position(right->result) : absent(),
        .mean = absent(),
        .weight = absent(),
        .result = last ? by_position(tensor_by_block(program, MN_SOURCE_OUT)) : absent(),
    };
    if (last)
        return;
    step->mean =
        by_position(slot_by_block(program, add_slot(program, MN_SLOT_QUERY_MEAN, index, options)));
    if (options->keep) /* no stage reads cR: the mean alone decides R */
        step->weight = by_position(
            slot_by_block(program, add_slot(program, MN_SLOT_QUERY_WEIGHT, index, options)));
}

static void fill_mask(mn_program *program)
{
    const monarch_strides *strides = &program->problem.mask_strides;
    program->mask = absent();
    if (!program->problem.has_mask)
        return;
    program->mask.source = MN_SOURCE_MASK;
    program->mask.width = 1;
    const monarch_problem *p = &program->problem;
    program->mask.base = -program->first * reach(p->block_size, strides->token);
    program->mask.batch = reach(p->batch, strides->batch);
    program->mask.group = reach(program->blocks, strides->block);
    program->mask.index = reach(p->block_size, strides->token);
}

monarch_status mn_program_build(const monarch_problem *resolved, const mn_program_options *options,
                                const monarch_allocator *allocator, mn_program *program,
                                monarch_error *error)
{
    enum { SLOTS_PER_STEP = 3 };
    memset(program, 0, sizeof *program);
    program->problem = *resolved;
    bool empty = resolved->batch == 0 || resolved->tokens == 0;
    uint32_t steps = empty ? 0 : 2 * (uint32_t)resolved->steps;
    program->alignment = options->alignment;
    program->blocks = (resolved->tokens + resolved->block_size - 1) / resolved->block_size;
    if (resolved->pad == MONARCH_PAD_BEGIN)
        program->first = program->blocks * resolved->block_size - resolved->tokens;
    program->steps = mn_alloc_array(allocator, steps, sizeof *program->steps);
    program->slots = mn_alloc_array(allocator, SLOTS_PER_STEP * steps, sizeof *program->slots);
    if (!program->steps || !program->slots) {
        mn_program_free(program, allocator);
        return mn_fail_memory(error, "the program");
    }
    program->step_count = steps;
    fill_mask(program);
    for (uint32_t i = 0; i < steps; i += 2) {
        fill_right(program, i, options);
        fill_left(program, i + 1, options);
    }
    return MONARCH_OK;
}

void mn_program_free(mn_program *program, const monarch_allocator *allocator)
{
    mn_free(allocator, program->steps);
    mn_free(allocator, program->slots);
    program->steps = NULL;
    program->slots = NULL;
}

int64_t mn_program_slot(const mn_program *program, uint32_t step, mn_slot_role role)
{
    for (uint32_t i = 0; i < program->slot_count; i++)
        if (program->slots[i].writer == step && program->slots[i].role == role)
            return i;
    return -1;
}
