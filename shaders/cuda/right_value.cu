/* SPDX-License-Identifier: Apache-2.0 */
#include "shaders/cuda/kernels.cuh"

/* Inside blocks, the last time: R, aL/s, cL and y. */
MN_KERNELS(right_value, RIGHT_VALUE)
