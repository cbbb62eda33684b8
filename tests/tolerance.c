/* SPDX-License-Identifier: Apache-2.0 */
#include "tolerance.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "inputs.h"

double tolerance_eps(monarch_dtype dtype)
{
    switch (dtype) {
    case MONARCH_F16:
        return 0x1p-10;
    case MONARCH_BF16:
        return 0x1p-7;
    default:
        return 0x1p-23;
    }
}

double tolerance_smallest(monarch_dtype dtype)
{
    return dtype == MONARCH_F16 ? 0x1p-14 : 0x1p-102;
}

void expected_alloc(expected *e, const char *name, const int64_t shape[5])
{
    memset(e, 0, sizeof *e);
    e->name = name;
    e->count = 1;
    for (int i = 0; i < 5; i++) {
        e->shape[i] = shape[i];
        e->count *= (size_t)shape[i];
    }
    e->value = test_alloc(e->count, sizeof *e->value);
    e->magnitude = test_alloc(e->count, sizeof *e->magnitude);
}

void expected_free(expected *e)
{
    free(e->value);
    free(e->magnitude);
    memset(e, 0, sizeof *e);
}

/* An error in units of the element's magnitude; where that is 0 no error is allowed. */
static double in_units(double error, double magnitude)
{
    if (error == 0.0)
        return 0.0;
    return magnitude > 0.0 ? error / magnitude : INFINITY;
}

void expected_measure(expected *e, size_t at, const float *naive, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        double value = e->value[at + i], error, units;
        if (!isfinite(value))
            continue;
        error = fabs((double)naive[i] - value);
        units = in_units(error, e->magnitude[at + i]);
        if (!isfinite(units)) {
            /* It would make every comparison pass. */
            fprintf(stderr, "test: the naive evaluation of %s gave %g for %g\n", e->name,
                    (double)naive[i], value);
            exit(1);
        }
        e->running += error * error;
        e->naive_worst = units > e->naive_worst ? units : e->naive_worst;
    }
}

void expected_measured(expected *e)
{
    double frobenius = sqrt(e->running);

    e->naive_frobenius = frobenius > e->naive_frobenius ? frobenius : e->naive_frobenius;
    e->running = 0.0;
}

/* Takes note of an element whose kind (finite, infinite, NaN) is wrong. */
static void note_broken(comparison *result, size_t i, double value, double actual)
{
    if (result->broken++ > 0)
        return;
    result->broken_at = i;
    result->value = value;
    result->actual = actual;
}

/* What an element is compared with: what is right, or what another backend gave for it. */
static double wanted(const expected *e, const float *other, size_t i)
{
    return other != NULL && isfinite(e->value[i]) ? (double)other[i] : e->value[i];
}

int expected_compare_with(const expected *e, monarch_dtype dtype, const float *actual,
                          const float *other, comparison *result)
{
    double eps = tolerance_eps(dtype), errors = 0.0, norm = 0.0, sides = other != NULL ? 2.0 : 1.0;

    memset(result, 0, sizeof *result);
    result->worst_error = -1.0;
    for (size_t i = 0; i < e->count; i++) {
        double value = wanted(e, other, i), x = (double)actual[i], error, units;
        if (isnan(e->value[i]))
            continue;
        if (!isfinite(value) || !isfinite(x)) {
            if (isinf(e->value[i]) ? value != x : 1)
                note_broken(result, i, value, x);
            continue;
        }
        error = fabs(x - value);
        units = in_units(error, e->magnitude[i]);
        errors += error * error;
        norm += value * value;
        if (units > result->worst_error) {
            result->worst = i;
            result->worst_error = units;
            if (result->broken == 0) {
                result->value = value;
                result->actual = x;
            }
        }
    }
    result->error = sqrt(errors);
    result->relative = norm > 0.0 ? sqrt(errors / norm) : 0.0;
    result->limit = sides * (2.0 * e->naive_frobenius + eps * sqrt(norm));
    result->worst_limit = sides * (2.0 * e->naive_worst + eps);
    return result->broken == 0 && result->error <= result->limit &&
           result->worst_error <= result->worst_limit;
}

int expected_compare(const expected *e, monarch_dtype dtype, const float *actual,
                     comparison *result)
{
    return expected_compare_with(e, dtype, actual, NULL, result);
}

void expected_place(const expected *e, size_t element, int64_t at[5])
{
    int64_t rest = (int64_t)element;

    for (int i = 4; i >= 0; i--) {
        at[i] = rest % e->shape[i];
        rest /= e->shape[i];
    }
}

double expected_units(const expected *e, const float *actual, const float *other, size_t i)
{
    double value = wanted(e, other, i), x = (double)actual[i];

    if (isnan(e->value[i]))
        return NAN;
    if (!isfinite(value) || !isfinite(x))
        return isinf(e->value[i]) && value == x ? 0.0 : INFINITY;
    return in_units(fabs(x - value), e->magnitude[i]);
}

void comparison_print(const expected *e, const comparison *result, char *text, size_t capacity)
{
    int64_t at[5];

    expected_place(e, result->broken > 0 ? result->broken_at : result->worst, at);
    snprintf(text, capacity,
             "%s: error %.3g (limit %.3g, relative %.3g), worst element %.3g (limit %.3g, in units "
             "of its magnitude), %zu not finite; at [%" PRId64 ", %" PRId64 ", %" PRId64
             ", %" PRId64 ", %" PRId64 "] %.9g instead of %.9g",
             e->name, result->error, result->limit, result->relative, result->worst_error,
             result->worst_limit, result->broken, at[0], at[1], at[2], at[3], at[4], result->actual,
             result->value);
}
