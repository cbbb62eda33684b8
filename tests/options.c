/* SPDX-License-Identifier: Apache-2.0 */
#include "options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "random.h"

static int read_seed(const char *text, uint64_t *seed)
{
    char *end;

    errno = 0;
    *seed = strtoull(text, &end, 10);
    if (*text != '\0' && *text != '-' && *end == '\0' && errno == 0)
        return 1;
    fprintf(stderr, "\"%s\" is not a seed; a whole number from 0 on is\n", text);
    return 0;
}

static int is_case(const char *name)
{
    return test_case_find(name) != NULL;
}

static int is_dtype(const char *name)
{
    for (int dtype = MONARCH_F32; dtype <= MONARCH_BF16; dtype++)
        if (strcmp(name, monarch_dtype_name((monarch_dtype)dtype)) == 0)
            return 1;
    return 0;
}

/* Whether every word of `list`, which may be NULL, is one that `known` accepts. */
static int check_words(const char *list, int (*known)(const char *name), const char *what,
                       const char *accepted)
{
    while (list != NULL && *list != '\0') {
        char word[64];
        size_t length = strcspn(list, ",");
        snprintf(word, sizeof word, "%.*s", (int)length, list);
        if (!known(word)) {
            fprintf(stderr, "there is no %s \"%s\"; %s\n", what, word, accepted);
            return 0;
        }
        list += length + (list[length] == ',');
    }
    return 1;
}

static int check_names(const test_options *options)
{
    return check_words(options->case_name, is_case, "case", "--list prints them") &&
           check_words(options->dtype, is_dtype, "dtype", "f32, f16 and bf16 are");
}

int test_options_read(test_options *options, int argc, char **argv)
{
    const char *seed = getenv("MONARCH_TEST_SEED");
    const struct {
        const char *name;
        const char **value;
    } known[] = {
        {"--test", &options->test_name},
        {"--case", &options->case_name},
        {"--device", &options->device},
        {"--variant", &options->variant},
        {"--dtype", &options->dtype},
        {"--manifest", &options->manifest},
        {"--seed", &seed},
    };

    memset(options, 0, sizeof *options);
    for (int i = 1; i < argc; i++) {
        const char **value = NULL;
        for (size_t n = 0; n < sizeof known / sizeof known[0]; n++)
            if (strcmp(argv[i], known[n].name) == 0)
                value = known[n].value;
        if (strcmp(argv[i], "--quick") == 0) {
            options->quick = 1;
        } else if (strcmp(argv[i], "--list") == 0) {
            options->list = 1;
        } else if (value != NULL && i + 1 < argc) {
            *value = argv[++i];
        } else {
            fprintf(stderr, "%s: unknown option, or no value after it: %s\n", argv[0], argv[i]);
            return 0;
        }
    }
    if (seed == NULL || *seed == '\0')
        options->seed = test_random_fresh_seed();
    else if (!read_seed(seed, &options->seed))
        return 0;
    return check_names(options);
}

int test_options_name(const char *wanted, const char *name)
{
    size_t length = strlen(name);

    if (wanted == NULL)
        return 1;
    for (;;) {
        size_t word = strcspn(wanted, ",");
        if (word == length && strncmp(wanted, name, length) == 0)
            return 1;
        if (wanted[word] == '\0')
            return 0;
        wanted += word + 1;
    }
}

int test_options_dtype(const test_options *options, monarch_dtype dtype)
{
    return test_options_name(options->dtype, monarch_dtype_name(dtype));
}

int test_options_is_long(const test_case *c)
{
    return c->shape.tokens > 350 || c->shape.heads > 12;
}
