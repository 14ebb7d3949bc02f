/* Choices timed once and stored: which algorithm a convolution takes, by machine, library, threads,
 * type and shape.
 *
 * The file is text, one choice a line, "key = algorithm"; what is not understood is ignored, so a
 * damaged file costs time and nothing else. It is replaced as a whole (written beside, then
 * renamed): several ranks may share it, the last one wins. */
#ifndef BACKEND_CHOICE_H
#define BACKEND_CHOICE_H

#include <stdbool.h>

enum { CHOICE_KEY = 256, CHOICE_NAME = 32 };

struct choices;

/* path == NULL: in memory alone. `setting` is put before every key: what else the times depend
 * on. */
struct choices *choices_open(const char *path, const char *setting);
void choices_close(struct choices *c);

/* The algorithm stored for this key, NULL when there is none. */
const char *choices_find(const struct choices *c, const char *key);
void choices_store(struct choices *c, const char *key, const char *algorithm);

#endif
