/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_objects.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Queues, buffers, launches and events; see fake_opencl.h. */

static _Thread_local int this_thread; /* its address tells threads apart */

/* ---- queues and buffers ---- */

cl_command_queue clCreateCommandQueue(cl_context context, cl_device_id device,
                                      cl_command_queue_properties properties, cl_int *out)
{
    cl_int result = fake_enter("clCreateCommandQueue");
    cl_command_queue queue = NULL;
    if (result == CL_SUCCESS && device != context->device)
        result = fake_misuse("clCreateCommandQueue", "another device", CL_INVALID_DEVICE);
    if (result == CL_SUCCESS) {
        queue = fake_make(sizeof *queue);
        queue->context = context;
        queue->properties = properties;
        fake_state.live.queues++;
    }
    *out = fake_leave(result);
    return queue;
}

cl_int clReleaseCommandQueue(cl_command_queue queue)
{
    cl_int result = fake_enter("clReleaseCommandQueue");
    if (result == CL_SUCCESS) {
        fake_free(queue);
        fake_state.live.queues--;
    }
    return fake_leave(result);
}

cl_int clGetCommandQueueInfo(cl_command_queue queue, cl_command_queue_info what, size_t capacity,
                             void *to, size_t *size)
{
    cl_int result = fake_enter("clGetCommandQueueInfo");
    if (result != CL_SUCCESS)
        return fake_leave(result);
    if (what == CL_QUEUE_CONTEXT)
        result = fake_answer(&queue->context, sizeof queue->context, capacity, to, size);
    else if (what == CL_QUEUE_DEVICE)
        result = fake_answer(&queue->context->device, sizeof(cl_device_id), capacity, to, size);
    else
        result = fake_answer(&queue->properties, sizeof queue->properties, capacity, to, size);
    return fake_leave(result);
}

cl_mem clCreateBuffer(cl_context context, cl_mem_flags flags, size_t size, void *host, cl_int *out)
{
    (void)flags;
    cl_int result = fake_enter("clCreateBuffer");
    cl_mem memory = NULL;
    if (result == CL_SUCCESS && (size == 0 || host))
        result = fake_misuse("clCreateBuffer", "size", CL_INVALID_BUFFER_SIZE);
    if (result == CL_SUCCESS && size > (size_t)1 << 30)
        result = CL_MEM_OBJECT_ALLOCATION_FAILURE;
    if (result == CL_SUCCESS) {
        memory = fake_make(sizeof *memory);
        memory->context = context;
        memory->size = size;
        memory->bytes = fake_make(size);
        fake_state.live.buffers++;
    }
    *out = fake_leave(result);
    return memory;
}

cl_int clReleaseMemObject(cl_mem memory)
{
    cl_int result = fake_enter("clReleaseMemObject");
    if (result == CL_SUCCESS) {
        fake_free(memory->bytes);
        fake_free(memory);
        fake_state.live.buffers--;
    }
    return fake_leave(result);
}

/* ---- commands ---- */

static void make_event(cl_command_queue queue, cl_event *event)
{
    queue->clock += FAKE_KERNEL_NS;
    if (!event)
        return;
    *event = fake_make(sizeof **event);
    (*event)->start = queue->clock - FAKE_KERNEL_NS;
    (*event)->end = queue->clock;
    fake_state.live.events++;
}

static cl_int check_wait(const char *call, cl_uint count, const cl_event *wait)
{
    if ((count > 0) == (wait != NULL))
        return CL_SUCCESS;
    return fake_misuse(call, "wait list", CL_INVALID_EVENT_WAIT_LIST);
}

static cl_int copy(const char *call, cl_command_queue queue, cl_mem memory, cl_bool blocking,
                   size_t offset, size_t size)
{
    if (!blocking || memory->context != queue->context || offset + size > memory->size)
        return fake_misuse(call, "bytes", CL_INVALID_VALUE);
    return CL_SUCCESS;
}

cl_int clEnqueueReadBuffer(cl_command_queue queue, cl_mem memory, cl_bool blocking, size_t offset,
                           size_t size, void *to, cl_uint count, const cl_event *wait,
                           cl_event *event)
{
    cl_int result = fake_enter("clEnqueueReadBuffer");
    if (result == CL_SUCCESS)
        result = check_wait("clEnqueueReadBuffer", count, wait);
    if (result == CL_SUCCESS)
        result = copy("clEnqueueReadBuffer", queue, memory, blocking, offset, size);
    if (result == CL_SUCCESS) {
        memcpy(to, memory->bytes + offset, size);
        make_event(queue, event);
    }
    return fake_leave(result);
}

cl_int clEnqueueWriteBuffer(cl_command_queue queue, cl_mem memory, cl_bool blocking, size_t offset,
                            size_t size, const void *from, cl_uint count, const cl_event *wait,
                            cl_event *event)
{
    cl_int result = fake_enter("clEnqueueWriteBuffer");
    if (result == CL_SUCCESS)
        result = check_wait("clEnqueueWriteBuffer", count, wait);
    if (result == CL_SUCCESS)
        result = copy("clEnqueueWriteBuffer", queue, memory, blocking, offset, size);
    if (result == CL_SUCCESS) {
        memcpy(memory->bytes + offset, from, size);
        make_event(queue, event);
    }
    return fake_leave(result);
}

/* Arguments may not be set by one thread while another is about to launch the kernel. */
static cl_int note_argument(const char *call, cl_kernel kernel, cl_uint index)
{
    if (index >= FAKE_ARGUMENTS)
        return fake_misuse(call, "index", CL_INVALID_ARG_INDEX);
    if (kernel->thread && kernel->thread != &this_thread)
        return fake_misuse(call, "two threads at once", CL_INVALID_OPERATION);
    kernel->thread = &this_thread;
    kernel->set[index] = true;
    return CL_SUCCESS;
}

cl_int clSetKernelArg(cl_kernel kernel, cl_uint index, size_t size, const void *value)
{
    cl_int result = fake_enter("clSetKernelArg");
    if (result == CL_SUCCESS)
        result = note_argument("clSetKernelArg", kernel, index);
    if (result == CL_SUCCESS)
        kernel->arguments[index] =
            value && size == sizeof(cl_mem) ? *(const void *const *)value : NULL;
    return fake_leave(result);
}

cl_int clSetKernelArgSVMPointer(cl_kernel kernel, cl_uint index, const void *value)
{
    cl_int result = fake_enter("clSetKernelArgSVMPointer");
    if (result == CL_SUCCESS)
        result = note_argument("clSetKernelArgSVMPointer", kernel, index);
    if (result == CL_SUCCESS)
        kernel->arguments[index] = value;
    return fake_leave(result);
}

static float half_value(uint16_t half)
{
    float value =
        half & 0x7fff ? ldexpf((float)(0x400 | (half & 0x3ff)), (half >> 10 & 31) - 25) : 0.0f;
    return half & 0x8000 ? -value : value;
}

/* What the self test of variant matrix is about: a b', and powers of 2. */
static void compute_probe(const cl_kernel kernel)
{
    const uint16_t *a = (const void *)((const cl_mem)kernel->arguments[0])->bytes;
    const uint16_t *b = (const void *)((const cl_mem)kernel->arguments[1])->bytes;
    float *product = (void *)((cl_mem)kernel->arguments[2])->bytes;
    float *powers = (void *)((cl_mem)kernel->arguments[3])->bytes;
    for (int r = 0; r < 16; r++)
        for (int c = 0; c < 16; c++) {
            product[16 * r + c] = 0.0f;
            for (int k = 0; k < 16; k++)
                product[16 * r + c] += half_value(a[16 * r + k]) * half_value(b[16 * c + k]);
        }
    product[37] += fake_state.wrong_product ? 1.0f : 0.0f;
    for (int i = 0; i < 32; i++)
        powers[i] = ldexpf(1.0f, i ^ 1);
}

cl_int clEnqueueNDRangeKernel(cl_command_queue queue, cl_kernel kernel, cl_uint axes,
                              const size_t *offset, const size_t *global, const size_t *local,
                              cl_uint count, const cl_event *wait, cl_event *event)
{
    cl_int result = fake_enter("clEnqueueNDRangeKernel");
    bool shape = !offset && axes >= 1 && axes <= 2 && global[0] > 0 && local[0] > 0 &&
                 global[0] % local[0] == 0 && local[0] <= fake_state.work_group &&
                 (axes == 1 || (global[1] > 0 && global[1] < 65536 && local[1] == 1));
    if (result == CL_SUCCESS)
        result = check_wait("clEnqueueNDRangeKernel", count, wait);
    if (result == CL_SUCCESS && !shape)
        result = fake_misuse("clEnqueueNDRangeKernel", "shape", CL_INVALID_WORK_GROUP_SIZE);
    if (result == CL_SUCCESS && kernel->program->context != queue->context)
        result = fake_misuse("clEnqueueNDRangeKernel", "another context", CL_INVALID_CONTEXT);
    if (result == CL_SUCCESS && kernel->thread && kernel->thread != &this_thread)
        result = fake_misuse("clEnqueueNDRangeKernel", "arguments of another thread",
                             CL_INVALID_KERNEL_ARGS);
    if (result != CL_SUCCESS) {
        kernel->thread = NULL;
        return fake_leave(result);
    }
    kernel->thread = NULL;
    fake_launch *launch = &fake_state.latest[fake_state.launches++ % FAKE_LAUNCHES];
    *launch = (fake_launch){.global = {global[0], axes > 1 ? global[1] : 1},
                            .local = {local[0], axes > 1 ? local[1] : 1},
                            .waited = count,
                            .queue = queue,
                            .object = kernel};
    memcpy(launch->arguments, kernel->arguments, sizeof launch->arguments);
    snprintf(launch->kernel, sizeof launch->kernel, "%s", kernel->name);
    if (strcmp(kernel->name, "matrix_probe") == 0)
        compute_probe(kernel);
    make_event(queue, event);
    return fake_leave(CL_SUCCESS);
}

static cl_int enqueue_point(const char *call, cl_command_queue queue, cl_uint count,
                            const cl_event *wait, cl_event *event)
{
    cl_int result = fake_enter(call);
    if (result == CL_SUCCESS)
        result = check_wait(call, count, wait);
    if (result == CL_SUCCESS)
        make_event(queue, event);
    return result;
}

cl_int clEnqueueBarrierWithWaitList(cl_command_queue queue, cl_uint count, const cl_event *wait,
                                    cl_event *event)
{
    cl_int result = enqueue_point("clEnqueueBarrierWithWaitList", queue, count, wait, event);
    fake_state.barriers += result == CL_SUCCESS;
    return fake_leave(result);
}

cl_int clEnqueueMarkerWithWaitList(cl_command_queue queue, cl_uint count, const cl_event *wait,
                                   cl_event *event)
{
    return fake_leave(enqueue_point("clEnqueueMarkerWithWaitList", queue, count, wait, event));
}

cl_int clFlush(cl_command_queue queue)
{
    (void)queue;
    return fake_leave(fake_enter("clFlush"));
}

cl_int clFinish(cl_command_queue queue)
{
    (void)queue;
    return fake_leave(fake_enter("clFinish"));
}

cl_int clReleaseEvent(cl_event event)
{
    cl_int result = fake_enter("clReleaseEvent");
    if (result == CL_SUCCESS) {
        fake_free(event);
        fake_state.live.events--;
    }
    return fake_leave(result);
}

cl_int clGetEventProfilingInfo(cl_event event, cl_profiling_info what, size_t capacity, void *to,
                               size_t *size)
{
    cl_int result = fake_enter("clGetEventProfilingInfo");
    if (result == CL_SUCCESS)
        result = fake_answer(what == CL_PROFILING_COMMAND_START ? &event->start : &event->end,
                             sizeof event->start, capacity, to, size);
    return fake_leave(result);
}
