/* SPDX-License-Identifier: Apache-2.0 */
#include "shaders/cuda/slice.cu"
