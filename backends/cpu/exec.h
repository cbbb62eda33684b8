/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CPU_EXEC_H
#define MN_CPU_EXEC_H

#include "backends/cpu/team.h"
#include "core/program.h"

enum { MN_CPU_MAX_SLOTS = 6 * MONARCH_MAX_STEPS };

/* Where the operands of a program lie during one execution. */
typedef struct mn_cpu_exec {
    const mn_program *program;
    mn_team *team;
    uint32_t threads;
    char *tensors[MN_SOURCE_SLOT]; /* by mn_source */
    char *slots[MN_CPU_MAX_SLOTS]; /* NULL for a slot that is not stored */
    int64_t slot_origin;           /* head, counted over batch and heads, that slots start with */
    char *scratch;                 /* of the run */
} mn_cpu_exec;

/* Address of feature 0 of row or column `x`. */
static inline char *mn_cpu_at(const mn_cpu_exec *exec, const mn_operand *operand, int64_t batch,
                              int64_t head, int64_t group, int64_t x)
{
    int64_t offset = mn_operand_offset(operand, batch, head, group, x);
    if (operand->source != MN_SOURCE_SLOT)
        return exec->tensors[operand->source] +
               offset * (int64_t)monarch_dtype_size(operand->dtype);
    offset -= exec->slot_origin * operand->head;
    return exec->slots[operand->slot] + offset * (int64_t)monarch_dtype_size(operand->dtype);
}

/* Whether (block, position) holds a token of the sequence that is not masked. */
static inline bool mn_cpu_is_present(const mn_cpu_exec *exec, int64_t batch, int64_t block,
                                     int64_t position)
{
    const mn_operand *mask = &exec->program->mask;
    if (!mn_program_is_token(exec->program, block, position))
        return false;
    if (mask->source == MN_SOURCE_NONE)
        return true;
    return exec->tensors[MN_SOURCE_MASK][mn_operand_offset(mask, batch, 0, block, position)] != 0;
}

#endif
