/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The library loaded, used and unloaded a thousand times in one process: nothing that it takes from
 * the system may pile up. `test_load LIBRARY TIMES [BACKENDS]`; BACKENDS as in
 * monarch_instance_params.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <dirent.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <monarch/monarch.h>

enum { TOKENS = 24, DIM = 4 };

static const char *library;
static int times;
static const char *backends;

/* What a process holds: rows of /proc/self/maps, open files, threads, resident pages. */
typedef struct holdings {
    long maps, files, threads, pages;
} holdings;

static long count_lines(const char *path)
{
    FILE *file = fopen(path, "r");
    long lines = 0;
    assert_non_null(file);
    for (int c; (c = fgetc(file)) != EOF;)
        lines += c == '\n';
    fclose(file);
    return lines;
}

static long count_entries(const char *path)
{
    DIR *folder = opendir(path);
    long entries = 0;
    assert_non_null(folder);
    while (readdir(folder))
        entries++;
    closedir(folder);
    return entries;
}

static holdings look(void)
{
    holdings h = {count_lines("/proc/self/maps"), count_entries("/proc/self/fd"),
                  count_entries("/proc/self/task"), 0};
    FILE *file = fopen("/proc/self/statm", "r");
    assert_non_null(file);
    char line[128];
    char *end;
    assert_non_null(fgets(line, sizeof line, file));
    (void)strtol(line, &end, 10); /* the size of it all */
    h.pages = strtol(end, NULL, 10);
    fclose(file);
    return h;
}

/* The functions of the library that is loaded now. This program is not linked with it: then it
 * would never be unloaded. */
typedef struct functions {
    __typeof__(&monarch_instance_create) create;
    __typeof__(&monarch_instance_destroy) destroy;
    __typeof__(&monarch_instance_device) device;
    __typeof__(&monarch_attention) attention;
} functions;

static void *find(void *handle, const char *name)
{
    void *function = dlsym(handle, name);
    if (!function)
        fail_msg("%s: %s", name, dlerror());
    return function;
}

static functions find_all(void *handle)
{
    functions f = {NULL, NULL, NULL, NULL};
    *(void **)&f.create = find(handle, "monarch_instance_create");
    *(void **)&f.destroy = find(handle, "monarch_instance_destroy");
    *(void **)&f.device = find(handle, "monarch_instance_device");
    *(void **)&f.attention = find(handle, "monarch_attention");
    return f;
}

static void must(const char *what, monarch_status status, const monarch_error *error)
{
    if (status != MONARCH_OK)
        fail_msg("%s: %s", what, error->message);
}

static void use_once(void)
{
    void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    if (!handle)
        fail_msg("%s", dlerror());
    functions f = find_all(handle);
    monarch_error error = {MONARCH_OK, ""};
    monarch_instance_params params = monarch_instance_params_default();
    monarch_instance *instance = NULL;
    monarch_problem problem = monarch_problem_default();
    float x[TOKENS * DIM], out[TOKENS * DIM];
    params.backends = backends;
    params.cpu_threads = 2;
    problem.batch = problem.heads = 1;
    problem.tokens = TOKENS;
    problem.head_dim = DIM;
    for (int i = 0; i < TOKENS * DIM; i++)
        x[i] = (float)(i % 7) - 3.0f;
    must("create", f.create(&params, &instance, &error), &error);
    /* The first device, which is the cpu wherever it is among the backends. */
    must("attention", f.attention(f.device(instance, 0), &problem, x, x, x, NULL, out, &error),
         &error);
    f.destroy(&instance);
    if (dlclose(handle) != 0)
        fail_msg("dlclose: %s", dlerror());
}

static void test_load(void **state)
{
    (void)state;
    int warm_up = times / 10 + 2;
    for (int i = 0; i < warm_up; i++)
        use_once();
    holdings before = look();
    for (int i = warm_up; i < times; i++)
        use_once();
    holdings after = look();
    void *handle = dlopen(library, RTLD_NOW | RTLD_NOLOAD);
    print_message("%d times: mappings %ld to %ld, files %ld to %ld, threads %ld to %ld, resident "
                  "pages %ld to %ld, %s\n",
                  times, before.maps, after.maps, before.files, after.files, before.threads,
                  after.threads, before.pages, after.pages, handle ? "still loaded" : "unloaded");
    assert_int_equal(after.files, before.files);
    assert_int_equal(after.threads, before.threads);
    /* The C library's heaps come and go by a few; a leak would be one for each time. */
    assert_true(after.maps <= before.maps + 8);
    assert_true(after.pages <= before.pages + 600);
    if (handle)
        fail_msg("the library is still loaded after the last dlclose");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_load)};
    if (argc < 3) {
        fprintf(stderr, "usage: test_load LIBRARY TIMES [BACKENDS]\n");
        return 2;
    }
    library = argv[1];
    times = (int)strtol(argv[2], NULL, 10);
    backends = argc > 3 ? argv[3] : NULL;
    return cmocka_run_group_tests_name("load", tests, NULL, NULL);
}
