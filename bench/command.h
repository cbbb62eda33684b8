/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_COMMAND_H
#define BENCH_COMMAND_H

/*
 * The commands of the tool. argv[0] is the command's name. Each prints its own messages and returns
 * the exit status of the process.
 */
int command_run(int argc, char **argv);
int command_devices(int argc, char **argv);
int command_bench(int argc, char **argv);
int command_map(int argc, char **argv);
int command_verify(int argc, char **argv);

/* What --help says of the options that run, bench and map share. */
#define PROBLEM_HELP                                                                               \
    "  --block B          tokens in a block; 0, the default, lets the library choose\n"            \
    "  --steps T          rounds of the two half steps, 1 to 64 (default 1)\n"                     \
    "  --pad end|begin    end that is padded when B does not divide N (default end)\n"             \
    "  --scale S          factor of the scores; 0, the default, is 1 / sqrt(head_dim)\n"           \
    "  --dtype TYPE       f32, f16 or bf16: what is computed with (default f32)\n"                 \
    "  --intermediates I  default or fp8: how means of keys and values are handed on\n"            \
    "  --device DEVICE    cpu, cuda:0, opencl:0, vulkan:0, ... (default cpu)\n"                    \
    "  --variant NAME     force an implementation; 'monarch devices' lists them\n"                 \
    "  --threads N        threads of the cpu device (default: all processors)\n"                   \
    "  --help             print this text\n"

#endif
