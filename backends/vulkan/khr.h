/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_VULKAN_KHR_H
#define MN_VULKAN_KHR_H

#include <vulkan/vulkan_core.h>

/*
 * What the backend uses of extensions that are younger than the <vulkan/vulkan_core.h> of the
 * systems it is built on. Names and numbers are those of the Vulkan registry, in the project's own
 * spelling, so that a header which has them too does not get in the way.
 */

enum {
    MN_VK_STRUCTURE_COOPERATIVE_MATRIX_FEATURES = 1000506000,
    MN_VK_STRUCTURE_COOPERATIVE_MATRIX_PROPERTIES = 1000506001,
    MN_VK_STRUCTURE_COOPERATIVE_MATRIX2_FEATURES = 1000593000,
    MN_VK_STRUCTURE_SHADER_BFLOAT16_FEATURES = 1000141000,
    MN_VK_COMPONENT_FLOAT16 = 0,
    MN_VK_COMPONENT_FLOAT32 = 1,
    MN_VK_COMPONENT_BFLOAT16 = 1000141000,
    MN_VK_SCOPE_SUBGROUP = 3
};

/* VkPhysicalDeviceCooperativeMatrixFeaturesKHR */
typedef struct mn_vk_cooperative_matrix_features {
    VkStructureType sType;
    void *pNext;
    VkBool32 cooperativeMatrix;
    VkBool32 cooperativeMatrixRobustBufferAccess;
} mn_vk_cooperative_matrix_features;

/* VkPhysicalDeviceCooperativeMatrix2FeaturesNV */
typedef struct mn_vk_cooperative_matrix2_features {
    VkStructureType sType;
    void *pNext;
    VkBool32 cooperativeMatrixWorkgroupScope;
    VkBool32 cooperativeMatrixFlexibleDimensions;
    VkBool32 cooperativeMatrixReductions;
    VkBool32 cooperativeMatrixConversions;
    VkBool32 cooperativeMatrixPerElementOperations;
    VkBool32 cooperativeMatrixTensorAddressing;
    VkBool32 cooperativeMatrixBlockLoads;
} mn_vk_cooperative_matrix2_features;

/* VkPhysicalDeviceShaderBfloat16FeaturesKHR */
typedef struct mn_vk_bfloat16_features {
    VkStructureType sType;
    void *pNext;
    VkBool32 shaderBFloat16Type;
    VkBool32 shaderBFloat16DotProduct;
    VkBool32 shaderBFloat16CooperativeMatrix;
} mn_vk_bfloat16_features;

/* VkCooperativeMatrixPropertiesKHR; enumerations as the 32-bit numbers that they are. */
typedef struct mn_vk_cooperative_matrix {
    VkStructureType sType;
    void *pNext;
    uint32_t MSize, NSize, KSize;
    int32_t AType, BType, CType, ResultType;
    VkBool32 saturatingAccumulation;
    int32_t scope;
} mn_vk_cooperative_matrix;

/* vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR */
typedef VkResult(VKAPI_PTR *mn_vk_get_cooperative_matrices)(VkPhysicalDevice device,
                                                            uint32_t *count,
                                                            mn_vk_cooperative_matrix *list);

#define MN_VK_COOPERATIVE_MATRIX "VK_KHR_cooperative_matrix"
#define MN_VK_COOPERATIVE_MATRIX2 "VK_NV_cooperative_matrix2"
#define MN_VK_SHADER_BFLOAT16 "VK_KHR_shader_bfloat16"

#endif
