/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_LAYOUT_H
#define TESTS_LAYOUT_H

#include "inputs.h"

/* Gives the tensors of `inputs` their strides and memory; part of test_inputs_create. */
void test_layout_build(test_inputs *inputs);

#endif
