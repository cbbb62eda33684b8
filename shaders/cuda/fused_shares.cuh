/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CUDA_FUSED_SHARES_CUH
#define MN_CUDA_FUSED_SHARES_CUH

#include "shaders/cuda/fused.h"
#include "shaders/cuda/fused_scores.cuh"
#include "shaders/cuda/ptx/barrier.cuh"
#include "shaders/cuda/ptx/cluster.cuh"

/*
 * A head whose features are too many for one work-group is shared by a cluster of two (sm_90): the
 * first has WIDTH features of all rows, the other what is left, if anything. Scores are sums over
 * features, so each makes its part of them, and they exchange those: both then have the same sums,
 * bit for bit, for a + b is b + a. The rest, softmax and sums of rows, each does for its own
 * features.
 *
 * A warp exchanges with the same warp of the other, once in each stage in which it has a matrix, by
 * a slot in the other's memory: `come` tells that something is in it, `read` that what was sent is
 * read. A barrier of the cluster would wait for stores and copies under way, each time.
 */
template <int SHARES> struct score_exchange {
    static_assert(SHARES == 2, "scores are exchanged in pairs");

    char *slot; /* of this warp */
    uint64_t *come, *read;
    int lane, number;

    __device__ score_exchange(char *memory, int warp, int lane_number)
        : slot(memory + warp * MN_FUSED_SLOT),
          come(reinterpret_cast<uint64_t *>(memory + MN_FUSED_WARPS * MN_FUSED_SLOT) + 2 * warp),
          read(come + 1), lane(lane_number), number(0)
    {
    }

    /* Which share of the features is this work-group's. */
    __device__ static int share()
    {
        return cluster_rank();
    }

    /* Before the other may send; behind `begun` this goes for both. */
    __device__ void begin() const
    {
        if (lane == 0) {
            barrier_start(come, 1);
            barrier_start(read, 1);
        }
        barriers_are_started();
        __syncwarp();
        cluster_arrive_and_release();
    }

    __device__ void begun() const
    {
        cluster_wait();
    }

    /* Scores of this work-group's features to those of all. */
    __device__ void complete(group_scores<1> &g)
    {
        float(&s)[2][4] = g.s[0];
        const int other = 1 - cluster_rank();
        char *const mine = slot + lane * VECTOR;
        const uint32_t there = address_in(shared_address(mine), other);
        const uint32_t come_there = address_in(shared_address(come), other);
        if (lane == 0)
            barrier_arrive_expecting(come, MN_FUSED_SLOT);
        if (number > 0)
            barrier_wait(read, (number - 1) % 2);
#pragma unroll
        for (int n = 0; n < 2; n++)
            send_bytes(there + n * WARP * VECTOR,
                       make_uint4(__float_as_uint(s[n][0]), __float_as_uint(s[n][1]),
                                  __float_as_uint(s[n][2]), __float_as_uint(s[n][3])),
                       come_there);
        barrier_wait_cluster(come, number % 2);
#pragma unroll
        for (int n = 0; n < 2; n++) {
            const float4 x = *reinterpret_cast<const float4 *>(mine + n * WARP * VECTOR);
            s[n][0] += x.x;
            s[n][1] += x.y;
            s[n][2] += x.z;
            s[n][3] += x.w;
        }
        __syncwarp();
        if (lane == 0)
            barrier_arrive_in_after_reading(address_in(shared_address(read), other));
        number++;
    }

    /* No work-group may leave before all that is sent to it has come. */
    __device__ void end() const
    {
        cluster_arrive_and_release();
        cluster_wait();
    }
};

/* All features are in one work-group. */
template <> struct score_exchange<1> {
    __device__ score_exchange(char *, int, int)
    {
    }

    __device__ static int share()
    {
        return 0;
    }

    __device__ void begin() const
    {
    }

    __device__ void begun() const
    {
    }

    template <int TILES> __device__ void complete(group_scores<TILES> &)
    {
    }

    __device__ void end() const
    {
    }
};

#endif
