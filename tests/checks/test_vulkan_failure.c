/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Every driver call that can fail failed in turn, on the stand-in. Whatever the library was doing
 * must say so with a status and the name of the call (or, where it only frees, in the log), leak
 * nothing, null its out-handle, and work when it is asked again.
 */

#include <stdio.h>

#include <monarch/vulkan.h>

#include "vulkan_scene.h"

enum { TIMES = 2 };

/* What a run of all operations works on. */
typedef struct work {
    vulkan_scene s;
    monarch_device *wrapped;
    monarch_queue *wrapped_queue;
    VkInstance instance; /* of the caller */
    VkPhysicalDevice physical;
    VkDevice device;
    VkQueue queue;
    char bytes[64];
    double seconds[TIMES];
    const char *variant;
    bool bare; /* the devices lack what they may lack */
} work;

static void *poison(void)
{
    static int somewhere;
    return &somewhere;
}

/* ---- operations, in the order in which they run; each leaves what the next ones need ---- */

static monarch_status do_open(work *w, monarch_error *error)
{
    monarch_instance_params params = vulkan_scene_params(&w->s);
    w->s.instance = poison();
    monarch_status status = monarch_instance_create(&params, &w->s.instance, error);
    if (status == MONARCH_OK)
        status = monarch_instance_find(w->s.instance, "vulkan:0", &w->s.device, error);
    monarch_device *second;
    if (status == MONARCH_OK)
        status = monarch_instance_find(w->s.instance, "vulkan:1", &second, error);
    if (status != MONARCH_OK)
        monarch_instance_destroy(&w->s.instance);
    return status;
}

static monarch_status do_queue(work *w, monarch_error *error)
{
    w->s.queue = poison();
    monarch_status status = monarch_queue_create(w->s.device, &w->s.queue, error);
    assert_true((w->s.queue != NULL) == (status == MONARCH_OK));
    return status;
}

static monarch_status do_plan(work *w, monarch_error *error)
{
    monarch_problem problem = vulkan_scene_problem();
    monarch_plan_options options = monarch_plan_options_default();
    options.variant = w->variant;
    w->s.plan = poison();
    monarch_status status = monarch_plan_create(w->s.device, &problem, &options, &w->s.plan, error);
    assert_true((w->s.plan != NULL) == (status == MONARCH_OK));
    return status;
}

static monarch_status do_buffer(work *w, monarch_error *error)
{
    w->s.q = poison();
    monarch_status status =
        monarch_buffer_create(w->s.device, sizeof(float) * 5 * FIXTURE_Q, &w->s.q, error);
    assert_true((w->s.q != NULL) == (status == MONARCH_OK));
    return status;
}

/* One that does not fit into what is there. */
static monarch_status do_large_buffer(work *w, monarch_error *error)
{
    w->s.k = poison();
    monarch_status status = monarch_buffer_create(w->s.device, 40 << 20, &w->s.k, error);
    assert_true((w->s.k != NULL) == (status == MONARCH_OK));
    return status;
}

static monarch_status do_workspace(work *w, monarch_error *error)
{
    monarch_plan_args *args = &w->s.args;
    monarch_status status = monarch_plan_workspace_create(w->s.plan, &w->s.workspace, error);
    *args = monarch_plan_args_default();
    args->q = args->k = args->v = monarch_buffer_memory(w->s.q, 0);
    args->mask = monarch_buffer_memory(w->s.q, 0);
    args->out = monarch_buffer_memory(w->s.q, sizeof(float) * 4 * FIXTURE_Q);
    args->workspace = monarch_buffer_memory(w->s.workspace, 0);
    return status;
}

static monarch_status do_write(work *w, monarch_error *error)
{
    return monarch_buffer_write(w->s.queue, w->s.q, 0, w->bytes, sizeof w->bytes, error);
}

static monarch_status do_execute(work *w, monarch_error *error)
{
    return monarch_plan_execute(w->s.plan, w->s.queue, &w->s.args, error);
}

static monarch_status do_wait(work *w, monarch_error *error)
{
    return monarch_queue_wait(w->s.queue, error);
}

static monarch_status do_read(work *w, monarch_error *error)
{
    return monarch_buffer_read(w->s.queue, w->s.q, 0, w->bytes, sizeof w->bytes, error);
}

static monarch_status do_time(work *w, monarch_error *error)
{
    return monarch_plan_time(w->s.plan, w->s.queue, &w->s.args, TIMES, w->seconds, error);
}

static monarch_status do_save(work *w, monarch_error *error)
{
    size_t size = sizeof w->bytes;
    return monarch_vulkan_cache_save(w->s.device, w->bytes, &size, error);
}

static monarch_status do_load(work *w, monarch_error *error)
{
    monarch_device *second = NULL;
    fixture_ok("second", monarch_instance_find(w->s.instance, "vulkan:1", &second, error), error);
    return monarch_vulkan_cache_load(second, w->bytes, 32, error);
}

static monarch_status do_features(work *w, monarch_error *error)
{
    uint32_t features = 1;
    monarch_status status =
        monarch_vulkan_features(w->s.instance, w->instance, w->physical, NULL, &features, error);
    assert_true((features != 0) == (status == MONARCH_OK));
    return status;
}

static monarch_status do_wrap_device(work *w, monarch_error *error)
{
    monarch_vulkan_device_params params = monarch_vulkan_device_params_default();
    params.features = w->bare ? MONARCH_VULKAN_REQUIRED : 127;
    params.instance = w->instance;
    params.physical_device = w->physical;
    params.device = w->device;
    params.queue_family = 1;
    w->wrapped = poison();
    monarch_status status = monarch_vulkan_device_wrap(w->s.instance, &params, &w->wrapped, error);
    assert_true((w->wrapped != NULL) == (status == MONARCH_OK));
    return status;
}

static monarch_status do_wrap_queue(work *w, monarch_error *error)
{
    monarch_vulkan_queue_params params = monarch_vulkan_queue_params_default();
    params.queue = w->queue;
    w->wrapped_queue = poison();
    monarch_status status =
        monarch_vulkan_queue_wrap(w->wrapped, &params, &w->wrapped_queue, error);
    assert_true((w->wrapped_queue != NULL) == (status == MONARCH_OK));
    return status;
}

static monarch_status do_close(work *w, monarch_error *error)
{
    (void)error;
    monarch_queue_destroy(&w->wrapped_queue);
    monarch_vulkan_device_destroy(&w->wrapped);
    monarch_buffer_destroy(&w->s.q);
    monarch_buffer_destroy(&w->s.k);
    monarch_buffer_destroy(&w->s.workspace);
    monarch_plan_destroy(&w->s.plan);
    monarch_queue_destroy(&w->s.queue);
    monarch_instance_destroy(&w->s.instance);
    return MONARCH_OK;
}

typedef struct operation {
    const char *name;
    monarch_status (*run)(work *w, monarch_error *error);
} operation;

static const operation operations[] = {
    {"open", do_open},
    {"queue", do_queue},
    {"plan", do_plan},
    {"buffer", do_buffer},
    {"large buffer", do_large_buffer},
    {"workspace", do_workspace},
    {"write", do_write},
    {"execute", do_execute},
    {"wait", do_wait},
    {"read", do_read},
    {"time", do_time},
    {"save", do_save},
    {"load", do_load},
    {"features", do_features},
    {"wrap device", do_wrap_device},
    {"wrap queue", do_wrap_queue},
    {"close", do_close},
};

/* ---- the sweep ---- */

typedef struct failure {
    VkResult result;
    monarch_status status;
    const char *name;
} failure;

/* The failure must have been told, by status and message or in the log. */
static void check_told(const operation *op, const failure *f, monarch_status status,
                       const monarch_error *error, const char *log)
{
    const char *call = fake_vulkan_state()->failed;
    bool in_message = status != MONARCH_OK && strstr(error->message, call);
    if (!in_message && !strstr(log, call))
        fail_msg("%s: %s failed, but neither message \"%s\" nor log \"%s\" says so", op->name, call,
                 status != MONARCH_OK ? error->message : "", log);
    if (!strstr(in_message ? error->message : log, f->name))
        fail_msg("%s: no %s in \"%s\"", op->name, f->name, in_message ? error->message : log);
    /* An instance goes on without what its driver cannot offer; and a device that is only looked
       at has not run out of memory, whatever the driver says. */
    bool absent = op->run == do_open && status == MONARCH_ERROR_UNSUPPORTED;
    bool looks = op->run == do_wrap_device || op->run == do_features;
    if (status != MONARCH_OK && status != f->status && !absent &&
        !(looks && status == MONARCH_ERROR_NATIVE))
        fail_msg("%s: %s failed: %s instead of %s", op->name, call, monarch_status_name(status),
                 monarch_status_name(f->status));
}

/* What a failed operation may leave: the device, which the next one needs, and, of a plan, the
   pipelines and the cache. */
static bool may_leave(const operation *op)
{
    return op->run == do_queue || op->run == do_plan || op->run == do_load;
}

/* Runs an operation, again if it failed; returns whether the one failing call fell into it. */
static bool run_operation(const operation *op, work *w, const failure *f)
{
    fake_vulkan *fake = fake_vulkan_state();
    bool armed = fake->fail_at > 0;
    int before = fake_vulkan_alive();
    monarch_error error = {MONARCH_OK, ""};
    monarch_status status = op->run(w, &error);
    bool failed = armed && fake->fail_at == 0;
    if (!failed) {
        fixture_ok(op->name, status, &error);
        return false;
    }
    check_told(op, f, status, &error, w->s.log);
    if (status != MONARCH_OK) {
        if (fake_vulkan_alive() != before && !may_leave(op))
            fail_msg("%s: %s failed, and %d objects were left", op->name, fake->failed,
                     fake_vulkan_alive() - before);
        fixture_ok(op->name, op->run(w, &error), &error);
    }
    return true;
}

/* The caller's own objects, made before anything can fail. */
static void make_own(work *w)
{
    const VkApplicationInfo application = {.apiVersion = VK_API_VERSION_1_2};
    const VkInstanceCreateInfo info = {.pApplicationInfo = &application};
    const VkDeviceQueueCreateInfo queue = {.queueFamilyIndex = 1};
    const VkDeviceCreateInfo device = {.queueCreateInfoCount = 1, .pQueueCreateInfos = &queue};
    uint32_t count = 1;
    ((PFN_vkCreateInstance)vkGetInstanceProcAddr(NULL, "vkCreateInstance"))(&info, NULL,
                                                                            &w->instance);
    ((PFN_vkEnumeratePhysicalDevices)vkGetInstanceProcAddr(NULL, "vkEnumeratePhysicalDevices"))(
        w->instance, &count, &w->physical);
    ((PFN_vkCreateDevice)vkGetInstanceProcAddr(NULL, "vkCreateDevice"))(w->physical, &device, NULL,
                                                                        &w->device);
    ((PFN_vkGetDeviceQueue)vkGetInstanceProcAddr(NULL, "vkGetDeviceQueue"))(w->device, 1, 1,
                                                                            &w->queue);
}

static void free_own(const work *w)
{
    ((PFN_vkDestroyDevice)vkGetInstanceProcAddr(NULL, "vkDestroyDevice"))(w->device, NULL);
    ((PFN_vkDestroyInstance)vkGetInstanceProcAddr(NULL, "vkDestroyInstance"))(w->instance, NULL);
}

/* One run of everything, in which call `at` fails. Returns false when there are fewer calls. */
static bool run_all(const char *variant, bool bare, uint64_t at, const failure *f)
{
    work w;
    fake_vulkan_reset();
    memset(&w, 0, sizeof w);
    w.variant = variant;
    w.bare = bare;
    make_own(&w);
    fake_vulkan *fake = fake_vulkan_state();
    fake->int64 = !bare;
    fake->fail_at = at;
    fake->fail_with = f->result;
    bool failed = false;
    for (size_t i = 0; i < sizeof operations / sizeof *operations; i++)
        failed |= run_operation(&operations[i], &w, f);
    fake->fail_at = 0;
    free_own(&w);
    assert_int_equal(w.s.allocations, 0);
    if (fake->misuses > 0)
        fail_msg("after a failure of %s: %s", fake->failed, fake->misuse);
    if (fake_vulkan_alive() != 0)
        fail_msg("after a failure of %s, %d objects are left", fake->failed, fake_vulkan_alive());
    return failed;
}

static void sweep(const char *variant, bool bare)
{
    static const failure failures[] = {
        {VK_ERROR_INITIALIZATION_FAILED, MONARCH_ERROR_NATIVE, "VK_ERROR_INITIALIZATION_FAILED"},
        {VK_ERROR_OUT_OF_DEVICE_MEMORY, MONARCH_ERROR_OUT_OF_MEMORY,
         "VK_ERROR_OUT_OF_DEVICE_MEMORY"},
        {VK_ERROR_OUT_OF_HOST_MEMORY, MONARCH_ERROR_OUT_OF_MEMORY, "VK_ERROR_OUT_OF_HOST_MEMORY"},
        {VK_ERROR_DEVICE_LOST, MONARCH_ERROR_DEVICE_LOST, "VK_ERROR_DEVICE_LOST"},
    };
    for (size_t i = 0; i < sizeof failures / sizeof *failures; i++) {
        uint64_t calls = 0;
        while (run_all(variant, bare, calls + 1, &failures[i]))
            calls++;
        print_message("%s: %d calls failed in turn with %s\n", variant, (int)calls,
                      failures[i].name);
        assert_true(calls > 60);
    }
}

static void test_sweep_plain(void **state)
{
    (void)state;
    sweep("plain", false);
}

static void test_sweep_bare(void **state)
{
    (void)state;
    sweep("plain", true);
}

static void test_sweep_tiled(void **state)
{
    (void)state;
    sweep("tiled", false);
}

static void sweep_if_there(const char *variant)
{
    vulkan_scene s;
    fake_vulkan_reset();
    vulkan_scene_open(&s);
    bool there = fixture_has_variant(s.device, variant);
    vulkan_scene_close(&s);
    if (!there) {
        print_message("skipped: this build has no variant %s\n", variant);
        skip();
    }
    sweep(variant, false);
}

static void test_sweep_coopmat(void **state)
{
    (void)state;
    sweep_if_there("coopmat");
}

static void test_sweep_coopmat2(void **state)
{
    (void)state;
    sweep_if_there("coopmat2");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sweep_plain),    cmocka_unit_test(test_sweep_bare),
        cmocka_unit_test(test_sweep_tiled),    cmocka_unit_test(test_sweep_coopmat),
        cmocka_unit_test(test_sweep_coopmat2),
    };
    return cmocka_run_group_tests_name("vulkan_failure", tests, NULL, NULL);
}
