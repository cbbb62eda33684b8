/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MONARCH_PLAN_H
#define MONARCH_PLAN_H

#include <monarch/device.h>
#include <monarch/problem.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * A plan is a problem made ready for one device. It is immutable: any number of threads may
 * execute it at once, each with its own queue and its own workspace.
 */
typedef struct monarch_plan_options {
    uint32_t struct_size; /* sizeof(monarch_plan_options) */
    uint32_t alignment;   /* bytes that divide the address of every tensor that execute will be
                             given, a power of two up to 256; 0 = the size of an element. A
                             promise that lets a device use wider loads; execute checks it. */
    const char *variant;  /* force an implementation by name (monarch_device_info.variants);
                             NULL = the device's choice. Must live until create returns. */
} monarch_plan_options;

static inline monarch_plan_options monarch_plan_options_default(void)
{
    monarch_plan_options options;
    memset(&options, 0, sizeof options);
    options.struct_size = (uint32_t)sizeof options;
    return options;
}

/*
 * Makes a plan: the only call that compiles, loads kernels or takes long. `options` may be NULL.
 * Errors: INVALID_ARGUMENT, UNSUPPORTED (with the reason), OUT_OF_MEMORY, NATIVE.
 */
MONARCH_API monarch_status monarch_plan_create(monarch_device *device,
                                               const monarch_problem *problem,
                                               const monarch_plan_options *options,
                                               monarch_plan **plan, monarch_error *error);

/* Frees the plan and nulls the handle. Work that uses it must be done. NULL is allowed. */
MONARCH_API void monarch_plan_destroy(monarch_plan **plan);

/* The problem with every default filled in, as monarch_problem_resolve gives it; the caller sets
   problem->struct_size, for instance by monarch_problem_default. */
MONARCH_API monarch_status monarch_plan_problem(const monarch_plan *plan, monarch_problem *problem,
                                                monarch_error *error);

/*
 * Scratch memory that an execution needs: size in bytes (may be 0) and alignment. Its contents
 * before and after do not matter. Two executions may share it only if one follows the other on
 * the same queue.
 */
MONARCH_API void monarch_plan_workspace(const monarch_plan *plan, uint64_t *size,
                                        uint64_t *alignment);

/* A buffer of that size, owned by the caller: allocate once, use for every execution. */
MONARCH_API monarch_status monarch_plan_workspace_create(const monarch_plan *plan,
                                                         monarch_buffer **workspace,
                                                         monarch_error *error);

/* The tensors of one execution, in the shapes, strides and dtypes of the plan's problem. */
typedef struct monarch_plan_args {
    uint32_t struct_size; /* sizeof(monarch_plan_args) */
    int32_t reserved;     /* 0 */
    monarch_memory q, k, v;
    monarch_memory mask; /* uint8, 0 = masked; only with has_mask */
    monarch_memory out;  /* the bytes it spans may not overlap those of an input */
    monarch_memory workspace;
} monarch_plan_args;

static inline monarch_plan_args monarch_plan_args_default(void)
{
    monarch_plan_args args;
    memset(&args, 0, sizeof args);
    args.struct_size = (uint32_t)sizeof args;
    return args;
}

/*
 * Enqueues the computation and returns. Allocates nothing, compiles nothing, waits for nothing
 * (on the cpu device it computes, see monarch_queue). The result is the same bit for bit on
 * every run, and that of one (batch, head) does not depend on the values of the others, on the
 * queue, on the number of threads, or on what the workspace held. Another plan may choose another
 * variant, for the number of heads too, whose last bits differ; options.variant keeps it fixed.
 * Errors: INVALID_ARGUMENT (missing or too small memory, misaligned workspace, memory kind that
 * the device cannot use, out overlapping an input), NATIVE, DEVICE_LOST, FORKED.
 */
MONARCH_API monarch_status monarch_plan_execute(const monarch_plan *plan, monarch_queue *queue,
                                                const monarch_plan_args *args,
                                                monarch_error *error);

/*
 * Executes the plan and writes `count` times of one execution, in seconds. For measurement: waits
 * for the work enqueued before, and until all is done.
 *
 * On the cpu device each time is that of one execution, by the host's clock. On a cuda device it is
 * device time: the plan is captured into a graph of up to 64 executions, enough for 100 us of work,
 * and each time is that of one replay of it, between two events, divided by its executions. The
 * replays follow each other without the host in between, so what it costs to launch a kernel is
 * left out, and caches are as warm as the same inputs over and over make them. They run on a
 * stream of their own; it is an error when the queue's stream is being captured. On an opencl
 * device it is the device's clock as well, from the start of the first kernel of up to 32
 * executions to the end of the last, divided by their number. On a vulkan device it is device time
 * in the same sense: samples of up to 64 executions between timestamps, in one command buffer on
 * the queue; without timestamps the host's clock is read.
 */
MONARCH_API monarch_status monarch_plan_time(const monarch_plan *plan, monarch_queue *queue,
                                             const monarch_plan_args *args, uint32_t count,
                                             double *seconds, monarch_error *error);

/* The four kinds of stage; a plan of T steps has 2T stages. */
typedef enum monarch_stage_kind {
    MONARCH_STAGE_RIGHT = 0,       /* per block: R, aL, cL */
    MONARCH_STAGE_LEFT = 1,        /* per position: L, aR, cR */
    MONARCH_STAGE_RIGHT_VALUE = 2, /* per block: R, aL, cL and y = R V */
    MONARCH_STAGE_LEFT_OUT = 3     /* per position: O = L y */
} monarch_stage_kind;

/* "right", "left", "right_value" or "left_out"; "?" otherwise. Static storage. */
MONARCH_API const char *monarch_stage_kind_name(monarch_stage_kind kind);

/* One stage of a plan. */
typedef struct monarch_stage_info {
    uint32_t struct_size; /* set by the caller */
    monarch_stage_kind kind;
    int64_t groups; /* independent score matrices per batch entry and head */
    int64_t rows;   /* of each score matrix: M x M for left, B x B for right */
    int64_t columns;
    double flops; /* 2 per multiply-add of its GEMMs, padding included */
    double bytes; /* each operand read once and each result written once */
    char variant[32];
} monarch_stage_info;

/* Number of stages, 2 * steps; 0 when the problem is empty. */
MONARCH_API uint32_t monarch_plan_stage_count(const monarch_plan *plan);

/* Fills `info`, whose struct_size is set. Errors: INVALID_ARGUMENT. */
MONARCH_API monarch_status monarch_plan_stage(const monarch_plan *plan, uint32_t index,
                                              monarch_stage_info *info, monarch_error *error);

/* Work and traffic of one execution. */
typedef struct monarch_plan_cost_info {
    uint32_t struct_size; /* set by the caller */
    uint32_t reserved;
    double flops;       /* of all stages */
    double exact_flops; /* of softmax attention on the same tensors: 2 N^2 (D + Dv) a head */
    double bytes;       /* of all stages, intermediates included */
    double floor_bytes; /* q, k, v read once and out written once */
} monarch_plan_cost_info;

MONARCH_API monarch_status monarch_plan_cost(const monarch_plan *plan, monarch_plan_cost_info *cost,
                                             monarch_error *error);

/*
 * The plan as text for people: shape, block, stages with variant and cost, workspace. Writes at
 * most `capacity` bytes, always terminated when capacity > 0, and returns the length that
 * the whole text has without the terminator. `text` may be NULL when capacity is 0.
 */
MONARCH_API size_t monarch_plan_describe(const monarch_plan *plan, char *text, size_t capacity);

/*
 * Everything in one call, on host memory and on any device: makes a plan, moves the tensors,
 * waits, cleans up. For the first ten minutes with the library, and for tests. `mask` is NULL
 * unless problem->has_mask. The pointers are those of token 0, as for execute.
 */
MONARCH_API monarch_status monarch_attention(monarch_device *device, const monarch_problem *problem,
                                             const void *q, const void *k, const void *v,
                                             const uint8_t *mask, void *out, monarch_error *error);

#ifdef __cplusplus
}
#endif
#endif
