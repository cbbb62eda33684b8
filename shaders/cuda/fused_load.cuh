/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CUDA_FUSED_LOAD_CUH
#define MN_CUDA_FUSED_LOAD_CUH

#include "shaders/cuda/fused_stages.cuh"

/* How the rows of a head come from memory, and go there. */

/* Waits until at most `behind` groups of copies are under way; for more where that is above 4. */
__device__ inline void copies_wait_until(int behind)
{
    if (behind == 0)
        copies_wait<0>();
    else if (behind == 1)
        copies_wait<1>();
    else if (behind == 2)
        copies_wait<2>();
    else if (behind == 3)
        copies_wait<3>();
    else
        copies_wait<4>();
}

/* Calls f(x, byte) for each vector of rows x < count: the threads of a warp share rows. Rare cases
   are not UNROLLED: instructions must fit into their cache too. */
template <int WIDTH_BYTES, int UNROLLED, class F>
__device__ inline void for_each_vector(int count, int lane, F f)
{
    using share = row_sharing<WIDTH_BYTES>;
    const int byte = lane % share::lanes * VECTOR;
    if (byte < WIDTH_BYTES)
#pragma unroll UNROLLED
        for (int x = lane / share::lanes; x < count; x += WARP / share::lanes)
            f(x, byte);
}

/* Starts to load a block of a tensor, from byte `skipped` of each row on. Rows outside the sequence
   become 0, and masked ones if asked. */
template <class E, int WIDTH>
__device__ inline void load_block(const mn_stage_params &p, int number, const task_place &at,
                                  int skipped, const head_rows &target, int block,
                                  const float *absent, int lane)
{
    constexpr int width = WIDTH * (int)sizeof(E);
    const mn_operand_params &o = p.operand[number];
    const rows_view<E> view = view_of<E>(o, at, skipped);
    const int64_t index = o.index * (int64_t)sizeof(E);
    const char *source = view.base + block * o.group * (int64_t)sizeof(E);
    const int token = block * p.columns - (int)p.first;
    const bool is_whole = token >= 0 && token + p.columns <= p.tokens;
    if (o.vectors && view.bytes() >= width && is_whole && absent == nullptr) {
        for_each_vector<width, 4>(p.columns, lane, [&](int x, int byte) {
            copy_vector(target.row(block, x) + byte, source + x * index + byte);
        });
        return;
    }
    for_each_vector<width, 1>(p.columns, lane, [&](int x, int byte) {
        bool there = absent != nullptr ? absent[x] == 0.0f : token + x >= 0 && token + x < p.tokens;
        int valid = there ? max(0, min(view.bytes() - byte, (int)VECTOR)) : 0;
        const char *from = valid > 0 ? source + x * index + byte : view.base;
        char *to = target.row(block, x) + byte;
        if (o.vectors)
            copy_vector(to, from, valid);
        else
            copy_elements<E>(to, from, valid);
    });
}

/* Lets the cache fetch a block, whole rows of it: each of the SHARES work-groups that share the
   head a part, so that memory gives lines that lie together at once. */
template <class E, int WIDTH, int SHARES>
__device__ inline void prefetch_block(const mn_stage_params &p, int number, const task_place &at,
                                      int share, int block, int lane)
{
    constexpr int line = 128, lines = (WIDTH * SHARES * (int)sizeof(E) + line - 1) / line;
    const rows_view<E> view = view_of<E>(p.operand[number], at);
    const char *source = view.base + block * view.operand.group * (int64_t)sizeof(E);
    const int token = block * p.columns - (int)p.first;
    for (int i = share * WARP + lane; i < p.columns * lines; i += SHARES * WARP) {
        const int x = i / lines, byte = i % lines * line;
        if (token + x >= 0 && token + x < p.tokens && byte < view.bytes())
            prefetch(source + x * view.operand.index * (int64_t)sizeof(E) + byte);
    }
}

/* Stores rows x < count of a position, those that are wanted, from `first` on and `step` bytes
   apart. */
template <class E, int WIDTH, class Wanted>
__device__ inline void store_position(const head_rows &from, int position, int count,
                                      const rows_view<E> &out, char *first, int64_t step,
                                      Wanted wanted, int lane)
{
    constexpr int width = WIDTH * (int)sizeof(E);
    const int bytes = out.bytes();
    const bool vectors = out.operand.vectors;
    if (vectors && bytes >= width) {
        for_each_vector<width, 4>(count, lane, [&](int x, int byte) {
            if (wanted(x))
                *reinterpret_cast<uint4 *>(first + x * step + byte) =
                    *reinterpret_cast<const uint4 *>(from.row(x, position) + byte);
        });
        return;
    }
    for_each_vector<width, 1>(count, lane, [&](int x, int byte) {
        if (byte < bytes && wanted(x))
            store_vector<E>(first + x * step + byte, from.row(x, position) + byte, vectors,
                            bytes - byte);
    });
}

#endif
