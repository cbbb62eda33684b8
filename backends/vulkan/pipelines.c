/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "backends/vulkan/vulkan.h"
#include "core/alloc.h"
#include "core/error.h"

/* The compiled shaders, embedded by the build: one for each name in meson.build. */
#define DECLARE(name)                                                                              \
    extern const unsigned char mn_vulkan_spirv_##name[];                                           \
    extern const unsigned long long mn_vulkan_spirv_##name##_size;
#define MODULE(name)                                                                               \
    {                                                                                              \
#name, mn_vulkan_spirv_##name, &mn_vulkan_spirv_##name##_size                              \
    }

DECLARE(plain)
DECLARE(plain_bound)
DECLARE(tiled_right)
DECLARE(tiled_right_value)
DECLARE(tiled_left_stats)
DECLARE(tiled_left_mean)
DECLARE(tiled_left_out)
#if defined(MN_HAVE_VULKAN_COOPMAT)
DECLARE(coopmat_f16_right)
DECLARE(coopmat_f16_right_value)
DECLARE(coopmat_f16_left_stats)
DECLARE(coopmat_f16_left_mean)
DECLARE(coopmat_f16_left_out)
DECLARE(coopmat_bf16_right)
DECLARE(coopmat_bf16_right_value)
DECLARE(coopmat_bf16_left_stats)
DECLARE(coopmat_bf16_left_mean)
DECLARE(coopmat_bf16_left_out)
#endif
#if defined(MN_HAVE_VULKAN_COOPMAT2)
DECLARE(coopmat2_f16_right)
DECLARE(coopmat2_f16_right_value)
DECLARE(coopmat2_f16_left_stats)
DECLARE(coopmat2_f16_left_mean)
DECLARE(coopmat2_f16_left_out)
DECLARE(coopmat2_bf16_right)
DECLARE(coopmat2_bf16_right_value)
DECLARE(coopmat2_bf16_left_stats)
DECLARE(coopmat2_bf16_left_mean)
DECLARE(coopmat2_bf16_left_out)
#endif

typedef struct module {
    const char *name;
    const unsigned char *words;
    const unsigned long long *size;
} module;

static const module modules[MN_VULKAN_MODULES] = {
    [MN_VULKAN_PLAIN] = MODULE(plain),
    [MN_VULKAN_PLAIN_BOUND] = MODULE(plain_bound),
    [MN_VULKAN_TILED_RIGHT] = MODULE(tiled_right),
    [MN_VULKAN_TILED_RIGHT_VALUE] = MODULE(tiled_right_value),
    [MN_VULKAN_TILED_LEFT_STATS] = MODULE(tiled_left_stats),
    [MN_VULKAN_TILED_LEFT_MEAN] = MODULE(tiled_left_mean),
    [MN_VULKAN_TILED_LEFT_OUT] = MODULE(tiled_left_out),
#if defined(MN_HAVE_VULKAN_COOPMAT)
    [MN_VULKAN_COOPMAT_F16] = MODULE(coopmat_f16_right),
    [MN_VULKAN_COOPMAT_F16 + 1] = MODULE(coopmat_f16_right_value),
    [MN_VULKAN_COOPMAT_F16 + 2] = MODULE(coopmat_f16_left_stats),
    [MN_VULKAN_COOPMAT_F16 + 3] = MODULE(coopmat_f16_left_mean),
    [MN_VULKAN_COOPMAT_F16 + 4] = MODULE(coopmat_f16_left_out),
    [MN_VULKAN_COOPMAT_BF16] = MODULE(coopmat_bf16_right),
    [MN_VULKAN_COOPMAT_BF16 + 1] = MODULE(coopmat_bf16_right_value),
    [MN_VULKAN_COOPMAT_BF16 + 2] = MODULE(coopmat_bf16_left_stats),
    [MN_VULKAN_COOPMAT_BF16 + 3] = MODULE(coopmat_bf16_left_mean),
    [MN_VULKAN_COOPMAT_BF16 + 4] = MODULE(coopmat_bf16_left_out),
#endif
#if defined(MN_HAVE_VULKAN_COOPMAT2)
    [MN_VULKAN_COOPMAT2_F16] = MODULE(coopmat2_f16_right),
    [MN_VULKAN_COOPMAT2_F16 + 1] = MODULE(coopmat2_f16_right_value),
    [MN_VULKAN_COOPMAT2_F16 + 2] = MODULE(coopmat2_f16_left_stats),
    [MN_VULKAN_COOPMAT2_F16 + 3] = MODULE(coopmat2_f16_left_mean),
    [MN_VULKAN_COOPMAT2_F16 + 4] = MODULE(coopmat2_f16_left_out),
    [MN_VULKAN_COOPMAT2_BF16] = MODULE(coopmat2_bf16_right),
    [MN_VULKAN_COOPMAT2_BF16 + 1] = MODULE(coopmat2_bf16_right_value),
    [MN_VULKAN_COOPMAT2_BF16 + 2] = MODULE(coopmat2_bf16_left_stats),
    [MN_VULKAN_COOPMAT2_BF16 + 3] = MODULE(coopmat2_bf16_left_mean),
    [MN_VULKAN_COOPMAT2_BF16 + 4] = MODULE(coopmat2_bf16_left_out),
#endif
};

bool mn_vulkan_has_module(mn_vulkan_module number)
{
    return modules[number].words != NULL;
}

static bool same_shader(const mn_vulkan_shader *a, const mn_vulkan_shader *b)
{
    return a->module == b->module && a->constant_count == b->constant_count &&
           a->subgroup_size == b->subgroup_size &&
           memcmp(a->constants, b->constants, a->constant_count * sizeof *a->constants) == 0;
}

static monarch_status create(const mn_vulkan_device *device, const mn_vulkan_shader *shader,
                             VkShaderModule code, VkPipeline *handle, monarch_error *error)
{
    VkSpecializationMapEntry entries[MN_VULKAN_CONSTANTS];
    for (uint32_t i = 0; i < shader->constant_count; i++)
        entries[i] =
            (VkSpecializationMapEntry){i, (uint32_t)(i * sizeof(uint32_t)), sizeof(uint32_t)};
    const VkSpecializationInfo constants = {shader->constant_count, entries,
                                            shader->constant_count * sizeof(uint32_t),
                                            shader->constants};
    const VkPipelineShaderStageRequiredSubgroupSizeCreateInfo size = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_REQUIRED_SUBGROUP_SIZE_CREATE_INFO,
        .requiredSubgroupSize = shader->subgroup_size,
    };
    const bool sized = shader->subgroup_size > 0;
    const VkComputePipelineCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
        .stage =
            {
                .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
                .pNext = sized ? &size : NULL,
                .flags = sized ? VK_PIPELINE_SHADER_STAGE_CREATE_REQUIRE_FULL_SUBGROUPS_BIT : 0,
                .stage = VK_SHADER_STAGE_COMPUTE_BIT,
                .module = code,
                .pName = "main",
                .pSpecializationInfo = &constants,
            },
        .layout = device->layout,
        .basePipelineIndex = -1,
    };
    char call[80];
    snprintf(call, sizeof call, "vkCreateComputePipelines(%s)", modules[shader->module].name);
    VkPipelineCache cache = device->given_cache ? device->given_cache : device->cache;
    return mn_vulkan_check(
        device->vk.create_compute_pipelines(device->handle, cache, 1, &info, NULL, handle), call,
        error);
}

static monarch_status compile(mn_vulkan_device *device, mn_vulkan_pipeline *pipeline,
                              monarch_error *error)
{
    const struct module *from = &modules[pipeline->shader.module];
    const VkShaderModuleCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO,
        .codeSize = (size_t)*from->size,
        .pCode = (const uint32_t *)(const void *)from->words, /* aligned to 64 bytes */
    };
    VkShaderModule code = VK_NULL_HANDLE;
    if (!device->cache && !device->given_cache)
        MN_TRY(mn_vulkan_make_cache(device, NULL, 0, &device->cache, error));
    MN_TRY(mn_vulkan_check(device->vk.create_shader_module(device->handle, &info, NULL, &code),
                           "vkCreateShaderModule", error));
    monarch_status status = create(device, &pipeline->shader, code, &pipeline->handle, error);
    device->vk.destroy_shader_module(device->handle, code, NULL);
    return status;
}

static monarch_status add_pipeline(mn_vulkan_device *device, const mn_vulkan_shader *shader,
                                   monarch_error *error)
{
    const monarch_allocator *allocator = &device->base.instance->allocator;
    mn_vulkan_pipeline *pipeline = mn_alloc(allocator, sizeof *pipeline);
    if (!pipeline)
        return mn_fail_memory(error, "the list of pipelines");
    pipeline->shader = *shader;
    monarch_status status = compile(device, pipeline, error);
    if (status != MONARCH_OK) {
        mn_free(allocator, pipeline);
        return status;
    }
    pipeline->next = device->pipelines;
    device->pipelines = pipeline;
    return MONARCH_OK;
}

monarch_status mn_vulkan_find_pipeline(mn_vulkan_device *device, const mn_vulkan_shader *shader,
                                       VkPipeline *handle, monarch_error *error)
{
    monarch_status status = MONARCH_OK;
    pthread_mutex_lock(&device->mutex);
    const mn_vulkan_pipeline *found = device->pipelines;
    while (found && !same_shader(&found->shader, shader))
        found = found->next;
    if (!found) {
        status = add_pipeline(device, shader, error);
        found = device->pipelines;
    }
    *handle = status == MONARCH_OK && found ? found->handle : VK_NULL_HANDLE;
    pthread_mutex_unlock(&device->mutex);
    return status;
}

void mn_vulkan_free_pipelines(mn_vulkan_device *device, bool driver_too)
{
    while (device->pipelines) {
        mn_vulkan_pipeline *pipeline = device->pipelines;
        device->pipelines = pipeline->next;
        if (driver_too)
            device->vk.destroy_pipeline(device->handle, pipeline->handle, NULL);
        mn_free(&device->base.instance->allocator, pipeline);
    }
}
