/* The shards of one data set: the partition that was asked for last is stored, so that a thousand
 * loaders cost one. Loaders may be opened in several threads. */
#ifndef DATA_LOADER_SHARDS_H
#define DATA_LOADER_SHARDS_H

#include "data_loader/data_loader.h"

struct shards *shards_open(void);
void shards_close(struct shards *s);

/* The samples of a worker's shard, to be freed with xfree(). Fatal when a worker has none. */
int32_t *shards_take(const struct dataset *d, const struct loader_options *o, int64_t *count);

#endif
