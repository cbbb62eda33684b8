/* SPDX-License-Identifier: Apache-2.0 */
#include "device_scene.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { MOST_BYTES = 2 * FIXTURE_Q };

static char inputs[MOST_BYTES + FIXTURE_MASK];

void device_scene_init(device_scene *s, const char *name, const char *variant, uint64_t seed)
{
    uint64_t state = seed;
    memset(s, 0, sizeof *s);
    s->params = monarch_instance_params_default();
    s->params.cpu_threads = 2;
    s->name = name;
    s->variant = variant;
    for (size_t i = 0; i < MOST_BYTES / 2; i++) { /* f16 numbers between 0.5 and 2, of any sign */
        uint16_t number = (uint16_t)(0x3800u | (fixture_random(&state) & 0x87ffu));
        memcpy(&inputs[2 * i], &number, 2);
    }
    for (size_t i = 0; i < FIXTURE_MASK; i++)
        inputs[MOST_BYTES + i] = (char)(i % 3 != 1);
    s->bytes = inputs;
}

static monarch_status make_instance(device_scene *s, monarch_error *error)
{
    char backend[32];
    snprintf(backend, sizeof backend, "%.*s", (int)strcspn(s->name, ":"), s->name);
    s->params.backends = backend;
    s->instance = (monarch_instance *)s;
    return monarch_instance_create(&s->params, &s->instance, error);
}

static monarch_status find_device(device_scene *s, monarch_error *error)
{
    return monarch_instance_find(s->instance, s->name, &s->device, error);
}

static monarch_status make_queue(device_scene *s, monarch_error *error)
{
    s->queue = (monarch_queue *)s;
    return monarch_queue_create(s->device, &s->queue, error);
}

static monarch_problem problem_of(void)
{
    monarch_problem problem = fixture_problem();
    monarch_problem_set_dtype(&problem, MONARCH_F16); /* which every variant takes */
    problem.has_mask = 1;
    return problem;
}

static monarch_status make_plan(device_scene *s, monarch_error *error)
{
    monarch_problem problem = problem_of();
    monarch_plan_options options = monarch_plan_options_default();
    options.variant = s->variant;
    s->plan = (monarch_plan *)s;
    return monarch_plan_create(s->device, &problem, &options, &s->plan, error);
}

static monarch_status make_workspace(device_scene *s, monarch_error *error)
{
    s->workspace = (monarch_buffer *)s;
    return monarch_plan_workspace_create(s->plan, &s->workspace, error);
}

static monarch_status make_buffer(device_scene *s, monarch_buffer **buffer, size_t size,
                                  monarch_error *error)
{
    *buffer = (monarch_buffer *)s;
    return monarch_buffer_create(s->device, size, buffer, error);
}

static monarch_status make_q(device_scene *s, monarch_error *error)
{
    return make_buffer(s, &s->q, 2 * FIXTURE_Q, error);
}

static monarch_status make_k(device_scene *s, monarch_error *error)
{
    return make_buffer(s, &s->k, 2 * FIXTURE_K, error);
}

static monarch_status make_v(device_scene *s, monarch_error *error)
{
    return make_buffer(s, &s->v, 2 * FIXTURE_V, error);
}

static monarch_status make_mask(device_scene *s, monarch_error *error)
{
    return make_buffer(s, &s->mask, FIXTURE_MASK, error);
}

static monarch_status make_out(device_scene *s, monarch_error *error)
{
    return make_buffer(s, &s->out, 2 * FIXTURE_OUT, error);
}

static monarch_status write_all(device_scene *s, monarch_error *error)
{
    monarch_status status = monarch_buffer_write(s->queue, s->q, 0, s->bytes, 2 * FIXTURE_Q, error);
    if (status == MONARCH_OK)
        status = monarch_buffer_write(s->queue, s->k, 0, s->bytes + 7, 2 * FIXTURE_K - 8, error);
    if (status == MONARCH_OK)
        status = monarch_buffer_write(s->queue, s->k, 0, s->bytes + 8, 2 * FIXTURE_K, error);
    if (status == MONARCH_OK)
        status = monarch_buffer_write(s->queue, s->v, 0, s->bytes + 16, 2 * FIXTURE_V, error);
    if (status == MONARCH_OK)
        status =
            monarch_buffer_write(s->queue, s->mask, 0, s->bytes + MOST_BYTES, FIXTURE_MASK, error);
    return status;
}

monarch_status device_scene_execute(device_scene *s, monarch_error *error)
{
    s->args = monarch_plan_args_default();
    s->args.q = monarch_buffer_memory(s->q, 0);
    s->args.k = monarch_buffer_memory(s->k, 0);
    s->args.v = monarch_buffer_memory(s->v, 0);
    s->args.mask = monarch_buffer_memory(s->mask, 0);
    s->args.out = monarch_buffer_memory(s->out, 0);
    s->args.workspace = monarch_buffer_memory(s->workspace, 0);
    fixture_poison(s->result, sizeof s->result);
    monarch_status status =
        monarch_buffer_write(s->queue, s->out, 0, s->result, sizeof s->result, error);
    if (status == MONARCH_OK)
        status = monarch_plan_execute(s->plan, s->queue, &s->args, error);
    if (status == MONARCH_OK)
        status = monarch_queue_wait(s->queue, error);
    return status == MONARCH_OK
               ? monarch_buffer_read(s->queue, s->out, 0, s->result, sizeof s->result, error)
               : status;
}

static monarch_status measure(device_scene *s, monarch_error *error)
{
    double seconds[2];
    return monarch_plan_time(s->plan, s->queue, &s->args, 2, seconds, error);
}

static monarch_status attend(device_scene *s, monarch_error *error)
{
    monarch_problem problem = problem_of();
    return monarch_attention(s->device, &problem, s->bytes, s->bytes + 8, s->bytes + 16,
                             (const uint8_t *)s->bytes + MOST_BYTES, s->result, error);
}

const device_step device_steps[] = {
    {"instance", make_instance},
    {"find", find_device},
    {"queue", make_queue},
    {"plan", make_plan},
    {"workspace", make_workspace},
    {"q", make_q},
    {"k", make_k},
    {"v", make_v},
    {"mask", make_mask},
    {"out", make_out},
    {"write", write_all},
    {"execute", device_scene_execute},
    {"time", measure},
    {"attention", attend},
};
const size_t device_step_count = sizeof device_steps / sizeof device_steps[0];

void device_scene_run(device_scene *s, const char *first, const char *last)
{
    bool on = false;
    for (size_t i = 0; i < device_step_count; i++) {
        monarch_error error = {MONARCH_OK, ""};
        on |= strcmp(device_steps[i].name, first) == 0;
        if (on)
            fixture_ok(device_steps[i].name, device_steps[i].run(s, &error), &error);
        on &= strcmp(device_steps[i].name, last) != 0;
    }
}

void device_scene_close(device_scene *s)
{
    monarch_buffer_destroy(&s->q);
    monarch_buffer_destroy(&s->k);
    monarch_buffer_destroy(&s->v);
    monarch_buffer_destroy(&s->mask);
    monarch_buffer_destroy(&s->out);
    monarch_buffer_destroy(&s->workspace);
    monarch_plan_destroy(&s->plan);
    monarch_queue_destroy(&s->queue);
    monarch_instance_destroy(&s->instance);
}

int device_scene_visit(const char *backend, void (*visit)(const char *name, const char *variants))
{
    enum { MOST = 32 };
    static char names[MOST][40], variants[MOST][256];
    monarch_instance_params params = monarch_instance_params_default();
    monarch_instance *instance = NULL;
    monarch_error error = {MONARCH_OK, ""};
    int count = 0;
    params.backends = backend;
    fixture_ok("instance", monarch_instance_create(&params, &instance, &error), &error);
    for (uint32_t i = 0; i < monarch_instance_device_count(instance) && count < MOST; i++) {
        monarch_device_info info = {.struct_size = sizeof info};
        fixture_ok("info",
                   monarch_device_info_get(monarch_instance_device(instance, i), &info, &error),
                   &error);
        snprintf(names[count], sizeof names[count], "%s:%" PRIu32, info.backend, info.index);
        snprintf(variants[count], sizeof variants[count], "%s", info.variants);
        count++;
    }
    /* Closed before the visits, which may count what is alive. */
    monarch_instance_destroy(&instance);
    for (int i = 0; i < count; i++)
        if (strncmp(names[i], "cpu", 3) != 0)
            visit(names[i], variants[i]);
    for (int i = 0; i < count; i++)
        if (strncmp(names[i], "cpu", 3) == 0)
            visit(names[i], variants[i]);
    return count;
}
