/* SPDX-License-Identifier: Apache-2.0 */
#include "shaders/opencl/ptx.clh"

/*
 * The instructions of variant matrix, tried by one warp: copies 16 rows of 16 f16 elements of `a`
 * and of `b` to local memory, and writes a b' (row i of a times row j of b), then 2^x of thread x.
 */
__kernel __attribute__((reqd_work_group_size(32, 1, 1))) void matrix_probe(const __global uchar *a,
                                                                           const __global uchar *b,
                                                                           __global float *product,
                                                                           __global float *powers)
{
    __local uchar memory[2 * 16 * 48] __attribute__((aligned(16)));
    const int lane = (int)get_local_id(0);
    const int row = lane / 2, half_row = lane % 2 * 16;
    copy_vector(local_address(memory) + row * 48 + half_row, a + row * 32 + half_row, 16);
    copy_vector(local_address(memory) + (16 + row) * 48 + half_row, b + row * 32 + half_row, 16);
    copies_commit();
    copies_wait_for_all();
    barrier(CLK_LOCAL_MEM_FENCE);

    uint x[4], y[4];
    float sums[2][4] = {{0.0f, 0.0f, 0.0f, 0.0f}, {0.0f, 0.0f, 0.0f, 0.0f}};
    load_matrices(x, local_address(memory) + lane % 16 * 48 + lane / 16 * 16);
    load_matrices(y, local_address(memory) + 16 * 48 + (lane % 8 + lane / 16 * 8) * 48 +
                         lane / 8 % 2 * 16);
    multiply_add(sums[0], x, y[0], y[1]);
    multiply_add(sums[1], x, y[2], y[3]);
    for (int n = 0; n < 2; n++)
        for (int i = 0; i < 4; i++)
            product[(lane / 4 + i / 2 * 8) * 16 + n * 8 + lane % 4 * 2 + i % 2] = sums[n][i];
    powers[lane] = exp2_fast(from_lane((float)lane, 1));
}
