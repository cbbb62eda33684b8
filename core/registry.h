/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MN_CORE_REGISTRY_H
#define MN_CORE_REGISTRY_H

#include "core/backend.h"

enum { MN_BACKENDS = 4 };

/* A backend of the library: its contract, or why this build has none. */
typedef struct mn_registry_entry {
    const char *name;
    const mn_backend *backend;
    const char *absent;
    bool has_driver; /* of its own in the process, which a fork leaves behind */
} mn_registry_entry;

/* Every backend the library knows, in the order in which devices are listed. */
const mn_registry_entry *mn_registry(uint32_t *count);

#endif
