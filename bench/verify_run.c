/* SPDX-License-Identifier: Apache-2.0 */
#include "verify_run.h"

#include <stdio.h>
#include <stdlib.h>

#include "clock.h"
#include "report.h"
#include "verify_print.h"

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
static void fail_all(struct verify_job *job, struct verify_unit *unit, size_t first, size_t end,
                     const monarch_error *error)
{
    for (size_t t = first; t < end; t++) {
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
        unit->rows[t].present = true;
    }
}

bool verify_unit_make_rows(const struct verify_job *job, struct verify_unit *unit)
{
    if (!unit->rows) {
        unit->rows = calloc(job->target_count, sizeof *unit->rows);
    }
    return unit->rows != NULL;
}

int verify_job_run_unit(struct verify_job *job, struct verify_unit *unit, size_t first, size_t end,
                        monarch_error *error)
{
    monarch_verify_params params = params_of(job, unit);
    monarch_verification *verification = NULL;
    if (!verify_unit_make_rows(job, unit)) {
        snprintf(error->message, sizeof error->message, "no memory for results");
        return TOOL_DEVICE;
    }
    monarch_status status = monarch_verification_create(&params, &verification, error);
    if (status && (status == MONARCH_ERROR_INVALID_ARGUMENT || !job->against.name)) {
        return TOOL_USAGE;
    }
    if (status) {
        fail_all(job, unit, first, end, error);
        return TOOL_OK;
    }
    for (size_t t = first; t < end; t++) {
        struct verify_row *row = &unit->rows[t];
        struct collector c = {row, 0, 0};
        row->summary.struct_size = (uint32_t)sizeof row->summary;
        row->present = true;
        monarch_verification_run(verification, &job->targets[t].subject, collect, &c, &row->summary,
                                 error);
    }
    monarch_verification_destroy(&verification);
    return TOOL_OK;
}

bool verify_unit_is_random(const struct verify_unit *unit)
{
    return strncmp(unit->name, "random_", 7) == 0;
}

bool verify_job_is_late(const struct verify_job *job, const struct verify_unit *unit, double start)
{
    double now = clock_seconds() - start;
    const struct verify_options *o = &job->options;
    return (o->limit > 0.0 && now > o->limit) ||
           (o->soak > 0.0 && now > o->soak && verify_unit_is_random(unit));
}

/* Whether a row that is not there should be: a soak has no end that it could fall short of. */
static bool is_missed(const struct verify_job *job, const struct verify_unit *unit)
{
    return job->options.soak <= 0.0 || !verify_unit_is_random(unit);
}

static void count_row(struct verify_job *job, const struct verify_row *row)
{
    const monarch_verify_summary *s = &row->summary;
    job->checks += s->passed + s->failed;
    job->passed += s->verdict == MONARCH_VERIFY_PASS;
    job->failed += s->verdict == MONARCH_VERIFY_FAIL;
    job->left_out += s->verdict == MONARCH_VERIFY_SKIP;
}

static bool is_complete(const struct verify_job *job, const struct verify_unit *unit)
{
    for (size_t t = 0; t < job->target_count && !unit->done; t++) {
        if (!unit->rows || !unit->rows[t].present) {
            return false;
        }
    }
    return true;
}

void verify_job_tell_done(struct verify_job *job)
{
    while (job->printed < job->unit_count && is_complete(job, &job->units[job->printed])) {
        struct verify_unit *unit = &job->units[job->printed++];
        for (size_t t = 0; t < job->target_count; t++) {
            if (unit->rows && unit->rows[t].present) {
                count_row(job, &unit->rows[t]);
            } else {
                job->not_run += is_missed(job, unit);
            }
        }
        job->told(job, unit);
    }
    if (job->printed < job->unit_count) {
        progress("%zu of %zu: %s %s, %zu failed", job->printed, job->unit_count,
                 job->units[job->printed].name, monarch_dtype_name(job->units[job->printed].dtype),
                 job->failed);
    }
}

int verify_job_run(struct verify_job *job)
{
    double start = clock_seconds();
    int status = TOOL_OK;
    for (size_t i = 0; i < job->unit_count && !status; i++) {
        struct verify_unit *unit = &job->units[i];
        monarch_error error = {MONARCH_OK, ""};
        if (!verify_job_is_late(job, unit, start)) {
            status = verify_job_run_unit(job, unit, 0, job->target_count, &error);
        }
        if (status) {
            fail(status, "case %s: %s", unit->name, error.message);
        }
        unit->done = true;
        verify_job_tell_done(job);
    }
    progress_clear();
    job->seconds = clock_seconds() - start;
    return status;
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
