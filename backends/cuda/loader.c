/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/cuda/loader.h"

#include <ctype.h>
#include <stdio.h>

#include "backends/common/dynlib.h"
#include "core/alloc.h"
#include "core/error.h"
#include "core/log.h"

static const char library_name[] = "libcuda.so.1";

static const mn_dynlib_symbol symbols[] = {
    {"cuInit", offsetof(mn_cuda_driver, init), false},
    {"cuGetErrorName", offsetof(mn_cuda_driver, get_error_name), false},
    {"cuGetErrorString", offsetof(mn_cuda_driver, get_error_string), false},
    {"cuDriverGetVersion", offsetof(mn_cuda_driver, driver_get_version), false},
    {"cuDeviceGetCount", offsetof(mn_cuda_driver, device_get_count), false},
    {"cuDeviceGet", offsetof(mn_cuda_driver, device_get), false},
    {"cuDeviceGetName", offsetof(mn_cuda_driver, device_get_name), false},
    {"cuDeviceGetAttribute", offsetof(mn_cuda_driver, device_get_attribute), false},
    {"cuDeviceTotalMem_v2", offsetof(mn_cuda_driver, device_total_mem), false},
    {"cuDevicePrimaryCtxRetain", offsetof(mn_cuda_driver, primary_ctx_retain), false},
    {"cuDevicePrimaryCtxRelease_v2", offsetof(mn_cuda_driver, primary_ctx_release), false},
    {"cuCtxPushCurrent_v2", offsetof(mn_cuda_driver, ctx_push_current), false},
    {"cuCtxPopCurrent_v2", offsetof(mn_cuda_driver, ctx_pop_current), false},
    {"cuCtxGetCurrent", offsetof(mn_cuda_driver, ctx_get_current), false},
    {"cuCtxGetDevice", offsetof(mn_cuda_driver, ctx_get_device), false},
    {"cuModuleLoadData", offsetof(mn_cuda_driver, module_load_data), false},
    {"cuModuleUnload", offsetof(mn_cuda_driver, module_unload), false},
    {"cuModuleGetFunction", offsetof(mn_cuda_driver, module_get_function), false},
    {"cuFuncGetAttribute", offsetof(mn_cuda_driver, func_get_attribute), false},
    {"cuFuncSetAttribute", offsetof(mn_cuda_driver, func_set_attribute), false},
    {"cuLaunchKernelEx", offsetof(mn_cuda_driver, launch_kernel), false},
    {"cuOccupancyMaxActiveClusters", offsetof(mn_cuda_driver, occupancy_max_active_clusters),
     false},
    {"cuTensorMapEncodeTiled", offsetof(mn_cuda_driver, tensor_map_encode), true},
    {"cuTensorMapReplaceAddress", offsetof(mn_cuda_driver, tensor_map_replace), true},
    {"cuMemAlloc_v2", offsetof(mn_cuda_driver, mem_alloc), false},
    {"cuMemFree_v2", offsetof(mn_cuda_driver, mem_free), false},
    {"cuMemcpyHtoDAsync_v2", offsetof(mn_cuda_driver, memcpy_to_device), false},
    {"cuMemcpyDtoHAsync_v2", offsetof(mn_cuda_driver, memcpy_to_host), false},
    {"cuStreamCreate", offsetof(mn_cuda_driver, stream_create), false},
    {"cuStreamDestroy_v2", offsetof(mn_cuda_driver, stream_destroy), false},
    {"cuStreamSynchronize", offsetof(mn_cuda_driver, stream_synchronize), false},
    {"cuStreamIsCapturing", offsetof(mn_cuda_driver, stream_is_capturing), false},
    {"cuStreamBeginCapture_v2", offsetof(mn_cuda_driver, stream_begin_capture), false},
    {"cuStreamEndCapture", offsetof(mn_cuda_driver, stream_end_capture), false},
    {"cuStreamGetCtx", offsetof(mn_cuda_driver, stream_get_ctx), false},
    {"cuGraphInstantiateWithFlags", offsetof(mn_cuda_driver, graph_instantiate), false},
    {"cuGraphLaunch", offsetof(mn_cuda_driver, graph_launch), false},
    {"cuGraphDestroy", offsetof(mn_cuda_driver, graph_destroy), false},
    {"cuGraphExecDestroy", offsetof(mn_cuda_driver, graph_exec_destroy), false},
    {"cuEventCreate", offsetof(mn_cuda_driver, event_create), false},
    {"cuEventDestroy_v2", offsetof(mn_cuda_driver, event_destroy), false},
    {"cuEventRecord", offsetof(mn_cuda_driver, event_record), false},
    {"cuEventSynchronize", offsetof(mn_cuda_driver, event_synchronize), false},
    {"cuEventElapsedTime", offsetof(mn_cuda_driver, event_elapsed_time), false},
};

/* Errors after which every call into the context fails. */
static bool is_lost(CUresult result)
{
    switch ((int)result) {
    case CUDA_ERROR_DEINITIALIZED:
    case CUDA_ERROR_DEVICE_UNAVAILABLE:
    case CUDA_ERROR_ECC_UNCORRECTABLE:
    case CUDA_ERROR_NVLINK_UNCORRECTABLE:
    case 226: /* CUDA_ERROR_CONTAINED, not in every header */
    case CUDA_ERROR_ILLEGAL_ADDRESS:
    case CUDA_ERROR_LAUNCH_TIMEOUT:
    case CUDA_ERROR_CONTEXT_IS_DESTROYED:
    case CUDA_ERROR_ASSERT:
    case CUDA_ERROR_HARDWARE_STACK_ERROR:
    case CUDA_ERROR_ILLEGAL_INSTRUCTION:
    case CUDA_ERROR_MISALIGNED_ADDRESS:
    case CUDA_ERROR_INVALID_ADDRESS_SPACE:
    case CUDA_ERROR_INVALID_PC:
    case CUDA_ERROR_LAUNCH_FAILED:
    case 721: /* CUDA_ERROR_TENSOR_MEMORY_LEAK, likewise */
    case CUDA_ERROR_EXTERNAL_DEVICE:
        return true;
    default:
        return false;
    }
}

monarch_status mn_cuda_check(const mn_cuda_driver *driver, CUresult result, const char *call,
                             monarch_error *error)
{
    if (result == CUDA_SUCCESS)
        return MONARCH_OK;
    const char *name = NULL, *text = NULL;
    driver->get_error_name(result, &name);
    driver->get_error_string(result, &text);
    monarch_status status = result == CUDA_ERROR_OUT_OF_MEMORY ? MONARCH_ERROR_OUT_OF_MEMORY
                            : is_lost(result)                  ? MONARCH_ERROR_DEVICE_LOST
                                                               : MONARCH_ERROR_NATIVE;
    return mn_fail(error, status, "%s failed: %s (%d): %s", call, name ? name : "unknown error",
                   (int)result, text ? text : "the driver has no text for it");
}

void mn_cuda_warn(const mn_cuda_driver *driver, const monarch_instance *instance, CUresult result,
                  const char *call)
{
    monarch_error why = {MONARCH_OK, ""};
    if (mn_cuda_check(driver, result, call, &why) != MONARCH_OK)
        mn_log(instance, MONARCH_LOG_WARNING, "%s", why.message);
}

/* Copies the first word of `line` of the form 580.65 or 580.65.06. */
static bool find_version(const char *line, char *version, size_t capacity)
{
    while (*line != '\0') {
        size_t length = strcspn(line, " \t\n");
        bool digits = length > 0 && isdigit((unsigned char)line[0]) &&
                      strspn(line, "0123456789.") == length && memchr(line, '.', length);
        if (digits) {
            snprintf(version, capacity, "%.*s", (int)length, line);
            return true;
        }
        line += length;
        line += strspn(line, " \t\n");
    }
    return false;
}

/* The driver's own version, where the system tells it, and that of its interface. */
static monarch_status read_version(mn_cuda_driver *driver, monarch_error *error)
{
    char line[256], release[24] = "";
    int api = 0;
    MN_TRY(mn_cuda_check(driver, driver->driver_get_version(&api), "cuDriverGetVersion", error));
    FILE *file = fopen("/proc/driver/nvidia/version", "r");
    if (file && fgets(line, sizeof line, file))
        find_version(line, release, sizeof release);
    if (file)
        fclose(file);
    snprintf(driver->version, sizeof driver->version, "%s%sCUDA %d.%d", release,
             release[0] != '\0' ? ", " : "", api / 1000, api % 1000 / 10);
    return MONARCH_OK;
}

static monarch_status initialise(mn_cuda_driver *driver, monarch_error *error)
{
    MN_TRY(mn_cuda_check(driver, driver->init(0), "cuInit", error));
    return read_version(driver, error);
}

monarch_status mn_cuda_driver_open(const monarch_allocator *allocator, mn_cuda_driver **out,
                                   monarch_error *error)
{
    mn_cuda_driver *driver = mn_alloc(allocator, sizeof *driver);
    if (!driver)
        return mn_fail_memory(error, "the functions of the CUDA driver");
    monarch_status status = mn_dynlib_open(library_name, symbols, sizeof symbols / sizeof *symbols,
                                           driver, &driver->library, error);
    if (status == MONARCH_OK) {
        status = initialise(driver, error);
        /* A driver short of memory offers nothing; that is no failure of the instance. */
        if (status == MONARCH_ERROR_OUT_OF_MEMORY)
            status = MONARCH_ERROR_NATIVE;
    }
    if (status != MONARCH_OK) {
        mn_cuda_driver_close(driver, allocator);
        return status;
    }
    *out = driver;
    return MONARCH_OK;
}

void mn_cuda_driver_close(mn_cuda_driver *driver, const monarch_allocator *allocator)
{
    mn_dynlib_close(driver->library);
    mn_free(allocator, driver);
}
