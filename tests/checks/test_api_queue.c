/* SPDX-License-Identifier: Apache-2.0 */

/* Queues, buffers and copies, with every argument wrong once. */

#include <inttypes.h>
#include <stdio.h>

#include "fixture.h"

static fixture shared;

static int open_shared(void **state)
{
    (void)state;
    shared = fixture_open(1);
    return 0;
}

static int close_shared(void **state)
{
    (void)state;
    fixture_close(&shared);
    return 0;
}

static void test_queue(void **state)
{
    (void)state;
    monarch_error error = {MONARCH_OK, ""};
    monarch_queue *queue = (monarch_queue *)&error;
    fixture_invalid("null", monarch_queue_create(NULL, &queue, &error), &error, "device", "NULL");
    assert_null(queue);
    fixture_invalid("null", monarch_queue_create(shared.device, NULL, &error), &error, "queue",
                    "NULL");
    fixture_invalid("null", monarch_queue_wait(NULL, &error), &error, "queue", "NULL");
    fixture_ok("create", monarch_queue_create(shared.device, &queue, &error), &error);
    fixture_ok("wait", monarch_queue_wait(queue, &error), &error);
    monarch_queue_destroy(&queue);
    assert_null(queue);
    monarch_queue_destroy(&queue);
    monarch_queue_destroy(NULL);
}

static void test_buffer(void **state)
{
    (void)state;
    monarch_error error = {MONARCH_OK, ""};
    monarch_buffer *buffer = (monarch_buffer *)&error;
    fixture_invalid("null", monarch_buffer_create(NULL, 8, &buffer, &error), &error, "device",
                    "NULL");
    assert_null(buffer);
    fixture_invalid("null", monarch_buffer_create(shared.device, 8, NULL, &error), &error, "buffer",
                    "NULL");
    static const uint64_t huge[] = {UINT64_MAX, INT64_MAX, UINT64_C(1) << 60};
    for (size_t i = 0; i < 3; i++) {
        char bytes[24];
        snprintf(bytes, sizeof bytes, "%" PRIu64, huge[i]);
        const char *words[FIXTURE_WORDS] = {bytes};
        buffer = (monarch_buffer *)&error;
        fixture_expect("huge", monarch_buffer_create(shared.device, huge[i], &buffer, &error),
                       MONARCH_ERROR_OUT_OF_MEMORY, &error, words);
        assert_null(buffer);
    }
    fixture_ok("empty", monarch_buffer_create(shared.device, 0, &buffer, &error), &error);
    assert_non_null(buffer);
    assert_int_equal(monarch_buffer_size(buffer), 0);
    fixture_ok("empty", monarch_buffer_write(shared.queue, buffer, 0, NULL, 0, &error), &error);
    monarch_buffer_destroy(&buffer);
    assert_null(buffer);
    monarch_buffer_destroy(&buffer);
    monarch_buffer_destroy(NULL);
    assert_int_equal(monarch_buffer_size(NULL), 0);
}

static void test_copies(void **state)
{
    (void)state;
    enum { SIZE = 100 };
    monarch_error error = {MONARCH_OK, ""};
    monarch_buffer *buffer = NULL;
    unsigned char host[SIZE], back[SIZE];
    uint64_t random = fixture_seed();
    for (int i = 0; i < SIZE; i++)
        host[i] = (unsigned char)fixture_random(&random);
    fixture_ok("create", monarch_buffer_create(shared.device, SIZE, &buffer, &error), &error);
    monarch_queue *q = shared.queue;
    fixture_ok("write", monarch_buffer_write(q, buffer, 0, host, SIZE, &error), &error);
    fixture_ok("write", monarch_buffer_write(q, buffer, 7, host, 3, &error), &error);
    fixture_ok("read", monarch_buffer_read(q, buffer, 0, back, SIZE, &error), &error);
    memcpy(host + 7, (unsigned char[]){host[0], host[1], host[2]}, 3);
    assert_memory_equal(host, back, SIZE);
    fixture_ok("end", monarch_buffer_read(q, buffer, SIZE, back, 0, &error), &error);
    static const uint64_t wrong[][2] = {
        {0, SIZE + 1}, {SIZE, 1}, {SIZE + 1, 0}, {UINT64_MAX, 2}, {2, UINT64_MAX}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        fixture_invalid("write",
                        monarch_buffer_write(q, buffer, wrong[i][0], host, wrong[i][1], &error),
                        &error, "offset", "100");
        fixture_invalid("read",
                        monarch_buffer_read(q, buffer, wrong[i][0], back, wrong[i][1], &error),
                        &error, "size", "100");
    }
    fixture_invalid("null", monarch_buffer_write(NULL, buffer, 0, host, 1, &error), &error, "queue",
                    "NULL");
    fixture_invalid("null", monarch_buffer_write(q, NULL, 0, host, 1, &error), &error, "buffer",
                    "NULL");
    fixture_invalid("null", monarch_buffer_write(q, buffer, 0, NULL, 1, &error), &error, "NULL",
                    NULL);
    fixture_invalid("null", monarch_buffer_read(NULL, buffer, 0, back, 1, &error), &error, "queue",
                    "NULL");
    fixture_invalid("null", monarch_buffer_read(q, NULL, 0, back, 1, &error), &error, "buffer",
                    "NULL");
    fixture_invalid("null", monarch_buffer_read(q, buffer, 0, NULL, 1, &error), &error, "NULL",
                    NULL);
    assert_memory_equal(host, back, SIZE);
    monarch_buffer_destroy(&buffer);
}

/* Objects of two instances do not mix, and one instance does not touch the other. */
static void test_two_instances(void **state)
{
    (void)state;
    fixture other = fixture_open(2);
    monarch_error error = {MONARCH_OK, ""};
    monarch_buffer *buffer = NULL;
    char byte = 1;
    assert_ptr_not_equal(other.device, shared.device);
    fixture_ok("create", monarch_buffer_create(other.device, 1, &buffer, &error), &error);
    fixture_invalid("write", monarch_buffer_write(shared.queue, buffer, 0, &byte, 1, &error),
                    &error, "device", NULL);
    fixture_ok("write", monarch_buffer_write(other.queue, buffer, 0, &byte, 1, &error), &error);
    monarch_buffer_destroy(&buffer);
    fixture_close(&other);
    fixture_ok("wait", monarch_queue_wait(shared.queue, &error), &error);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_queue),
        cmocka_unit_test(test_buffer),
        cmocka_unit_test(test_copies),
        cmocka_unit_test(test_two_instances),
    };
    return cmocka_run_group_tests_name("api_queue", tests, open_shared, close_shared);
}
