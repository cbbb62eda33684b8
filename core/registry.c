/* SPDX-License-Identifier: Apache-2.0 */
#include "core/registry.h"

extern const mn_backend mn_cpu_backend;
#ifdef MN_HAVE_CUDA
extern const mn_backend mn_cuda_backend;
#endif
#ifdef MN_HAVE_OPENCL
extern const mn_backend mn_opencl_backend;
#endif
#ifdef MN_HAVE_VULKAN
extern const mn_backend mn_vulkan_backend;
#endif

const mn_registry_entry *mn_registry(uint32_t *count)
{
    static const mn_registry_entry entries[MN_BACKENDS] = {
        {"cpu", &mn_cpu_backend, NULL, false},
#ifdef MN_HAVE_CUDA
        {"cuda", &mn_cuda_backend, NULL, true},
#else
        {"cuda", NULL, "this build has no cuda backend", true},
#endif
#ifdef MN_HAVE_OPENCL
        {"opencl", &mn_opencl_backend, NULL, true},
#else
        {"opencl", NULL, "this build has no opencl backend", true},
#endif
#ifdef MN_HAVE_VULKAN
        {"vulkan", &mn_vulkan_backend, NULL, true},
#else
        {"vulkan", NULL, "this build has no vulkan backend", true},
#endif
    };
    *count = MN_BACKENDS;
    return entries;
}
