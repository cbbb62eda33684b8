/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The caller's own OpenCL objects, on every opencl device of the machine: context, buffers with
 * offsets, shared virtual memory, queues in order and out of order, wait list and event, several
 * threads on one plan, the cache of binaries. Results are compared with those of the cpu device.
 */

#define CL_TARGET_OPENCL_VERSION 300
#define CL_USE_DEPRECATED_OPENCL_1_2_APIS
#include <CL/cl.h>
#include <dirent.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <monarch/opencl.h>

#include "fixture.h"

enum { TENSORS = 4, OFFSET = 1024 + 64, EXTRA = 4096 };

typedef struct scene {
    monarch_instance *instance;
    monarch_device *listed, *device; /* of the library's, and on the caller's context */
    cl_context context;
    cl_device_id native;
    cl_command_queue command_queue;
    monarch_queue *queue;
    monarch_plan *plan;
    cl_mem memory[TENSORS], mask, workspace; /* q, k, v, out */
    monarch_plan_args args;
    fixture_tensors tensors;
    float expected[FIXTURE_OUT];
} scene;

static const size_t counts[TENSORS] = {FIXTURE_Q, FIXTURE_K, FIXTURE_V, FIXTURE_OUT};

static monarch_problem make_problem(void)
{
    monarch_problem problem = fixture_problem();
    problem.has_mask = 1;
    return problem;
}

static float *tensor(scene *s, int i)
{
    return i == 0 ? s->tensors.q : i == 1 ? s->tensors.k : i == 2 ? s->tensors.v : s->tensors.out;
}

static void compute_expected(scene *s)
{
    monarch_error error = {MONARCH_OK, ""};
    monarch_device *cpu;
    monarch_problem problem = make_problem();
    uint64_t seed = fixture_seed();
    fixture_fill(&s->tensors, seed);
    for (int i = 0; i < FIXTURE_MASK; i++)
        s->tensors.mask[i] = fixture_random(&seed) % 4 != 0;
    fixture_ok("find", monarch_instance_find(s->instance, "cpu", &cpu, &error), &error);
    fixture_ok("cpu",
               monarch_attention(cpu, &problem, s->tensors.q, s->tensors.k, s->tensors.v,
                                 s->tensors.mask, s->expected, &error),
               &error);
}

static cl_mem make_memory(scene *s, size_t size)
{
    cl_int result;
    cl_mem memory = clCreateBuffer(s->context, CL_MEM_READ_WRITE, size, NULL, &result);
    assert_int_equal(result, CL_SUCCESS);
    return memory;
}

/* Tensors begin somewhere in buffers whose other bytes are NaN. */
static void make_tensors(scene *s)
{
    uint64_t size;
    monarch_memory *args[TENSORS] = {&s->args.q, &s->args.k, &s->args.v, &s->args.out};
    unsigned char poison[OFFSET + sizeof(float) * FIXTURE_Q + EXTRA];
    fixture_poison(poison, sizeof poison);
    s->args = monarch_plan_args_default();
    for (int i = 0; i < TENSORS; i++) {
        size_t bytes = sizeof(float) * counts[i];
        s->memory[i] = make_memory(s, OFFSET + bytes + EXTRA);
        assert_int_equal(clEnqueueWriteBuffer(s->command_queue, s->memory[i], CL_TRUE, 0,
                                              OFFSET + bytes + EXTRA, poison, 0, NULL, NULL),
                         CL_SUCCESS);
        *args[i] = monarch_opencl_memory(s->memory[i], OFFSET, bytes);
    }
    s->mask = make_memory(s, 3 + FIXTURE_MASK);
    s->args.mask = monarch_opencl_memory(s->mask, 3, FIXTURE_MASK);
    monarch_plan_workspace(s->plan, &size, NULL);
    s->workspace = make_memory(s, size + 256);
    s->args.workspace = monarch_opencl_memory(s->workspace, 256, size);
}

/* Writes the inputs; `events` gets one for each, or NULL: waits. */
static void write_inputs(scene *s, cl_event *events)
{
    for (int i = 0; i < 3; i++)
        assert_int_equal(clEnqueueWriteBuffer(s->command_queue, s->memory[i], !events, OFFSET,
                                              sizeof(float) * counts[i], tensor(s, i), 0, NULL,
                                              events ? &events[i] : NULL),
                         CL_SUCCESS);
    assert_int_equal(clEnqueueWriteBuffer(s->command_queue, s->mask, !events, 3, FIXTURE_MASK,
                                          s->tensors.mask, 0, NULL, events ? &events[3] : NULL),
                     CL_SUCCESS);
}

static void compare(const float *out, const float *expected, const char *what)
{
    for (int i = 0; i < FIXTURE_OUT; i++)
        if (!(fabsf(out[i] - expected[i]) < 1e-5f))
            fail_msg("%s: element %d is %g instead of %g", what, i, (double)out[i],
                     (double)expected[i]);
}

/* Reads the output after `done`, which may be NULL, and compares; what lies around it is as before.
 */
static void check_output(scene *s, cl_event done, const char *what)
{
    unsigned char bytes[OFFSET + sizeof(float) * FIXTURE_OUT + EXTRA];
    assert_int_equal(clEnqueueReadBuffer(s->command_queue, s->memory[3], CL_TRUE, 0, sizeof bytes,
                                         bytes, done != NULL, done ? &done : NULL, NULL),
                     CL_SUCCESS);
    assert_true(fixture_all_poison(bytes, OFFSET));
    assert_true(fixture_all_poison(bytes + OFFSET + sizeof(float) * FIXTURE_OUT, EXTRA));
    memcpy(s->tensors.out, bytes + OFFSET, sizeof s->tensors.out);
    compare(s->tensors.out, s->expected, what);
}

static void open_scene(scene *s, monarch_instance *instance, monarch_device *listed,
                       cl_command_queue_properties properties)
{
    monarch_error error = {MONARCH_OK, ""};
    monarch_problem problem = make_problem();
    cl_int result;
    memset(s, 0, sizeof *s);
    s->instance = instance;
    s->listed = listed;
    compute_expected(s);
    fixture_ok("native", monarch_opencl_device_context(listed, &s->context, &s->native, &error),
               &error);
    s->context = clCreateContext(NULL, 1, &s->native, NULL, NULL, &result); /* the caller's own */
    assert_int_equal(result, CL_SUCCESS);
    s->command_queue = clCreateCommandQueue(s->context, s->native, properties, &result);
    assert_int_equal(result, CL_SUCCESS);
    fixture_ok("wrap",
               monarch_opencl_device_wrap(instance, s->context, s->native, &s->device, &error),
               &error);
    fixture_ok("queue", monarch_opencl_queue_wrap(s->device, s->command_queue, &s->queue, &error),
               &error);
    fixture_ok("plan", monarch_plan_create(s->device, &problem, NULL, &s->plan, &error), &error);
    make_tensors(s);
}

static void close_scene(scene *s)
{
    for (int i = 0; i < TENSORS; i++)
        clReleaseMemObject(s->memory[i]);
    clReleaseMemObject(s->mask);
    clReleaseMemObject(s->workspace);
    monarch_plan_destroy(&s->plan);
    monarch_queue_destroy(&s->queue);
    monarch_opencl_device_destroy(&s->device);
    assert_int_equal(clReleaseCommandQueue(s->command_queue), CL_SUCCESS);
    assert_int_equal(clReleaseContext(s->context), CL_SUCCESS);
}

static cl_int status_of(cl_event event)
{
    cl_int status = CL_QUEUED;
    clGetEventInfo(event, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof status, &status, NULL);
    return status;
}

/* Nothing runs before the event that it waits for. */
static void try_wait_list(scene *s, const char *what)
{
    monarch_error error = {MONARCH_OK, ""};
    cl_int result;
    cl_event done = NULL, go = clCreateUserEvent(s->context, &result);
    assert_int_equal(result, CL_SUCCESS);
    write_inputs(s, NULL);
    fixture_ok(what,
               monarch_opencl_plan_execute(s->plan, s->queue, &s->args, 1, &go, &done, &error),
               &error);
    usleep(20000);
    assert_true(status_of(done) > CL_COMPLETE);
    assert_int_equal(clSetUserEventStatus(go, CL_COMPLETE), CL_SUCCESS);
    assert_int_equal(clWaitForEvents(1, &done), CL_SUCCESS);
    check_output(s, done, what);
    clReleaseEvent(done);
    clReleaseEvent(go);
}

/* Everything by events alone, twice in a row on the same workspace. */
static void try_out_of_order(scene *s)
{
    monarch_error error = {MONARCH_OK, ""};
    cl_event ready[4], first = NULL, second = NULL;
    write_inputs(s, ready);
    fixture_ok("first",
               monarch_opencl_plan_execute(s->plan, s->queue, &s->args, 4, ready, &first, &error),
               &error);
    fixture_ok("second",
               monarch_opencl_plan_execute(s->plan, s->queue, &s->args, 1, &first, &second, &error),
               &error);
    check_output(s, second, "out of order");
    for (int i = 0; i < 4; i++)
        clReleaseEvent(ready[i]);
    clReleaseEvent(first);
    clReleaseEvent(second);
    /* Without events the queue behaves as one in order. */
    for (int i = 0; i < 3; i++)
        fixture_ok("ordered", monarch_plan_execute(s->plan, s->queue, &s->args, &error), &error);
    fixture_ok("wait", monarch_queue_wait(s->queue, &error), &error);
    check_output(s, NULL, "out of order, between barriers");
}

static void try_svm(scene *s)
{
    monarch_error error = {MONARCH_OK, ""};
    cl_device_svm_capabilities svm = 0;
    monarch_memory *args[TENSORS] = {&s->args.q, &s->args.k, &s->args.v, &s->args.out};
    char *pointers[TENSORS];
    clGetDeviceInfo(s->native, CL_DEVICE_SVM_CAPABILITIES, sizeof svm, &svm, NULL);
    if (svm == 0) {
        s->args.q = monarch_opencl_svm_memory(s, sizeof *s);
        fixture_invalid("svm", monarch_plan_execute(s->plan, s->queue, &s->args, &error), &error,
                        "SVM", "cannot use");
        return;
    }
    for (int i = 0; i < TENSORS; i++) {
        size_t bytes = sizeof(float) * counts[i];
        pointers[i] = clSVMAlloc(s->context, CL_MEM_READ_WRITE, bytes + 64, 64);
        assert_non_null(pointers[i]);
        assert_int_equal(clEnqueueSVMMemcpy(s->command_queue, CL_TRUE, pointers[i] + 4,
                                            tensor(s, i), bytes, 0, NULL, NULL),
                         CL_SUCCESS);
        *args[i] = monarch_opencl_svm_memory(pointers[i] + 4, bytes); /* at no multiple of 16 */
    }
    write_inputs(s, NULL); /* the mask */
    fixture_ok("svm", monarch_plan_execute(s->plan, s->queue, &s->args, &error), &error);
    assert_int_equal(clEnqueueSVMMemcpy(s->command_queue, CL_TRUE, s->tensors.out, pointers[3] + 4,
                                        sizeof s->tensors.out, 0, NULL, NULL),
                     CL_SUCCESS);
    compare(s->tensors.out, s->expected, "svm");
    for (int i = 0; i < TENSORS; i++)
        clSVMFree(s->context, pointers[i]);
}

/* ---- several threads on one plan ---- */

enum { THREADS = 4, ROUNDS = 25 };

typedef struct worker {
    scene *s;
    pthread_t thread;
    const char *failure;
    monarch_buffer *buffers[TENSORS], *mask, *workspace;
} worker;

/* Each with inputs of its own: those of the scene times a factor for v, and the output with it. */
static const char *work_once(worker *w, monarch_queue *queue, float factor)
{
    scene *s = w->s;
    float v[FIXTURE_V], out[FIXTURE_OUT];
    monarch_plan_args args = monarch_plan_args_default();
    monarch_memory *memory[TENSORS] = {&args.q, &args.k, &args.v, &args.out};
    for (int i = 0; i < FIXTURE_V; i++)
        v[i] = factor * s->tensors.v[i];
    for (int i = 0; i < TENSORS; i++) {
        *memory[i] = monarch_buffer_memory(w->buffers[i], 0);
        const void *from = i == 2 ? v : tensor(s, i);
        if (monarch_buffer_write(queue, w->buffers[i], 0, from, sizeof(float) * counts[i], NULL) !=
            MONARCH_OK)
            return "write";
    }
    args.mask = monarch_buffer_memory(w->mask, 0);
    args.workspace = monarch_buffer_memory(w->workspace, 0);
    if (monarch_buffer_write(queue, w->mask, 0, s->tensors.mask, FIXTURE_MASK, NULL) !=
            MONARCH_OK ||
        monarch_plan_execute(s->plan, queue, &args, NULL) != MONARCH_OK ||
        monarch_buffer_read(queue, w->buffers[3], 0, out, sizeof out, NULL) != MONARCH_OK)
        return "execute";
    for (int i = 0; i < FIXTURE_OUT; i++)
        if (!(fabsf(out[i] - factor * s->expected[i]) < 1e-5f * (1.0f + fabsf(factor))))
            return "another result than the thread's own";
    return NULL;
}

static void *work(void *user)
{
    worker *w = user;
    monarch_queue *queue = NULL;
    bool made = monarch_queue_create(w->s->device, &queue, NULL) == MONARCH_OK;
    for (int i = 0; i < TENSORS; i++)
        made = made && monarch_buffer_create(w->s->device, sizeof(float) * counts[i],
                                             &w->buffers[i], NULL) == MONARCH_OK;
    made = made && monarch_buffer_create(w->s->device, FIXTURE_MASK, &w->mask, NULL) == MONARCH_OK;
    made = made && monarch_plan_workspace_create(w->s->plan, &w->workspace, NULL) == MONARCH_OK;
    w->failure = made ? NULL : "objects";
    uint64_t seed = (uint64_t)(uintptr_t)w;
    for (int i = 0; i < ROUNDS && !w->failure; i++)
        w->failure = work_once(w, queue, 3.0f * fixture_uniform(&seed));
    monarch_queue_destroy(&queue);
    for (int i = 0; i < TENSORS; i++)
        monarch_buffer_destroy(&w->buffers[i]);
    monarch_buffer_destroy(&w->mask);
    monarch_buffer_destroy(&w->workspace);
    return NULL;
}

static void try_threads(scene *s)
{
    worker workers[THREADS];
    for (int i = 0; i < THREADS; i++) {
        workers[i] = (worker){.s = s};
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(workers[i].thread, NULL);
    for (int i = 0; i < THREADS; i++)
        if (workers[i].failure)
            fail_msg("thread %d: %s", i, workers[i].failure);
}

/* ---- the cache ---- */

typedef enum action { COUNT, CUT, REMOVE } action;

/* Files in a folder, with what is to be done to them. */
static int visit_files(const char *folder, action what)
{
    int count = 0;
    DIR *list = opendir(folder);
    assert_non_null(list);
    for (struct dirent *entry = readdir(list); entry; entry = readdir(list)) {
        char path[512];
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        count++;
        if (what == CUT)
            assert_int_equal(truncate(path, 1500), 0);
        if (what == REMOVE)
            assert_int_equal(remove(path), 0);
    }
    closedir(list);
    return count;
}

static void run_with_cache(scene *s, const char *folder)
{
    monarch_error error = {MONARCH_OK, ""};
    monarch_opencl_cache cache = monarch_opencl_cache_default();
    monarch_problem problem = make_problem();
    monarch_device *device;
    cache.directory = folder;
    fixture_ok("wrap",
               monarch_opencl_device_wrap(s->instance, s->context, s->native, &device, &error),
               &error);
    fixture_ok("cache", monarch_opencl_device_set_cache(device, &cache, &error), &error);
    fixture_ok("attention",
               monarch_attention(device, &problem, s->tensors.q, s->tensors.k, s->tensors.v,
                                 s->tensors.mask, s->tensors.out, &error),
               &error);
    compare(s->tensors.out, s->expected, "with a cache");
    monarch_opencl_device_destroy(&device);
}

static void try_cache(scene *s)
{
    char folder[] = "/tmp/monarch-interop-XXXXXX";
    assert_non_null(mkdtemp(folder));
    run_with_cache(s, folder);
    int files = visit_files(folder, COUNT);
    assert_true(files > 0);
    run_with_cache(s, folder); /* from the files */
    assert_int_equal(visit_files(folder, CUT), files);
    run_with_cache(s, folder); /* from the source, and the files are whole again */
    assert_int_equal(visit_files(folder, COUNT), files);
    assert_int_equal(visit_files(folder, REMOVE), files);
    assert_int_equal(rmdir(folder), 0);
}

static void test_device(void **state)
{
    scene s;
    monarch_device *device = *state;
    monarch_instance *own;
    monarch_device_info info = {.struct_size = sizeof info};
    fixture_ok("info", monarch_device_info_get(device, &info, NULL), NULL);
    print_message("opencl:%u %s\n", info.index, info.name);
    char name[32];
    snprintf(name, sizeof name, "opencl:%u", info.index);
    fixture_ok("instance", monarch_instance_create(NULL, &own, NULL), NULL);
    fixture_ok("find", monarch_instance_find(own, name, &device, NULL), NULL);
    open_scene(&s, own, device, 0);
    try_wait_list(&s, "in order");
    try_threads(&s);
    try_cache(&s);
    try_svm(&s);
    close_scene(&s);
    open_scene(&s, own, device, CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE);
    try_wait_list(&s, "out of order");
    try_out_of_order(&s);
    close_scene(&s);
    monarch_instance_destroy(&own);
}

int main(void)
{
    enum { MOST = 16 };
    static struct CMUnitTest tests[MOST];
    static char names[MOST][32];
    monarch_instance *instance;
    size_t count = 0;
    if (monarch_instance_create(NULL, &instance, NULL) != MONARCH_OK)
        return 1;
    for (uint32_t i = 0; i < monarch_instance_device_count(instance) && count < MOST; i++) {
        monarch_device_info info = {.struct_size = sizeof info};
        monarch_device *device = monarch_instance_device(instance, i);
        monarch_device_info_get(device, &info, NULL);
        if (strcmp(info.backend, "opencl") != 0)
            continue;
        snprintf(names[count], sizeof names[count], "interop[opencl:%u]", info.index);
        tests[count] = (struct CMUnitTest){names[count], test_device, NULL, NULL, device};
        count++;
    }
    if (count == 0)
        printf("skipped: there is no opencl device\n");
    int status =
        count > 0 ? _cmocka_run_group_tests("opencl_interop", tests, count, NULL, NULL) : 77;
    monarch_instance_destroy(&instance);
    return status;
}
