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
    static const mn_registry_entry entries[] = {
        {"cpu", &mn_cpu_backend, NULL},
#ifdef MN_HAVE_CUDA
        {"cuda", &mn_cuda_backend, NULL},
#else
        {"cuda", NULL, "this build has no cuda backend"},
#endif
#ifdef MN_HAVE_OPENCL
        {"opencl", &mn_opencl_backend, NULL},
#else
        {"opencl", NULL, "this build has no opencl backend"},
#endif
#ifdef MN_HAVE_VULKAN
        {"vulkan", &mn_vulkan_backend, NULL},
#else
        {"vulkan", NULL, "this build has no vulkan backend"},
#endif
    };
    *count = sizeof entries / sizeof *entries;
    return entries;
}
