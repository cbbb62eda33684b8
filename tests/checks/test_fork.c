/* SPDX-License-Identifier: Apache-2.0 */

/* After fork() the child has no threads of the library's and no driver connection: every call on
 * the parent's objects says FORKED, destroying them is safe, and a new instance works. */

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fixture.h"

typedef struct inherited {
    fixture f;
    monarch_plan *plan;
    monarch_buffer *buffer;
    monarch_problem problem;
    monarch_plan_args args;
} inherited;

/* In the child a failure is an exit status, since cmocka's own would return to a second run of
 * the parent's tests. */
static int wrong(const char *what, monarch_status status, const monarch_error *error)
{
    bool right = status == MONARCH_ERROR_FORKED && error->status == MONARCH_ERROR_FORKED &&
                 strstr(error->message, "fork") && strstr(error->message, "instance");
    if (!right)
        fprintf(stderr, "child: %s: %s \"%s\"\n", what, monarch_status_name(status),
                error->message);
    return right ? 0 : 1;
}

static int check_refusals(const inherited *p)
{
    monarch_error e = {MONARCH_OK, ""};
    monarch_device *device = p->f.device;
    monarch_queue *queue = p->f.queue, *new_queue = (monarch_queue *)&e;
    monarch_plan *plan = (monarch_plan *)&e;
    monarch_buffer *buffer = (monarch_buffer *)&e;
    double seconds[1];
    float m[4] = {0};
    monarch_stage_tensors tensors = {m, m, m, NULL, m};
    monarch_stage_values values[4];
    memset(values, 0, sizeof values);
    int bad = wrong("execute", monarch_plan_execute(p->plan, queue, &p->args, &e), &e);
    bad += wrong("time", monarch_plan_time(p->plan, queue, &p->args, 1, seconds, &e), &e);
    bad += wrong("plan_create", monarch_plan_create(device, &p->problem, NULL, &plan, &e), &e);
    bad += wrong("queue_create", monarch_queue_create(device, &new_queue, &e), &e);
    bad += wrong("queue_wait", monarch_queue_wait(queue, &e), &e);
    bad += wrong("buffer_create", monarch_buffer_create(device, 4, &buffer, &e), &e);
    bad += wrong("workspace", monarch_plan_workspace_create(p->plan, &buffer, &e), &e);
    bad += wrong("write", monarch_buffer_write(queue, p->buffer, 0, m, 4, &e), &e);
    bad += wrong("read", monarch_buffer_read(queue, p->buffer, 0, m, 4, &e), &e);
    bad += wrong("attention", monarch_attention(device, &p->problem, m, m, m, NULL, m, &e), &e);
    bad += wrong("stages_run",
                 monarch_stages_run(device, &p->problem, NULL, &tensors, values, 4, &e), &e);
    bad += wrong("stage_run",
                 monarch_stage_run(device, &p->problem, NULL, 0, &tensors, values, values, &e), &e);
    if (plan || new_queue || buffer) {
        fprintf(stderr, "child: a handle is not NULL after a refusal\n");
        bad++;
    }
    if (monarch_plan_execute(p->plan, queue, &p->args, NULL) != MONARCH_ERROR_FORKED)
        bad++;
    return bad;
}

static int check_new_instance(void)
{
    monarch_error e = {MONARCH_OK, ""};
    monarch_instance *instance = NULL;
    monarch_device *device = NULL;
    fixture_tensors t;
    fixture_fill(&t, 1);
    monarch_problem problem = fixture_problem();
    bool right = monarch_instance_create(NULL, &instance, &e) == MONARCH_OK &&
                 monarch_instance_find(instance, "cpu", &device, &e) == MONARCH_OK &&
                 monarch_attention(device, &problem, t.q, t.k, t.v, NULL, t.out, &e) == MONARCH_OK;
    if (!right || t.out[FIXTURE_OUT - 1] != t.out[FIXTURE_OUT - 1])
        fprintf(stderr, "child: a new instance does not work: %s\n", e.message);
    monarch_instance_destroy(&instance);
    return right ? 0 : 1;
}

/* A hang is a failure too: the alarm ends the child. */
static int run_child(inherited *p)
{
    alarm(30);
    int bad = check_refusals(p) + check_new_instance();
    monarch_buffer_destroy(&p->buffer);
    monarch_plan_destroy(&p->plan);
    monarch_queue_destroy(&p->f.queue);
    monarch_instance_destroy(&p->f.instance);
    if (p->buffer || p->plan || p->f.queue || p->f.instance)
        bad++;
    return bad;
}

/* The cpu alone: a driver's threads need not ever settle. test_fork_device has drivers. */
static fixture open_cpu(int32_t threads)
{
    fixture f = {NULL, NULL, NULL};
    monarch_error error = {MONARCH_OK, ""};
    monarch_instance_params params = monarch_instance_params_default();
    params.cpu_threads = threads;
    params.backends = "cpu";
    fixture_ok("instance", monarch_instance_create(&params, &f.instance, &error), &error);
    fixture_ok("find", monarch_instance_find(f.instance, "cpu", &f.device, &error), &error);
    fixture_ok("queue", monarch_queue_create(f.device, &f.queue, &error), &error);
    return f;
}

static void run_with_threads(int32_t threads)
{
#ifdef FIXTURE_TSAN
    print_message("skipped: ThreadSanitizer does not follow a fork of a threaded process\n");
    skip();
#endif
    inherited p;
    fixture_tensors t;
    monarch_error error = {MONARCH_OK, ""};
    memset(&p, 0, sizeof p);
    p.f = open_cpu(threads);
    p.problem = fixture_problem();
    fixture_fill(&t, fixture_seed());
    fixture_ok("plan", monarch_plan_create(p.f.device, &p.problem, NULL, &p.plan, &error), &error);
    fixture_ok("buffer", monarch_plan_workspace_create(p.plan, &p.buffer, &error), &error);
    p.args = fixture_args(&t);
    p.args.workspace = monarch_buffer_memory(p.buffer, 0);
    fixture_ok("before", monarch_plan_execute(p.plan, p.f.queue, &p.args, &error), &error);
    float before[FIXTURE_OUT];
    memcpy(before, t.out, sizeof before);
    fixture_poison(t.out, sizeof t.out);
    fflush(NULL);
    fixture_settle();
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        int bad = run_child(&p);
        fflush(NULL);
        _exit(bad > 0 ? 1 : 0);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("the child ended with wait status 0x%x%s", (unsigned)status,
                 WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM ? ": it hung" : "");
    /* The parent is not disturbed by what the child did. */
    assert_true(fixture_all_poison(t.out, sizeof t.out));
    fixture_ok("after", monarch_plan_execute(p.plan, p.f.queue, &p.args, &error), &error);
    assert_memory_equal(t.out, before, sizeof before);
    monarch_buffer_destroy(&p.buffer);
    monarch_plan_destroy(&p.plan);
    fixture_close(&p.f);
}

static void test_one_thread(void **state)
{
    (void)state;
    run_with_threads(1);
}

static void test_more_threads(void **state)
{
    (void)state;
    run_with_threads(3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_one_thread),
                                       cmocka_unit_test(test_more_threads)};
    return cmocka_run_group_tests_name("fork", tests, NULL, NULL);
}
