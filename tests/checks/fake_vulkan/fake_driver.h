/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_CHECKS_FAKE_VULKAN_DRIVER_H
#define TESTS_CHECKS_FAKE_VULKAN_DRIVER_H

#include "fake_vulkan.h"

/* What the files of the stand-in share. */

/* Extensions that <vulkan/vulkan_core.h> may be too old for, with the numbers of the registry. */
enum {
    FAKE_STRUCTURE_MATRIX2_FEATURES = 1000593000,
    FAKE_STRUCTURE_BFLOAT16_FEATURES = 1000141000,
    FAKE_COMPONENT_FLOAT16 = 0,
    FAKE_COMPONENT_FLOAT32 = 1,
    FAKE_COMPONENT_BFLOAT16 = 1000141000,
    FAKE_SCOPE_WORKGROUP = 2,
    FAKE_SCOPE_SUBGROUP = 3
};

/* VkCooperativeMatrixPropertiesKHR */
typedef struct fake_matrix {
    VkStructureType sType;
    void *pNext;
    uint32_t MSize, NSize, KSize;
    int32_t AType, BType, CType, ResultType;
    VkBool32 saturatingAccumulation;
    int32_t scope;
} fake_matrix;

extern fake_vulkan fake_state;

/* An object: zeroed memory, or the end of the program. */
void *fake_make(size_t size);

/* Counts a call; false when it is the one that is to fail. */
bool fake_enter(const char *call);

/* Around changes of fake_state, since calls come from several threads. */
void fake_lock(void);
void fake_unlock(void);

/* Counts a wrong use. */
void fake_misuse(const char *call, const char *how);

/* The functions of a file by name; NULL for one that it does not have. */
PFN_vkVoidFunction fake_find_object_function(const char *name);
PFN_vkVoidFunction fake_find_memory_function(const char *name);
PFN_vkVoidFunction fake_find_set_function(const char *name);
PFN_vkVoidFunction fake_find_command_function(const char *name);

/* A row of a file's table. */
typedef struct fake_function {
    const char *name;
    PFN_vkVoidFunction function;
} fake_function;

PFN_vkVoidFunction fake_find_in(const fake_function *table, size_t count, const char *name);

/* Changes a count by itself. */
static inline void fake_count(int *counter, int by)
{
    __atomic_add_fetch(counter, by, __ATOMIC_RELAXED);
}

#endif
