/* SPDX-License-Identifier: Apache-2.0 */
#include <dlfcn.h>
#include <string.h>
#include <vulkan/vulkan_core.h>

/*
 * A loader in front of the system's, whose devices have no feature that the library could do
 * without: what it does then can be tried where no such device is. Without a loader of the system's
 * it offers nothing.
 */

static const char *const places[] = {
    "/usr/lib/x86_64-linux-gnu/libvulkan.so.1",
    "/usr/lib/aarch64-linux-gnu/libvulkan.so.1",
    "/usr/lib64/libvulkan.so.1",
    "/usr/lib/libvulkan.so.1",
};

static PFN_vkGetInstanceProcAddr find;
static PFN_vkGetPhysicalDeviceFeatures2 get_features;

__attribute__((constructor)) static void open_loader(void)
{
    for (size_t i = 0; i < sizeof places / sizeof *places && !find; i++) {
        void *library = dlopen(places[i], RTLD_NOW | RTLD_LOCAL);
        if (library)
            *(void **)&find = dlsym(library, "vkGetInstanceProcAddr");
    }
}

static VKAPI_ATTR void VKAPI_CALL get_fewer(VkPhysicalDevice device,
                                            VkPhysicalDeviceFeatures2 *features)
{
    get_features(device, features);
    features->features.shaderInt64 = VK_FALSE;
    for (VkBaseOutStructure *next = features->pNext; next; next = next->pNext)
        if (next->sType == VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_BUFFER_DEVICE_ADDRESS_FEATURES ||
            next->sType == VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_16BIT_STORAGE_FEATURES ||
            next->sType == VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_8BIT_STORAGE_FEATURES)
            *(VkBool32 *)(void *)(next + 1) = VK_FALSE;
}

__attribute__((visibility("default"))) VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL
vkGetInstanceProcAddr(VkInstance instance, const char *name)
{
    PFN_vkVoidFunction function = find ? find(instance, name) : NULL;
    if (!function || strcmp(name, "vkGetPhysicalDeviceFeatures2") != 0)
        return function;
    get_features = (PFN_vkGetPhysicalDeviceFeatures2)function;
    return (PFN_vkVoidFunction)get_fewer;
}
