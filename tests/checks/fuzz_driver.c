/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Runs a fuzz target without libFuzzer: fuzz_driver [--runs N] [--seed S] [FILE or FOLDER]...
 * replays the files, then N inputs that are random or mutated from them. The input at hand is
 * printed when the process dies, so that it can be kept as a file and replayed.
 */

#include <dirent.h>
#include <inttypes.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

enum { MOST_BYTES = 256, MOST_FILES = 512 };

typedef struct input {
    uint8_t data[MOST_BYTES];
    size_t size;
} input;

static input files[MOST_FILES];
static size_t file_count;
static input current;

/* Called while dying: only write() is safe here. */
static void print_current(void)
{
    static const char digits[] = "0123456789abcdef";
    char text[2 * MOST_BYTES + 32] = "fuzz input (hex): ";
    size_t at = strlen(text);
    for (size_t i = 0; i < current.size; i++) {
        text[at++] = digits[current.data[i] >> 4];
        text[at++] = digits[current.data[i] & 15];
    }
    text[at++] = '\n';
    if (write(STDERR_FILENO, text, at) < 0)
        _exit(3);
}

static void die(int number)
{
    print_current();
    signal(number, SIG_DFL);
    raise(number);
}

static void run(const input *in)
{
    current = *in;
    /* A copy of exactly that size, so that a read past its end is found. */
    uint8_t *exact = malloc(in->size > 0 ? in->size : 1);
    if (!exact)
        abort();
    memcpy(exact, in->data, in->size);
    LLVMFuzzerTestOneInput(exact, in->size);
    free(exact);
}

static void read_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file || file_count == MOST_FILES) {
        fprintf(stderr, "%s: cannot be read\n", path);
        exit(2);
    }
    input *in = &files[file_count++];
    in->size = fread(in->data, 1, sizeof in->data, file);
    fclose(file);
}

static void read_path(const char *path)
{
    struct stat status;
    if (stat(path, &status) != 0 || !S_ISDIR(status.st_mode)) {
        read_file(path);
        return;
    }
    DIR *folder = opendir(path);
    if (!folder) {
        fprintf(stderr, "%s: cannot be read\n", path);
        exit(2);
    }
    for (struct dirent *entry; (entry = readdir(folder));) {
        char name[4096];
        if (entry->d_name[0] == '.')
            continue;
        snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        read_file(name);
    }
    closedir(folder);
}

static uint64_t next_random(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static void make_input(input *in, uint64_t *random)
{
    if (file_count > 0 && next_random(random) % 2) {
        *in = files[next_random(random) % file_count];
        for (uint64_t i = 1 + next_random(random) % 4; i > 0 && in->size > 0; i--)
            in->data[next_random(random) % in->size] = (uint8_t)next_random(random);
        return;
    }
    in->size = next_random(random) % 64;
    for (size_t i = 0; i < in->size; i++)
        in->data[i] = (uint8_t)next_random(random);
}

int main(int argc, char **argv)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    const char *given = getenv("MONARCH_SEED");
    uint64_t seed =
        given ? strtoull(given, NULL, 0) : (uint64_t)now.tv_sec * 1000003u + (uint64_t)now.tv_nsec;
    unsigned long long runs = 0;
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--runs") == 0 && i + 1 < argc)
            runs = strtoull(argv[++i], NULL, 0);
        else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc)
            seed = strtoull(argv[++i], NULL, 0);
        else
            read_path(argv[i]);
    printf("seed: MONARCH_SEED=%" PRIu64 "\n", seed);
    fflush(stdout);
    if (__sanitizer_set_death_callback)
        __sanitizer_set_death_callback(print_current);
    signal(SIGABRT, die);
    signal(SIGSEGV, die);
    signal(SIGFPE, die);
    for (size_t i = 0; i < file_count; i++)
        run(&files[i]);
    for (unsigned long long i = 0; i < runs; i++) {
        input in;
        make_input(&in, &seed);
        run(&in);
    }
    printf("%zu files and %llu random inputs\n", file_count, runs);
    return 0;
}
