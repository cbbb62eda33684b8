/* SPDX-License-Identifier: Apache-2.0 */
#include "core/error.h"

#include <stdarg.h>
#include <stdio.h>

monarch_status mn_fail(monarch_error *error, monarch_status status, const char *format, ...)
{
    if (!error)
        return status;
    va_list arguments;
    va_start(arguments, format);
    error->status = status;
    vsnprintf(error->message, sizeof error->message, format, arguments);
    va_end(arguments);
    return status;
}

monarch_status mn_fail_memory(monarch_error *error, const char *what)
{
    return mn_fail(error, MONARCH_ERROR_OUT_OF_MEMORY, "no memory for %s", what);
}

monarch_status mn_fail_null(monarch_error *error, const char *argument)
{
    return mn_fail(error, MONARCH_ERROR_INVALID_ARGUMENT, "%s is NULL; it must not be", argument);
}

const char *monarch_status_name(monarch_status status)
{
    switch (status) {
    case MONARCH_OK:
        return "OK";
    case MONARCH_ERROR_INVALID_ARGUMENT:
        return "INVALID_ARGUMENT";
    case MONARCH_ERROR_UNSUPPORTED:
        return "UNSUPPORTED";
    case MONARCH_ERROR_OUT_OF_MEMORY:
        return "OUT_OF_MEMORY";
    case MONARCH_ERROR_NATIVE:
        return "NATIVE";
    case MONARCH_ERROR_DEVICE_LOST:
        return "DEVICE_LOST";
    case MONARCH_ERROR_FORKED:
        return "FORKED";
    }
    return "UNKNOWN";
}

uint32_t monarch_api_version(void)
{
    return MONARCH_API_VERSION_MAJOR * 1000 + MONARCH_API_VERSION_MINOR;
}

const char *monarch_version_string(void)
{
    return MONARCH_VERSION_STRING;
}
