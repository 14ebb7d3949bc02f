/* A record of an event file: u64 length, masked CRC of that, bytes, masked CRC of those, little
 * endian (TensorFlow: tensorflow/core/lib/io/record_writer.h). The bytes are a protobuf `Event`
 * (tensorflow/core/util/event.proto), written by hand: of it we use
 *
 *   double wall_time = 1; int64 step = 2; string file_version = 3; Summary summary = 5;
 *   SessionLog session_log = 7 { SessionStatus status = 1 }
 *   Summary { repeated Value value = 1 }; Value { string tag = 1; float simple_value = 2 }
 */
#include "metrics/tensorboard.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "metrics/results.h"

static const char prefix[] = "events.out.tfevents."; /* TensorBoard looks for it */
enum { MOST_BYTES = 1024, VARINT_BYTES = 10, START = 1 };
enum wire { VARINT = 0, EIGHT_BYTES = 1, LENGTH = 2, FOUR_BYTES = 5 }; /* protobuf's */

struct tensorboard {
    struct results *results;
    FILE *file; /* NULL: it was given up */
    char folder[PATH_SIZE], path[PATH_SIZE + 256];
    uint32_t crc_of[256];
    double started_s; /* since 1970 */
    bool goes_on;     /* nothing was written yet of a run that goes on */
    double last_seconds;
    int64_t last_samples;
    bool has_last;
};

struct message {
    unsigned char bytes[MOST_BYTES];
    size_t size;
};

/* --- protobuf --- */

static void put(struct message *m, const void *bytes, size_t size)
{
    if (m->size + size > sizeof m->bytes)
        return; /* no event of ours is half as long */
    memcpy(m->bytes + m->size, bytes, size);
    m->size += size;
}

static void put_varint(struct message *m, uint64_t value)
{
    unsigned char bytes[VARINT_BYTES];
    size_t size = 0;
    for (; value >= 128; value >>= 7)
        bytes[size++] = (unsigned char)(value | 128);
    bytes[size++] = (unsigned char)value;
    put(m, bytes, size);
}

static void put_key(struct message *m, int field, enum wire wire)
{
    put_varint(m, (uint64_t)field << 3 | wire);
}

/* The least byte first, whatever the machine has. */
static void put_little(struct message *m, uint64_t value, int size)
{
    unsigned char bytes[8];
    for (int i = 0; i < size; i++)
        bytes[i] = (unsigned char)(value >> 8 * i);
    put(m, bytes, (size_t)size);
}

static void put_double(struct message *m, int field, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_key(m, field, EIGHT_BYTES);
    put_little(m, bits, 8);
}

static void put_float(struct message *m, int field, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_key(m, field, FOUR_BYTES);
    put_little(m, bits, 4);
}

static void put_bytes(struct message *m, int field, const void *bytes, size_t size)
{
    put_key(m, field, LENGTH);
    put_varint(m, size);
    put(m, bytes, size);
}

/* --- records --- */

/* CRC32C (Castagnoli), reflected. */
static void make_table(uint32_t crc_of[256])
{
    for (uint32_t i = 0; i < 256; i++) {
        crc_of[i] = i;
        for (int bit = 0; bit < 8; bit++)
            crc_of[i] = crc_of[i] >> 1 ^ (crc_of[i] & 1 ? 0x82f63b78u : 0);
    }
}

static uint32_t masked_crc(const struct tensorboard *t, const unsigned char *bytes, size_t size)
{
    uint32_t crc = ~0u;
    for (size_t i = 0; i < size; i++)
        crc = t->crc_of[(crc ^ bytes[i]) & 255] ^ crc >> 8;
    crc = ~crc;
    return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

static void give_up(struct tensorboard *t)
{
    fprintf(stderr, "nbsgd: cannot write %s (%s): points are lost, training goes on to its end\n",
            t->path, strerror(errno));
    results_unwritten(t->results, t->path);
    if (t->file)
        fclose(t->file);
    t->file = NULL;
}

static void write_record(struct tensorboard *t, const struct message *event)
{
    struct message head = {.size = 0}, tail = {.size = 0};
    if (!t->file)
        return;
    put_little(&head, event->size, 8);
    put_little(&head, masked_crc(t, head.bytes, 8), 4);
    put_little(&tail, masked_crc(t, event->bytes, event->size), 4);
    fwrite(head.bytes, 1, head.size, t->file);
    fwrite(event->bytes, 1, event->size, t->file);
    fwrite(tail.bytes, 1, tail.size, t->file);
    if (fflush(t->file) || ferror(t->file))
        give_up(t);
}

static void begin_event(struct message *event, double wall_s, int64_t step)
{
    event->size = 0;
    put_double(event, 1, wall_s);
    put_key(event, 2, VARINT);
    put_varint(event, (uint64_t)step);
}

/* --- the file --- */

static void remove_earlier(const char *folder)
{
    char path[2 * PATH_SIZE];
    DIR *d = opendir(folder);
    for (const struct dirent *e; d && (e = readdir(d));) {
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        if (!strncmp(e->d_name, prefix, sizeof prefix - 1))
            unlink(path);
    }
    if (d)
        closedir(d);
}

void tensorboard_forget(const struct results *r)
{
    char folder[PATH_SIZE];
    results_path(r, "tensorboard", folder, sizeof folder);
    remove_earlier(folder);
}

struct tensorboard *tensorboard_open(struct results *r, const char *to)
{
    if (!to || !strcmp(to, "no"))
        return NULL;
    struct tensorboard *t = xcalloc(1, sizeof *t);
    t->results = r;
    if (strcmp(to, "yes"))
        snprintf(t->folder, sizeof t->folder, "%s", to);
    else
        results_path(r, "tensorboard", t->folder, sizeof t->folder);
    make_table(t->crc_of);
    return t;
}

static FILE *create(const char *path)
{
    file_make_parents(path);
    int number = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    FILE *file = number < 0 ? NULL : fdopen(number, "w");
    if (number >= 0 && !file)
        close(number);
    return file;
}

void tensorboard_begin(struct tensorboard *t)
{
    static const char version[] = "brain.Event:2";
    struct message event;
    struct timespec now;
    char host[128] = "host";
    if (!t)
        return;
    t->goes_on = t->results->resume;
    clock_gettime(CLOCK_REALTIME, &now);
    gethostname(host, sizeof host - 1);
    t->started_s = (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
    snprintf(t->path, sizeof t->path, "%s/%s%010lld.%09ld.%s.%ld", t->folder, prefix,
             (long long)now.tv_sec, now.tv_nsec, host, (long)getpid());
    t->file = create(t->path);
    if (!t->file) {
        give_up(t);
        return;
    }
    begin_event(&event, t->started_s, 0);
    put_bytes(&event, 3, version, sizeof version - 1);
    write_record(t, &event);
}

void tensorboard_close(struct tensorboard *t)
{
    if (!t)
        return;
    if (t->file && fclose(t->file)) {
        t->file = NULL;
        give_up(t);
    }
    xfree(t);
}

/* --- scalars --- */

struct scalar {
    const char *tag; /* NULL ends a list */
    double value;    /* NAN: there is none */
};

static void note_start(struct tensorboard *t, double wall_s, int64_t step)
{
    struct message event, log = {.size = 0};
    put_key(&log, 1, VARINT);
    put_varint(&log, START);
    begin_event(&event, wall_s, step);
    put_bytes(&event, 7, log.bytes, log.size);
    write_record(t, &event);
    t->goes_on = false;
}

static void write_scalars(struct tensorboard *t, double seconds, int64_t step,
                          const struct scalar *list)
{
    struct message event, summary = {.size = 0};
    double wall_s = t->started_s + seconds;
    if (t->goes_on)
        note_start(t, wall_s, step);
    for (; list->tag; list++) {
        struct message value = {.size = 0};
        if (isnan(list->value))
            continue;
        put_bytes(&value, 1, list->tag, strlen(list->tag));
        put_float(&value, 2, (float)list->value);
        put_bytes(&summary, 1, value.bytes, value.size);
    }
    begin_event(&event, wall_s, step);
    put_bytes(&event, 5, summary.bytes, summary.size);
    write_record(t, &event);
}

/* since the evaluation before; NAN: there was none, or no time passed */
static double images_per_s(struct tensorboard *t, const struct evaluation *e)
{
    double speed = t->has_last && e->seconds > t->last_seconds
                       ? (double)(e->samples - t->last_samples) / (e->seconds - t->last_seconds)
                       : NAN;
    t->last_seconds = e->seconds;
    t->last_samples = e->samples;
    t->has_last = true;
    return speed;
}

void tensorboard_evaluation(struct tensorboard *t, const struct evaluation *e)
{
    if (!t || !t->file)
        return;
    const struct scalar list[] = {{"evaluation/top1", e->top1},
                                  {"evaluation/top5", e->top5},
                                  {"evaluation/loss", e->loss},
                                  {"evaluation/training_loss", e->training_loss},
                                  {"evaluation/weight_norm", e->weight_norm},
                                  {"evaluation/epoch", e->epoch},
                                  {"evaluation/samples", (double)e->samples},
                                  {"evaluation/samples_per_s", images_per_s(t, e)},
                                  {0}};
    write_scalars(t, e->seconds, e->updates, list);
}

void tensorboard_update(struct tensorboard *t, const struct progress *p)
{
    if (!t || !t->file)
        return;
    const struct scalar list[] = {
        {"update/loss", p->loss}, {"update/lr", p->lr}, {"update/staleness", p->staleness}, {0}};
    write_scalars(t, p->seconds, p->version, list);
}
