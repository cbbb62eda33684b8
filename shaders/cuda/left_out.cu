/* SPDX-License-Identifier: Apache-2.0 */
#include "shaders/cuda/kernels.cuh"

/* Across blocks, the last time: L and the output. */
MN_KERNELS(left_out, LEFT_OUT)
