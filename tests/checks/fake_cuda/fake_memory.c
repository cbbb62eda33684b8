/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_driver.h"

#include <stdlib.h>
#include <string.h>

/* Device memory of the stand-in. */

typedef struct memory {
    struct memory *next;
    void *bytes;
    CUcontext context;
} memory;

static memory *memories;

void fake_free_bytes(void)
{
    for (memory *m = memories; m; m = m->next)
        free(m->bytes);
    memories = NULL;
}

CUresult cuMemAlloc(CUdeviceptr *pointer, size_t size)
{
    CUresult result = fake_enter_context("cuMemAlloc");
    if (result == CUDA_SUCCESS && size == 0)
        result = fake_misuse("cuMemAlloc", "0 bytes", CUDA_ERROR_INVALID_VALUE);
    if (result == CUDA_SUCCESS && fake_state.memory_limit > 0 && size > fake_state.memory_limit)
        result = CUDA_ERROR_OUT_OF_MEMORY;
    memory *m = result == CUDA_SUCCESS ? fake_make(sizeof *m) : NULL;
    if (!m || posix_memalign(&m->bytes, 512, size) != 0) {
        if (m)
            fake_free(m);
        return fake_leave(result == CUDA_SUCCESS ? CUDA_ERROR_OUT_OF_MEMORY : result);
    }
    m->context = fake_current();
    m->next = memories;
    memories = m;
    fake_state.live.memories++;
    *pointer = (CUdeviceptr)(uintptr_t)m->bytes;
    return fake_leave(CUDA_SUCCESS);
}

CUresult cuMemFree(CUdeviceptr pointer)
{
    CUresult result = fake_enter_context("cuMemFree");
    memory **at = &memories;
    while (*at && (CUdeviceptr)(uintptr_t)(*at)->bytes != pointer)
        at = &(*at)->next;
    if (result == CUDA_SUCCESS && (!*at || (*at)->context != fake_current()))
        result = fake_misuse("cuMemFree", "unknown address", CUDA_ERROR_INVALID_VALUE);
    if (result != CUDA_SUCCESS || !*at)
        return fake_leave(result);
    memory *m = *at;
    *at = m->next;
    free(m->bytes);
    fake_free(m);
    fake_state.live.memories--;
    return fake_leave(CUDA_SUCCESS);
}

CUresult cuMemcpyHtoDAsync(CUdeviceptr to, const void *from, size_t size, CUstream stream)
{
    CUresult result = fake_enter_stream("cuMemcpyHtoDAsync", &stream);
    if (result == CUDA_SUCCESS)
        result = fake_forbid_capture("cuMemcpyHtoDAsync", stream);
    if (result == CUDA_SUCCESS)
        memcpy((void *)(uintptr_t)to, from, size);
    return fake_leave(result);
}

CUresult cuMemcpyDtoHAsync(void *to, CUdeviceptr from, size_t size, CUstream stream)
{
    CUresult result = fake_enter_stream("cuMemcpyDtoHAsync", &stream);
    if (result == CUDA_SUCCESS)
        result = fake_forbid_capture("cuMemcpyDtoHAsync", stream);
    if (result == CUDA_SUCCESS)
        memcpy(to, (const void *)(uintptr_t)from, size);
    return fake_leave(result);
}
