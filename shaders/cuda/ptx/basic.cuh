/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CUDA_PTX_BASIC_CUH
#define MN_CUDA_PTX_BASIC_CUH

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <stdint.h>

/*
 * ptx/: the instructions that C++ has no words for, one function each and nothing else. Whatever
 * supplies functions of these names can run the kernels: tests/soft_cuda does, on a processor.
 *
 * Here: what every GPU from sm_80 on has.
 */

/*
 * On sm_90 and later a launch may begin before the one ahead of it in the stream has ended, so that
 * one's last work-groups and the other's first steps overlap. Nothing that an earlier launch may
 * still write, or read where this one writes, is touched before wait_for_launches_ahead().
 */
__device__ inline void let_next_launch_begin()
{
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

__device__ inline void wait_for_launches_ahead()
{
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

/* The memory that a launch gave to the work-group, as aligned as that. */
template <int ALIGNMENT> __device__ inline char *dynamic_memory()
{
    extern __shared__ __align__(1024) char memory[];
    static_assert(1024 % ALIGNMENT == 0, "it is aligned to 1024 bytes");
    return memory;
}

/* A place in the work-group's memory as instructions name it. */
__device__ inline uint32_t shared_address(const void *pointer)
{
    return (uint32_t)__cvta_generic_to_shared(pointer);
}

/* Starts to copy 16 bytes to shared memory. */
__device__ inline void copy_vector(char *target, const char *source)
{
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(shared_address(target)),
                 "l"(source)
                 : "memory");
}

/* The same, only the first `valid` bytes being the source's; the others become 0. */
__device__ inline void copy_vector(char *target, const char *source, int valid)
{
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(target)),
                 "l"(source), "r"(valid)
                 : "memory");
}

__device__ inline void copies_commit()
{
    asm volatile("cp.async.commit_group;" ::: "memory");
}

/* Waits until at most N groups of copies of this thread are under way. */
template <int N> __device__ inline void copies_wait()
{
    asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}

/* Lets the L2 cache fetch the line where `source` lies. */
__device__ inline void prefetch(const char *source)
{
    asm volatile("prefetch.global.L2 [%0];" ::"l"(source));
}

/* Four 8 x 8 matrices of 16-bit elements; thread i gives the address of row i % 8 of matrix i / 8.
 */
__device__ inline void load_matrices(uint32_t (&x)[4], uint32_t address)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3])
                 : "r"(address)
                 : "memory");
}

/* The same, each matrix transposed. */
__device__ inline void load_matrices_transposed(uint32_t (&x)[4], uint32_t address)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3])
                 : "r"(address)
                 : "memory");
}

/* The way back: x[n] of thread 4g + t holds row g, columns 2t and 2t + 1 of matrix n. */
__device__ inline void store_matrices(uint32_t address, const uint32_t (&x)[4])
{
#if __CUDA_ARCH__ < 900
    for (int n = 0; n < 4; n++)
        asm volatile(
            "st.shared.b32 [%0], %1;" ::"r"(
                __shfl_sync(~0u, address, n * 8 + threadIdx.x % 32 / 4) + threadIdx.x % 4 * 4),
            "r"(x[n])
            : "memory");
#else
    asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(address),
                 "r"(x[0]), "r"(x[1]), "r"(x[2]), "r"(x[3])
                 : "memory");
#endif
}

/* One m16n8k16 product of a warp: d += a b with f32 sums. Thread 4g + t of the warp holds rows g
   and g + 8: of `a` columns 2t, 2t+1 and 2t+8, 2t+9; of `d` columns 2t and 2t+1. */
struct fragment_a {
    uint32_t x[4];
};

__device__ inline void mma_f16(float (&d)[4], const fragment_a &a, uint32_t b0, uint32_t b1)
{
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, "
        "{%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a.x[0]), "r"(a.x[1]), "r"(a.x[2]), "r"(a.x[3]), "r"(b0), "r"(b1));
}

__device__ inline void mma_bf16(float (&d)[4], const fragment_a &a, uint32_t b0, uint32_t b1)
{
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, "
        "{%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a.x[0]), "r"(a.x[1]), "r"(a.x[2]), "r"(a.x[3]), "r"(b0), "r"(b1));
}

/* 2^x; results below 2^-126 become 0. */
__device__ inline float exp2_fast(float x)
{
    float result;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
    return result;
}

/* log2, to an absolute 2^-21, and 1 / x, nearly exact; 1 / 0 is inf. Enough before results are
   rounded to 16 bits. */
__device__ inline float log2_fast(float x)
{
    float result;
    asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
    return result;
}

__device__ inline float reciprocal_fast(float x)
{
    float result;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
    return result;
}

/* A barrier of `threads`, whole warps, of the work-group; `number` is from 1 to 15. */
__device__ inline void barrier_of_warps(int number, int threads)
{
    asm volatile("bar.sync %0, %1;" ::"r"(number), "r"(threads) : "memory");
}

/* In what is rarely done: keeps the compiler from doing it always and selecting from the results.
 */
__device__ inline void keep_apart()
{
    asm volatile("" ::: "memory");
}

#endif
