/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CORE_STEP_H
#define MN_CORE_STEP_H

#include <stdbool.h>

#include <monarch/plan.h>

/*
 * One stage of the program as plain data. For every (batch, head, group):
 *
 *     scores[r,c] = scale * queries[r] . keys[c] - bias[c]          rows x columns, depth features
 *     P           = softmax over c of scores
 *
 *   kind         group  r  c   queries      keys  bias   then
 *   RIGHT        k      j  i   Q or aR/cR   K     none   mean = P keys (aL/s),  weight = cL
 *   RIGHT_VALUE  k      j  i   Q or aR/cR   K     none   the same, and result = P values (y = R V)
 *   LEFT         j      l  k   Q            aL/s  cL     mean = P'queries / weight (aR/cR), and
 *                                                        weight = column sums of P (cR) if asked
 *   LEFT_OUT     j      l  k   Q            aL/s  cL     result = P values (O = L y)
 *
 * LEFT normalises each column of P by its sum, however small that is, so it must not let P
 * underflow first: mean[c] is the softmax over r of log P[r,c], applied to the queries. Then a
 * column's weight is 0 only where no row or no key is there, and every precision agrees on it.
 *
 * The program stores the well-scaled means aL/s (of keys) and aR/cR (of queries; 0 where cR is
 * 0, which makes R uniform as the contract wants), never aL and aR themselves.
 *
 * Where the rows or columns of a stage are tokens, index x of group g is token
 * g * token_group + x * token_index - first, and counts as absent outside [0, tokens) or
 * behind the mask: an absent key column gets weight exactly 0; an absent query row is left out of
 * LEFT's sums and counts as zero in the first RIGHT; LEFT_OUT skips rows outside [0, tokens) and
 * computes masked ones.
 */

/* What an operand refers to: a tensor of the caller or a slot of the workspace. */
typedef enum mn_source {
    MN_SOURCE_NONE = 0,
    MN_SOURCE_Q,
    MN_SOURCE_K,
    MN_SOURCE_V,
    MN_SOURCE_MASK,
    MN_SOURCE_OUT,
    MN_SOURCE_SLOT
} mn_source;

/*
 * A matrix for every (batch, head, group): element (x, f) lies at
 *     base + b*batch + (h / head_share)*head + g*group + x*index + f*feature
 * elements from the start of its source.
 */
typedef struct mn_operand {
    mn_source source;
    uint32_t slot; /* with MN_SOURCE_SLOT */
    monarch_dtype dtype;
    int32_t width;      /* number of features, 0 for an absent operand */
    bool e4m3;          /* a slot's rows are rounded as mn_round_row_e4m3 does when written */
    int64_t head_share; /* query heads that share one head of this operand */
    int64_t base;
    int64_t batch, head, group, index, feature;
} mn_operand;

typedef struct mn_step {
    monarch_stage_kind kind;
    int64_t groups, rows, columns;
    int64_t depth;
    float scale;
    bool first;                       /* queries are Q itself: absent ones count as zero */
    int64_t token_group, token_index; /* of rows (LEFT kinds) or columns (RIGHT kinds) */
    mn_operand queries, keys, bias, values, mean, weight, result;
} mn_step;

/* Whether the rows of a stage are query tokens (LEFT kinds) and its columns blocks. */
static inline bool mn_step_is_left(const mn_step *step)
{
    return step->kind == MONARCH_STAGE_LEFT || step->kind == MONARCH_STAGE_LEFT_OUT;
}

/* Offset in elements of feature 0 of row or column `x`. */
static inline int64_t mn_operand_offset(const mn_operand *operand, int64_t batch, int64_t head,
                                        int64_t group, int64_t x)
{
    return operand->base + batch * operand->batch + head / operand->head_share * operand->head +
           group * operand->group + x * operand->index;
}

#endif
