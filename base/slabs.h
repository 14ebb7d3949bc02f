/* Memory for many small things that are all given back at once: carved from large blocks, so that
 * they lie close together, on huge pages where there are many. */
#ifndef BASE_SLABS_H
#define BASE_SLABS_H

#include <stddef.h>

struct slabs { /* zero before its first use */
    struct slab *newest;
    size_t room, used; /* bytes of the newest */
};

/* Zeroed, 64-byte aligned. */
void *slabs_take(struct slabs *slabs, size_t bytes);
void slabs_close(struct slabs *slabs); /* all that was taken */

#endif
