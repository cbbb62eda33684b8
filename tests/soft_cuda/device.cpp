/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A driver that computes: the stand-in of checks/fake_cuda with the kernels of shaders/cuda run by
 * machine.h. Captured launches are not run.
 */

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "machine.h"
#include "shaders/cuda/ring.h"
#include "shaders/params.h"

extern "C" {
#include "../checks/fake_cuda/fake_cuda.h"
}

namespace
{

/* Few, so that the work-groups of a launch that needs all at once are few, unless more are asked
   for: some kernels are for large GPUs alone. */
enum { MULTIPROCESSORS = 6 };

int multiprocessors()
{
    const char *given = getenv("MONARCH_SOFT_MULTIPROCESSORS");
    return given ? atoi(given) : MULTIPROCESSORS;
}

using small_kernel = void (*)(mn_stage_params);
using large_kernel = void (*)(mn_stage_params, mn_ring_params);

uint64_t base_seed()
{
    const char *given = getenv("MONARCH_SOFT_SEED");
    return given ? strtoull(given, nullptr, 10) : (uint64_t)time(nullptr);
}

/* The kernels are functions of this library. */
void *find_kernel(const char *name)
{
    static void *self;
    if (!self) {
        Dl_info info;
        dladdr(reinterpret_cast<void *>(base_seed), &info);
        self = dlopen(info.dli_fname, RTLD_NOW | RTLD_NOLOAD);
    }
    void *kernel = self ? dlsym(self, name) : nullptr;
    if (!kernel)
        soft::fail("a kernel that is not there");
    return kernel;
}

bool starts_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

void compute(const fake_launch *launch, void *const *parameters)
{
    static uint64_t seed = base_seed();
    void *kernel = find_kernel(launch->kernel);
    soft::launch l;
    l.grid[0] = launch->grid[0];
    l.grid[1] = launch->grid[1];
    l.threads = launch->threads;
    l.shared_memory = launch->shared_memory;
    l.cluster = launch->cluster > 0 ? launch->cluster : 1;
    l.together = launch->cooperative;
    const mn_stage_params *p = static_cast<const mn_stage_params *>(parameters[0]);
    if (starts_with(launch->kernel, "ring") || starts_with(launch->kernel, "cluster") ||
        starts_with(launch->kernel, "slice")) {
        const mn_ring_params *r = static_cast<const mn_ring_params *>(parameters[1]);
        l.kernel = [=] { reinterpret_cast<large_kernel>(kernel)(*p, *r); };
    } else {
        l.kernel = [=] { reinterpret_cast<small_kernel>(kernel)(*p); };
    }
    soft::run(l, seed++);
}

__attribute__((constructor)) void start()
{
    fake_cuda *state = fake_cuda_state();
    state->devices = 1;
    state->multiprocessors = multiprocessors();
    state->compute = compute;
}

} // namespace
