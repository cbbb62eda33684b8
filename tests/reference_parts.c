/* SPDX-License-Identifier: Apache-2.0 */
#include "reference_parts.h"

#include <stddef.h>

static int64_t rows_of(const test_inputs *inputs)
{
    return inputs->blocks * inputs->block;
}

int64_t reference_heads(const test_inputs *inputs)
{
    return inputs->q.batch * inputs->q.heads;
}

/* The parts of a stage's arrays that belong to one head; arrays that are not there stay NULL. */
static oracle_values view(const test_inputs *inputs, int64_t head, double *aL, double *cL,
                          double *aR, double *cR, double *y)
{
    int64_t row = head * rows_of(inputs), D = inputs->q.features, Dv = inputs->v.features;
    oracle_values v = {.mean = NULL}; /* the means themselves are not handed on */

    v.aL = aL != NULL ? aL + row * D : NULL;
    v.cL = cL != NULL ? cL + row : NULL;
    v.aR = aR != NULL ? aR + row * D : NULL;
    v.cR = cR != NULL ? cR + row : NULL;
    v.y = y != NULL ? y + row * Dv : NULL;
    return v;
}

oracle_values reference_values(const test_inputs *inputs, const stage_expected *s, int64_t head)
{
    return view(inputs, head, s->aL.value, s->cL.value, s->aR.value, s->cR.value, s->y.value);
}

oracle_values reference_magnitudes(const test_inputs *inputs, const stage_expected *s, int64_t head)
{
    return view(inputs, head, s->aL.magnitude, s->cL.magnitude, s->aR.magnitude, s->cR.magnitude,
                s->y.magnitude);
}
