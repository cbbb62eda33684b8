/* SPDX-License-Identifier: Apache-2.0 */
#include "verification.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

monarch_verify_finding verify_finding(const verify_run *run, monarch_verify_check check,
                                      int32_t stage)
{
    monarch_verify_finding f = {.check = check, .stage = stage, .token = -1};
    int32_t last = (int32_t)run->v->r.stage_count - 1;

    if (stage >= 0 && stage % 2 == 0)
        f.kind = stage == last - 1 ? MONARCH_STAGE_RIGHT_VALUE : MONARCH_STAGE_RIGHT;
    else
        f.kind = stage == last ? MONARCH_STAGE_LEFT_OUT : MONARCH_STAGE_LEFT;
    return f;
}

/* How near a finding is to its limits; above 1 beyond them. */
static double nearness(const monarch_verify_finding *f)
{
    double whole = f->limit > 0.0 ? f->error / f->limit : 0.0;
    double element = f->worst_limit > 0.0 ? f->worst / f->worst_limit : 0.0;

    if (f->not_finite != 0)
        return INFINITY;
    return whole > element ? whole : element;
}

/* The stage that a failed finding accuses: of whole results the one after the last. */
static int32_t accused(const verify_run *run, const monarch_verify_finding *f)
{
    return f->stage >= 0 ? f->stage : (int32_t)run->v->r.stage_count;
}

/* Whether a finding says more than the one that the summary shows so far. */
static int says_more(const verify_run *run, const monarch_verify_finding *f)
{
    const monarch_verify_summary *s = run->summary;

    if (s->passed + s->failed + s->skipped == 0)
        return 1;
    if (f->verdict == MONARCH_VERIFY_FAIL && s->stage >= 0) {
        int32_t stage = accused(run, f);
        if (stage != s->stage || f->check != s->worst.check)
            return stage < s->stage;
        return nearness(f) > nearness(&s->worst);
    }
    if (s->stage >= 0)
        return 0;
    if (f->verdict != s->worst.verdict) /* failed before passed before left out */
        return f->verdict == MONARCH_VERIFY_FAIL || s->worst.verdict == MONARCH_VERIFY_SKIP;
    return nearness(f) > nearness(&s->worst);
}

void verify_tell(verify_run *run, monarch_verify_finding *finding, const float *map)
{
    monarch_verify_summary *s = run->summary;

    if (says_more(run, finding))
        s->worst = *finding;
    if (finding->verdict == MONARCH_VERIFY_FAIL &&
        (s->stage < 0 || accused(run, finding) < s->stage))
        s->stage = accused(run, finding);
    s->passed += finding->verdict == MONARCH_VERIFY_PASS;
    s->failed += finding->verdict == MONARCH_VERIFY_FAIL;
    s->skipped += finding->verdict == MONARCH_VERIFY_SKIP;
    finding->map = map;
    finding->map_rows = map != NULL ? run->v->r.inputs.blocks : 0;
    finding->map_columns = map != NULL ? run->v->r.inputs.block : 0;
    if (run->report != NULL)
        run->report(run->user, finding);
}

void verify_tell_status(verify_run *run, monarch_verify_check check, int32_t stage,
                        monarch_status status, const monarch_error *error)
{
    monarch_verify_finding f = verify_finding(run, check, stage);

    f.verdict = status == MONARCH_ERROR_UNSUPPORTED ? MONARCH_VERIFY_SKIP : MONARCH_VERIFY_FAIL;
    snprintf(f.text, sizeof f.text, "%s: %.350s", monarch_status_name(status), error->message);
    verify_tell(run, &f, NULL);
}

void verify_tell_failure(verify_run *run, monarch_verify_check check, int32_t stage,
                         const char *format, ...)
{
    monarch_verify_finding f = verify_finding(run, check, stage);
    va_list arguments;

    f.verdict = MONARCH_VERIFY_FAIL;
    va_start(arguments, format);
    vsnprintf(f.text, sizeof f.text, format, arguments);
    va_end(arguments);
    verify_tell(run, &f, NULL);
}

/* Batch, head, block, position and token of an element of a stage's output or of the result. */
static void set_place(const verify_run *run, const expected *e, size_t element,
                      monarch_verify_finding *f)
{
    const test_inputs *inputs = &run->v->r.inputs;
    int64_t at[5];

    expected_place(e, element, at);
    f->batch = at[0];
    f->head = at[1];
    f->feature = at[4];
    if (e == &run->v->r.out || strcmp(e->name, "out") == 0) {
        f->token = at[2];
        f->block = (at[2] + inputs->q.first) / inputs->block;
        f->position = (at[2] + inputs->q.first) % inputs->block;
        return;
    }
    f->block = at[2];
    f->position = at[3];
    f->token = f->block * inputs->block + f->position - inputs->q.first;
    if (f->token < 0 || f->token >= inputs->q.tokens)
        f->token = -1;
}

/* Errors of one (batch, head) in units of the limit, the largest of each row's features. */
static float *make_map(const verify_run *run, const expected *e, const float *actual,
                       const float *other, const monarch_verify_finding *f)
{
    const test_inputs *inputs = &run->v->r.inputs;
    size_t cells = (size_t)(inputs->blocks * inputs->block);
    size_t features = (size_t)e->shape[4], rows = (size_t)(e->shape[2] * e->shape[3]);
    size_t head = (size_t)(f->batch * inputs->q.heads + f->head);
    size_t first = strcmp(e->name, "out") == 0 ? (size_t)inputs->q.first : 0;
    float *map = test_alloc(cells, sizeof *map);

    for (size_t i = 0; i < cells; i++)
        map[i] = NAN;
    for (size_t row = 0; row < rows; row++)
        for (size_t i = 0; i < features; i++) {
            size_t element = (head * rows + row) * features + i;
            double units = expected_units(e, actual, other, element) / f->worst_limit;
            float *cell = &map[row + first];
            if (!isnan(units) && !(units < (double)*cell))
                *cell = (float)units;
        }
    return map;
}

static void set_numbers(const verify_run *run, const expected *e, const comparison *result,
                        monarch_verify_finding *f)
{
    snprintf(f->array, sizeof f->array, "%s", e->name);
    f->error = result->error;
    f->limit = result->limit;
    f->relative = result->relative;
    f->worst = result->worst_error > 0.0 ? result->worst_error : 0.0;
    f->worst_limit = result->worst_limit;
    f->not_finite = (int64_t)result->broken;
    f->actual = result->actual;
    f->expected = result->value;
    set_place(run, e, result->broken > 0 ? result->broken_at : result->worst, f);
}

/* Which of the two sides is wrong by the reference, for a difference that is too large. */
static void blame(const verify_run *run, const expected *e, const float *actual, const float *other,
                  monarch_verify_finding *f)
{
    monarch_dtype dtype = run->v->r.inputs.dtype;
    comparison mine, theirs;
    int right = expected_compare(e, dtype, actual, &mine);
    int other_right = expected_compare(e, dtype, other, &theirs);

    snprintf(f->text, sizeof f->text,
             "against the reference: %s is %s (error %.3g, limit %.3g), %s is %s (error %.3g, "
             "limit %.3g)",
             run->subject->name, right ? "right" : "wrong", mine.error, mine.limit,
             run->v->against->subject.name, other_right ? "right" : "wrong", theirs.error,
             theirs.limit);
}

void verify_compare(verify_run *run, monarch_verify_check check, int32_t stage, const expected *e,
                    const float *actual, const float *other)
{
    monarch_verify_finding f = verify_finding(run, check, stage);
    monarch_dtype dtype = run->v->r.inputs.dtype;
    comparison result;
    float *map = NULL;
    int right;

    if (e->count == 0)
        return;
    right = expected_compare_with(e, dtype, actual, other, &result);
    if (!right && e->refine != NULL) { /* before an error counts, its yardstick is measured again */
        e->refine(e->owner);
        right = expected_compare_with(e, dtype, actual, other, &result);
    }
    f.verdict = right ? MONARCH_VERIFY_PASS : MONARCH_VERIFY_FAIL;
    set_numbers(run, e, &result, &f);
    if (!right && other != NULL)
        blame(run, e, actual, other, &f);
    if (run->v->maps)
        map = make_map(run, e, actual, other, &f);
    verify_tell(run, &f, map);
    free(map);
}

void verify_compare_stage(verify_run *run, monarch_verify_check check, uint32_t index,
                          const stage_expected *stage, const stage_arrays *actual,
                          const stage_arrays *other)
{
    static const stage_arrays none = {NULL, NULL, NULL, NULL, NULL};
    int32_t s = (int32_t)index;

    if (other == NULL)
        other = &none;
    verify_compare(run, check, s, &stage->aL, actual->aL, other->aL);
    verify_compare(run, check, s, &stage->cL, actual->cL, other->cL);
    verify_compare(run, check, s, &stage->aR, actual->aR, other->aR);
    verify_compare(run, check, s, &stage->cR, actual->cR, other->cR);
    verify_compare(run, check, s, &stage->y, actual->y, other->y);
}
