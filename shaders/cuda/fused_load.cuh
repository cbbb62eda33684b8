/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CUDA_FUSED_LOAD_CUH
#define MN_CUDA_FUSED_LOAD_CUH

#include "shaders/cuda/fused_stages.cuh"

/* How the rows of a head come from memory, and go there. */

/* Waits until at most `behind` groups of copies are under way; for more where that is above 3. */
__device__ inline void copies_wait_until(int behind)
{
    if (behind == 0)
        copies_wait<0>();
    else if (behind == 1)
        copies_wait<1>();
    else if (behind == 2)
        copies_wait<2>();
    else
        copies_wait<3>();
}

/* Calls f(x, byte) for each vector of rows x < count: the threads of a warp share rows. */
template <int WIDTH_BYTES, class F> __device__ inline void for_each_vector(int count, int lane, F f)
{
    using share = row_sharing<WIDTH_BYTES>;
    const int byte = lane % share::lanes * VECTOR;
    if (byte < WIDTH_BYTES)
#pragma unroll 4
        for (int x = lane / share::lanes; x < count; x += WARP / share::lanes)
            f(x, byte);
}

/* Starts to load a block of a tensor. Rows outside the sequence become 0, and masked ones if asked.
 */
template <class E, int WIDTH>
__device__ inline void load_block(const mn_stage_params &p, int number, const task_place &at,
                                  const head_rows &target, int block, const float *absent, int lane)
{
    constexpr int width = WIDTH * (int)sizeof(E);
    const mn_operand_params &o = p.operand[number];
    const rows_view<E> view = view_of<E>(o, at);
    const int64_t index = o.index * (int64_t)sizeof(E);
    const char *source = view.base + block * o.group * (int64_t)sizeof(E);
    const int token = block * p.columns - (int)p.first;
    const bool is_whole = token >= 0 && token + p.columns <= p.tokens;
    if (o.vectors && view.bytes() == width && is_whole && absent == nullptr) {
        for_each_vector<width>(p.columns, lane, [&](int x, int byte) {
            copy_vector(target.row(block, x) + byte, source + x * index + byte);
        });
        return;
    }
    for_each_vector<width>(p.columns, lane, [&](int x, int byte) {
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

/* Lets the cache fetch a block. */
template <class E>
__device__ inline void prefetch_block(const mn_stage_params &p, int number, const task_place &at,
                                      int block, int lane)
{
    const rows_view<E> view = view_of<E>(p.operand[number], at);
    const int token = block * p.columns + lane - (int)p.first;
    const char *row = view.row(lane) + block * view.operand.group * (int64_t)sizeof(E);
    if (lane < p.columns && token >= 0 && token < p.tokens)
        for (int byte = 0; byte < view.bytes(); byte += 128)
            prefetch(row + byte);
}

/* 16 bytes of a row that lies anyhow, those from `valid` on as 0. */
template <class E> __device__ inline uint4 read_elements(const char *from, int valid)
{
    uint4 x = {0, 0, 0, 0};
#pragma unroll 1
    for (int i = VECTOR - (int)sizeof(E); i >= 0; i -= (int)sizeof(E)) { /* shifted in: no index */
        const uint32_t next = i < valid ? *reinterpret_cast<const uint16_t *>(from + i) : 0;
        x = {x.x << 16 | next, x.y << 16 | x.x >> 16, x.z << 16 | x.y >> 16, x.w << 16 | x.z >> 16};
    }
    return x;
}

/* Rows x of q that are wanted, from `first` on and `step` bytes apart; others keep what they were. */
template <class E, int WIDTH, int TILES, class Wanted>
__device__ inline void read_queries(row_parts<WIDTH, TILES> &rows, const mn_operand_params &q,
                                    const char *first, int64_t step, Wanted wanted, int lane)
{
    using parts = row_parts<WIDTH, TILES>;
    const int bytes = q.width * (int)sizeof(E);
    const char *row = first + lane / 4 * step;
    if (q.vectors && bytes == WIDTH * (int)sizeof(E)) {
#pragma unroll
        for (int x = 0; x < 16 * TILES; x += 8)
            if (wanted(x + lane / 4))
#pragma unroll
                for (int i = 0; i < parts::count; i++)
                    rows.x[x / 16][x / 8 % 2][i] = *reinterpret_cast<const uint4 *>(
                        row + x * step + parts::byte(i, lane % 4));
        return;
    }
#pragma unroll
    for (int x = 0; x < 16 * TILES; x += 8)
        if (wanted(x + lane / 4))
#pragma unroll
            for (int i = 0; i < parts::count; i++) {
                const int byte = parts::byte(i, lane % 4);
                rows.x[x / 16][x / 8 % 2][i] =
                    read_elements<E>(row + x * step + byte, bytes - byte);
            }
}

/* Stores rows x < count of a position, those that are wanted, from `first` on and `step` bytes
   apart. */
template <class E, int WIDTH, class Wanted>
__device__ inline void store_position(const head_rows &from, int position, int count,
                                      const mn_operand_params &out, char *first, int64_t step,
                                      Wanted wanted, int lane)
{
    constexpr int width = WIDTH * (int)sizeof(E);
    const int bytes = out.width * (int)sizeof(E);
    if (out.vectors && bytes == width) {
        for_each_vector<width>(count, lane, [&](int x, int byte) {
            if (wanted(x))
                *reinterpret_cast<uint4 *>(first + x * step + byte) =
                    *reinterpret_cast<const uint4 *>(from.row(x, position) + byte);
        });
        return;
    }
#pragma unroll 1
    for (int i = lane; i < count * (width / VECTOR); i += WARP) {
        const int x = i / (width / VECTOR), byte = i % (width / VECTOR) * VECTOR;
        if (byte < bytes && wanted(x))
            store_vector<E>(first + x * step + byte, from.row(x, position) + byte, out.vectors,
                            bytes - byte);
    }
}

#endif
