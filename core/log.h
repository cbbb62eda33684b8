/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CORE_LOG_H
#define MN_CORE_LOG_H

#include <monarch/device.h>

/* Hands a message to the instance's log callback; does nothing when there is none. */
__attribute__((format(printf, 3, 4))) void mn_log(const monarch_instance *instance,
                                                  monarch_log_level level, const char *format, ...);

#endif
