/* SPDX-License-Identifier: Apache-2.0 */

/* Versions, names, and numbers that may never change. */

#include "fixture.h"

static void test_versions(void **state)
{
    (void)state;
    assert_int_equal(monarch_api_version(),
                     MONARCH_API_VERSION_MAJOR * 1000 + MONARCH_API_VERSION_MINOR);
    assert_string_equal(monarch_version_string(), MONARCH_VERSION_STRING);
}

/* These numbers are part of the binary interface: a change here breaks programs. */
static void test_pinned_values(void **state)
{
    (void)state;
    static const int got[] = {
        MONARCH_OK,
        MONARCH_ERROR_INVALID_ARGUMENT,
        MONARCH_ERROR_UNSUPPORTED,
        MONARCH_ERROR_OUT_OF_MEMORY,
        MONARCH_ERROR_NATIVE,
        MONARCH_ERROR_DEVICE_LOST,
        MONARCH_ERROR_FORKED,
        MONARCH_F32,
        MONARCH_F16,
        MONARCH_BF16,
        MONARCH_PAD_END,
        MONARCH_PAD_BEGIN,
        MONARCH_MEMORY_NONE,
        MONARCH_MEMORY_HOST,
        MONARCH_MEMORY_BUFFER,
        MONARCH_MEMORY_CUDA,
        MONARCH_MEMORY_OPENCL,
        MONARCH_MEMORY_SVM,
        MONARCH_MEMORY_VULKAN,
        MONARCH_LOG_WARNING,
        MONARCH_LOG_INFO,
        MONARCH_STAGE_RIGHT,
        MONARCH_STAGE_LEFT,
        MONARCH_STAGE_RIGHT_VALUE,
        MONARCH_STAGE_LEFT_OUT,
        MONARCH_MAX_STEPS,
        MONARCH_ERROR_MESSAGE_SIZE,
    };
    static const int pinned[] = {0, 1, 2, 3, 4, 5, 6, 0, 1, 2, 0, 1,  0,  1,
                                 2, 3, 4, 5, 6, 1, 2, 0, 1, 2, 3, 64, 508};
    assert_int_equal(sizeof got, sizeof pinned);
    assert_memory_equal(got, pinned, sizeof pinned);
    assert_int_equal(sizeof(monarch_error), 512);
    assert_int_equal(offsetof(monarch_problem, struct_size), 0);
    assert_int_equal(offsetof(monarch_instance_params, struct_size), 0);
    assert_int_equal(offsetof(monarch_plan_options, struct_size), 0);
    assert_int_equal(offsetof(monarch_plan_args, struct_size), 0);
    assert_int_equal(offsetof(monarch_device_info, struct_size), 0);
    assert_int_equal(offsetof(monarch_backend_info, struct_size), 0);
    assert_int_equal(offsetof(monarch_stage_info, struct_size), 0);
    assert_int_equal(offsetof(monarch_plan_cost_info, struct_size), 0);
}

static void test_names(void **state)
{
    (void)state;
    static const char *const statuses[] = {
        "OK",     "INVALID_ARGUMENT", "UNSUPPORTED", "OUT_OF_MEMORY",
        "NATIVE", "DEVICE_LOST",      "FORKED"};
    for (int i = 0; i < 7; i++)
        assert_string_equal(monarch_status_name((monarch_status)i), statuses[i]);
    assert_non_null(monarch_status_name((monarch_status)7));
    assert_non_null(monarch_status_name((monarch_status)-1));
    static const char *const dtypes[] = {"f32", "f16", "bf16", "?", "?"};
    static const size_t sizes[] = {4, 2, 2, 0, 0};
    static const int values[] = {0, 1, 2, 3, -1};
    for (int i = 0; i < 5; i++) {
        assert_string_equal(monarch_dtype_name((monarch_dtype)values[i]), dtypes[i]);
        assert_int_equal(monarch_dtype_size((monarch_dtype)values[i]), sizes[i]);
    }
    static const char *const kinds[] = {"right", "left", "right_value", "left_out", "?"};
    for (int i = 0; i < 5; i++)
        assert_string_equal(monarch_stage_kind_name((monarch_stage_kind)i), kinds[i]);
    assert_string_equal(monarch_stage_kind_name((monarch_stage_kind)-1), "?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_versions),
        cmocka_unit_test(test_pinned_values),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests_name("api_values", tests, NULL, NULL);
}
