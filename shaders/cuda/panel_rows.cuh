/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CUDA_PANEL_ROWS_CUH
#define MN_CUDA_PANEL_ROWS_CUH

#include "shaders/cuda/operand.cuh"

/*
 * The rows of one score matrix in memory, for kernels that run all stages: the operands of the
 * parameters are then those of whole heads, g and x being block and position in all of them.
 */

/* A score matrix of a head: of a block, or of a position (`left`). */
struct group_place {
    int batch, head, index;
    bool left;
};

/* Which rows of a block are tokens of the sequence, or in which blocks a position is one. Padding
   is less than a block: only the first or the last one can be without the position. */
__device__ inline presence group_tokens(const mn_stage_params &p, const group_place &at)
{
    if (at.left) {
        int64_t last = (int64_t)(p.groups - 1) * p.columns + at.index - p.first;
        presence there = all_of(p.groups);
        there.begin = at.index < p.first;
        there.end -= last >= p.tokens;
        return there;
    }
    int64_t token = (int64_t)at.index * p.columns - p.first;
    presence there = all_of(p.columns);
    there.begin = (int)max(-token, (int64_t)0);
    there.end = (int)min(p.tokens - token, (int64_t)p.columns);
    return there;
}

/* Rows in memory, those of [begin, end) that are not masked being there. */
struct panel_rows {
    char *base;
    int64_t stride;
    int bytes; /* of a row that count */
    bool vectors;
    presence there;
};

/* Those of a tensor of the caller's. */
template <class E>
__device__ inline panel_rows tensor_rows(const mn_stage_params &p, int number,
                                         const group_place &at, bool masked)
{
    const mn_operand_params &o = p.operand[number], &m = p.operand[MN_OPERAND_MASK];
    const int head = o.head_share > 1 ? at.head / o.head_share : at.head;
    panel_rows rows;
    rows.base = reinterpret_cast<char *>(o.address) +
                (at.batch * o.batch + head * o.head + at.index * (at.left ? o.index : o.group)) *
                    (int64_t)sizeof(E);
    rows.stride = (at.left ? o.group : o.index) * (int64_t)sizeof(E);
    rows.bytes = o.width * (int)sizeof(E);
    rows.vectors = o.vectors;
    rows.there = group_tokens(p, at);
    if (masked && m.width > 0) {
        rows.there.mask = reinterpret_cast<const uint8_t *>(m.address) + at.batch * m.batch +
                          at.index * (at.left ? m.index : m.group);
        rows.there.mask_step = at.left ? m.group : m.index;
    }
    return rows;
}

#endif
