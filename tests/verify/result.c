/* SPDX-License-Identifier: Apache-2.0 */
#include "verification.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../random.h"

/* Checks of whole results: right, written nowhere else, and the same bits each time. */

static monarch_status call_run(const verify_run *run, test_inputs *inputs, int workspace_byte,
                               monarch_error *error)
{
    monarch_stage_tensors tensors = verify_tensors(inputs);

    test_inputs_reset_output(inputs);
    return run->subject->run(run->subject->user, &inputs->problem, &tensors, workspace_byte, error);
}

static void check_output(verify_run *run)
{
    reference *r = &run->v->r;
    const verify_given *given = run->v->against;
    float *out = test_alloc(r->out.count, sizeof *out);
    char text[300];

    test_inputs_output(&r->inputs, out);
    if (r->determined)
        verify_compare(run, MONARCH_VERIFY_RESULT, -1, &r->out, out,
                       given != NULL ? given->result : NULL);
    if (!reference_within_values(r, out, text, sizeof text))
        verify_tell_failure(run, MONARCH_VERIFY_RESULT, -1, "%s", text);
    if (reference_check_relative(r, out, text, sizeof text) == RESULT_BAD)
        verify_tell_failure(run, MONARCH_VERIFY_RESULT, -1, "%s", text);
    if (test_inputs_touched(&r->inputs, text, sizeof text)) {
        verify_tell_failure(run, MONARCH_VERIFY_RESULT, -1, "%s", text);
        verify_restore(&r->inputs);
    }
    free(out);
}

static void tell_pass(verify_run *run, monarch_verify_check check)
{
    monarch_verify_finding f = verify_finding(run, check, -1);

    verify_tell(run, &f, NULL);
}

/* The token whose row of the output differs from what `kept` holds in the same place, or -1. */
static int64_t differing_token(const test_inputs *inputs, const unsigned char *kept, int64_t b,
                               int64_t h)
{
    const test_tensor *t = &inputs->out;
    size_t row = (size_t)((t->features - 1) * t->strides.feature + 1) * t->element;

    for (int64_t n = 0; n < t->tokens; n++) {
        size_t at = test_tensor_at(t, b, h, n);
        if (memcmp(&t->memory->bytes[at], &kept[at], row) != 0)
            return n;
    }
    return -1;
}

static void check_again(verify_run *run, const unsigned char *kept)
{
    test_inputs *inputs = &run->v->r.inputs;
    monarch_error error = {MONARCH_OK, ""};
    monarch_status status = call_run(run, inputs, 0x11, &error);

    if (status != MONARCH_OK) {
        verify_tell_status(run, MONARCH_VERIFY_AGAIN, -1, status, &error);
        return;
    }
    for (int64_t b = 0; b < inputs->out.batch; b++)
        for (int64_t h = 0; h < inputs->out.heads; h++) {
            int64_t n = differing_token(inputs, kept, b, h);
            if (n < 0)
                continue;
            verify_tell_failure(run, MONARCH_VERIFY_AGAIN, -1,
                                "a second run, on other bytes in the workspace, gives other bits: "
                                "batch %" PRId64 ", head %" PRId64 ", token %" PRId64,
                                b, h, n);
            return;
        }
    tell_pass(run, MONARCH_VERIFY_AGAIN);
}

/* One head, drawn by the seed, without its neighbours. */
static void check_head(verify_run *run, const unsigned char *kept)
{
    const test_inputs *inputs = &run->v->r.inputs;
    test_random random = test_random_seed(run->v->r.seed, "one head", 0);
    int64_t b = test_random_below(&random, inputs->q.batch), n;
    int64_t h = test_random_below(&random, inputs->q.heads);
    test_inputs one = test_one_head(inputs, b, h);
    monarch_error error = {MONARCH_OK, ""};
    monarch_status status = call_run(run, &one, TEST_POISON, &error);

    if (status != MONARCH_OK) {
        verify_tell_status(run, MONARCH_VERIFY_HEAD, -1, status, &error);
        return;
    }
    n = differing_token(&one, kept, 0, 0);
    if (n >= 0)
        verify_tell_failure(run, MONARCH_VERIFY_HEAD, -1,
                            "batch %" PRId64 ", head %" PRId64
                            " computed alone gives other bits at token %" PRId64,
                            b, h, n);
    else
        tell_pass(run, MONARCH_VERIFY_HEAD);
}

void verify_result(verify_run *run)
{
    test_inputs *inputs = &run->v->r.inputs;
    const test_memory *memory = inputs->out.memory;
    monarch_error error = {MONARCH_OK, ""};
    monarch_status status = call_run(run, inputs, TEST_POISON, &error);
    unsigned char *kept;

    if (status != MONARCH_OK) {
        verify_tell_status(run, MONARCH_VERIFY_RESULT, -1, status, &error);
        return;
    }
    check_output(run);
    kept = test_alloc(memory->size, 1);
    memcpy(kept, memory->bytes, memory->size);
    check_again(run, kept);
    if (run->subject->neighbours)
        check_head(run, kept);
    free(kept);
}
