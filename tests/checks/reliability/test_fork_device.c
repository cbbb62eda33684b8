/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A fork with work of every device alive: the child's calls on it say FORKED, what it destroys
 * leaves the driver alone, a new instance works there on the cpu, and offers no device whose driver
 * was open before the fork; the parent is not disturbed.
 * test_fork.c has every call of the interface, on the cpu device. `test_fork_device [BACKEND]`.
 */

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "device_scene.h"

static const char *only;

/* In the child a failure is an exit status: cmocka's own would go on with the parent's tests. */
static int wrong(const char *what, monarch_status status, const monarch_error *error)
{
    if (status == MONARCH_ERROR_FORKED && strstr(error->message, "fork"))
        return 0;
    fprintf(stderr, "child: %s: %s \"%s\"\n", what, monarch_status_name(status), error->message);
    return 1;
}

/* All steps but the instance's own, which is a new one's, and what only looks things up. */
static int check_refusals(device_scene *s)
{
    device_scene copy = *s; /* steps overwrite the handles */
    int bad = 0;
    for (size_t i = 2; i < device_step_count; i++) {
        monarch_error error = {MONARCH_OK, ""};
        device_scene again = copy;
        monarch_status status = device_steps[i].run(&again, &error);
        bad += wrong(device_steps[i].name, status, &error);
    }
    return bad;
}

/* A driver that the parent had opened is left alone, and why is said. */
static int check_driver(const char *name)
{
    monarch_error error = {MONARCH_OK, ""};
    monarch_instance *instance = NULL;
    monarch_device *device = NULL;
    if (strncmp(name, "cpu", 3) == 0)
        return 0;
    if (monarch_instance_create(NULL, &instance, &error) != MONARCH_OK)
        return 1;
    monarch_status status = monarch_instance_find(instance, name, &device, &error);
    bool right = status == MONARCH_ERROR_UNSUPPORTED && strstr(error.message, "forked") && !device;
    if (!right)
        fprintf(stderr, "child: find: %s \"%s\"\n", monarch_status_name(status), error.message);
    monarch_instance_destroy(&instance);
    return !right;
}

static int check_new_instance(void)
{
    device_scene s;
    int bad = 0;
    device_scene_init(&s, "cpu:0", NULL, 3);
    for (size_t i = 0; i < device_step_count; i++) {
        monarch_error error = {MONARCH_OK, ""};
        monarch_status status = device_steps[i].run(&s, &error);
        if (status == MONARCH_OK)
            continue;
        fprintf(stderr, "child: %s: %s\n", device_steps[i].name, error.message);
        bad++;
        break;
    }
    if (bad == 0)
        device_scene_close(&s);
    return bad;
}

static void visit(const char *name, const char *variants)
{
    static device_scene s;
    uint16_t before[FIXTURE_OUT];
    monarch_error error = {MONARCH_OK, ""};
    int status = -1;
    (void)variants;
    device_scene_init(&s, name, NULL, 5);
    device_scene_run(&s, "instance", "execute");
    memcpy(before, s.result, sizeof before);
    fflush(NULL);
    fixture_settle();
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        alarm(60); /* a hang is a failure too */
        int bad = check_refusals(&s);
        device_scene_close(&s);
        bad += s.instance || s.plan || s.queue || s.q;
        bad += check_driver(name);
        bad += check_new_instance();
        fflush(NULL);
        _exit(bad > 0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("%s: the child ended with wait status 0x%x%s", name, (unsigned)status,
                 WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM ? ": it hung" : "");
    fixture_ok("after", device_scene_execute(&s, &error), &error);
    assert_memory_equal(s.result, before, sizeof before);
    device_scene_close(&s);
    print_message("%s: forked\n", name);
}

static void test_fork(void **state)
{
    (void)state;
#ifdef FIXTURE_TSAN
    print_message("skipped: ThreadSanitizer does not follow a fork of a threaded process\n");
    skip();
#endif
    if (device_scene_visit(only, visit) == 0) {
        print_message("skipped: there is no device of backend %s\n", only ? only : "");
        skip();
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_fork)};
    only = argc > 1 ? argv[1] : NULL;
    return cmocka_run_group_tests_name("fork_device", tests, NULL, NULL);
}
