/* SPDX-License-Identifier: Apache-2.0 */
#include "core/log.h"

#include <stdarg.h>
#include <stdio.h>

#include "core/instance.h"

void mn_log(const monarch_instance *instance, monarch_log_level level, const char *format, ...)
{
    if (!instance->log)
        return;
    char message[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    instance->log(instance->log_user, level, message);
}
