/* SPDX-License-Identifier: Apache-2.0 */
#include "cases.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Of what variant slice alone is for. */
#define SLICE .backend = "cuda", .variant = "slice", .halves = 1

/* Kernels of variant ring alone: for many features, or for those of more blocks. */
#define RING .backend = "cuda", .variant = "ring", .halves = 1

/*
 * Small shapes carry several heads: with a handful of results alone, the error of a correct
 * evaluation would be a matter of luck, and so would the comparison.
 */
const test_case test_cases[] = {
    /* .shape = {batch, heads, kv_heads, tokens, head_dim, value_dim, block, steps} */

    /* Shapes: every relation of N, B and M, of D and Dv. */
    {.name = "one_token", .shape = {4, 4, 0, 1, 8, 0, 0, 1}},
    {.name = "one_token_block_8", .shape = {4, 4, 0, 1, 8, 0, 8, 2}},
    {.name = "two_tokens", .shape = {1, 32, 0, 2, 8, 0, 1, 2}},
    {.name = "block_1", .shape = {1, 4, 0, 23, 8, 0, 1, 1}},
    {.name = "block_1_steps_3", .shape = {1, 4, 0, 19, 8, 0, 1, 3}},
    {.name = "block_n", .shape = {1, 4, 0, 21, 8, 0, 21, 2}},
    {.name = "block_above_n", .shape = {1, 4, 0, 13, 8, 0, 40, 2}},
    {.name = "even", .shape = {1, 4, 0, 64, 16, 0, 8, 1}},
    {.name = "odd_n", .shape = {1, 4, 0, 37, 8, 0, 6, 1}},
    {.name = "odd_n_begin", .shape = {1, 4, 0, 37, 8, 0, 6, 1}, .pad = MONARCH_PAD_BEGIN},
    {.name = "odd_n_steps_2", .shape = {1, 4, 0, 53, 8, 0, 7, 2}},
    {.name = "odd_n_steps_3_begin", .shape = {1, 4, 0, 53, 8, 0, 7, 3}, .pad = MONARCH_PAD_BEGIN},
    {.name = "odd_n_steps_4", .shape = {1, 4, 0, 29, 8, 0, 5, 4}},
    {.name = "two_blocks_last_short", .shape = {1, 4, 0, 17, 8, 0, 16, 2}},
    {.name = "two_blocks_first_short",
     .shape = {1, 4, 0, 17, 8, 0, 16, 2},
     .pad = MONARCH_PAD_BEGIN},
    {.name = "block_2", .shape = {1, 2, 0, 75, 8, 0, 2, 2}},
    {.name = "block_chosen_small", .shape = {1, 4, 0, 15, 8, 0, 0, 1}},
    {.name = "block_chosen", .shape = {1, 2, 0, 300, 16, 0, 0, 2}},
    {.name = "value_dim_1", .shape = {1, 8, 0, 41, 8, 1, 6, 2}},
    {.name = "value_dim_above", .shape = {1, 4, 0, 40, 8, 29, 6, 1}},
    {.name = "value_dim_n", .shape = {1, 2, 0, 50, 8, 50, 7, 2}},
    {.name = "dim_1", .shape = {1, 16, 0, 40, 1, 0, 6, 2}},
    {.name = "dim_3_value_5", .shape = {1, 8, 0, 39, 3, 5, 6, 2}},
    {.name = "dim_17", .shape = {1, 4, 0, 45, 17, 0, 8, 2}},
    {.name = "dim_33_value_31", .shape = {1, 4, 0, 66, 33, 31, 9, 1}},
    {.name = "dim_80", .shape = {1, 2, 0, 100, 80, 0, 10, 2}},
    {.name = "dim_128_value_64", .shape = {1, 2, 0, 130, 128, 64, 16, 2}},
    {.name = "dim_256", .shape = {1, 2, 0, 90, 256, 0, 16, 2}},
    {.name = "dim_96_value_72", .shape = {1, 2, 0, 70, 96, 72, 20, 2}},
    {.name = "dim_200_value_150", .shape = {1, 2, 0, 60, 200, 150, 12, 2}},
    {.name = "dim_260_value_300", .shape = {1, 1, 0, 40, 260, 300, 7, 2}},
    {.name = "block_20_blocks_25", .shape = {1, 2, 0, 500, 24, 0, 20, 3}},
    {.name = "block_90", .shape = {1, 1, 0, 1500, 64, 0, 90, 2}},
    {.name = "block_large", .shape = {1, 1, 0, 700, 16, 0, 300, 2}},
    {.name = "block_290", .shape = {1, 1, 0, 330, 8, 0, 290, 2}},
    {.name = "block_over_1024", .shape = {1, 1, 0, 1103, 8, 0, 1050, 1}},
    {.name = "blocks_many", .shape = {1, 1, 0, 1111, 16, 0, 3, 2}},
    {.name = "blocks_over_1024", .shape = {1, 1, 0, 1201, 8, 0, 1, 1}},
    {.name = "blocks_over_512_steps_2", .shape = {1, 1, 0, 1200, 8, 0, 2, 2}},
    {.name = "heads_many", .shape = {37, 13, 0, 18, 4, 0, 4, 2}},
    {.name = "tiles_of_16", .shape = {1, 1, 0, 256, 32, 0, 16, 2}},
    {.name = "tiles_exact", .shape = {1, 1, 0, 1024, 32, 0, 32, 2}},
    {.name = "tiles_plus_1", .shape = {1, 1, 0, 1025, 32, 0, 33, 2}, .pad = MONARCH_PAD_BEGIN},
    {.name = "block_64_blocks_64", .shape = {1, 1, 0, 4096, 64, 0, 64, 1}},
    {.name = "block_64_dim_128", .shape = {1, 1, 0, 4096, 128, 0, 64, 2}, .backend = "cuda"},
    {.name = "block_128_blocks_64", .shape = {1, 1, 0, 8192, 64, 0, 128, 2}, .backend = "cuda"},
    {.name = "block_64_blocks_192", .shape = {1, 1, 0, 12288, 64, 0, 64, 1}, .backend = "cuda"},
    {.name = "block_72_blocks_70", .shape = {1, 1, 0, 5000, 64, 0, 72, 2}, .backend = "cuda"},
    /* Clusters of an H100 take several slices in the first and those of 8 heads, or of 4
       where there are two slices to each. */
    {.name = "slices", .shape = {2, 9, 3, 4096, 64, 0, 64, 1}, SLICE},
    {.name = "slices_few", .shape = {1, 2, 0, 4096, 64, 0, 64, 1}, SLICE},
    {.name = "slices_offset",
     .shape = {1, 2, 0, 4096, 64, 0, 64, 1},
     .layout = LAYOUT_OFFSET,
     SLICE},
    {.name = "slices_bshd", .shape = {1, 3, 1, 4096, 128, 0, 64, 1}, .layout = LAYOUT_BSHD, SLICE},
    {.name = "slices_grid", .shape = {1, 2, 1, 4096, 64, 0, 64, 1}, .layout = LAYOUT_GRID, SLICE},
    {.name = "slices_negative",
     .shape = {1, 2, 1, 4096, 64, 0, 64, 1},
     .layout = LAYOUT_NEGATIVE,
     SLICE},
    {.name = "slices_broadcast",
     .shape = {1, 2, 0, 4096, 64, 0, 64, 1},
     .layout = LAYOUT_BROADCAST_HEAD,
     SLICE},
    {.name = "slices_gaps", .shape = {1, 1, 0, 4096, 64, 0, 64, 1}, .layout = LAYOUT_GAPS, SLICE},
    {.name = "slices_dim_128", .shape = {1, 8, 0, 4096, 128, 0, 64, 1}, SLICE},
    {.name = "slices_block_64", .shape = {1, 8, 0, 8192, 64, 0, 64, 1}, SLICE},
    {.name = "slices_block_128", .shape = {1, 4, 2, 8192, 64, 0, 128, 1}, SLICE},
    {.name = "slices_block_128_dim_128", .shape = {1, 2, 0, 8192, 128, 0, 128, 1}, SLICE},
    {.name = "slices_blocks_128", .shape = {1, 1, 0, 16384, 64, 0, 128, 1}, SLICE},
    {.name = "slices_90", .shape = {1, 1, 0, 8192, 64, 0, 90, 1}, SLICE},
    {.name = "slices_90_begin",
     .shape = {1, 1, 0, 8192, 64, 0, 90, 1},
     .pad = MONARCH_PAD_BEGIN,
     SLICE},
    {.name = "slices_90_heads",
     .shape = {3, 3, 1, 5841, 64, 0, 90, 1},
     .pad = MONARCH_PAD_BEGIN,
     SLICE},
    {.name = "slices_65_bshd",
     .shape = {1, 2, 1, 4230, 64, 0, 65, 1},
     .layout = LAYOUT_BSHD,
     .pad = MONARCH_PAD_BEGIN,
     SLICE},
    {.name = "slices_90_negative",
     .shape = {1, 1, 0, 6290, 64, 0, 90, 1},
     .layout = LAYOUT_NEGATIVE,
     SLICE},
    {.name = "slices_90_gaps",
     .shape = {1, 1, 0, 6300, 64, 0, 90, 1},
     .layout = LAYOUT_GAPS,
     SLICE},
    {.name = "slices_72_blocks_114", .shape = {1, 4, 2, 8192, 64, 0, 72, 1}, SLICE},
    {.name = "slices_127_blocks_66",
     .shape = {1, 1, 0, 8256, 64, 0, 127, 1},
     .pad = MONARCH_PAD_BEGIN,
     SLICE},
    {.name = "slices_100_blocks_100", .shape = {1, 1, 0, 9999, 64, 0, 100, 1}, SLICE},
    {.name = "slices_last_of_one", .shape = {1, 1, 0, 10171, 64, 0, 90, 1}, SLICE},
    {.name = "slices_first_of_one",
     .shape = {1, 1, 0, 12574, 64, 0, 127, 1},
     .pad = MONARCH_PAD_BEGIN,
     SLICE},
    {.name = "slices_steps_2", .shape = {2, 13, 0, 4096, 64, 0, 64, 2}, SLICE},
    {.name = "slices_steps_3", .shape = {1, 14, 2, 4096, 64, 0, 64, 3}, SLICE},
    {.name = "slices_steps_gaps",
     .shape = {1, 1, 0, 4096, 64, 0, 64, 2},
     .layout = LAYOUT_GAPS,
     SLICE},
    {.name = "ring_256", .shape = {1, 2, 1, 4096, 256, 0, 64, 1}, RING},
    {.name = "ring_256_steps_2", .shape = {1, 1, 0, 4096, 256, 0, 64, 2}, RING},
    {.name = "ring_192", .shape = {1, 1, 0, 4096, 192, 0, 64, 2}, RING},
    {.name = "ring_256_block_128", .shape = {1, 1, 0, 8192, 256, 0, 128, 1}, RING},
    {.name = "ring_256_blocks_128", .shape = {1, 1, 0, 8192, 256, 0, 64, 2}, RING},
    {.name = "ring_256_largest",
     .shape = {1, 2, 0, 900, 256, 0, 30, 2},
     .content = CONTENT_LARGEST,
     RING},
    {.name = "ring_200_value_136", .shape = {1, 1, 0, 8150, 200, 136, 90, 1}, RING},
    {.name = "ring_136_value_200_begin",
     .shape = {1, 1, 0, 6000, 136, 200, 90, 2},
     .pad = MONARCH_PAD_BEGIN,
     RING},
    {.name = "ring_160_bshd", .shape = {1, 2, 1, 2950, 160, 0, 60, 1}, .layout = LAYOUT_BSHD, RING},
    {.name = "ring_192_mask",
     .shape = {1, 1, 0, 2450, 192, 0, 70, 2},
     .pad = MONARCH_PAD_BEGIN,
     .mask = MASK_RANDOM,
     .masked = MASKED_KV_NAN,
     RING},
    {.name = "ring_128_blocks_139", .shape = {1, 1, 0, 4160, 128, 0, 30, 2}, RING},
    {.name = "ring_128_blocks_192", .shape = {1, 1, 0, 12288, 128, 0, 64, 2}, RING},
    {.name = "block_60_blocks_50",
     .shape = {1, 1, 0, 2990, 40, 0, 60, 2},
     .pad = MONARCH_PAD_BEGIN,
     .mask = MASK_RANDOM,
     .masked = MASKED_KV_NAN},

    /* Shapes of real models. */
    {.name = "vit_steps_1", .shape = {1, 3, 0, 197, 64, 0, 14, 1}, .pad = MONARCH_PAD_BEGIN},
    {.name = "vit_steps_2", .shape = {2, 1, 0, 197, 64, 0, 14, 2}, .pad = MONARCH_PAD_BEGIN},
    {.name = "vit_steps_3", .shape = {1, 2, 0, 197, 64, 0, 14, 3}, .pad = MONARCH_PAD_BEGIN},
    {.name = "roberta", .shape = {2, 1, 0, 384, 64, 0, 24, 1}, .mask = MASK_TRAILING},
    {.name = "minilm", .shape = {1, 2, 0, 512, 32, 0, 16, 1}, .mask = MASK_TRAILING},
    {.name = "long_text", .shape = {1, 1, 0, 2048, 64, 0, 45, 2}},

    /* Where each has a multiprocessor to itself, work-groups of variant fused take several heads,
       on an H100 of more than 132. */
    {.name = "heads_of_384",
     .shape = {2, 70, 0, 384, 64, 0, 24, 1},
     .backend = "cuda",
     .variant = "fused",
     .halves = 1},
    {.name = "heads_of_384_few",
     .shape = {1, 14, 0, 384, 64, 0, 24, 1},
     .backend = "cuda",
     .variant = "fused",
     .halves = 1},
    {.name = "heads_of_384_mask",
     .shape = {7, 2, 1, 370, 64, 0, 24, 1},
     .mask = MASK_RANDOM,
     .masked = MASKED_KV_NAN,
     .backend = "cuda",
     .variant = "fused",
     .halves = 1},
    {.name = "heads_of_512",
     .shape = {1, 14, 0, 512, 64, 0, 16, 1},
     .backend = "cuda",
     .variant = "fused",
     .halves = 1},
    {.name = "heads_of_600",
     .shape = {1, 14, 7, 600, 40, 0, 25, 1},
     .backend = "cuda",
     .variant = "fused",
     .halves = 1},
    {.name = "heads_of_600_begin",
     .shape = {7, 2, 0, 590, 32, 0, 25, 1},
     .pad = MONARCH_PAD_BEGIN,
     .mask = MASK_RANDOM,
     .masked = MASKED_KV_NAN,
     .backend = "cuda",
     .variant = "fused",
     .halves = 1},
    /* Contents. */
    {.name = "tiny_logits", .shape = {1, 4, 0, 47, 8, 0, 7, 2}, .content = CONTENT_TINY},
    {.name = "large_logits", .shape = {1, 12, 0, 61, 8, 0, 8, 1}, .content = CONTENT_LARGE},
    {.name = "large_logits_steps_2", .shape = {1, 8, 0, 61, 16, 0, 8, 2}, .content = CONTENT_LARGE},
    {.name = "large_logits_dim_128",
     .shape = {1, 4, 0, 45, 128, 16, 7, 2},
     .content = CONTENT_LARGE},
    {.name = "huge_logits", .shape = {1, 16, 0, 61, 16, 0, 8, 1}, .content = CONTENT_HUGE},
    {.name = "huge_logits_steps_2", .shape = {1, 8, 0, 45, 16, 0, 7, 2}, .content = CONTENT_HUGE},
    {.name = "huge_logits_steps_3",
     .shape = {1, 8, 0, 38, 16, 0, 6, 3},
     .content = CONTENT_HUGE,
     .pad = MONARCH_PAD_BEGIN},
    {.name = "shifted_keys", .shape = {1, 4, 0, 60, 8, 0, 8, 2}, .content = CONTENT_SHIFTED},
    {.name = "big_q", .shape = {1, 4, 0, 60, 4, 0, 5, 3}, .content = CONTENT_BIG_Q},
    {.name = "big_k_scale_4",
     .shape = {1, 8, 0, 60, 4, 0, 5, 2},
     .scale = 4.0f,
     .content = CONTENT_BIG_K},
    {.name = "big_v", .shape = {1, 4, 0, 60, 8, 0, 8, 2}, .content = CONTENT_BIG_V},
    {.name = "equal_keys", .shape = {1, 4, 0, 44, 8, 0, 6, 2}, .content = CONTENT_EQUAL_KEYS},
    {.name = "equal_blocks", .shape = {1, 4, 0, 48, 8, 0, 6, 2}, .content = CONTENT_EQUAL_BLOCKS},
    {.name = "equal_blocks_value_dim_m",
     .shape = {1, 4, 0, 40, 8, 8, 5, 2},
     .content = CONTENT_EQUAL_BLOCKS},
    {.name = "zero_q_and_k", .shape = {1, 4, 0, 43, 8, 0, 6, 2}, .content = CONTENT_ZERO},
    {.name = "ones", .shape = {1, 4, 0, 43, 16, 3, 6, 2}, .content = CONTENT_ONES},
    {.name = "largest_v", .shape = {1, 12, 0, 200, 16, 0, 14, 2}, .content = CONTENT_LARGEST},
    {.name = "largest_v_block_40",
     .shape = {1, 4, 0, 1600, 16, 0, 40, 1},
     .content = CONTENT_LARGEST},
    {.name = "ones_large_block", .shape = {1, 1, 0, 500, 8, 2, 260, 2}, .content = CONTENT_ONES},
    {.name = "scale_small", .shape = {1, 4, 0, 43, 8, 0, 6, 2}, .scale = 0.01f},
    {.name = "scale_negative", .shape = {1, 4, 0, 43, 8, 0, 6, 2}, .scale = -0.7f},

    {.name = "mixed", .shape = {1, 4, 0, 43, 16, 0, 6, 2}, .mixed = 1},
    {.name = "mixed_one_token", .shape = {1, 8, 0, 1, 8, 71, 0, 1}, .mixed = 1},
    {.name = "mixed_mask",
     .shape = {2, 4, 2, 43, 9, 7, 6, 3},
     .pad = MONARCH_PAD_BEGIN,
     .mask = MASK_BLOCKS,
     .layout = LAYOUT_GAPS,
     .masked = MASKED_ALL_NAN,
     .mixed = 1},

    /* Masks. */
    {.name = "mask_full", .shape = {2, 2, 0, 37, 8, 0, 6, 2}, .mask = MASK_FULL},
    {.name = "mask_random", .shape = {3, 2, 0, 50, 8, 0, 7, 2}, .mask = MASK_RANDOM},
    {.name = "mask_random_nan",
     .shape = {3, 2, 0, 50, 8, 0, 7, 2},
     .mask = MASK_RANDOM,
     .masked = MASKED_KV_NAN},
    {.name = "mask_random_nan_q",
     .shape = {3, 2, 0, 50, 8, 0, 7, 3},
     .mask = MASK_RANDOM,
     .masked = MASKED_ALL_NAN,
     .pad = MONARCH_PAD_BEGIN},
    {.name = "mask_random_nan_step_1",
     .shape = {3, 2, 0, 50, 20, 0, 7, 1},
     .mask = MASK_RANDOM,
     .masked = MASKED_ALL_NAN},
    {.name = "mask_trailing_nan",
     .shape = {3, 2, 0, 65, 8, 0, 8, 2},
     .mask = MASK_TRAILING,
     .masked = MASKED_KV_NAN},
    {.name = "mask_blocks", .shape = {3, 2, 0, 62, 8, 0, 5, 2}, .mask = MASK_BLOCKS},
    {.name = "mask_blocks_nan",
     .shape = {3, 2, 0, 62, 8, 0, 5, 3},
     .mask = MASK_BLOCKS,
     .masked = MASKED_ALL_NAN},
    {.name = "mask_position", .shape = {2, 2, 0, 60, 8, 0, 6, 2}, .mask = MASK_POSITION},
    {.name = "mask_sequence", .shape = {3, 2, 0, 30, 8, 0, 4, 2}, .mask = MASK_SEQUENCE},
    {.name = "mask_sequence_nan",
     .shape = {3, 2, 0, 30, 8, 0, 4, 2},
     .mask = MASK_SEQUENCE,
     .masked = MASKED_ALL_NAN,
     .pad = MONARCH_PAD_BEGIN},
    {.name = "mask_one",
     .shape = {4, 2, 0, 26, 8, 0, 5, 2},
     .mask = MASK_ONE,
     .masked = MASKED_KV_NAN},
    {.name = "mask_block_1",
     .shape = {2, 2, 0, 22, 8, 0, 1, 2},
     .mask = MASK_RANDOM,
     .masked = MASKED_KV_NAN},
    {.name = "mask_block_above_n",
     .shape = {2, 2, 0, 22, 8, 0, 64, 2},
     .mask = MASK_RANDOM,
     .masked = MASKED_KV_NAN},
    {.name = "mask_block_24_nan",
     .shape = {2, 2, 0, 400, 16, 0, 24, 3},
     .mask = MASK_BLOCKS,
     .masked = MASKED_ALL_NAN,
     .pad = MONARCH_PAD_BEGIN},
    {.name = "mask_dim_256_nan",
     .shape = {2, 1, 0, 95, 256, 256, 13, 2},
     .mask = MASK_RANDOM,
     .masked = MASKED_ALL_NAN},
    {.name = "mask_block_large",
     .shape = {1, 1, 0, 600, 16, 0, 280, 2},
     .mask = MASK_BLOCKS,
     .masked = MASKED_KV_NAN},
    {.name = "mask_blocks_many",
     .shape = {1, 1, 0, 900, 16, 0, 3, 2},
     .mask = MASK_BLOCKS,
     .masked = MASKED_KV_NAN},
    {.name = "mask_ones",
     .shape = {3, 2, 0, 41, 8, 0, 5, 3},
     .mask = MASK_SEQUENCE,
     .masked = MASKED_KV_NAN,
     .content = CONTENT_ONES},
    {.name = "mask_huge_logits",
     .shape = {2, 6, 0, 40, 16, 0, 6, 1},
     .mask = MASK_RANDOM,
     .masked = MASKED_KV_NAN,
     .content = CONTENT_HUGE},

    /* Where the tensors lie. */
    {.name = "bshd", .shape = {2, 3, 0, 38, 12, 0, 6, 2}, .layout = LAYOUT_BSHD},
    {.name = "qkv", .shape = {2, 3, 0, 38, 8, 0, 6, 2}, .layout = LAYOUT_QKV},
    {.name = "qkv_grouped",
     .shape = {2, 6, 2, 38, 8, 5, 6, 2},
     .layout = LAYOUT_QKV,
     .mask = MASK_RANDOM,
     .masked = MASKED_KV_NAN},
    {.name = "broadcast_batch",
     .shape = {3, 2, 0, 38, 8, 0, 6, 2},
     .layout = LAYOUT_BROADCAST_BATCH,
     .mask = MASK_RANDOM,
     .masked = MASKED_KV_NAN},
    {.name = "broadcast_head", .shape = {2, 3, 0, 38, 8, 0, 6, 2}, .layout = LAYOUT_BROADCAST_HEAD},
    {.name = "broadcast_token",
     .shape = {2, 3, 0, 38, 8, 0, 6, 2},
     .layout = LAYOUT_BROADCAST_TOKEN,
     .mask = MASK_RANDOM},
    {.name = "grid", .shape = {2, 3, 0, 48, 8, 0, 8, 2}, .layout = LAYOUT_GRID},
    {.name = "grid_short_begin",
     .shape = {2, 3, 0, 43, 8, 0, 8, 2},
     .layout = LAYOUT_GRID,
     .mask = MASK_RANDOM,
     .masked = MASKED_KV_NAN,
     .pad = MONARCH_PAD_BEGIN},
    {.name = "grid_short_end",
     .shape = {2, 3, 0, 43, 16, 0, 8, 1},
     .layout = LAYOUT_GRID,
     .mask = MASK_BLOCKS,
     .masked = MASKED_ALL_NAN},
    {.name = "gaps",
     .shape = {2, 3, 0, 38, 8, 0, 6, 2},
     .layout = LAYOUT_GAPS,
     .mask = MASK_RANDOM},
    {.name = "gaps_begin",
     .shape = {2, 3, 0, 38, 16, 0, 7, 2},
     .layout = LAYOUT_GAPS,
     .pad = MONARCH_PAD_BEGIN},
    {.name = "offset", .shape = {2, 3, 0, 38, 16, 0, 8, 2}, .layout = LAYOUT_OFFSET},
    {.name = "negative",
     .shape = {2, 3, 0, 38, 8, 0, 6, 2},
     .layout = LAYOUT_NEGATIVE,
     .mask = MASK_RANDOM},
    {.name = "negative_begin",
     .shape = {2, 4, 2, 38, 8, 0, 6, 2},
     .layout = LAYOUT_NEGATIVE,
     .pad = MONARCH_PAD_BEGIN},
    {.name = "feature_stride", .shape = {2, 3, 0, 38, 8, 0, 6, 2}, .layout = LAYOUT_FEATURE},
    /* Intermediates in fp8: only these backends have them. */
    {.name = "fp8", .shape = {1, 4, 0, 64, 16, 0, 8, 1}, .fp8 = 1, .backend = "cpu,cuda"},
    {.name = "fp8_one_token", .shape = {1, 8, 0, 1, 16, 0, 0, 1}, .fp8 = 1, .backend = "cpu,cuda"},
    {.name = "fp8_steps_2",
     .shape = {1, 4, 0, 53, 8, 29, 7, 2},
     .pad = MONARCH_PAD_BEGIN,
     .fp8 = 1,
     .backend = "cpu,cuda"},
    {.name = "fp8_vit", .shape = {1, 3, 0, 197, 64, 0, 14, 1}, .fp8 = 1, .backend = "cpu,cuda"},
    {.name = "fp8_dim_200_value_150",
     .shape = {1, 2, 0, 60, 200, 150, 12, 1},
     .fp8 = 1,
     .backend = "cpu,cuda"},
    {.name = "fp8_mask_nan",
     .shape = {3, 2, 0, 50, 8, 0, 7, 2},
     .mask = MASK_SEQUENCE,
     .masked = MASKED_ALL_NAN,
     .layout = LAYOUT_GAPS,
     .fp8 = 1,
     .backend = "cpu,cuda"},
    {.name = "fp8_big_v",
     .shape = {1, 4, 0, 60, 8, 0, 8, 2},
     .content = CONTENT_BIG_V,
     .fp8 = 1,
     .backend = "cpu,cuda"},
    {.name = "fp8_tiny_logits",
     .shape = {1, 4, 0, 47, 8, 0, 7, 1},
     .content = CONTENT_TINY,
     .fp8 = 1,
     .backend = "cpu,cuda"},
    {.name = "fp8_block_64", .shape = {2, 2, 1, 4096, 64, 0, 64, 1}, .fp8 = 1, .backend = "cuda"},
    {.name = "fp8_block_64_dim_128",
     .shape = {1, 1, 0, 4096, 128, 0, 64, 1},
     .content = CONTENT_BIG_V,
     .fp8 = 1,
     .backend = "cuda"},
    {.name = "fp8_offset",
     .shape = {1, 1, 0, 4096, 64, 0, 64, 1},
     .layout = LAYOUT_OFFSET,
     .fp8 = 1,
     .backend = "cuda"},
    {.name = "fp8_block_128", .shape = {1, 1, 0, 8192, 64, 0, 128, 1}, .fp8 = 1, .backend = "cuda"},
    {.name = "fp8_blocks_192",
     .shape = {1, 1, 0, 12288, 64, 0, 64, 1},
     .fp8 = 1,
     .backend = "cuda"},
    {.name = "grouped", .shape = {2, 6, 3, 38, 8, 0, 6, 2}},
    {.name = "one_kv_head", .shape = {2, 5, 1, 38, 16, 0, 6, 2}, .layout = LAYOUT_BSHD},
};

const size_t test_case_count = sizeof test_cases / sizeof test_cases[0];

const test_case *test_case_find(const char *name)
{
    for (size_t i = 0; i < test_case_count; i++)
        if (strcmp(test_cases[i].name, name) == 0)
            return &test_cases[i];
    return NULL;
}

monarch_problem test_case_problem(const test_case *c, monarch_dtype dtype)
{
    monarch_problem problem = monarch_problem_default();

    problem.batch = c->shape.batch;
    problem.heads = c->shape.heads;
    problem.kv_heads = c->shape.kv_heads;
    problem.tokens = c->shape.tokens;
    problem.head_dim = c->shape.head_dim;
    problem.value_dim = c->shape.value_dim;
    problem.block_size = c->shape.block;
    problem.steps = c->shape.steps;
    problem.scale = c->scale;
    problem.pad = c->pad;
    problem.intermediates = c->fp8 ? MONARCH_INTERMEDIATES_FP8 : MONARCH_INTERMEDIATES_DEFAULT;
    problem.has_mask = c->mask != MASK_NONE;
    monarch_problem_set_dtype(&problem, dtype);
    if (c->mixed) {
        problem.k.dtype = (monarch_dtype)((dtype + 1) % 3);
        problem.v.dtype = (monarch_dtype)((dtype + 2) % 3);
    }
    return problem;
}

const char *test_content_name(test_content content)
{
    static const char *const names[CONTENT_COUNT] = {
        "normal", "tiny",       "large",        "huge", "shifted", "big_q",   "big_k",
        "big_v",  "equal_keys", "equal_blocks", "zero", "ones",    "largest",
    };
    return names[content];
}

const char *test_mask_name(test_mask mask)
{
    static const char *const names[MASK_COUNT] = {
        "none", "full", "random", "trailing", "blocks", "position", "sequence", "one",
    };
    return names[mask];
}

const char *test_layout_name(test_layout layout)
{
    static const char *const names[LAYOUT_COUNT] = {
        "packed", "bshd", "qkv",    "broadcast_batch", "broadcast_head", "broadcast_token",
        "grid",   "gaps", "offset", "negative",        "feature",
    };
    return names[layout];
}

int test_case_print(const test_case *c, char *text, size_t capacity)
{
    static const char *const masked[] = {"", " nan=kv", " nan=qkv"};
    monarch_problem p = test_case_problem(c, MONARCH_F32);

    return snprintf(text, capacity,
                    "%s: batch=%" PRId64 " heads=%" PRId64 "/%" PRId64 " tokens=%" PRId64
                    " dim=%" PRId64 "/%" PRId64 " block=%" PRId64 " steps=%d scale=%g pad=%s"
                    " content=%s mask=%s%s layout=%s%s%s",
                    c->name, p.batch, p.heads, p.kv_heads != 0 ? p.kv_heads : p.heads, p.tokens,
                    p.head_dim, p.value_dim != 0 ? p.value_dim : p.head_dim, p.block_size, p.steps,
                    (double)p.scale, p.pad == MONARCH_PAD_BEGIN ? "begin" : "end",
                    test_content_name(c->content), test_mask_name(c->mask), masked[c->masked],
                    test_layout_name(c->layout), c->fp8 ? " fp8 intermediates" : "",
                    c->mixed ? " mixed dtypes" : "");
}
