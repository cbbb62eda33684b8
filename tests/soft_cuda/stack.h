/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SOFT_CUDA_STACK_H
#define TESTS_SOFT_CUDA_STACK_H

/* Stacks to run on, x86-64. */

/* Keeps the place on the running stack in *from and goes on at `to`. */
extern "C" void soft_switch_stack(void **from, void *to);

/* A stack that ends at `end`, as soft_switch_stack takes it; there `enter` begins, which may not
   return. */
void *soft_new_stack(char *end, void (*enter)());

#endif
