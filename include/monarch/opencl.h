/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MONARCH_OPENCL_H
#define MONARCH_OPENCL_H

#include <monarch/plan.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * OpenCL contexts, command queues, buffers, shared virtual memory and events of the caller's own,
 * for engines that have them already. <monarch/monarch.h> does not include this header. It does not
 * need <CL/cl.h>, which may be included before or after it.
 *
 *     monarch_opencl_device_wrap(instance, context, device_id, &device, &error);
 *     monarch_plan_create(device, &problem, NULL, &plan, &error);
 *     monarch_opencl_queue_wrap(device, command_queue, &queue, &error);
 *     args.q = monarch_opencl_memory(q, 0, 0);          // and so on, and a workspace
 *     monarch_opencl_plan_execute(plan, queue, &args, 1, &ready, &done, &error);
 *
 * The devices that an instance lists ("opencl:0") are those of all platforms that the ICD loader
 * finds, GPUs first; each gets a context of its own when the first queue, buffer or plan asks for
 * one. A plan, its queue and its memory belong to one device.
 *
 * Order: on a queue that is in order, work of the library and of the caller runs in the order in
 * which it was enqueued. On one that is out of order, monarch_plan_execute, monarch_buffer_write
 * and monarch_buffer_read wait for all commands that were enqueued before, and those enqueued after
 * monarch_plan_execute wait for it (barriers); monarch_opencl_plan_execute waits for the events of
 * its wait list and for nothing else, and nothing waits for it but what waits for its event.
 *
 * Threads: kernel objects, whose arguments OpenCL does not let two threads set at once, are the
 * plan's own, several sets of them, each used by one thread at a time. One plan, many threads, each
 * with its own queue and workspace, holds here as everywhere.
 *
 * Errors: as everywhere, a failed call is NATIVE, OUT_OF_MEMORY or DEVICE_LOST, with the call and
 * OpenCL's name for what it returned; of a failed compilation, what matters of the compiler's log.
 *
 * All of these functions exist in every build of the library. Without the opencl backend, and where
 * the instance has not opened it, the wrap functions return UNSUPPORTED with the reason.
 */

/* As in <CL/cl.h>, where they are the same types. */
typedef struct _cl_context *cl_context;
typedef struct _cl_device_id *cl_device_id;
typedef struct _cl_command_queue *cl_command_queue;
typedef struct _cl_mem *cl_mem;
typedef struct _cl_event *cl_event;

/*
 * A device on the caller's context, which must hold `native`. The context stays the caller's and
 * must outlive the device. The device belongs to the caller, not to the instance's list: destroy it
 * before the instance, and after everything made from it.
 * Errors: INVALID_ARGUMENT, UNSUPPORTED (with the reason), OUT_OF_MEMORY, NATIVE, FORKED.
 */
MONARCH_API monarch_status monarch_opencl_device_wrap(monarch_instance *instance,
                                                      cl_context context, cl_device_id native,
                                                      monarch_device **device,
                                                      monarch_error *error);

/* Frees a wrapped device and nulls the handle; the context stays. NULL is allowed. A device that
   an instance lists is left alone, and its handle too. */
MONARCH_API void monarch_opencl_device_destroy(monarch_device **device);

/*
 * A queue on the caller's command queue, in order or out of order, of the device's context. It
 * stays the caller's and must outlive the queue; destroying the queue waits for nothing. Errors:
 * INVALID_ARGUMENT, UNSUPPORTED, OUT_OF_MEMORY, NATIVE, FORKED.
 */
MONARCH_API monarch_status monarch_opencl_queue_wrap(monarch_device *device,
                                                     cl_command_queue native, monarch_queue **queue,
                                                     monarch_error *error);

/*
 * A buffer of the caller's for a plan's arguments, from byte `offset` on: a plain value, as those
 * of monarch/types.h. `size` is the number of bytes that may be touched from there on, 0 if it is
 * not known. Sub-buffers are allowed; two that overlap count as apart.
 */
MONARCH_API monarch_memory monarch_opencl_memory(cl_mem memory, uint64_t offset, uint64_t size);

/* Shared virtual memory: `pointer` lies in what clSVMAlloc gave for the device's context. Devices
   without it refuse it. Coarse-grained memory must not be mapped while the work runs. */
MONARCH_API monarch_memory monarch_opencl_svm_memory(const void *pointer, uint64_t size);

/*
 * monarch_plan_execute with OpenCL's events: starts after the `wait_count` events of `wait`, and
 * writes the event of its end to `event`, which may be NULL; the caller releases it.
 * Errors: those of monarch_plan_execute; then `event` is NULL.
 */
MONARCH_API monarch_status monarch_opencl_plan_execute(const monarch_plan *plan,
                                                       monarch_queue *queue,
                                                       const monarch_plan_args *args,
                                                       uint32_t wait_count, const cl_event *wait,
                                                       cl_event *event, monarch_error *error);

/*
 * Where binaries of compiled programs are kept, so that the next process need not compile them.
 * There is no cache unless one is set. An entry names in full what it was made for: device, driver,
 * options and source; one that is cut short, altered or made for something else is ignored, and the
 * program compiled. Give either a directory, which must exist, or both functions.
 */
typedef struct monarch_opencl_cache {
    uint32_t struct_size; /* sizeof(monarch_opencl_cache) */
    uint32_t reserved;    /* 0 */
    const char *directory;
    void *user; /* goes to the functions */
    /* Copies the entry of `key` to `bytes` if it has at most `capacity` bytes, and returns its
       size; 0 where there is none. Any thread that makes a plan may call it, one at a time. */
    size_t (*load)(void *user, const char *key, void *bytes, size_t capacity);
    void (*store)(void *user, const char *key, const void *bytes, size_t size);
} monarch_opencl_cache;

static inline monarch_opencl_cache monarch_opencl_cache_default(void)
{
    monarch_opencl_cache cache;
    memset(&cache, 0, sizeof cache);
    cache.struct_size = (uint32_t)sizeof cache;
    return cache;
}

/* Sets the cache of a device, for the plans made from then on; NULL: none. `cache` need live only
   until the call returns. Errors: INVALID_ARGUMENT, OUT_OF_MEMORY, FORKED. */
MONARCH_API monarch_status monarch_opencl_device_set_cache(monarch_device *device,
                                                           const monarch_opencl_cache *cache,
                                                           monarch_error *error);

/* The context of an opencl device and, if `native` is not NULL, its id: to make queues and buffers
   on. Valid until the device is destroyed. Errors: INVALID_ARGUMENT, UNSUPPORTED, NATIVE. */
MONARCH_API monarch_status monarch_opencl_device_context(monarch_device *device,
                                                         cl_context *context, cl_device_id *native,
                                                         monarch_error *error);

/* The command queue of a queue of an opencl device, the caller's or the library's own (in order),
   which lives as long as the queue. NULL for any other queue. */
MONARCH_API cl_command_queue monarch_opencl_queue_native(const monarch_queue *queue);

/* The buffer behind a buffer of an opencl device, which lives as long; NULL for any other. */
MONARCH_API cl_mem monarch_opencl_buffer_native(const monarch_buffer *buffer);

#ifdef __cplusplus
}
#endif
#endif
