/* Functions that are left in the middle and resumed later: many on one thread, each on a stack of
 * its own.
 *
 * Invariant: coroutine_resume() is called from outside, coroutine_yield() from inside; one runs at
 * a time, none is ever run by another thread. Stacks are one mapping, taken as it is touched, with
 * a guard page below each: a stack that overflows ends the program (SIGSEGV) instead of writing
 * into its neighbour's. */
#ifndef BASE_COROUTINE_H
#define BASE_COROUTINE_H

#include <stddef.h>

struct coroutines;

/* `count` coroutines that will each run body(argument, its index) on `stack_bytes` of stack
 * (rounded up to whole pages). */
struct coroutines *coroutines_open(int count, size_t stack_bytes,
                                   void (*body)(void *argument, int index), void *argument);

/* Starts the coroutine or goes on with it, and returns when it yields or its body returns. */
void coroutine_resume(struct coroutines *all, int index);

/* Called inside: back to where this coroutine was resumed. */
void coroutine_yield(struct coroutines *all);

/* Unmaps the stacks; what is still on them is forgotten. */
void coroutines_close(struct coroutines *all);

#endif
