/* SPDX-License-Identifier: Apache-2.0 */
#include "verify_run.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "clock.h"
#include "report.h"
#include "verify_print.h"

/* What the threads share. */
struct pool {
    struct verify_job *job;
    pthread_mutex_t lock;
    size_t next;
    int status; /* of the first unit that could not be made */
    char complaint[640];
};

/* Where failed findings of one run are collected as text. */
struct collector {
    struct verify_row *row;
    size_t used, capacity;
};

enum { FAILURES_KEPT = 8 };

static void collect(void *user, const monarch_verify_finding *finding)
{
    struct collector *c = user;
    char line[1024];
    if (finding->verdict != MONARCH_VERIFY_FAIL || c->row->failure_count++ >= FAILURES_KEPT) {
        return;
    }
    verify_finding_text(finding, line, sizeof line);
    size_t length = strlen(line);
    char *larger = realloc(c->row->failures, c->used + length + 2);
    if (!larger) {
        return; /* the verdict stays, and the repeat command tells the rest */
    }
    memcpy(larger + c->used, line, length);
    c->used += length;
    larger[c->used++] = '\n';
    larger[c->used] = '\0';
    c->row->failures = larger;
}

static monarch_verify_params params_of(struct verify_job *job, const struct verify_unit *unit)
{
    monarch_verify_params params = monarch_verify_params_default();
    params.dtype = unit->dtype;
    params.seed = job->options.seed;
    params.case_name = unit->name;
    params.problem = unit->problem;
    params.against = job->against.name ? &job->against : NULL;
    return params;
}

/* A failure of the other side is one of each target: there was nothing to compare with. */
static void fail_all(struct verify_job *job, struct verify_unit *unit, const monarch_error *error)
{
    for (size_t t = 0; t < job->target_count; t++) {
        monarch_verify_summary *s = &unit->rows[t].summary;
        bool skip = error->status == MONARCH_ERROR_UNSUPPORTED;
        s->struct_size = (uint32_t)sizeof *s;
        s->verdict = skip ? MONARCH_VERIFY_SKIP : MONARCH_VERIFY_FAIL;
        s->stage = -1;
        s->failed = !skip;
        s->skipped = skip;
        s->worst.verdict = s->verdict;
        s->worst.stage = -1;
        s->worst.token = -1;
        s->worst.check = MONARCH_VERIFY_RESULT;
        snprintf(s->worst.text, sizeof s->worst.text, "%s: %.300s",
                 job->against.name ? job->against.name : "reference", error->message);
    }
}

static int run_unit(struct verify_job *job, struct verify_unit *unit, monarch_error *error)
{
    monarch_verify_params params = params_of(job, unit);
    monarch_verification *verification = NULL;
    unit->rows = calloc(job->target_count, sizeof *unit->rows);
    if (!unit->rows) {
        snprintf(error->message, sizeof error->message, "no memory for results");
        return TOOL_DEVICE;
    }
    monarch_status status = monarch_verification_create(&params, &verification, error);
    if (status && (status == MONARCH_ERROR_INVALID_ARGUMENT || !job->against.name)) {
        return TOOL_USAGE;
    }
    if (status) {
        fail_all(job, unit, error);
        return TOOL_OK;
    }
    for (size_t t = 0; t < job->target_count; t++) {
        struct verify_row *row = &unit->rows[t];
        struct collector c = {row, 0, 0};
        row->summary.struct_size = (uint32_t)sizeof row->summary;
        monarch_verification_run(verification, &job->targets[t].subject, collect, &c, &row->summary,
                                 error);
    }
    monarch_verification_destroy(&verification);
    return TOOL_OK;
}

static void count_row(struct verify_job *job, const struct verify_row *row)
{
    const monarch_verify_summary *s = &row->summary;
    job->checks += s->passed + s->failed;
    job->passed += s->verdict == MONARCH_VERIFY_PASS;
    job->failed += s->verdict == MONARCH_VERIFY_FAIL;
    job->left_out += s->verdict == MONARCH_VERIFY_SKIP;
}

/* Tells all units that are done and whose turn it is. */
static void tell_done(struct verify_job *job)
{
    while (job->printed < job->unit_count && job->units[job->printed].done) {
        struct verify_unit *unit = &job->units[job->printed++];
        for (size_t t = 0; t < job->target_count; t++) {
            count_row(job, &unit->rows[t]);
        }
        job->told(job, unit);
    }
    if (job->printed < job->unit_count) {
        progress("%zu of %zu: %s %s, %zu failed", job->printed, job->unit_count,
                 job->units[job->printed].name, monarch_dtype_name(job->units[job->printed].dtype),
                 job->failed);
    }
}

static void *work(void *argument)
{
    struct pool *pool = argument;
    struct verify_job *job = pool->job;
    double start = clock_seconds();
    pthread_mutex_lock(&pool->lock);
    while (pool->next < job->unit_count && !pool->status) {
        struct verify_unit *unit = &job->units[pool->next++];
        monarch_error error = {MONARCH_OK, ""};
        pthread_mutex_unlock(&pool->lock);
        /* A soak ends when its time is up, whatever has been drawn for it. */
        bool late = job->options.soak > 0.0 && clock_seconds() - start > job->options.soak &&
                    strncmp(unit->name, "random_", 7) == 0;
        int status = late ? TOOL_OK : run_unit(job, unit, &error);
        pthread_mutex_lock(&pool->lock);
        if (late) {
            job->unit_count = pool->next - 1 < job->unit_count ? pool->next - 1 : job->unit_count;
            break;
        }
        if (status && !pool->status) {
            pool->status = status;
            snprintf(pool->complaint, sizeof pool->complaint, "case %s: %s", unit->name,
                     error.message);
        }
        unit->done = true;
        tell_done(job);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

int verify_job_run(struct verify_job *job)
{
    enum { MOST_JOBS = 256 };
    pthread_t threads[MOST_JOBS];
    struct pool pool = {.job = job, .lock = PTHREAD_MUTEX_INITIALIZER};
    size_t wanted = job->options.jobs < MOST_JOBS ? (size_t)job->options.jobs : MOST_JOBS;
    size_t started = 1;
    double start = clock_seconds();
    /* This thread is one of them, so that the work is done even where no other starts. */
    while (started < wanted && pthread_create(&threads[started], NULL, work, &pool) == 0) {
        started++;
    }
    work(&pool);
    for (size_t i = 1; i < started; i++) {
        pthread_join(threads[i], NULL);
    }
    progress_clear();
    job->seconds = clock_seconds() - start;
    return pool.status ? fail(pool.status, "%s", pool.complaint) : TOOL_OK;
}

int verify_job_repeat(struct verify_job *job, const struct verify_unit *unit, size_t target,
                      monarch_verify_report told, void *user)
{
    monarch_verify_params params = params_of(job, unit);
    monarch_verification *verification = NULL;
    monarch_verify_summary summary = {.struct_size = (uint32_t)sizeof summary};
    monarch_error error = {MONARCH_OK, ""};
    params.maps = 1;
    monarch_status status = monarch_verification_create(&params, &verification, &error);
    if (!status) {
        status = monarch_verification_run(verification, &job->targets[target].subject, told, user,
                                          &summary, &error);
    }
    monarch_verification_destroy(&verification);
    return status ? fail_library(status, &error) : TOOL_OK;
}
