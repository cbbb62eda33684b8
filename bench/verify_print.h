/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_VERIFY_PRINT_H
#define BENCH_VERIFY_PRINT_H

#include "verify_run.h"

/* "stage 2 (right_value) in the program: aL ..., batch 0, head 2, ...": one finding in words. */
void verify_finding_text(const monarch_verify_finding *finding, char *text, size_t capacity);

/* "stage 2 right_value", "result" and the like: what a finding is about, briefly. */
void verify_where_text(const monarch_verify_finding *finding, char *text, size_t capacity);

/* The command line that repeats one unit on one target. */
void verify_repeat_text(const struct verify_job *job, const struct verify_unit *unit, size_t target,
                        char *text, size_t capacity);

/* The error that is nearest to its limit, of the two measures of a finding. */
void verify_error_of(const monarch_verify_finding *finding, double *error, double *limit);

/* "pass", "FAIL" or "left out". */
const char *verify_verdict_text(monarch_verify_verdict verdict);

/* The table: its head, the rows of a unit with what failed, and the counts. */
void verify_print_head(const struct verify_job *job);
void verify_print_unit(struct verify_job *job, const struct verify_unit *unit);
void verify_print_end(const struct verify_job *job);

/* Everything as one JSON object on standard output. */
void verify_print_json(const struct verify_job *job);

#endif
