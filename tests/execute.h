/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_EXECUTE_H
#define TESTS_EXECUTE_H

#include <monarch/monarch.h>

#include "harness.h"
#include "inputs.h"

/* A plan for the inputs of a case on one device, with device memory of its own. */
typedef struct test_runner {
    monarch_device *device;
    monarch_plan *plan;
    monarch_queue *queue;
    monarch_buffer *buffers[TEST_MEMORIES];
    monarch_buffer *workspace;
    uint64_t workspace_size;
} test_runner;

/*
 * `alignment` is promised to the plan as in monarch_plan_options. On failure nothing is left open;
 * the status and `error` are those of the call that failed.
 */
monarch_status test_runner_open(test_runner *runner, monarch_device *device, const char *variant,
                                uint32_t alignment, const test_inputs *inputs,
                                monarch_error *error);
void test_runner_close(test_runner *runner);

/*
 * Copies all memory of the inputs to the device, guards and gaps included, fills the workspace
 * with the byte given, executes, and copies everything back: what was changed shows.
 */
monarch_status test_runner_execute(test_runner *runner, test_inputs *inputs, int workspace_byte,
                                   monarch_error *error);

/*
 * On a cpu device: executes on host memory of which not a byte lies outside of the tensors, so
 * that a sanitizer sees every access past them.
 */
monarch_status test_runner_execute_tight(test_runner *runner, test_inputs *inputs,
                                         monarch_error *error);

/*
 * Plans, executes once, and returns the output as packed f32, to be freed; NULL after a report. The
 * second form takes device and variant from the entry.
 */
float *test_compute_on(monarch_device *device, const char *variant, test_inputs *inputs,
                       test_report *report);
float *test_compute(const test_entry *entry, test_inputs *inputs, test_report *report);

/* By monarch_attention, on the host memory of the inputs. */
monarch_status test_attention(monarch_device *device, test_inputs *inputs, monarch_error *error);

#endif
