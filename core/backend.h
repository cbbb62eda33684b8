/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CORE_BACKEND_H
#define MN_CORE_BACKEND_H

#include "core/instance.h"
#include "core/program.h"

/*
 * THE contract. A backend runs the stages of a program; it decides nothing else. Front-end code
 * in core/ validates every argument, so functions may assume that theirs are right. A backend's
 * objects start with the structures below and are freed by the backend that made them.
 *
 * Threads: any two functions may run at once, except on the same queue, and except those that free
 * an object with those that use it. After a fork the child may only free: *_free, *_destroy and
 * *_close must then leave the driver alone (mn_instance_check_process tells). device_open only
 * looks at a device; contexts are made when the first queue, buffer or plan asks for one.
 */

enum { MN_BACKEND_ABI = 1 };

struct monarch_device {
    const struct mn_backend *backend;
    monarch_instance *instance;
    monarch_device_info info;
    uint32_t memory_kinds; /* bit 1 << kind for each native monarch_memory_kind it can use */
    /* By dtype of k, q and v: the dtype in which key_mean, query_mean and value_mean are stored. */
    monarch_dtype intermediate[3];
};

struct monarch_queue {
    monarch_device *device;
};

struct monarch_buffer {
    monarch_device *device;
    uint64_t size;
    monarch_memory memory; /* native kind and handle */
};

/* Consecutive steps that one variant runs in one go. A fused variant covers several steps;
   slots that live inside a run are not stored and get no workspace. */
typedef struct mn_run {
    uint32_t first, count;
    const void *variant; /* the backend's own */
    const char *name;
    char detail[48];  /* tile sizes and the like, for people; may be empty */
    uint64_t scratch; /* bytes of workspace for the variant's own use */
} mn_run;

typedef struct mn_select_options {
    const char *variant; /* forced, or NULL */
    bool unfused;        /* one run a step */
} mn_select_options;

/* What an enqueue works on. Memory is of a native kind, checked and in reach. */
typedef struct mn_bindings {
    monarch_memory q, k, v, mask, out, workspace;
    uint32_t first_run, run_count; /* which runs of the plan */
} mn_bindings;

struct monarch_plan {
    monarch_device *device;
    mn_program program;
    mn_run *runs;
    uint32_t run_count;
    uint64_t *slot_offsets;    /* in the workspace; UINT64_MAX for a slot that is not stored */
    uint64_t *scratch_offsets; /* of each run */
    uint64_t workspace_size;
    void *state; /* the backend's own: kernels, parameter blocks */
};

typedef struct mn_backend {
    uint32_t abi; /* MN_BACKEND_ABI */
    const char *name;

    /* Loads the driver and counts devices. On failure the message says why the backend offers
       nothing; no failure of it fails the instance except OUT_OF_MEMORY. `state` may be NULL. */
    monarch_status (*open)(monarch_instance *instance, void **state, uint32_t *device_count,
                           monarch_error *error);
    void (*close)(monarch_instance *instance, void *state);

    /* Device `index`, with `info` filled in. */
    monarch_status (*device_open)(monarch_instance *instance, void *state, uint32_t index,
                                  monarch_device **device, monarch_error *error);
    void (*device_close)(monarch_device *device);

    /* THE selector: support, workspace and launch all follow from its answer. Covers the
       program's steps in order with runs (room for one a step), or returns UNSUPPORTED with the
       reason of the plainest variant. Creates nothing. */
    monarch_status (*select)(const monarch_device *device, const mn_program *program,
                             const mn_select_options *options, mn_run *runs, uint32_t *run_count,
                             monarch_error *error);

    /* (optional) Compiles or loads what the runs need into plan->state. An empty program has no
       runs. After a failure plan_free is called and must cope with what is there. */
    monarch_status (*plan_build)(monarch_plan *plan, monarch_error *error);
    /* (optional, with plan_build) */
    void (*plan_free)(monarch_plan *plan);

    /* Enqueues runs. No allocation, no compilation, no wait for a device. Slots and scratch share
       bytes by the steps in which they live: a run may reuse what its second predecessor wrote. */
    monarch_status (*plan_enqueue)(const monarch_plan *plan, monarch_queue *queue,
                                   const mn_bindings *bindings, monarch_error *error);

    /* (optional) Device time of `count` executions, each after the other, in seconds. Without
       it the host's clock is read around enqueue and wait. */
    monarch_status (*plan_time)(const monarch_plan *plan, monarch_queue *queue,
                                const mn_bindings *bindings, uint32_t count, double *seconds,
                                monarch_error *error);

    monarch_status (*queue_create)(monarch_device *device, monarch_queue **queue,
                                   monarch_error *error);
    void (*queue_destroy)(monarch_queue *queue);
    monarch_status (*queue_wait)(monarch_queue *queue, monarch_error *error);

    monarch_status (*buffer_create)(monarch_device *device, uint64_t size, monarch_buffer **buffer,
                                    monarch_error *error);
    void (*buffer_destroy)(monarch_buffer *buffer);
    monarch_status (*buffer_write)(monarch_queue *queue, monarch_buffer *buffer, uint64_t offset,
                                   const void *source, uint64_t size, monarch_error *error);
    monarch_status (*buffer_read)(monarch_queue *queue, const monarch_buffer *buffer,
                                  uint64_t offset, void *destination, uint64_t size,
                                  monarch_error *error);
} mn_backend;

#endif
