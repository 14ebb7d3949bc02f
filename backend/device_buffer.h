/* A vector's place on the GPU where its rank computes, for libraries that sum there: the vector
 * goes up, is summed, comes down.
 *
 * Everything is queued and runs behind: what is put into queue() waits for what went up before it,
 * and what comes down waits for what is in queue(). Vectors lie in memory that the backend was told
 * of (net_alloc()), so that copies keep nobody waiting; they stay, and what comes down is not read,
 * until reached(). A backend answers. */
#ifndef BACKEND_DEVICE_BUFFER_H
#define BACKEND_DEVICE_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct twin;

struct twin_kind {
    /* The GPU that the n-th rank of a host takes, in words: two ranks of one host that get the same
     * words share it. */
    void (*name)(int number, char *text, size_t size);
    /* a place for `count` floats; ends the program where there is no room */
    struct twin *(*open)(int number, int64_t count);
    void (*close)(struct twin *);   /* all that was queued is done */
    float *(*there)(struct twin *); /* the GPU's pointer */
    void *(*queue)(struct twin *);  /* a cudaStream_t */
    /* floats from .. from + count - 1 of it */
    void (*up)(struct twin *, const float *vector, int64_t from, int64_t count);
    void (*down)(struct twin *, float *vector, int64_t from, int64_t count);
    bool (*reached)(struct twin *); /* is all that was asked for done? Never waits */
};

#endif
