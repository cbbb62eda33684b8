/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SOFT_CUDA_MATH_CONSTANTS_H
#define TESTS_SOFT_CUDA_MATH_CONSTANTS_H

#define CUDART_INF_F __builtin_inff()

#endif
