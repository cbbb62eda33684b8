/* SPDX-License-Identifier: Apache-2.0 */
#include "reference.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
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
    if (head_stage_is_left(index))
        stage->mean = test_alloc(stage->aR.count, sizeof *stage->mean);
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
    free(stage->mean);
    stage->mean = NULL;
}

static void alloc_reference(reference *r)
{
    r->stages = test_alloc(r->stage_count, sizeof *r->stages);
    r->alone = test_alloc(r->stage_count, sizeof *r->alone);
    for (uint32_t i = 0; i < r->stage_count; i++)
        stage_expected_alloc(&r->stages[i], &r->inputs, i, r->stage_count);
    out_expected_alloc(&r->out, &r->inputs);
}

/* Runs the oracle on one head. */
static void evaluate(reference *r, const head_data *head, int64_t number)
{
    size_t at = (size_t)number * (size_t)(r->inputs.out.tokens * r->inputs.out.features);
    oracle_values *stages = test_alloc(r->stage_count, sizeof *stages);

    for (uint32_t i = 0; i < r->stage_count; i++)
        stages[i] = reference_values(&r->inputs, &r->stages[i], number);
    if (oracle_stages(&head->p, head->q, head->k, head->v, stages, &r->out.value[at]) != 0) {
        fprintf(stderr, "test: no memory for the oracle\n");
        exit(1);
    }
    free(stages);
}

/* Draws inputs and runs the oracle on them. */
static void draw(reference *r, const test_case *c, monarch_dtype dtype)
{
    test_inputs_create(&r->inputs, c, dtype, r->seed, 0);
    r->stage_count = 2 * (uint32_t)r->inputs.problem.steps;
    r->largest_score = 0.0;
    alloc_reference(r);
    for (int64_t i = 0; i < reference_heads(&r->inputs); i++) {
        head_data head;
        double largest;
        head_read(&head, &r->inputs, i / r->inputs.q.heads, i % r->inputs.q.heads);
        evaluate(r, &head, i);
        largest = oracle_largest_score(&head.p, head.q, head.k);
        r->largest_score = largest > r->largest_score ? largest : r->largest_score;
        head_free(&head);
    }
    r->determined = tolerance_eps(dtype) * r->largest_score <= 0.25;
}

static void free_results(reference *r)
{
    for (uint32_t i = 0; i < r->stage_count; i++) {
        stage_expected_free(&r->stages[i]);
        stage_alone_free(r->alone[i]);
    }
    free(r->stages);
    free(r->alone);
    expected_free(&r->out);
    test_inputs_free(&r->inputs);
}

void reference_create(reference *r, const test_case *c, monarch_dtype dtype, uint64_t seed)
{
    memset(r, 0, sizeof *r);
    r->seed = seed;
    draw(r, c, dtype);
    reference_measure(r);
}

void reference_free(reference *r)
{
    free_results(r);
    memset(r, 0, sizeof *r);
}
