/* Many images in few files: shards of our own (docs/shards.md) and WebDataset's tar archives.
 *
 * Both are read by their places: an image is a piece of a file. Readers trust no byte: what is
 * truncated or damaged is fatal, and named. */
#ifndef DATA_LOADER_BUNDLE_H
#define DATA_LOADER_BUNDLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bundle_image {
    int64_t offset;
    uint64_t digest; /* XXH3 of its bytes, in a shard */
    int32_t bytes, label, file;
};

struct bundle_list {
    struct bundle_image *image;
    int64_t count, room;
    int classes;
    char *names; /* of the classes, each with a zero byte; NULL: they have none */
    size_t names_bytes;
};

void bundle_add(struct bundle_list *l, const struct bundle_image *image);
void bundle_close(struct bundle_list *l);

/* Appends the images of a shard, the file-th; *number of *of. The class names of all must be the
 * same. */
void shard_read(struct bundle_list *l, const char *path, int32_t file, int *number, int *of);

/* Reads a whole shard: is every byte as it was written? false: why[], at most BUNDLE_WHY bytes. */
enum { BUNDLE_WHY = 300 };
bool shard_check(const char *path, char *why);

/* Appends the images of an archive: files KEY.jpg, .jpeg or .png beside KEY.cls, which holds the
 * label in digits. Raises l->classes to have all labels. */
void tar_read(struct bundle_list *l, const char *path, int32_t file);

bool bundle_is_shard(const char *path); /* by its name */

/* Bytes offset .. offset + bytes - 1 of an open file; false and errno: they can't be read. */
bool bundle_bytes(int file, int64_t offset, void *to, size_t bytes);

/* --- writing a shard */

struct shard_writer;

/* Into `file`, which is empty, as the number-th of `of`. names: of the classes, each with a zero
 * byte; borrowed. */
struct shard_writer *shard_begin(void *file, int number, int of, int classes, const char *names,
                                 size_t names_bytes);
void shard_add(struct shard_writer *w, const void *bytes, size_t count, int32_t label);
bool shard_end(struct shard_writer *w); /* false: the file could not be written */

#endif
