/* SPDX-License-Identifier: Apache-2.0 */

/* Plans: options, what a plan tells about itself, and problems with nothing to do. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "fixture.h"

static fixture shared;

static int open_shared(void **state)
{
    (void)state;
    shared = fixture_open(2);
    return 0;
}

static int close_shared(void **state)
{
    (void)state;
    fixture_close(&shared);
    return 0;
}

static monarch_plan *make_plan(const monarch_problem *problem)
{
    monarch_error error = {MONARCH_OK, ""};
    monarch_plan *plan = NULL;
    fixture_ok("plan", monarch_plan_create(shared.device, problem, NULL, &plan, &error), &error);
    assert_non_null(plan);
    return plan;
}

static void refuse_options(const monarch_plan_options *options, monarch_status expected,
                           const char *word, const char *other)
{
    monarch_error error = {MONARCH_OK, ""};
    monarch_problem problem = fixture_problem();
    monarch_plan *plan = (monarch_plan *)&error;
    const char *words[FIXTURE_WORDS] = {word, other};
    fixture_expect("options", monarch_plan_create(shared.device, &problem, options, &plan, &error),
                   expected, &error, words);
    assert_null(plan);
}

static void test_options(void **state)
{
    (void)state;
    monarch_plan_options options = monarch_plan_options_default();
    options.struct_size = 0;
    refuse_options(&options, MONARCH_ERROR_INVALID_ARGUMENT, "struct_size", "0");
    options.struct_size = (uint32_t)sizeof options - 1;
    refuse_options(&options, MONARCH_ERROR_INVALID_ARGUMENT, "struct_size", NULL);
    options = monarch_plan_options_default();
    options.alignment = 48;
    refuse_options(&options, MONARCH_ERROR_INVALID_ARGUMENT, "alignment", "48");
    struct {
        monarch_plan_options options;
        uint64_t more;
    } newer = {monarch_plan_options_default(), 1};
    newer.options.struct_size = (uint32_t)sizeof newer;
    refuse_options(&newer.options, MONARCH_ERROR_INVALID_ARGUMENT, "struct_size", NULL);
    newer.more = 0;
    monarch_problem problem = fixture_problem();
    monarch_plan *plan = NULL;
    monarch_error error = {MONARCH_OK, ""};
    fixture_ok("zero tail",
               monarch_plan_create(shared.device, &problem, &newer.options, &plan, &error), &error);
    monarch_plan_destroy(&plan);
    assert_null(plan);
    monarch_plan_destroy(&plan);
    monarch_plan_destroy(NULL);
}

/* A name that the device does not know is refused by each call that takes one. */
static void test_unknown_variants(void **state)
{
    (void)state;
    static const char *const names[] = {"", "foo", "NAIVE", "naive ", "naiv", "naive generic"};
    monarch_problem problem = fixture_problem();
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        monarch_error error = {MONARCH_OK, ""};
        monarch_plan_options options = monarch_plan_options_default();
        options.variant = names[i];
        const char *words[FIXTURE_WORDS] = {names[i], "naive"};
        refuse_options(&options, MONARCH_ERROR_UNSUPPORTED, names[i], "naive");
        fixture_expect("supported",
                       monarch_problem_supported(shared.device, &problem, names[i], &error),
                       MONARCH_ERROR_UNSUPPORTED, &error, words);
        fixture_tensors t;
        monarch_stage_tensors tensors = {t.q, t.k, t.v, NULL, t.out};
        monarch_stage_values values[4];
        memset(values, 0, sizeof values);
        fixture_expect(
            "stages_run",
            monarch_stages_run(shared.device, &problem, names[i], &tensors, values, 4, &error),
            MONARCH_ERROR_UNSUPPORTED, &error, words);
    }
}

/* Every variant that the device lists can be forced, and says so. */
static void test_listed_variants(void **state)
{
    (void)state;
    monarch_error error = {MONARCH_OK, ""};
    monarch_problem problem = fixture_problem();
    monarch_device_info info = {.struct_size = sizeof info};
    fixture_ok("info", monarch_device_info_get(shared.device, &info, &error), &error);
    assert_true(fixture_has_variant(shared.device, "naive"));
    int count = 0;
    char *rest = info.variants;
    for (char *name = strtok(rest, " "); name; name = strtok(NULL, " "), count++) {
        monarch_plan_options options = monarch_plan_options_default();
        options.variant = name;
        monarch_plan *plan = NULL;
        fixture_ok(name, monarch_problem_supported(shared.device, &problem, name, &error), &error);
        fixture_ok(name, monarch_plan_create(shared.device, &problem, &options, &plan, &error),
                   &error);
        for (uint32_t i = 0; i < monarch_plan_stage_count(plan); i++) {
            monarch_stage_info stage = {.struct_size = sizeof stage};
            fixture_ok("stage", monarch_plan_stage(plan, i, &stage, &error), &error);
            assert_string_equal(stage.variant, name);
        }
        monarch_plan_destroy(&plan);
    }
    printf("%d variants\n", count);
    assert_true(count >= 1);
}

static void test_null(void **state)
{
    (void)state;
    monarch_error error = {MONARCH_OK, ""};
    monarch_problem problem = fixture_problem();
    monarch_plan *plan = (monarch_plan *)&error;
    fixture_invalid("create", monarch_plan_create(NULL, &problem, NULL, &plan, &error), &error,
                    "device", "NULL");
    assert_null(plan);
    plan = (monarch_plan *)&error;
    fixture_invalid("create", monarch_plan_create(shared.device, NULL, NULL, &plan, &error), &error,
                    "problem", "NULL");
    assert_null(plan);
    fixture_invalid("create", monarch_plan_create(shared.device, &problem, NULL, NULL, &error),
                    &error, "plan", "NULL");
    assert_int_equal(monarch_plan_create(NULL, NULL, NULL, NULL, NULL),
                     MONARCH_ERROR_INVALID_ARGUMENT);
    monarch_stage_info stage = {.struct_size = sizeof stage};
    monarch_plan_cost_info cost = {.struct_size = sizeof cost};
    monarch_buffer *buffer = (monarch_buffer *)&error;
    uint64_t size = 1, alignment = 1;
    fixture_invalid("problem", monarch_plan_problem(NULL, &problem, &error), &error, "plan",
                    "NULL");
    fixture_invalid("stage", monarch_plan_stage(NULL, 0, &stage, &error), &error, "plan", "NULL");
    fixture_invalid("cost", monarch_plan_cost(NULL, &cost, &error), &error, "plan", "NULL");
    fixture_invalid("workspace", monarch_plan_workspace_create(NULL, &buffer, &error), &error,
                    "plan", "NULL");
    assert_null(buffer);
    monarch_plan_workspace(NULL, &size, &alignment);
    assert_int_equal(size, 0);
    assert_int_equal(monarch_plan_stage_count(NULL), 0);
    char text[8] = "garbage";
    assert_int_equal(monarch_plan_describe(NULL, text, sizeof text), 0);
    assert_string_equal(text, "");
    plan = make_plan(&problem);
    fixture_invalid("problem", monarch_plan_problem(plan, NULL, &error), &error, "problem", "NULL");
    fixture_invalid("stage", monarch_plan_stage(plan, 0, NULL, &error), &error, "info", "NULL");
    fixture_invalid("cost", monarch_plan_cost(plan, NULL, &error), &error, "cost", "NULL");
    fixture_invalid("workspace", monarch_plan_workspace_create(plan, NULL, &error), &error,
                    "workspace", "NULL");
    monarch_plan_workspace(plan, NULL, NULL);
    monarch_plan_destroy(&plan);
}

static void test_plan_problem(void **state)
{
    (void)state;
    monarch_error error = {MONARCH_OK, ""};
    monarch_problem problem = fixture_problem(), resolved, held = monarch_problem_default();
    problem.scale = 0.0f;
    monarch_plan *plan = make_plan(&problem);
    fixture_ok("resolve", monarch_problem_resolve(&problem, &resolved, &error), &error);
    memset(&problem, 0xff, sizeof problem); /* the plan keeps no reference to its descriptor */
    fixture_ok("problem", monarch_plan_problem(plan, &held, &error), &error);
    assert_memory_equal(&held, &resolved, sizeof held);
    monarch_plan_destroy(&plan);
}

static void test_stages(void **state)
{
    (void)state;
    monarch_error error = {MONARCH_OK, ""};
    for (int32_t steps = 1; steps <= 3; steps++) {
        monarch_problem problem = fixture_problem();
        problem.steps = steps;
        monarch_plan *plan = make_plan(&problem);
        uint32_t count = monarch_plan_stage_count(plan);
        assert_int_equal(count, 2 * steps);
        monarch_plan_cost_info cost = {.struct_size = sizeof cost};
        fixture_ok("cost", monarch_plan_cost(plan, &cost, &error), &error);
        double flops = 0.0, bytes = 0.0;
        for (uint32_t i = 0; i < count; i++) {
            monarch_stage_info info = {.struct_size = sizeof info};
            fixture_ok("stage", monarch_plan_stage(plan, i, &info, &error), &error);
            bool last = i >= count - 2, left = i % 2 != 0;
            assert_int_equal(info.kind, left ? (last ? MONARCH_STAGE_LEFT_OUT : MONARCH_STAGE_LEFT)
                                        : last ? MONARCH_STAGE_RIGHT_VALUE
                                               : MONARCH_STAGE_RIGHT);
            assert_int_equal(info.groups, left ? 4 : 3); /* B = 4, M = 3 */
            assert_int_equal(info.rows, left ? 3 : 4);
            assert_int_equal(info.columns, left ? 3 : 4);
            assert_true(info.flops > 0 && info.bytes > 0 && info.variant[0]);
            flops += info.flops;
            bytes += info.bytes;
        }
        assert_true(flops == cost.flops && bytes == cost.bytes);
        /* The counts of docs/algorithm.md, D and Dv told apart; B = 4, M = 3, N_pad = 12. */
        double heads = 8, pad = 12, d = 8, dv = 6, b = 4, m = 3;
        double want = pad * (2 * (steps - 1) * (b + m) * d + 2 * b * d + b * dv + m * d + m * dv);
        assert_true(cost.flops == 2 * heads * want);
        assert_true(cost.exact_flops == heads * 2 * 10 * 10 * (d + dv));
        double floor = 4.0 * (FIXTURE_Q + FIXTURE_K + FIXTURE_V + FIXTURE_OUT);
        assert_true(cost.floor_bytes == floor && cost.bytes >= floor);
        monarch_stage_info info = {.struct_size = sizeof info};
        fixture_invalid("past", monarch_plan_stage(plan, count, &info, &error), &error, "index",
                        NULL);
        info.struct_size = 0;
        fixture_invalid("size", monarch_plan_stage(plan, 0, &info, &error), &error, "struct_size",
                        "0");
        cost.struct_size = 3;
        fixture_invalid("size", monarch_plan_cost(plan, &cost, &error), &error, "struct_size", "3");
        monarch_plan_destroy(&plan);
    }
}

/* Like snprintf: the whole length comes back, whatever fits is written and terminated. */
static void test_describe(void **state)
{
    (void)state;
    monarch_problem problem = fixture_problem();
    monarch_plan *plan = make_plan(&problem);
    size_t length = monarch_plan_describe(plan, NULL, 0);
    assert_true(length > 100);
    char *whole = malloc(length + 1), *part = malloc(length + 2);
    assert_non_null(whole);
    assert_non_null(part);
    assert_int_equal(monarch_plan_describe(plan, whole, length + 1), length);
    assert_int_equal(strlen(whole), length);
    static const char *const words[] = {"right_value", "left_out", "tokens 10", "workspace"};
    for (int i = 0; i < 4; i++)
        assert_non_null(strstr(whole, words[i]));
    for (size_t capacity = 0; capacity <= length + 1; capacity++) {
        memset(part, 0x7f, length + 2);
        assert_int_equal(monarch_plan_describe(plan, part, capacity), length);
        size_t wrote = capacity > length ? length : capacity > 0 ? capacity - 1 : 0;
        assert_memory_equal(part, whole, wrote);
        if (capacity > 0)
            assert_int_equal(part[wrote], 0);
        assert_int_equal(part[capacity], 0x7f);
    }
    free(whole);
    free(part);
    monarch_plan_destroy(&plan);
}

static void test_workspace(void **state)
{
    (void)state;
    monarch_error error = {MONARCH_OK, ""};
    monarch_problem problem = fixture_problem();
    monarch_plan *plan = make_plan(&problem);
    uint64_t size = 0, alignment = 0;
    monarch_plan_workspace(plan, &size, &alignment);
    assert_true(alignment > 0 && (alignment & (alignment - 1)) == 0);
    monarch_buffer *workspace = NULL;
    fixture_ok("create", monarch_plan_workspace_create(plan, &workspace, &error), &error);
    assert_int_equal(monarch_buffer_size(workspace), size);
    monarch_buffer_destroy(&workspace);
    monarch_plan_destroy(&plan);
}

/* Nothing to do: every call succeeds, with no tensor at all, and touches nothing. */
static void check_empty(const monarch_problem *problem)
{
    monarch_error error = {MONARCH_OK, ""};
    fixture_tensors t;
    fixture_poison(&t, sizeof t);
    monarch_device *device = shared.device;
    fixture_ok("supported", monarch_problem_supported(device, problem, NULL, &error), &error);
    monarch_plan *plan = make_plan(problem);
    assert_int_equal(monarch_plan_stage_count(plan), 0);
    monarch_plan_args none = monarch_plan_args_default(), given = fixture_args(&t);
    fixture_ok("none", monarch_plan_execute(plan, shared.queue, &none, &error), &error);
    fixture_ok("given", monarch_plan_execute(plan, shared.queue, &given, &error), &error);
    double seconds[2] = {-1.0, -1.0};
    fixture_ok("time", monarch_plan_time(plan, shared.queue, &none, 2, seconds, &error), &error);
    assert_true(seconds[0] >= 0.0 && seconds[1] >= 0.0);
    monarch_buffer *workspace = NULL;
    fixture_ok("workspace", monarch_plan_workspace_create(plan, &workspace, &error), &error);
    monarch_buffer_destroy(&workspace);
    assert_true(monarch_plan_describe(plan, NULL, 0) > 0);
    monarch_plan_cost_info cost = {.struct_size = sizeof cost};
    fixture_ok("cost", monarch_plan_cost(plan, &cost, &error), &error);
    assert_true(cost.flops == 0.0 && cost.exact_flops == 0.0 && cost.bytes == 0.0);
    monarch_plan_destroy(&plan);
    fixture_ok("attention",
               monarch_attention(device, problem, NULL, NULL, NULL, NULL, NULL, &error), &error);
    fixture_ok("attention", monarch_attention(device, problem, t.q, t.k, t.v, NULL, t.out, &error),
               &error);
    monarch_stage_tensors tensors = {NULL, NULL, NULL, NULL, NULL};
    monarch_stage_values values[4];
    memset(values, 0, sizeof values);
    fixture_ok("stages_run", monarch_stages_run(device, problem, NULL, &tensors, values, 4, &error),
               &error);
    assert_true(fixture_all_poison(&t, sizeof t));
}

static void test_empty(void **state)
{
    (void)state;
    for (int i = 0; i < 8; i++) {
        monarch_problem problem = fixture_problem();
        problem.batch = i & 1 ? 0 : 2;
        problem.tokens = i & 1 ? (i & 2 ? 0 : 10) : 0;
        problem.has_mask = i & 4 ? 1 : 0;
        problem.block_size = i & 4 ? 0 : 4;
        check_empty(&problem);
    }
}

/* An empty problem is checked like any other. */
static void test_empty_invalid(void **state)
{
    (void)state;
    monarch_error error = {MONARCH_OK, ""};
    monarch_problem problem = fixture_problem();
    problem.batch = 0;
    problem.steps = 65;
    fixture_invalid(
        "attention",
        monarch_attention(shared.device, &problem, NULL, NULL, NULL, NULL, NULL, &error), &error,
        "steps", "65");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_options),      cmocka_unit_test(test_unknown_variants),
        cmocka_unit_test(test_null),         cmocka_unit_test(test_listed_variants),
        cmocka_unit_test(test_plan_problem), cmocka_unit_test(test_stages),
        cmocka_unit_test(test_describe),     cmocka_unit_test(test_workspace),
        cmocka_unit_test(test_empty),        cmocka_unit_test(test_empty_invalid),
    };
    return cmocka_run_group_tests_name("api_plan", tests, open_shared, close_shared);
}
