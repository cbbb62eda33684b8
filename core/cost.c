/* SPDX-License-Identifier: Apache-2.0 */
#include "core/cost.h"

static double operand_bytes(const mn_program *program, const mn_operand *operand)
{
    const monarch_problem *p = &program->problem;
    if (operand->source == MN_SOURCE_NONE)
        return 0.0;
    if (operand->source == MN_SOURCE_SLOT)
        return (double)p->batch * (double)p->heads * (double)program->blocks *
               (double)p->block_size * operand->width * (double)monarch_dtype_size(operand->dtype);
    return (double)p->batch * (double)(p->heads / operand->head_share) * (double)p->tokens *
           operand->width * (double)monarch_dtype_size(operand->dtype);
}

mn_cost mn_cost_step(const mn_program *program, const mn_step *step)
{
    const monarch_problem *p = &program->problem;
    /* One GEMM makes the scores; each mean and each result is another one. */
    double features = (double)step->depth + step->mean.width + step->result.width;
    double scores = (double)p->batch * (double)p->heads * (double)step->groups *
                    (double)step->rows * (double)step->columns;
    const mn_operand *operands[] = {&step->queries, &step->keys,   &step->bias,  &step->values,
                                    &step->mean,    &step->weight, &step->result};
    mn_cost cost = {.flops = 2.0 * scores * features};
    for (size_t i = 0; i < sizeof operands / sizeof *operands; i++)
        cost.bytes += operand_bytes(program, operands[i]);
    return cost;
}

mn_cost mn_cost_exact(const mn_program *program)
{
    const monarch_problem *p = &program->problem;
    double rows = (double)p->batch * (double)p->heads * (double)p->tokens;
    double shared = (double)p->batch * (double)p->kv_heads * (double)p->tokens;
    mn_cost cost = {.flops = 2.0 * rows * (double)p->tokens * (double)(p->head_dim + p->value_dim)};
    cost.bytes = rows * (double)p->head_dim * (double)monarch_dtype_size(p->q.dtype) +
                 rows * (double)p->value_dim * (double)monarch_dtype_size(p->out.dtype) +
                 shared * (double)p->head_dim * (double)monarch_dtype_size(p->k.dtype) +
                 shared * (double)p->value_dim * (double)monarch_dtype_size(p->v.dtype);
    return cost;
}
