/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CUDA_OPERAND_CUH
#define MN_CUDA_OPERAND_CUH

#include "shaders/cuda/element.cuh"

/* From a launch's parameters to rows in memory, and from there to shared memory and back. */

enum { WARP = 32, VECTOR = 16 };

/* Which score matrix a warp works on. */
struct task_place {
    int64_t batch;
    int head, group;
};

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

/* The rows of one operand in one score matrix, from byte `first` of each row on. What does not
   depend on the task stays where the parameters are: it would only fill registers. */
template <class E> struct rows_view {
    const mn_operand_params &operand;
    char *base;
    int first;

    __device__ char *row(int x) const
    {
        return base + x * operand.index * (int64_t)sizeof(E);
    }

    /* Bytes of a row that count. */
    __device__ int bytes() const
    {
        return operand.width * (int)sizeof(E) - first;
    }
};

template <class E>
__device__ inline rows_view<E> view_of(const mn_operand_params &o, const task_place &at,
                                       int first = 0)
{
    rows_view<E> view = {o, reinterpret_cast<char *>(o.address) + first, first};
    view.base += (at.batch * o.batch + at.head / o.head_share * o.head + at.group * o.group) *
                 (int64_t)sizeof(E);
    return view;
}

/* Which tokens of a group are there. */
struct presence {
    const mn_stage_params &p;
    int64_t token0;
    const uint8_t *mask;

    __device__ bool is_token(int x) const
    {
        int64_t token = token0 + x * p.token_index;
        return token >= 0 && token < p.tokens;
    }

    /* A token of the sequence that is not masked. */
    __device__ bool operator()(int x) const
    {
        const mn_operand_params &o = p.operand[MN_OPERAND_MASK];
        return is_token(x) && (o.width == 0 || mask[x * o.index] != 0);
    }
};

__device__ inline presence presence_of(const mn_stage_params &p, const task_place &at)
{
    const mn_operand_params &o = p.operand[MN_OPERAND_MASK];
    return {p, at.group * p.token_group - p.first,
            reinterpret_cast<const uint8_t *>(o.address) + at.batch * o.batch + at.group * o.group};
}

__device__ inline uint32_t shared_address(const void *pointer)
{
    return (uint32_t)__cvta_generic_to_shared(pointer);
}

/* Starts to copy 16 bytes to shared memory, of which `valid` come from `source`, the others are 0.
 */
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

/* The same for rows that lie anyhow: element by element. */
template <class E> __device__ inline void copy_elements(char *target, const char *source, int valid)
{
    constexpr int count = VECTOR / (int)sizeof(E);
    alignas(VECTOR) E part[count];
    for (int i = 0; i < count; i++)
        part[i] = i * (int)sizeof(E) < valid ? reinterpret_cast<const E *>(source)[i] : E(0.0f);
    *reinterpret_cast<uint4 *>(target) = *reinterpret_cast<const uint4 *>(part);
}

/*
 * Starts to load rows x0 ... x0 + count - 1 into rows of PITCH bytes in shared memory, WIDTH bytes
 * each; what lies behind a row's end, and rows that `there` denies, become 0. Masked rows must:
 * weight 0 times NaN is NaN. `thread` of `threads` take part.
 */
template <class E, int WIDTH, int PITCH, class There>
__device__ inline void load_rows(char *target, const rows_view<E> &view, int x0, int count,
                                 const There &there, int thread, int threads)
{
    constexpr int vectors = WIDTH / VECTOR;
    for (int i = thread; i < count * vectors; i += threads) {
        int row = i / vectors, at = i % vectors * VECTOR;
        int valid = there(x0 + row) ? max(0, min(view.bytes() - at, (int)VECTOR)) : 0;
        const char *source = valid > 0 ? view.row(x0 + row) + at : view.base;
        if (view.operand.vectors)
            copy_vector(target + row * PITCH + at, source, valid);
        else
            copy_elements<E>(target + row * PITCH + at, source, valid);
    }
}

/* The way back: a warp stores rows x0 ... x0 + count - 1, those that `there` accepts. */
template <class E, int WIDTH, int PITCH, class There>
__device__ inline void store_rows(const char *source, const rows_view<E> &view, int x0, int count,
                                  const There &there, int lane)
{
    constexpr int vectors = WIDTH / VECTOR;
    for (int i = lane; i < count * vectors; i += WARP) {
        int row = i / vectors, at = i % vectors * VECTOR;
        if (at >= view.bytes() || !there(x0 + row))
            continue;
        const char *from = source + row * PITCH + at;
        char *to = view.row(x0 + row) + at;
        if (view.operand.vectors) {
            *reinterpret_cast<uint4 *>(to) = *reinterpret_cast<const uint4 *>(from);
            continue;
        }
        int count_elements = min(view.bytes() - at, (int)VECTOR) / (int)sizeof(E);
        for (int e = 0; e < count_elements; e++)
            reinterpret_cast<E *>(to)[e] = reinterpret_cast<const E *>(from)[e];
    }
}

#endif
