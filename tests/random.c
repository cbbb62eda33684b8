/* SPDX-License-Identifier: Apache-2.0 */
#include "random.h"

#include <math.h>
#include <stdio.h>
#include <time.h>

static uint64_t splitmix(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

test_random test_random_seed(uint64_t seed, const char *name, uint64_t index)
{
    test_random random;
    uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a of the name */

    for (; *name != '\0'; name++)
        hash = (hash ^ (unsigned char)*name) * 0x100000001b3u;
    hash ^= splitmix(&seed);
    hash ^= splitmix(&index);
    for (int i = 0; i < 4; i++)
        random.state[i] = splitmix(&hash);
    return random;
}

static uint64_t rotate(uint64_t x, int by)
{
    return (x << by) | (x >> (64 - by));
}

uint64_t test_random_bits(test_random *random)
{
    uint64_t *s = random->state;
    uint64_t result = rotate(s[1] * 5, 7) * 9;
    uint64_t shifted = s[1] << 17;

    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = rotate(s[3], 45);
    return result;
}

double test_random_uniform(test_random *random)
{
    return (double)(test_random_bits(random) >> 11) * 0x1p-53;
}

double test_random_normal(test_random *random)
{
    /* Box and Muller; 1 - u keeps the logarithm's argument above 0. */
    double radius = sqrt(-2.0 * log(1.0 - test_random_uniform(random)));
    return radius * cos(6.283185307179586 * test_random_uniform(random));
}

int64_t test_random_below(test_random *random, int64_t below)
{
    return (int64_t)(test_random_bits(random) % (uint64_t)below);
}

uint64_t test_random_fresh_seed(void)
{
    struct timespec now;
    uint64_t entropy = 0;
    FILE *file = fopen("/dev/urandom", "rb");

    timespec_get(&now, TIME_UTC);
    if (file != NULL) {
        if (fread(&entropy, sizeof entropy, 1, file) != 1)
            entropy = 0;
        fclose(file);
    }
    entropy ^= (uint64_t)now.tv_sec * 1000000007u ^ (uint64_t)now.tv_nsec;
    /* Short enough to be typed. */
    return splitmix(&entropy) % 1000000000u;
}
