/* SPDX-License-Identifier: Apache-2.0 */
#include "core/registry.h"

extern const mn_backend mn_cpu_backend;

const mn_registry_entry *mn_registry(uint32_t *count)
{
    static const mn_registry_entry entries[] = {
        {"cpu", &mn_cpu_backend, NULL},
        {"cuda", NULL, "this build has no cuda backend"},
        {"opencl", NULL, "this build has no opencl backend"},
        {"vulkan", NULL, "this build has no vulkan backend"},
    };
    *count = sizeof entries / sizeof *entries;
    return entries;
}
