/* SPDX-License-Identifier: Apache-2.0 */
#include "verify_pool.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "report.h"

enum { MOST_DEVICES = 64 };

/* Work is handed out by device: a process stays with one as long as it has work, so that what the
 * driver compiled for it is of use again. */
struct verify_shared {
    atomic_size_t next[MOST_DEVICES]; /* unit that the device does next */
    struct {
        atomic_size_t unit, device; /* at work on; SIZE_MAX = on none */
    } at[VERIFY_MOST_WORKERS];
};

/* What a process sends for each row; the text of failures follows. */
struct message {
    size_t unit, target, text_length;
    uint32_t failure_count;
    monarch_verify_summary summary;
};

/* Targets of one device follow each other; the number of devices, and the targets of one. */
static size_t count_devices(const struct verify_job *job)
{
    size_t count = 0;
    for (size_t t = 0; t < job->target_count; t++) {
        count += t == 0 || job->targets[t].on.device != job->targets[t - 1].on.device;
    }
    return count < MOST_DEVICES ? count : MOST_DEVICES;
}

static void find_targets(const struct verify_job *job, size_t device, size_t *first, size_t *end)
{
    size_t at = 0;
    *first = 0;
    for (*end = 0; *end < job->target_count; ++*end) {
        bool starts = *end > 0 && job->targets[*end].on.device != job->targets[*end - 1].on.device;
        if (starts && at++ == device) {
            return;
        }
        *first = starts ? *end : *first;
    }
}

static bool send_all(int descriptor, const void *data, size_t size)
{
    const char *from = data;
    while (size > 0) {
        ssize_t sent = write(descriptor, from, size);
        if (sent < 0 && errno == EINTR) {
            continue;
        }
        if (sent <= 0) {
            return false;
        }
        from += sent;
        size -= (size_t)sent;
    }
    return true;
}

static bool receive_all(int descriptor, void *data, size_t size)
{
    char *to = data;
    while (size > 0) {
        ssize_t got = read(descriptor, to, size);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return false;
        }
        to += got;
        size -= (size_t)got;
    }
    return true;
}

static bool send_row(int results, size_t unit, size_t target, const struct verify_row *row)
{
    struct message m = {unit, target, row->failures ? strlen(row->failures) : 0, row->failure_count,
                        row->summary};
    return send_all(results, &m, sizeof m) &&
           (m.text_length == 0 || send_all(results, row->failures, m.text_length));
}

/* The next piece of work: of the device at hand, else of the others in turn. */
static bool take(struct verify_shared *shared, const struct verify_job *job, size_t devices,
                 size_t *device, size_t *unit)
{
    for (size_t i = 0; i < devices; i++) {
        size_t d = (*device + i) % devices;
        if (atomic_load(&shared->next[d]) >= job->unit_count) {
            continue;
        }
        *unit = atomic_fetch_add(&shared->next[d], 1);
        if (*unit < job->unit_count) {
            *device = d;
            return true;
        }
    }
    return false;
}

static int work(struct verify_shared *shared, int number, int results, struct verify_job *job)
{
    size_t devices = count_devices(job);
    size_t device = devices > 0 ? (size_t)number % devices : 0;
    size_t unit;
    double start = clock_seconds();
    while (take(shared, job, devices, &device, &unit)) {
        struct verify_unit *u = &job->units[unit];
        monarch_error error = {MONARCH_OK, ""};
        size_t first, end;
        if (verify_job_is_late(job, u, start)) {
            continue;
        }
        find_targets(job, device, &first, &end);
        atomic_store(&shared->at[number].device, device);
        atomic_store(&shared->at[number].unit, unit);
        if (verify_job_run_unit(job, u, first, end, &error)) {
            fprintf(stderr, "monarch verify: case %s: %s\n", u->name, error.message);
            return TOOL_USAGE;
        }
        for (size_t t = first; t < end; t++) {
            if (!send_row(results, unit, t, &u->rows[t])) {
                return TOOL_DEVICE;
            }
        }
        atomic_store(&shared->at[number].unit, SIZE_MAX);
    }
    return TOOL_OK;
}

/* The life of one process. What is wrong with the options the parent tells. */
static int live(struct verify_shared *shared, int number, int results,
                const struct verify_job *model)
{
    struct verify_job job = *model;
    int kept = dup(STDERR_FILENO);
    int nowhere = open("/dev/null", O_WRONLY);
    (void)!dup2(nowhere, STDERR_FILENO);
    int status = verify_job_open(&job);
    fflush(stderr);
    (void)!dup2(kept, STDERR_FILENO);
    close(nowhere);
    if (!status) {
        status = work(shared, number, results, &job);
    }
    /* Not closed: the system takes everything back at once. */
    return status;
}

void verify_pool_start(struct verify_pool *pool, const struct verify_job *job)
{
    int wanted =
        job->options.jobs < VERIFY_MOST_WORKERS ? (int)job->options.jobs : VERIFY_MOST_WORKERS;
    memset(pool, 0, sizeof *pool);
    pool->shared =
        mmap(NULL, sizeof *pool->shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (pool->shared == MAP_FAILED) {
        pool->shared = NULL;
        return;
    }
    fflush(NULL);
    for (int i = 0; i < wanted; i++) {
        int ends[2];
        atomic_store(&pool->shared->at[i].unit, SIZE_MAX);
        if (pipe(ends) != 0) {
            return;
        }
        pid_t process = fork();
        if (process == 0) {
            close(ends[0]);
            _exit(live(pool->shared, i, ends[1], job));
        }
        close(ends[1]);
        if (process < 0) {
            close(ends[0]);
            return;
        }
        pool->workers[i].process = process;
        pool->workers[i].results = ends[0];
        pool->count = i + 1;
    }
}

/* A row that nobody will send any more: its process is gone. */
static void lose(struct verify_job *job, size_t unit, size_t target, int status)
{
    if (!verify_unit_make_rows(job, &job->units[unit]) || job->units[unit].rows[target].present) {
        return;
    }
    struct verify_row *row = &job->units[unit].rows[target];
    monarch_verify_summary *s = &row->summary;
    memset(s, 0, sizeof *s);
    s->struct_size = (uint32_t)sizeof *s;
    s->verdict = s->worst.verdict = MONARCH_VERIFY_FAIL;
    s->stage = s->worst.stage = -1;
    s->worst.check = MONARCH_VERIFY_RESULT;
    s->failed = 1;
    snprintf(s->worst.text, sizeof s->worst.text, "the process that ran it ended by %s %d",
             WIFSIGNALED(status) ? "signal" : "exit status",
             WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    row->present = true;
}

/* Takes one row; false when the process has no more. */
static bool receive_row(struct verify_job *job, int results)
{
    struct message m;
    if (!receive_all(results, &m, sizeof m) || m.unit >= job->unit_count ||
        m.target >= job->target_count || !verify_unit_make_rows(job, &job->units[m.unit])) {
        return false;
    }
    struct verify_row *row = &job->units[m.unit].rows[m.target];
    row->summary = m.summary;
    row->failure_count = m.failure_count;
    row->present = true;
    if (m.text_length > 0) {
        row->failures = malloc(m.text_length + 1);
        if (!row->failures || !receive_all(results, row->failures, m.text_length)) {
            return false;
        }
        row->failures[m.text_length] = '\0';
    }
    return true;
}

/* Waits for a process that has closed its pipe; what it was at when it died is lost. */
static int bury(struct verify_pool *pool, int worker, struct verify_job *job)
{
    int status = 0;
    size_t first, end;
    close(pool->workers[worker].results);
    waitpid(pool->workers[worker].process, &status, 0);
    pool->workers[worker].process = 0;
    size_t unit = atomic_load(&pool->shared->at[worker].unit);
    if (WIFEXITED(status) && WEXITSTATUS(status) == TOOL_OK) {
        return TOOL_OK;
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == TOOL_USAGE) {
        return TOOL_USAGE; /* it has told why */
    }
    if (unit < job->unit_count) {
        find_targets(job, atomic_load(&pool->shared->at[worker].device), &first, &end);
        for (size_t t = first; t < end; t++) {
            lose(job, unit, t, status);
        }
    }
    return TOOL_OK;
}

/* What no process has run, and none is left to run. With the time up that is as it should be. */
static void close_units(struct verify_job *job)
{
    bool limited = job->options.limit > 0.0;
    for (size_t i = 0; i < job->unit_count; i++) {
        bool soak = job->options.soak > 0.0 && verify_unit_is_random(&job->units[i]);
        for (size_t t = 0; t < job->target_count && !limited && !soak; t++) {
            lose(job, i, t, 0);
        }
        job->units[i].done = true;
    }
}

int verify_pool_run(struct verify_pool *pool, struct verify_job *job)
{
    double start = clock_seconds();
    int status = TOOL_OK;
    int running = pool->count;
    while (running > 0 && !status) {
        struct pollfd files[VERIFY_MOST_WORKERS];
        for (int i = 0; i < pool->count; i++) {
            files[i] = (struct pollfd){
                .fd = pool->workers[i].process ? pool->workers[i].results : -1, .events = POLLIN};
        }
        if (poll(files, (nfds_t)pool->count, -1) < 0 && errno != EINTR) {
            return fail(TOOL_DEVICE, "cannot wait for results: %s", strerror(errno));
        }
        for (int i = 0; i < pool->count && !status; i++) {
            if (files[i].fd >= 0 && files[i].revents && !receive_row(job, files[i].fd)) {
                status = bury(pool, i, job);
                running--;
            }
        }
        verify_job_tell_done(job);
    }
    if (!status) {
        close_units(job);
        verify_job_tell_done(job);
    }
    progress_clear();
    job->seconds = clock_seconds() - start;
    return status;
}

void verify_pool_end(struct verify_pool *pool)
{
    for (int i = 0; i < pool->count; i++) {
        if (pool->workers[i].process) {
            kill(pool->workers[i].process, SIGTERM);
            waitpid(pool->workers[i].process, NULL, 0);
            close(pool->workers[i].results);
        }
    }
    if (pool->shared) {
        munmap(pool->shared, sizeof *pool->shared);
    }
    memset(pool, 0, sizeof *pool);
}
