/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/opencl/loader.h"

#include "backends/common/dynlib.h"
#include "core/alloc.h"
#include "core/error.h"
#include "core/log.h"

static const char library_name[] = "libOpenCL.so.1";

static const mn_dynlib_symbol symbols[] = {
    {"clGetPlatformIDs", offsetof(mn_opencl_driver, get_platform_ids), false},
    {"clGetDeviceIDs", offsetof(mn_opencl_driver, get_device_ids), false},
    {"clGetDeviceInfo", offsetof(mn_opencl_driver, get_device_info), false},
    {"clCreateContext", offsetof(mn_opencl_driver, create_context), false},
    {"clReleaseContext", offsetof(mn_opencl_driver, release_context), false},
    {"clGetContextInfo", offsetof(mn_opencl_driver, get_context_info), false},
    {"clCreateCommandQueue", offsetof(mn_opencl_driver, create_command_queue), false},
    {"clReleaseCommandQueue", offsetof(mn_opencl_driver, release_command_queue), false},
    {"clGetCommandQueueInfo", offsetof(mn_opencl_driver, get_command_queue_info), false},
    {"clCreateBuffer", offsetof(mn_opencl_driver, create_buffer), false},
    {"clReleaseMemObject", offsetof(mn_opencl_driver, release_mem_object), false},
    {"clCreateProgramWithSource", offsetof(mn_opencl_driver, create_program_with_source), false},
    {"clCreateProgramWithBinary", offsetof(mn_opencl_driver, create_program_with_binary), false},
    {"clReleaseProgram", offsetof(mn_opencl_driver, release_program), false},
    {"clBuildProgram", offsetof(mn_opencl_driver, build_program), false},
    {"clGetProgramInfo", offsetof(mn_opencl_driver, get_program_info), false},
    {"clGetProgramBuildInfo", offsetof(mn_opencl_driver, get_program_build_info), false},
    {"clCreateKernel", offsetof(mn_opencl_driver, create_kernel), false},
    {"clReleaseKernel", offsetof(mn_opencl_driver, release_kernel), false},
    {"clSetKernelArg", offsetof(mn_opencl_driver, set_kernel_arg), false},
    {"clGetKernelWorkGroupInfo", offsetof(mn_opencl_driver, get_kernel_work_group_info), false},
    {"clEnqueueNDRangeKernel", offsetof(mn_opencl_driver, enqueue_nd_range_kernel), false},
    {"clEnqueueReadBuffer", offsetof(mn_opencl_driver, enqueue_read_buffer), false},
    {"clEnqueueWriteBuffer", offsetof(mn_opencl_driver, enqueue_write_buffer), false},
    {"clEnqueueBarrierWithWaitList", offsetof(mn_opencl_driver, enqueue_barrier_with_wait_list),
     false},
    {"clEnqueueMarkerWithWaitList", offsetof(mn_opencl_driver, enqueue_marker_with_wait_list),
     false},
    {"clFlush", offsetof(mn_opencl_driver, flush), false},
    {"clFinish", offsetof(mn_opencl_driver, finish), false},
    {"clReleaseEvent", offsetof(mn_opencl_driver, release_event), false},
    {"clGetEventProfilingInfo", offsetof(mn_opencl_driver, get_event_profiling_info), false},
    {"clSetKernelArgSVMPointer", offsetof(mn_opencl_driver, set_kernel_arg_svm_pointer), true},
};

/* OpenCL's own names: a driver has no text for its numbers. */
static const char *name_of(cl_int result)
{
    static const struct {
        cl_int result;
        const char *name;
    } names[] = {
        {CL_DEVICE_NOT_FOUND, "CL_DEVICE_NOT_FOUND"},
        {CL_DEVICE_NOT_AVAILABLE, "CL_DEVICE_NOT_AVAILABLE"},
        {CL_COMPILER_NOT_AVAILABLE, "CL_COMPILER_NOT_AVAILABLE"},
        {CL_MEM_OBJECT_ALLOCATION_FAILURE, "CL_MEM_OBJECT_ALLOCATION_FAILURE"},
        {CL_OUT_OF_RESOURCES, "CL_OUT_OF_RESOURCES"},
        {CL_OUT_OF_HOST_MEMORY, "CL_OUT_OF_HOST_MEMORY"},
        {CL_BUILD_PROGRAM_FAILURE, "CL_BUILD_PROGRAM_FAILURE"},
        {CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST,
         "CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST"},
        {CL_INVALID_VALUE, "CL_INVALID_VALUE"},
        {CL_INVALID_DEVICE, "CL_INVALID_DEVICE"},
        {CL_INVALID_CONTEXT, "CL_INVALID_CONTEXT"},
        {CL_INVALID_COMMAND_QUEUE, "CL_INVALID_COMMAND_QUEUE"},
        {CL_INVALID_MEM_OBJECT, "CL_INVALID_MEM_OBJECT"},
        {CL_INVALID_BINARY, "CL_INVALID_BINARY"},
        {CL_INVALID_BUILD_OPTIONS, "CL_INVALID_BUILD_OPTIONS"},
        {CL_INVALID_KERNEL_NAME, "CL_INVALID_KERNEL_NAME"},
        {CL_INVALID_ARG_VALUE, "CL_INVALID_ARG_VALUE"},
        {CL_INVALID_ARG_SIZE, "CL_INVALID_ARG_SIZE"},
        {CL_INVALID_KERNEL_ARGS, "CL_INVALID_KERNEL_ARGS"},
        {CL_INVALID_WORK_GROUP_SIZE, "CL_INVALID_WORK_GROUP_SIZE"},
        {CL_INVALID_GLOBAL_WORK_SIZE, "CL_INVALID_GLOBAL_WORK_SIZE"},
        {CL_INVALID_EVENT_WAIT_LIST, "CL_INVALID_EVENT_WAIT_LIST"},
        {CL_INVALID_BUFFER_SIZE, "CL_INVALID_BUFFER_SIZE"},
        {-1001, "CL_PLATFORM_NOT_FOUND_KHR, no driver is installed"},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i].result == result)
            return names[i].name;
    return "an error without a name here";
}

monarch_status mn_opencl_check(cl_int result, const char *call, monarch_error *error)
{
    if (result == CL_SUCCESS)
        return MONARCH_OK;
    monarch_status status = result == CL_MEM_OBJECT_ALLOCATION_FAILURE ||
                                    result == CL_OUT_OF_HOST_MEMORY ||
                                    result == CL_INVALID_BUFFER_SIZE
                                ? MONARCH_ERROR_OUT_OF_MEMORY
                            : result == CL_DEVICE_NOT_AVAILABLE ? MONARCH_ERROR_DEVICE_LOST
                                                                : MONARCH_ERROR_NATIVE;
    return mn_fail(error, status, "%s failed: %s (%d)", call, name_of(result), (int)result);
}

void mn_opencl_warn(const monarch_instance *instance, cl_int result, const char *call)
{
    monarch_error why = {MONARCH_OK, ""};
    if (mn_opencl_check(result, call, &why) != MONARCH_OK)
        mn_log(instance, MONARCH_LOG_WARNING, "%s", why.message);
}

/* ---- the devices of all platforms ---- */

enum { MOST_PLATFORMS = 32 };

static const cl_device_type types[] = {CL_DEVICE_TYPE_GPU, CL_DEVICE_TYPE_ACCELERATOR,
                                       CL_DEVICE_TYPE_CPU};

static bool is_known(const mn_opencl_driver *driver, cl_device_id device)
{
    for (uint32_t i = 0; i < driver->device_count; i++)
        if (driver->devices[i] == device)
            return true;
    return false;
}

/* Adds the devices of one type of one platform; a platform without any is no failure. A device may
   be of several types, and counts as the first. */
static monarch_status add_devices(mn_opencl_driver *driver, cl_platform_id platform,
                                  cl_device_type type, monarch_error *error)
{
    cl_device_id found[MN_OPENCL_MOST_DEVICES];
    cl_uint count = 0;
    cl_int result = driver->get_device_ids(platform, type, MN_OPENCL_MOST_DEVICES, found, &count);
    if (result == CL_DEVICE_NOT_FOUND)
        return MONARCH_OK;
    MN_TRY(mn_opencl_check(result, "clGetDeviceIDs", error));
    count = count < MN_OPENCL_MOST_DEVICES ? count : MN_OPENCL_MOST_DEVICES;
    for (cl_uint i = 0; i < count && driver->device_count < MN_OPENCL_MOST_DEVICES; i++)
        if (!is_known(driver, found[i]))
            driver->devices[driver->device_count++] = found[i];
    return MONARCH_OK;
}

static monarch_status list_devices(mn_opencl_driver *driver, monarch_error *error)
{
    cl_platform_id platforms[MOST_PLATFORMS];
    cl_uint count = 0;
    MN_TRY(mn_opencl_check(driver->get_platform_ids(MOST_PLATFORMS, platforms, &count),
                           "clGetPlatformIDs", error));
    count = count < MOST_PLATFORMS ? count : MOST_PLATFORMS;
    for (size_t t = 0; t < sizeof types / sizeof *types; t++)
        for (cl_uint i = 0; i < count; i++)
            MN_TRY(add_devices(driver, platforms[i], types[t], error));
    return MONARCH_OK;
}

monarch_status mn_opencl_driver_open(const monarch_allocator *allocator, mn_opencl_driver **out,
                                     monarch_error *error)
{
    mn_opencl_driver *driver = mn_alloc(allocator, sizeof *driver);
    if (!driver)
        return mn_fail_memory(error, "the functions of the OpenCL loader");
    monarch_status status = mn_dynlib_open(library_name, symbols, sizeof symbols / sizeof *symbols,
                                           driver, &driver->library, error);
    if (status == MONARCH_OK) {
        status = list_devices(driver, error);
        /* A driver short of memory offers nothing; that is no failure of the instance. */
        if (status == MONARCH_ERROR_OUT_OF_MEMORY)
            status = MONARCH_ERROR_NATIVE;
    }
    if (status != MONARCH_OK) {
        mn_opencl_driver_close(driver, allocator);
        return status;
    }
    *out = driver;
    return MONARCH_OK;
}

void mn_opencl_driver_close(mn_opencl_driver *driver, const monarch_allocator *allocator)
{
    mn_dynlib_close(driver->library);
    mn_free(allocator, driver);
}
