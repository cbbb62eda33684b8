/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_OPTIONS_H
#define TESTS_OPTIONS_H

#include <stdint.h>

#include <monarch/types.h>

#include "cases.h"

/* The command line of a test program; NULL = not given. harness.h says what they mean. */
typedef struct test_options {
    const char *test_name, *case_name, *device, *variant, *dtype, *manifest;
    uint64_t seed;
    int quick, list;
} test_options;

/* 0 after a message if the command line is wrong. Takes a seed from somewhere in any case. */
int test_options_read(test_options *options, int argc, char **argv);

/* Whether an option, a comma-separated list or not given, admits this name or type. */
int test_options_name(const char *wanted, const char *name);
int test_options_dtype(const test_options *options, monarch_dtype dtype);

/* Whether --quick leaves this case out. */
int test_options_is_long(const test_case *c);

#endif
