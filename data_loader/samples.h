/* Several samples as a network's input, by the data set's threads where it has any. */
#ifndef DATA_LOADER_SAMPLES_H
#define DATA_LOADER_SAMPLES_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/random.h"
#include "data_loader/augment.h"

struct sample {
    int64_t number; /* in the data set */
    bool draws;     /* by the kind's own augmentation, of these numbers */
    struct random draw;
    struct augment how;
};

/* The line of the first sample that could not be read, for dataset_kind.unread. */
struct unread {
    pthread_mutex_t lock;
    char *line; /* NULL: all could be */
};

void unread_open(struct unread *u);
void unread_close(struct unread *u);
void unread_note(struct unread *u, const char *format, ...) __attribute__((format(printf, 2, 3)));
const char *unread_line(struct unread *u);

/* Which samples stay when `limit` of them do, drawn by a fixed key, to be freed; NULL: all. */
bool *samples_draw_limit(int64_t count, int64_t limit);

/* Ends the program where a sample that was read so far could not be. Only for a thread that the
 * program may end from. */
void samples_check(const struct dataset *d);

/* Bytes of memory that samples_read() works in: 0 where pixels lie in memory. */
size_t samples_scratch(const struct dataset *d);

/* samples[count] into out[count][height][width][channels]. Each is a function of itself alone,
 * whatever threads there are; samples[] may be changed. */
void samples_read(const struct dataset *d, struct sample *samples, int64_t count,
                  const struct levels *levels, uint8_t *scratch, float *out);

#endif
