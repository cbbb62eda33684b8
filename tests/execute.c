/* SPDX-License-Identifier: Apache-2.0 */
#include "execute.h"

#include <stdlib.h>
#include <string.h>

static monarch_status open_all(test_runner *runner, const char *variant, uint32_t promised,
                               const test_inputs *inputs, monarch_error *error)
{
    monarch_plan_options options = monarch_plan_options_default();
    monarch_status status;
    uint64_t alignment;

    options.variant = variant;
    options.alignment = promised;
    status = monarch_plan_create(runner->device, &inputs->problem, &options, &runner->plan, error);
    if (status != MONARCH_OK)
        return status;
    monarch_plan_workspace(runner->plan, &runner->workspace_size, &alignment);
    status = monarch_queue_create(runner->device, &runner->queue, error);
    if (status == MONARCH_OK)
        status = monarch_plan_workspace_create(runner->plan, &runner->workspace, error);
    for (size_t i = 0; i < inputs->memories && status == MONARCH_OK; i++)
        status = monarch_buffer_create(runner->device, inputs->memory[i]->size, &runner->buffers[i],
                                       error);
    return status;
}

monarch_status test_runner_open(test_runner *runner, monarch_device *device, const char *variant,
                                uint32_t alignment, const test_inputs *inputs, monarch_error *error)
{
    monarch_status status;

    memset(runner, 0, sizeof *runner);
    runner->device = device;
    status = open_all(runner, variant, alignment, inputs, error);
    if (status != MONARCH_OK)
        test_runner_close(runner);
    return status;
}

void test_runner_close(test_runner *runner)
{
    for (size_t i = 0; i < TEST_MEMORIES; i++)
        monarch_buffer_destroy(&runner->buffers[i]);
    monarch_buffer_destroy(&runner->workspace);
    monarch_queue_destroy(&runner->queue);
    monarch_plan_destroy(&runner->plan);
}

/* Which of the inputs' memories holds a tensor. */
static size_t memory_of(const test_inputs *inputs, const test_tensor *t)
{
    size_t i = 0;

    while (inputs->memory[i] != t->memory)
        i++;
    return i;
}

static monarch_memory place(const test_runner *runner, const test_inputs *inputs,
                            const test_tensor *t)
{
    return monarch_buffer_memory(runner->buffers[memory_of(inputs, t)], t->origin);
}

static monarch_status fill_workspace(test_runner *runner, int byte, monarch_error *error)
{
    unsigned char *bytes;
    monarch_status status;

    if (runner->workspace_size == 0)
        return MONARCH_OK;
    bytes = test_alloc((size_t)runner->workspace_size, 1);
    memset(bytes, byte, (size_t)runner->workspace_size);
    status = monarch_buffer_write(runner->queue, runner->workspace, 0, bytes,
                                  runner->workspace_size, error);
    free(bytes);
    return status;
}

monarch_status test_runner_execute(test_runner *runner, test_inputs *inputs, int workspace_byte,
                                   monarch_error *error)
{
    monarch_plan_args args = monarch_plan_args_default();
    monarch_status status = fill_workspace(runner, workspace_byte, error);

    for (size_t i = 0; i < inputs->memories && status == MONARCH_OK; i++)
        status = monarch_buffer_write(runner->queue, runner->buffers[i], 0,
                                      inputs->memory[i]->bytes, inputs->memory[i]->size, error);
    args.q = place(runner, inputs, &inputs->q);
    args.k = place(runner, inputs, &inputs->k);
    args.v = place(runner, inputs, &inputs->v);
    args.out = place(runner, inputs, &inputs->out);
    if (inputs->mask.memory != NULL)
        args.mask = place(runner, inputs, &inputs->mask);
    args.workspace = monarch_buffer_memory(runner->workspace, 0);
    if (status == MONARCH_OK)
        status = monarch_plan_execute(runner->plan, runner->queue, &args, error);
    if (status == MONARCH_OK)
        status = monarch_queue_wait(runner->queue, error);
    for (size_t i = 0; i < inputs->memories && status == MONARCH_OK; i++)
        status = monarch_buffer_read(runner->queue, runner->buffers[i], 0, inputs->memory[i]->bytes,
                                     inputs->memory[i]->size, error);
    return status;
}

/* Pointer to token 0 in copies that hold nothing but what the tensors span. */
static monarch_memory place_tight(unsigned char *const *copies, const test_inputs *inputs,
                                  const test_tensor *t)
{
    size_t number = memory_of(inputs, t);

    return monarch_host_memory(copies[number] + (t->origin - t->memory->first),
                               t->memory->last - t->origin);
}

monarch_status test_runner_execute_tight(test_runner *runner, test_inputs *inputs,
                                         monarch_error *error)
{
    monarch_plan_args args = monarch_plan_args_default();
    unsigned char *copies[TEST_MEMORIES] = {NULL};
    monarch_status status;

    for (size_t i = 0; i < inputs->memories; i++) {
        const test_memory *memory = inputs->memory[i];
        copies[i] = test_alloc(memory->last - memory->first, 1);
        memcpy(copies[i], memory->bytes + memory->first, memory->last - memory->first);
    }
    args.q = place_tight(copies, inputs, &inputs->q);
    args.k = place_tight(copies, inputs, &inputs->k);
    args.v = place_tight(copies, inputs, &inputs->v);
    args.out = place_tight(copies, inputs, &inputs->out);
    if (inputs->mask.memory != NULL)
        args.mask = place_tight(copies, inputs, &inputs->mask);
    args.workspace = monarch_buffer_memory(runner->workspace, 0);
    status = monarch_plan_execute(runner->plan, runner->queue, &args, error);
    if (status == MONARCH_OK)
        status = monarch_queue_wait(runner->queue, error);
    for (size_t i = 0; i < inputs->memories; i++) {
        test_memory *memory = inputs->memory[i];
        memcpy(memory->bytes + memory->first, copies[i], memory->last - memory->first);
        free(copies[i]);
    }
    return status;
}

static void *pointer_to(const test_tensor *t)
{
    return t->memory != NULL ? t->memory->bytes + t->origin : NULL;
}

monarch_status test_attention(monarch_device *device, test_inputs *inputs, monarch_error *error)
{
    return monarch_attention(device, &inputs->problem, pointer_to(&inputs->q),
                             pointer_to(&inputs->k), pointer_to(&inputs->v),
                             pointer_to(&inputs->mask), pointer_to(&inputs->out), error);
}

float *test_compute_on(monarch_device *device, const char *variant, test_inputs *inputs,
                       test_report *report)
{
    size_t count =
        (size_t)(inputs->out.batch * inputs->out.heads * inputs->out.tokens * inputs->out.features);
    test_runner runner;
    monarch_error error;
    monarch_status status = test_runner_open(&runner, device, variant, 0, inputs, &error);
    float *out;

    if (status == MONARCH_OK) {
        test_inputs_reset_output(inputs);
        status = test_runner_execute(&runner, inputs, TEST_POISON, &error);
        test_runner_close(&runner);
    }
    if (status != MONARCH_OK) {
        test_status(report, "execution", status, &error);
        return NULL;
    }
    out = test_alloc(count, sizeof *out);
    test_inputs_output(inputs, out);
    return out;
}

float *test_compute(const test_entry *entry, test_inputs *inputs, test_report *report)
{
    return test_compute_on(entry->target->device, entry->variant, inputs, report);
}
