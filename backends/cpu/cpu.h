/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CPU_H
#define MN_CPU_H

#include "backends/cpu/team.h"
#include "core/backend.h"

/* Objects of the cpu backend and the functions that its contract is made of. */

typedef struct mn_cpu_queue {
    monarch_queue base;
    mn_team *team;
} mn_cpu_queue;

/* device.c */
monarch_status mn_cpu_device_open(monarch_instance *instance, void *state, uint32_t index,
                                  monarch_device **device, monarch_error *error);
void mn_cpu_device_close(monarch_device *device);

/* queue.c */
monarch_status mn_cpu_queue_create(monarch_device *device, monarch_queue **queue,
                                   monarch_error *error);
void mn_cpu_queue_destroy(monarch_queue *queue);
monarch_status mn_cpu_queue_wait(monarch_queue *queue, monarch_error *error);

/* buffer.c */
monarch_status mn_cpu_buffer_create(monarch_device *device, uint64_t size, monarch_buffer **buffer,
                                    monarch_error *error);
void mn_cpu_buffer_destroy(monarch_buffer *buffer);
monarch_status mn_cpu_buffer_write(monarch_queue *queue, monarch_buffer *buffer, uint64_t offset,
                                   const void *source, uint64_t size, monarch_error *error);
monarch_status mn_cpu_buffer_read(monarch_queue *queue, const monarch_buffer *buffer,
                                  uint64_t offset, void *destination, uint64_t size,
                                  monarch_error *error);

/* variants.c */
monarch_status mn_cpu_select(const monarch_device *device, const mn_program *program,
                             const mn_select_options *options, mn_run *runs, uint32_t *run_count,
                             monarch_error *error);

/* plan.c */
monarch_status mn_cpu_plan_enqueue(const monarch_plan *plan, monarch_queue *queue,
                                   const mn_bindings *bindings, monarch_error *error);

#endif
