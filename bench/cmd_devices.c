/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>

#include "command.h"
#include "options.h"
#include "report.h"
#include "session.h"

static const char help[] =
    "usage: monarch devices [--threads N]\n"
    "\n"
    "Lists the devices of every backend with their limits and, for backends that offer none, why.\n"
    "\n"
    "  --threads N        threads of the cpu device (default: all processors)\n"
    "  --help             print this text\n";

static void print_text(const char *name, const char *text)
{
    printf("  %-18s%s\n", name, text[0] ? text : "-");
}

static void print_count(const char *name, uint32_t count)
{
    if (count) {
        printf("  %-18s%" PRIu32 "\n", name, count);
    } else {
        print_text(name, "");
    }
}

/* With a unit that leaves at least one digit before the point. */
static void print_bytes(const char *name, uint64_t bytes)
{
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    double value = (double)bytes;
    size_t unit = 0;
    while (value >= 1024.0 && unit + 1 < sizeof units / sizeof *units) {
        value /= 1024.0;
        unit++;
    }
    if (bytes) {
        printf("  %-18s%.4g %s\n", name, value, units[unit]);
    } else {
        print_text(name, "");
    }
}

static int print_device(const monarch_device *device)
{
    char label[64];
    monarch_error error = {0};
    monarch_device_info info = {.struct_size = (uint32_t)sizeof info};
    monarch_status status = monarch_device_info_get(device, &info, &error);
    if (status) {
        return fail_library(status, &error);
    }
    printf("%s  %s\n", device_label(label, sizeof label, &info), info.name);
    print_text("driver", info.driver);
    print_text("features", info.features);
    print_text("variants", info.variants);
    print_count("compute units", info.compute_units);
    print_count("subgroup size", info.subgroup_size);
    print_bytes("memory", info.memory);
    print_bytes("local memory", info.local_memory);
    print_bytes("largest buffer", info.max_buffer);
    return TOOL_OK;
}

static int print_absent_backends(const monarch_instance *instance)
{
    for (uint32_t i = 0; i < monarch_instance_backend_count(instance); i++) {
        monarch_error error = {0};
        monarch_backend_info info = {.struct_size = (uint32_t)sizeof info};
        monarch_status status = monarch_instance_backend(instance, i, &info, &error);
        if (status) {
            return fail_library(status, &error);
        }
        if (info.device_count == 0) {
            printf("%s  not offered: %s\n", info.name, info.reason);
        }
    }
    return TOOL_OK;
}

static int list_devices(const struct problem_options *options)
{
    monarch_error error = {0};
    monarch_instance *instance = NULL;
    monarch_instance_params params = monarch_instance_params_default();
    params.cpu_threads = options->threads;
    monarch_status created = monarch_instance_create(&params, &instance, &error);
    if (created) {
        return fail_library(created, &error);
    }
    int status = TOOL_OK;
    for (uint32_t i = 0; i < monarch_instance_device_count(instance) && !status; i++) {
        status = print_device(monarch_instance_device(instance, i));
    }
    if (!status) {
        status = print_absent_backends(instance);
    }
    monarch_instance_destroy(&instance);
    return status;
}

int command_devices(int argc, char **argv)
{
    static const struct option table[] = {
        {"threads", required_argument, NULL, OPTION_THREADS},
        {"help", no_argument, NULL, OPTION_HELP},
        {NULL, 0, NULL, 0},
    };
    struct problem_options options = problem_options_default();
    int code;
    while ((code = next_own_option(argc, argv, table)) != -1) {
        if (code == OPTION_HELP) {
            fputs(help, stdout);
            return TOOL_OK;
        }
        if (code == '?' || problem_option(code, optarg, &options)) {
            return TOOL_USAGE;
        }
    }
    return list_devices(&options);
}
