/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_CHECKS_FAKE_VULKAN_H
#define TESTS_CHECKS_FAKE_VULKAN_H

#include <stdbool.h>
#include <stdint.h>
#include <vulkan/vulkan_core.h>

/*
 * A stand-in for libvulkan.so.1 that runs anywhere: device memory is host memory, dispatches are
 * counted and not computed, work is done when it is submitted and takes FAKE_DISPATCH_NS for each
 * dispatch. It counts what is alive, notices misuse, and can fail any call.
 */

enum {
    FAKE_DEVICES = 2,
    FAKE_DISPATCHES = 64, /* remembered, the latest */
    FAKE_DISPATCH_NS = 2000
};

typedef struct fake_dispatch {
    VkPipeline pipeline;
    uint32_t groups[3];
    uint64_t first_work_group;
    VkCommandBuffer commands;
} fake_dispatch;

/* Objects alive. */
typedef struct fake_live {
    int instances, devices, memories, buffers, semaphores, command_pools, query_pools;
    int shader_modules, layouts, pipelines, caches, descriptor_pools;
} fake_live;

typedef struct fake_vulkan {
    /* To be set by a test. */
    int devices;
    uint32_t version;                     /* of the devices */
    bool int64, storage16, subgroup_size; /* features of the devices */
    bool matrices, matrices2, bfloat16;   /* likewise */
    uint32_t shared_memory;               /* bytes of a work-group */
    uint32_t bound_bytes, bound_buffers;  /* of one descriptor; how many a shader may have */
    uint32_t work_groups;                 /* of one dispatch along each axis */
    uint32_t timestamp_bits;
    uint64_t largest_allocation;
    const char *missing; /* a function that cannot be found, or NULL */
    uint64_t fail_at;    /* which counted call fails, the next one being 1; 0 = none. One alone. */
    VkResult fail_with;
    VkResult lost; /* what waiting gives; VK_SUCCESS = as it should be */
    /* To be looked at. */
    char failed[64];                                  /* name of the call that failed that way */
    uint64_t calls;                                   /* that can fail, so far */
    uint64_t dispatches, barriers, submissions, sets; /* sets: bound */
    fake_dispatch latest[FAKE_DISPATCHES];
    uint64_t allocations;         /* vkAllocateMemory calls */
    uint64_t initial_cache_bytes; /* of the latest pipeline cache */
    VkPipelineCache latest_cache; /* that a pipeline was made with */
    uint64_t waited, signalled;   /* values of semaphores that are not the queue's own */
    fake_live live;
    int misuses;
    char misuse[96]; /* the latest */
} fake_vulkan;

#pragma GCC visibility push(default)

/* The driver's state. Not to be touched while another thread is in a call. */
fake_vulkan *fake_vulkan_state(void);

/* As after loading: no object, no count. */
void fake_vulkan_reset(void);

int fake_vulkan_alive(void);

VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL vkGetInstanceProcAddr(VkInstance instance,
                                                               const char *name);

#pragma GCC visibility pop

#endif
