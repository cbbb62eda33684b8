/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CUDA_RING_H
#define MN_CUDA_RING_H

#include <stdint.h>

/* What the ring, cluster and slice kernels are told beside mn_stage_params; the same for host and
   device. Of the fields behind the maps cluster reads uses_maps, linear and short_y alone, slice
   these, heads and what is its own. */

/* Tensor maps, descriptions of tensors for the copy engine: boxes of a block's rows, and boxes of
   one position's rows in all blocks. Axes are feature, x, y, head, batch. */
enum {
    MN_RING_QUERIES, /* of a block */
    MN_RING_KEYS,
    MN_RING_VALUES,
    MN_RING_ACROSS,       /* queries of a position */
    MN_RING_ACROSS_SHORT, /* where one block does not have the position */
    MN_RING_SLOTS, /* the workspace's tensors, of a block: their axes end with tensor, slot */
    MN_RING_SLOTS_ACROSS, /* the same of a position */
    MN_RING_MAPS,
    /* Slice has no workspace, but maps of the one block that padding is in. */
    MN_RING_KEYS_SHORT = MN_RING_SLOTS,
    MN_RING_VALUES_SHORT = MN_RING_SLOTS_ACROSS
};

enum { MN_RING_MAP_WORDS = 16 };

#if defined(__cplusplus)
struct alignas(64) mn_ring_params
#else
typedef struct mn_ring_params
#endif
{
    uint64_t maps[MN_RING_MAPS][MN_RING_MAP_WORDS];
    int64_t counter_bytes, tensor_bytes, slot_bytes; /* of the workspace, see layout.h */
    int32_t heads;                                   /* of all batches */
    int32_t lag;                                     /* heads between a stage and the next */
    int32_t slots;             /* heads whose intermediates are kept at once */
    int32_t stages;            /* of the pipeline in shared memory */
    int32_t side, stage_bytes; /* see layout.h */
    int32_t uses_maps;         /* 0: rows are copied one by one, whatever their layout */
    int32_t linear[3];         /* of q, k, v: x is the token, not the position, and y is 0 */
    int32_t short_y;           /* y at which boxes of MN_RING_ACROSS_SHORT begin */
    int32_t cleans;            /* rows behind a box may hold rows of an earlier task */
    int32_t slices;            /* slice: of the positions of a head */
    int32_t query_rows;        /* slice: of a box of MN_RING_QUERIES; 0: those of a block */
    int32_t key_rows;          /* slice: of boxes of keys and values, those behind the block are
                                  zeros; 0: those of a block */
    int32_t short_block;       /* slice: that padding is in, or -1; if it is the first, maps of
                                  blocks begin behind it */
    int32_t reserved[10];
#if defined(__cplusplus)
};
static_assert(sizeof(mn_ring_params) == 1024, "host and device must agree");
#else
} mn_ring_params;
_Static_assert(sizeof(mn_ring_params) == 1024, "host and device must agree");
#endif

#endif
