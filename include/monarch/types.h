/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MONARCH_TYPES_H
#define MONARCH_TYPES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <monarch/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Objects. All are opaque; each *_destroy takes the address of the handle and nulls it. */
typedef struct monarch_instance monarch_instance;
typedef struct monarch_device monarch_device;
typedef struct monarch_queue monarch_queue;
typedef struct monarch_buffer monarch_buffer;
typedef struct monarch_plan monarch_plan;

/* Element types of the tensors. Softmax and accumulation are f32 for all of them. */
typedef enum monarch_dtype {
    MONARCH_F32 = 0,
    MONARCH_F16 = 1, /* IEEE 754 binary16 */
    MONARCH_BF16 = 2 /* upper half of binary32 */
} monarch_dtype;

/* Which end of the sequence is padded when tokens is not a multiple of block_size. */
typedef enum monarch_pad { MONARCH_PAD_END = 0, MONARCH_PAD_BEGIN = 1 } monarch_pad;

/* Size in bytes of one element, 0 for an unknown dtype. */
MONARCH_API size_t monarch_dtype_size(monarch_dtype dtype);

/* "f32", "f16" or "bf16"; "?" for an unknown dtype. Static storage. */
MONARCH_API const char *monarch_dtype_name(monarch_dtype dtype);

/*
 * Memory that a plan reads or writes: a plain value, made by one of the functions below
 * or by those of the backend headers, and cheap enough to make anew for every call.
 *
 *   kind     handle                     usable on
 *   HOST     a pointer                  cpu devices
 *   BUFFER   a monarch_buffer           the device of the buffer
 *   CUDA     a CUdeviceptr              cuda devices
 *   OPENCL   a cl_mem                   opencl devices
 *   SVM      a shared virtual pointer   opencl devices
 *   VULKAN   a VkBuffer                 vulkan devices
 *
 * offset is in bytes from the start of the handle's memory. size is the number of bytes
 * that may be touched from offset on; 0 means "not known", and then nothing is checked.
 * The memory stays the caller's and must live until the work that uses it has finished.
 */
typedef enum monarch_memory_kind {
    MONARCH_MEMORY_NONE = 0,
    MONARCH_MEMORY_HOST = 1,
    MONARCH_MEMORY_BUFFER = 2,
    MONARCH_MEMORY_CUDA = 3,
    MONARCH_MEMORY_OPENCL = 4,
    MONARCH_MEMORY_SVM = 5,
    MONARCH_MEMORY_VULKAN = 6
} monarch_memory_kind;

typedef struct monarch_memory {
    monarch_memory_kind kind;
    uint64_t handle;
    uint64_t offset;
    uint64_t size;
} monarch_memory;

/* `size` bytes at `pointer` in host memory; size 0 if it is not known. */
MONARCH_API monarch_memory monarch_host_memory(const void *pointer, uint64_t size);

/* The bytes of `buffer` from `offset` to its end. */
MONARCH_API monarch_memory monarch_buffer_memory(const monarch_buffer *buffer, uint64_t offset);

#ifdef __cplusplus
}
#endif
#endif
