/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_CHECKS_FAKE_CUDA_H
#define TESTS_CHECKS_FAKE_CUDA_H

#include <cuda.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * A stand-in for libcuda.so.1 that runs anywhere: device memory is host memory, kernels are counted
 * and not computed, a stream's work is done at once and takes FAKE_KERNEL_US for each kernel.
 * It watches how it is used, and can fail any call.
 */

enum {
    FAKE_DEVICES = 2,
    FAKE_LAUNCHES = 64, /* remembered, the latest */
    FAKE_CALLS = 256,   /* remembered since calls were last cleared */
    FAKE_KERNEL_US = 2
};

typedef struct fake_launch {
    char kernel[48];
    unsigned grid[3], threads, shared_memory;
    CUstream stream;
    CUcontext context;
    bool overlaps;    /* may begin before the one ahead has ended */
    bool cooperative; /* all its work-groups run at once */
    unsigned cluster; /* work-groups of a cluster, 0 without */
} fake_launch;

/* Objects alive. A context counts while it is retained, or was made by fake_cuda_context. */
typedef struct fake_live {
    int contexts, modules, streams, events, graphs, executables, memories;
} fake_live;

typedef struct fake_cuda {
    /* To be set by a test. */
    int devices;
    int capability;
    int ptx_version;   /* of all code */
    int shared_memory; /* bytes that a work-group may ask for */
    int multiprocessors;
    uint64_t fail_at; /* which counted call fails, the next one being 1; 0 = none. One call only. */
    CUresult fail_with;
    uint64_t memory_limit; /* bytes of one allocation; 0 = none */
    /* What a kernel does; NULL = nothing. */
    void (*compute)(const fake_launch *launch, void *const *parameters);
    /* To be looked at. */
    char failed[48]; /* name of the call that failed that way */
    uint64_t calls;  /* counted since fake_cuda_clear; error names are not */
    const char *names[FAKE_CALLS];
    uint64_t launches; /* since the start, those in captured graphs included once */
    fake_launch latest[FAKE_LAUNCHES];
    int attributes_set; /* cuFuncSetAttribute calls */
    fake_live live;
    int misuses;
    char misuse[96]; /* the latest */
} fake_cuda;

#pragma GCC visibility push(default)

/* The driver's state. Not to be touched while another thread is in a call. */
fake_cuda *fake_cuda_state(void);

/* As after loading: no object, no count. */
void fake_cuda_reset(void);

/* Forgets the calls counted so far. */
void fake_cuda_clear(void);

/* A context as an engine would make it, not current; and its end. */
CUcontext fake_cuda_context(int device);
void fake_cuda_context_end(CUcontext context);

/* How many contexts are on this thread's stack; the top one is cuCtxGetCurrent's. */
int fake_cuda_depth(void);

/* Kernels that a stream's unfinished capture holds; -1 if it is not being captured or broken. */
int fake_cuda_captured(CUstream stream);

#pragma GCC visibility pop

#endif
