/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CUDA_OPERAND_CUH
#define MN_CUDA_OPERAND_CUH

#include "shaders/cuda/element.cuh"
#include "shaders/cuda/ptx/basic.cuh"

/* From a launch's parameters to rows in memory, and from there to shared memory and back. */

enum { WARP = 32, VECTOR = 16 };

/* Which score matrix a warp works on. */
struct task_place {
    int64_t batch;
    int head, group;
};

/* Number of the warp in its work-group; the same in all its threads, as the compiler can see. */
__device__ inline int warp_index()
{
    return __shfl_sync(~0u, (int)(threadIdx.x / WARP), 0);
}

/* a / b and a % b; in 32 bits where they suffice, which is several times faster. */
__device__ inline int64_t divide(int64_t a, int b, int *rest)
{
    if (a >> 32 == 0) {
        uint32_t quotient = (uint32_t)a / (uint32_t)b;
        *rest = (int)((uint32_t)a - quotient * (uint32_t)b);
        return quotient;
    }
    *rest = (int)(a % b);
    return a / b;
}

__device__ inline task_place place_of(const mn_stage_params &p, int64_t task)
{
    task_place place;
    int64_t head = divide(task, p.groups, &place.group);
    place.batch = divide(head, p.heads, &place.head);
    return place;
}

/* The linear number of the work-group. */
__device__ inline int64_t work_group()
{
    return (int64_t)blockIdx.y * gridDim.x + blockIdx.x;
}

/* The rows of one operand in one score matrix, from byte `skipped` of each row on. What does not
   depend on the task stays where the parameters are: it would only fill registers. */
template <class E> struct rows_view {
    const mn_operand_params &operand;
    char *base;
    int skipped; /* bytes of each row before `base` */

    __device__ char *row(int x) const
    {
        return base + x * operand.index * (int64_t)sizeof(E);
    }

    /* Bytes of a row that count. */
    __device__ int bytes() const
    {
        return operand.width * (int)sizeof(E) - skipped;
    }
};

template <class E>
__device__ inline rows_view<E> view_of(const mn_operand_params &o, const task_place &at,
                                       int skipped = 0)
{
    rows_view<E> view = {o, reinterpret_cast<char *>(o.address) + skipped, skipped};
    int head = o.head_share > 1 ? at.head / o.head_share : at.head;
    view.base += (at.batch * o.batch + head * o.head + at.group * o.group) * (int64_t)sizeof(E);
    return view;
}

/* Which indices of a group are there: begin <= x < end, and not masked. */
struct presence {
    int begin, end;
    const uint8_t *mask; /* NULL without one */
    int64_t mask_step;

    __device__ bool operator()(int x) const
    {
        return x >= begin && x < end && (mask == nullptr || mask[x * mask_step] != 0);
    }
};

/* The first `count` indices. */
__device__ inline presence all_of(int count)
{
    return {0, count, nullptr, 0};
}

/* Those of `count` indices that are tokens of the sequence. Indices of a block are a run of tokens
   (token_index 1; so are those of the only position where blocks are of one token). Of another
   position only the first or the last block can be absent: padding is less than a block. */
__device__ inline presence tokens_of(const mn_stage_params &p, const task_place &at, int count)
{
    int64_t token0 = at.group * p.token_group - p.first;
    int64_t after = p.tokens - token0; /* tokens from index 0 of the group on */
    presence there = all_of(count);
    if (p.token_index == 1) {
        there.begin = (int)max(-token0, (int64_t)0);
        there.end = (int)min(after, (int64_t)count);
    } else {
        there.begin = token0 < 0;
        there.end = (count - 1) * p.token_index < after ? count : count - 1;
    }
    return there;
}

/* The same without masked ones. */
__device__ inline presence present_of(const mn_stage_params &p, const task_place &at, int count)
{
    const mn_operand_params &o = p.operand[MN_OPERAND_MASK];
    presence there = tokens_of(p, at, count);
    if (o.width > 0) {
        there.mask =
            reinterpret_cast<const uint8_t *>(o.address) + at.batch * o.batch + at.group * o.group;
        there.mask_step = o.index;
    }
    return there;
}

/* Copies up to 16 bytes of a row that lies anyhow to shared memory, element by element; the others
 * become 0. */
template <class E> __device__ inline void copy_elements(char *target, const char *source, int valid)
{
#pragma unroll 1
    for (int i = 0; i < VECTOR; i += (int)sizeof(E))
        *reinterpret_cast<E *>(target + i) =
            i < valid ? *reinterpret_cast<const E *>(source + i) : E(0.0f);
}

/* How threads share rows of WIDTH bytes: `lanes` of them a row, each with `each` vectors of it. */
template <int WIDTH> struct row_sharing {
    static constexpr int vectors = WIDTH / VECTOR;
    static constexpr int lanes = vectors <= 4 ? 4 : vectors <= 8 ? 8 : vectors <= 16 ? 16 : WARP;
    static constexpr int each = (vectors + lanes - 1) / lanes;
    static constexpr int apart = lanes * VECTOR;
};

/*
 * Starts to load rows x0 ... x0 + count - 1 into rows of PITCH bytes in shared memory, WIDTH bytes
 * each; what lies behind a row's end, and rows that are not there, become 0. Masked rows must:
 * weight 0 times NaN is NaN. `thread` of `threads`, a multiple of 32, take part.
 */
template <class E, int WIDTH, int PITCH>
__device__ inline void load_rows(char *target, const rows_view<E> &view, int x0, int count,
                                 const presence &there, int thread, int threads)
{
    using share = row_sharing<WIDTH>;
    const int first = thread % share::lanes * VECTOR, step = threads / share::lanes;
    const int64_t stride = view.operand.index * (int64_t)sizeof(E);
    const int bytes = min(view.bytes(), WIDTH);
    int row = thread / share::lanes;
    const char *source = view.base + (x0 + row) * stride + first;
    char *to = target + row * PITCH + first;
    /* Nearly always: whole vectors of rows that are all there. */
    if (view.operand.vectors && bytes == WIDTH && share::vectors % share::lanes == 0 &&
        there.mask == nullptr && x0 >= there.begin && x0 + count <= there.end) {
        for (; row < count; row += step, source += step * stride, to += step * PITCH)
#pragma unroll
            for (int i = 0; i < share::each; i++)
                copy_vector(to + i * share::apart, source + i * share::apart);
        return;
    }
#pragma unroll 1
    for (; row < count; row += step, source += step * stride, to += step * PITCH) {
        const bool is_there = there(x0 + row);
#pragma unroll 1
        for (int i = 0; i < share::each && first + i * share::apart < WIDTH; i++) {
            int left = bytes - first - i * share::apart;
            int valid = is_there ? max(0, min(left, (int)VECTOR)) : 0;
            const char *from = valid > 0 ? source + i * share::apart : view.base;
            if (view.operand.vectors)
                copy_vector(to + i * share::apart, from, valid);
            else
                copy_elements<E>(to + i * share::apart, from, valid);
        }
    }
}

/* Stores 16 bytes, or as many of them as `valid` says. */
template <class E>
__device__ inline void store_vector(char *to, const char *from, bool whole, int valid)
{
    if (whole) {
        *reinterpret_cast<uint4 *>(to) = *reinterpret_cast<const uint4 *>(from);
        return;
    }
#pragma unroll 1
    for (int i = 0; i < min(valid, (int)VECTOR); i += (int)sizeof(E))
        *reinterpret_cast<E *>(to + i) = *reinterpret_cast<const E *>(from + i);
}

/* The way back: a warp stores rows x0 ... x0 + count - 1, those that are there. */
template <class E, int WIDTH, int PITCH>
__device__ inline void store_rows(const char *source, const rows_view<E> &view, int x0, int count,
                                  const presence &there, int lane)
{
    using share = row_sharing<WIDTH>;
    const int first = lane % share::lanes * VECTOR, step = WARP / share::lanes;
    const int64_t stride = view.operand.index * (int64_t)sizeof(E);
    const int bytes = view.bytes();
    int row = lane / share::lanes;
    const char *from = source + row * PITCH + first;
    char *to = view.base + (x0 + row) * stride + first;
#pragma unroll 2
    for (; row < count; row += step, from += step * PITCH, to += step * stride) {
        const bool is_there = there(x0 + row);
#pragma unroll
        for (int i = 0; i < share::each; i++) {
            constexpr int apart = share::lanes * VECTOR;
            if (is_there && first + i * apart < min(bytes, WIDTH))
                store_vector<E>(to + i * apart, from + i * apart, view.operand.vectors,
                                bytes - first - i * apart);
        }
    }
}

#endif
