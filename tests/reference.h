/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_REFERENCE_H
#define TESTS_REFERENCE_H

#include "inputs.h"
#include "tolerance.h"

/*
 * What a case should give: the oracle's results, their absolute magnitudes, and the errors that
 * naive evaluations make, for the output and for what every stage hands on.
 *
 * Not determined. Where eps(dtype) * (largest score) exceeds 1/4, rounding what the stages hand on
 * moves scores so far that the result is not a matter of precision any more. Then only what
 * holds whatever the weights is checked: output rows lie within the bounds of the values.
 */
typedef struct stage_expected {
    expected aL, cL, aR, cR, y; /* those of the stage's kind; the others have count 0 */
} stage_expected;

/* What stages hand on, for all heads: f32 arrays [batch, heads, blocks, block, features]. */
typedef struct stage_arrays {
    float *aL, *cL, *aR, *cR, *y;
} stage_arrays;

/* One stage on inputs of its own. */
typedef struct stage_alone {
    stage_arrays inputs; /* NULL in stage 0 */
    stage_expected stage;
    expected out; /* of the last stage */
    const struct reference *whole;
    uint32_t index;
    int forms; /* naive evaluations made so far */
} stage_alone;

typedef struct reference {
    test_inputs inputs;
    uint32_t stage_count; /* 2 * steps */
    stage_expected *stages;
    stage_alone **alone; /* made by reference_alone */
    expected out;
    double largest_score;
    int determined;
    /* Relative change of the output when q and k change by half an eps; only where asked for. */
    double sensitivity;
    uint64_t seed; /* what the inputs were made from */
    int forms;     /* naive evaluations made so far */
} reference;

void reference_create(reference *r, const test_case *c, monarch_dtype dtype, uint64_t seed);
void reference_free(reference *r);

/* Memory for what stage `index` of `count` hands on, and for the output. */
void stage_expected_alloc(stage_expected *stage, const test_inputs *inputs, uint32_t index,
                          uint32_t count);
void stage_expected_free(stage_expected *stage);
void out_expected_alloc(expected *out, const test_inputs *inputs);

/*
 * How many naive evaluations: as many as their work allows. The fewer results there are, the more
 * luck is in each, and the largest error is that of the few rows whose best keys nearly tie.
 */
int reference_form_count(const reference *r);

void stage_arrays_alloc(stage_arrays *arrays, const test_inputs *inputs);
void stage_arrays_free(stage_arrays *arrays);

/*
 * Stage `index` alone, on what the stage before it hands on by the oracle, rounded to f32. Where cR
 * is too small for aR / cR to survive that, both are set to 0. Belongs to the reference.
 */
const stage_alone *reference_alone(reference *r, uint32_t index);

/* The same on what another backend's stage gave (arrays that it has not are NULL), to be freed. */
stage_alone *stage_alone_create(const reference *r, uint32_t index, const stage_arrays *given);
void stage_alone_free(stage_alone *alone);

/*
 * The check that holds even for results that are not determined: 1 if every output element lies
 * between the smallest and the largest unmasked value of its feature, but for the rounding of
 * weights and sums.
 */
int reference_within_values(const reference *r, const float *out, char *text, size_t capacity);

/*
 * f32 results where no score exceeds TOLERANCE_F32_SCORES: GOOD or BAD by
 * TOLERANCE_F32_RELATIVE, or a NOTE that the inputs do not decide the result that far. `text`
 * has the words for the latter two.
 */
typedef enum result_verdict { RESULT_GOOD, RESULT_NOTE, RESULT_BAD } result_verdict;

result_verdict reference_check_relative(const reference *r, const float *out, char *text,
                                        size_t capacity);

#endif
