/* SPDX-License-Identifier: Apache-2.0 */
/* The first program with libmonarch: attention of 2 heads over 100 tokens, on the processor. */
#include <monarch/monarch.h>
#include <stdio.h>

enum { HEADS = 2, TOKENS = 100, DIM = 16, COUNT = HEADS * TOKENS * DIM };

int main(void)
{
    static float q[COUNT], k[COUNT], v[COUNT], out[COUNT]; /* [batch, head, token, feature] */
    for (int i = 0; i < COUNT; i++) {
        q[i] = (float)(i * 37 % 101) / 101.0f;
        k[i] = (float)(i * 53 % 103) / 103.0f;
        v[i] = (float)(i % DIM); /* every token alike, so each average of tokens is known */
    }
    monarch_problem problem = monarch_problem_default();
    problem.batch = 1;
    problem.heads = HEADS;
    problem.tokens = TOKENS;
    problem.head_dim = DIM;

    monarch_error error;
    monarch_instance *instance = NULL;
    monarch_device *device = NULL;
    if (monarch_instance_create(NULL, &instance, &error) != MONARCH_OK ||
        monarch_instance_find(instance, "cpu", &device, &error) != MONARCH_OK ||
        monarch_attention(device, &problem, q, k, v, NULL, out, &error) != MONARCH_OK) {
        fprintf(stderr, "%s\n", error.message);
        return 1;
    }
    double sum = 0.0;
    for (int i = 0; i < COUNT; i++)
        sum += (double)out[i] / COUNT;
    printf("mean of the output: %.4f (expected %.4f)\n", sum, 0.5 * (DIM - 1));
    monarch_instance_destroy(&instance);
    return sum > 7.4999 && sum < 7.5001 ? 0 : 1;
}
