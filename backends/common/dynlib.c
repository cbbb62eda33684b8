/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/common/dynlib.h"

#include <dlfcn.h>

#include "core/error.h"

static monarch_status find_all(void *handle, const char *file, const mn_dynlib_symbol *symbols,
                               size_t count, void *table, monarch_error *error)
{
    for (size_t i = 0; i < count; i++) {
        void *address = dlsym(handle, symbols[i].name);
        if (!address && !symbols[i].optional)
            return mn_fail(error, MONARCH_ERROR_UNSUPPORTED,
                           "%s has no function %s; a newer driver is needed", file,
                           symbols[i].name);
        memcpy((char *)table + symbols[i].offset, &address, sizeof address);
    }
    return MONARCH_OK;
}

monarch_status mn_dynlib_open(const char *file, const mn_dynlib_symbol *symbols, size_t count,
                              void *table, void **handle, monarch_error *error)
{
    *handle = dlopen(file, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!*handle) {
        const char *reason = dlerror(); /* of this thread */
        return mn_fail(error, MONARCH_ERROR_UNSUPPORTED, "%s", reason ? reason : file);
    }
    monarch_status status = find_all(*handle, file, symbols, count, table, error);
    if (status != MONARCH_OK) {
        mn_dynlib_close(*handle);
        *handle = NULL;
    }
    return status;
}

void mn_dynlib_close(void *handle)
{
    if (handle)
        dlclose(handle);
}
