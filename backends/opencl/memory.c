/* SPDX-License-Identifier: Apache-2.0 */
#include <monarch/opencl.h>

/* Part of every build: a value can be made whether or not a device is there to use it. */
monarch_memory monarch_opencl_memory(cl_mem memory, uint64_t offset, uint64_t size)
{
    return (monarch_memory){MONARCH_MEMORY_OPENCL, (uint64_t)(uintptr_t)memory, offset, size};
}

monarch_memory monarch_opencl_svm_memory(const void *pointer, uint64_t size)
{
    return (monarch_memory){MONARCH_MEMORY_SVM, (uint64_t)(uintptr_t)pointer, 0, size};
}
