/* SPDX-License-Identifier: Apache-2.0 */
#include "shaders/cuda/right_value.cu"
