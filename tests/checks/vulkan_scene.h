/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_CHECKS_VULKAN_SCENE_H
#define TESTS_CHECKS_VULKAN_SCENE_H

#include "fake_vulkan/fake_vulkan.h"
#include "fixture.h"

/* The vulkan backend on the stand-in driver: an instance with its first device, and what one
 * execution of fixture_problem needs, in f16 and with a mask. */
typedef struct vulkan_scene {
    monarch_instance *instance;
    monarch_device *device;
    monarch_queue *queue;
    monarch_plan *plan;
    monarch_buffer *q, *k, *v, *mask, *out, *workspace;
    monarch_plan_args args;
    int allocations; /* of host memory, alive */
    char log[4096];  /* warnings */
} vulkan_scene;

/* Each fails the test when it cannot. */
void vulkan_scene_open(vulkan_scene *s);                         /* instance and device */
void vulkan_scene_prepare(vulkan_scene *s, const char *variant); /* the rest */
void vulkan_scene_close(vulkan_scene *s);                        /* all; nothing may be left */

/* Parameters of an instance with the vulkan backend alone, on the scene's allocator and log. */
monarch_instance_params vulkan_scene_params(vulkan_scene *s);

monarch_problem vulkan_scene_problem(void);

/* Nothing of the stand-in is alive, and nothing was misused. */
void vulkan_scene_check_clean(void);

#endif
