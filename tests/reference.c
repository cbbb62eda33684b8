/* SPDX-License-Identifier: Apache-2.0 */
#include "reference.h"

#include <stdlib.h>
#include <string.h>

#include "head.h"
#include "reference_parts.h"

void stage_expected_alloc(stage_expected *stage, const test_inputs *inputs, uint32_t index,
                          uint32_t count)
{
    int64_t shape[5] = {inputs->q.batch, inputs->q.heads, inputs->blocks, inputs->block, 1};

    memset(stage, 0, sizeof *stage);
    if (index == count - 1)
        return;
    expected_alloc(head_stage_is_left(index) ? &stage->cR : &stage->cL,
                   head_stage_is_left(index) ? "cR" : "cL", shape);
    shape[4] = inputs->q.features;
    expected_alloc(head_stage_is_left(index) ? &stage->aR : &stage->aL,
                   head_stage_is_left(index) ? "aR" : "aL", shape);
    shape[4] = inputs->v.features;
    if (index == count - 2)
        expected_alloc(&stage->y, "y", shape);
}

void out_expected_alloc(expected *out, const test_inputs *inputs)
{
    int64_t shape[5] = {inputs->q.batch, inputs->q.heads, inputs->q.tokens, 1, inputs->v.features};

    expected_alloc(out, "out", shape);
}

void stage_expected_free(stage_expected *stage)
{
    expected_free(&stage->aL);
    expected_free(&stage->cL);
    expected_free(&stage->aR);
    expected_free(&stage->cR);
    expected_free(&stage->y);
}

static void alloc_reference(reference *r)
{
    r->stages = test_alloc(r->stage_count, sizeof *r->stages);
    r->alone = test_alloc(r->stage_count, sizeof *r->alone);
    for (uint32_t i = 0; i < r->stage_count; i++)
        stage_expected_alloc(&r->stages[i], &r->inputs, i, r->stage_count);
    out_expected_alloc(&r->out, &r->inputs);
}

static void copy(double *to, const double *from, int64_t count)
{
    if (to != NULL)
        memcpy(to, from, (size_t)count * sizeof *to);
}

/* What is right for one head, stage by stage, and the magnitudes that go with it. */
static void run_oracle(reference *r, const head_data *head, int64_t number)
{
    size_t at = (size_t)number * (size_t)(r->inputs.out.tokens * r->inputs.out.features);
    int64_t rows = r->inputs.blocks * r->inputs.block;
    int64_t D = head->p.head_dim, Dv = head->p.value_dim;
    oracle_values now, to, magnitude = {.y = NULL};

    head_values_alloc(head, &now);
    oracle_first(&head->p, head->q, &now);
    for (uint32_t i = 0; i < r->stage_count; i++) {
        const double *y_magnitude = magnitude.y;
        to = reference_values(&r->inputs, &r->stages[i], number);
        magnitude = reference_magnitudes(&r->inputs, &r->stages[i], number);
        head_stage_magnitude(head, r->inputs.range, i, &now, y_magnitude, &magnitude,
                             &r->out.magnitude[at]);
        head_stage_oracle(head, i, &now, &now, &r->out.value[at]);
        copy(to.aL, now.aL, rows * D);
        copy(to.cL, now.cL, rows);
        copy(to.aR, now.aR, rows * D);
        copy(to.cR, now.cR, rows);
        copy(to.y, now.y, rows * Dv);
    }
    oracle_values_free(&now);
}

void reference_create(reference *r, const test_case *c, monarch_dtype dtype, uint64_t seed)
{
    memset(r, 0, sizeof *r);
    r->seed = seed;
    test_inputs_create(&r->inputs, c, dtype, seed);
    r->stage_count = 2 * (uint32_t)r->inputs.problem.steps;
    alloc_reference(r);
    for (int64_t i = 0; i < reference_heads(&r->inputs); i++) {
        head_data head;
        double largest;
        head_read(&head, &r->inputs, i / r->inputs.q.heads, i % r->inputs.q.heads);
        run_oracle(r, &head, i);
        largest = oracle_largest_score(&head.p, head.q, head.k);
        r->largest_score = largest > r->largest_score ? largest : r->largest_score;
        head_free(&head);
    }
    r->determined = tolerance_eps(r->inputs.dtype) * r->largest_score <= 0.25;
    reference_measure(r);
}

void reference_free(reference *r)
{
    for (uint32_t i = 0; i < r->stage_count; i++) {
        stage_expected_free(&r->stages[i]);
        stage_alone_free(r->alone[i]);
    }
    free(r->stages);
    free(r->alone);
    expected_free(&r->out);
    test_inputs_free(&r->inputs);
    memset(r, 0, sizeof *r);
}
