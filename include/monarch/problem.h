/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MONARCH_PROBLEM_H
#define MONARCH_PROBLEM_H

#include <monarch/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * What is computed.
 *
 * For each batch entry and head, with Q and K of shape N x D, V of shape N x Dv, blocks of B
 * tokens, M = ceil(N / B) blocks and scale s, the N x N softmax attention matrix is replaced
 * by a Monarch matrix
 *
 *     P[(l,j),(k,i)] = L[j,k,l] * R[k,j,i]      query token l*B + j,  key token k*B + i
 *
 * and the output is O = P V. L and R are the closed-form maximisers, in turn, of the
 * variational objective of softmax, <P, s Q K'> + H(P), over such matrices:
 *
 *     R[k,j,:] = softmax_i( s * aR[k,j] . K[(k,i)] / cR[k,j] )
 *     L[j,:,l] = softmax_k( Q[(l,j)] . aL[j,k] - cL[j,k] )
 *
 *     aR[k,j] = sum_l L[j,k,l] Q[(l,j)]        aL[j,k] = s sum_i R[k,j,i] K[(k,i)]
 *     cR[k,j] = sum_l L[j,k,l]                 cL[j,k] = sum_i R[k,j,i] log R[k,j,i]
 *
 * starting with L = identity, for `steps` rounds (R then L). Source: Yaras et al.,
 * "MonarchAttention", NeurIPS 2025, arXiv 2505.18698. block_size = 1 and
 * block_size >= tokens are both exact softmax attention (rows of tokens that are not masked).
 *
 * Rules for masked and padding tokens (docs/algorithm.md gives the reasons):
 *  - Their keys and values get weight exactly 0, whatever bytes they hold, NaN and Inf included.
 *  - Their queries are left out of aR and cR, the first step included, so they influence no
 *    row but their own. Where no query is left (cR = 0), R is uniform over the valid keys.
 *  - Output rows of masked tokens are computed like any other row.
 *  - A sequence in which every key is masked gives output rows of exact zeros.
 */

/*
 * Distances in elements from one index to the next. Token n lies in block k at position j, with
 *
 *     k*B + j = n + first,     first = 0 with MONARCH_PAD_END, M*B - N with MONARCH_PAD_BEGIN
 *
 * and feature f of that token in (batch b, head h) lies at
 *
 *     b*batch + h*head + k*block + (j - first)*token + f*feature
 *
 * from the address that is passed to execute, which is therefore the address of token 0.
 *
 * All five zero means packed [batch, head, token, feature]. Otherwise `feature` 0 means 1 and
 * `block` 0 means block_size * token. The batch, head and token strides of an input may be 0
 * (broadcast) or negative. Separate block and token strides give every axis order of a token
 * grid without a copy.
 */
typedef struct monarch_strides {
    int64_t batch;
    int64_t head;
    int64_t block;
    int64_t token;
    int64_t feature;
} monarch_strides;

typedef struct monarch_tensor {
    monarch_dtype dtype;
    monarch_strides strides;
} monarch_tensor;

enum { MONARCH_MAX_STEPS = 64 };

/*
 * How the means that a stage hands to the next are kept, of keys (aL / s) and of values (y). cL,
 * aR / cR and cR never change with it, nor do scores, softmax and sums: those are f32.
 *
 * DEFAULT: in f32 or in the dtype of the tensors, as the device has it.
 *
 * FP8: as OCP e4m3 numbers (4 bits of exponent, 3 of mantissa, largest 448, no infinities) with a
 * power of two for each row: a row x becomes
 *
 *     x'[f] = 2^e * e4m3(x[f] / 2^e),      2^e the least with |x[f]| <= 448 * 2^e for all f,
 *
 * rounded to nearest, ties to even. e is at least -126; in kernels for f16 tensors at least -15,
 * where e4m3 has the finest step of f16. Infinite elements become finite ones, NaN stays. An
 * element is off by up to 1/16 of itself, or by 2^(e-10) if that is more. Above 63488 the nearest
 * is 65536, which f16 does not have: variant ring takes 61440 there, others may end at infinity.
 *
 * Where kernels store numbers so, this halves what is handed on, which pays where that is what they
 * wait for; docs/choosing.md has the errors it brings. cpu devices can do it, and cuda devices with
 * variant plain, and ring for T = 1 and whole blocks; all else answers UNSUPPORTED and says so. cpu
 * devices and variant plain round the numbers without storing them smaller: to try what a model
 * makes of it.
 */
typedef enum monarch_intermediates {
    MONARCH_INTERMEDIATES_DEFAULT = 0,
    MONARCH_INTERMEDIATES_FP8 = 1
} monarch_intermediates;

/*
 * The descriptor: a pure value. Fill it with monarch_problem_default, then set what differs.
 * Zero means the default in every field where a default is named.
 */
typedef struct monarch_problem {
    uint32_t struct_size; /* sizeof(monarch_problem) */
    int32_t steps;        /* T: rounds of R and L, 1 to MONARCH_MAX_STEPS; 0 = 1 */
    int64_t batch;        /* E >= 0; with 0 every call succeeds and touches nothing */
    int64_t heads;        /* H >= 1, of q and out */
    int64_t kv_heads;     /* heads of k and v, a divisor of heads; 0 = heads. Query head h
                             reads key head h / (heads / kv_heads) */
    int64_t tokens;       /* N >= 0, of queries and keys alike */
    int64_t head_dim;     /* D >= 1 */
    int64_t value_dim;    /* Dv >= 1; 0 = head_dim */
    int64_t block_size;   /* B >= 1; 0 = chosen from tokens, see monarch_default_block_size */
    float scale;          /* s, at most 2^126 in magnitude; 0 = 1 / sqrt(head_dim) */
    monarch_pad pad;      /* where padding goes when B does not divide N */
    int32_t has_mask;     /* 1: execute takes a key mask, one byte per token, 0 = masked */
    monarch_intermediates intermediates; /* how aL and y are kept between stages; was 0 before */
    monarch_tensor q;                    /* [batch, heads, tokens, head_dim] */
    monarch_tensor k;                    /* [batch, kv_heads, tokens, head_dim] */
    monarch_tensor v;                    /* [batch, kv_heads, tokens, value_dim] */
    monarch_tensor out; /* [batch, heads, tokens, value_dim]; no two elements may coincide.
                           Each stride must step over all that smaller ones span, so layouts
                           whose axes interleave are refused as well */
    monarch_strides mask_strides; /* of the mask, in bytes: batch, block, token as above; head
                                     and feature 0. All zero = packed [batch, tokens] */
} monarch_problem;

/* A problem with struct_size set and every other field zero. */
static inline monarch_problem monarch_problem_default(void)
{
    monarch_problem problem;
    memset(&problem, 0, sizeof problem);
    problem.struct_size = (uint32_t)sizeof problem;
    return problem;
}

/* Sets the dtype of q, k, v and out at once. */
static inline void monarch_problem_set_dtype(monarch_problem *problem, monarch_dtype dtype)
{
    problem->q.dtype = dtype;
    problem->k.dtype = dtype;
    problem->v.dtype = dtype;
    problem->out.dtype = dtype;
}

/*
 * The block size that block_size = 0 stands for. For at most 16 tokens it is one block (exact
 * attention). Otherwise it is the B of least work, N_pad * (2T*B + B + 2T*M) multiply-adds per
 * feature, or the multiple of 16 of least work where that costs at most 5 % more.
 * Returns 0 for tokens < 1 or steps < 1. Pure; safe from any thread.
 */
MONARCH_API int64_t monarch_default_block_size(int64_t tokens, int32_t steps);

/*
 * Checks `problem` and writes it to `resolved` with every default filled in: kv_heads,
 * value_dim, block_size (cut to tokens when larger), steps, scale and all strides. This is
 * what a plan holds. No device is needed. Errors: INVALID_ARGUMENT. Safe from any thread.
 */
MONARCH_API monarch_status monarch_problem_resolve(const monarch_problem *problem,
                                                   monarch_problem *resolved, monarch_error *error);

/*
 * Whether a plan for `problem` can be made on `device`: OK, UNSUPPORTED with the reason in
 * words, or INVALID_ARGUMENT. Compiles, loads and keeps nothing. `variant` forces one
 * implementation by name, as in monarch_plan_options; NULL leaves the choice to the device.
 * Safe from any thread.
 */
MONARCH_API monarch_status monarch_problem_supported(const monarch_device *device,
                                                     const monarch_problem *problem,
                                                     const char *variant, monarch_error *error);

#ifdef __cplusplus
}
#endif
#endif
