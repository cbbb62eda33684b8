/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_SHADERS_PARAMS_H
#define MN_SHADERS_PARAMS_H

/*
 * What a kernel is told about its stage: one definition for the host and for every device language.
 * The meaning of the operands is that of core/step.h.
 */

#if defined(__OPENCL_VERSION__) || defined(__OPENCL_C_VERSION__)
typedef long mn_i64;
typedef ulong mn_u64;
typedef int mn_i32;
#else
#include <stdint.h>
typedef int64_t mn_i64;
typedef uint64_t mn_u64;
typedef int32_t mn_i32;
#endif

/* Operands of a stage, by number. */
enum {
    MN_OPERAND_QUERIES,
    MN_OPERAND_KEYS,
    MN_OPERAND_BIAS, /* cL of each column, f32 */
    MN_OPERAND_VALUES,
    MN_OPERAND_MEAN,   /* written */
    MN_OPERAND_WEIGHT, /* written, f32 */
    MN_OPERAND_RESULT, /* written */
    MN_OPERAND_MASK,   /* one byte a token */
    MN_OPERAND_STATS,  /* pairs of f32 for each row of LEFT: see mn_stage_params */
    MN_OPERAND_COUNT
};

/* The numbers of monarch_dtype and monarch_stage_kind, for device code. */
enum { MN_DTYPE_F32 = 0, MN_DTYPE_F16 = 1, MN_DTYPE_BF16 = 2 };
enum { MN_KIND_RIGHT = 0, MN_KIND_LEFT = 1, MN_KIND_RIGHT_VALUE = 2, MN_KIND_LEFT_OUT = 3 };

/*
 * Element (x, f) of an operand for (batch b, head h, group g) lies at element
 *
 *     b*batch + (h / head_share)*head + g*group + x*index + f*feature
 *
 * from `address`. A width of 0 stands for an operand that is absent.
 */
typedef struct mn_operand_params {
    mn_u64 address; /* in bytes */
    mn_i64 batch, head, group, index, feature;
    mn_i32 width; /* features */
    mn_i32 dtype;
    mn_i32 head_share;
    mn_i32
        vectors; /* 1: every row starts at a multiple of 16 bytes and its features are adjacent */
} mn_operand_params;

/*
 * One launch. The groups of all heads are counted in one row of tasks,
 *
 *     task = (b*heads + h)*groups + g,   0 <= task < tasks.
 *
 * LEFT runs in two launches: the first writes for each of its rows l the pair (largest score,
 * log2 of the sum of 2^(score - largest)), scores being in units of log2; the second reads them
 * as the term to take off score (l, k), and works on the transposed matrix: its rows are the
 * blocks k and its columns the query blocks l. The operands are named by what they are in step.h;
 * STATS has index 2, group 2*rows, head 2*rows*groups and so on.
 *
 * A fused launch covers all steps of a head: tasks are heads, and g and x of every operand are
 * block and position. QUERIES and KEYS are those of the first step, VALUES and RESULT are v and
 * out. Variant cluster of the cuda backend means by `stages` the blocks that a work-group holds at
 * a time, and by `chunks` 1 that the queries of positions have room of their own; variant fused by
 * `stages` the tensors that shared memory has room for.
 */
typedef struct mn_stage_params {
    mn_operand_params operand[MN_OPERAND_COUNT];
    mn_i64 tasks;
    mn_i64 tokens;
    mn_i64 first;                    /* padding positions before token 0 */
    mn_i64 token_group, token_index; /* token of (g, x) = g*token_group + x*token_index - first */
    mn_i32 kind;
    mn_i32 heads, groups, rows, columns, depth;
    float scale;           /* s * log2(e): scores are in units of log2 */
    mn_i32 absent_is_zero; /* the first RIGHT: queries of absent tokens count as zero */
    mn_i32 steps;          /* of a fused launch: T */
    mn_i32 warps;          /* tiled: warps that share a group */
    mn_i32 packed;         /* tiled: groups that share a work-group */
    mn_i32 row_splits;     /* tiled: work-groups that share the rows of a group */
    mn_i32 column_tile;    /* tiled: columns that are in local memory at a time */
    mn_i32 stages;         /* tiled: how many such tiles at once */
    mn_i32 chunks;         /* tiled: parts into which the features of the outputs are cut */
    mn_i32 backwards;      /* 1: work-groups take the tasks from the last to the first */
} mn_stage_params;

#if defined(__cplusplus)
static_assert(sizeof(mn_operand_params) == 64, "host and device must agree");
static_assert(sizeof(mn_stage_params) == 680, "host and device must agree");
#elif !defined(__OPENCL_VERSION__) && !defined(__OPENCL_C_VERSION__)
_Static_assert(sizeof(mn_operand_params) == 64, "host and device must agree");
_Static_assert(sizeof(mn_stage_params) == 680, "host and device must agree");
#endif

#endif
