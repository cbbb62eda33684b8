/* SPDX-License-Identifier: Apache-2.0 */
#include <monarch/vulkan.h>

/* Part of every build: a value can be made whether or not a device is there to use it. */
monarch_memory monarch_vulkan_memory(VkBuffer buffer, uint64_t offset, uint64_t size)
{
    return (monarch_memory){MONARCH_MEMORY_VULKAN, (uint64_t)(uintptr_t)buffer, offset, size};
}
