/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CORE_INSTANCE_H
#define MN_CORE_INSTANCE_H

#include <sys/types.h>

#include <monarch/device.h>

struct mn_backend;

/* One backend of the library as an instance sees it. */
typedef struct mn_backend_slot {
    const struct mn_backend *backend; /* NULL when it offers nothing */
    void *state;
    monarch_backend_info info;
} mn_backend_slot;

struct monarch_instance {
    monarch_allocator allocator;
    void (*log)(void *user, monarch_log_level level, const char *message);
    void *log_user;
    int32_t cpu_threads; /* as given; 0 = choose */
    pid_t process;       /* that created the instance */
    mn_backend_slot *backends;
    uint32_t backend_count;
    monarch_device **devices;
    uint32_t device_count;
};

/* FORKED in a child of the process that created the instance, else OK. */
monarch_status mn_instance_check_process(const monarch_instance *instance, monarch_error *error);

#endif
