/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "options.h"
#include "random.h"
#include "targets.h"

enum { NOTHING_TO_RUN = 77 };

static void append(test_report *report, const char *format, va_list arguments)
{
    size_t room = sizeof report->text - report->length;
    int length = vsnprintf(report->text + report->length, room, format, arguments);

    if (length < 0)
        return;
    report->length += (size_t)length < room ? (size_t)length : room - 1;
    if (report->length + 1 < sizeof report->text) {
        report->text[report->length++] = '\n';
        report->text[report->length] = '\0';
    }
}

void test_fail(test_report *report, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    append(report, format, arguments);
    va_end(arguments);
    report->failed = 1;
}

void test_skip(test_report *report, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    append(report, format, arguments);
    va_end(arguments);
    report->skipped = 1;
}

void test_note(test_report *report, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    append(report, format, arguments);
    va_end(arguments);
}

void test_status(test_report *report, const char *call, monarch_status status,
                 const monarch_error *error)
{
    if (status == MONARCH_ERROR_UNSUPPORTED)
        test_skip(report, "unsupported: %s", error->message);
    else
        test_fail(report, "%s: %s: %s", call, monarch_status_name(status), error->message);
}

/* The test functions run one after another in one thread, so one reference is enough. */
static reference cached;
static const test_entry *cached_for;

reference *test_reference(const test_entry *entry)
{
    if (cached_for != NULL && (cached_for->c != entry->c || cached_for->dtype != entry->dtype)) {
        reference_free(&cached);
        cached_for = NULL;
    }
    if (cached_for == NULL) {
        reference_create(&cached, entry->c, entry->dtype, entry->seed);
        cached_for = entry;
    }
    test_inputs_reset_output(&cached.inputs);
    return &cached;
}

int test_compare(test_report *report, const char *what, const expected *e, monarch_dtype dtype,
                 const float *actual)
{
    comparison result;
    char text[512];

    if (e->count == 0 || expected_compare(e, dtype, actual, &result))
        return 1;
    if (e->refine != NULL) { /* before an error counts, its yardstick is measured more often */
        e->refine(e->owner);
        if (expected_compare(e, dtype, actual, &result))
            return 1;
    }
    comparison_print(e, &result, text, sizeof text);
    test_fail(report, "%s: %s", what, text);
    return 0;
}

static const char *program_name;

/* How to run this entry alone. */
static void print_repeat(const test_entry *entry)
{
    char text[400];

    if (entry->c != NULL) {
        test_case_print(entry->c, text, sizeof text);
        printf("    case %s dtype=%s\n", text, monarch_dtype_name(entry->dtype));
    }
    printf("    again: %s --seed %" PRIu64 " --test %s", program_name, entry->seed,
           entry->definition->name);
    if (entry->c != NULL)
        printf(" --case %s --dtype %s", entry->c->name, monarch_dtype_name(entry->dtype));
    if (entry->target != NULL)
        printf(" --device %s", entry->target->name);
    if (entry->variant != NULL)
        printf(" --variant %s", entry->variant);
    printf("\n");
}

static void print_indented(const char *text)
{
    while (*text != '\0') {
        int length = (int)strcspn(text, "\n");
        printf("    %.*s\n", length, text);
        text += length + (text[length] != '\0');
    }
}

/* The cmocka test: nothing is left allocated when fail() or skip() jumps away. */
static void run_entry(void **state)
{
    const test_entry *entry = *state;
    test_report report;

    memset(&report, 0, sizeof report);
    entry->definition->run(entry, &report);
    if (report.skipped && entry->target != NULL && entry->target->required)
        test_fail(&report, "the manifest says that this is supported");
    print_indented(report.text);
    if (report.failed) {
        print_repeat(entry);
        fail_msg("%s", entry->name);
    }
    if (report.skipped)
        skip();
}

/* A growing array of entries. */
typedef struct entry_list {
    test_entry *entries;
    size_t count, capacity;
    size_t left_out; /* by --quick */
} entry_list;

static void name_entry(test_entry *entry)
{
    const char *device = entry->target != NULL ? entry->target->name : "";
    const char *variant = entry->variant != NULL ? entry->variant : "";

    if (entry->c == NULL)
        snprintf(entry->name, sizeof entry->name, "%s", entry->definition->name);
    else
        snprintf(entry->name, sizeof entry->name, "%s[%s%s%s%s%s/%s]", entry->definition->name,
                 device, *device != '\0' ? "/" : "", variant, *variant != '\0' ? "/" : "",
                 entry->c->name, monarch_dtype_name(entry->dtype));
}

static void add_entry(entry_list *list, const test_entry *entry)
{
    if (list->count == list->capacity) {
        test_entry *larger;
        list->capacity = list->capacity != 0 ? 2 * list->capacity : 256;
        larger = test_alloc(list->capacity, sizeof *larger);
        if (list->count != 0)
            memcpy(larger, list->entries, list->count * sizeof *larger);
        free(list->entries);
        list->entries = larger;
    }
    list->entries[list->count] = *entry;
    name_entry(&list->entries[list->count]);
    list->count++;
}

static int names_case(const test_definition *definition, const test_case *c)
{
    if (definition->cases == NULL)
        return 1;
    for (const char *const *name = definition->cases; *name != NULL; name++)
        if (strcmp(*name, c->name) == 0)
            return 1;
    return 0;
}

/* Whether a device's first variant: the one that stands for the device. */
static int is_first(const test_targets *targets, size_t i)
{
    return i == 0 || targets->list[i].device != targets->list[i - 1].device;
}

static void add_targets(entry_list *list, const test_targets *targets, test_entry entry)
{
    for (size_t i = 0; i < targets->count; i++) {
        if (entry.definition->scope == SCOPE_DEVICE && !is_first(targets, i))
            continue;
        if (!test_options_name(entry.definition->backend, targets->list[i].backend) ||
            !test_options_name(entry.c->backend, targets->list[i].backend))
            continue;
        if (entry.definition->scope == SCOPE_VARIANT &&
            !test_options_name(entry.c->variant, targets->list[i].variant))
            continue;
        entry.target = &targets->list[i];
        entry.variant = entry.definition->scope == SCOPE_VARIANT ? targets->list[i].variant : NULL;
        add_entry(list, &entry);
    }
}

static void add_definition(entry_list *list, const test_targets *targets,
                           const test_definition *definition, test_entry entry)
{
    uint32_t dtypes = definition->dtypes != 0 ? definition->dtypes : 7;

    if (!names_case(definition, entry.c) || (dtypes >> entry.dtype & 1) == 0 ||
        (entry.c->halves && entry.dtype == MONARCH_F32))
        return;
    entry.definition = definition;
    if (definition->scope != SCOPE_CASE)
        add_targets(list, targets, entry);
    else if (entry.c->backend == NULL)
        add_entry(list, &entry);
}

/* The definitions that the options ask for. */
typedef struct wanted_definitions {
    const test_definition *list[16];
    size_t count;
} wanted_definitions;

static void add_case(entry_list *list, const wanted_definitions *wanted,
                     const test_targets *targets, const test_options *options, const test_case *c)
{
    for (int dtype = MONARCH_F32; dtype <= MONARCH_BF16; dtype++) {
        test_entry entry = {.c = c, .dtype = (monarch_dtype)dtype, .seed = options->seed};
        if (!test_options_dtype(options, entry.dtype))
            continue;
        for (size_t d = 0; d < wanted->count; d++)
            if (wanted->list[d]->scope != SCOPE_ONCE)
                add_definition(list, targets, wanted->list[d], entry);
    }
}

/* Ordered so that tests of one case and dtype follow each other and share a reference. */
static entry_list list_entries(const wanted_definitions *wanted, const test_targets *targets,
                               const test_options *options)
{
    entry_list list = {NULL, 0, 0, 0};

    for (size_t d = 0; d < wanted->count; d++) {
        test_entry once = {.definition = wanted->list[d], .seed = options->seed};
        if (once.definition->scope == SCOPE_ONCE && options->case_name == NULL)
            add_entry(&list, &once);
    }
    for (size_t i = 0; i < test_case_count; i++) {
        const test_case *c = &test_cases[i];
        if (!test_options_name(options->case_name, c->name))
            continue;
        if (options->quick && test_options_is_long(c))
            list.left_out++;
        else
            add_case(&list, wanted, targets, options, c);
    }
    return list;
}

static int run_entries(const char *program, entry_list *list)
{
    struct CMUnitTest *tests = test_alloc(list->count, sizeof *tests);
    int failures;

    for (size_t i = 0; i < list->count; i++) {
        tests[i].name = list->entries[i].name;
        tests[i].test_func = run_entry;
        tests[i].initial_state = &list->entries[i];
    }
    /* No group setup: one that sets the state would replace every initial_state. */
    failures = _cmocka_run_group_tests(program, tests, list->count, NULL, NULL);
    if (cached_for != NULL)
        reference_free(&cached);
    cached_for = NULL;
    free(tests);
    return failures != 0;
}

static int print_cases(void)
{
    for (size_t i = 0; i < test_case_count; i++) {
        char text[400];
        test_case_print(&test_cases[i], text, sizeof text);
        printf("%s\n", text);
    }
    return 0;
}

static wanted_definitions want(const test_definition *definitions, size_t count,
                               const test_options *options)
{
    wanted_definitions wanted = {{NULL}, 0};

    for (size_t d = 0; d < count; d++)
        if (test_options_name(options->test_name, definitions[d].name) &&
            wanted.count < sizeof wanted.list / sizeof wanted.list[0])
            wanted.list[wanted.count++] = &definitions[d];
    return wanted;
}

static int needs_device(const wanted_definitions *wanted)
{
    for (size_t d = 0; d < wanted->count; d++)
        if (wanted->list[d]->scope == SCOPE_DEVICE || wanted->list[d]->scope == SCOPE_VARIANT)
            return 1;
    return 0;
}

int test_main(int argc, char **argv, const char *program, const test_definition *definitions,
              size_t count)
{
    test_options options;
    test_targets targets = {NULL, NULL, 0};
    wanted_definitions wanted;
    entry_list list;
    int status = NOTHING_TO_RUN;

    /* cmocka writes to both streams: keep their lines in order. */
    setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
    program_name = program;
    if (!test_options_read(&options, argc, argv))
        return 2;
    if (options.list)
        return print_cases();
    printf("seed %" PRIu64 " (repeat with --seed or MONARCH_TEST_SEED)\n", options.seed);
    wanted = want(definitions, count, &options);
    if (needs_device(&wanted) && !test_targets_open(&targets, &options))
        return 1;
    list = list_entries(&wanted, &targets, &options);
    if (list.left_out != 0)
        printf("--quick leaves out the %zu cases with most work\n", list.left_out);
    if (list.count != 0)
        status = run_entries(program, &list);
    else
        printf("skipped: no device, variant, case or test fits the options\n");
    free(list.entries);
    test_targets_close(&targets);
    return status;
}
