/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_OPENCL_H
#define MN_OPENCL_H

#include <pthread.h>

#include "backends/opencl/loader.h"
#include "backends/opencl/variants.h"
#include "core/backend.h"

#include <monarch/opencl.h>

/* Objects of the opencl backend and the functions that its contract is made of. */

/* A compiled program, which lives as long as the device. */
typedef struct mn_opencl_program {
    struct mn_opencl_program *next;
    mn_opencl_module module;
    char options[MN_OPENCL_OPTIONS_SIZE];
    cl_program program;
} mn_opencl_program;

/* Whether the device's matrix instructions are there and right: asked once. */
typedef enum mn_opencl_answer { MN_OPENCL_UNASKED, MN_OPENCL_YES, MN_OPENCL_NO } mn_opencl_answer;

typedef struct mn_opencl_device {
    monarch_device base;
    const mn_opencl_driver *driver;
    mn_opencl_limits limits;
    cl_device_id handle;
    bool wrapped;          /* the context is the caller's */
    pthread_mutex_t mutex; /* of what follows; the context never changes once it is there */
    cl_context context;    /* NULL until it is first wanted */
    mn_opencl_program *programs;
    monarch_opencl_cache cache;
    pthread_mutex_t probe_mutex; /* of what follows; taken before the other one */
    mn_opencl_answer probed;
    mn_reason probe_reason; /* why it is NO */
} mn_opencl_device;

typedef struct mn_opencl_queue {
    monarch_queue base;
    cl_command_queue queue;
    bool wrapped;      /* the queue is the caller's */
    bool out_of_order; /* commands start in any order unless events say otherwise */
} mn_opencl_queue;

typedef struct mn_opencl_buffer {
    monarch_buffer base;
    cl_mem memory;
} mn_opencl_buffer;

/* What an execution waits for, and where the event of its end goes. */
typedef struct mn_opencl_events {
    cl_uint wait_count;
    const cl_event *wait;
    cl_event *end;   /* NULL: not wanted */
    cl_event *begin; /* that of the first launch, likewise */
    bool ordered;    /* on a queue that is out of order, comes after all before and before all
                        behind it */
} mn_opencl_events;

extern const mn_backend mn_opencl_backend;

static inline mn_opencl_device *mn_opencl_device_of(const monarch_device *device)
{
    return (mn_opencl_device *)device;
}

/* device.c */
monarch_status mn_opencl_device_open(monarch_instance *instance, void *state, uint32_t index,
                                     monarch_device **device, monarch_error *error);
/* A device on the caller's context. */
monarch_status mn_opencl_device_open_context(monarch_instance *instance,
                                             const mn_opencl_driver *driver, cl_context context,
                                             cl_device_id handle, monarch_device **device,
                                             monarch_error *error);
void mn_opencl_device_close(monarch_device *device);
/* Sees to it that device->context is there. */
monarch_status mn_opencl_retain(mn_opencl_device *device, monarch_error *error);
/* Whether what belongs to a device may be freed in the driver: not in a forked child. */
bool mn_opencl_may_free(const monarch_device *device);

/* program.c */

/* The program of a file of device code, compiled or taken from the cache at the first time. The
   context is there. Errors: NATIVE with what matters of the compiler's log. */
monarch_status mn_opencl_find_program(mn_opencl_device *device, mn_opencl_module module,
                                      const char *options, cl_program *program,
                                      monarch_error *error);
/* Forgets all programs; `driver_too` is false in a forked child. */
void mn_opencl_free_programs(mn_opencl_device *device, bool driver_too);

/* cache.c */

/* A program made from the binary that the device's cache has for a key, or NULL. The key is text
   that names everything the binary depends on. */
cl_program mn_opencl_cache_load(mn_opencl_device *device, const char *key);
void mn_opencl_cache_store(mn_opencl_device *device, const char *key, cl_program program);
/* FNV-1a, 64 bits; goes on from `hash`, which starts as 0. */
uint64_t mn_opencl_hash(uint64_t hash, const void *bytes, size_t size);

/* probe.c */

/* Whether the device's matrix instructions give what they should; tried on the device at the first
   time, and why not is logged. */
bool mn_opencl_has_matrix(const monarch_device *device, mn_reason *reason);

/* queue.c */
monarch_status mn_opencl_queue_create(monarch_device *device, monarch_queue **queue,
                                      monarch_error *error);
monarch_status mn_opencl_queue_open(monarch_device *device, cl_command_queue native,
                                    monarch_queue **queue, monarch_error *error);
void mn_opencl_queue_destroy(monarch_queue *queue);
monarch_status mn_opencl_queue_wait(monarch_queue *queue, monarch_error *error);

/* buffer.c */
monarch_status mn_opencl_buffer_create(monarch_device *device, uint64_t size,
                                       monarch_buffer **buffer, monarch_error *error);
void mn_opencl_buffer_destroy(monarch_buffer *buffer);
monarch_status mn_opencl_buffer_write(monarch_queue *queue, monarch_buffer *buffer, uint64_t offset,
                                      const void *source, uint64_t size, monarch_error *error);
monarch_status mn_opencl_buffer_read(monarch_queue *queue, const monarch_buffer *buffer,
                                     uint64_t offset, void *destination, uint64_t size,
                                     monarch_error *error);

/* variants.c */
monarch_status mn_opencl_select(const monarch_device *device, const mn_program *program,
                                const mn_select_options *options, mn_run *runs, uint32_t *run_count,
                                monarch_error *error);
/* Writes the names of the variants that a device lists to `info`. */
void mn_opencl_list_variants(const mn_opencl_limits *limits, monarch_device_info *info);

/* plan.c */
monarch_status mn_opencl_plan_build(monarch_plan *plan, monarch_error *error);
void mn_opencl_plan_free(monarch_plan *plan);
monarch_status mn_opencl_plan_enqueue(const monarch_plan *plan, monarch_queue *queue,
                                      const mn_bindings *bindings, monarch_error *error);

/* enqueue.c */

/* A plan's launches with kernel objects of their own, for one thread at a time. */
typedef struct mn_opencl_kernels {
    pthread_mutex_t mutex; /* held while arguments are set and the launches enqueued */
    cl_kernel *kernels;    /* of each launch */
} mn_opencl_kernels;

enum { MN_OPENCL_KERNEL_SETS = 4 };

/* plan->state: the launches of all runs, one after the other. */
typedef struct mn_opencl_plan {
    mn_opencl_launch *launches;
    uint32_t *first; /* launch of each run, and behind the last */
    mn_opencl_kernels sets[MN_OPENCL_KERNEL_SETS];
} mn_opencl_plan;

/* Enqueues runs of a plan. */
monarch_status mn_opencl_plan_launch(const monarch_plan *plan, const mn_opencl_queue *queue,
                                     const mn_bindings *bindings, const mn_opencl_events *events,
                                     monarch_error *error);

/* time.c */
monarch_status mn_opencl_plan_time(const monarch_plan *plan, monarch_queue *queue,
                                   const mn_bindings *bindings, uint32_t count, double *seconds,
                                   monarch_error *error);

#endif
