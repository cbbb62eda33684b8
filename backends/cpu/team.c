/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/cpu/team.h"

#include <fenv.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"

/* How often an idle thread looks for work before it sleeps: about the time between two stages. */
enum { SPINS = 4000 };

/* Turns that each thread takes at a job, if there are as many tasks. */
enum { TURNS = 12 };

typedef struct worker {
    mn_team *team;
    pthread_t thread;
    uint32_t number;
} worker;

struct mn_team {
    pthread_mutex_t mutex;
    pthread_cond_t started;
    worker *workers;
    uint32_t worker_count; /* besides the calling thread */
    bool stop;             /* under the mutex, as is `open` */
    bool open;             /* a worker may still join the job */
    /* The job. Written by the caller before `generation` is raised, read by workers after. */
    mn_team_task task;
    void *context;
    int64_t count, grain;
    atomic_uint generation;
    atomic_int_fast64_t next;
    atomic_uint busy; /* workers that joined the job and have not finished */
};

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

static void run_tasks(mn_team *team, uint32_t thread)
{
    for (;;) {
        int64_t first = atomic_fetch_add_explicit(&team->next, team->grain, memory_order_relaxed);
        int64_t end = first + team->grain < team->count ? first + team->grain : team->count;
        if (first >= team->count)
            return;
        for (int64_t task = first; task < end; task++)
            team->task(team->context, task, thread);
    }
}

/* Waits until there is a job newer than `seen`: spins a little, then sleeps. */
static void wait_for_job(mn_team *team, unsigned seen)
{
    for (int i = 0; i < SPINS; i++) {
        if (atomic_load_explicit(&team->generation, memory_order_acquire) != seen)
            return;
        relax();
    }
    pthread_mutex_lock(&team->mutex);
    while (atomic_load_explicit(&team->generation, memory_order_acquire) == seen)
        pthread_cond_wait(&team->started, &team->mutex);
    pthread_mutex_unlock(&team->mutex);
}

static void *work(void *argument)
{
    worker *self = argument;
    mn_team *team = self->team;
    unsigned seen = 0;
    fesetenv(FE_DFL_ENV); /* whatever the creating thread had set */
    for (;;) {
        wait_for_job(team, seen);
        pthread_mutex_lock(&team->mutex);
        bool stop = team->stop, joins = team->open;
        seen = atomic_load_explicit(&team->generation, memory_order_relaxed);
        if (joins)
            atomic_fetch_add_explicit(&team->busy, 1, memory_order_relaxed);
        pthread_mutex_unlock(&team->mutex);
        if (stop)
            return NULL;
        if (joins) {
            run_tasks(team, self->number);
            atomic_fetch_sub_explicit(&team->busy, 1, memory_order_release);
        }
    }
}

/* Publishes the job that the team's fields describe, or the end. */
static void publish(mn_team *team, bool stop)
{
    pthread_mutex_lock(&team->mutex);
    team->stop = stop;
    team->open = !stop;
    atomic_fetch_add_explicit(&team->generation, 1, memory_order_release);
    pthread_cond_broadcast(&team->started);
    pthread_mutex_unlock(&team->mutex);
}

/* A signal for the program must not land on a thread that it does not know of. */
static int create_thread(worker *w)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int code = pthread_create(&w->thread, NULL, work, w);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return code;
}

monarch_status mn_team_create(uint32_t threads, const monarch_allocator *allocator, mn_team **out,
                              monarch_error *error)
{
    mn_team *team = mn_alloc(allocator, sizeof *team);
    if (!team)
        return mn_fail_memory(error, "the threads of a queue");
    team->workers = mn_alloc_array(allocator, threads - 1, sizeof *team->workers);
    if (!team->workers) {
        mn_free(allocator, team);
        return mn_fail_memory(error, "the threads of a queue");
    }
    pthread_mutex_init(&team->mutex, NULL);
    pthread_cond_init(&team->started, NULL);
    for (uint32_t i = 0; i < threads - 1; i++) {
        worker *w = &team->workers[i];
        *w = (worker){.team = team, .number = i + 1};
        int code = create_thread(w);
        if (code != 0) {
            mn_team_destroy(team, allocator, 0);
            return mn_fail(error, MONARCH_ERROR_NATIVE,
                           "pthread_create failed for thread %u of %u: %s", i + 1, threads,
                           strerror(code));
        }
        team->worker_count = i + 1;
    }
    *out = team;
    return MONARCH_OK;
}

void mn_team_destroy(mn_team *team, const monarch_allocator *allocator, int forked)
{
    if (!forked) {
        publish(team, true);
        for (uint32_t i = 0; i < team->worker_count; i++)
            pthread_join(team->workers[i].thread, NULL);
        pthread_cond_destroy(&team->started);
        pthread_mutex_destroy(&team->mutex);
    }
    mn_free(allocator, team->workers);
    mn_free(allocator, team);
}

void mn_team_run(mn_team *team, mn_team_task task, void *context, int64_t count)
{
    team->task = task;
    team->context = context;
    team->count = count;
    /* Neighbouring tasks on one thread share cache lines and pages; several turns a thread keep
       the load even. */
    team->grain = count / (TURNS * ((int64_t)team->worker_count + 1)) + 1;
    atomic_store_explicit(&team->next, 0, memory_order_relaxed);
    if (team->worker_count == 0 || count <= 1) {
        run_tasks(team, 0);
        return;
    }
    publish(team, false);
    run_tasks(team, 0);
    /* Every task is taken. A worker that has not woken up yet is not waited for. */
    pthread_mutex_lock(&team->mutex);
    team->open = false;
    pthread_mutex_unlock(&team->mutex);
    for (int i = 0; atomic_load_explicit(&team->busy, memory_order_acquire) > 0; i++) {
        relax();
        if (i > SPINS) /* more threads than processors: let the others work */
            sched_yield();
    }
}
