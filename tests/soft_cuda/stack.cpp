/* SPDX-License-Identifier: Apache-2.0 */
#include "stack.h"

#include <stdint.h>

/* Registers that a call must keep, on the stack; the rest its caller has kept. */
asm(".text\n"
    ".globl soft_switch_stack\n"
    ".hidden soft_switch_stack\n"
    ".type soft_switch_stack, @function\n"
    "soft_switch_stack:\n"
    "    push %rbp\n"
    "    push %rbx\n"
    "    push %r12\n"
    "    push %r13\n"
    "    push %r14\n"
    "    push %r15\n"
    "    mov %rsp, (%rdi)\n"
    "    mov %rsi, %rsp\n"
    "    pop %r15\n"
    "    pop %r14\n"
    "    pop %r13\n"
    "    pop %r12\n"
    "    pop %rbx\n"
    "    pop %rbp\n"
    "    ret\n"
    ".size soft_switch_stack, . - soft_switch_stack\n"
    ".section .note.GNU-stack, \"\", @progbits\n"
    ".text\n");

void *soft_new_stack(char *end, void (*enter)())
{
    enum { KEPT = 6 };
    /* As after a call: the return address at a multiple of 16 plus 8. */
    void **top = reinterpret_cast<void **>(reinterpret_cast<uintptr_t>(end) & ~(uintptr_t)15) - 2;
    top[1] = nullptr;
    *top = reinterpret_cast<void *>(enter);
    for (int i = 1; i <= KEPT; i++)
        top[-i] = nullptr;
    return top - KEPT;
}
