/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_SESSION_H
#define BENCH_SESSION_H

#include "options.h"

/*
 * A device, opened by name, with one queue. Functions that return int print what went wrong and
 * return the exit status. The close and destroy functions accept what is all zero.
 */
struct session {
    monarch_instance *instance;
    monarch_device *device; /* owned by the instance */
    monarch_queue *queue;
    monarch_device_info info;
    int32_t threads; /* of the cpu device; 0 on others */
};

int session_open(struct session *session, const struct problem_options *options);
void session_close(struct session *session);

/* "cpu:0" in `text`; returns `text`. */
char *device_label(char *text, size_t capacity, const monarch_device_info *info);

/* Makes a plan for `problem`, of the variant that `options` name. */
int session_plan(struct session *session, const monarch_problem *problem,
                 const struct problem_options *options, monarch_plan **plan);

/* The variant of the stages, joined by '+' where they differ. */
void plan_variant(const monarch_plan *plan, char *text, size_t capacity);

/* The device memory of one execution. `mask` is NULL without a mask. */
struct tensors {
    monarch_buffer *q, *k, *v, *mask, *out, *workspace;
};

/*
 * Creates the buffers for `problem`, resolved and packed, and for the workspace of `plan`. `out` is
 * filled with NaN, so that an element that is never written shows.
 */
int tensors_create(struct tensors *tensors, struct session *session, const monarch_plan *plan,
                   const monarch_problem *problem);
void tensors_destroy(struct tensors *tensors);

monarch_plan_args tensors_args(const struct tensors *tensors);

/* Elements [first, first + count) of a packed buffer of `dtype`; `values` holds f32. */
int buffer_write_f32(struct session *session, monarch_buffer *buffer, monarch_dtype dtype,
                     int64_t first, int64_t count, float *values, int64_t *overflows);
int buffer_read_f32(struct session *session, const monarch_buffer *buffer, monarch_dtype dtype,
                    int64_t first, int64_t count, float *values);

/* Number of elements of q or out, k, v of a resolved problem. */
int64_t elements_q(const monarch_problem *problem);
int64_t elements_k(const monarch_problem *problem);
int64_t elements_v(const monarch_problem *problem);
int64_t elements_out(const monarch_problem *problem);

#endif
