/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Threads x plans x devices. On every device: one plan executed by several threads at once, each
 * with a queue and buffers of its own, while others make and destroy plans of other problems; all
 * give the bits of a lone run. All devices at once. Two instances side by side, of which one ends
 * while the other works on. `test_thread_device [BACKEND]`; on a stand-in driver nothing is
 * computed, and what counts is what ThreadSanitizer sees.
 */

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "device_scene.h"

enum { THREADS = 4, ROUNDS = 6, MOST_DEVICES = 32 };

/* What one thread does; complaints are told by the main thread. */
typedef struct job {
    device_scene scene; /* instance, device and plan are shared */
    const uint16_t *expected;
    int number;
    char failure[640];
} job;

static bool failed(job *j, const char *what, monarch_status status, const monarch_error *error)
{
    if (status != MONARCH_OK)
        snprintf(j->failure, sizeof j->failure, "%s: %s: %.500s", j->scene.name, what,
                 error->message);
    return status != MONARCH_OK;
}

static bool is_own_step(const char *name)
{
    return strcmp(name, "instance") != 0 && strcmp(name, "find") != 0 && strcmp(name, "plan") != 0;
}

static void execute_rounds(job *j)
{
    monarch_error error = {MONARCH_OK, ""};
    for (size_t i = 0; i < device_step_count && !j->failure[0]; i++)
        if (is_own_step(device_steps[i].name))
            failed(j, device_steps[i].name, device_steps[i].run(&j->scene, &error), &error);
    for (int round = 0; round < ROUNDS && !j->failure[0]; round++)
        if (!failed(j, "execute", device_scene_execute(&j->scene, &error), &error) &&
            memcmp(j->scene.result, j->expected, sizeof j->scene.result) != 0)
            snprintf(j->failure, sizeof j->failure, "%s: round %d differs from the lone run",
                     j->scene.name, round);
}

/* Plans of other problems come and go meanwhile. */
static void plan_rounds(job *j)
{
    monarch_error error = {MONARCH_OK, ""};
    for (int round = 0; round < ROUNDS && !j->failure[0]; round++) {
        monarch_problem problem = fixture_problem();
        monarch_plan *plan = NULL;
        char text[256];
        problem.steps = 1 + (round + j->number) % 3;
        problem.batch = 1 + round;
        monarch_problem_set_dtype(&problem, round % 2 ? MONARCH_BF16 : MONARCH_F16);
        monarch_status status = monarch_plan_create(j->scene.device, &problem, NULL, &plan, &error);
        if (failed(j, "plan", status, &error))
            break;
        monarch_plan_describe(plan, text, sizeof text);
        monarch_plan_describe(j->scene.plan, text, sizeof text);
        monarch_plan_destroy(&plan);
    }
}

static void *work(void *argument)
{
    job *j = argument;
    if (j->number % 3 == 2)
        plan_rounds(j);
    else
        execute_rounds(j);
    j->scene.instance = NULL; /* shared, as is the plan */
    j->scene.plan = NULL;
    device_scene_close(&j->scene);
    return NULL;
}

/* A device, what its lone run gave, and the threads on it. */
typedef struct lone {
    device_scene scene;
    char name[40];
    uint16_t result[FIXTURE_OUT];
    job jobs[THREADS];
    pthread_t threads[THREADS];
} lone;

static lone lones[MOST_DEVICES];
static int lone_count;
static const char *only;

static void add_lone(const char *name, const char *variants)
{
    (void)variants;
    lone *l = &lones[lone_count++];
    snprintf(l->name, sizeof l->name, "%s", name);
    device_scene_init(&l->scene, l->name, NULL, 7);
    device_scene_run(&l->scene, "instance", "execute");
    memcpy(l->result, l->scene.result, sizeof l->result);
}

static void close_lones(void)
{
    for (int i = 0; i < lone_count; i++)
        device_scene_close(&lones[i].scene);
    lone_count = 0;
}

static void start(lone *l)
{
    for (int i = 0; i < THREADS; i++) {
        job *j = &l->jobs[i];
        memset(j, 0, sizeof *j);
        j->scene.name = l->name;
        j->scene.bytes = l->scene.bytes;
        j->scene.instance = l->scene.instance;
        j->scene.device = l->scene.device;
        j->scene.plan = l->scene.plan;
        j->expected = l->result;
        j->number = i;
        assert_int_equal(pthread_create(&l->threads[i], NULL, work, j), 0);
    }
}

static void join(lone *l)
{
    for (int i = 0; i < THREADS; i++)
        pthread_join(l->threads[i], NULL);
    for (int i = 0; i < THREADS; i++)
        if (l->jobs[i].failure[0])
            fail_msg("thread %d: %s", i, l->jobs[i].failure);
}

static bool visit_all(void)
{
    if (device_scene_visit(only, add_lone) > 0)
        return true;
    print_message("skipped: there is no device of backend %s\n", only ? only : "");
    return false;
}

static void test_each_device(void **state)
{
    (void)state;
    if (!visit_all())
        skip();
    for (int i = 0; i < lone_count; i++) {
        start(&lones[i]);
        join(&lones[i]);
        print_message("%s: %d threads\n", lones[i].name, THREADS);
    }
    close_lones();
}

static void test_all_devices_at_once(void **state)
{
    (void)state;
    if (!visit_all())
        skip();
    for (int i = 0; i < lone_count; i++)
        start(&lones[i]);
    for (int i = 0; i < lone_count; i++)
        join(&lones[i]);
    close_lones();
}

/* The same device in two instances; the end of one does not disturb the other. */
static void test_two_instances(void **state)
{
    (void)state;
    if (!visit_all())
        skip();
    for (int i = 0; i < lone_count; i++) {
        static device_scene second;
        monarch_error error = {MONARCH_OK, ""};
        device_scene_init(&second, lones[i].name, NULL, 7);
        device_scene_run(&second, "instance", "execute");
        assert_ptr_not_equal(second.instance, lones[i].scene.instance);
        assert_memory_equal(second.result, lones[i].result, sizeof second.result);
        fixture_ok("first", device_scene_execute(&lones[i].scene, &error), &error);
        assert_memory_equal(lones[i].scene.result, lones[i].result, sizeof second.result);
        device_scene_close(&lones[i].scene);
        fixture_ok("second", device_scene_execute(&second, &error), &error);
        assert_memory_equal(second.result, lones[i].result, sizeof second.result);
        device_scene_close(&second);
    }
    close_lones();
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_each_device),
                                       cmocka_unit_test(test_all_devices_at_once),
                                       cmocka_unit_test(test_two_instances)};
    only = argc > 1 ? argv[1] : NULL;
    return cmocka_run_group_tests_name("thread_device", tests, NULL, NULL);
}
