/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SOFT_CUDA_STATE_H
#define TESTS_SOFT_CUDA_STATE_H

#include <functional>
#include <memory>
#include <random>
#include <unordered_map>
#include <vector>

#include "machine.h"

/* What the machine's own files share: who runs, and who waits for what. */

namespace soft
{

enum { LANES = 32, WARPGROUP = 128, BARRIERS = 16, STACK_BYTES = 1 << 17 };

/* Offsets of a work-group's memory; behind its end nothing may be touched. */
enum { MEMORY_ROOM = 1 << OFFSET_BITS };

struct warp;
struct work_group;

struct thread {
    size3 index;
    warp *in;
    work_group *group;
    char *stack;
    void *pointer; /* of the stack while it does not run */
    bool ready, ended;
    uint64_t cluster_phase; /* that it arrived in */
    std::vector<std::vector<std::function<void()>>> committed;
    std::vector<std::function<void()>> copies;
};

/* Threads that do something together. */
struct meeting {
    const char *what = nullptr;
    unsigned arrived = 0;
    void *arguments[WARPGROUP];
    thread *members[WARPGROUP];
};

struct warp {
    unsigned ready = 0; /* threads that can go on */
    std::vector<thread *> threads;
    meeting met;
};

struct named_barrier {
    std::vector<thread *> waiting;
    bool any = false;
    bool result = false; /* of the latest that ended */
};

struct cluster {
    std::vector<work_group *> groups;
    unsigned arrived = 0;
    uint64_t phase = 0;
    std::vector<thread *> waiting;
};

struct work_group {
    size3 index;
    cluster *in;
    unsigned rank; /* in the cluster */
    char *memory;
    unsigned live = 0; /* threads that have not ended */
    std::vector<warp> warps;
    std::vector<meeting> warpgroups;
    named_barrier barriers[BARRIERS];
};

struct machine {
    launch l;
    size3 size, grid;
    std::mt19937_64 random;
    std::vector<char *> stacks;
    std::vector<std::unique_ptr<work_group>> groups; /* that run now */
    std::vector<std::unique_ptr<cluster>> clusters;
    std::vector<std::unique_ptr<thread>> threads;
    std::vector<warp *> warps;
    std::vector<std::function<void()>> engine; /* started, not done */
    unsigned arrived = 0;                      /* work-groups, at the barrier of all */
    std::unordered_map<const void *, std::vector<thread *>> watchers;
    thread *self = nullptr;
    void *scheduler = nullptr; /* its stack pointer while a thread runs */
    unsigned live = 0;
};

extern machine m;

/* The running thread stops; it goes on when somebody has made it ready and its turn comes. */
void stop();
void make_ready(thread *t);
void make_all_ready(std::vector<thread *> &waiting);
void release(named_barrier &b);

/* Some of what engines were asked for happens. */
void do_engine_work();

} // namespace soft

#endif
