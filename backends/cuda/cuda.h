/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CUDA_H
#define MN_CUDA_H

#include <pthread.h>

#include "backends/cuda/loader.h"
#include "backends/cuda/variants.h"
#include "core/backend.h"

/*
 * Objects of the cuda backend and the functions that its contract is made of.
 *
 * Every use of the driver that needs a context lies between mn_cuda_enter (or mn_cuda_push) and
 * mn_cuda_leave, so that the calling thread's current context is as it was found. Where it is the
 * device's already, nothing is pushed and popped.
 */

/* A kernel that some plan uses, ready to be launched with any amount of shared memory. */
typedef struct mn_cuda_kernel {
    struct mn_cuda_kernel *next;
    mn_cuda_module module;
    char name[32];
    CUfunction function;
    bool waits; /* for the launch ahead of it, by itself: its code is for 9.0 or later */
} mn_cuda_kernel;

typedef struct mn_cuda_device {
    monarch_device base;
    const mn_cuda_driver *driver;
    mn_cuda_limits limits;
    CUdevice handle;
    bool wrapped;          /* the context is the caller's */
    pthread_mutex_t mutex; /* of what follows; the context never changes once it is there */
    CUcontext context;     /* NULL until it is first wanted */
    CUmodule modules[MN_CUDA_MODULES]; /* NULL until a plan wants one */
    mn_cuda_kernel *kernels;
} mn_cuda_device;

typedef struct mn_cuda_queue {
    monarch_queue base;
    CUstream stream;
    bool wrapped; /* the stream is the caller's */
} mn_cuda_queue;

typedef struct mn_cuda_buffer {
    monarch_buffer base;
    CUdeviceptr pointer;
} mn_cuda_buffer;

extern const mn_backend mn_cuda_backend;

static inline mn_cuda_device *mn_cuda_device_of(const monarch_device *device)
{
    return (mn_cuda_device *)device;
}

/* context.c */

/* Sees to it that device->context is there. */
monarch_status mn_cuda_retain(mn_cuda_device *device, monarch_error *error);
/* Makes the device's context current, after retaining the primary one at the first time. `pushed`
   says whether that took a push, and goes to mn_cuda_leave. */
monarch_status mn_cuda_enter(mn_cuda_device *device, bool *pushed, monarch_error *error);
/* The same where a queue, buffer or plan shows that the context is there. */
monarch_status mn_cuda_push(const mn_cuda_device *device, bool *pushed, monarch_error *error);
/* Takes a pushed context off again; returns `status`, or the failure of taking it off. */
monarch_status mn_cuda_leave(const mn_cuda_device *device, bool pushed, monarch_status status,
                             monarch_error *error);
/* For what only frees: false, with a warning in the log, when the driver must be left alone. */
bool mn_cuda_enter_to_free(const mn_cuda_device *device, bool *pushed);
void mn_cuda_leave_after_free(const mn_cuda_device *device, bool pushed);

/* device.c */
monarch_status mn_cuda_device_open(monarch_instance *instance, void *state, uint32_t index,
                                   monarch_device **device, monarch_error *error);
/* A device on the caller's context. */
monarch_status mn_cuda_device_open_context(monarch_instance *instance, const mn_cuda_driver *driver,
                                           CUcontext context, monarch_device **device,
                                           monarch_error *error);
void mn_cuda_device_close(monarch_device *device);

/* modules.c */

/* A kernel, loaded and told how much shared memory it may use; it lives as long as the device.
   Needs the device's context to be current. */
monarch_status mn_cuda_find_kernel(mn_cuda_device *device, mn_cuda_module module, const char *name,
                                   const mn_cuda_kernel **kernel, monarch_error *error);
/* Unloads all modules; `driver_too` is false in a forked child. */
void mn_cuda_free_modules(mn_cuda_device *device, bool driver_too);

/* queue.c */
monarch_status mn_cuda_queue_create(monarch_device *device, monarch_queue **queue,
                                    monarch_error *error);
monarch_status mn_cuda_queue_open_stream(monarch_device *device, CUstream stream,
                                         monarch_queue **queue, monarch_error *error);
void mn_cuda_queue_destroy(monarch_queue *queue);
monarch_status mn_cuda_queue_wait(monarch_queue *queue, monarch_error *error);
/* Waits for the stream; the context is current. Refuses, instead of breaking the capture, when
   the stream is being captured. `call` says who wants to wait. */
monarch_status mn_cuda_queue_drain(const mn_cuda_queue *queue, const char *call,
                                   monarch_error *error);
monarch_status mn_cuda_queue_refuse_capture(const mn_cuda_queue *queue, const char *call,
                                            monarch_error *error);

/* buffer.c */
monarch_status mn_cuda_buffer_create(monarch_device *device, uint64_t size, monarch_buffer **buffer,
                                     monarch_error *error);
void mn_cuda_buffer_destroy(monarch_buffer *buffer);
monarch_status mn_cuda_buffer_write(monarch_queue *queue, monarch_buffer *buffer, uint64_t offset,
                                    const void *source, uint64_t size, monarch_error *error);
monarch_status mn_cuda_buffer_read(monarch_queue *queue, const monarch_buffer *buffer,
                                   uint64_t offset, void *destination, uint64_t size,
                                   monarch_error *error);

/* variants.c */
monarch_status mn_cuda_select(const monarch_device *device, const mn_program *program,
                              const mn_select_options *options, mn_run *runs, uint32_t *run_count,
                              monarch_error *error);
/* Writes the names of the variants to `info`. */
void mn_cuda_list_variants(monarch_device_info *info);

/* plan.c */
monarch_status mn_cuda_plan_build(monarch_plan *plan, monarch_error *error);
void mn_cuda_plan_free(monarch_plan *plan);
monarch_status mn_cuda_plan_enqueue(const monarch_plan *plan, monarch_queue *queue,
                                    const mn_bindings *bindings, monarch_error *error);
/* Launches on any stream; the context is current. */
monarch_status mn_cuda_plan_launch(const monarch_plan *plan, CUstream stream,
                                   const mn_bindings *bindings, monarch_error *error);

/* time.c */
monarch_status mn_cuda_plan_time(const monarch_plan *plan, monarch_queue *queue,
                                 const mn_bindings *bindings, uint32_t count, double *seconds,
                                 monarch_error *error);

#endif
