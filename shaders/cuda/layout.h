/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CUDA_LAYOUT_H
#define MN_CUDA_LAYOUT_H

/*
 * How the tiled kernels divide shared memory: used by the kernels and by the host that asks for it.
 * Rows are 16 bytes longer than their features, so that 8 rows read at once meet all banks.
 */

#if defined(__CUDACC__)
#define MN_LAYOUT_FUNCTION static __host__ __device__ constexpr
#elif defined(__cplusplus)
#define MN_LAYOUT_FUNCTION static constexpr
#else
#define MN_LAYOUT_FUNCTION static inline
#endif

enum {
    MN_TILE_ROWS = 16,    /* rows of scores that a warp holds */
    MN_TILE_COLUMNS = 64, /* columns of scores that a warp holds at a time, at most */
    MN_TILE_WIDEST = 128, /* features of an output that a warp holds, at most */
    MN_TILE_ROW_PADDING = 16,
    MN_TILE_BIAS_BYTES = 2 * 4 * MN_TILE_COLUMNS /* two terms to take off the scores of a column */
};

/* Bytes of a row of `width` features. */
MN_LAYOUT_FUNCTION int mn_tile_pitch(int width, int element_size)
{
    return width * element_size + MN_TILE_ROW_PADDING;
}

/* Bytes that hold the probabilities of a warp; only f32 passes them through shared memory. */
MN_LAYOUT_FUNCTION int mn_tile_probability_bytes(int element_size)
{
    return element_size == 4 ? MN_TILE_ROWS * (MN_TILE_COLUMNS + 4) * 4 : 0;
}

/*
 * Bytes of one group: the query rows of its warps, `stages` times a tile of keys, of values (width
 * 0: none) and of bias, the probabilities of its warps, and one flag.
 */
MN_LAYOUT_FUNCTION int mn_tile_group_bytes(int warps, int stages, int columns, int width,
                                           int value_width, int element_size)
{
    int tile = columns * mn_tile_pitch(width, element_size) + MN_TILE_BIAS_BYTES +
               (value_width > 0 ? columns * mn_tile_pitch(value_width, element_size) : 0);
    return warps * (MN_TILE_ROWS * mn_tile_pitch(width, element_size) +
                    mn_tile_probability_bytes(element_size)) +
           stages * tile + 16;
}

/* Kernels of warpgroups: rows of a score matrix's operands lie in panels of 64 features, their
   number rounded up to 64. */
enum { MN_PANEL_FEATURES = 64, MN_PANEL_ROW = 128, MN_PANEL_ALIGNMENT = 1024 };

MN_LAYOUT_FUNCTION int mn_panel_rows(int rows)
{
    return (rows + 63) / 64 * 64;
}

/* The hopper kernels: bytes of a score matrix's operands. */
MN_LAYOUT_FUNCTION int mn_hopper_slot_bytes(int rows, int columns, int panels, int has_result)
{
    int matrices = mn_panel_rows(rows) + (has_result ? 2 : 1) * mn_panel_rows(columns);
    return panels * matrices * MN_PANEL_ROW +
           (2 * mn_panel_rows(columns) * 4 + 16 + 1023) / 1024 * 1024;
}

/*
 * The ring kernel. A stage of the pipeline holds three matrices of one task, and terms: of each
 * column the bias, and of each query of LEFT two more.
 */
MN_LAYOUT_FUNCTION int mn_ring_side(int blocks, int block)
{
    return mn_panel_rows(blocks > block ? blocks : block);
}

MN_LAYOUT_FUNCTION int mn_ring_stage_bytes(int side, int panels)
{
    int bytes = 3 * panels * side * MN_PANEL_ROW + 3 * side * 4 + 64;
    return (bytes + MN_PANEL_ALIGNMENT - 1) / MN_PANEL_ALIGNMENT * MN_PANEL_ALIGNMENT;
}

/* Of a work-group: the stages, their barriers, and the bias of the first, an inner and the last
   block's columns. */
MN_LAYOUT_FUNCTION int mn_ring_bytes(int side, int panels, int stages)
{
    return stages * mn_ring_stage_bytes(side, panels) + 256 + 3 * side * 4;
}

/*
 * In the workspace: a counter for each stage of the program and slot, then the slots. A slot holds
 * of one head the tensors aL/s of each step, aR/cR of all but the last, y, all [block][position];
 * then cL of each step, [position][block rounded up to 64], in units of log2.
 */
MN_LAYOUT_FUNCTION long long mn_ring_counter_bytes(int steps, int slots)
{
    return (2LL * steps * slots * 4 + MN_PANEL_ALIGNMENT - 1) / MN_PANEL_ALIGNMENT *
           MN_PANEL_ALIGNMENT;
}

MN_LAYOUT_FUNCTION long long mn_ring_tensor_bytes(int blocks, int block, int panels)
{
    return (long long)blocks * block * panels * MN_PANEL_ROW;
}

MN_LAYOUT_FUNCTION long long mn_ring_slot_bytes(int blocks, int block, int panels, int steps)
{
    return 2 * steps * mn_ring_tensor_bytes(blocks, block, panels) +
           4LL * steps * block * mn_panel_rows(blocks);
}

/* With fp8 intermediates, T = 1: aL/s and y together are one tensor, and cL comes with 4 bytes
 * more.
 */
MN_LAYOUT_FUNCTION long long mn_ring_fp8_slot_bytes(int blocks, int block, int panels)
{
    return mn_ring_tensor_bytes(blocks, block, panels) + 8LL * block * mn_panel_rows(blocks);
}

/*
 * The cluster kernel. Rows of 64 or 128 features, in one panel or two. A work-group, one of `size`
 * that share a head, holds some blocks at a time, each with q, k and v; and of each of its
 * positions, for all blocks: aL/s, y, and the queries (in place of the blocks where `apart` is 0).
 * Then come terms: of the keys of each block (without a mask, of the first, an inner and the last
 * one), cL of each position and, where T > 1, two terms of LEFT. The end are barriers.
 */
MN_LAYOUT_FUNCTION int mn_tile_rows(int rows)
{
    return (rows + MN_TILE_ROWS - 1) / MN_TILE_ROWS * MN_TILE_ROWS;
}

MN_LAYOUT_FUNCTION int mn_cluster_slot_bytes(int block, int panels)
{
    return 3 * mn_tile_rows(block) * panels * MN_PANEL_ROW;
}

/* Positions of a work-group, at most. */
MN_LAYOUT_FUNCTION int mn_cluster_share(int block, int size)
{
    return (block + size - 1) / size;
}

/* One tensor of the positions of a work-group. */
MN_LAYOUT_FUNCTION int mn_cluster_area_bytes(int blocks, int block, int size, int panels)
{
    return mn_cluster_share(block, size) * mn_tile_rows(blocks) * panels * MN_PANEL_ROW;
}

MN_LAYOUT_FUNCTION int mn_cluster_bytes(int blocks, int block, int steps, int has_mask, int size,
                                        int slots, int apart, int panels)
{
    int share = mn_cluster_share(block, size);
    int terms = (has_mask ? slots : 3) * mn_tile_rows(block) +
                (steps > 1 ? 3 : 1) * share * mn_tile_rows(blocks);
    return slots * mn_cluster_slot_bytes(block, panels) +
           (apart ? 3 : 2) * mn_cluster_area_bytes(blocks, block, size, panels) + 4 * terms +
           8 * 2 * (slots + share);
}

/*
 * The slice kernel. A slice is some positions of a head, a cluster's work-groups have some each,
 * and of them, for all blocks: aL/s, y. Then come the units of a pipeline, places for the queries
 * of blocks, cL of the positions, and barriers. Kernels for whole problems have units of 64 rows,
 * of which a matrix takes one or two; in the others each matrix has a unit, behind cL there is the
 * bias of the first, an inner and the last block's keys, and at the end as much as products read
 * behind queries. Kernels for several steps have terms of LEFT behind cL, two of each column for
 * each warpgroup.
 */
enum {
    MN_SLICE_MEMORY = 232448, /* of a work-group, all that compute capability 9.0 has */
    MN_SLICE_MOST_UNITS = 16,
    MN_SLICE_LEAST_UNITS = 4,
    MN_SLICE_PAIR_UNITS = 6 /* queries, keys and values of two blocks */
};

/* What a slice kernel is made for. Tokens and blocks are rows that there is room for, and all of
   them are there if it is `whole`. */
typedef struct mn_slice_extents {
    int block, blocks, panels;
    int size; /* of a cluster */
    int whole;
    int several; /* steps; then it is whole, and rows, blocks and tokens are as many */
} mn_slice_extents;

/* Positions of a slice; in the last one of a head not all of them are there. Keys and values are
   read for each slice, so it has all that there is room for. */
MN_LAYOUT_FUNCTION int mn_slice_rows(mn_slice_extents e)
{
    return e.whole ? 64 : e.blocks <= 96 && e.block <= 96 ? e.block : e.block / 2;
}

MN_LAYOUT_FUNCTION int mn_slice_unit_rows(mn_slice_extents e)
{
    return e.whole ? 64 : e.block > e.blocks ? e.block : e.blocks;
}

/* Bytes of the positions of a work-group. */
MN_LAYOUT_FUNCTION int mn_slice_position_bytes(mn_slice_extents e)
{
    return mn_slice_rows(e) / e.size * e.blocks * (2 * e.panels * MN_PANEL_ROW + 4);
}

/* Warpgroups that compute. More features leave registers for three; and with four, 64 blocks of 128
   tokens take 42 us where they take 41 with three, and 8 bytes are spilled. Ragged blocks of
   more than 96 tokens leave registers for three, too. */
MN_LAYOUT_FUNCTION int mn_slice_groups(mn_slice_extents e)
{
    return e.panels > 1 || e.block > (e.whole ? e.blocks : 96) ? 3 : 4;
}

/* Whether two warpgroups share a matrix, as a slice has more than 64 rows; see slice_pairs.cuh. */
MN_LAYOUT_FUNCTION int mn_slice_in_pairs(mn_slice_extents e)
{
    return mn_slice_rows(e) > 64;
}

/* Places for the queries of blocks: one for each warpgroup, where there is room. In pairs they have
   units like all else. */
MN_LAYOUT_FUNCTION int mn_slice_query_slots(mn_slice_extents e)
{
    if (mn_slice_in_pairs(e))
        return 0;
    return mn_slice_position_bytes(e) < MN_SLICE_MEMORY / 2 ? 4 : 2;
}

/* Numbers behind cL. */
MN_LAYOUT_FUNCTION int mn_slice_terms(mn_slice_extents e)
{
    return e.several ? mn_slice_groups(e) * 2 * e.blocks : e.whole ? 0 : 3 * e.block;
}

/* Of a work-group with so many units. */
MN_LAYOUT_FUNCTION int mn_slice_bytes(mn_slice_extents e, int units)
{
    int queries = mn_slice_query_slots(e), rows = mn_slice_rows(e);
    int barriers = 2 * units + queries + rows / e.size + 1 + (e.several ? rows / e.size + 1 : 0);
    return mn_slice_position_bytes(e) +
           (units * mn_slice_unit_rows(e) + queries * rows) * e.panels * MN_PANEL_ROW +
           4 * mn_slice_terms(e) + 8 * barriers +
           (mn_panel_rows(rows) - rows) * e.panels * MN_PANEL_ROW;
}

/* As many as there is room for, an even number where a matrix can take two, and those of two blocks
 * in pairs; 0 if they are too few.
 */
MN_LAYOUT_FUNCTION int mn_slice_units(mn_slice_extents e)
{
    int units = mn_slice_in_pairs(e) ? MN_SLICE_PAIR_UNITS : MN_SLICE_MOST_UNITS;
    int least = mn_slice_in_pairs(e) ? MN_SLICE_PAIR_UNITS : MN_SLICE_LEAST_UNITS;
    while (units > 0 && mn_slice_bytes(e, units) > MN_SLICE_MEMORY)
        units -= e.whole ? 2 : 1;
    return units < least ? 0 : units;
}

#endif
