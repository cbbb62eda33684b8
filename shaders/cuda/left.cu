/* SPDX-License-Identifier: Apache-2.0 */
#include "shaders/cuda/kernels.cuh"

/* Across blocks: L, then aR/cR. Which block a query chose is a softmax over blocks, what a block's
   mean query is a softmax over queries: two passes, the second on the transposed scores. */
MN_KERNELS(left_stats, LEFT_STATS)
MN_KERNELS(left_mean, LEFT_MEAN)
