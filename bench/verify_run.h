/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_VERIFY_RUN_H
#define BENCH_VERIFY_RUN_H

#include <stdbool.h>

#include <monarch/verify.h>

#include "problem_list.h"

/* What `monarch verify` was asked for. */
struct verify_options {
    const char *devices; /* names, by commas; NULL = all there are */
    const char *against; /* a device's name; NULL = the reference */
    const char *list;    /* "short", "cases" or a file as bench reads it */
    const char *cases;   /* only these of the list, by commas; NULL = all */
    const char *dtypes;  /* by commas; NULL = all */
    const char *variant; /* "all", a name, or NULL = each device's choice */
    const char *report;  /* HTML file or NULL */
    bool json;
    uint64_t seed;
    int64_t random; /* random problems beside the list */
    double soak;    /* seconds for which random problems go on */
    double limit;   /* seconds after which nothing new is begun; 0 = none */
    int64_t jobs;
    int64_t threads; /* of the cpu device; 0 = all */
};

/* A device with one of its variants. */
struct verify_target {
    monarch_verify_device on;
    char device[32], variant[40]; /* variant "" = the device's choice */
    char name[80];
    monarch_verify_subject subject;
};

/* A case in one dtype. */
struct verify_unit {
    char name[64];
    monarch_dtype dtype;
    const monarch_problem *problem; /* of a list file, or NULL */
    struct verify_row *rows;        /* one for each target; NULL before it is run */
    bool done;
};

/* What came out for one unit on one target. */
struct verify_row {
    monarch_verify_summary summary;
    char *failures; /* lines of text on what failed; NULL without any */
    uint32_t failure_count;
    bool present; /* whether it has been run */
};

struct verify_job {
    struct verify_options options;
    monarch_instance *instance;
    struct verify_target *targets;
    size_t target_count;
    monarch_verify_device against_device;
    monarch_verify_subject against; /* name NULL = the reference */
    struct problem_list problems;   /* of a list file */
    monarch_problem *descriptors;
    struct verify_unit *units;
    size_t unit_count; /* those to be run; a soak cuts it when its time is up */
    size_t unit_made, unit_capacity;
    size_t printed; /* units whose rows have been told */
    /* Called for each unit in order. */
    void (*told)(struct verify_job *job, const struct verify_unit *unit);
    size_t passed, failed, left_out; /* rows told so far */
    size_t not_run;                  /* rows that the time did not suffice for */
    uint64_t checks;                 /* comparisons made in them */
    double seconds;
};

/* They print what went wrong and return the exit status. */
int verify_job_open(struct verify_job *job);
int verify_job_run(struct verify_job *job); /* in this process; verify_pool.h has others */
void verify_job_close(struct verify_job *job);

/*
 * One unit on targets [first, end). Returns the exit status, and the reason in `error`, if the unit
 * could not even be made; what a target does wrong is in its row.
 */
int verify_job_run_unit(struct verify_job *job, struct verify_unit *unit, size_t first, size_t end,
                        monarch_error *error);

/* Whether a run that began at `start` has no time for a unit any more. */
bool verify_job_is_late(const struct verify_job *job, const struct verify_unit *unit, double start);
/* Room for a unit's results, made when they come; false without memory. */
bool verify_unit_make_rows(const struct verify_job *job, struct verify_unit *unit);
bool verify_unit_is_random(const struct verify_unit *unit);

/* Tells units whose turn it is: done, or with every row present. */
void verify_job_tell_done(struct verify_job *job);

/* One unit on one target once more, with every finding told; for the report. */
int verify_job_repeat(struct verify_job *job, const struct verify_unit *unit, size_t target,
                      monarch_verify_report told, void *user);

/* The names in the list "short"; NULL past its end. */
const char *verify_short_case(size_t index);

#endif
