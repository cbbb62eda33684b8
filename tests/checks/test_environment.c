/* SPDX-License-Identifier: Apache-2.0 */

/* What lies outside the arguments must not reach a result: the caller's floating-point environment,
 * memory behind a structure of absurd size, strides of axes that have one index. */

#include <fenv.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

#include "fixture.h"

enum { TOKENS = 96, DIM = 20, ELEMENTS = TOKENS * DIM };

typedef struct tensors {
    uint16_t q[ELEMENTS], k[ELEMENTS], v[ELEMENTS];
    float out[ELEMENTS];
} tensors;

/* f16 numbers; the values are subnormal, which flushing to zero would lose. */
static void fill(tensors *t)
{
    uint64_t state = fixture_seed();
    for (int i = 0; i < ELEMENTS; i++) {
        t->q[i] = (uint16_t)(0x3800u | (fixture_random(&state) & 0x87ffu));
        t->k[i] = (uint16_t)(0x3800u | (fixture_random(&state) & 0x87ffu));
        t->v[i] = (uint16_t)(fixture_random(&state) & 0x83ffu);
    }
}

static void compute(monarch_queue *queue, const monarch_plan *plan, monarch_buffer *workspace,
                    tensors *t)
{
    monarch_error error = {MONARCH_OK, ""};
    monarch_plan_args args = monarch_plan_args_default();
    args.q = monarch_host_memory(t->q, sizeof t->q);
    args.k = monarch_host_memory(t->k, sizeof t->k);
    args.v = monarch_host_memory(t->v, sizeof t->v);
    args.out = monarch_host_memory(t->out, sizeof t->out);
    args.workspace = monarch_buffer_memory(workspace, 0);
    fixture_poison(t->out, sizeof t->out);
    fixture_ok("execute", monarch_plan_execute(plan, queue, &args, &error), &error);
}

/* Runs with other rounding and, where there is such a thing, subnormals flushed. */
static void compute_disturbed(monarch_queue *queue, const monarch_plan *plan,
                              monarch_buffer *workspace, tensors *t)
{
    fenv_t before;
    assert_int_equal(fegetenv(&before), 0);
    fesetround(FE_UPWARD);
#if defined(__x86_64__)
    const unsigned flush = 0x8040; /* FTZ and DAZ */
    _mm_setcsr(_mm_getcsr() | flush);
#endif
    compute(queue, plan, workspace, t);
    int rounding = fegetround();
#if defined(__x86_64__)
    unsigned flags = _mm_getcsr() & flush;
#endif
    fesetenv(&before);
    assert_int_equal(rounding, FE_UPWARD); /* the caller's own environment comes back */
#if defined(__x86_64__)
    assert_int_equal(flags, flush);
#endif
}

static void test_floating_point(void **state)
{
    (void)state;
    static tensors plain, disturbed;
    static const char *const variants[] = {"avx512", "avx2", "generic", "naive"};
    fixture f = fixture_open(2);
    fill(&plain);
    disturbed = plain;
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++) {
        if (!fixture_has_variant(f.device, variants[i])) {
            print_message("%s: this processor does not have it\n", variants[i]);
            continue;
        }
        monarch_error error = {MONARCH_OK, ""};
        monarch_problem problem = monarch_problem_default();
        problem.batch = 1;
        problem.heads = 1;
        problem.tokens = TOKENS;
        problem.head_dim = DIM;
        problem.block_size = 8;
        problem.steps = 2;
        monarch_problem_set_dtype(&problem, MONARCH_F16);
        problem.out.dtype = MONARCH_F32;
        monarch_plan_options options = monarch_plan_options_default();
        options.variant = variants[i];
        monarch_plan *plan = NULL;
        monarch_buffer *workspace = NULL;
        fixture_ok("plan", monarch_plan_create(f.device, &problem, &options, &plan, &error),
                   &error);
        fixture_ok("workspace", monarch_plan_workspace_create(plan, &workspace, &error), &error);
        compute(f.queue, plan, workspace, &plain);
        for (int round = 0; round < 5; round++) {
            compute_disturbed(f.queue, plan, workspace, &disturbed);
            assert_memory_equal(plain.out, disturbed.out, sizeof plain.out);
        }
        monarch_buffer_destroy(&workspace);
        monarch_plan_destroy(&plan);
    }
    fixture_close(&f);
}

/* A size that is garbage is refused before what it covers is read: an unreadable page follows. */
static void test_struct_size(void **state)
{
    (void)state;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *pages = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(pages, MAP_FAILED);
    assert_int_equal(mprotect(pages + page, page, PROT_NONE), 0);
    monarch_problem *problem = (monarch_problem *)(void *)(pages + page - sizeof *problem);
    monarch_problem resolved;
    monarch_error error = {MONARCH_OK, ""};
    *problem = fixture_problem();
    problem->struct_size = 0x7ffe1234;
    monarch_status status = monarch_problem_resolve(problem, &resolved, &error);
    fixture_invalid("garbage struct_size", status, &error, "struct_size", "2147357236");
    munmap(pages, 2 * page);
}

/* Strides of axes with one index are never used, so they may hold anything. */
static void test_unused_strides(void **state)
{
    (void)state;
    fixture f = fixture_open(1);
    monarch_error error = {MONARCH_OK, ""};
    static fixture_tensors t;
    float out[8];
    fixture_fill(&t, fixture_seed());
    monarch_problem problem = monarch_problem_default();
    problem.batch = 1;
    problem.heads = 1;
    problem.tokens = 1;
    problem.head_dim = 8;
    const monarch_strides wild = {INT64_MAX / 2, INT64_MIN, INT64_MAX / 3, INT64_MAX / 2, 1};
    problem.q.strides = problem.k.strides = problem.v.strides = problem.out.strides = wild;
    fixture_ok("wild strides",
               monarch_attention(f.device, &problem, t.q, t.k, t.v, NULL, out, &error), &error);
    assert_memory_equal(out, t.v, sizeof out); /* one token attends to itself */
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_floating_point),
        cmocka_unit_test(test_struct_size),
        cmocka_unit_test(test_unused_strides),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
