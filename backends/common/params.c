/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/common/params.h"

enum { VECTOR_BYTES = 16 };

static const float log2_e = 1.44269504088896341f;

static bool whole_vectors(int64_t stride, int64_t size)
{
    return stride * size % VECTOR_BYTES == 0;
}

/* Whether rows lie at multiples of 16 bytes from each other and hold whole vectors. Rows of slots
   are padded to whole vectors. */
static bool has_vectors(const mn_operand *operand)
{
    int64_t size = (int64_t)monarch_dtype_size(operand->dtype);
    bool whole = operand->source == MN_SOURCE_SLOT || whole_vectors(operand->width, size);
    return operand->source != MN_SOURCE_MASK && operand->feature == 1 && whole &&
           whole_vectors(operand->batch, size) && whole_vectors(operand->head, size) &&
           whole_vectors(operand->group, size) && whole_vectors(operand->index, size);
}

static void set_operand(const monarch_plan *plan, mn_launch_params *params, int number,
                        const mn_operand *operand)
{
    if (operand->width == 0)
        return;
    int64_t size =
        operand->source == MN_SOURCE_MASK ? 1 : (int64_t)monarch_dtype_size(operand->dtype);
    uint64_t address = (uint64_t)(operand->base * size);
    if (operand->source == MN_SOURCE_SLOT)
        address += plan->slot_offsets[operand->slot];
    params->source[number] = (uint8_t)operand->source;
    params->block.operand[number] = (mn_operand_params){
        .address = address,
        .batch = operand->batch,
        .head = operand->head,
        .group = operand->group,
        .index = operand->index,
        .feature = operand->feature,
        .width = operand->width,
        .dtype = (int32_t)operand->dtype,
        .head_share = (int32_t)operand->head_share,
        .vectors = has_vectors(operand),
    };
}

static void set_problem(const monarch_plan *plan, mn_stage_params *block)
{
    const monarch_problem *p = &plan->program.problem;
    block->tokens = p->tokens;
    block->first = plan->program.first;
    block->heads = (int32_t)p->heads;
    block->depth = (int32_t)p->head_dim;
    block->scale = p->scale * log2_e;
    block->steps = p->steps;
}

void mn_params_from_step(const monarch_plan *plan, uint32_t index, mn_launch_params *params)
{
    const mn_step *step = &plan->program.steps[index];
    const monarch_problem *p = &plan->program.problem;
    mn_operand mask = plan->program.mask;
    if (mn_step_is_left(step)) { /* there, groups are positions */
        int64_t block_stride = mask.group;
        mask.group = mask.index;
        mask.index = block_stride;
    }
    memset(params, 0, sizeof *params);
    set_operand(plan, params, MN_OPERAND_QUERIES, &step->queries);
    set_operand(plan, params, MN_OPERAND_KEYS, &step->keys);
    set_operand(plan, params, MN_OPERAND_BIAS, &step->bias);
    set_operand(plan, params, MN_OPERAND_VALUES, &step->values);
    set_operand(plan, params, MN_OPERAND_MEAN, &step->mean);
    set_operand(plan, params, MN_OPERAND_WEIGHT, &step->weight);
    set_operand(plan, params, MN_OPERAND_RESULT, &step->result);
    set_operand(plan, params, MN_OPERAND_MASK, &mask);
    mn_stage_params *block = &params->block;
    set_problem(plan, block);
    block->kind = (int32_t)step->kind;
    block->tasks = p->batch * p->heads * step->groups;
    block->token_group = step->token_group;
    block->token_index = step->token_index;
    block->groups = (int32_t)step->groups;
    block->rows = (int32_t)step->rows;
    block->columns = (int32_t)step->columns;
    block->absent_is_zero = step->first;
}

void mn_params_from_program(const monarch_plan *plan, mn_launch_params *params)
{
    const mn_program *program = &plan->program;
    const mn_step *last = &program->steps[program->step_count - 1];
    mn_params_from_step(plan, 0, params);
    set_operand(plan, params, MN_OPERAND_VALUES, &program->steps[program->step_count - 2].values);
    mn_operand out = last->result;
    int64_t block_stride = out.index;
    out.index = out.group;
    out.group = block_stride;
    set_operand(plan, params, MN_OPERAND_RESULT, &out);
    params->block.operand[MN_OPERAND_MEAN] = (mn_operand_params){0};
    params->block.operand[MN_OPERAND_WEIGHT] = (mn_operand_params){0};
    params->source[MN_OPERAND_MEAN] = params->source[MN_OPERAND_WEIGHT] = MN_SOURCE_NONE;
    params->block.tasks = program->problem.batch * program->problem.heads;
}

void mn_params_set_stats(mn_launch_params *params, uint64_t offset)
{
    mn_stage_params *block = &params->block;
    int64_t group = 2 * (int64_t)block->rows, head = group * block->groups;
    params->source[MN_OPERAND_STATS] = MN_SOURCE_SLOT;
    block->operand[MN_OPERAND_STATS] = (mn_operand_params){
        .address = offset,
        .batch = head * block->heads,
        .head = head,
        .group = group,
        .index = 2,
        .feature = 1,
        .width = 2,
        .dtype = MN_DTYPE_F32,
        .head_share = 1,
    };
}

uint64_t mn_params_stats_size(const mn_program *program, const mn_step *step)
{
    const monarch_problem *p = &program->problem;
    return 2 * sizeof(float) * (uint64_t)(p->batch * p->heads * step->groups * step->rows);
}

void mn_params_place(const mn_launch_params *params, const mn_bindings *bindings,
                     mn_stage_params *block, const monarch_memory *memory[MN_OPERAND_COUNT])
{
    const monarch_memory *all[] = {
        NULL,           &bindings->q,        &bindings->k, &bindings->v, &bindings->mask,
        &bindings->out, &bindings->workspace};
    *block = params->block;
    for (int i = 0; i < MN_OPERAND_COUNT; i++) {
        memory[i] = all[params->source[i]];
        if (!memory[i])
            continue;
        mn_operand_params *operand = &block->operand[i];
        uint64_t start = memory[i]->kind == MONARCH_MEMORY_SVM ? memory[i]->handle : 0;
        operand->address += memory[i]->offset;
        operand->vectors &= (start + operand->address) % VECTOR_BYTES == 0;
    }
}

void mn_params_bind(const mn_launch_params *params, const mn_bindings *bindings,
                    mn_stage_params *block)
{
    const monarch_memory *memory[] = {
        NULL,           &bindings->q,        &bindings->k, &bindings->v, &bindings->mask,
        &bindings->out, &bindings->workspace};
    *block = params->block;
    for (int i = 0; i < MN_OPERAND_COUNT; i++) {
        if (params->source[i] == MN_SOURCE_NONE)
            continue;
        const monarch_memory *from = memory[params->source[i]];
        block->operand[i].address += from->handle + from->offset;
        block->operand[i].vectors &= block->operand[i].address % VECTOR_BYTES == 0;
    }
}
