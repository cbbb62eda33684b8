/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "command.h"
#include "outfile.h"
#include "report.h"

static const char help[] =
    "usage: monarch COMMAND [options]\n"
    "\n"
    "MonarchAttention on tensors in files.\n"
    "\n"
    "  run        compute attention of q, k and v in .npy files\n"
    "  devices    list the devices of every backend\n"
    "  bench      time problems on random input, and check the results\n"
    "  map        draw the exact attention map beside the Monarch one\n"
    "  verify     compare devices stage by stage with a reference or with each other\n"
    "\n"
    "'monarch COMMAND --help' tells the options of a command, 'monarch --version' the version.\n"
    "Exit status: 0 done, 1 a device failed or gave a wrong result, 2 bad input or a file that\n"
    "cannot be written.\n";

static const struct {
    const char *name;
    const char *title; /* in front of messages */
    int (*function)(int argc, char **argv);
} commands[] = {
    {"run", "monarch run", command_run},          {"devices", "monarch devices", command_devices},
    {"bench", "monarch bench", command_bench},    {"map", "monarch map", command_map},
    {"verify", "monarch verify", command_verify},
};

/*
 * A standard stream that was closed would give its number to the next file that is opened, and
 * messages would end up in that file. Open for the other direction, it fails as it should.
 */
static void guard_streams(void)
{
    for (int stream = STDIN_FILENO; stream <= STDERR_FILENO; stream++) {
        if (fcntl(stream, F_GETFD) == -1 && errno == EBADF) {
            (void)!open("/dev/null", stream == STDIN_FILENO ? O_WRONLY : O_RDONLY);
        }
    }
}

static int run_command(int argc, char **argv)
{
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        if (strcmp(argv[0], commands[i].name) == 0) {
            report_name(commands[i].title);
            return commands[i].function(argc, argv);
        }
    }
    return fail(TOOL_USAGE,
                "'%s' is not a command; accepted are run, devices, bench, map and verify", argv[0]);
}

static int run_tool(int argc, char **argv)
{
    if (argc < 2) {
        return fail(TOOL_USAGE, "no command given; accepted are run, devices, bench, map and "
                                "verify, or --help");
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        fputs(help, stdout);
        return TOOL_OK;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("monarch %s\n", monarch_version_string());
        return TOOL_OK;
    }
    return run_command(argc - 1, argv + 1);
}

int main(int argc, char **argv)
{
    guard_streams();
    outfile_handle_signals();
    /* A reader that goes away early must not keep the result from its file. */
    signal(SIGPIPE, SIG_IGN);
    int status = run_tool(argc, argv);
    int output = finish_output();
    return status ? status : output;
}
