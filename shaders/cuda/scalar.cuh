/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CUDA_SCALAR_CUH
#define MN_CUDA_SCALAR_CUH

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "shaders/params.h"

/* One element at a time, of any operand. */

/* Offset in elements of feature 0 of row or column `x`. */
static __device__ __forceinline__ mn_i64 mn_row_offset(const mn_operand_params &o, mn_i64 batch,
                                                       mn_i32 head, mn_i64 group, mn_i64 x)
{
    return batch * o.batch + (mn_i64)(head / o.head_share) * o.head + group * o.group + x * o.index;
}

static __device__ __forceinline__ float mn_load_element(const mn_operand_params &o, mn_i64 offset)
{
    if (o.dtype == MN_DTYPE_F16)
        return __half2float(reinterpret_cast<const __half *>(o.address)[offset]);
    if (o.dtype == MN_DTYPE_BF16)
        return __bfloat162float(reinterpret_cast<const __nv_bfloat16 *>(o.address)[offset]);
    return reinterpret_cast<const float *>(o.address)[offset];
}

/* Rounds to the nearest, ties to even. */
static __device__ __forceinline__ void mn_store_element(const mn_operand_params &o, mn_i64 offset,
                                                        float value)
{
    if (o.dtype == MN_DTYPE_F16)
        reinterpret_cast<__half *>(o.address)[offset] = __float2half_rn(value);
    else if (o.dtype == MN_DTYPE_BF16)
        reinterpret_cast<__nv_bfloat16 *>(o.address)[offset] = __float2bfloat16_rn(value);
    else
        reinterpret_cast<float *>(o.address)[offset] = value;
}

/* Whether (group, x) is a token of the sequence, masked or not. */
static __device__ __forceinline__ bool mn_is_token(const mn_stage_params &p, mn_i64 group, mn_i64 x)
{
    mn_i64 token = group * p.token_group + x * p.token_index - p.first;
    return token >= 0 && token < p.tokens;
}

/* Whether it is one, and not masked. */
static __device__ __forceinline__ bool mn_is_present(const mn_stage_params &p, mn_i64 batch,
                                                     mn_i32 head, mn_i64 group, mn_i64 x)
{
    const mn_operand_params &mask = p.operand[MN_OPERAND_MASK];
    if (!mn_is_token(p, group, x))
        return false;
    return mask.width == 0 || reinterpret_cast<const unsigned char *>(
                                  mask.address)[mn_row_offset(mask, batch, head, group, x)] != 0;
}

#endif
