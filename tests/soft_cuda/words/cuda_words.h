/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SOFT_CUDA_WORDS_H
#define TESTS_SOFT_CUDA_WORDS_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include <algorithm>

#include "../machine.h"

/* The words of CUDA C++ that shaders/cuda uses, for an ordinary compiler. */

#define __global__ __attribute__((visibility("default")))
#define __device__
#define __forceinline__ inline
#define __grid_constant__
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __shared__ static /* work-groups run one after the other where this is used */

#define threadIdx (soft::thread_index())
#define blockIdx (soft::group_index())
#define blockDim (soft::group_size())
#define gridDim (soft::grid_size())

struct alignas(16) uint4 {
    uint32_t x, y, z, w;
};

struct alignas(8) float2 {
    float x, y;
};

struct alignas(16) float4 {
    float x, y, z, w;
};

static inline uint4 make_uint4(uint32_t x, uint32_t y, uint32_t z, uint32_t w)
{
    return {x, y, z, w};
}

static inline float2 make_float2(float x, float y)
{
    return {x, y};
}

static inline float4 make_float4(float x, float y, float z, float w)
{
    return {x, y, z, w};
}

using std::max;
using std::min;

static inline float __int_as_float(int32_t bits)
{
    float x;
    memcpy(&x, &bits, 4);
    return x;
}

static inline uint32_t __float_as_uint(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, 4);
    return bits;
}

static inline int __clz(int x)
{
    return x == 0 ? 32 : __builtin_clz((unsigned)x);
}

static inline float __fdividef(float a, float b)
{
    return a / b;
}

template <class T> static inline T __ldcg(const T *place)
{
    return *place;
}

static inline void __syncthreads()
{
    soft::barrier(0, 0, false);
}

static inline int __syncthreads_or(int predicate)
{
    return soft::barrier(0, 0, predicate != 0);
}

static inline void __syncwarp()
{
    soft::with_warp("__syncwarp", nullptr, [](void *const *) {});
}

struct soft_exchange {
    uint32_t value, result;
    int from;
};

template <class T> static inline T soft_from_lane(T x, int from)
{
    static_assert(sizeof(T) == 4, "a word");
    soft_exchange e = {0, 0, from};
    memcpy(&e.value, &x, 4);
    soft::with_warp("__shfl_sync", &e, [](void *const *lanes) {
        for (int i = 0; i < 32; i++) {
            soft_exchange *mine = static_cast<soft_exchange *>(lanes[i]);
            mine->result = static_cast<soft_exchange *>(lanes[mine->from])->value;
        }
    });
    memcpy(&x, &e.result, 4);
    return x;
}

template <class T> static inline T __shfl_sync(unsigned, T x, int from)
{
    return soft_from_lane(x, from);
}

template <class T> static inline T __shfl_xor_sync(unsigned, T x, int mask)
{
    return soft_from_lane(x, soft::lane() ^ mask);
}

static inline int __any_sync(unsigned, int predicate)
{
    int any = predicate != 0;
    soft::with_warp("__any_sync", &any, [](void *const *lanes) {
        int found = 0;
        for (int i = 0; i < 32; i++)
            found |= *static_cast<int *>(lanes[i]);
        for (int i = 0; i < 32; i++)
            *static_cast<int *>(lanes[i]) = found;
    });
    return any;
}

#endif
