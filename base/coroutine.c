/* Coroutines: a switch of our own where we know the machine, ucontext's elsewhere.
 *
 * swapcontext() asks the kernel for the signal mask at every switch: 340 ns there and back,
 * measured; the few instructions below keep what the System V ABI says a call preserves: 21 ns.
 * Elsewhere swapcontext() does the work. AddressSanitizer is told of each switch, and of the stacks
 * as places where pointers to live memory lie. */
#include "base/coroutine.h"

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/check.h"

/* AddressSanitizer's side; NULL in a program that is built without it. */
extern void __sanitizer_start_switch_fiber(void **fake, const void *bottom, size_t bytes)
    __attribute__((weak));
extern void __sanitizer_finish_switch_fiber(void *fake, const void **bottom, size_t *bytes)
    __attribute__((weak));
extern void __asan_unpoison_memory_region(const volatile void *from, size_t bytes)
    __attribute__((weak));
extern void __lsan_register_root_region(const void *from, size_t bytes) __attribute__((weak));
extern void __lsan_unregister_root_region(const void *from, size_t bytes) __attribute__((weak));

static void begin(struct coroutines *all, int index);

#ifdef __x86_64__

struct context {
    void *top; /* of the stack: a struct frame */
};

/* What lies on the stack of a coroutine that does not run, lowest address first. */
struct frame {
    uint32_t mxcsr, x87;
    uint64_t r15, r14, r13, r12, rbx, rbp;
    void (*back)(void);
};

/* noipa: the compiler must not look inside and conclude that the caller-saved registers survive the
 * call. */
__attribute__((naked, noipa)) static void swap(__attribute__((unused)) struct context *from,
                                               __attribute__((unused)) const struct context *to)
{
    __asm__("pushq %rbp\n\t"
            "pushq %rbx\n\t"
            "pushq %r12\n\t"
            "pushq %r13\n\t"
            "pushq %r14\n\t"
            "pushq %r15\n\t"
            "subq $8, %rsp\n\t"
            "stmxcsr (%rsp)\n\t"
            "fnstcw 4(%rsp)\n\t"
            "movq %rsp, (%rdi)\n\t"
            "movq (%rsi), %rsp\n\t"
            "ldmxcsr (%rsp)\n\t"
            "fldcw 4(%rsp)\n\t"
            "addq $8, %rsp\n\t"
            "popq %r15\n\t"
            "popq %r14\n\t"
            "popq %r13\n\t"
            "popq %r12\n\t"
            "popq %rbx\n\t"
            "popq %rbp\n\t"
            "ret");
}

/* Where the first swap() into a coroutine returns to: begin(rbx, r12), which never comes back. */
__attribute__((naked)) static void enter(void)
{
    __asm__("movq %rbx, %rdi\n\t"
            "movl %r12d, %esi\n\t"
            "call *%r13\n\t"
            "ud2");
}

static void prepare(struct context *context, char *stack, size_t bytes, struct coroutines *all,
                    int index)
{
    struct frame *frame = (struct frame *)(stack + bytes) - 1;
    *frame = (struct frame){
        .rbx = (uintptr_t)all, .r12 = (uintptr_t)index, .r13 = (uintptr_t)begin, .back = enter};
    __asm__("stmxcsr %0" : "=m"(frame->mxcsr));
    __asm__("fnstcw %0" : "=m"(frame->x87));
    context->top = frame;
}

#else

#include <ucontext.h>

struct context {
    ucontext_t saved;
};

static void swap(struct context *from, const struct context *to)
{
    CHECK(!swapcontext(&from->saved, &to->saved), "swapcontext failed");
}

/* makecontext() hands on nothing wider than an int. */
static void enter(unsigned high, unsigned low, int index)
{
    begin((struct coroutines *)(uintptr_t)((uint64_t)high << 32 | low), index);
}

static void prepare(struct context *context, char *stack, size_t bytes, struct coroutines *all,
                    int index)
{
    uint64_t address = (uintptr_t)all;
    CHECK(!getcontext(&context->saved), "getcontext failed");
    context->saved.uc_stack = (stack_t){.ss_sp = stack, .ss_size = bytes};
    makecontext(&context->saved, (void (*)(void))enter, 3, (unsigned)(address >> 32),
                (unsigned)address, index);
}

#endif

static void tell_leave(void **fake, const void *bottom, size_t bytes)
{
    if (__sanitizer_start_switch_fiber)
        __sanitizer_start_switch_fiber(fake, bottom, bytes);
}

static void tell_arrive(void *fake, const void **bottom, size_t *bytes)
{
    if (__sanitizer_finish_switch_fiber)
        __sanitizer_finish_switch_fiber(fake, bottom, bytes);
}

/* Pointers that lie here keep what they point to from being called a leak. */
static void tell_root(const void *stack, size_t bytes, bool is)
{
    if (is && __lsan_register_root_region)
        __lsan_register_root_region(stack, bytes);
    if (!is && __lsan_unregister_root_region)
        __lsan_unregister_root_region(stack, bytes);
}

/* What is mapped here next must not inherit the frames' red zones. */
static void tell_unmapped(const void *stack, size_t bytes)
{
    if (__asan_unpoison_memory_region)
        __asan_unpoison_memory_region(stack, bytes);
}

struct coroutines {
    int count;
    size_t stack_bytes, stride; /* of a stack, and of a stack with its guard page */
    char *stacks;
    void (*body)(void *argument, int index);
    void *argument;
    struct context outside, *inside; /* who resumed; one for each coroutine */
    int running;                     /* its index, -1: none */
    const void *outside_bottom;      /* the resumer's stack, as the sanitizer knows it */
    size_t outside_bytes;
};

static char *stack_of(const struct coroutines *all, int index)
{
    return all->stacks + (size_t)index * all->stride + (all->stride - all->stack_bytes);
}

static void begin(struct coroutines *all, int index)
{
    bool first = !all->outside_bottom;
    tell_arrive(NULL, &all->outside_bottom, &all->outside_bytes);
    if (first && all->outside_bottom)
        /* an exit in here leaves it, with all it points to */
        tell_root(all->outside_bottom, all->outside_bytes, true);
    all->body(all->argument, index);
    tell_leave(NULL, all->outside_bottom, all->outside_bytes);
    swap(&all->inside[index], &all->outside);
}

void coroutine_resume(struct coroutines *all, int index)
{
    assert(all->running < 0 && index >= 0 && index < all->count);
    void *fake = NULL;
    all->running = index;
    tell_leave(&fake, stack_of(all, index), all->stack_bytes);
    swap(&all->outside, &all->inside[index]);
    tell_arrive(fake, NULL, NULL);
    all->running = -1;
}

void coroutine_yield(struct coroutines *all)
{
    assert(all->running >= 0);
    void *fake = NULL;
    tell_leave(&fake, all->outside_bottom, all->outside_bytes);
    swap(&all->inside[all->running], &all->outside);
    tell_arrive(fake, &all->outside_bottom, &all->outside_bytes);
}

struct coroutines *coroutines_open(int count, size_t stack_bytes,
                                   void (*body)(void *argument, int index), void *argument)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    struct coroutines *all = xcalloc(1, sizeof *all);
    all->count = count;
    all->stack_bytes = (stack_bytes + page - 1) / page * page;
    all->stride = all->stack_bytes + page;
    all->body = body;
    all->argument = argument;
    all->running = -1;
    all->inside = xcalloc((size_t)count, sizeof *all->inside);
    size_t bytes = (size_t)count * all->stride;
    all->stacks = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    CHECK(all->stacks != MAP_FAILED, "no address space for %d stacks of %zu bytes", count,
          all->stack_bytes);
    madvise(all->stacks, bytes, MADV_NOHUGEPAGE); /* a touched stack costs its pages, not 2 MiB */
    for (int i = 0; i < count; i++) {
        char *stack = stack_of(all, i);
        CHECK(!mprotect(stack - page, page, PROT_NONE),
              "no guard page for stack %d of %d: the kernel's vm.max_map_count allows no more; "
              "take fewer ranks or raise it",
              i, count);
        tell_root(stack, all->stack_bytes, true);
        prepare(&all->inside[i], stack, all->stack_bytes, all, i);
    }
    return all;
}

void coroutines_close(struct coroutines *all)
{
    for (int i = 0; i < all->count; i++)
        tell_root(stack_of(all, i), all->stack_bytes, false);
    if (all->outside_bottom)
        tell_root(all->outside_bottom, all->outside_bytes, false);
    tell_unmapped(all->stacks, (size_t)all->count * all->stride);
    munmap(all->stacks, (size_t)all->count * all->stride);
    xfree(all->inside);
    xfree(all);
}
