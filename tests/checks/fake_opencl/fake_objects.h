/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_CHECKS_FAKE_OBJECTS_H
#define TESTS_CHECKS_FAKE_OBJECTS_H

#include "fake_opencl.h"

/* What the files of the stand-in share. Objects are small blocks of memory, so that a sanitizer
 * sees the use of one that is gone. */

struct _cl_platform_id {
    int unused;
};

struct _cl_device_id {
    int index;
};

struct _cl_context {
    cl_device_id device;
};

struct _cl_command_queue {
    cl_context context;
    cl_command_queue_properties properties;
    cl_ulong clock;
};

struct _cl_mem {
    cl_context context;
    size_t size;
    unsigned char *bytes;
};

struct _cl_program {
    cl_context context;
    bool built;
    uint64_t hash; /* of source or binary */
};

struct _cl_kernel {
    cl_program program;
    char name[32];
    bool set[FAKE_ARGUMENTS];
    const void *arguments[FAKE_ARGUMENTS];
    void *thread; /* that set arguments since the last launch */
};

struct _cl_event {
    cl_ulong start, end;
};

extern fake_opencl fake_state;

/* Every call starts with one and ends with the other. */
cl_int fake_enter(const char *call);
cl_int fake_leave(cl_int result);
cl_int fake_misuse(const char *call, const char *how, cl_int result);

void *fake_make(size_t size);
void fake_free(void *object); /* aborts unless it is one */

/* Copies what a query asks for. */
cl_int fake_answer(const void *value, size_t size, size_t capacity, void *to, size_t *size_out);

#endif
