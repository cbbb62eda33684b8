/* SPDX-License-Identifier: Apache-2.0 */

/* An allocator that fails once, at allocation n, for every n that a whole life of the library
 * makes: the call that met it says OUT_OF_MEMORY and leaves a NULL handle, nothing leaks, and the
 * same call works when it is made again. */

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "fixture.h"

typedef struct counter {
    pthread_mutex_t lock;
    int64_t made, live;
    int64_t fail_at; /* this allocation gets NULL; negative: none */
    bool failed;
} counter;

static counter memory = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void *allocate(void *user, size_t size, size_t alignment)
{
    counter *c = user;
    pthread_mutex_lock(&c->lock);
    bool fail = c->made++ == c->fail_at;
    c->failed |= fail;
    c->live += !fail;
    pthread_mutex_unlock(&c->lock);
    void *pointer = NULL;
    if (fail)
        return NULL;
    /* What the interface promises to an allocator, so that any allocator can serve. */
    if (size == 0 || alignment < sizeof(void *) || (alignment & (alignment - 1)) != 0 ||
        posix_memalign(&pointer, alignment, size) != 0)
        abort();
    memset(pointer, 0xff, size);
    return pointer;
}

static void release(void *user, void *pointer)
{
    counter *c = user;
    if (!pointer)
        abort();
    pthread_mutex_lock(&c->lock);
    c->live--;
    pthread_mutex_unlock(&c->lock);
    free(pointer);
}

/* All that a scenario makes; what is NULL was not made yet. */
typedef struct life {
    monarch_instance *instance;
    monarch_device *device;
    monarch_queue *queue;
    monarch_buffer *buffer, *workspace;
    monarch_plan *plan;
    monarch_problem problem;
    const char *variant;
    fixture_tensors t;
    float aL[8 * 3 * 4 * 8], cL[8 * 3 * 4], aR[8 * 3 * 4 * 8], cR[8 * 3 * 4], y[8 * 3 * 4 * 6];
} life;

typedef monarch_status (*step)(life *l, monarch_error *error);

static monarch_status create_instance(life *l, monarch_error *error)
{
    monarch_instance_params params = monarch_instance_params_default();
    params.cpu_threads = 2;
    params.allocator = (monarch_allocator){allocate, release, &memory};
    l->instance = (monarch_instance *)l;
    monarch_status status = monarch_instance_create(&params, &l->instance, error);
    if (status != MONARCH_OK)
        assert_null(l->instance);
    return status;
}

static monarch_status find_device(life *l, monarch_error *error)
{
    return monarch_instance_find(l->instance, "cpu", &l->device, error);
}

static monarch_status create_queue(life *l, monarch_error *error)
{
    l->queue = (monarch_queue *)l;
    monarch_status status = monarch_queue_create(l->device, &l->queue, error);
    if (status != MONARCH_OK)
        assert_null(l->queue);
    return status;
}

static monarch_status create_buffer(life *l, monarch_error *error)
{
    l->buffer = (monarch_buffer *)l;
    monarch_status status = monarch_buffer_create(l->device, 1000, &l->buffer, error);
    if (status != MONARCH_OK)
        assert_null(l->buffer);
    return status;
}

static monarch_status ask_supported(life *l, monarch_error *error)
{
    return monarch_problem_supported(l->device, &l->problem, l->variant, error);
}

static monarch_status create_plan(life *l, monarch_error *error)
{
    monarch_plan_options options = monarch_plan_options_default();
    options.variant = l->variant;
    l->plan = (monarch_plan *)l;
    monarch_status status = monarch_plan_create(l->device, &l->problem, &options, &l->plan, error);
    if (status != MONARCH_OK)
        assert_null(l->plan);
    return status;
}

static monarch_status create_workspace(life *l, monarch_error *error)
{
    l->workspace = (monarch_buffer *)l;
    monarch_status status = monarch_plan_workspace_create(l->plan, &l->workspace, error);
    if (status != MONARCH_OK)
        assert_null(l->workspace);
    return status;
}

/* Execution allocates nothing at all, so this step can never fail here. */
static monarch_status execute(life *l, monarch_error *error)
{
    monarch_plan_args args = fixture_args(&l->t);
    args.workspace = monarch_buffer_memory(l->workspace, 0);
    int64_t before = memory.made;
    double seconds[2];
    monarch_status status = monarch_plan_execute(l->plan, l->queue, &args, error);
    if (status == MONARCH_OK)
        status = monarch_queue_wait(l->queue, error);
    if (status == MONARCH_OK)
        status = monarch_plan_time(l->plan, l->queue, &args, 2, seconds, error);
    assert_int_equal(memory.made, before);
    return status;
}

static monarch_status copy(life *l, monarch_error *error)
{
    monarch_status status = monarch_buffer_write(l->queue, l->buffer, 0, l->t.q, 1000, error);
    return status == MONARCH_OK ? monarch_buffer_read(l->queue, l->buffer, 0, l->t.q, 1000, error)
                                : status;
}

static monarch_status run_attention(life *l, monarch_error *error)
{
    return monarch_attention(l->device, &l->problem, l->t.q, l->t.k, l->t.v, NULL, l->t.out, error);
}

static monarch_status run_stages(life *l, monarch_error *error)
{
    monarch_stage_tensors tensors = {l->t.q, l->t.k, l->t.v, NULL, l->t.out};
    monarch_stage_values values = {l->aL, l->cL, l->aR, l->cR, l->y};
    monarch_stage_values outputs[4] = {values, values, values, values};
    return monarch_stages_run(l->device, &l->problem, l->variant, &tensors, outputs, 4, error);
}

static monarch_status run_stage(life *l, monarch_error *error)
{
    monarch_stage_tensors tensors = {l->t.q, l->t.k, l->t.v, NULL, l->t.out};
    monarch_stage_values values = {l->aL, l->cL, l->aR, l->cR, l->y};
    return monarch_stage_run(l->device, &l->problem, l->variant, 2, &tensors, &values, &values,
                             error);
}

/* Refusals have to clean up as well; the one that is due here counts as success. */
static monarch_status be_refused(life *l, monarch_error *error)
{
    monarch_problem wrong = l->problem;
    monarch_plan_options options = monarch_plan_options_default();
    monarch_plan *plan = (monarch_plan *)l;
    float *t = l->t.q;
    options.variant = "none";
    monarch_status status = monarch_plan_create(l->device, &l->problem, &options, &plan, error);
    assert_null(plan);
    if (status != MONARCH_ERROR_UNSUPPORTED)
        return status;
    status = monarch_problem_supported(l->device, &l->problem, "none", error);
    if (status != MONARCH_ERROR_UNSUPPORTED)
        return status;
    wrong.steps = -1;
    status = monarch_plan_create(l->device, &wrong, NULL, &plan, error);
    if (status != MONARCH_ERROR_INVALID_ARGUMENT)
        return status;
    status = monarch_attention(l->device, &l->problem, t, t, t, NULL, t, error);
    if (status != MONARCH_ERROR_INVALID_ARGUMENT)
        return status;
    monarch_stage_tensors tensors = {t, t, t, NULL, NULL};
    monarch_stage_values values = {l->aL, l->cL, l->aR, l->cR, l->y};
    status = monarch_stage_run(l->device, &l->problem, NULL, 0, &tensors, &values, &values, error);
    return status == MONARCH_ERROR_INVALID_ARGUMENT ? MONARCH_OK : status;
}

/* Makes one step; when the planned failure falls into it, the step is refused and made again. */
static void take_step(const char *name, step function, life *l)
{
    monarch_error error = {MONARCH_OK, ""};
    bool before = memory.failed;
    monarch_status status = function(l, &error);
    if (memory.failed && !before) {
        const char *words[FIXTURE_WORDS] = {"memory"};
        fixture_expect(name, status, MONARCH_ERROR_OUT_OF_MEMORY, &error, words);
        memset(&error, 0, sizeof error);
        status = function(l, &error);
    }
    fixture_ok(name, status, &error);
}

static void live_and_die(const char *variant)
{
    static life l;
    memset(&l, 0, sizeof l);
    l.problem = fixture_problem();
    l.variant = variant;
    fixture_fill(&l.t, 1);
    take_step("instance", create_instance, &l);
    take_step("find", find_device, &l);
    take_step("queue", create_queue, &l);
    take_step("buffer", create_buffer, &l);
    take_step("supported", ask_supported, &l);
    take_step("plan", create_plan, &l);
    take_step("workspace", create_workspace, &l);
    take_step("execute", execute, &l);
    take_step("copy", copy, &l);
    take_step("attention", run_attention, &l);
    take_step("stages", run_stages, &l);
    take_step("stage", run_stage, &l);
    take_step("refusals", be_refused, &l);
    monarch_buffer_destroy(&l.workspace);
    monarch_plan_destroy(&l.plan);
    monarch_buffer_destroy(&l.buffer);
    monarch_queue_destroy(&l.queue);
    monarch_instance_destroy(&l.instance);
    if (memory.live != 0)
        fail_msg("%" PRId64 " allocations are left", memory.live);
}

static void test_variant(void **state)
{
    const char *variant = *state;
    for (int64_t n = 0;; n++) {
        memory.made = memory.live = 0;
        memory.fail_at = n;
        memory.failed = false;
        live_and_die(variant);
        if (!memory.failed) {
            printf("%s: each of %" PRId64 " allocations failed once\n",
                   variant ? variant : "default", n);
            assert_int_equal(memory.made, n);
            assert_true(n > 5);
            return;
        }
    }
}

/* Without any memory the first call already says so. */
static void test_no_memory_at_all(void **state)
{
    (void)state;
    monarch_instance_params params = monarch_instance_params_default();
    memory.made = memory.live = 0;
    memory.fail_at = 0;
    params.allocator = (monarch_allocator){allocate, release, &memory};
    monarch_instance *instance = (monarch_instance *)&params;
    assert_int_equal(monarch_instance_create(&params, &instance, NULL),
                     MONARCH_ERROR_OUT_OF_MEMORY);
    assert_null(instance);
    assert_int_equal(memory.live, 0);
}

int main(void)
{
    enum { MOST = 16 };
    static monarch_device_info info;
    struct CMUnitTest tests[MOST + 2] = {
        cmocka_unit_test(test_no_memory_at_all),
        {"alloc[default]", test_variant, NULL, NULL, NULL},
    };
    static char names[MOST][64];
    size_t count = 2;
    monarch_instance *instance = NULL;
    monarch_device *device = NULL;
    info.struct_size = sizeof info;
    if (monarch_instance_create(NULL, &instance, NULL) != MONARCH_OK ||
        monarch_instance_find(instance, "cpu", &device, NULL) != MONARCH_OK ||
        monarch_device_info_get(device, &info, NULL) != MONARCH_OK) {
        fprintf(stderr, "no cpu device\n");
        return 1;
    }
    for (char *name = strtok(info.variants, " "); name && count < MOST; name = strtok(NULL, " ")) {
        snprintf(names[count], sizeof *names, "alloc[%s]", name);
        tests[count] = (struct CMUnitTest){names[count], test_variant, NULL, NULL, name};
        count++;
    }
    monarch_instance_destroy(&instance);
    return _cmocka_run_group_tests("alloc", tests, count, NULL, NULL);
}
