/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CPU_FAST_H
#define MN_CPU_FAST_H

#include "backends/cpu/exec.h"

/*
 * The register-blocked kernels. fast.c is compiled once for each instruction set and gives one
 * table of them; schedule.c, compiled once, cuts steps into tasks and hands out scratch memory.
 */

enum {
    MN_CPU_ROW_TILE = 128,     /* rows whose softmax is carried across column tiles */
    MN_CPU_STRIP = 32,         /* rows scored at once: their scores stay in the L1 cache */
    MN_CPU_COLUMN_TILE = 256,  /* key rows packed at once: they stay in the L2 cache */
    MN_CPU_LEFT_COLUMNS = 512, /* LEFT keeps this many columns whole; above, two passes */
    MN_CPU_PAD = 16            /* features and columns are padded to the widest vector */
};

static inline int64_t mn_cpu_padded(int64_t count)
{
    return (count + MN_CPU_PAD - 1) / MN_CPU_PAD * MN_CPU_PAD;
}

/* Scratch of one thread, in floats from its start. */
typedef struct mn_cpu_scratch {
    int64_t queries; /* [rows][depth]: query rows of a tile */
    int64_t keys;    /* [columns][depth]: key rows */
    int64_t panels;  /* the same, transposed for gemm */
    int64_t values;  /* [columns][value width] */
    int64_t bias;    /* [columns] */
    int64_t scores;  /* [strip][columns] */
    int64_t mean;    /* accumulators: [rows][depth], in LEFT [columns][depth] */
    int64_t result;  /* [rows][value width] */
    int64_t state;   /* running maximum, sum and entropy of each row */
    int64_t columns; /* running maximum, the one before it, and sum of each column: LEFT */
    int64_t size;
} mn_cpu_scratch;

/* One piece of one score matrix, for one thread. */
typedef struct mn_cpu_task {
    const mn_cpu_exec *exec;
    const mn_step *step;
    mn_cpu_scratch layout;
    float *scratch;
    int64_t batch, head, group;
    int64_t from, to; /* rows, or columns in LEFT */
    float *stats;     /* of LEFT in two passes: maximum and log2 sum of each row; NULL in one */
} mn_cpu_task;

typedef struct mn_cpu_kernels {
    int lanes;
    /* RIGHT, RIGHT_VALUE and LEFT_OUT for rows [from, to). */
    void (*rows)(const mn_cpu_task *task);
    /* First pass of LEFT: stats of rows [from, to). */
    void (*stats)(const mn_cpu_task *task);
    /* LEFT for columns [from, to): all of them in one pass, or a tile of them given stats. */
    void (*columns)(const mn_cpu_task *task);
} mn_cpu_kernels;

extern const mn_cpu_kernels mn_cpu_kernels_generic;
#if defined(__x86_64__)
extern const mn_cpu_kernels mn_cpu_kernels_avx2;
extern const mn_cpu_kernels mn_cpu_kernels_avx512;
#endif

#endif
