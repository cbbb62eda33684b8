/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <monarch/monarch.h>

#include "harness.h"
#include "head.h"

/* The variational objective of what a device computes: it must not fall from step to step. */

/* One head of a stage's aL and cL as the oracle takes them. */
static oracle_values to_double(const reference *r, int64_t number, const monarch_stage_values *from)
{
    size_t rows = (size_t)(r->inputs.blocks * r->inputs.block);
    size_t D = (size_t)r->inputs.q.features;
    const float *aL = &from->aL[(size_t)number * rows * D];
    const float *cL = &from->cL[(size_t)number * rows];
    oracle_values to = {.aL = NULL};

    to.aL = test_alloc(rows * D, sizeof(double));
    to.cL = test_alloc(rows, sizeof(double));
    for (size_t i = 0; i < rows * D; i++)
        to.aL[i] = (double)aL[i];
    for (size_t i = 0; i < rows; i++)
        to.cL[i] = (double)cL[i];
    return to;
}

/* How far the error that an element of `e` may have goes, in units of its magnitude. */
static double allowed(const expected *e, monarch_dtype dtype)
{
    return 2.0 * e->naive_worst + tolerance_eps(dtype);
}

/* How far the errors that the policy allows in aL and cL can move one head's objective. */
static double slack_of(const reference *r, const head_data *head, int64_t number,
                       const stage_expected *stage)
{
    int64_t B = r->inputs.block, M = r->inputs.blocks, D = r->inputs.q.features;
    const double *aL = stage->aL.magnitude + number * M * B * D;
    const double *cL = stage->cL.magnitude + number * M * B;
    double sum = 0.0;

    for (int64_t l = 0; l < M; l++)
        for (int64_t j = 0; j < B; j++) {
            double most = 0.0;
            if (!oracle_valid(&head->p, l, j))
                continue;
            for (int64_t k = 0; k < M; k++) {
                const double *q = &head->q[oracle_token(&head->p, l, j) * D];
                double logit = 0.0, moved;
                for (int64_t f = 0; f < D; f++)
                    logit += fabs(q[f]) * aL[(k * B + j) * D + f];
                moved = logit * allowed(&stage->aL, r->inputs.dtype) +
                        cL[k * B + j] * allowed(&stage->cL, r->inputs.dtype);
                most = moved > most ? moved : most;
            }
            sum += most;
        }
    return sum;
}

static void check_head(const reference *r, int64_t number, const monarch_stage_values *outputs,
                       test_report *report)
{
    double before = -INFINITY, slack_before = 0.0, bound;
    head_data head;

    head_read(&head, &r->inputs, number / r->inputs.q.heads, number % r->inputs.q.heads);
    bound = oracle_bound(&head.p, head.q, head.k);
    for (uint32_t i = 0; i < r->stage_count; i += 2) {
        oracle_values values = to_double(r, number, &outputs[i]);
        double now = oracle_objective(&head.p, head.q, &values);
        double slack = slack_of(r, &head, number, &r->stages[i]);
        if (!(now >= before - slack - slack_before) || !(now <= bound + slack))
            test_fail(report,
                      "head %" PRId64 ", stage %u: objective %.9g, before it %.9g, bound %.9g, "
                      "limit of errors %.3g",
                      number, i, now, before, bound, slack);
        before = now;
        slack_before = slack;
        free(values.aL);
        free(values.cL);
    }
    head_free(&head);
}

static void check_objective(const test_entry *entry, test_report *report)
{
    reference *r = test_reference(entry);
    const test_inputs *in = &r->inputs;
    monarch_stage_tensors tensors = {
        .q = in->q.memory->bytes + in->q.origin,
        .k = in->k.memory->bytes + in->k.origin,
        .v = in->v.memory->bytes + in->v.origin,
        .mask = in->mask.memory != NULL ? in->mask.memory->bytes + in->mask.origin : NULL,
        .out = in->out.memory->bytes + in->out.origin,
    };
    monarch_stage_values *outputs = test_alloc(r->stage_count, sizeof *outputs);
    monarch_error error;
    monarch_status status;

    for (uint32_t i = 0; i < r->stage_count; i += 2) {
        outputs[i].aL = test_alloc(r->stages[i].aL.count, sizeof(float));
        outputs[i].cL = test_alloc(r->stages[i].cL.count, sizeof(float));
    }
    status = monarch_stages_run(entry->target->device, &in->problem, entry->variant, &tensors,
                                outputs, r->stage_count, &error);
    if (status != MONARCH_OK)
        test_status(report, "monarch_stages_run", status, &error);
    for (int64_t i = 0; status == MONARCH_OK && i < in->q.batch * in->q.heads; i++)
        check_head(r, i, outputs, report);
    for (uint32_t i = 0; i < r->stage_count; i++) {
        free(outputs[i].aL);
        free(outputs[i].cL);
    }
    free(outputs);
}

static const char *const cases[] = {
    "odd_n_steps_3_begin",
    "odd_n_steps_4",
    "block_2",
    "vit_steps_3",
    "large_logits_steps_2",
    "big_q",
    "mask_random_nan",
    "mask_blocks_nan",
    "mask_position",
    "mask_sequence",
    "scale_negative",
    "equal_keys",
    NULL,
};

static const test_definition definitions[] = {
    {"objective", check_objective, SCOPE_VARIANT, 0, cases, NULL},
};

int main(int argc, char **argv)
{
    return test_main(argc, argv, "test_objective", definitions,
                     sizeof definitions / sizeof definitions[0]);
}
