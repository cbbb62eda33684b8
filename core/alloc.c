/* SPDX-License-Identifier: Apache-2.0 */
#include "core/alloc.h"

#include <stdlib.h>

static void *default_allocate(void *user, size_t size, size_t alignment)
{
    (void)user;
    void *pointer = NULL;
    return posix_memalign(&pointer, alignment, size) == 0 ? pointer : NULL;
}

static void default_release(void *user, void *pointer)
{
    (void)user;
    free(pointer);
}

monarch_allocator mn_default_allocator(void)
{
    return (monarch_allocator){default_allocate, default_release, NULL};
}

void *mn_alloc_raw(const monarch_allocator *allocator, size_t size, size_t alignment)
{
    return allocator->allocate(allocator->user, size > 0 ? size : 1, alignment);
}

void *mn_alloc(const monarch_allocator *allocator, size_t size)
{
    void *pointer = mn_alloc_raw(allocator, size, MN_ALLOC_ALIGNMENT);
    if (pointer)
        memset(pointer, 0, size);
    return pointer;
}

void *mn_alloc_array(const monarch_allocator *allocator, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes))
        return NULL;
    return mn_alloc(allocator, bytes);
}

void mn_free(const monarch_allocator *allocator, void *pointer)
{
    if (pointer)
        allocator->release(allocator->user, pointer);
}
