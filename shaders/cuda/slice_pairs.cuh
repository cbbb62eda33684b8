/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CUDA_SLICE_PAIRS_CUH
#define MN_CUDA_SLICE_PAIRS_CUH

#include "shaders/cuda/slice_compute.cuh"

/*
 * One step by the slice kernel where a slice has 65 to 96 rows: two warpgroups, a team, share a
 * matrix. The two teams take one block each at the same time, then one position each. There is room
 * for six matrices, which is what they work on, so what comes next goes where something was that
 * both were done with early: the next queries and keys of the first team replace both teams'
 * queries, those of the second replace both teams' keys, and values replace values.
 *
 * That a matrix is there is told by barriers of a team and a kind of operand, so each team sees all
 * phases of its own; in a slice each is used in ROUNDS of blocks, and once for a position. That a
 * unit is free is told by barriers of units: the loading warp waits there before it fills one, and
 * so sees all phases of those. It loads nothing of a round before both teams are done with queries
 * of the round before, but the first team's queries: so each has seen its barriers' phases.
 */
enum slice_kind { SLICE_QUERIES, SLICE_KEYS, SLICE_VALUES, SLICE_KINDS };

template <class PLACES> struct slice_pair_places {
    static constexpr int TEAMS = PLACES::GROUPS / 2, ROUNDS = PLACES::SHARE / TEAMS;
    static_assert(TEAMS == 2 && ROUNDS == SLICE_KINDS, "each position of a team has a unit");
    static_assert(ROUNDS % 2 != 0, "barriers end as they began, and so do units");
    static_assert(PLACES::UNITS == TEAMS * SLICE_KINDS, "two blocks are there at once");

    const PLACES &memory;

    __device__ static int number(int kind, int team)
    {
        return kind * TEAMS + team;
    }

    __device__ uint64_t *full(int kind, int team) const
    {
        return memory.full(number(kind, team));
    }

    /* Where an operand of a block is, in a round. */
    __device__ static int unit(int kind, int team, int round)
    {
        const bool crosswise = kind != SLICE_VALUES && round % 2 != 0;
        return crosswise ? number(team, kind) : number(kind, team);
    }

    /* Queries of a position are where the operand was that was done with first, with its number. */
    __device__ static int unit_of_position(int kind, int team)
    {
        return number(kind, team);
    }
};

/* A team's next block, for slice_compute::right(). */
template <class PLACES> struct slice_pair_block {
    const slice_pair_places<PLACES> &places;
    int team, round;

    __device__ int unit(int kind) const
    {
        return slice_pair_places<PLACES>::unit(kind, team, round);
    }

    __device__ char *queries() const
    {
        return places.memory.unit(unit(SLICE_QUERIES));
    }

    __device__ char *keys() const
    {
        return places.memory.unit(unit(SLICE_KEYS));
    }

    __device__ char *values() const
    {
        return places.memory.unit(unit(SLICE_VALUES));
    }

    __device__ void wait_for_keys() const
    {
        barrier_wait(places.full(SLICE_QUERIES, team), round % 2);
        barrier_wait(places.full(SLICE_KEYS, team), round % 2);
    }

    __device__ void wait_for_values() const
    {
        barrier_wait(places.full(SLICE_VALUES, team), round % 2);
    }

    __device__ void end_queries() const
    {
        barrier_arrive(places.memory.empty(unit(SLICE_QUERIES)));
    }

    __device__ void end_keys() const
    {
        barrier_arrive(places.memory.empty(unit(SLICE_KEYS)));
    }

    __device__ void end_values() const
    {
        barrier_arrive(places.memory.empty(unit(SLICE_VALUES)));
    }
};

template <class E, class PLACES> struct slice_pairs {
    using single = slice_compute<E, PLACES>;
    using pair_places = slice_pair_places<PLACES>;
    static constexpr int TEAMS = pair_places::TEAMS, ROUNDS = pair_places::ROUNDS;

    const mn_stage_params &p;
    const mn_ring_params &r;
    const PLACES &memory;
    const single &c;
    int group;

    __device__ __forceinline__ void right(const pair_places &places, int team, int round,
                                          int turn) const
    {
        const slice_pair_block<PLACES> at = {places, team, round};
        const int block = memory.own(round * TEAMS + team);
        if (block < p.groups)
            return c.right(block, round + team, at, turn, round == 0);
        at.wait_for_keys();
        at.end_queries();
        at.end_keys();
        at.wait_for_values();
        at.end_values();
    }

    __device__ __forceinline__ void left(const pair_places &places, int team, int round,
                                         const slice_item &item, int turn, bool is_last) const
    {
        const int local = round * TEAMS + team, number = group % PLACES::TEAM;
        const int unit = places.unit_of_position(round, team);
        barrier_wait(memory.sent(local), turn % 2);
        barrier_wait(places.full(round, team), ROUNDS % 2);
        fence_for_wgmma(); /* rows came otherwise than by the copy engine */
        if (number == 0 && threadIdx.x % WARPGROUP == 0 && !is_last)
            c.expect_rows(local);
        if (item.first + memory.own(local) < p.columns)
            c.left(item, local, number, memory.unit(unit));
        barrier_arrive(memory.empty(unit));
    }

    __device__ __forceinline__ void run(int first, int clusters) const
    {
        const pair_places places = {memory};
        const int all = r.heads * r.slices, team = group / PLACES::TEAM;
        int turn = 0;
        for (int number = first; number < all; number += clusters, turn++) {
            const slice_item item(p, r, PLACES::ROWS, number);
            const bool is_last = number + clusters >= all;
#pragma unroll 1
            for (int round = 0; round < ROUNDS; round++)
                right(places, team, round, turn);
#pragma unroll 1
            for (int round = 0; round < ROUNDS; round++)
                left(places, team, round, item, turn, is_last);
            if (!is_last)
                c.arrive_everywhere(memory.released());
        }
    }
};

/* The warp that loads, in the order in which units become free. */
template <class E, class PLACES> struct slice_pair_loader {
    using pair_places = slice_pair_places<PLACES>;
    static constexpr int TEAMS = pair_places::TEAMS, ROUNDS = pair_places::ROUNDS;

    const mn_stage_params &p;
    const mn_ring_params &r;
    const PLACES &memory;
    const slice_loader<E, PLACES> &c;

    /* `round` of what goes there. */
    __device__ void wait_for_unit(int unit, int round, bool is_first) const
    {
        if (round > 0 || !is_first)
            barrier_wait(memory.empty(unit), round % 2 == 0);
    }

    __device__ void load_round(const pair_places &places, const slice_item &item, int round,
                               bool is_first) const
    {
        static constexpr int maps[] = {MN_RING_QUERIES, MN_RING_KEYS, MN_RING_VALUES};
        static constexpr int operands[] = {MN_OPERAND_QUERIES, MN_OPERAND_KEYS, MN_OPERAND_VALUES};
#pragma unroll
        for (int i = 0; i < TEAMS * SLICE_KINDS; i++) {
            const int kind = i < 4 ? i % 2 : (int)SLICE_VALUES, team = i < 4 ? i / 2 : i - 4;
            const int block = memory.own(round * TEAMS + team);
            const int unit = pair_places::unit(kind, team, round);
            uint64_t *full = places.full(kind, team);
            wait_for_unit(unit, round, is_first);
            if (block >= p.groups)
                c.tell(full);
            else
                c.load_rows_of_block(maps[kind], operands[kind], item, block,
                                     kind == SLICE_QUERIES ? PLACES::ROWS : PLACES::BLOCK,
                                     kind == SLICE_QUERIES ? item.first : 0, memory.unit(unit),
                                     full);
            __syncwarp();
        }
    }

    __device__ void load_positions(const pair_places &places, const slice_item &item) const
    {
        for (int local = 0; local < PLACES::SHARE; local++) {
            const int kind = local / TEAMS, team = local % TEAMS;
            const int position = item.first + memory.own(local);
            const int unit = pair_places::unit_of_position(kind, team);
            uint64_t *full = places.full(kind, team);
            wait_for_unit(unit, ROUNDS, false);
            if (position >= p.columns)
                c.tell(full);
            else
                c.load_position(item, position, memory.unit(unit), full);
            __syncwarp();
        }
    }

    __device__ void run(int first, int clusters) const
    {
        const pair_places places = {memory};
        for (int number = first; number < r.heads * r.slices; number += clusters) {
            const slice_item item(p, r, PLACES::ROWS, number);
#pragma unroll 1
            for (int round = 0; round < ROUNDS; round++)
                load_round(places, item, round, number == first);
            load_positions(places, item);
        }
    }
};

#endif
