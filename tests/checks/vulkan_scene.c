/* SPDX-License-Identifier: Apache-2.0 */
#include "vulkan_scene.h"

#include <stdio.h>
#include <stdlib.h>

static void *take(void *user, size_t size, size_t alignment)
{
    vulkan_scene *s = user;
    void *pointer = NULL;
    if (posix_memalign(&pointer, alignment, size) != 0)
        return NULL;
    __atomic_add_fetch(&s->allocations, 1, __ATOMIC_RELAXED);
    return pointer;
}

static void give(void *user, void *pointer)
{
    vulkan_scene *s = user;
    __atomic_sub_fetch(&s->allocations, 1, __ATOMIC_RELAXED);
    free(pointer);
}

static void note(void *user, monarch_log_level level, const char *message)
{
    vulkan_scene *s = user;
    size_t length = strlen(s->log);
    if (level == MONARCH_LOG_WARNING)
        snprintf(s->log + length, sizeof s->log - length, "%s\n", message);
}

monarch_instance_params vulkan_scene_params(vulkan_scene *s)
{
    monarch_instance_params params = monarch_instance_params_default();
    params.backends = "vulkan";
    params.allocator = (monarch_allocator){take, give, s};
    params.log = note;
    params.log_user = s;
    return params;
}

monarch_problem vulkan_scene_problem(void)
{
    monarch_problem problem = fixture_problem();
    /* f16 is what every variant takes, on devices that have it. */
    monarch_problem_set_dtype(&problem, fake_vulkan_state()->int64 ? MONARCH_F16 : MONARCH_F32);
    problem.has_mask = 1;
    return problem;
}

void vulkan_scene_open(vulkan_scene *s)
{
    monarch_error error = {MONARCH_OK, ""};
    memset(s, 0, sizeof *s);
    monarch_instance_params params = vulkan_scene_params(s);
    fixture_ok("instance", monarch_instance_create(&params, &s->instance, &error), &error);
    fixture_ok("find", monarch_instance_find(s->instance, "vulkan", &s->device, &error), &error);
}

static monarch_memory make_buffer(vulkan_scene *s, size_t size, monarch_buffer **buffer)
{
    monarch_error error = {MONARCH_OK, ""};
    fixture_ok("buffer", monarch_buffer_create(s->device, size, buffer, &error), &error);
    return monarch_buffer_memory(*buffer, 0);
}

void vulkan_scene_prepare(vulkan_scene *s, const char *variant)
{
    monarch_error error = {MONARCH_OK, ""};
    monarch_problem problem = vulkan_scene_problem();
    const size_t size = monarch_dtype_size(problem.q.dtype);
    monarch_plan_options options = monarch_plan_options_default();
    options.variant = variant;
    fixture_ok("queue", monarch_queue_create(s->device, &s->queue, &error), &error);
    fixture_ok("plan", monarch_plan_create(s->device, &problem, &options, &s->plan, &error),
               &error);
    s->args = monarch_plan_args_default();
    s->args.q = make_buffer(s, size * FIXTURE_Q, &s->q);
    s->args.k = make_buffer(s, size * FIXTURE_K, &s->k);
    s->args.v = make_buffer(s, size * FIXTURE_V, &s->v);
    s->args.out = make_buffer(s, size * FIXTURE_OUT, &s->out);
    s->args.mask = make_buffer(s, FIXTURE_MASK, &s->mask);
    fixture_ok("workspace", monarch_plan_workspace_create(s->plan, &s->workspace, &error), &error);
    s->args.workspace = monarch_buffer_memory(s->workspace, 0);
}

void vulkan_scene_close(vulkan_scene *s)
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
    vulkan_scene_check_clean();
    assert_string_equal(s->log, "");
}

void vulkan_scene_check_clean(void)
{
    const fake_vulkan *fake = fake_vulkan_state();
    const fake_live *live = &fake->live;
    if (fake->misuses > 0)
        fail_msg("%d misuses of the driver, the last: %s", fake->misuses, fake->misuse);
    if (fake_vulkan_alive() != 0)
        fail_msg("left: instances %d, devices %d, memories %d, buffers %d, semaphores %d, command "
                 "pools %d, query pools %d, shaders %d, layouts %d, pipelines %d, caches %d",
                 live->instances, live->devices, live->memories, live->buffers, live->semaphores,
                 live->command_pools, live->query_pools, live->shader_modules, live->layouts,
                 live->pipelines, live->caches);
}
