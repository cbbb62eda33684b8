/* SPDX-License-Identifier: Apache-2.0 */
#include "shaders/cuda/kernels.cuh"

/* Inside blocks: R, aL/s and cL. */
MN_KERNELS(right, RIGHT)
