/* Memory that is there or the program is not: no caller tests for NULL.
 *
 * All of it is taken before the first step (no allocation in the step loop), zeroed, and given back
 * with xfree(). */
#ifndef BASE_ALLOC_H
#define BASE_ALLOC_H

#include <stddef.h>

/* Zeroed memory for `count` things of `size` bytes, 64-byte aligned; blocks of 2 MiB and more lie
 * on huge pages where the system grants them. A failure names the size and ends the program
 * (EXIT_WORLD). */
void *xcalloc(size_t count, size_t size);

/* The same in whole pages of 4 KiB, which nothing else shares: memory that can be handed to a
 * device as it is. */
void *alloc_pages(size_t bytes);

/* Gives back what either gave; NULL is fine. */
void xfree(void *block);

/* Where a module takes the memory of its vectors from; zeros: the heap. */
struct allocator {
    void *(*alloc)(void *owner, size_t bytes); /* zeroed, 64-byte aligned */
    void (*free)(void *owner, void *block);
    void *owner;
};

void *allocator_take(const struct allocator *a, size_t count, size_t size);
void allocator_give_back(const struct allocator *a, void *block); /* NULL is fine */

#endif
