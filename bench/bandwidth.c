/* SPDX-License-Identifier: Apache-2.0 */
#include "bandwidth.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "clock.h"

/* Larger than caches are; the fastest pass counts, as the floor must lie below every result. */
enum { COPY_BYTES = 256 << 20, PASSES = 6, MAX_THREADS = 256 };

struct slice {
    const char *source;
    char *destination;
    size_t size;
};

static void *copy_slice(void *argument)
{
    const struct slice *slice = argument;
    memcpy(slice->destination, slice->source, slice->size);
    return NULL;
}

/* One pass: seconds, or 0 when a thread could not be started. */
static double copy_once(const char *source, char *destination, int threads)
{
    pthread_t handles[MAX_THREADS];
    struct slice slices[MAX_THREADS] = {{0}};
    size_t size = COPY_BYTES / (size_t)threads;
    int started = 1;
    double start = clock_seconds();
    for (int i = 0; i < threads; i++) {
        slices[i] = (struct slice){source + (size_t)i * size, destination + (size_t)i * size, size};
    }
    while (started < threads &&
           pthread_create(&handles[started], NULL, copy_slice, &slices[started]) == 0) {
        started++;
    }
    copy_slice(&slices[0]);
    for (int i = 1; i < started; i++) {
        pthread_join(handles[i], NULL);
    }
    return started == threads ? clock_seconds() - start : 0.0;
}

static double measure_cpu(int threads, char *how, size_t capacity)
{
    char *source = malloc(COPY_BYTES);
    char *destination = malloc(COPY_BYTES);
    double best = 0.0;
    if (source && destination) {
        /* The first touch of each page is the system's work, not the copy's. */
        memset(source, 1, COPY_BYTES);
        memset(destination, 0, COPY_BYTES);
        for (int pass = 0; pass < PASSES; pass++) {
            double seconds = copy_once(source, destination, threads);
            if (seconds > 0.0 && 2.0 * COPY_BYTES / seconds > best) {
                best = 2.0 * COPY_BYTES / seconds;
            }
        }
    }
    free(source);
    free(destination);
    snprintf(how, capacity,
             best > 0.0 ? "a copy of %d MiB by %d threads, read and write counted"
                        : "a copy of %d MiB by %d threads was not possible",
             COPY_BYTES >> 20, threads);
    return best;
}

double bandwidth_measure(const struct session *session, char *how, size_t capacity)
{
    if (strcmp(session->info.backend, "cpu") == 0) {
        int threads = session->threads < MAX_THREADS ? session->threads : MAX_THREADS;
        return measure_cpu(threads > 0 ? threads : 1, how, capacity);
    }
    snprintf(how, capacity, "no copy is timed on %s devices yet", session->info.backend);
    return 0.0;
}
