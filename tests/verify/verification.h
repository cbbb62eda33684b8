/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_VERIFY_VERIFICATION_H
#define TESTS_VERIFY_VERIFICATION_H

#include <monarch/verify.h>

#include "../random_case.h"
#include "../reference.h"

/* What the subject that others are compared with gave. */
typedef struct verify_given {
    monarch_verify_subject subject;
    stage_arrays
        *program;         /* of each stage in the whole program; arrays it does not have are NULL */
    stage_arrays *alone;  /* the same of each stage alone */
    stage_alone **stages; /* reference of each stage on the inputs that `alone` had */
    float *program_out, *alone_out, *result;
} verify_given;

struct monarch_verification {
    test_case c; /* inputs point to it */
    char name[64];
    reference r;
    uint32_t compared; /* stages: all, or the first alone where rounding decides the others */
    verify_given *against;
    int maps;
};

/* One run of a subject. */
typedef struct verify_run {
    monarch_verification *v;
    const monarch_verify_subject *subject;
    monarch_verify_report report;
    void *user;
    monarch_verify_summary *summary;
} verify_run;

/* ---- compare.c: findings ---- */

/* Counts a finding and tells it; `map` may be NULL. */
void verify_tell(verify_run *run, monarch_verify_finding *finding, const float *map);

/* An empty finding of a check; stage -1 for none. */
monarch_verify_finding verify_finding(const verify_run *run, monarch_verify_check check,
                                      int32_t stage);

/* Tells that a call of the subject failed, or that it cannot do what it was asked. */
void verify_tell_status(verify_run *run, monarch_verify_check check, int32_t stage,
                        monarch_status status, const monarch_error *error);

/* Tells a failure in words. */
void verify_tell_failure(verify_run *run, monarch_verify_check check, int32_t stage,
                         const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Compares an array with what is right, or with `other` where that is not NULL, and tells it. */
void verify_compare(verify_run *run, monarch_verify_check check, int32_t stage, const expected *e,
                    const float *actual, const float *other);

/* All arrays of a stage. `out` is that of the last one and NULL in others, as are its values. */
void verify_compare_stage(verify_run *run, monarch_verify_check check, uint32_t index,
                          const stage_expected *stage, const stage_arrays *actual,
                          const stage_arrays *other);

/* ---- given.c: calls of subjects, and what the other side gives ---- */

monarch_stage_tensors verify_tensors(const test_inputs *inputs);

/* Gives all memory its contents of before, so that who changed it harms nobody who comes later. */
void verify_restore(test_inputs *inputs);

/* Arrays for what a stage hands on, filled with NaN; NULL those that it does not have. */
stage_arrays verify_outputs(const stage_expected *stage);
monarch_stage_values verify_values(const stage_arrays *arrays);

/* `stage` of a subject; `out` (may be NULL) gets the output as packed f32. */
monarch_status verify_call_stage(monarch_verification *v, const monarch_verify_subject *subject,
                                 uint32_t index, const stage_alone *alone,
                                 const stage_arrays *outputs, float *out, monarch_error *error);
monarch_status verify_call_stages(monarch_verification *v, const monarch_verify_subject *subject,
                                  const stage_arrays *outputs, float *out, monarch_error *error);

/* Runs the subject that others are compared with. */
monarch_status verify_given_create(monarch_verification *v, const monarch_verify_subject *against,
                                   monarch_error *error);
void verify_given_free(monarch_verification *v);

/* ---- result.c: the checks of whole results ---- */

void verify_result(verify_run *run);

#endif
