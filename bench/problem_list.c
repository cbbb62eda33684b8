/* SPDX-License-Identifier: Apache-2.0 */
#include "problem_list.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "report.h"

int problem_list_add(struct problem_list *list, const struct bench_problem *problem)
{
    monarch_error error = {0};
    monarch_problem descriptor = make_problem(&problem->options, &problem->shape);
    monarch_problem resolved = monarch_problem_default();
    monarch_status status = monarch_problem_resolve(&descriptor, &resolved, &error);
    if (status) {
        return fail_library(status, &error);
    }
    size_t size = (list->count + 1) * sizeof *list->problems;
    struct bench_problem *problems = realloc(list->problems, size);
    if (!problems) {
        return fail_memory("the list of problems", size);
    }
    problems[list->count++] = *problem;
    list->problems = problems;
    return TOOL_OK;
}

static int take_word(char *word, struct bench_problem *problem, int *has_shape)
{
    char *value = strchr(word, '=');
    if (!value) {
        return fail(TOOL_USAGE, "'%s' is not accepted; give key=value, such as block=64", word);
    }
    *value++ = '\0';
    if (strcmp(word, "shape") == 0) {
        *has_shape = 1;
        return parse_shape(word, value, &problem->shape);
    }
    return problem_key(word, value, &problem->options);
}

static int take_line(struct problem_list *list, char *line, const struct problem_options *defaults)
{
    struct bench_problem problem = {.options = *defaults};
    char *state = NULL;
    int has_shape = 0;
    line[strcspn(line, "#")] = '\0';
    char *word = strtok_r(line, " \t\r\n", &state);
    if (!word) {
        return TOOL_OK;
    }
    for (; word; word = strtok_r(NULL, " \t\r\n", &state)) {
        int status = take_word(word, &problem, &has_shape);
        if (status) {
            return status;
        }
    }
    if (!has_shape) {
        return fail(TOOL_USAGE, "shape is missing; give shape=E,H,N,D or shape=E,H,N,D,Dv");
    }
    return problem_list_add(list, &problem);
}

static int read_lines(struct problem_list *list, FILE *stream, const char *path,
                      const struct problem_options *defaults)
{
    char place[512];
    char *line = NULL;
    size_t capacity = 0;
    int status = TOOL_OK;
    for (int number = 1; !status && getline(&line, &capacity, stream) >= 0; number++) {
        snprintf(place, sizeof place, "%s:%d", path, number);
        report_place(place);
        status = take_line(list, line, defaults);
    }
    report_place(NULL);
    free(line);
    if (!status && ferror(stream)) {
        status = fail(TOOL_USAGE, "%s: cannot be read: %s", path, strerror(errno));
    }
    return status;
}

int problem_list_read(struct problem_list *list, const char *path,
                      const struct problem_options *defaults)
{
    FILE *stream = fopen(path, "r");
    if (!stream) {
        return fail(TOOL_USAGE, "%s: cannot be opened: %s", path, strerror(errno));
    }
    size_t before = list->count;
    int status = read_lines(list, stream, path, defaults);
    fclose(stream);
    if (!status && list->count == before) {
        status = fail(TOOL_USAGE,
                      "%s: holds no problem; give lines such as "
                      "shape=1,12,4096,64 block=64",
                      path);
    }
    return status;
}

void problem_list_free(struct problem_list *list)
{
    free(list->problems);
    list->problems = NULL;
    list->count = 0;
}
