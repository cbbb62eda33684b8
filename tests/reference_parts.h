/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_REFERENCE_PARTS_H
#define TESTS_REFERENCE_PARTS_H

#include "naive.h"
#include "oracle.h"
#include "reference.h"

/* What reference.c and reference_measure.c share. */

/* Heads of all batch entries. */
int64_t reference_heads(const test_inputs *inputs);

/* The parts of a stage's arrays that belong to one head; arrays that are not there are NULL. */
oracle_values reference_values(const test_inputs *inputs, const stage_expected *s, int64_t head);
oracle_values reference_magnitudes(const test_inputs *inputs, const stage_expected *s,
                                   int64_t head);

/* Naive form number `index` of a reference. */
naive_form reference_form(const reference *r, int index);

/* Fills in the errors of naive evaluations, and the sensitivity. */
void reference_measure(reference *r);

#endif
