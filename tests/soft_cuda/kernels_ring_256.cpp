/* SPDX-License-Identifier: Apache-2.0 */
#include "shaders/cuda/ring_256.cu"
