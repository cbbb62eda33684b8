/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <monarch/monarch.h>

#include "harness.h"

/* What every stage hands on, on every device, variant, case and dtype. */

static const void *address(const test_tensor *t)
{
    return t->memory != NULL ? t->memory->bytes + t->origin : NULL;
}

static monarch_stage_tensors tensors_of(test_inputs *inputs)
{
    monarch_stage_tensors tensors = {
        .q = address(&inputs->q),
        .k = address(&inputs->k),
        .v = address(&inputs->v),
        .mask = address(&inputs->mask),
        .out = inputs->out.memory->bytes + inputs->out.origin,
    };

    return tensors;
}

/* Room for an array that is expected, filled with NaN; NULL for one that is not. */
static float *room_for(const expected *e)
{
    float *values;

    if (e->count == 0)
        return NULL;
    values = test_alloc(e->count, sizeof *values);
    memset(values, TEST_POISON, e->count * sizeof *values);
    return values;
}

static monarch_stage_values outputs_for(const stage_expected *stage)
{
    monarch_stage_values values = {room_for(&stage->aL), room_for(&stage->cL), room_for(&stage->aR),
                                   room_for(&stage->cR), room_for(&stage->y)};

    return values;
}

static void free_outputs(monarch_stage_values *values)
{
    free(values->aL);
    free(values->cL);
    free(values->aR);
    free(values->cR);
    free(values->y);
}

static void compare_stage(const reference *r, test_report *report, uint32_t index,
                          const stage_expected *stage, const monarch_stage_values *actual)
{
    char what[40];

    snprintf(what, sizeof what, "stage %u", index);
    test_compare(report, what, &stage->aL, r->inputs.dtype, actual->aL);
    test_compare(report, what, &stage->cL, r->inputs.dtype, actual->cL);
    test_compare(report, what, &stage->aR, r->inputs.dtype, actual->aR);
    test_compare(report, what, &stage->cR, r->inputs.dtype, actual->cR);
    test_compare(report, what, &stage->y, r->inputs.dtype, actual->y);
}

static void compare_out(const reference *r, test_report *report, const expected *e)
{
    float *out = test_alloc(e->count, sizeof *out);

    test_inputs_output(&r->inputs, out);
    test_compare(report, "last stage", e, r->inputs.dtype, out);
    free(out);
}

static void check_untouched(const test_inputs *inputs, test_report *report)
{
    char text[256];

    if (test_inputs_touched(inputs, text, sizeof text))
        test_fail(report, "%s", text);
}

/* The whole program: each stage works on what the device's own earlier stages gave. */
static void test_program(const test_entry *entry, test_report *report)
{
    reference *r = test_reference(entry);
    monarch_stage_tensors tensors = tensors_of(&r->inputs);
    monarch_stage_values *outputs = test_alloc(r->stage_count, sizeof *outputs);
    /* Where rounding decides the result, only the first stage has certain inputs. */
    uint32_t compared = r->determined ? r->stage_count : 1;
    monarch_error error;
    monarch_status status;

    for (uint32_t i = 0; i < r->stage_count; i++)
        outputs[i] = outputs_for(&r->stages[i]);
    status = monarch_stages_run(entry->target->device, &r->inputs.problem, entry->variant, &tensors,
                                outputs, r->stage_count, &error);
    if (status != MONARCH_OK) {
        test_status(report, "monarch_stages_run", status, &error);
    } else {
        for (uint32_t i = 0; i < compared; i++)
            compare_stage(r, report, i, &r->stages[i], &outputs[i]);
        if (r->determined)
            compare_out(r, report, &r->out);
        check_untouched(&r->inputs, report);
    }
    for (uint32_t i = 0; i < r->stage_count; i++)
        free_outputs(&outputs[i]);
    free(outputs);
}

/* Whether every byte of the output's memory is as it was. */
static int output_is_fresh(const test_inputs *inputs)
{
    const test_memory *memory = inputs->out.memory;

    return memcmp(memory->bytes, memory->before, memory->size) == 0;
}

static void run_alone(const test_entry *entry, test_report *report, reference *r, uint32_t index)
{
    const stage_alone *alone = reference_alone(r, index);
    monarch_stage_tensors tensors = tensors_of(&r->inputs);
    monarch_stage_values outputs = outputs_for(&alone->stage);
    monarch_stage_values inputs = {alone->inputs.aL, alone->inputs.cL, alone->inputs.aR,
                                   alone->inputs.cR, alone->inputs.y};
    monarch_error error;
    monarch_status status =
        monarch_stage_run(entry->target->device, &r->inputs.problem, entry->variant, index,
                          &tensors, &inputs, &outputs, &error);

    if (status != MONARCH_OK) {
        test_status(report, "monarch_stage_run", status, &error);
    } else {
        compare_stage(r, report, index, &alone->stage, &outputs);
        if (alone->out.count != 0)
            compare_out(r, report, &alone->out);
        else if (!output_is_fresh(&r->inputs))
            test_fail(report, "stage %u is not the last, but wrote the output", index);
        check_untouched(&r->inputs, report);
    }
    free_outputs(&outputs);
}

/* Each stage on the oracle's inputs, so that an error shows where it starts. */
static void test_alone(const test_entry *entry, test_report *report)
{
    reference *r = test_reference(entry);
    uint32_t compared = r->determined ? r->stage_count : 1;

    for (uint32_t i = 0; i < compared && !report->skipped; i++)
        run_alone(entry, report, r, i);
}

static const test_definition definitions[] = {
    {"program", test_program, SCOPE_VARIANT, 0, NULL, NULL},
    {"stage", test_alone, SCOPE_VARIANT, 0, NULL, NULL},
};

int main(int argc, char **argv)
{
    return test_main(argc, argv, "test_stage", definitions,
                     sizeof definitions / sizeof definitions[0]);
}
