/* SPDX-License-Identifier: Apache-2.0 */
#include <monarch/cuda.h>

/* Part of every build: a value can be made whether or not a device is there to use it. */
monarch_memory monarch_cuda_memory(CUdeviceptr pointer, uint64_t size)
{
    return (monarch_memory){MONARCH_MEMORY_CUDA, pointer, 0, size};
}
