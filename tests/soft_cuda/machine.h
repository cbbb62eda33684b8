/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SOFT_CUDA_MACHINE_H
#define TESTS_SOFT_CUDA_MACHINE_H

#include <stdint.h>

#include <functional>

/*
 * A machine that runs CUDA kernels on one thread of a processor, to tell whether they are right:
 * not races of memory accesses that no order of threads here can show, and not how long they take.
 * Every thread of a work-group has a stack of its own and runs until it must wait for others. Which
 * warp goes on then is drawn, and so is when a copy that was started takes place: a kernel that
 * does not wait where it must soon reads what is not there yet. Shared memory begins as NaN.
 *
 * Anything that is undefined ends the program, with the reason: threads of a warp in different
 * instructions, places outside the work-group's memory, waiting that nobody ends.
 */

namespace soft
{

struct size3 {
    unsigned x, y, z;
};

/* What a kernel's thread asks about itself. */
const size3 &thread_index();
const size3 &group_index();
const size3 &group_size();
const size3 &grid_size();

/* A launch; `kernel` is called once in each thread. */
struct launch {
    unsigned grid[2], threads, shared_memory;
    unsigned cluster; /* work-groups of a cluster, 1 without */
    bool together;    /* all work-groups at once */
    std::function<void()> kernel;
};

/* Runs it, by draws that depend on the seed. */
void run(const launch &l, uint64_t seed);

/* Ends the program. */
[[noreturn]] void fail(const char *what);

/* A number below `count`, drawn. */
unsigned draw(unsigned count);

/* The work-group's memory, and places in it as instructions name them: the number of the work-group
   in its cluster, plus 1, in the upper bits, the offset below. */
enum { OFFSET_BITS = 18 };
char *memory();
uint32_t address_of(const void *place);
char *place_of(uint32_t address, unsigned bytes);
/* The same of an offset in the own work-group's memory. */
char *own_place(uint32_t offset, unsigned bytes);

/*
 * All threads of a warp, or of four adjacent ones, come here with an argument each and the same
 * `what`; the last one calls `act` with the arguments of all, in the order of the threads.
 */
using action = void (*)(void *const *arguments);
void with_warp(const char *what, void *argument, action act);
void with_warpgroup(const char *what, void *argument, action act);
int lane();

/* Waits for so many threads of the work-group at one of 16 barriers; 0 threads: all there are.
   Tells whether `predicate` held in any of them. */
bool barrier(int number, unsigned threads, bool predicate);

/* Barriers of the cluster in two halves, and of all work-groups that run at once, for one thread of
   each. */
void cluster_arrive();
void cluster_wait();
unsigned cluster_rank();
unsigned cluster_size();
void grid_arrive();
void grid_wait();

/* Waits until somebody says that what lies at `place` has changed. */
void wait_for_change(const void *place);
void has_changed(const void *place);

/* Copies of this thread: one is made at once or when somebody waits for it. */
void start_copy(std::function<void()> copy);
void commit_copies();
void wait_for_copies(unsigned groups);
/* What happens when all copies started so far are done. */
void after_copies(std::function<void()> then);

/* What another engine does, at some time. */
void start_engine(std::function<void()> work);

/* The objects that mbarrier instructions work on: 8 bytes of shared memory. */
void mbarrier_start(char *place, int arrivals);
void mbarrier_arrive(char *place);
void mbarrier_expect(char *place, int bytes);
void mbarrier_complete(char *place, int bytes);
void mbarrier_wait(char *place, int parity);

} // namespace soft

#endif
