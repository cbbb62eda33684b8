/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_HARNESS_H
#define TESTS_HARNESS_H

#include <stddef.h>
#include <stdint.h>

#include <monarch/monarch.h>

#include "cases.h"
#include "reference.h"

/*
 * Runs test functions over (device, variant) x case x dtype as cmocka tests whose names say
 * which: plan[cpu/avx512/odd_n/f32]. Each prints how to run it alone when it fails. Options of
 * every test program:
 *
 *   --case NAME  --device NAME  --variant NAME  --dtype f32|f16|bf16    only these
 *   --test NAME                                                        only this function
 *                  (each of these five may be a list: NAME,NAME)
 *   --seed N       the inputs of that run; MONARCH_TEST_SEED does the same
 *   --manifest F   what F promises whole may not be skipped (tests/checks/manifest.txt)
 *   --quick        leaves out the cases with most work
 *   --list         prints the case table
 */

/* One device of the instance, with one of its variants. */
typedef struct test_target {
    monarch_device *device;
    char backend[16];
    char name[32]; /* as monarch_instance_find takes it */
    char variant[32];
    int required; /* the manifest promises every case */
} test_target;

/* What a test function has to say. */
typedef struct test_report {
    char text[4096];
    size_t length;
    int failed, skipped;
} test_report;

/* Notes a failure, a skip or something worth knowing, and returns. */
void test_fail(test_report *report, const char *format, ...) __attribute__((format(printf, 2, 3)));
void test_skip(test_report *report, const char *format, ...) __attribute__((format(printf, 2, 3)));
void test_note(test_report *report, const char *format, ...) __attribute__((format(printf, 2, 3)));

typedef struct test_entry test_entry;
typedef void (*test_function)(const test_entry *entry, test_report *report);

/* What a function is run over. */
typedef enum test_scope {
    SCOPE_ONCE,   /* nothing */
    SCOPE_CASE,   /* case x dtype, no device */
    SCOPE_DEVICE, /* case x dtype x device, the device's choice of variant */
    SCOPE_VARIANT /* case x dtype x device x variant */
} test_scope;

typedef struct test_definition {
    const char *name;
    test_function run;
    test_scope scope;
    uint32_t dtypes;          /* bit n: monarch_dtype n; 0 = all */
    const char *const *cases; /* names, closed by NULL; NULL = the whole table */
    const char *backend;      /* only on its devices; NULL = on all */
} test_definition;

struct test_entry {
    const test_definition *definition;
    const test_case *c; /* NULL with SCOPE_ONCE */
    monarch_dtype dtype;
    const test_target *target; /* NULL with SCOPE_ONCE and SCOPE_CASE */
    const char *variant;       /* to be forced; NULL = the device's choice */
    uint64_t seed;
    char name[160];
};

/* The main function of a test program: 0, 1 after a failure, 77 if there was nothing to run. */
int test_main(int argc, char **argv, const char *program, const test_definition *definitions,
              size_t count);

/*
 * The reference of an entry's case and dtype, with inputs whose output holds NaN. It is kept
 * until another is asked for, so neighbouring tests share it.
 */
reference *test_reference(const test_entry *entry);

/*
 * Notes a failed call of the library. A device may refuse a problem, with a reason: that skips
 * the test. Nothing else may fail.
 */
void test_status(test_report *report, const char *call, monarch_status status,
                 const monarch_error *error);

/* Compares and reports: 1 if within the tolerance. `what` says where the values come from. */
int test_compare(test_report *report, const char *what, const expected *e, monarch_dtype dtype,
                 const float *actual);

#endif
