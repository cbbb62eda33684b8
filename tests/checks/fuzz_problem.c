/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Fuzz target: bytes become a descriptor, mostly a valid one with odd sizes and strides, and now
 * and then one with raw numbers in it. Every call must give a clean answer, calls must agree with
 * each other, and what is small enough runs on memory that just fits: gaps and masked rows hold
 * NaN, and each byte that is not an element of the output must stay as it was.
 */

#include <inttypes.h>
#include <math.h>
#include <monarch/monarch.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "fuzz_scene.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition, ...)                                                                    \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #condition);                        \
            fprintf(stderr, __VA_ARGS__);                                                          \
            fputc('\n', stderr);                                                                   \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

typedef struct target {
    monarch_instance *instance;
    monarch_device *device;
    monarch_queue *queue;
    monarch_device_info info;
} target;

static const target *get_target(void)
{
    static target t; /* one for all inputs: opening threads a million times is no test */
    if (t.instance)
        return &t;
    monarch_error error = {MONARCH_OK, ""};
    monarch_instance_params params = monarch_instance_params_default();
    params.cpu_threads = 2;
    t.info.struct_size = (uint32_t)sizeof t.info;
    REQUIRE(monarch_instance_create(&params, &t.instance, &error) == MONARCH_OK &&
                monarch_instance_find(t.instance, "cpu", &t.device, &error) == MONARCH_OK &&
                monarch_queue_create(t.device, &t.queue, &error) == MONARCH_OK &&
                monarch_device_info_get(t.device, &t.info, &error) == MONARCH_OK,
            "%s", error.message);
    return &t;
}

/* Whatever the answer: a known status, and with a refusal words that fit in. */
static void check_error(monarch_status status, const monarch_error *error)
{
    REQUIRE(status >= MONARCH_OK && status <= MONARCH_ERROR_FORKED, "status %d", (int)status);
    if (status == MONARCH_OK)
        return;
    REQUIRE(error->status == status, "error.status is %d", (int)error->status);
    REQUIRE(memchr(error->message, 0, sizeof error->message) && error->message[0], "no message");
}

static void check_find(const target *t, const char *name)
{
    monarch_error error = {MONARCH_OK, ""};
    monarch_device *device = NULL;
    monarch_status status = monarch_instance_find(t->instance, name, &device, &error);
    check_error(status, &error);
    REQUIRE((status == MONARCH_OK) == (device != NULL), "%s", name);
}

/* Resolve is pure: it leaves its argument alone, and resolving again changes nothing. */
static bool check_resolve(const monarch_problem *problem, monarch_problem *resolved)
{
    monarch_error error = {MONARCH_OK, ""};
    monarch_problem copy = *problem, again;
    monarch_status status = monarch_problem_resolve(problem, resolved, &error);
    check_error(status, &error);
    REQUIRE(memcmp(&copy, problem, sizeof copy) == 0, "the descriptor changed");
    if (status != MONARCH_OK)
        return false;
    status = monarch_problem_resolve(resolved, &again, &error);
    REQUIRE(status == MONARCH_OK && memcmp(resolved, &again, sizeof again) == 0,
            "a resolved problem resolves differently: %s", error.message);
    return true;
}

/* The tolerance between two variants: values lie in [-1, 1], scores are small, steps are few. */
static double tolerance(const monarch_problem *p)
{
    bool wide = p->q.dtype == MONARCH_F32 && p->k.dtype == MONARCH_F32 &&
                p->v.dtype == MONARCH_F32 && p->out.dtype == MONARCH_F32;
    return wide ? 1e-3 : 6e-2;
}

static bool is_tame(const monarch_problem *p, const fuzz_scene *s)
{
    return !s->wild && fabs((double)p->scale) * (double)p->head_dim <= 16.0 && p->steps <= 3;
}

/* Runs a plan on the scene with a workspace that holds `pattern`. */
static void execute(const target *t, const monarch_plan *plan, fuzz_scene *s, int pattern)
{
    monarch_error error = {MONARCH_OK, ""};
    uint64_t size = 0, alignment = 0;
    monarch_plan_workspace(plan, &size, &alignment);
    void *workspace = NULL;
    REQUIRE(size < UINT64_C(1) << 30, "workspace of %" PRIu64 " bytes", size);
    REQUIRE(posix_memalign(&workspace, alignment, size + 1) == 0, "no memory");
    memset(workspace, pattern, size);
    fuzz_scene_reset_output(s);
    monarch_plan_args args = s->args;
    if (size > 0)
        args.workspace = monarch_host_memory(workspace, size);
    monarch_status status = monarch_plan_execute(plan, t->queue, &args, &error);
    REQUIRE(status == MONARCH_OK, "%s", error.message);
    REQUIRE(monarch_queue_wait(t->queue, &error) == MONARCH_OK, "%s", error.message);
    free(workspace);
    const char *complaint = fuzz_scene_check_output(s);
    REQUIRE(!complaint, "%s", complaint);
}

static void run_variant(const target *t, const monarch_problem *problem, const char *variant,
                        fuzz_scene *s, float *values)
{
    monarch_error error = {MONARCH_OK, ""};
    monarch_plan_options options = monarch_plan_options_default();
    options.variant = variant;
    monarch_plan *plan = NULL;
    monarch_status status = monarch_problem_supported(t->device, problem, variant, &error);
    check_error(status, &error);
    monarch_status made = monarch_plan_create(t->device, problem, &options, &plan, &error);
    check_error(made, &error);
    REQUIRE(made == status, "supported says %s, plan_create %s", monarch_status_name(status),
            monarch_status_name(made));
    REQUIRE((made == MONARCH_OK) == (plan != NULL), "handle and status disagree");
    if (!plan)
        return;
    monarch_plan_describe(plan, NULL, 0);
    if (s) {
        execute(t, plan, s, 0xff);
        uint64_t first = fuzz_scene_hash_output(s);
        execute(t, plan, s, 0);
        REQUIRE(fuzz_scene_hash_output(s) == first, "the workspace's contents matter");
        fuzz_scene_read_output(s, values);
    }
    monarch_plan_destroy(&plan);
}

/* Every variant that the device lists; their results must lie close together. */
static void run_listed(const target *t, const monarch_problem *problem,
                       const monarch_problem *resolved, fuzz_scene *s)
{
    float *first = calloc(s->outputs + 1, sizeof *first);
    float *values = calloc(s->outputs + 1, sizeof *values);
    REQUIRE(first && values, "no memory");
    run_variant(t, problem, NULL, s, first);
    char names[sizeof t->info.variants];
    memcpy(names, t->info.variants, sizeof names);
    for (char *name = strtok(names, " "); name; name = strtok(NULL, " ")) {
        memcpy(values, first, sizeof(float) * s->outputs); /* a refusal compares equal */
        run_variant(t, problem, name, s, values);
        for (size_t i = 0; is_tame(resolved, s) && i < s->outputs; i++) {
            double value = values[i], other = first[i];
            REQUIRE(fabs(value) <= 1.02, "%s: output %zu is %g", name, i, value);
            REQUIRE(fabs(value - other) <= tolerance(resolved), "%s: output %zu is %g, not %g",
                    name, i, value, other);
        }
    }
    free(first);
    free(values);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const target *t = get_target();
    fuzz_case c = fuzz_decode(data, size);
    const char *variant = c.forced ? c.variant_name : NULL;
    monarch_problem resolved = monarch_problem_default();
    fuzz_scene scene;
    check_find(t, c.device_name);
    if (!check_resolve(&c.problem, &resolved)) {
        run_variant(t, &c.problem, variant, NULL, NULL);
        return 0;
    }
    if (fuzz_is_plannable(&resolved))
        run_variant(t, &c.problem, variant, NULL, NULL);
    if (fuzz_scene_open(&scene, &resolved, &c)) {
        run_listed(t, &c.problem, &resolved, &scene);
        fuzz_scene_close(&scene);
    }
    return 0;
}
