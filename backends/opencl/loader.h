/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_OPENCL_LOADER_H
#define MN_OPENCL_LOADER_H

#define CL_TARGET_OPENCL_VERSION 300
#define CL_USE_DEPRECATED_OPENCL_1_2_APIS
#include <CL/cl.h>

#include "core/instance.h"

enum { MN_OPENCL_MOST_DEVICES = 64 };

/*
 * The ICD loader, opened at run time. The functions are those of OpenCL 1.2, which every loader
 * has; the ones of 2.0 are optional, and NULL where the loader is older.
 */
typedef struct mn_opencl_driver {
    void *library;
    cl_device_id devices[MN_OPENCL_MOST_DEVICES]; /* of all platforms, GPUs first */
    uint32_t device_count;

    __typeof__(&clGetPlatformIDs) get_platform_ids;
    __typeof__(&clGetDeviceIDs) get_device_ids;
    __typeof__(&clGetDeviceInfo) get_device_info;
    __typeof__(&clCreateContext) create_context;
    __typeof__(&clReleaseContext) release_context;
    __typeof__(&clGetContextInfo) get_context_info;
    __typeof__(&clCreateCommandQueue) create_command_queue;
    __typeof__(&clReleaseCommandQueue) release_command_queue;
    __typeof__(&clGetCommandQueueInfo) get_command_queue_info;
    __typeof__(&clCreateBuffer) create_buffer;
    __typeof__(&clReleaseMemObject) release_mem_object;
    __typeof__(&clCreateProgramWithSource) create_program_with_source;
    __typeof__(&clCreateProgramWithBinary) create_program_with_binary;
    __typeof__(&clReleaseProgram) release_program;
    __typeof__(&clBuildProgram) build_program;
    __typeof__(&clGetProgramInfo) get_program_info;
    __typeof__(&clGetProgramBuildInfo) get_program_build_info;
    __typeof__(&clCreateKernel) create_kernel;
    __typeof__(&clReleaseKernel) release_kernel;
    __typeof__(&clSetKernelArg) set_kernel_arg;
    __typeof__(&clGetKernelWorkGroupInfo) get_kernel_work_group_info;
    __typeof__(&clEnqueueNDRangeKernel) enqueue_nd_range_kernel;
    __typeof__(&clEnqueueReadBuffer) enqueue_read_buffer;
    __typeof__(&clEnqueueWriteBuffer) enqueue_write_buffer;
    __typeof__(&clEnqueueBarrierWithWaitList) enqueue_barrier_with_wait_list;
    __typeof__(&clEnqueueMarkerWithWaitList) enqueue_marker_with_wait_list;
    __typeof__(&clFlush) flush;
    __typeof__(&clFinish) finish;
    __typeof__(&clReleaseEvent) release_event;
    __typeof__(&clGetEventProfilingInfo) get_event_profiling_info;
    cl_int(CL_API_CALL *set_kernel_arg_svm_pointer)(cl_kernel, cl_uint, const void *);
} mn_opencl_driver;

/* Opens the loader and lists the devices. Errors: UNSUPPORTED or NATIVE with the reason,
   OUT_OF_MEMORY of the host only. */
monarch_status mn_opencl_driver_open(const monarch_allocator *allocator, mn_opencl_driver **driver,
                                     monarch_error *error);
void mn_opencl_driver_close(mn_opencl_driver *driver, const monarch_allocator *allocator);

/*
 * OK, or an error that names the call and gives OpenCL's name for it: OUT_OF_MEMORY where the
 * device has no memory left, DEVICE_LOST where the device is gone, else NATIVE.
 */
monarch_status mn_opencl_check(cl_int result, const char *call, monarch_error *error);

/* The same for calls whose failure nobody can be told: a warning for the log. */
void mn_opencl_warn(const monarch_instance *instance, cl_int result, const char *call);

#endif
