/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_driver.h"

/* Streams, events and graphs of the stand-in. */

#undef cuEventElapsedTime /* newer headers rename it; the library asks for the plain name */
CUresult cuEventElapsedTime(float *milliseconds, CUevent start, CUevent end);

struct CUevent_st {
    CUcontext context;
    double time;
};

struct CUgraph_st {
    int kernels;
};

struct CUgraphExec_st {
    int kernels;
};

CUresult cuStreamCreate(CUstream *stream, unsigned flags)
{
    CUresult result = fake_enter_context("cuStreamCreate");
    if (result == CUDA_SUCCESS && flags != CU_STREAM_NON_BLOCKING)
        result = fake_misuse("cuStreamCreate", "a blocking stream", CUDA_ERROR_INVALID_VALUE);
    if (result != CUDA_SUCCESS)
        return fake_leave(result);
    *stream = fake_make(sizeof **stream);
    (*stream)->context = fake_current();
    fake_state.live.streams++;
    return fake_leave(CUDA_SUCCESS);
}

CUresult cuStreamDestroy(CUstream stream)
{
    CUresult result = fake_enter_stream("cuStreamDestroy", &stream);
    if (result != CUDA_SUCCESS)
        return fake_leave(result);
    fake_free(stream);
    fake_state.live.streams--;
    return fake_leave(CUDA_SUCCESS);
}

CUresult cuStreamSynchronize(CUstream stream)
{
    CUresult result = fake_enter_stream("cuStreamSynchronize", &stream);
    if (result == CUDA_SUCCESS)
        result = fake_forbid_capture("cuStreamSynchronize", stream);
    return fake_leave(result);
}

/* The legacy stream belongs to whatever context is current. */
CUresult cuStreamGetCtx(CUstream stream, CUcontext *context)
{
    CUresult result = fake_enter_context("cuStreamGetCtx");
    if (result == CUDA_SUCCESS)
        *context = stream ? stream->context : fake_current();
    return fake_leave(result);
}

CUresult cuStreamIsCapturing(CUstream stream, CUstreamCaptureStatus *status)
{
    CUresult result = fake_enter_stream("cuStreamIsCapturing", &stream);
    if (result == CUDA_SUCCESS)
        *status =
            stream->capturing ? CU_STREAM_CAPTURE_STATUS_ACTIVE : CU_STREAM_CAPTURE_STATUS_NONE;
    return fake_leave(result);
}

CUresult cuStreamBeginCapture(CUstream stream, CUstreamCaptureMode mode)
{
    (void)mode;
    CUresult result = fake_enter_stream("cuStreamBeginCapture", &stream);
    if (result == CUDA_SUCCESS)
        result = fake_forbid_capture("cuStreamBeginCapture", stream);
    if (result != CUDA_SUCCESS)
        return fake_leave(result);
    stream->capturing = true;
    stream->broken = false;
    stream->captured = 0;
    return fake_leave(CUDA_SUCCESS);
}

/* Ends the capture also when the call is made to fail: as the driver does. */
CUresult cuStreamEndCapture(CUstream stream, CUgraph *graph)
{
    CUresult result = fake_enter_stream("cuStreamEndCapture", &stream);
    if (result == CUDA_SUCCESS && (!stream->capturing || stream->broken))
        result = fake_misuse("cuStreamEndCapture", "no capture, or a broken one",
                             CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
    stream->capturing = false;
    if (result != CUDA_SUCCESS)
        return fake_leave(result);
    *graph = fake_make(sizeof **graph);
    (*graph)->kernels = stream->captured;
    fake_state.live.graphs++;
    return fake_leave(CUDA_SUCCESS);
}

CUresult cuGraphInstantiateWithFlags(CUgraphExec *executable, CUgraph graph,
                                     unsigned long long flags)
{
    (void)flags;
    CUresult result = fake_enter_context("cuGraphInstantiate");
    if (result != CUDA_SUCCESS)
        return fake_leave(result);
    *executable = fake_make(sizeof **executable);
    (*executable)->kernels = graph->kernels;
    fake_state.live.executables++;
    return fake_leave(CUDA_SUCCESS);
}

CUresult cuGraphLaunch(CUgraphExec executable, CUstream stream)
{
    CUresult result = fake_enter_stream("cuGraphLaunch", &stream);
    if (result == CUDA_SUCCESS)
        stream->clock += (double)executable->kernels * FAKE_KERNEL_US;
    return fake_leave(result);
}

CUresult cuGraphDestroy(CUgraph graph)
{
    CUresult result = fake_enter_context("cuGraphDestroy");
    if (result != CUDA_SUCCESS)
        return fake_leave(result);
    fake_free(graph);
    fake_state.live.graphs--;
    return fake_leave(CUDA_SUCCESS);
}

CUresult cuGraphExecDestroy(CUgraphExec executable)
{
    CUresult result = fake_enter_context("cuGraphExecDestroy");
    if (result != CUDA_SUCCESS)
        return fake_leave(result);
    fake_free(executable);
    fake_state.live.executables--;
    return fake_leave(CUDA_SUCCESS);
}

CUresult cuEventCreate(CUevent *event, unsigned flags)
{
    (void)flags;
    CUresult result = fake_enter_context("cuEventCreate");
    if (result != CUDA_SUCCESS)
        return fake_leave(result);
    *event = fake_make(sizeof **event);
    (*event)->context = fake_current();
    fake_state.live.events++;
    return fake_leave(CUDA_SUCCESS);
}

CUresult cuEventDestroy(CUevent event)
{
    CUresult result = fake_enter_context("cuEventDestroy");
    if (result == CUDA_SUCCESS && event->context != fake_current())
        result = fake_misuse("cuEventDestroy", "another context", CUDA_ERROR_INVALID_HANDLE);
    if (result != CUDA_SUCCESS)
        return fake_leave(result);
    fake_free(event);
    fake_state.live.events--;
    return fake_leave(CUDA_SUCCESS);
}

CUresult cuEventRecord(CUevent event, CUstream stream)
{
    CUresult result = fake_enter_stream("cuEventRecord", &stream);
    if (result == CUDA_SUCCESS)
        event->time = stream->clock;
    return fake_leave(result);
}

CUresult cuEventSynchronize(CUevent event)
{
    (void)event;
    return fake_leave(fake_enter_context("cuEventSynchronize"));
}

CUresult cuEventElapsedTime(float *milliseconds, CUevent start, CUevent end)
{
    CUresult result = fake_enter_context("cuEventElapsedTime");
    if (result == CUDA_SUCCESS)
        *milliseconds = (float)((end->time - start->time) * 1e-3);
    return fake_leave(result);
}
