/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SOFT_CUDA_PRODUCTS_H
#define TESTS_SOFT_CUDA_PRODUCTS_H

#include <stdint.h>

/* Products of matrices of 16-bit elements with f32 sums, by all threads of a warp or warpgroup. A
   thread holds of an accumulator's 16 rows x 8 columns what PTX says for mma.m16n8k16. */

namespace soft
{

enum class type { f16, bf16 };

/* d += a b of a warp, 16 x 8 x 16. */
void multiply(type t, float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1);

/*
 * d = (add ? d : 0) + a b of a warpgroup, 64 x 8 blocks x 16; `a` in registers or, if NULL, in
 * shared memory by its descriptor. The rows of b are the columns of the product (`summed` false)
 * or what is summed over.
 */
void multiply_group(type t, float (*d)[4], int blocks, const uint32_t *a, uint64_t a_descriptor,
                    uint64_t b_descriptor, bool summed, bool add);

/* Four 8 x 8 matrices between shared memory and registers; thread i gives the address of row i % 8
   of matrix i / 8. */
void load_matrices(uint32_t (&x)[4], uint32_t address, bool transposed);
void store_matrices(uint32_t address, const uint32_t (&x)[4]);

} // namespace soft

#endif
