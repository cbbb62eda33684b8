// SPDX-License-Identifier: Apache-2.0
#ifndef MN_VULKAN_ROW_GLSL
#define MN_VULKAN_ROW_GLSL

// Softmax of the row that an invocation looks after, over the columns seen so far: the largest
// score, the sum of 2^(score - largest), and that weighted by (score - largest).
float largest, sum, entropy;

// What is written of row x beside its means.
void store_scalars(int x, bool empty)
{
    if (FORM == LEFT_STATS) {
        int64_t pair = scalar_offset(OPERAND_STATS, x);
        store_f32(OPERAND_STATS, pair, largest);
        store_f32(OPERAND_STATS, pair + 1, log2_exact(sum));
    }
    // Both terms have one sign, so nothing cancels, however large the scores.
    if (IS_RIGHT)
        store_f32(OPERAND_WEIGHT, scalar_offset(OPERAND_WEIGHT, x),
                  empty ? INFINITY : LN_2 * (entropy / sum - log2_exact(sum)));
    if (FORM == LEFT_MEAN && push.p.operand[OPERAND_WEIGHT].width > 0)
        store_f32(OPERAND_WEIGHT, scalar_offset(OPERAND_WEIGHT, x),
                  empty ? 0.0 : exp2_of(largest) * sum);
}

#endif
