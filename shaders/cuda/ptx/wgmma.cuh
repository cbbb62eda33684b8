/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CUDA_PTX_WGMMA_CUH
#define MN_CUDA_PTX_WGMMA_CUH

#include "shaders/cuda/ptx/basic.cuh"

/* Warpgroups (sm_90a): four warps that multiply together. `a` and `b` are descriptors of matrices
   in shared memory: see wgmma.cuh. */

/* Between writes to registers or shared memory and the first product that reads them. */
__device__ inline void wgmma_begin()
{
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}

/* Waits for the products. */
__device__ inline void wgmma_end()
{
    asm volatile("wgmma.commit_group.sync.aligned;\nwgmma.wait_group.sync.aligned 0;" ::: "memory");
}

/* Makes shared memory that this thread wrote visible to wgmma. */
__device__ inline void fence_for_wgmma()
{
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

/* The warpgroup's threads get more registers, or give some back; its number is a multiple of 8. */
template <int REGISTERS> __device__ inline void take_registers()
{
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(REGISTERS));
}

template <int REGISTERS> __device__ inline void give_registers()
{
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(REGISTERS));
}

template <class E> struct warpgroup;

/* The products of one element type; TYPE is its name in PTX. */
#define MN_WARPGROUP(E, TYPE)                                                                      \
    template <> struct warpgroup<E> {                                                              \
        /* d = (add ? d : 0) + a b', 64 x 64 x 16, both in shared memory, rows of each the outer   \
         * axis. */                                                                                \
        static __device__ void scores(float (&d)[8][4], uint64_t a, uint64_t b, int add)           \
        {                                                                                          \
            asm volatile(                                                                          \
                "{\n.reg .pred p;\nsetp.ne.b32 p, %34, 0;\n"                                       \
                "wgmma.mma_async.sync.aligned.m64n64k16.f32." TYPE "." TYPE " "                    \
                "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, "     \
                "%17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}, "     \
                "%32, %33, p, 1, 1, 0, 0;\n}\n"                                                    \
                : "+f"(d[0][0]), "+f"(d[0][1]), "+f"(d[0][2]), "+f"(d[0][3]), "+f"(d[1][0]),       \
                  "+f"(d[1][1]), "+f"(d[1][2]), "+f"(d[1][3]), "+f"(d[2][0]), "+f"(d[2][1]),       \
                  "+f"(d[2][2]), "+f"(d[2][3]), "+f"(d[3][0]), "+f"(d[3][1]), "+f"(d[3][2]),       \
                  "+f"(d[3][3]), "+f"(d[4][0]), "+f"(d[4][1]), "+f"(d[4][2]), "+f"(d[4][3]),       \
                  "+f"(d[5][0]), "+f"(d[5][1]), "+f"(d[5][2]), "+f"(d[5][3]), "+f"(d[6][0]),       \
                  "+f"(d[6][1]), "+f"(d[6][2]), "+f"(d[6][3]), "+f"(d[7][0]), "+f"(d[7][1]),       \
                  "+f"(d[7][2]), "+f"(d[7][3])                                                     \
                : "l"(a), "l"(b), "r"(add));                                                       \
        }                                                                                          \
                                                                                                   \
        /* The same with 96 columns. */                                                            \
        static __device__ void scores(float (&d)[12][4], uint64_t a, uint64_t b, int add)          \
        {                                                                                          \
            asm volatile(                                                                          \
                "{\n.reg .pred p;\nsetp.ne.b32 p, %50, 0;\n"                                       \
                "wgmma.mma_async.sync.aligned.m64n96k16.f32." TYPE "." TYPE " "                    \
                "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, "               \
                "%15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, "                \
                "%28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39, %40, "                \
                "%41, %42, %43, %44, %45, %46, %47}, "                                             \
                "%48, %49, p, 1, 1, 0, 0;\n}\n"                                                    \
                : "+f"(d[0][0]), "+f"(d[0][1]), "+f"(d[0][2]), "+f"(d[0][3]), "+f"(d[1][0]),       \
                  "+f"(d[1][1]), "+f"(d[1][2]), "+f"(d[1][3]), "+f"(d[2][0]), "+f"(d[2][1]),       \
                  "+f"(d[2][2]), "+f"(d[2][3]), "+f"(d[3][0]), "+f"(d[3][1]), "+f"(d[3][2]),       \
                  "+f"(d[3][3]), "+f"(d[4][0]), "+f"(d[4][1]), "+f"(d[4][2]), "+f"(d[4][3]),       \
                  "+f"(d[5][0]), "+f"(d[5][1]), "+f"(d[5][2]), "+f"(d[5][3]), "+f"(d[6][0]),       \
                  "+f"(d[6][1]), "+f"(d[6][2]), "+f"(d[6][3]), "+f"(d[7][0]), "+f"(d[7][1]),       \
                  "+f"(d[7][2]), "+f"(d[7][3]), "+f"(d[8][0]), "+f"(d[8][1]), "+f"(d[8][2]),       \
                  "+f"(d[8][3]), "+f"(d[9][0]), "+f"(d[9][1]), "+f"(d[9][2]), "+f"(d[9][3]),       \
                  "+f"(d[10][0]), "+f"(d[10][1]), "+f"(d[10][2]), "+f"(d[10][3]), "+f"(d[11][0]),  \
                  "+f"(d[11][1]), "+f"(d[11][2]), "+f"(d[11][3])                                   \
                : "l"(a), "l"(b), "r"(add));                                                       \
        }                                                                                          \
                                                                                                   \
        /* The same with 128 columns. */                                                           \
        static __device__ void scores(float (&d)[16][4], uint64_t a, uint64_t b, int add)          \
        {                                                                                          \
            asm volatile(                                                                          \
                "{\n.reg .pred p;\nsetp.ne.b32 p, %66, 0;\n"                                       \
                "wgmma.mma_async.sync.aligned.m64n128k16.f32." TYPE "." TYPE " "                   \
                "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, "     \
                "%17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "      \
                "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, "      \
                "%47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, "      \
                "%62, %63}, "                                                                      \
                "%64, %65, p, 1, 1, 0, 0;\n}\n"                                                    \
                : "+f"(d[0][0]), "+f"(d[0][1]), "+f"(d[0][2]), "+f"(d[0][3]), "+f"(d[1][0]),       \
                  "+f"(d[1][1]), "+f"(d[1][2]), "+f"(d[1][3]), "+f"(d[2][0]), "+f"(d[2][1]),       \
                  "+f"(d[2][2]), "+f"(d[2][3]), "+f"(d[3][0]), "+f"(d[3][1]), "+f"(d[3][2]),       \
                  "+f"(d[3][3]), "+f"(d[4][0]), "+f"(d[4][1]), "+f"(d[4][2]), "+f"(d[4][3]),       \
                  "+f"(d[5][0]), "+f"(d[5][1]), "+f"(d[5][2]), "+f"(d[5][3]), "+f"(d[6][0]),       \
                  "+f"(d[6][1]), "+f"(d[6][2]), "+f"(d[6][3]), "+f"(d[7][0]), "+f"(d[7][1]),       \
                  "+f"(d[7][2]), "+f"(d[7][3]), "+f"(d[8][0]), "+f"(d[8][1]), "+f"(d[8][2]),       \
                  "+f"(d[8][3]), "+f"(d[9][0]), "+f"(d[9][1]), "+f"(d[9][2]), "+f"(d[9][3]),       \
                  "+f"(d[10][0]), "+f"(d[10][1]), "+f"(d[10][2]), "+f"(d[10][3]), "+f"(d[11][0]),  \
                  "+f"(d[11][1]), "+f"(d[11][2]), "+f"(d[11][3]), "+f"(d[12][0]), "+f"(d[12][1]),  \
                  "+f"(d[12][2]), "+f"(d[12][3]), "+f"(d[13][0]), "+f"(d[13][1]), "+f"(d[13][2]),  \
                  "+f"(d[13][3]), "+f"(d[14][0]), "+f"(d[14][1]), "+f"(d[14][2]), "+f"(d[14][3]),  \
                  "+f"(d[15][0]), "+f"(d[15][1]), "+f"(d[15][2]), "+f"(d[15][3])                   \
                : "l"(a), "l"(b), "r"(add));                                                       \
        }                                                                                          \
                                                                                                   \
        /* 64 x 64 x 16 with `a` in registers, and the rows of b the summed axis. */               \
        static __device__ void sums(float (&d)[8][4], const fragment_a &a, uint64_t b, int add)    \
        {                                                                                          \
            asm volatile(                                                                          \
                "{\n.reg .pred p;\nsetp.ne.b32 p, %37, 0;\n"                                       \
                "wgmma.mma_async.sync.aligned.m64n64k16.f32." TYPE "." TYPE " "                    \
                "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, "     \
                "%17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}, "     \
                "{%32, %33, %34, %35}, %36, p, 1, 1, 1;\n}\n"                                      \
                : "+f"(d[0][0]), "+f"(d[0][1]), "+f"(d[0][2]), "+f"(d[0][3]), "+f"(d[1][0]),       \
                  "+f"(d[1][1]), "+f"(d[1][2]), "+f"(d[1][3]), "+f"(d[2][0]), "+f"(d[2][1]),       \
                  "+f"(d[2][2]), "+f"(d[2][3]), "+f"(d[3][0]), "+f"(d[3][1]), "+f"(d[3][2]),       \
                  "+f"(d[3][3]), "+f"(d[4][0]), "+f"(d[4][1]), "+f"(d[4][2]), "+f"(d[4][3]),       \
                  "+f"(d[5][0]), "+f"(d[5][1]), "+f"(d[5][2]), "+f"(d[5][3]), "+f"(d[6][0]),       \
                  "+f"(d[6][1]), "+f"(d[6][2]), "+f"(d[6][3]), "+f"(d[7][0]), "+f"(d[7][1]),       \
                  "+f"(d[7][2]), "+f"(d[7][3])                                                     \
                : "r"(a.x[0]), "r"(a.x[1]), "r"(a.x[2]), "r"(a.x[3]), "l"(b), "r"(add));           \
        }                                                                                          \
    };

MN_WARPGROUP(__half, "f16")
MN_WARPGROUP(__nv_bfloat16, "bf16")

#undef MN_WARPGROUP

#endif
