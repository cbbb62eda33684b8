/* SPDX-License-Identifier: Apache-2.0 */
#include "cuda_scene.h"

#include <stdio.h>
#include <stdlib.h>

static void *take(void *user, size_t size, size_t alignment)
{
    cuda_scene *s = user;
    void *pointer = NULL;
    __atomic_add_fetch(&s->requests, 1, __ATOMIC_RELAXED);
    if (posix_memalign(&pointer, alignment, size) != 0)
        return NULL;
    __atomic_add_fetch(&s->allocations, 1, __ATOMIC_RELAXED);
    return pointer;
}

static void give(void *user, void *pointer)
{
    cuda_scene *s = user;
    __atomic_sub_fetch(&s->allocations, 1, __ATOMIC_RELAXED);
    free(pointer);
}

static void note(void *user, monarch_log_level level, const char *message)
{
    cuda_scene *s = user;
    size_t length = strlen(s->log);
    if (level == MONARCH_LOG_WARNING)
        snprintf(s->log + length, sizeof s->log - length, "%s\n", message);
}

monarch_instance_params cuda_scene_params(cuda_scene *s)
{
    monarch_instance_params params = monarch_instance_params_default();
    params.backends = "cuda";
    params.allocator = (monarch_allocator){take, give, s};
    params.log = note;
    params.log_user = s;
    return params;
}

static bool takes_whole_blocks_alone(const char *variant)
{
    return variant && strcmp(variant, "slice") == 0;
}

size_t cuda_scene_elements(const char *variant)
{
    return takes_whole_blocks_alone(variant) ? 4096 * 64 : FIXTURE_Q;
}

monarch_problem cuda_scene_problem(const char *variant)
{
    if (takes_whole_blocks_alone(variant))
        return cuda_scene_shape(1, 1, 4096, 64, 64, 1);
    monarch_problem problem = fixture_problem();
    monarch_problem_set_dtype(&problem, MONARCH_F16); /* which every variant takes */
    problem.has_mask = 1;
    return problem;
}

void cuda_scene_open(cuda_scene *s)
{
    monarch_error error = {MONARCH_OK, ""};
    memset(s, 0, sizeof *s);
    monarch_instance_params params = cuda_scene_params(s);
    fixture_ok("instance", monarch_instance_create(&params, &s->instance, &error), &error);
    fixture_ok("find", monarch_instance_find(s->instance, "cuda", &s->device, &error), &error);
}

static monarch_memory make_buffer(cuda_scene *s, size_t size, monarch_buffer **buffer)
{
    monarch_error error = {MONARCH_OK, ""};
    fixture_ok("buffer", monarch_buffer_create(s->device, size, buffer, &error), &error);
    return monarch_buffer_memory(*buffer, 0);
}

void cuda_scene_prepare(cuda_scene *s, const char *variant)
{
    monarch_error error = {MONARCH_OK, ""};
    monarch_problem problem = cuda_scene_problem(variant);
    const size_t bytes = sizeof(uint16_t) * cuda_scene_elements(variant); /* at least */
    monarch_plan_options options = monarch_plan_options_default();
    options.variant = variant;
    fixture_ok("queue", monarch_queue_create(s->device, &s->queue, &error), &error);
    fixture_ok("plan", monarch_plan_create(s->device, &problem, &options, &s->plan, &error),
               &error);
    s->args = monarch_plan_args_default();
    s->args.q = make_buffer(s, bytes, &s->q);
    s->args.k = make_buffer(s, bytes, &s->k);
    s->args.v = make_buffer(s, bytes, &s->v);
    s->args.out = make_buffer(s, bytes, &s->out);
    if (problem.has_mask)
        s->args.mask = make_buffer(s, FIXTURE_MASK, &s->mask);
    fixture_ok("workspace", monarch_plan_workspace_create(s->plan, &s->workspace, &error), &error);
    s->args.workspace = monarch_buffer_memory(s->workspace, 0);
}

void cuda_scene_close(cuda_scene *s)
{
    monarch_buffer_destroy(&s->q);
    monarch_buffer_destroy(&s->k);
    monarch_buffer_destroy(&s->v);
    monarch_buffer_destroy(&s->out);
    monarch_buffer_destroy(&s->mask);
    monarch_buffer_destroy(&s->workspace);
    monarch_plan_destroy(&s->plan);
    monarch_queue_destroy(&s->queue);
    monarch_instance_destroy(&s->instance);
    assert_int_equal(s->allocations, 0);
    cuda_scene_check_clean();
    assert_string_equal(s->log, "");
}

void cuda_scene_variants(const monarch_device *device, void (*visit)(const char *variant))
{
    monarch_device_info info = {.struct_size = sizeof info};
    fixture_ok("info", monarch_device_info_get(device, &info, NULL), NULL);
    assert_true(strlen(info.variants) > 0);
    char name[sizeof info.variants];
    for (const char *at = info.variants; *at;) {
        size_t length = strcspn(at, " ");
        snprintf(name, sizeof name, "%.*s", (int)length, at);
        visit(name);
        at += length + strspn(at + length, " ");
    }
}

void cuda_scene_check_clean(void)
{
    const fake_cuda *fake = fake_cuda_state();
    const fake_live *live = &fake->live;
    if (fake->misuses > 0)
        fail_msg("%d misuses of the driver, the last: %s", fake->misuses, fake->misuse);
    int left = live->contexts + live->modules + live->streams + live->events + live->graphs +
               live->executables + live->memories;
    if (left != 0)
        fail_msg("left: contexts %d, modules %d, streams %d, events %d, graphs %d, executables "
                 "%d, memories %d",
                 live->contexts, live->modules, live->streams, live->events, live->graphs,
                 live->executables, live->memories);
    assert_int_equal(fake_cuda_depth(), 0);
}

monarch_problem cuda_scene_shape(int64_t batch, int64_t heads, int64_t tokens, int64_t block,
                                 int64_t dim, int32_t steps)
{
    monarch_problem problem = monarch_problem_default();
    problem.batch = batch;
    problem.heads = heads;
    problem.tokens = tokens;
    problem.block_size = block;
    problem.head_dim = dim;
    problem.steps = steps;
    monarch_problem_set_dtype(&problem, MONARCH_F16);
    return problem;
}

monarch_plan *cuda_scene_plan(const cuda_scene *s, const monarch_problem *problem,
                              const char *variant)
{
    monarch_error error = {MONARCH_OK, ""};
    monarch_plan *plan;
    monarch_plan_options options = monarch_plan_options_default();
    options.variant = variant;
    fixture_ok("plan", monarch_plan_create(s->device, problem, &options, &plan, &error), &error);
    return plan;
}

void cuda_scene_expect(const cuda_scene *s, const monarch_problem *problem, const char *variant)
{
    monarch_plan *plan = cuda_scene_plan(s, problem, NULL);
    monarch_stage_info info = {.struct_size = sizeof info};
    monarch_error error = {MONARCH_OK, ""};
    fixture_ok("stage", monarch_plan_stage(plan, 0, &info, &error), &error);
    if (strcmp(info.variant, variant) != 0)
        fail_msg("%d heads of %d tokens, D = %d, T = %d: %s instead of %s",
                 (int)(problem->batch * problem->heads), (int)problem->tokens,
                 (int)problem->head_dim, (int)problem->steps, info.variant, variant);
    monarch_plan_destroy(&plan);
}

int cuda_scene_calls(const char *name)
{
    const fake_cuda *fake = fake_cuda_state();
    int count = 0;
    for (uint64_t i = 0; i < fake->calls && i < FAKE_CALLS; i++)
        count += strcmp(fake->names[i], name) == 0;
    return count;
}
