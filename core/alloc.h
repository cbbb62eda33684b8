/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CORE_ALLOC_H
#define MN_CORE_ALLOC_H

#include <monarch/device.h>

/* Every byte of host memory that the library owns comes from here. */

enum { MN_ALLOC_ALIGNMENT = 64 };

/* The C library's allocator, used when the instance names none. */
monarch_allocator mn_default_allocator(void);

/* `size` zeroed bytes aligned to MN_ALLOC_ALIGNMENT, or NULL. size 0 still gives a pointer. */
void *mn_alloc(const monarch_allocator *allocator, size_t size);

/* Like mn_alloc for count * size bytes; NULL when the product overflows. */
void *mn_alloc_array(const monarch_allocator *allocator, size_t count, size_t size);

/* `size` bytes aligned to `alignment`, contents undefined, or NULL. */
void *mn_alloc_raw(const monarch_allocator *allocator, size_t size, size_t alignment);

/* NULL is allowed. */
void mn_free(const monarch_allocator *allocator, void *pointer);

#endif
