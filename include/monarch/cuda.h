/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MONARCH_CUDA_H
#define MONARCH_CUDA_H

#include <monarch/device.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * CUDA contexts, streams and device pointers of the caller's own, for engines that have them
 * already. <monarch/monarch.h> does not include this header. It needs neither <cuda.h> nor the
 * runtime's headers, and both may be included before or after it; a cudaStream_t is a CUstream.
 *
 *     cuCtxGetCurrent(&context);                        // or that of cudaSetDevice(n)
 *     monarch_cuda_device_wrap(instance, context, &device, &error);
 *     monarch_plan_create(device, &problem, NULL, &plan, &error);
 *     monarch_cuda_queue_wrap(device, stream, &queue, &error);
 *     args.q = monarch_cuda_memory((CUdeviceptr)q, 0);  // and so on, and a workspace
 *     monarch_plan_execute(plan, queue, &args, &error); // enqueued on the caller's stream
 *
 * Device or wrapped device: those that an instance lists ("cuda:0") live on the primary context of
 * the GPU, the one that the CUDA runtime uses, and keep it from the first queue, buffer or plan on.
 * With the runtime, or frameworks built on it, no context need be wrapped. Every GPU is a device of
 * its own; a plan, its queue and its memory belong to one.
 *
 * The calling thread's current context is the same after every call as before it.
 *
 * Stream capture: between cuStreamBeginCapture (or cudaStreamBeginCapture) on a queue's stream and
 * the end of the capture, monarch_plan_execute may be called any number of times. It then does
 * nothing but add kernels to the graph: no allocation, no wait, no change of an attribute. The
 * graph holds the addresses of the call, so tensors and workspace must stay where they are, and the
 * plan must live, as long as the graph is launched. monarch_queue_wait, monarch_buffer_write,
 * monarch_buffer_read and monarch_plan_time wait for the stream: during a capture of it they fail
 * with INVALID_ARGUMENT and leave the capture intact. Make plans and buffers before a capture in
 * global mode begins: the driver refuses the allocations they need, in every thread.
 *
 * Errors: as everywhere, a failed driver call is NATIVE, OUT_OF_MEMORY or DEVICE_LOST, with CUDA's
 * name and text for it and the call that failed. DEVICE_LOST stands for the errors that leave a
 * context unusable, which an earlier kernel, anyone's, may have caused.
 *
 * All of these functions exist in every build of the library. Without the cuda backend, and where
 * the instance has not opened it, the wrap functions return UNSUPPORTED with the reason.
 */

/* As in <cuda.h>, where they are the same types. */
typedef struct CUctx_st *CUcontext;
typedef struct CUstream_st *CUstream;
#if defined(_WIN64) || defined(__LP64__)
typedef unsigned long long CUdeviceptr;
#else
typedef unsigned int CUdeviceptr;
#endif

/*
 * A device on the caller's context. The context stays the caller's and must outlive the device; it
 * need not be current. The device belongs to the caller, not to the instance's list: destroy it
 * before the instance, and after everything made from it. Two devices on one context share nothing.
 * Errors: INVALID_ARGUMENT, UNSUPPORTED (with the reason), OUT_OF_MEMORY, NATIVE, FORKED.
 */
MONARCH_API monarch_status monarch_cuda_device_wrap(monarch_instance *instance, CUcontext context,
                                                    monarch_device **device, monarch_error *error);

/* Frees a wrapped device and nulls the handle; the context stays. NULL is allowed. A device that
   an instance lists is left alone, and its handle too. */
MONARCH_API void monarch_cuda_device_destroy(monarch_device **device);

/*
 * A queue on the caller's stream, which must belong to the device's context. NULL, the legacy
 * default stream, is allowed, and so are CU_STREAM_LEGACY and CU_STREAM_PER_THREAD. The stream
 * stays the caller's and must outlive the queue. Destroying the queue by monarch_queue_destroy
 * waits for nothing. Work of the library and of the caller runs in the order in which it was
 * enqueued. Errors: INVALID_ARGUMENT, UNSUPPORTED, OUT_OF_MEMORY, NATIVE, FORKED.
 */
MONARCH_API monarch_status monarch_cuda_queue_wrap(monarch_device *device, CUstream stream,
                                                   monarch_queue **queue, monarch_error *error);

/*
 * Device memory of the caller's for a plan's arguments: a plain value, as those of
 * monarch/types.h. `size` is the number of bytes that may be touched from `pointer` on, 0 if it is
 * not known. It must be reachable from the device's context: memory of cuMemAlloc, cudaMalloc or a
 * memory pool, managed and mapped host memory too.
 */
MONARCH_API monarch_memory monarch_cuda_memory(CUdeviceptr pointer, uint64_t size);

/*
 * The context of a cuda device, for use beside the library: to be pushed, or to make streams on. A
 * listed device retains the GPU's primary context if it has not yet; it stays valid until the
 * instance is destroyed. Errors: INVALID_ARGUMENT, UNSUPPORTED, NATIVE, OUT_OF_MEMORY, FORKED.
 */
MONARCH_API monarch_status monarch_cuda_device_context(monarch_device *device, CUcontext *context,
                                                       monarch_error *error);

/* The stream of a queue of a cuda device: the caller's, or the library's own (non-blocking), which
   lives as long as the queue. NULL for any other queue, and for the legacy default stream. */
MONARCH_API CUstream monarch_cuda_queue_stream(const monarch_queue *queue);

/* The address of a buffer of a cuda device, which lives as long as the buffer; 0 for any other. */
MONARCH_API CUdeviceptr monarch_cuda_buffer_pointer(const monarch_buffer *buffer);

#ifdef __cplusplus
}
#endif
#endif
