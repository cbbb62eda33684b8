/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_CHECKS_FAKE_DRIVER_H
#define TESTS_CHECKS_FAKE_DRIVER_H

#include "fake_cuda.h"

/* What the files of the stand-in share. */

struct CUctx_st {
    int device, retained;
};

struct CUstream_st {
    CUcontext context;
    bool capturing, broken;
    int captured; /* kernels */
    double clock; /* microseconds of work done */
};

extern fake_cuda fake_state;

/* An object: zeroed memory, or the end of the program. The next reset frees what is left. */
void *fake_make(size_t size);
void fake_free(void *object);
void fake_free_bytes(void); /* of all device memory */

/* The calling thread's current context, or NULL. */
CUcontext fake_current(void);

/* Counts a wrong use and returns `result`. */
CUresult fake_misuse(const char *call, const char *how, CUresult result);

/* Every call starts with one of these and ends with fake_leave. */
CUresult fake_enter(const char *call);
CUresult fake_enter_context(const char *call);                  /* needs a current context */
CUresult fake_enter_stream(const char *call, CUstream *stream); /* on a stream of that context */
CUresult fake_leave(CUresult result);

/* Fails, and breaks the capture, when the stream is being captured. */
CUresult fake_forbid_capture(const char *call, CUstream stream);

#endif
