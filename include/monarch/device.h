/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MONARCH_DEVICE_H
#define MONARCH_DEVICE_H

#include <monarch/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Lifetimes: instance -> device -> queue, buffer, plan. Whatever was made from an object must
 * be destroyed before it. Devices that an instance lists belong to the instance.
 *
 * Threads: an instance, a device, a buffer and a plan may be used from any number of threads at
 * once. A queue is used by one thread at a time.
 *
 * There is no global state, and no driver is touched before the first instance is created.
 * Environment variables never change a result.
 */

/*
 * Host memory for the library's objects and for the buffers of cpu devices. `allocate` returns
 * NULL when there is none, else `size` bytes aligned to `alignment` (a power of two, at
 * least sizeof(void *)). Both functions may be called from any thread.
 */
typedef struct monarch_allocator {
    void *(*allocate)(void *user, size_t size, size_t alignment);
    void (*release)(void *user, void *pointer);
    void *user;
} monarch_allocator;

typedef enum monarch_log_level {
    MONARCH_LOG_WARNING = 1, /* something works, but not as it should */
    MONARCH_LOG_INFO = 2     /* which device, which variant, and why not another */
} monarch_log_level;

/* Parameters of an instance. Zero means the default everywhere. */
typedef struct monarch_instance_params {
    uint32_t struct_size;        /* sizeof(monarch_instance_params) */
    int32_t cpu_threads;         /* threads of each queue of the cpu device, the calling one
                                    included; 0 = the processors this process may run on.
                                    Results do not depend on it. */
    const char *backends;        /* comma-separated names of the backends to open, such as
                                    "cpu,cuda"; NULL = all. Must live until create returns. */
    monarch_allocator allocator; /* all NULL = the C library's */
    /* Messages, if not NULL; called from any thread, must not call back into the library. */
    void (*log)(void *user, monarch_log_level level, const char *message);
    void *log_user;
} monarch_instance_params;

static inline monarch_instance_params monarch_instance_params_default(void)
{
    monarch_instance_params params;
    memset(&params, 0, sizeof params);
    params.struct_size = (uint32_t)sizeof params;
    return params;
}

/*
 * Opens every backend of the build (or those named in params) and lists its devices. A
 * backend without driver or device is no error: monarch_instance_backend tells why it offers
 * nothing. A driver that was opened before a fork() is not opened again in the child, which is told
 * so as the reason. `params` may be NULL. Errors: INVALID_ARGUMENT, OUT_OF_MEMORY.
 */
MONARCH_API monarch_status monarch_instance_create(const monarch_instance_params *params,
                                                   monarch_instance **instance,
                                                   monarch_error *error);

/* Destroys the instance and its devices, and nulls the handle. NULL is allowed. */
MONARCH_API void monarch_instance_destroy(monarch_instance **instance);

/* One backend of the library, offered or not. */
typedef struct monarch_backend_info {
    uint32_t struct_size; /* set by the caller */
    uint32_t device_count;
    char name[16];    /* "cpu", "cuda", "opencl", "vulkan" */
    char reason[240]; /* why device_count is 0; empty otherwise */
} monarch_backend_info;

/* Number of backends the library knows, offered or not. */
MONARCH_API uint32_t monarch_instance_backend_count(const monarch_instance *instance);

/* Fills `info`, whose struct_size is set. Errors: INVALID_ARGUMENT. */
MONARCH_API monarch_status monarch_instance_backend(const monarch_instance *instance,
                                                    uint32_t index, monarch_backend_info *info,
                                                    monarch_error *error);

/* Number of devices of all backends. */
MONARCH_API uint32_t monarch_instance_device_count(const monarch_instance *instance);

/* Device `index`, owned by the instance; NULL past the end. */
MONARCH_API monarch_device *monarch_instance_device(const monarch_instance *instance,
                                                    uint32_t index);

/*
 * The device called `name`: a backend's name, or name and number as in "cuda:1" ("cuda" is
 * "cuda:0"). Errors: INVALID_ARGUMENT for a name of another form, UNSUPPORTED with the reason
 * when there is no such device. The device is owned by the instance.
 */
MONARCH_API monarch_status monarch_instance_find(const monarch_instance *instance, const char *name,
                                                 monarch_device **device, monarch_error *error);

/* What a device is and can do. A limit of 0 means "not there" or "not limited". */
typedef struct monarch_device_info {
    uint32_t struct_size; /* set by the caller */
    uint32_t index;       /* among the devices of its backend */
    char backend[16];
    char name[128];         /* of the hardware */
    char driver[64];        /* version of driver or runtime */
    char features[128];     /* what the variants ask about, e.g. "avx2 fma avx512f" */
    char variants[256];     /* names of the variants in order of preference, by spaces */
    uint32_t compute_units; /* threads of the cpu, multiprocessors of a GPU */
    uint32_t subgroup_size; /* lanes that work in step: f32 lanes of a vector, warp */
    uint64_t memory;        /* bytes of device memory */
    uint64_t local_memory;  /* bytes of memory shared by a work-group */
    uint64_t max_buffer;    /* bytes of the largest buffer */
} monarch_device_info;

/* Fills `info`, whose struct_size is set. Errors: INVALID_ARGUMENT. */
MONARCH_API monarch_status monarch_device_info_get(const monarch_device *device,
                                                   monarch_device_info *info, monarch_error *error);

/*
 * A queue runs work in the order in which it was enqueued. On the cpu device the work of a call
 * is done, by the queue's own threads and the caller's, when the call returns; on the others
 * it goes on in the background until monarch_queue_wait.
 */
MONARCH_API monarch_status monarch_queue_create(monarch_device *device, monarch_queue **queue,
                                                monarch_error *error);

/* Waits for the queue's work, frees it and nulls the handle. NULL is allowed. */
MONARCH_API void monarch_queue_destroy(monarch_queue **queue);

/* Waits until all work enqueued so far is done; reports a failure of that work. */
MONARCH_API monarch_status monarch_queue_wait(monarch_queue *queue, monarch_error *error);

/*
 * `size` bytes of device memory, aligned to at least 256 bytes, contents undefined.
 * size 0 gives a valid buffer of no bytes. Errors: OUT_OF_MEMORY, NATIVE.
 */
MONARCH_API monarch_status monarch_buffer_create(monarch_device *device, uint64_t size,
                                                 monarch_buffer **buffer, monarch_error *error);

/* Frees the buffer and nulls the handle. Work that uses it must be done. NULL is allowed. */
MONARCH_API void monarch_buffer_destroy(monarch_buffer **buffer);

MONARCH_API uint64_t monarch_buffer_size(const monarch_buffer *buffer);

/*
 * Copies between host memory and a buffer, after the work enqueued before, and returns when
 * the copy is done. Errors: INVALID_ARGUMENT when offset + size is past the buffer's end.
 */
MONARCH_API monarch_status monarch_buffer_write(monarch_queue *queue, monarch_buffer *buffer,
                                                uint64_t offset, const void *source, uint64_t size,
                                                monarch_error *error);
MONARCH_API monarch_status monarch_buffer_read(monarch_queue *queue, const monarch_buffer *buffer,
                                               uint64_t offset, void *destination, uint64_t size,
                                               monarch_error *error);

#ifdef __cplusplus
}
#endif
#endif
