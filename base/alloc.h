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

#endif
