/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_CHECKS_FIXTURE_H
#define TESTS_CHECKS_FIXTURE_H

#include <monarch/monarch.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* What the tests of the public interface share: an instance with its cpu device, a small valid
 * problem with tensors for it, and the comparison of a refusal with what it should say. */

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define FIXTURE_TSAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define FIXTURE_TSAN 1
#endif

enum { FIXTURE_WORDS = 4 };

typedef struct fixture {
    monarch_instance *instance;
    monarch_device *device;
    monarch_queue *queue;
} fixture;

/* Opens "cpu" with `threads` threads per queue (0 = default); fails the test when it cannot. */
fixture fixture_open(int32_t threads);
void fixture_close(fixture *f);

/* Batch 2, heads 4, kv_heads 2, tokens 10, head_dim 8, value_dim 6, block_size 4, steps 2, f32. */
monarch_problem fixture_problem(void);

/* Packed f32 host tensors of fixture_problem, filled with random numbers; out holds NaN. */
enum {
    FIXTURE_Q = 2 * 4 * 10 * 8,
    FIXTURE_K = 2 * 2 * 10 * 8,
    FIXTURE_V = 2 * 2 * 10 * 6,
    FIXTURE_OUT = 2 * 4 * 10 * 6,
    FIXTURE_MASK = 2 * 10
};

typedef struct fixture_tensors {
    float q[FIXTURE_Q], k[FIXTURE_K], v[FIXTURE_V], out[FIXTURE_OUT];
    uint8_t mask[FIXTURE_MASK];
} fixture_tensors;

void fixture_fill(fixture_tensors *t, uint64_t seed);

/* Host memory of the tensors, sizes given, no mask and no workspace. */
monarch_plan_args fixture_args(fixture_tensors *t);

/*
 * Waits until all other threads of the process sleep, before a fork: ASan's allocator is not made
 * for one in which another thread holds its lock, as threads that just start may.
 */
void fixture_settle(void);

/* Sets every byte to a pattern that is NaN in each dtype. */
void fixture_poison(void *bytes, size_t size);
bool fixture_all_poison(const void *bytes, size_t size);

/* `size` bytes aligned to `alignment`; free() releases them. */
void *fixture_aligned(size_t size, size_t alignment);

/* The seed of this run, from MONARCH_SEED or the clock; printed once. */
uint64_t fixture_seed(void);
uint64_t fixture_random(uint64_t *state);
float fixture_uniform(uint64_t *state); /* in [-1, 1) */

/* Fails unless `status` is `expected` and, for a refusal, `error` holds it, is terminated and
 * has each of the words (up to the first NULL). `what` names the call in the failure. */
void fixture_expect(const char *what, monarch_status status, monarch_status expected,
                    const monarch_error *error, const char *const words[FIXTURE_WORDS]);
void fixture_ok(const char *what, monarch_status status, const monarch_error *error);

/* INVALID_ARGUMENT whose message has these two words (either may be NULL). */
void fixture_invalid(const char *what, monarch_status status, const monarch_error *error,
                     const char *word, const char *other);

/* Whether the library lists this variant for the device. */
bool fixture_has_variant(const monarch_device *device, const char *name);

#endif
