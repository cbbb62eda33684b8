/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { POISON = 0xff };

fixture fixture_open(int32_t threads)
{
    fixture f = {NULL, NULL, NULL};
    monarch_error error = {MONARCH_OK, ""};
    monarch_instance_params params = monarch_instance_params_default();
    params.cpu_threads = threads;
    fixture_ok("instance_create", monarch_instance_create(&params, &f.instance, &error), &error);
    fixture_ok("find cpu", monarch_instance_find(f.instance, "cpu", &f.device, &error), &error);
    fixture_ok("queue_create", monarch_queue_create(f.device, &f.queue, &error), &error);
    return f;
}

void fixture_close(fixture *f)
{
    monarch_queue_destroy(&f->queue);
    monarch_instance_destroy(&f->instance);
    assert_null(f->queue);
    assert_null(f->instance);
    f->device = NULL;
}

monarch_problem fixture_problem(void)
{
    monarch_problem problem = monarch_problem_default();
    problem.batch = 2;
    problem.heads = 4;
    problem.kv_heads = 2;
    problem.tokens = 10;
    problem.head_dim = 8;
    problem.value_dim = 6;
    problem.block_size = 4;
    problem.steps = 2;
    return problem;
}

static void fill(float *values, size_t count, uint64_t *state)
{
    for (size_t i = 0; i < count; i++)
        values[i] = fixture_uniform(state);
}

void fixture_fill(fixture_tensors *t, uint64_t seed)
{
    uint64_t state = seed;
    fill(t->q, FIXTURE_Q, &state);
    fill(t->k, FIXTURE_K, &state);
    fill(t->v, FIXTURE_V, &state);
    for (size_t i = 0; i < FIXTURE_MASK; i++)
        t->mask[i] = (uint8_t)(fixture_random(&state) & 1);
    fixture_poison(t->out, sizeof t->out);
}

monarch_plan_args fixture_args(fixture_tensors *t)
{
    monarch_plan_args args = monarch_plan_args_default();
    args.q = monarch_host_memory(t->q, sizeof t->q);
    args.k = monarch_host_memory(t->k, sizeof t->k);
    args.v = monarch_host_memory(t->v, sizeof t->v);
    args.out = monarch_host_memory(t->out, sizeof t->out);
    return args;
}

void fixture_poison(void *bytes, size_t size)
{
    memset(bytes, POISON, size);
}

bool fixture_all_poison(const void *bytes, size_t size)
{
    const unsigned char *at = bytes;
    for (size_t i = 0; i < size; i++)
        if (at[i] != POISON)
            return false;
    return true;
}

void *fixture_aligned(size_t size, size_t alignment)
{
    void *pointer = NULL;
    if (posix_memalign(&pointer, alignment, size > 0 ? size : 1) != 0)
        fail_msg("no memory for %zu bytes", size);
    return pointer;
}

uint64_t fixture_seed(void)
{
    static uint64_t seed;
    if (seed == 0) {
        const char *given = getenv("MONARCH_SEED");
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        seed = given ? strtoull(given, NULL, 0)
                     : (uint64_t)now.tv_sec * 1000003u + (uint64_t)now.tv_nsec;
        seed |= 1;
        printf("seed: MONARCH_SEED=%" PRIu64 "\n", seed);
        fflush(stdout);
    }
    return seed;
}

/* splitmix64: any seed is a good one. */
uint64_t fixture_random(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

float fixture_uniform(uint64_t *state)
{
    return (float)(fixture_random(state) >> 40) / 8388608.0f - 1.0f;
}

void fixture_expect(const char *what, monarch_status status, monarch_status expected,
                    const monarch_error *error, const char *const words[FIXTURE_WORDS])
{
    if (status != expected)
        fail_msg("%s: %s instead of %s (\"%s\")", what, monarch_status_name(status),
                 monarch_status_name(expected), error->message);
    if (expected == MONARCH_OK)
        return;
    if (error->status != expected)
        fail_msg("%s: error.status is %s", what, monarch_status_name(error->status));
    if (!memchr(error->message, 0, sizeof error->message) || error->message[0] == 0)
        fail_msg("%s: the message is empty or not terminated", what);
    for (int i = 0; words && i < FIXTURE_WORDS && words[i]; i++)
        if (!strstr(error->message, words[i]))
            fail_msg("%s: no \"%s\" in the message \"%s\"", what, words[i], error->message);
}

void fixture_ok(const char *what, monarch_status status, const monarch_error *error)
{
    fixture_expect(what, status, MONARCH_OK, error, NULL);
}

void fixture_invalid(const char *what, monarch_status status, const monarch_error *error,
                     const char *word, const char *other)
{
    const char *words[FIXTURE_WORDS] = {word ? word : other, word ? other : NULL};
    fixture_expect(what, status, MONARCH_ERROR_INVALID_ARGUMENT, error, words);
}

bool fixture_has_variant(const monarch_device *device, const char *name)
{
    monarch_device_info info;
    memset(&info, 0, sizeof info);
    info.struct_size = (uint32_t)sizeof info;
    if (monarch_device_info_get(device, &info, NULL) != MONARCH_OK)
        return false;
    size_t length = strlen(name);
    for (const char *at = info.variants; (at = strstr(at, name)); at += length)
        if ((at == info.variants || at[-1] == ' ') && (at[length] == 0 || at[length] == ' '))
            return true;
    return false;
}

/* Whether thread `task` of this process sleeps; one that has ended counts as asleep. */
static bool is_asleep(const char *task)
{
    char path[300], state = 'S';
    snprintf(path, sizeof path, "/proc/self/task/%s/stat", task);
    FILE *file = fopen(path, "r");
    if (!file)
        return true;
    int read = fscanf(file, "%*d (%*[^)]) %c", &state);
    fclose(file);
    return read != 1 || state == 'S';
}

static bool are_others_asleep(void)
{
    char self[32];
    bool asleep = true;
    DIR *tasks = opendir("/proc/self/task");
    snprintf(self, sizeof self, "%ld", (long)getpid());
    for (struct dirent *task = tasks ? readdir(tasks) : NULL; task; task = readdir(tasks))
        if (task->d_name[0] != '.' && strcmp(task->d_name, self) != 0)
            asleep = asleep && is_asleep(task->d_name);
    if (tasks)
        closedir(tasks);
    return asleep;
}

void fixture_settle(void)
{
    for (int quiet = 0, tries = 0; quiet < 3 && tries < 10000; tries++) {
        quiet = are_others_asleep() ? quiet + 1 : 0;
        usleep(1000);
    }
}
