/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Compilation in the opencl backend, on a stand-in for the driver: what is told of a compiler that
 * fails, the self test of the matrix variants, the cache of binaries.
 */

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <monarch/opencl.h>

#include "opencl_scene.h"

static int reset(void **state)
{
    (void)state;
    fake_opencl_reset();
    return 0;
}

/* ---- compilation ---- */

static void test_build_log(void **state)
{
    (void)state;
    opencl_scene s;
    monarch_error error = {MONARCH_OK, ""};
    monarch_plan_options options = monarch_plan_options_default();
    const char *words[FIXTURE_WORDS] = {"clBuildProgram(right)", "CL_BUILD_PROGRAM_FAILURE",
                                        "line 7: error: no such thing"};
    opencl_scene_open(&s);
    fake_opencl_state()->build_log = "warning: much\nwarning: more\nline 7: error: no such thing\n";
    monarch_problem problem = opencl_scene_problem();
    options.variant = "tiled";
    fixture_expect("plan", monarch_plan_create(s.device, &problem, &options, &s.plan, &error),
                   MONARCH_ERROR_NATIVE, &error, words);
    assert_null(strstr(error.message, "warning"));
    fake_opencl_state()->build_log = NULL;
    fixture_ok("plan", monarch_plan_create(s.device, &problem, &options, &s.plan, &error), &error);
    opencl_scene_close(&s);
}

/* A device whose matrix instructions give something else goes on without them, and says why. */
static void test_self_test(void **state)
{
    (void)state;
    opencl_scene s;
    monarch_error error = {MONARCH_OK, ""};
    monarch_stage_info stage = {.struct_size = sizeof stage};
    const char *words[FIXTURE_WORDS] = {"self test", "row 2, column 5"};
    opencl_scene_open(&s);
    fake_opencl_state()->wrong_product = true;
    monarch_problem problem = opencl_scene_problem();
    fixture_expect("matrix", monarch_problem_supported(s.device, &problem, "matrix", &error),
                   MONARCH_ERROR_UNSUPPORTED, &error, words);
    assert_non_null(strstr(s.log, "goes without its matrix units"));
    fixture_ok("plan", monarch_plan_create(s.device, &problem, NULL, &s.plan, &error), &error);
    fixture_ok("stage", monarch_plan_stage(s.plan, 0, &stage, NULL), NULL);
    assert_string_equal(stage.variant, "tiled");
    assert_int_equal(fake_opencl_state()->launches, 1); /* asked once */
    s.log[0] = '\0';
    opencl_scene_close(&s);
    fake_opencl_reset();
    opencl_scene_open(&s);
    fixture_ok("plan", monarch_plan_create(s.device, &problem, NULL, &s.plan, &error), &error);
    fixture_ok("stage", monarch_plan_stage(s.plan, 0, &stage, NULL), NULL);
    assert_string_equal(stage.variant, "matrix");
    opencl_scene_close(&s);
}

/* ---- the cache ---- */

enum { ENTRIES = 16, ENTRY_BYTES = 2048 };

typedef struct store {
    char keys[ENTRIES][512];
    unsigned char bytes[ENTRIES][ENTRY_BYTES];
    size_t sizes[ENTRIES];
    int count, hits;
} store;

static size_t load_entry(void *user, const char *key, void *bytes, size_t capacity)
{
    store *c = user;
    for (int i = 0; i < c->count; i++)
        if (strcmp(c->keys[i], key) == 0) {
            if (capacity >= c->sizes[i]) {
                memcpy(bytes, c->bytes[i], c->sizes[i]);
                c->hits++;
            }
            return c->sizes[i];
        }
    return 0;
}

static void store_entry(void *user, const char *key, const void *bytes, size_t size)
{
    store *c = user;
    assert_true(c->count < ENTRIES && size <= ENTRY_BYTES && strlen(key) < sizeof c->keys[0]);
    snprintf(c->keys[c->count], sizeof c->keys[0], "%s", key);
    memcpy(c->bytes[c->count], bytes, size);
    c->sizes[c->count++] = size;
}

/* Makes a plan in a new instance; returns how many programs were compiled. */
static int compile_with(const monarch_opencl_cache *cache, const char *name)
{
    opencl_scene s;
    monarch_error error = {MONARCH_OK, ""};
    monarch_plan_options options = monarch_plan_options_default();
    fake_opencl_reset();
    fake_opencl_state()->name = name;
    opencl_scene_open(&s);
    fixture_ok("cache", monarch_opencl_device_set_cache(s.device, cache, &error), &error);
    monarch_problem problem = opencl_scene_problem();
    options.variant = "tiled";
    fixture_ok("plan", monarch_plan_create(s.device, &problem, &options, &s.plan, &error), &error);
    int compiled = (int)fake_opencl_state()->builds_from_source;
    opencl_scene_close(&s);
    return compiled;
}

static void test_cache_callbacks(void **state)
{
    (void)state;
    static store c;
    monarch_opencl_cache cache = monarch_opencl_cache_default();
    cache.user = &c;
    cache.load = load_entry;
    cache.store = store_entry;
    assert_int_equal(compile_with(NULL, "A"), 5);
    assert_int_equal(compile_with(&cache, "A"), 5);
    assert_int_equal(c.count, 5);
    assert_int_equal(compile_with(&cache, "A"), 0);
    assert_int_equal(c.hits, 5);
    assert_int_equal(compile_with(&cache, "B"), 5); /* another device: other keys */
    assert_int_equal(c.count, 10);
    c.count = 5;
    c.bytes[0][c.sizes[0] - 1] ^= 1;            /* altered */
    c.sizes[1] -= 1;                            /* cut short */
    c.bytes[2][0] ^= 1;                         /* something else */
    memcpy(c.bytes[3], c.bytes[4], c.sizes[4]); /* under another's name */
    assert_int_equal(compile_with(&cache, "A"), 4);
}

static void damage_file(const char *path)
{
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    fseek(file, -1, SEEK_END);
    int last = fgetc(file);
    fseek(file, -1, SEEK_END);
    fputc(last ^ 1, file);
    fclose(file);
}

/* Visits the files of a folder; returns how many there are. */
static int visit_files(const char *folder, void (*visit)(const char *path, int number))
{
    int count = 0;
    DIR *list = opendir(folder);
    assert_non_null(list);
    for (struct dirent *entry = readdir(list); entry; entry = readdir(list)) {
        char path[512];
        if (entry->d_name[0] == '.')
            continue;
        assert_non_null(strstr(entry->d_name, ".bin"));
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        visit(path, count++);
    }
    closedir(list);
    return count;
}

static void damage_first(const char *path, int number)
{
    if (number == 0)
        damage_file(path);
}

static void remove_file(const char *path, int number)
{
    (void)number;
    assert_int_equal(remove(path), 0);
}

static void test_cache_directory(void **state)
{
    (void)state;
    char folder[] = "/tmp/monarch-cache-XXXXXX";
    monarch_opencl_cache cache = monarch_opencl_cache_default();
    assert_non_null(mkdtemp(folder));
    cache.directory = folder;
    assert_int_equal(compile_with(&cache, "A"), 5);
    assert_int_equal(compile_with(&cache, "A"), 0);
    assert_int_equal(visit_files(folder, damage_first), 5);
    assert_int_equal(compile_with(&cache, "A"), 1);
    assert_int_equal(visit_files(folder, remove_file), 5);
    assert_int_equal(rmdir(folder), 0);
}

static void test_cache_arguments(void **state)
{
    (void)state;
    opencl_scene s;
    monarch_error error = {MONARCH_OK, ""};
    monarch_opencl_cache cache = monarch_opencl_cache_default();
    opencl_scene_open(&s);
    cache.load = load_entry;
    fixture_invalid("cache", monarch_opencl_device_set_cache(s.device, &cache, &error), &error,
                    "load and store", NULL);
    cache.store = store_entry;
    cache.directory = "/tmp";
    fixture_invalid("cache", monarch_opencl_device_set_cache(s.device, &cache, &error), &error,
                    "directory", NULL);
    opencl_scene_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_build_log, reset),
        cmocka_unit_test_setup(test_self_test, reset),
        cmocka_unit_test_setup(test_cache_callbacks, reset),
        cmocka_unit_test_setup(test_cache_directory, reset),
        cmocka_unit_test_setup(test_cache_arguments, reset),
    };
    return cmocka_run_group_tests_name("opencl_build", tests, NULL, NULL);
}
