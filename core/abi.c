/* SPDX-License-Identifier: Apache-2.0 */
#include "core/abi.h"

#include <inttypes.h>
#include <string.h>

#include "core/error.h"

/* No structure will ever grow by more; a larger size is garbage, and must not be read. */
enum { LARGEST_GROWTH = 4096 };

monarch_status mn_copy_struct(const char *name, const void *source, void *destination,
                              uint32_t known, uint32_t least, monarch_error *error)
{
    uint32_t given;
    memcpy(&given, source, sizeof given); /* every structure starts with struct_size */
    if (given < least)
        return mn_fail(error, MONARCH_ERROR_INVALID_ARGUMENT,
                       "%s.struct_size is %" PRIu32 "; it must be sizeof(%s) = %" PRIu32
                       ": use the *_default function",
                       name, given, name, known);
    if (given > known + LARGEST_GROWTH)
        return mn_fail(error, MONARCH_ERROR_INVALID_ARGUMENT,
                       "%s.struct_size is %" PRIu32 "; it must be sizeof(%s) = %" PRIu32, name,
                       given, name, known);
    const unsigned char *bytes = source;
    for (uint32_t i = known; i < given; i++)
        if (bytes[i] != 0)
            return mn_fail(error, MONARCH_ERROR_INVALID_ARGUMENT,
                           "%s.struct_size is %" PRIu32 " and byte %" PRIu32
                           " is not 0; this library knows %" PRIu32 " bytes of it",
                           name, given, i, known);
    memset(destination, 0, known);
    memcpy(destination, source, given < known ? given : known);
    memcpy(destination, &known, sizeof known);
    return MONARCH_OK;
}

monarch_status mn_copy_out(const char *name, void *destination, const void *source, uint32_t known,
                           monarch_error *error)
{
    uint32_t given;
    memcpy(&given, destination, sizeof given);
    if (given < sizeof given)
        return mn_fail(error, MONARCH_ERROR_INVALID_ARGUMENT,
                       "%s.struct_size is %" PRIu32 "; it must be sizeof(%s) = %" PRIu32, name,
                       given, name, known);
    uint32_t size = given < known ? given : known;
    memcpy((char *)destination + sizeof size, (const char *)source + sizeof size,
           size - sizeof size);
    return MONARCH_OK;
}
