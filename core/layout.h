/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CORE_LAYOUT_H
#define MN_CORE_LAYOUT_H

#include <stdbool.h>

#include <monarch/problem.h>

/* The bytes [begin, end) that a tensor spans, relative to the address of token 0. */
typedef struct mn_extent {
    int64_t begin, end;
} mn_extent;

/* Which tensor of a problem is meant. */
typedef enum mn_tensor_id {
    MN_TENSOR_Q,
    MN_TENSOR_K,
    MN_TENSOR_V,
    MN_TENSOR_MASK,
    MN_TENSOR_OUT
} mn_tensor_id;

enum { MN_TENSOR_COUNT = 5 };

/* "q", "k", "v", "mask" or "out". */
const char *mn_tensor_name(mn_tensor_id id);

/* Fills in the strides that stand for a default. Needs every other field resolved. Errors:
   INVALID_ARGUMENT when packed strides leave 64 bits. */
monarch_status mn_layout_resolve(monarch_problem *problem, monarch_error *error);

/*
 * The extent of a tensor of a resolved problem; an empty one spans nothing.
 * Returns false when an address leaves 62 bits.
 */
bool mn_layout_extent(const monarch_problem *resolved, mn_tensor_id id, mn_extent *extent);

/* Whether two elements of `out` could coincide. May say so of exotic layouts that do not. */
bool mn_layout_out_overlaps_itself(const monarch_problem *resolved);

#endif
