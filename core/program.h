/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CORE_PROGRAM_H
#define MN_CORE_PROGRAM_H

#include "core/step.h"

/* What a slot holds; one element per (batch, head, block, position) and feature. */
typedef enum mn_slot_role {
    MN_SLOT_KEY_MEAN,     /* aL / s, width head_dim */
    MN_SLOT_ENTROPY,      /* cL, width 1, f32 */
    MN_SLOT_QUERY_MEAN,   /* aR / cR, width head_dim */
    MN_SLOT_QUERY_WEIGHT, /* cR, width 1, f32 */
    MN_SLOT_VALUE_MEAN    /* y, width value_dim */
} mn_slot_role;

/* An intermediate: written by one step, read by the next (or kept to the end, if asked). */
typedef struct mn_slot {
    mn_slot_role role;
    monarch_dtype dtype;
    int32_t width;
    bool e4m3;   /* see mn_operand */
    int64_t row; /* elements from row to row: width, padded to 16 bytes unless it is 1 */
    uint64_t bytes;
    uint32_t writer, last_reader; /* steps */
} mn_slot;

/*
 * The whole computation: 2T steps, immutable once built. `problem` is resolved. An empty problem
 * (batch or tokens 0) has no steps.
 */
typedef struct mn_program {
    monarch_problem problem;
    int64_t blocks;     /* M */
    int64_t first;      /* padding positions before token 0 */
    uint32_t alignment; /* promised bytes of alignment of the tensors' addresses, 0 = an element */
    mn_operand mask;    /* width 0 without a mask; group and index as in a RIGHT step:
                           block and position */
    uint32_t step_count, slot_count;
    mn_step *steps;
    mn_slot *slots;
} mn_program;

typedef struct mn_program_options {
    /* By dtype of k, q and v: the dtype in which their means are stored. */
    const monarch_dtype *intermediate;
    uint32_t alignment; /* see mn_program */
    bool keep; /* every output of every stage is kept to the end and cR is stored: debug form */
} mn_program_options;

/* Builds the program of a resolved problem. Errors: OUT_OF_MEMORY. */
monarch_status mn_program_build(const monarch_problem *resolved, const mn_program_options *options,
                                const monarch_allocator *allocator, mn_program *program,
                                monarch_error *error);

void mn_program_free(mn_program *program, const monarch_allocator *allocator);

/* Whether (block, position) holds a real token, masked or not. */
static inline bool mn_program_is_token(const mn_program *program, int64_t block, int64_t position)
{
    int64_t token = block * program->problem.block_size + position - program->first;
    return token >= 0 && token < program->problem.tokens;
}

/* The slot that `step` writes in `role`, or -1. */
int64_t mn_program_slot(const mn_program *program, uint32_t step, mn_slot_role role);

#endif
