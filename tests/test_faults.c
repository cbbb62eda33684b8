/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <monarch/monarch.h>
#include <monarch/verify.h>

#include "faults.h"
#include "random.h"

/* Faults on purpose: a verification must fail, and name the stage that is spoilt. */

static monarch_instance *instance;
static monarch_verify_device device;
static monarch_verify_subject right;
static uint64_t seed;

/* What is planted where. Stages by bits; 4 of them in programs of two steps, 2 of one. */
typedef struct planted {
    fault kind;
    const char *name; /* of the case */
    unsigned dtypes;  /* bit n: monarch_dtype n */
    unsigned stages;
} planted;

enum { F32 = 1, F16 = 2, BF16 = 4, ALL = 7 };

/*
 * left_out does not read the mask: what is masked has weight 0 by its cL. Sums in f16 differ from
 * what f16 tensors are allowed only where they are long, and never from what bf16 allows.
 */
static const planted table[] = {
    {FAULT_BARRIER, "odd_n_steps_2", ALL, 0xf},
    {FAULT_HEADS, "odd_n_steps_2", ALL, 0xf},
    {FAULT_TAIL, "odd_n_steps_2", ALL, 0xf},
    {FAULT_MASK, "mask_random", ALL, 0x7},
    {FAULT_STRIDE, "odd_n_steps_2", ALL, 0xf},
    {FAULT_F16_SUMS, "odd_n_steps_2", F32, 0xf},
    {FAULT_F16_SUMS, "block_over_1024", F16, 0x1},
    {FAULT_F16_SUMS, "blocks_over_1024", F16, 0x2},
    {FAULT_PADDING, "odd_n_steps_2", ALL, 0xf},
    {FAULT_PADDING, "odd_n_steps_3_begin", ALL, 0x3f},
    {FAULT_STALE, "odd_n_steps_2", ALL, 0xf},
    {FAULT_UNORDERED, "odd_n_steps_2", ALL, 0xe},
};

/* The same for what only whole results show; the stage named is then the one after the last. */
static const planted results[] = {
    {FAULT_RESULT, "odd_n_steps_2", ALL, 0},
    {FAULT_RANDOM, "odd_n_steps_2", ALL, 0},
    {FAULT_NEIGHBOURS, "odd_n_steps_2", ALL, 0},
    {FAULT_OUTSIDE, "odd_n_steps_2", ALL, 0},
};

static int open_device(void **state)
{
    monarch_instance_params params = monarch_instance_params_default();
    const char *given = getenv("MONARCH_TEST_SEED");

    (void)state;
    params.backends = "cpu";
    seed = given != NULL ? strtoull(given, NULL, 10) : test_random_fresh_seed();
    printf("seed %" PRIu64 " (repeat with MONARCH_TEST_SEED)\n", seed);
    if (monarch_instance_create(&params, &instance, NULL) != MONARCH_OK)
        return 1;
    device = (monarch_verify_device){monarch_instance_device(instance, 0), "generic"};
    right = monarch_verify_device_subject(&device, "cpu:0/generic");
    return 0;
}

static int close_device(void **state)
{
    (void)state;
    monarch_instance_destroy(&instance);
    return 0;
}

static monarch_verification *open_case(const char *name, monarch_dtype dtype,
                                       const monarch_verify_subject *against)
{
    monarch_verify_params params = monarch_verify_params_default();
    monarch_verification *v = NULL;
    monarch_error error = {MONARCH_OK, ""};

    params.case_name = name;
    params.dtype = dtype;
    params.seed = seed;
    params.against = against;
    if (monarch_verification_create(&params, &v, &error) != MONARCH_OK)
        fail_msg("%s: %s", name, error.message);
    return v;
}

static monarch_verify_summary verify(monarch_verification *v, const monarch_verify_subject *subject)
{
    monarch_verify_summary summary = {.struct_size = sizeof summary};
    monarch_error error = {MONARCH_OK, ""};

    if (monarch_verification_run(v, subject, NULL, NULL, &summary, &error) != MONARCH_OK)
        fail_msg("%s", error.message);
    return summary;
}

static void print_summary(const char *what, const char *name, monarch_dtype dtype, uint32_t stage,
                          const monarch_verify_summary *s)
{
    const monarch_verify_finding *f = &s->worst;

    printf("    %-10s %-19s %-4s planted in stage %u, found in %d: %s %s [%" PRId64 ", %" PRId64
           ", %" PRId64 ", %" PRId64 ", %" PRId64 "] %.4g for %.4g, error %.2e (limit %.2e), "
           "element %.2e (limit %.2e) %s\n",
           what, name, monarch_dtype_name(dtype), stage, s->stage,
           monarch_verify_check_name(f->check), f->array, f->batch, f->head, f->block, f->position,
           f->feature, f->actual, f->expected, f->error, f->limit, f->worst, f->worst_limit,
           f->text);
}

/* Plants one fault in each of its stages; returns how many were not found where they are. */
static int plant(const planted *p, monarch_dtype dtype, const monarch_verify_subject *against)
{
    monarch_verification *v = open_case(p->name, dtype, against);
    int missed = 0;

    for (uint32_t stage = 0; p->stages >> stage != 0; stage++) {
        monarch_verify_summary s;
        faulty f;
        if ((p->stages >> stage & 1) == 0)
            continue;
        faulty_make(&f, p->kind, stage, &right);
        s = verify(v, &f.subject);
        print_summary(fault_name(p->kind), p->name, dtype, stage, &s);
        missed += s.verdict != MONARCH_VERIFY_FAIL || s.stage != (int32_t)stage;
    }
    monarch_verification_destroy(&v);
    return missed;
}

/* Whether two entries of the table come to the same inputs, so that one control is enough. */
static void test_control(void **state)
{
    static const char *const names[] = {"odd_n_steps_2", "odd_n_steps_3_begin", "mask_random",
                                        "block_over_1024", "blocks_over_1024"};

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        for (int dtype = MONARCH_F32; dtype <= MONARCH_BF16; dtype++) {
            monarch_verification *v = open_case(names[i], (monarch_dtype)dtype, NULL);
            monarch_verify_summary s;
            faulty f;
            faulty_make(&f, FAULT_NONE, 0, &right);
            s = verify(v, &f.subject);
            if (s.verdict != MONARCH_VERIFY_PASS || s.stage != -1 || s.skipped != 0)
                print_summary("none", names[i], (monarch_dtype)dtype, 0, &s);
            assert_int_equal(s.verdict, MONARCH_VERIFY_PASS);
            assert_int_equal(s.stage, -1);
            assert_int_equal(s.failed + s.skipped, 0);
            monarch_verification_destroy(&v);
        }
}

static void test_stages(void **state)
{
    int missed = 0;

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        for (int dtype = MONARCH_F32; dtype <= MONARCH_BF16; dtype++)
            if (table[i].dtypes >> dtype & 1)
                missed += plant(&table[i], (monarch_dtype)dtype, NULL);
    if (missed != 0)
        fail_msg("%d faults were not found in their stage", missed);
}

/* The same with another device, which is right, in the place of the reference. */
static void test_against(void **state)
{
    monarch_verify_device naive = {device.device, "naive"};
    monarch_verify_subject other = monarch_verify_device_subject(&naive, "cpu:0/naive");
    int missed = 0;

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (table[i].kind != FAULT_F16_SUMS)
            missed += plant(&table[i], MONARCH_F32, &other);
    if (missed != 0)
        fail_msg("%d faults were not found in their stage", missed);
}

/* What is right shows as such when it is compared with what is wrong. */
static void test_blame(void **state)
{
    faulty f;
    monarch_verification *v;
    monarch_verify_summary s;

    (void)state;
    faulty_make(&f, FAULT_HEADS, 2, &right);
    v = open_case("odd_n_steps_2", MONARCH_F16, &f.subject);
    s = verify(v, &right);
    print_summary("blame", "odd_n_steps_2", MONARCH_F16, 2, &s);
    assert_int_equal(s.verdict, MONARCH_VERIFY_FAIL);
    assert_int_equal(s.stage, 2);
    assert_non_null(strstr(s.worst.text, "cpu:0/generic is right"));
    assert_non_null(strstr(s.worst.text, "faulty is wrong"));
    monarch_verification_destroy(&v);
}

static void test_results(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof results / sizeof results[0]; i++)
        for (int dtype = MONARCH_F32; dtype <= MONARCH_BF16; dtype++) {
            monarch_verification *v = open_case(results[i].name, (monarch_dtype)dtype, NULL);
            faulty f;
            faulty_make(&f, results[i].kind, 0, &right);
            monarch_verify_summary s = verify(v, &f.subject);
            print_summary(fault_name(results[i].kind), results[i].name, (monarch_dtype)dtype, 4,
                          &s);
            assert_int_equal(s.verdict, MONARCH_VERIFY_FAIL);
            assert_int_equal(s.stage, 4);
            monarch_verification_destroy(&v);
        }
}

/* A backend without a view of its stages: only its result can be compared, and is. */
static void test_result_alone(void **state)
{
    faulty f;
    monarch_verification *v = open_case("odd_n_steps_2", MONARCH_F32, NULL);
    monarch_verify_summary s;

    (void)state;
    faulty_make(&f, FAULT_TAIL, 0, &right);
    f.subject.stage = NULL;
    f.subject.stages = NULL;
    s = verify(v, &f.subject);
    assert_int_equal(s.verdict, MONARCH_VERIFY_FAIL);
    assert_int_equal(s.stage, 4);
    monarch_verification_destroy(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_control), cmocka_unit_test(test_stages),
        cmocka_unit_test(test_against), cmocka_unit_test(test_blame),
        cmocka_unit_test(test_results), cmocka_unit_test(test_result_alone),
    };

    return _cmocka_run_group_tests("faults", tests, sizeof tests / sizeof tests[0], open_device,
                                   close_device);
}
