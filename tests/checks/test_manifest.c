/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Reads manifest.txt: one test for each line and word, which fails when the device no longer makes
 * a plan with those features. "Not supported" is thus never mistaken for "nothing to test".
 */

#include <stdio.h>
#include <stdlib.h>

#include "fixture.h"

/* ---- features: a small problem, changed ---- */

typedef struct feature {
    const char *name;
    void (*apply)(monarch_problem *p);
} feature;

static void as_it_is(monarch_problem *p)
{
    (void)p;
}

static void set_f16(monarch_problem *p)
{
    monarch_problem_set_dtype(p, MONARCH_F16);
}

static void set_bf16(monarch_problem *p)
{
    monarch_problem_set_dtype(p, MONARCH_BF16);
}

static void set_mixed(monarch_problem *p)
{
    monarch_problem_set_dtype(p, MONARCH_F16);
    p->out.dtype = MONARCH_F32;
}

static void set_mask(monarch_problem *p)
{
    p->has_mask = 1;
}

static void set_no_gqa(monarch_problem *p)
{
    p->kv_heads = 0;
}

static void set_pad_begin(monarch_problem *p)
{
    p->pad = MONARCH_PAD_BEGIN;
}

static void set_token_first(monarch_problem *p)
{
    p->q.strides = p->out.strides = (monarch_strides){320, 8, 0, 32, 1};
    p->k.strides = p->v.strides = (monarch_strides){160, 8, 0, 16, 1};
    p->value_dim = 8;
}

static void set_packed_qkv(monarch_problem *p)
{
    p->kv_heads = 4;
    p->value_dim = 8;
    p->q.strides = p->k.strides = p->v.strides = (monarch_strides){960, 8, 0, 96, 1};
}

static void set_grid(monarch_problem *p)
{
    p->tokens = 12;
    p->q.strides = p->k.strides = (monarch_strides){384, 96, 8, 24, 1};
}

static void set_broadcast(monarch_problem *p)
{
    p->k.strides = p->v.strides = (monarch_strides){0, 0, 0, 8, 1};
}

static void set_backwards(monarch_problem *p)
{
    p->q.strides = (monarch_strides){320, 80, 0, -8, 1};
}

static void set_odd_strides(monarch_problem *p)
{
    p->q.strides = p->out.strides = (monarch_strides){520, 130, 0, 13, 1};
}

static void set_block_1(monarch_problem *p)
{
    p->block_size = 1;
}

static void set_block_n(monarch_problem *p)
{
    p->block_size = 10;
}

static void set_block_large(monarch_problem *p)
{
    p->tokens = p->block_size = 3000;
}

static void set_block_chosen(monarch_problem *p)
{
    p->tokens = 4096;
    p->block_size = 0;
}

static void set_one_token(monarch_problem *p)
{
    p->tokens = 1;
}

static void set_steps_1(monarch_problem *p)
{
    p->steps = 1;
}

static void set_steps_64(monarch_problem *p)
{
    p->steps = 64;
}

static void set_head_dim_1(monarch_problem *p)
{
    p->head_dim = 1;
}

static void set_head_dim_33(monarch_problem *p)
{
    p->head_dim = 33;
}

static void set_head_dim_128(monarch_problem *p)
{
    p->head_dim = p->value_dim = 128;
}

static void set_head_dim_1024(monarch_problem *p)
{
    p->head_dim = 1024;
}

static void set_value_wide(monarch_problem *p)
{
    p->value_dim = 300;
}

static void set_rows_100000(monarch_problem *p)
{
    p->batch = 1000;
    p->heads = 100;
}

static void set_long(monarch_problem *p)
{
    p->tokens = 1 << 20;
    p->block_size = 0;
}

static void set_elements_2_31(monarch_problem *p)
{
    p->batch = 64;
    p->tokens = 1 << 20;
    p->block_size = 0;
}

static void set_scale_negative(monarch_problem *p)
{
    p->scale = -1.0f;
}

static void set_fp8(monarch_problem *p)
{
    p->intermediates = MONARCH_INTERMEDIATES_FP8;
}

static void set_whole_blocks(monarch_problem *p)
{
    p->tokens = 4096;
    p->block_size = p->head_dim = p->value_dim = 64;
}

static const feature features[] = {
    {"f32", as_it_is},
    {"f16", set_f16},
    {"bf16", set_bf16},
    {"mixed-dtypes", set_mixed},
    {"mask", set_mask},
    {"gqa", as_it_is}, /* the problem of the fixture has it */
    {"no-gqa", set_no_gqa},
    {"pad-begin", set_pad_begin},
    {"token-first", set_token_first},
    {"packed-qkv", set_packed_qkv},
    {"grid-axis", set_grid},
    {"broadcast", set_broadcast},
    {"backwards", set_backwards},
    {"odd-strides", set_odd_strides},
    {"block-1", set_block_1},
    {"block-n", set_block_n},
    {"block-3000", set_block_large},
    {"block-chosen", set_block_chosen},
    {"one-token", set_one_token},
    {"steps-1", set_steps_1},
    {"steps-64", set_steps_64},
    {"head-dim-1", set_head_dim_1},
    {"head-dim-33", set_head_dim_33},
    {"head-dim-128", set_head_dim_128},
    {"head-dim-1024", set_head_dim_1024},
    {"value-dim-300", set_value_wide},
    {"100000-rows", set_rows_100000},
    {"2^20-tokens", set_long},
    {"2^31-elements", set_elements_2_31},
    {"scale-negative", set_scale_negative},
    {"whole-blocks", set_whole_blocks},
    {"fp8", set_fp8},
};

enum {
    FEATURES = sizeof features / sizeof *features,
    MOST_LINES = 128,
    MOST_TESTS = 1024,
    MOST_JOINED = 4
};

/* ---- the file ---- */

typedef struct line {
    int number;
    char device[32], variant[32], needs[128];
} line;

typedef struct entry {
    const line *where;
    const feature *what[MOST_JOINED]; /* applied one after the other; the rest is NULL */
    char name[128];
} entry;

static line lines[MOST_LINES];
static entry entries[MOST_TESTS];
static size_t line_count, entry_count;

static void give_up(const char *path, int number, const char *what, const char *word)
{
    fprintf(stderr, "%s:%d: %s \"%s\"\n", path, number, what, word);
    exit(1);
}

static entry *add_entry(const char *path, const line *where, const char *word)
{
    if (entry_count == MOST_TESTS)
        give_up(path, where->number, "too many features at", word);
    entry *e = &entries[entry_count++];
    e->where = where;
    snprintf(e->name, sizeof e->name, "%s/%s/%s", where->device, where->variant, word);
    return e;
}

static const feature *find_feature(const char *name, size_t length)
{
    for (size_t i = 0; i < FEATURES; i++)
        if (strlen(features[i].name) == length && strncmp(name, features[i].name, length) == 0)
            return &features[i];
    return NULL;
}

/* A word is 'all', or features joined by '+'. */
static void add_word(const char *path, const line *where, const char *word)
{
    if (strcmp(word, "all") == 0) {
        for (size_t i = 0; i < FEATURES; i++)
            if (features[i].apply != set_fp8)
                add_entry(path, where, features[i].name)->what[0] = &features[i];
        return;
    }
    entry *e = add_entry(path, where, word);
    const char *part = word;
    for (int i = 0; part; i++) {
        size_t length = strcspn(part, "+");
        if (i == MOST_JOINED)
            give_up(path, where->number, "too many features joined in", word);
        e->what[i] = find_feature(part, length);
        if (!e->what[i])
            give_up(path, where->number, "unknown feature in", word);
        part = part[length] ? part + length + 1 : NULL;
    }
}

static void parse_line(const char *path, int number, char *text)
{
    char *word = strtok(text, " \t\n");
    if (!word || word[0] == '#')
        return;
    if (line_count == MOST_LINES)
        give_up(path, number, "too many lines at", word);
    line *l = &lines[line_count++];
    l->number = number;
    snprintf(l->device, sizeof l->device, "%s", word);
    char *variant = strtok(NULL, " \t\n"), *needs = strtok(NULL, " \t\n");
    char *name = strtok(NULL, " \t\n");
    if (!variant || !needs || !name)
        give_up(path, number, "no features for", word);
    snprintf(l->variant, sizeof l->variant, "%s", variant);
    snprintf(l->needs, sizeof l->needs, "%s", needs);
    for (; name; name = strtok(NULL, " \t\n"))
        add_word(path, l, name);
}

static void parse_file(const char *path)
{
    FILE *file = fopen(path, "r");
    char text[1024];
    if (!file)
        give_up(path, 0, "cannot open", path);
    for (int number = 1; fgets(text, sizeof text, file); number++)
        parse_line(path, number, text);
    fclose(file);
}

/* ---- the tests ---- */

/* Asks the processor, not the library, whose answer is what the test is about. */
static bool processor_has(const char *name)
{
    bool known[6] = {false};
    static const char *const names[] = {"avx2",     "fma",      "avx512f",
                                        "avx512vl", "avx512bw", "avx512dq"};
#if defined(__x86_64__)
    __builtin_cpu_init();
    known[0] = __builtin_cpu_supports("avx2");
    known[1] = __builtin_cpu_supports("fma");
    known[2] = __builtin_cpu_supports("avx512f");
    known[3] = __builtin_cpu_supports("avx512vl");
    known[4] = __builtin_cpu_supports("avx512bw");
    known[5] = __builtin_cpu_supports("avx512dq");
#endif
    for (int i = 0; i < 6; i++)
        if (strcmp(name, names[i]) == 0)
            return known[i];
    fail_msg("manifest.txt needs \"%s\", which is no processor feature that is known here", name);
    return false;
}

/* Reads sm_NN; `end` gets what follows, NULL if it is nothing of the kind. */
static long capability_of(const char *text, const char **end)
{
    char *after = NULL;
    bool named = strncmp(text, "sm_", 3) == 0;
    long capability = named ? strtol(text + 3, &after, 10) : 0;
    *end = capability > 0 ? after : NULL;
    return capability;
}

/* "sm_90": compute capability 9.0 and no other; "sm_80..": 8.0 and later. Other devices than those
   of cuda need not have one. */
static bool gpu_is(const monarch_device *device, const char *name)
{
    monarch_device_info info = {.struct_size = sizeof info};
    const char *wanted_end, *there_end;
    assert_int_equal(monarch_device_info_get(device, &info, NULL), MONARCH_OK);
    long wanted = capability_of(name, &wanted_end);
    long there = capability_of(info.features, &there_end);
    if (!there_end && strcmp(info.backend, "cuda") != 0)
        return false;
    if (!there_end)
        fail_msg("no compute capability in the device's features \"%s\"", info.features);
    if (wanted_end && strcmp(wanted_end, "..") == 0)
        return there >= wanted;
    if (!wanted_end || *wanted_end != 0)
        fail_msg("manifest.txt needs \"%s\"; of a GPU it can need sm_90 or sm_80..", name);
    return there == wanted;
}

/* A word of a device's features: what its driver says it has. */
static bool device_lists(const monarch_device *device, const char *name)
{
    monarch_device_info info = {.struct_size = sizeof info};
    assert_int_equal(monarch_device_info_get(device, &info, NULL), MONARCH_OK);
    for (char *word = strtok(info.features, " "); word; word = strtok(NULL, " "))
        if (strcmp(word, name) == 0)
            return true;
    return false;
}

/* Whether there is what a line needs. */
static bool has(const monarch_device *device, const char *device_name, const char *name)
{
    if (strncmp(device_name, "vulkan", 6) == 0 || strcmp(name, "intel_matrix") == 0)
        return device_lists(device, name);
    return strncmp(name, "sm_", 3) == 0 ? gpu_is(device, name) : processor_has(name);
}

static monarch_instance *instance;
static char **left_out; /* variants that this build is without; ends with NULL */

static void skip_left_out(const line *l)
{
    for (char **name = left_out; *name; name++)
        if (strcmp(*name, l->variant) == 0) {
            print_message("skipped: this build leaves out variant %s\n", *name);
            skip();
        }
}

/* Skips with the reason when the machine lacks what the line needs. */
static monarch_device *require_device(const line *l)
{
    monarch_error error = {MONARCH_OK, ""};
    monarch_device *device = NULL;
    monarch_status status = monarch_instance_find(instance, l->device, &device, &error);
    if (status == MONARCH_ERROR_UNSUPPORTED && strncmp(l->device, "cpu", 3) != 0) {
        print_message("skipped: %s\n", error.message);
        skip();
    }
    fixture_ok(l->device, status, &error);
    skip_left_out(l);
    for (const char *at = l->needs; *at != 0 && strcmp(at, "-") != 0;) {
        char name[sizeof l->needs];
        size_t length = strcspn(at, "+");
        snprintf(name, sizeof name, "%.*s", (int)length, at);
        if (!has(device, l->device, name)) {
            print_message("skipped: this machine has no %s\n", name);
            skip();
        }
        at += length + (at[length] == '+');
    }
    return device;
}

static void test_entry(void **state)
{
    const entry *e = *state;
    monarch_device *device = require_device(e->where);
    monarch_error error = {MONARCH_OK, ""};
    monarch_problem problem = fixture_problem();
    monarch_plan_options options = monarch_plan_options_default();
    monarch_plan *plan = NULL;
    options.variant = e->where->variant;
    for (int i = 0; i < MOST_JOINED && e->what[i]; i++)
        e->what[i]->apply(&problem);
    if (!fixture_has_variant(device, options.variant))
        fail_msg("manifest.txt:%d: the device no longer lists variant %s", e->where->number,
                 options.variant);
    fixture_ok(e->name, monarch_problem_supported(device, &problem, options.variant, &error),
               &error);
    fixture_ok(e->name, monarch_problem_supported(device, &problem, NULL, &error), &error);
    fixture_ok(e->name, monarch_plan_create(device, &problem, &options, &plan, &error), &error);
    monarch_plan_destroy(&plan);
}

/* The other direction: a variant that the library lists has a line, so nothing goes unpromised. */
static void test_all_listed(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < monarch_instance_device_count(instance); i++) {
        monarch_device_info info = {.struct_size = sizeof info};
        monarch_device *device = monarch_instance_device(instance, i);
        assert_int_equal(monarch_device_info_get(device, &info, NULL), MONARCH_OK);
        for (char *name = strtok(info.variants, " "); name; name = strtok(NULL, " ")) {
            bool found = false;
            for (size_t n = 0; n < line_count; n++)
                found |= strcmp(lines[n].variant, name) == 0 &&
                         strncmp(lines[n].device, info.backend, strlen(info.backend)) == 0;
            if (!found)
                fail_msg("%s has variant %s, which manifest.txt does not mention", info.backend,
                         name);
        }
    }
}

static int open_instance(void **state)
{
    (void)state;
    return monarch_instance_create(NULL, &instance, NULL) == MONARCH_OK ? 0 : -1;
}

static int close_instance(void **state)
{
    (void)state;
    monarch_instance_destroy(&instance);
    return 0;
}

int main(int argc, char **argv)
{
    static struct CMUnitTest tests[MOST_TESTS + 1] = {cmocka_unit_test(test_all_listed)};
    if (argc < 2) {
        fprintf(stderr, "usage: test_manifest MANIFEST [VARIANT-LEFT-OUT...]\n");
        return 1;
    }
    left_out = argv + 2;
    parse_file(argv[1]);
    for (size_t i = 0; i < entry_count; i++)
        tests[i + 1] = (struct CMUnitTest){entries[i].name, test_entry, NULL, NULL, &entries[i]};
    return _cmocka_run_group_tests("manifest", tests, entry_count + 1, open_instance,
                                   close_instance);
}
