/* SPDX-License-Identifier: Apache-2.0 */

/* Execution: each wrong argument is refused by name and leaves the output alone; each right form
 * of the same memory gives the same bits. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "fixture.h"

/* A plan of fixture_problem with tensors and a workspace that just fits. */
typedef struct scene {
    fixture f;
    monarch_plan *plan;
    fixture_tensors t;
    unsigned char *workspace;
    uint64_t size, alignment;
    monarch_plan_args args; /* valid */
} scene;

static scene open_scene(int32_t has_mask)
{
    scene s;
    memset(&s, 0, sizeof s);
    s.f = fixture_open(1);
    monarch_error error = {MONARCH_OK, ""};
    monarch_problem problem = fixture_problem();
    problem.has_mask = has_mask;
    fixture_ok("plan", monarch_plan_create(s.f.device, &problem, NULL, &s.plan, &error), &error);
    monarch_plan_workspace(s.plan, &s.size, &s.alignment);
    assert_true(s.size > 0);
    s.workspace = fixture_aligned(s.size + s.alignment, s.alignment);
    fixture_poison(s.workspace, s.size);
    fixture_fill(&s.t, fixture_seed());
    return s;
}

/* The arguments point into the scene, so they are made where it has come to rest. */
static void set_args(scene *s)
{
    s->args = fixture_args(&s->t);
    s->args.workspace = monarch_host_memory(s->workspace, s->size);
    monarch_problem problem = monarch_problem_default();
    assert_int_equal(monarch_plan_problem(s->plan, &problem, NULL), MONARCH_OK);
    if (problem.has_mask)
        s->args.mask = monarch_host_memory(s->t.mask, sizeof s->t.mask);
}

static void close_scene(scene *s)
{
    monarch_plan_destroy(&s->plan);
    free(s->workspace);
    fixture_close(&s->f);
}

static void refuse(scene *s, const monarch_plan_args *args, const char *word, const char *other)
{
    monarch_error error = {MONARCH_OK, ""};
    double seconds[1];
    fixture_invalid("execute", monarch_plan_execute(s->plan, s->f.queue, args, &error), &error,
                    word, other);
    assert_true(fixture_all_poison(s->t.out, sizeof s->t.out));
    memset(&error, 0, sizeof error);
    fixture_invalid("time", monarch_plan_time(s->plan, s->f.queue, args, 1, seconds, &error),
                    &error, word, other);
    assert_int_equal(monarch_plan_execute(s->plan, s->f.queue, args, NULL),
                     MONARCH_ERROR_INVALID_ARGUMENT);
    assert_true(fixture_all_poison(s->t.out, sizeof s->t.out));
}

static void accept(scene *s, const monarch_plan_args *args, const float *expected)
{
    monarch_error error = {MONARCH_OK, ""};
    fixture_ok("execute", monarch_plan_execute(s->plan, s->f.queue, args, &error), &error);
    fixture_ok("wait", monarch_queue_wait(s->f.queue, &error), &error);
    if (expected)
        assert_memory_equal(s->t.out, expected, sizeof s->t.out);
    for (size_t i = 0; i < FIXTURE_OUT; i++)
        if (!(s->t.out[i] >= -1.0f && s->t.out[i] <= 1.0f)) /* a mean of values in [-1, 1) */
            fail_msg("out[%zu] is %g", i, (double)s->t.out[i]);
}

static void test_null(void **state)
{
    (void)state;
    scene s = open_scene(0);
    set_args(&s);
    monarch_error error = {MONARCH_OK, ""};
    double seconds = -1.0;
    fixture_invalid("plan", monarch_plan_execute(NULL, s.f.queue, &s.args, &error), &error, "plan",
                    "NULL");
    fixture_invalid("queue", monarch_plan_execute(s.plan, NULL, &s.args, &error), &error, "queue",
                    "NULL");
    fixture_invalid("plan", monarch_plan_time(NULL, s.f.queue, &s.args, 1, &seconds, &error),
                    &error, "plan", "NULL");
    fixture_invalid("queue", monarch_plan_time(s.plan, NULL, &s.args, 1, &seconds, &error), &error,
                    "queue", "NULL");
    fixture_invalid("seconds", monarch_plan_time(s.plan, s.f.queue, &s.args, 1, NULL, &error),
                    &error, "seconds", "NULL");
    refuse(&s, NULL, "args", "NULL");
    fixture_ok("count 0", monarch_plan_time(s.plan, s.f.queue, &s.args, 0, NULL, &error), &error);
    fixture_ok("count 1", monarch_plan_time(s.plan, s.f.queue, &s.args, 1, &seconds, &error),
               &error);
    assert_true(seconds > 0.0);
    close_scene(&s);
}

static void test_structure(void **state)
{
    (void)state;
    scene s = open_scene(0);
    set_args(&s);
    monarch_plan_args args = s.args;
    args.struct_size = 0;
    refuse(&s, &args, "struct_size", "0");
    args.struct_size = (uint32_t)sizeof args - 8;
    refuse(&s, &args, "struct_size", NULL);
    args = s.args;
    args.reserved = 3;
    refuse(&s, &args, "reserved", "3");
    struct {
        monarch_plan_args args;
        uint64_t more[3];
    } newer = {s.args, {0, 0, 5}};
    newer.args.struct_size = (uint32_t)sizeof newer;
    refuse(&s, &newer.args, "struct_size", NULL);
    newer.more[2] = 0;
    accept(&s, &newer.args, NULL);
    close_scene(&s);
}

typedef struct slot {
    const char *name;
    size_t offset; /* in monarch_plan_args */
} slot;

static const slot slots[] = {
    {"q", offsetof(monarch_plan_args, q)},
    {"k", offsetof(monarch_plan_args, k)},
    {"v", offsetof(monarch_plan_args, v)},
    {"out", offsetof(monarch_plan_args, out)},
    {"mask", offsetof(monarch_plan_args, mask)},
    {"workspace", offsetof(monarch_plan_args, workspace)},
};

enum { SLOTS = sizeof slots / sizeof *slots, TENSORS = 5 };

static monarch_memory *memory_of(monarch_plan_args *args, int i)
{
    return (monarch_memory *)(void *)((char *)args + slots[i].offset);
}

/* Missing, of another kind, NULL, one byte short: for each tensor and for the workspace. */
static void test_memory(void **state)
{
    (void)state;
    scene s = open_scene(1);
    set_args(&s);
    static const int kinds[] = {MONARCH_MEMORY_CUDA,
                                MONARCH_MEMORY_OPENCL,
                                MONARCH_MEMORY_SVM,
                                MONARCH_MEMORY_VULKAN,
                                7,
                                31,
                                32,
                                1000,
                                -1};
    for (int i = 0; i < SLOTS; i++) {
        monarch_plan_args args = s.args;
        monarch_memory *memory = memory_of(&args, i), valid = *memory;
        *memory = (monarch_memory){MONARCH_MEMORY_NONE, 0, 0, 0};
        refuse(&s, &args, slots[i].name, "missing");
        for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
            *memory = valid;
            memory->kind = (monarch_memory_kind)kinds[k];
            refuse(&s, &args, slots[i].name, "cpu");
        }
        *memory = monarch_host_memory(NULL, valid.size);
        refuse(&s, &args, slots[i].name, "NULL");
        *memory = (monarch_memory){MONARCH_MEMORY_BUFFER, 0, 0, 0};
        refuse(&s, &args, slots[i].name, "NULL");
        char needed[24];
        snprintf(needed, sizeof needed, "%" PRIu64, valid.size);
        *memory = valid;
        memory->size = valid.size - 1;
        refuse(&s, &args, slots[i].name, needed);
        memory->size = 1;
        if (valid.size > 1)
            refuse(&s, &args, slots[i].name, needed);
        *memory = valid;
        accept(&s, &args, NULL);
        fixture_poison(s.t.out, sizeof s.t.out);
    }
    close_scene(&s);
}

static void test_alignment(void **state)
{
    (void)state;
    scene s = open_scene(0);
    set_args(&s);
    monarch_plan_args args = s.args;
    char needed[24];
    snprintf(needed, sizeof needed, "%" PRIu64, s.alignment);
    for (uint64_t shift = 1; shift < s.alignment; shift *= 2) {
        args.workspace = monarch_host_memory(s.workspace + shift, s.size);
        refuse(&s, &args, "workspace", needed);
        args.workspace = monarch_host_memory(s.workspace, s.size);
        args.workspace.offset = shift;
        refuse(&s, &args, "workspace", needed);
    }
    args = s.args;
    args.q = monarch_host_memory((char *)s.t.q + 2, 0); /* not even aligned to an f32 */
    refuse(&s, &args, "q", "4");
    close_scene(&s);
}

static void test_mask(void **state)
{
    (void)state;
    scene s = open_scene(0);
    set_args(&s);
    monarch_plan_args args = s.args;
    args.mask = monarch_host_memory(s.t.mask, sizeof s.t.mask);
    refuse(&s, &args, "mask", "has_mask");
    close_scene(&s);
    s = open_scene(1);
    set_args(&s);
    args = s.args;
    args.mask = monarch_plan_args_default().mask;
    refuse(&s, &args, "mask", NULL);
    close_scene(&s);
}

/* out may touch an input's last byte from behind, but not share a byte; nor may the workspace. */
static void test_overlap(void **state)
{
    (void)state;
    scene s = open_scene(1);
    set_args(&s);
    for (int i = 0; i < TENSORS; i++) {
        const char *name = slots[i].name;
        monarch_plan_args args = s.args;
        if (strcmp(name, "out") == 0)
            continue;
        uint64_t size = memory_of(&args, i)->size;
        /* One arena: the input first, out behind it, with one element shared. */
        unsigned char *arena = fixture_aligned(size + sizeof s.t.out + 8, 64);
        memcpy(arena, (void *)(uintptr_t)memory_of(&args, i)->handle, size);
        *memory_of(&args, i) = monarch_host_memory(arena, size);
        args.out = monarch_host_memory(arena + size - 4, sizeof s.t.out);
        refuse(&s, &args, "out", name);
        args.out = monarch_host_memory(arena, sizeof s.t.out);
        refuse(&s, &args, "out", name);
        args.out = monarch_host_memory(arena + size, sizeof s.t.out);
        monarch_error error = {MONARCH_OK, ""};
        fixture_ok("touching", monarch_plan_execute(s.plan, s.f.queue, &args, &error), &error);
        /* The other way round: out ends inside the input. */
        memmove(arena + sizeof s.t.out, arena, size);
        *memory_of(&args, i) = monarch_host_memory(arena + sizeof s.t.out, size);
        args.out = monarch_host_memory(arena, sizeof s.t.out);
        fixture_ok("touching", monarch_plan_execute(s.plan, s.f.queue, &args, &error), &error);
        args.out = monarch_host_memory(arena + 4, sizeof s.t.out);
        refuse(&s, &args, "out", name);
        free(arena);
        args = s.args;
        args.workspace = monarch_host_memory(s.workspace, 0);
        *memory_of(&args, i) = monarch_host_memory(s.workspace, 0);
        refuse(&s, &args, "workspace", name);
    }
    monarch_plan_args args = s.args;
    args.out = monarch_host_memory(s.workspace, 0);
    refuse(&s, &args, "workspace", "out");
    args = s.args;
    args.k = args.q; /* inputs may share memory */
    accept(&s, &args, NULL);
    close_scene(&s);
}

/* Copies a tensor into a new buffer, `offset` bytes from its start. */
static monarch_buffer *to_buffer(scene *s, const void *bytes, uint64_t size, uint64_t offset)
{
    monarch_error error = {MONARCH_OK, ""};
    monarch_buffer *buffer = NULL;
    fixture_ok("buffer", monarch_buffer_create(s->f.device, size + offset, &buffer, &error),
               &error);
    fixture_ok("write", monarch_buffer_write(s->f.queue, buffer, offset, bytes, size, &error),
               &error);
    return buffer;
}

/* Host pointers with and without a size, an offset, and library buffers: the same bits. */
static void test_forms_of_memory(void **state)
{
    (void)state;
    scene s = open_scene(1);
    set_args(&s);
    float expected[FIXTURE_OUT];
    accept(&s, &s.args, NULL);
    memcpy(expected, s.t.out, sizeof expected);
    monarch_plan_args args = s.args;
    fixture_poison(s.t.out, sizeof s.t.out);
    for (int i = 0; i < SLOTS; i++)
        memory_of(&args, i)->size = 0;
    accept(&s, &args, expected);
    fixture_poison(s.t.out, sizeof s.t.out);
    for (int i = 0; i < SLOTS; i++) {
        memory_of(&args, i)->handle -= 4096;
        memory_of(&args, i)->offset = 4096;
    }
    accept(&s, &args, expected);
    fixture_poison(s.t.out, sizeof s.t.out);
    monarch_buffer *q = to_buffer(&s, s.t.q, sizeof s.t.q, 0);
    monarch_buffer *k = to_buffer(&s, s.t.k, sizeof s.t.k, 12);
    monarch_buffer *out = to_buffer(&s, s.t.out, sizeof s.t.out, 256), *workspace = NULL;
    monarch_error error = {MONARCH_OK, ""};
    fixture_ok("workspace", monarch_plan_workspace_create(s.plan, &workspace, &error), &error);
    args = s.args;
    args.q = monarch_buffer_memory(q, 0);
    args.k = monarch_buffer_memory(k, 12);
    args.out = monarch_buffer_memory(out, 256);
    args.workspace = monarch_buffer_memory(workspace, 0);
    fixture_ok("execute", monarch_plan_execute(s.plan, s.f.queue, &args, &error), &error);
    fixture_ok("read", monarch_buffer_read(s.f.queue, out, 256, s.t.out, sizeof s.t.out, &error),
               &error);
    assert_memory_equal(s.t.out, expected, sizeof expected);
    monarch_buffer_destroy(&q);
    monarch_buffer_destroy(&k);
    monarch_buffer_destroy(&out);
    monarch_buffer_destroy(&workspace);
    close_scene(&s);
}

/* A buffer knows its length, so one that is too short is refused even when no size is given. */
static void test_buffer_arguments(void **state)
{
    (void)state;
    scene s = open_scene(0);
    set_args(&s);
    fixture other = fixture_open(1);
    monarch_error error = {MONARCH_OK, ""};
    monarch_buffer *q = to_buffer(&s, s.t.q, sizeof s.t.q, 0), *foreign = NULL, *empty = NULL;
    fixture_ok("foreign", monarch_buffer_create(other.device, sizeof s.t.q, &foreign, &error),
               &error);
    fixture_ok("empty", monarch_buffer_create(s.f.device, 0, &empty, &error), &error);
    monarch_plan_args args = s.args;
    args.q = monarch_buffer_memory(q, 4);
    refuse(&s, &args, "q", NULL);
    args.q = monarch_buffer_memory(q, sizeof s.t.q);
    refuse(&s, &args, "q", NULL);
    args.q = monarch_buffer_memory(q, sizeof s.t.q + 1);
    refuse(&s, &args, "q", NULL);
    args.q = monarch_buffer_memory(q, UINT64_MAX);
    refuse(&s, &args, "q", NULL);
    args.q = monarch_buffer_memory(foreign, 0);
    refuse(&s, &args, "q", "device");
    args.q = monarch_buffer_memory(empty, 0);
    refuse(&s, &args, "q", NULL);
    args.q = monarch_buffer_memory(NULL, 0);
    refuse(&s, &args, "q", "NULL");
    args = s.args;
    args.workspace = monarch_buffer_memory(empty, 0);
    refuse(&s, &args, "workspace", NULL);
    fixture_invalid("queue", monarch_plan_execute(s.plan, other.queue, &s.args, &error), &error,
                    "queue", "device");
    monarch_buffer_destroy(&q);
    monarch_buffer_destroy(&foreign);
    monarch_buffer_destroy(&empty);
    fixture_close(&other);
    close_scene(&s);
}

/* A negative stride reaches before the address of token 0, which a buffer can tell. */
static void test_backwards(void **state)
{
    (void)state;
    scene s = open_scene(0);
    set_args(&s);
    monarch_problem problem = fixture_problem();
    problem.q.strides = (monarch_strides){320, 80, 0, -8, 1};
    monarch_plan_destroy(&s.plan);
    monarch_error error = {MONARCH_OK, ""};
    fixture_ok("plan", monarch_plan_create(s.f.device, &problem, NULL, &s.plan, &error), &error);
    monarch_buffer *q = to_buffer(&s, s.t.q, sizeof s.t.q, 0);
    monarch_plan_args args = s.args;
    enum { BEFORE = 9 * 8 * 4 }; /* bytes from the last token, the lowest, to the first */
    args.q = monarch_buffer_memory(q, 0);
    refuse(&s, &args, "q", "before");
    args.q = monarch_buffer_memory(q, BEFORE - 4);
    refuse(&s, &args, "q", "before");
    args.q = monarch_buffer_memory(q, BEFORE);
    accept(&s, &args, NULL);
    fixture_poison(s.t.out, sizeof s.t.out);
    args.q = monarch_buffer_memory(q, BEFORE + 4);
    refuse(&s, &args, "q", NULL);
    monarch_buffer_destroy(&q);
    close_scene(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_null),
        cmocka_unit_test(test_structure),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_alignment),
        cmocka_unit_test(test_mask),
        cmocka_unit_test(test_overlap),
        cmocka_unit_test(test_backwards),
        cmocka_unit_test(test_forms_of_memory),
        cmocka_unit_test(test_buffer_arguments),
    };
    return cmocka_run_group_tests_name("api_execute", tests, NULL, NULL);
}
