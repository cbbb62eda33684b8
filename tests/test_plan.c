/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "execute.h"
#include "harness.h"
#include "random.h"

/* Whole results on every device, variant, case and dtype. */

/* The output against the reference. */
static void check_output(const reference *r, const char *what, test_report *report)
{
    float *out = test_alloc(r->out.count, sizeof *out);
    char text[512];

    test_inputs_output(&r->inputs, out);
    if (!reference_within_values(r, out, text, sizeof text))
        test_fail(report, "%s: %s", what, text);
    if (r->determined)
        test_compare(report, what, &r->out, r->inputs.dtype, out);
    switch (reference_check_relative(r, out, text, sizeof text)) {
    case RESULT_NOTE:
        test_note(report, "%s", text);
        break;
    case RESULT_BAD:
        test_fail(report, "%s: %s", what, text);
        break;
    default:
        break;
    }
    if (test_inputs_touched(&r->inputs, text, sizeof text))
        test_fail(report, "%s: %s", what, text);
    free(out);
}

/* A copy of the output's memory, to be compared bit by bit. */
static unsigned char *keep_output(const test_inputs *inputs)
{
    const test_memory *memory = inputs->out.memory;
    unsigned char *copy = test_alloc(memory->size, 1);

    memcpy(copy, memory->bytes, memory->size);
    return copy;
}

static void check_same(const test_inputs *inputs, const unsigned char *kept, const char *what,
                       test_report *report)
{
    const test_memory *memory = inputs->out.memory;

    for (size_t at = 0; at < memory->size; at++)
        if (memory->bytes[at] != kept[at]) {
            test_fail(report, "%s: byte %zu of the output differs (0x%02x, first 0x%02x)", what,
                      at - memory->first, memory->bytes[at], kept[at]);
            return;
        }
}

/* The same again with other contents of the workspace, and on memory without guards. */
static void check_again(test_runner *runner, const test_entry *entry, test_inputs *inputs,
                        const unsigned char *kept, test_report *report)
{
    monarch_error error;
    monarch_status status;

    test_inputs_reset_output(inputs);
    status = test_runner_execute(runner, inputs, 0x11, &error);
    if (status != MONARCH_OK)
        test_status(report, "second execution", status, &error);
    else
        check_same(inputs, kept, "second execution", report);
    if (strcmp(entry->target->backend, "cpu") != 0)
        return;
    test_inputs_reset_output(inputs);
    status = test_runner_execute_tight(runner, inputs, &error);
    if (status != MONARCH_OK)
        test_status(report, "execution on host memory", status, &error);
    else
        check_same(inputs, kept, "execution on host memory", report);
}

/* One head, drawn at random, computed alone. */
static void check_one_head(const test_entry *entry, const test_inputs *inputs,
                           const unsigned char *kept, test_report *report)
{
    test_random random = test_random_seed(entry->seed, "one head", 0);
    int64_t b = test_random_below(&random, inputs->q.batch);
    int64_t h = test_random_below(&random, inputs->q.heads);
    test_inputs one = test_one_head(inputs, b, h);
    size_t row = (size_t)((one.out.features - 1) * one.out.strides.feature + 1) * one.out.element;
    monarch_error error;
    test_runner runner;
    monarch_status status;

    test_inputs_reset_output(&one);
    status = test_runner_open(&runner, entry->target->device, entry->variant, 0, &one, &error);
    if (status == MONARCH_OK) {
        status = test_runner_execute(&runner, &one, TEST_POISON, &error);
        test_runner_close(&runner);
    }
    if (status != MONARCH_OK) {
        test_fail(report, "head alone: %s: %s", monarch_status_name(status), error.message);
        return;
    }
    for (int64_t n = 0; n < one.out.tokens; n++) {
        size_t at = test_tensor_at(&one.out, 0, 0, n);
        if (memcmp(one.out.memory->bytes + at, kept + at, row) == 0)
            continue;
        test_fail(report,
                  "batch %" PRId64 ", head %" PRId64 " computed alone differs at token %" PRId64, b,
                  h, n);
        return;
    }
}

/* Whether the variant refuses the case's shape, which takes no reference to find out. */
static int is_refused(const test_entry *entry, test_report *report)
{
    monarch_problem problem = test_case_problem(entry->c, entry->dtype);
    monarch_plan_options options = monarch_plan_options_default();
    monarch_plan *plan = NULL;
    monarch_error error;
    monarch_status status;

    options.variant = entry->variant;
    status = monarch_plan_create(entry->target->device, &problem, &options, &plan, &error);
    monarch_plan_destroy(&plan);
    if (status == MONARCH_ERROR_UNSUPPORTED)
        test_status(report, "plan", status, &error);
    return status == MONARCH_ERROR_UNSUPPORTED;
}

static void check_plan(const test_entry *entry, test_report *report)
{
    reference *r = test_reference(entry);
    test_runner runner;
    monarch_error error;
    unsigned char *kept;
    monarch_status status;

    status =
        test_runner_open(&runner, entry->target->device, entry->variant, 0, &r->inputs, &error);
    if (status != MONARCH_OK) {
        test_status(report, "plan", status, &error);
        return;
    }
    status = test_runner_execute(&runner, &r->inputs, TEST_POISON, &error);
    if (status != MONARCH_OK) {
        test_status(report, "execution", status, &error);
    } else {
        check_output(r, "execution", report);
        kept = keep_output(&r->inputs);
        check_again(&runner, entry, &r->inputs, kept, report);
        check_one_head(entry, &r->inputs, kept, report);
        free(kept);
    }
    test_runner_close(&runner);
}

static void test_plan(const test_entry *entry, test_report *report)
{
    if (!is_refused(entry, report))
        check_plan(entry, report);
}

/* The largest alignment that may be promised for the tensors' places in their buffers. */
static uint32_t alignment_of(const test_inputs *inputs)
{
    const test_tensor *tensors[] = {&inputs->q, &inputs->k, &inputs->v, &inputs->out};
    uint32_t alignment = 256;

    for (size_t i = 0; i < 4; i++)
        while (tensors[i]->origin % alignment != 0)
            alignment /= 2;
    return alignment;
}

/* A plan that was promised aligned tensors. */
static void test_aligned(const test_entry *entry, test_report *report)
{
    reference *r = test_reference(entry);
    test_runner runner;
    monarch_error error;
    monarch_status status = test_runner_open(&runner, entry->target->device, entry->variant,
                                             alignment_of(&r->inputs), &r->inputs, &error);

    if (status == MONARCH_OK) {
        status = test_runner_execute(&runner, &r->inputs, TEST_POISON, &error);
        test_runner_close(&runner);
    }
    if (status != MONARCH_OK)
        test_status(report, "aligned plan", status, &error);
    else
        check_output(r, "aligned plan", report);
}

static void test_attention_call(const test_entry *entry, test_report *report)
{
    reference *r = test_reference(entry);
    monarch_error error;
    monarch_status status = test_attention(entry->target->device, &r->inputs, &error);

    if (status != MONARCH_OK)
        test_status(report, "monarch_attention", status, &error);
    else
        check_output(r, "monarch_attention", report);
}

static const char *const attention_cases[] = {
    "one_token",
    "odd_n_steps_3_begin",
    "block_chosen",
    "mask_blocks_nan",
    "qkv_grouped",
    "grid_short_begin",
    "gaps",
    "negative",
    "broadcast_batch",
    NULL,
};

static const char *const aligned_cases[] = {
    "even",   "odd_n_steps_2", "dim_17",         "dim_80", "vit_steps_2",    "mask_random_nan",
    "offset", "gaps",          "feature_stride", "qkv",    "negative_begin", NULL,
};

static const test_definition definitions[] = {
    {"plan", test_plan, SCOPE_VARIANT, 0, NULL, NULL},
    {"aligned", test_aligned, SCOPE_VARIANT, 0, aligned_cases, NULL},
    {"attention", test_attention_call, SCOPE_DEVICE, 0, attention_cases, NULL},
};

int main(int argc, char **argv)
{
    return test_main(argc, argv, "test_plan", definitions,
                     sizeof definitions / sizeof definitions[0]);
}
