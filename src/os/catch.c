/* C++ exceptions that leave a callback.

   This is a library for C, which cannot catch; the frame between it and a callback can.  It is written in assembly, because a
   personality routine cannot be given to a function in C, and costs nothing but the frame.  Without a C++ runtime nothing
   throws, and the weak functions below are never called.  Unwinding that is forced, by pthread_exit or a cancellation, passes.

   The layouts are those of the C++ ABI of gcc and clang (itanium-cxx-abi.github.io/cxx-abi/abi-eh.html).

   SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "os/os.h"

#define WEAK __attribute__((weak))

struct exception { /* _Unwind_Exception */
    uint64_t class;
    void (*cleanup)(int reason, struct exception *);
    uintptr_t private[2];
} __attribute__((aligned));

struct type { /* std::type_info, and for a class with one base abi::__si_class_type_info */
    const void *vtable;
    const char *name;
    const struct type *base;
};

enum { HANDLER_FOUND = 6, INSTALL_CONTEXT = 7, CONTINUE_UNWIND = 8 };
enum { SEARCH_PHASE = 1, HANDLER_FRAME = 4, FORCE_UNWIND = 8 };
#define CPP_OF_GCC UINT64_C(0x474e5543432b2b00)   /* "GNUCC++", without the last byte */
#define CPP_OF_CLANG UINT64_C(0x434c4e47432b2b00) /* "CLNGC++" */

WEAK void _Unwind_SetGR(void *context, int index, uintptr_t value);
WEAK void _Unwind_SetIP(void *context, uintptr_t value);
WEAK void _Unwind_DeleteException(struct exception *exception);
WEAK int _Unwind_Resume_or_Rethrow(struct exception *exception);
WEAK void *__cxa_begin_catch(void *exception);
WEAK void __cxa_end_catch(void);
WEAK const struct type *__cxa_current_exception_type(void);
WEAK char *__cxa_demangle(const char *name, char *buffer, size_t *size, int *status);
extern WEAK const void *const _ZTVN10__cxxabiv120__si_class_type_infoE[];

#if defined __x86_64__ || defined __aarch64__
extern const char sp__os_caught_here[] __attribute__((visibility("hidden")));
int sp__os_personality(int version, int actions, uint64_t class, struct exception *exception, void *context);

__attribute__((used, visibility("hidden"))) int sp__os_personality(int version, int actions, uint64_t class,
                                                                   struct exception *exception, void *context)
{
    (void)version, (void)class;
    if ((actions & FORCE_UNWIND) || _Unwind_SetGR == NULL || _Unwind_SetIP == NULL)
        return CONTINUE_UNWIND;
    if (actions & SEARCH_PHASE)
        return HANDLER_FOUND;
    if (!(actions & HANDLER_FRAME))
        return CONTINUE_UNWIND;
    _Unwind_SetGR(context, __builtin_eh_return_data_regno(0), (uintptr_t)exception);
    _Unwind_SetIP(context, (uintptr_t)sp__os_caught_here);
    return INSTALL_CONTEXT;
}
#endif

#define BEGIN                                                                                                          \
    ".pushsection .text\n.globl sp__os_call_catching\n.hidden sp__os_call_catching\n.globl sp__os_caught_here\n"       \
    ".hidden sp__os_caught_here\n.p2align 4\nsp__os_call_catching:\n.cfi_startproc\n"                                  \
    ".cfi_personality 0x1b, sp__os_personality\n"
#define END ".cfi_endproc\n.popsection\n"

#if defined __x86_64__
__asm__(".type sp__os_call_catching, @function\n" BEGIN
        "push %rbp\n.cfi_def_cfa_offset 16\n.cfi_offset 6, -16\nmov %rsp, %rbp\n.cfi_def_cfa_register 6\n"
        "push %rcx\nsub $8, %rsp\nmov %rdi, %rax\nmov %rsi, %rdi\nmov %rdx, %rsi\ncall *%rax\n"
        "leave\n.cfi_remember_state\n.cfi_def_cfa 7, 8\nret\n.cfi_restore_state\n"
        "sp__os_caught_here:\nmov -8(%rbp), %rcx\nmov %rax, (%rcx)\nmov $-1, %eax\n"
        "leave\n.cfi_def_cfa 7, 8\nret\n" END);
#elif defined __aarch64__
__asm__(".type sp__os_call_catching, %function\n" BEGIN
        "stp x29, x30, [sp, #-32]!\n.cfi_def_cfa_offset 32\n.cfi_offset 29, -32\n.cfi_offset 30, -24\n"
        "mov x29, sp\n.cfi_def_cfa_register 29\n"
        "str x3, [sp, #16]\nmov x4, x0\nmov x0, x1\nmov x1, x2\nblr x4\n"
        "ldp x29, x30, [sp], #32\n.cfi_remember_state\n.cfi_def_cfa 31, 0\n.cfi_restore 29\n.cfi_restore 30\nret\n"
        ".cfi_restore_state\nsp__os_caught_here:\nhint #36\n" /* bti j */
        "ldr x1, [sp, #16]\nstr x0, [x1]\nmov w0, #-1\n"
        "ldp x29, x30, [sp], #32\n.cfi_def_cfa 31, 0\n.cfi_restore 29\n.cfi_restore 30\nret\n" END);
#else /* it passes, and nothing is mended */
int sp__os_call_catching(void (*fn)(void), const void *a, const void *b, void **ret_exception)
{
    (void)ret_exception;
    return ((int (*)(const void *, const void *))fn)(a, b);
}
#endif

static bool is_cpp(const struct exception *exception)
{
    uint64_t kind = exception->class & ~UINT64_C(0xff);
    return (kind == CPP_OF_GCC || kind == CPP_OF_CLANG) && __cxa_begin_catch != NULL &&
           __cxa_current_exception_type != NULL;
}

/* Does the type have std::exception for its first base, and so on? */
static bool has_what(const struct type *type)
{
    while (strcmp(type->name, "St9exception") != 0) {
        if (_ZTVN10__cxxabiv120__si_class_type_infoE == NULL ||
            type->vtable != &_ZTVN10__cxxabiv120__si_class_type_infoE[2])
            return false;
        type = type->base;
    }
    return true;
}

/* std::exception::what is the third of its virtual functions; the object stands behind its header. */
static const char *what(const struct exception *exception)
{
    const void *object = exception + 1;
    const char *(*const *functions)(const void *) = *(const char *(*const *const *)(const void *))object;
    return functions[2](object);
}

static void describe(const struct exception *exception, const struct type *type, char *text, size_t size)
{
    bool is_primary = (exception->class & 0xff) == 0; /* else the object is elsewhere */
    char *name = __cxa_demangle != NULL ? __cxa_demangle(type->name, NULL, NULL, NULL) : NULL;
    const char *says = is_primary && has_what(type) ? what(exception) : NULL;
    snprintf(text, size, "C++ exception %s%s%s", name != NULL ? name : type->name, says != NULL ? ": " : "",
             says != NULL ? says : "");
    free(name);
}

void sp__os_exception_end(void *caught, char *text, size_t size)
{
    struct exception *exception = caught;
    if (!is_cpp(exception)) {
        snprintf(text, size, "an exception of another language");
        if (_Unwind_DeleteException != NULL)
            _Unwind_DeleteException(exception);
        return;
    }
    (void)__cxa_begin_catch(exception);
    const struct type *type = __cxa_current_exception_type();
    if (type != NULL)
        describe(exception, type, text, size);
    else
        snprintf(text, size, "C++ exception");
    __cxa_end_catch();
}

void sp__os_exception_go_on(void *caught)
{
    if (_Unwind_Resume_or_Rethrow != NULL)
        (void)_Unwind_Resume_or_Rethrow(caught); /* returns only if nobody catches it */
    char text[200];
    sp__os_exception_end(caught, text, sizeof text);
    sp__os_complain("spool: nobody caught a %s", text);
    abort();
}

/* Not in its caller, whose frame nested drops repeat. */
static __attribute__((noinline)) void report(const char *whose, void *exception)
{
    char text[200];
    sp__os_exception_end(exception, text, sizeof text);
    sp__panic("%s must not throw: %s", whose, text);
}

int sp__os_call_firmly(const char *whose, void (*fn)(void), const void *a, const void *b)
{
    void *exception = NULL;
    int returned = sp__os_call_catching(fn, a, b, &exception);
    if (exception == NULL)
        return returned;
    report(whose, exception);
    return -1;
}
