/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CPU_TEAM_H
#define MN_CPU_TEAM_H

#include <monarch/device.h>

/*
 * A team of threads that runs numbered tasks. The thread that calls run takes part, so a team of
 * one has no thread of its own. Which thread runs which task is not fixed; a task must not
 * care.
 */
typedef struct mn_team mn_team;

/* Runs on the thread with number `thread`, 0 <= thread < size of the team. */
typedef void (*mn_team_task)(void *context, int64_t task, uint32_t thread);

/* Starts `threads` - 1 threads. Errors: OUT_OF_MEMORY, NATIVE. */
monarch_status mn_team_create(uint32_t threads, const monarch_allocator *allocator, mn_team **team,
                              monarch_error *error);

/* Ends the threads and frees the team. In a forked child there are none to end: `forked`. */
void mn_team_destroy(mn_team *team, const monarch_allocator *allocator, int forked);

/* Runs tasks 0 to count - 1 and returns when all are done. One caller at a time. */
void mn_team_run(mn_team *team, mn_team_task task, void *context, int64_t count);

#endif
