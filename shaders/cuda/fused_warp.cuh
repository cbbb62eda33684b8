/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CUDA_FUSED_WARP_CUH
#define MN_CUDA_FUSED_WARP_CUH

#include "shaders/cuda/fused_load.cuh"
#include "shaders/cuda/fused_stages.cuh"

/*
 * What the warps of fused_once.cuh and fused_steps.cuh have in common. Shared memory begins with
 * zeros and space for what is not kept; what others send follows, p.stages tensors, and terms.
 */
template <class E, int WIDTH, int RIGHT_TILES, int LEFT_TILES, int SHARES> struct fused_warp {
    using layout = term_layout<RIGHT_TILES, LEFT_TILES>;
    static constexpr int pitch = mn_tile_pitch(WIDTH, sizeof(E));
    static constexpr int spare = mn_fused_spare_bytes(pitch);
    static constexpr int width = WIDTH * (int)sizeof(E); /* bytes */

    const mn_stage_params &p;
    int lane, warp, warps;

    __device__ bool is_masked() const
    {
        return p.operand[MN_OPERAND_MASK].width > 0;
    }

    __device__ bool is_token(int block, int position) const
    {
        return (uint32_t)(block * p.columns + position - (int)p.first) < (uint32_t)p.tokens;
    }

    /* The number of the work-group, or of the cluster that shares a head. */
    __device__ static int64_t first_head()
    {
        return work_group() / SHARES;
    }

    /* Bytes of a row before this work-group's share. */
    __device__ static int skipped()
    {
        return score_exchange<SHARES>::share() * width;
    }

    __device__ score_exchange<SHARES> exchange() const
    {
        return {dynamic_memory<128>() + 2 * spare, warp, lane};
    }

    __device__ task_place place_of_head(int64_t head) const
    {
        task_place at = {0, 0, 0};
        at.batch = divide(head, p.heads, &at.head);
        return at;
    }

    __device__ head_rows tensor_at(int place) const
    {
        const int block_pitch = mn_fused_block_pitch(p.columns, pitch);
        return {dynamic_memory<128>() + 2 * spare + mn_fused_exchange_bytes(SHARES) +
                    place * p.groups * block_pitch,
                block_pitch, pitch};
    }

    __device__ float *entropy() const
    {
        return reinterpret_cast<float *>(tensor_at(p.stages).base);
    }

    /* Terms of the keys of head `number` of those whose masks are there at a time. */
    __device__ float *absent_of(int number) const
    {
        return entropy() + p.columns * layout::entropy_pitch +
               number * 16 * LEFT_TILES * layout::absent_pitch;
    }

    /* Notes which keys are there. */
    __device__ void note_absent(float *absent, int64_t batch) const
    {
        const mn_operand_params &mask = p.operand[MN_OPERAND_MASK];
        const uint8_t *bytes = reinterpret_cast<const uint8_t *>(mask.address) + batch * mask.batch;
        for (int i = threadIdx.x; i < 16 * LEFT_TILES * layout::absent_pitch; i += blockDim.x) {
            const int block = i / layout::absent_pitch, position = i % layout::absent_pitch;
            bool there = block < p.groups && position < p.columns && is_token(block, position);
            if (there && is_masked())
                there = bytes[block * mask.group + position * mask.index] != 0;
            absent[i] = there ? 0.0f : infinity();
        }
    }

    /* Zeros, and terms of blocks that there are not. */
    __device__ void fill_constants() const
    {
        for (int i = threadIdx.x; i < spare / 4; i += blockDim.x)
            reinterpret_cast<uint32_t *>(dynamic_memory<128>())[i] = 0;
        for (int i = threadIdx.x; i < p.columns * layout::entropy_pitch; i += blockDim.x)
            entropy()[i] = infinity();
    }

    /* Starts to load the warp's block of q, k or v (0, 1, 2). Masked keys and values become 0. */
    __device__ void load(int tensor, const task_place &at, const head_rows &target, int block,
                         const float *absent) const
    {
        const int number = tensor < 2 ? MN_OPERAND_QUERIES + tensor : MN_OPERAND_VALUES;
        const bool masked = is_masked() && tensor > 0;
        load_block<E, WIDTH>(p, number, at, skipped(), target, block,
                             masked ? absent + block * layout::absent_pitch : nullptr, lane);
    }

    /* Lets the cache fetch it: whole rows, of which those that share a head fetch some each. */
    __device__ void prefetch(int tensor, const task_place &at, int block) const
    {
        const int number = tensor < 2 ? MN_OPERAND_QUERIES + tensor : MN_OPERAND_VALUES;
        prefetch_block<E, WIDTH, SHARES>(p, number, at, score_exchange<SHARES>::share(), block,
                                         lane);
    }

    __device__ void store(const fused_memory &m, const task_place &at, int position) const
    {
        const mn_operand_params &o = p.operand[MN_OPERAND_RESULT];
        const rows_view<E> out = view_of<E>(o, at, skipped());
        __syncwarp();
        store_position<E, WIDTH>(
            m.v, position, p.groups, out, out.row(position), o.group * (int64_t)sizeof(E),
            [&](int x) { return is_token(x, position); }, lane);
    }
};

#endif
