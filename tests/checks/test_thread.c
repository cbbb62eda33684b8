/* SPDX-License-Identifier: Apache-2.0 */

/* One plan, many threads, each with its own queue, workspace and output: the bits of a lone run.
 * Small sizes and many rounds, so that ThreadSanitizer has something to look at. */

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "fixture.h"

enum { THREADS = 4, ROUNDS = 20 };

typedef struct job {
    monarch_device *device;
    const monarch_plan *plan;
    const monarch_problem *problem;
    const fixture_tensors *input; /* shared by all, read only */
    const float *expected;
    atomic_int *start;
    char failure[640];
} job;

static bool failed(job *j, const char *what, monarch_status status, const monarch_error *error)
{
    if (status == MONARCH_OK)
        return false;
    snprintf(j->failure, sizeof j->failure, "%s: %s", what, error->message);
    return true;
}

/* cmocka's asserts belong to the main thread, so a worker leaves its complaint in the job. */
static void wait_for_start(job *j)
{
    atomic_fetch_add(j->start, 1);
    while (atomic_load(j->start) < THREADS) {
    }
}

static bool execute_rounds(job *j, monarch_queue *queue, monarch_buffer *workspace)
{
    monarch_error error = {MONARCH_OK, ""};
    float out[FIXTURE_OUT];
    const fixture_tensors *t = j->input;
    monarch_plan_args args = monarch_plan_args_default();
    args.q = monarch_host_memory(t->q, sizeof t->q);
    args.k = monarch_host_memory(t->k, sizeof t->k);
    args.v = monarch_host_memory(t->v, sizeof t->v);
    args.mask = monarch_host_memory(t->mask, sizeof t->mask);
    args.out = monarch_host_memory(out, sizeof out);
    args.workspace = monarch_buffer_memory(workspace, 0);
    for (int round = 0; round < ROUNDS; round++) {
        fixture_poison(out, sizeof out);
        if (failed(j, "execute", monarch_plan_execute(j->plan, queue, &args, &error), &error) ||
            failed(j, "wait", monarch_queue_wait(queue, &error), &error))
            return false;
        if (memcmp(out, j->expected, sizeof out) != 0) {
            snprintf(j->failure, sizeof j->failure, "round %d differs from the lone run", round);
            return false;
        }
    }
    return true;
}

static void *execute_worker(void *argument)
{
    job *j = argument;
    monarch_error error = {MONARCH_OK, ""};
    monarch_queue *queue = NULL;
    monarch_buffer *workspace = NULL;
    wait_for_start(j);
    if (!failed(j, "queue", monarch_queue_create(j->device, &queue, &error), &error) &&
        !failed(j, "workspace", monarch_plan_workspace_create(j->plan, &workspace, &error), &error))
        execute_rounds(j, queue, workspace);
    monarch_buffer_destroy(&workspace);
    monarch_queue_destroy(&queue);
    return NULL;
}

/* Everything that may be shared, used at once: plans come and go while others look things up. */
static void *plan_worker(void *argument)
{
    job *j = argument;
    monarch_error error = {MONARCH_OK, ""};
    wait_for_start(j);
    for (int round = 0; round < ROUNDS && !j->failure[0]; round++) {
        monarch_plan *plan = NULL;
        monarch_problem problem = *j->problem;
        monarch_device_info info = {.struct_size = sizeof info};
        float out[FIXTURE_OUT];
        const fixture_tensors *t = j->input;
        problem.steps = 1 + round % 3;
        if (failed(j, "info", monarch_device_info_get(j->device, &info, &error), &error) ||
            failed(j, "supported", monarch_problem_supported(j->device, &problem, NULL, &error),
                   &error) ||
            failed(j, "plan", monarch_plan_create(j->device, &problem, NULL, &plan, &error),
                   &error))
            break;
        char text[256];
        monarch_plan_describe(j->plan, text, sizeof text);
        monarch_plan_describe(plan, text, sizeof text);
        monarch_plan_destroy(&plan);
        if (failed(j, "attention",
                   monarch_attention(j->device, j->problem, t->q, t->k, t->v, t->mask, out, &error),
                   &error))
            break;
        if (memcmp(out, j->expected, sizeof out) != 0)
            snprintf(j->failure, sizeof j->failure, "attention differs from the lone run");
    }
    return NULL;
}

static void run_threads(const job *model, void *(*even)(void *), void *(*odd)(void *))
{
    pthread_t threads[THREADS];
    static job jobs[THREADS];
    atomic_int start = 0;
    for (int i = 0; i < THREADS; i++) {
        jobs[i] = *model;
        jobs[i].start = &start;
        if (pthread_create(&threads[i], NULL, i % 2 ? odd : even, &jobs[i]) != 0)
            fail_msg("thread %d does not start", i); /* the others would wait for it forever */
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < THREADS; i++)
        if (jobs[i].failure[0])
            fail_msg("thread %d: %s", i, jobs[i].failure);
}

static void run_concurrently(int32_t cpu_threads, void *(*even)(void *), void *(*odd)(void *))
{
    monarch_error error = {MONARCH_OK, ""};
    monarch_problem problem = fixture_problem();
    problem.has_mask = 1;
    static fixture_tensors t;
    fixture_fill(&t, fixture_seed());
    fixture lone = fixture_open(1);
    fixture_ok("lone",
               monarch_attention(lone.device, &problem, t.q, t.k, t.v, t.mask, t.out, &error),
               &error);
    fixture_close(&lone);
    fixture f = fixture_open(cpu_threads);
    monarch_plan *plan = NULL;
    fixture_ok("plan", monarch_plan_create(f.device, &problem, NULL, &plan, &error), &error);
    job model = {f.device, plan, &problem, &t, t.out, NULL, ""};
    run_threads(&model, even, odd);
    monarch_plan_destroy(&plan);
    fixture_close(&f);
}

static void test_one_plan(void **state)
{
    (void)state;
    run_concurrently(1, execute_worker, execute_worker);
}

static void test_one_plan_with_teams(void **state)
{
    (void)state;
    run_concurrently(3, execute_worker, execute_worker);
}

static void test_many_plans(void **state)
{
    (void)state;
    run_concurrently(2, plan_worker, plan_worker);
}

static void test_mixed(void **state)
{
    (void)state;
    run_concurrently(2, plan_worker, execute_worker);
}

/* Whole instances in parallel: there is no global state for them to meet in. */
static void *instance_worker(void *argument)
{
    job *j = argument;
    monarch_error error = {MONARCH_OK, ""};
    wait_for_start(j);
    for (int round = 0; round < ROUNDS / 4 && !j->failure[0]; round++) {
        monarch_instance *instance = NULL;
        float out[FIXTURE_OUT];
        const fixture_tensors *t = j->input;
        job mine = *j;
        if (!failed(j, "instance", monarch_instance_create(NULL, &instance, &error), &error) &&
            !failed(j, "find", monarch_instance_find(instance, "cpu", &mine.device, &error),
                    &error) &&
            !failed(
                j, "attention",
                monarch_attention(mine.device, j->problem, t->q, t->k, t->v, t->mask, out, &error),
                &error) &&
            memcmp(out, j->expected, sizeof out) != 0)
            snprintf(j->failure, sizeof j->failure, "another instance gives other bits");
        monarch_instance_destroy(&instance);
    }
    return NULL;
}

static void test_instances(void **state)
{
    (void)state;
    run_concurrently(1, instance_worker, instance_worker);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_plan), cmocka_unit_test(test_one_plan_with_teams),
        cmocka_unit_test(test_many_plans), cmocka_unit_test(test_mixed),
        cmocka_unit_test(test_instances)};
    return cmocka_run_group_tests_name("thread", tests, NULL, NULL);
}
