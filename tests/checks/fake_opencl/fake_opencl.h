/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_CHECKS_FAKE_OPENCL_H
#define TESTS_CHECKS_FAKE_OPENCL_H

#define CL_TARGET_OPENCL_VERSION 300
#define CL_USE_DEPRECATED_OPENCL_1_2_APIS
#include <CL/cl.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * A stand-in for libOpenCL.so.1 that runs anywhere: one platform with GPUs whose memory is the
 * host's, kernels are counted and not computed, commands are done at once and take FAKE_KERNEL_NS
 * each. It watches how it is used, and can fail any call. The self test of variant matrix is the
 * one kernel that it computes.
 */

enum {
    FAKE_DEVICES = 2,
    FAKE_LAUNCHES = 64, /* remembered, the latest */
    FAKE_ARGUMENTS = 12,
    FAKE_KERNEL_NS = 200000
};

typedef struct fake_launch {
    char kernel[32];
    size_t global[2], local[2];
    const void *arguments[FAKE_ARGUMENTS]; /* buffers and pointers; NULL for plain bytes */
    cl_uint waited;                        /* events of its wait list */
    cl_command_queue queue;
    cl_kernel object;
} fake_launch;

typedef struct fake_live {
    int contexts, queues, buffers, programs, kernels, events;
} fake_live;

typedef struct fake_opencl {
    /* Set by tests. */
    cl_uint platforms, devices;
    int capability;    /* of NVIDIA's; 0: not one of theirs */
    size_t intel;      /* not 0: one of Intel's, with matrix units and sub-groups of that size */
    cl_uint wavefront; /* not 0: one of AMD's, of that width */
    cl_ulong local_memory;
    size_t work_group;        /* of the device */
    size_t kernel_work_group; /* of every kernel */
    const char *version;
    bool no_compiler;
    const char *build_log; /* not NULL: builds from source fail with it */
    bool wrong_product;    /* the self test gives a wrong number */
    const char *name;      /* of the devices */
    uint64_t fail_at;      /* the call that fails, counted from 1; 0: none */
    cl_int fail_with;
    /* Read by tests. */
    char failed[64];
    uint64_t calls, launches, builds_from_source, builds_from_binary, barriers;
    fake_launch latest[FAKE_LAUNCHES];
    fake_live live;
    int misuses;
    char misuse[128];
} fake_opencl;

/* In a library that the program loads itself, and the one that libmonarch opens: the same. */
#define FAKE_API __attribute__((visibility("default")))

FAKE_API fake_opencl *fake_opencl_state(void);
/* Everything as at the start; what is still alive is freed. */
FAKE_API void fake_opencl_reset(void);

#endif
