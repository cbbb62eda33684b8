/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_PROBLEM_LIST_H
#define BENCH_PROBLEM_LIST_H

#include "options.h"

/* One problem to measure. */
struct bench_problem {
    struct problem_options options;
    struct problem_shape shape;
};

struct problem_list {
    struct bench_problem *problems;
    size_t count;
};

/*
 * Appends a problem, after the library has checked it. Prints what is wrong and returns the exit
 * status, as does problem_list_read.
 */
int problem_list_add(struct problem_list *list, const struct bench_problem *problem);

/*
 * Reads a list of problems, one a line, as words key=value separated by blanks:
 *
 *     # comments and empty lines are skipped
 *     shape=1,12,4096,64 block=64 steps=1 dtype=f32
 *
 * shape=E,H,N,D[,Dv] is needed; block, steps, pad, scale, dtype and kv_heads are as the options
 * of the same names, which give the value where a key is left out.
 */
int problem_list_read(struct problem_list *list, const char *path,
                      const struct problem_options *defaults);

void problem_list_free(struct problem_list *list);

#endif
