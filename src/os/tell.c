/* Telling a program's thread sanitizer: the functions that base/annotate.h jumps to.

   They keep every register, so that a compiler sees nothing of a call that is hardly ever made: with ordinary calls the
   shortest functions of the library would cost a tenth more.

   SPDX-License-Identifier: MIT */
#include "base/annotate.h"
#include "os/os.h"

bool sp__os_is_watched(void)
{
    return SP__WATCHED;
}

#ifdef SP__TELLS

__attribute__((used)) void sp__tell_release_now(void *word);
__attribute__((used)) void sp__tell_acquire_now(void *word);

void sp__tell_release_now(void *word)
{
    if (__tsan_release != NULL)
        __tsan_release(word);
}

void sp__tell_acquire_now(void *word)
{
    if (__tsan_acquire != NULL)
        __tsan_acquire(word);
}

#if defined __x86_64__
/* The word lies above the return address. */
#define SAVING(name)                                                                                                   \
    __asm__(".pushsection .text.unlikely, \"ax\", @progbits\n"                                                         \
            ".globl " #name "_saving\n.hidden " #name "_saving\n.type " #name "_saving, @function\n" #name             \
            "_saving:\n"                                                                                               \
            ".cfi_startproc\n"                                                                                         \
            "push %rbp\n.cfi_def_cfa_offset 16\n.cfi_offset 6, -16\nmov %rsp, %rbp\n.cfi_def_cfa_register 6\n"         \
            "push %rax\npush %rcx\npush %rdx\npush %rsi\npush %rdi\npush %r8\npush %r9\npush %r10\npush %r11\n"        \
            "mov 16(%rbp), %rdi\nand $-16, %rsp\nsub $256, %rsp\n"                                                     \
            "movups %xmm0, (%rsp)\nmovups %xmm1, 16(%rsp)\nmovups %xmm2, 32(%rsp)\nmovups %xmm3, 48(%rsp)\n"           \
            "movups %xmm4, 64(%rsp)\nmovups %xmm5, 80(%rsp)\nmovups %xmm6, 96(%rsp)\nmovups %xmm7, 112(%rsp)\n"        \
            "movups %xmm8, 128(%rsp)\nmovups %xmm9, 144(%rsp)\nmovups %xmm10, 160(%rsp)\nmovups %xmm11, 176(%rsp)\n"   \
            "movups %xmm12, 192(%rsp)\nmovups %xmm13, 208(%rsp)\nmovups %xmm14, 224(%rsp)\nmovups %xmm15, 240(%rsp)\n" \
            "call " #name "_now\n"                                                                                     \
            "movups (%rsp), %xmm0\nmovups 16(%rsp), %xmm1\nmovups 32(%rsp), %xmm2\nmovups 48(%rsp), %xmm3\n"           \
            "movups 64(%rsp), %xmm4\nmovups 80(%rsp), %xmm5\nmovups 96(%rsp), %xmm6\nmovups 112(%rsp), %xmm7\n"        \
            "movups 128(%rsp), %xmm8\nmovups 144(%rsp), %xmm9\nmovups 160(%rsp), %xmm10\nmovups 176(%rsp), %xmm11\n"   \
            "movups 192(%rsp), %xmm12\nmovups 208(%rsp), %xmm13\nmovups 224(%rsp), %xmm14\nmovups 240(%rsp), %xmm15\n" \
            "lea -72(%rbp), %rsp\n"                                                                                    \
            "pop %r11\npop %r10\npop %r9\npop %r8\npop %rdi\npop %rsi\npop %rdx\npop %rcx\npop %rax\n"                 \
            "pop %rbp\n.cfi_def_cfa 7, 8\nret\n.cfi_endproc\n"                                                         \
            ".size " #name "_saving, . - " #name "_saving\n.popsection")
SAVING(sp__tell_release);
SAVING(sp__tell_acquire);
#elif defined __aarch64__
/* The word lies 16 bytes above the stack pointer.  Of v8 to v15 a function keeps only the lower halves. */
#define SAVING(name)                                                                                                   \
    __asm__(                                                                                                           \
        ".pushsection .text.unlikely, \"ax\", %progbits\n"                                                             \
        ".globl " #name "_saving\n.hidden " #name "_saving\n.type " #name "_saving, %function\n" #name "_saving:\n"    \
        ".cfi_startproc\n"                                                                                             \
        "sub sp, sp, #672\n.cfi_def_cfa_offset 672\nstp x29, x30, [sp]\n.cfi_offset 29, -672\n.cfi_offset 30, -664\n"  \
        "mov x29, sp\n"                                                                                                \
        "stp x0, x1, [sp, #16]\nstp x2, x3, [sp, #32]\nstp x4, x5, [sp, #48]\nstp x6, x7, [sp, #64]\n"                 \
        "stp x8, x9, [sp, #80]\nstp x10, x11, [sp, #96]\nstp x12, x13, [sp, #112]\nstp x14, x15, [sp, #128]\n"         \
        "str x18, [sp, #144]\n"                                                                                        \
        "stp q0, q1, [sp, #160]\nstp q2, q3, [sp, #192]\nstp q4, q5, [sp, #224]\nstp q6, q7, [sp, #256]\n"             \
        "stp q8, q9, [sp, #288]\nstp q10, q11, [sp, #320]\nstp q12, q13, [sp, #352]\nstp q14, q15, [sp, #384]\n"       \
        "stp q16, q17, [sp, #416]\nstp q18, q19, [sp, #448]\nstp q20, q21, [sp, #480]\nstp q22, q23, [sp, #512]\n"     \
        "stp q24, q25, [sp, #544]\nstp q26, q27, [sp, #576]\nstp q28, q29, [sp, #608]\nstp q30, q31, [sp, #640]\n"     \
        "ldr x0, [sp, #688]\nbl " #name "_now\n"                                                                       \
        "ldp q0, q1, [sp, #160]\nldp q2, q3, [sp, #192]\nldp q4, q5, [sp, #224]\nldp q6, q7, [sp, #256]\n"             \
        "ldp q8, q9, [sp, #288]\nldp q10, q11, [sp, #320]\nldp q12, q13, [sp, #352]\nldp q14, q15, [sp, #384]\n"       \
        "ldp q16, q17, [sp, #416]\nldp q18, q19, [sp, #448]\nldp q20, q21, [sp, #480]\nldp q22, q23, [sp, #512]\n"     \
        "ldp q24, q25, [sp, #544]\nldp q26, q27, [sp, #576]\nldp q28, q29, [sp, #608]\nldp q30, q31, [sp, #640]\n"     \
        "ldr x18, [sp, #144]\n"                                                                                        \
        "ldp x0, x1, [sp, #16]\nldp x2, x3, [sp, #32]\nldp x4, x5, [sp, #48]\nldp x6, x7, [sp, #64]\n"                 \
        "ldp x8, x9, [sp, #80]\nldp x10, x11, [sp, #96]\nldp x12, x13, [sp, #112]\nldp x14, x15, [sp, #128]\n"         \
        "ldp x29, x30, [sp]\nadd sp, sp, #672\n.cfi_def_cfa_offset 0\n"                                                \
        ".cfi_restore 29\n.cfi_restore 30\nret\n.cfi_endproc\n"                                                        \
        ".size " #name "_saving, . - " #name "_saving\n.popsection")
SAVING(sp__tell_release);
SAVING(sp__tell_acquire);
#endif
#endif
