/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Host memory that runs out once, at allocation n, for every n of a whole life on each variant of
 * each device: the call that met it says OUT_OF_MEMORY and leaves a NULL handle, nothing leaks, and
 * the same call works when it is made again. test_alloc.c does this for the cpu device in more
 * detail; here devices work on buffers. `test_alloc_device [BACKEND]`, the backend by name where
 * its driver is a stand-in.
 */

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "device_scene.h"

typedef struct counter {
    pthread_mutex_t lock;
    int64_t made, live, fail_at; /* allocation number fail_at gets NULL */
    bool failed;
} counter;

static counter memory = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void *allocate(void *user, size_t size, size_t alignment)
{
    counter *c = user;
    void *pointer = NULL;
    pthread_mutex_lock(&c->lock);
    bool fail = c->made++ == c->fail_at;
    c->failed |= fail;
    c->live += !fail;
    pthread_mutex_unlock(&c->lock);
    if (fail)
        return NULL;
    if (posix_memalign(&pointer, alignment, size) != 0)
        abort();
    memset(pointer, 0xff, size);
    return pointer;
}

static void release(void *user, void *pointer)
{
    counter *c = user;
    pthread_mutex_lock(&c->lock);
    c->live--;
    pthread_mutex_unlock(&c->lock);
    free(pointer);
}

/* The handle that a step makes, NULL for one that makes none. */
static const void *made_by(const device_scene *s, const char *step)
{
    const struct {
        const char *step;
        const void *handle;
    } handles[] = {
        {"instance", s->instance},
        {"queue", s->queue},
        {"plan", s->plan},
        {"workspace", s->workspace},
        {"q", s->q},
        {"k", s->k},
        {"v", s->v},
        {"mask", s->mask},
        {"out", s->out},
    };
    for (size_t i = 0; i < sizeof handles / sizeof handles[0]; i++)
        if (strcmp(handles[i].step, step) == 0)
            return handles[i].handle;
    return NULL;
}

/* An instance goes on without a backend that had no memory to open; then there is no device. */
static bool lacks_device(const device_scene *s)
{
    return s->instance && monarch_instance_device_count(s->instance) == 0;
}

/* One life in which allocation `at` fails; false when there are fewer. `absorbed` counts failures
 * that a call worked in spite of. */
static bool live(const char *name, const char *variant, int64_t at, int *absorbed)
{
    device_scene s;
    device_scene_init(&s, name, variant, 1);
    s.params.allocator = (monarch_allocator){allocate, release, &memory};
    memory.made = memory.live = 0;
    memory.fail_at = at;
    memory.failed = false;
    for (size_t i = 0; i < device_step_count; i++) {
        const device_step *step = &device_steps[i];
        monarch_error error = {MONARCH_OK, ""};
        bool before = memory.failed;
        monarch_status status = step->run(&s, &error);
        if (memory.failed && !before) {
            if (status == MONARCH_OK && lacks_device(&s))
                monarch_instance_destroy(&s.instance);
            else if (status == MONARCH_OK)
                ++*absorbed;
            /* What a variant needs to know about a device it may have no memory to ask. */
            bool refused =
                status == MONARCH_ERROR_UNSUPPORTED && strstr(error.message, "no memory");
            if (status != MONARCH_OK && status != MONARCH_ERROR_OUT_OF_MEMORY && !refused)
                fail_msg("%s: %s: %s \"%s\" instead of OUT_OF_MEMORY", name, step->name,
                         monarch_status_name(status), error.message);
            if (status != MONARCH_OK || !s.instance) {
                assert_null(made_by(&s, step->name));
                status = step->run(&s, &error);
            }
        }
        fixture_ok(step->name, status, &error);
    }
    device_scene_close(&s);
    if (memory.live != 0)
        fail_msg("%s: %" PRId64 " allocations are left after allocation %" PRId64 " failed", name,
                 memory.live, at);
    return memory.failed;
}

static int lives;
static const char *only;

/* Real drivers compile for a second in each life: there the last variant, the plain one, stands for
 * all, and one allocation in STRIDE, from one that the seed draws. The stand-ins have all. */
enum { STRIDE = 5 };

static bool is_slow(const char *name)
{
    return !only && strncmp(name, "cpu", 3) != 0;
}

static bool leaves_out(const char *name, const char *rest)
{
    return is_slow(name) && rest && *rest;
}

static void sweep(const char *name, const char *variants)
{
    char list[256], *rest = NULL;
    snprintf(list, sizeof list, "%s", variants);
    for (char *variant = strtok_r(list, " ", &rest); variant;
         variant = strtok_r(NULL, " ", &rest)) {
        if (strcmp(variant, "slice") == 0) { /* asks for no memory that the others do not */
            print_message("%s/%s: left out, as it does not take the small problem\n", name,
                          variant);
            continue;
        }
        if (leaves_out(name, rest))
            continue;
        int stride = is_slow(name) ? STRIDE : 1;
        int64_t n = (int64_t)(fixture_seed() % (uint64_t)stride);
        int absorbed = 0, failures = 0;
        for (; live(name, variant, n, &absorbed); n += stride)
            failures++;
        print_message("%s/%s: %d of %" PRId64 " allocations failed once, %d without harm\n", name,
                      variant, failures, memory.made, absorbed);
        assert_true(failures > 5);
        lives += failures;
    }
}

static void test_all(void **state)
{
    (void)state;
    if (device_scene_visit(only, sweep) == 0) {
        print_message("skipped: there is no device of backend %s\n", only ? only : "");
        skip();
    }
    print_message("%d failures in all\n", lives);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_all)};
    only = argc > 1 ? argv[1] : NULL;
    return cmocka_run_group_tests_name("alloc_device", tests, NULL, NULL);
}
