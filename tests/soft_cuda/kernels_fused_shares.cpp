/* SPDX-License-Identifier: Apache-2.0 */
#include "shaders/cuda/fused_shares.cu"
