/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_INPUTS_H
#define BENCH_INPUTS_H

#include "npy.h"
#include "options.h"
#include "session.h"

/* Paths of the input arrays; v and mask may be NULL. */
struct input_paths {
    const char *q, *k, *v, *mask;
};

/*
 * The input arrays, open and checked against each other. They stay in their files and are read in
 * parts, so that the tool needs little memory beside the tensors on the device.
 */
struct inputs {
    struct npy q, k, v;         /* v.descriptor is -1 without one */
    struct problem_shape shape; /* value_dim is head_dim without v */
    int64_t kv_heads;
    uint8_t *mask; /* [batch, tokens], 0 = masked; NULL without one */
    enum npy_type mask_type;
    int64_t masked; /* tokens of all sequences that are masked */
};

/* Prints what is wrong and returns the exit status. */
int inputs_open(struct inputs *inputs, const struct input_paths *paths);

/* Accepts what is all zero. */
void inputs_close(struct inputs *inputs);

/* Converts a whole array to `dtype` and writes it to `buffer`; warns of values that overflow. */
int inputs_upload(struct session *session, const struct npy *array, monarch_buffer *buffer,
                  monarch_dtype dtype);

#endif
