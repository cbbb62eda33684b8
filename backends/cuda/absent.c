/* SPDX-License-Identifier: Apache-2.0 */
#include <monarch/cuda.h>

#include "core/error.h"

/* The public functions in a build without the backend. */

static monarch_status fail_absent(monarch_error *error)
{
    return mn_fail(error, MONARCH_ERROR_UNSUPPORTED, "this build has no cuda backend");
}

monarch_status monarch_cuda_device_wrap(monarch_instance *instance, CUcontext context,
                                        monarch_device **device, monarch_error *error)
{
    (void)instance;
    (void)context;
    if (!device)
        return mn_fail_null(error, "device");
    *device = NULL;
    return fail_absent(error);
}

void monarch_cuda_device_destroy(monarch_device **device)
{
    (void)device; /* none was ever made */
}

monarch_status monarch_cuda_queue_wrap(monarch_device *device, CUstream stream,
                                       monarch_queue **queue, monarch_error *error)
{
    (void)device;
    (void)stream;
    if (!queue)
        return mn_fail_null(error, "queue");
    *queue = NULL;
    return fail_absent(error);
}

monarch_status monarch_cuda_device_context(monarch_device *device, CUcontext *context,
                                           monarch_error *error)
{
    (void)device;
    if (!context)
        return mn_fail_null(error, "context");
    *context = NULL;
    return fail_absent(error);
}

CUstream monarch_cuda_queue_stream(const monarch_queue *queue)
{
    (void)queue;
    return NULL;
}

CUdeviceptr monarch_cuda_buffer_pointer(const monarch_buffer *buffer)
{
    (void)buffer;
    return 0;
}
