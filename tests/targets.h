/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_TARGETS_H
#define TESTS_TARGETS_H

#include "harness.h"
#include "options.h"

/* Every variant of every device that the library offers, those of one device in a row. */
typedef struct test_targets {
    monarch_instance *instance;
    test_target *list;
    size_t count;
} test_targets;

/*
 * Opens an instance and lists what the options admit; prints devices, and why a backend offers
 * none. 0 after a message if the instance cannot be made.
 */
int test_targets_open(test_targets *targets, const test_options *options);
void test_targets_close(test_targets *targets);

#endif
