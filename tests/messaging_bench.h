/* What the tests of a real world share: failures that are counted over all ranks, heads by hand,
 * payloads that can be recognised. */
#ifndef TESTS_MESSAGING_BENCH_H
#define TESTS_MESSAGING_BENCH_H

#include <inttypes.h>
#include <stdio.h>

#include "messaging/messaging.h"

enum { TAG_VERDICT = 60, DEADLINE_S = 60 };

struct bench {
    struct net *net;
    uint64_t seed;
    int rounds, wrong, failed, argc;
    bool remote; /* some other rank lives on another host */
    char **argv;
};

/* Counts and tells what does not hold on this rank, and goes on: the others must not be left
 * waiting. */
#define EXPECT(b, condition, ...)                                                                  \
    do {                                                                                           \
        if (!(condition) && (b)->wrong++ < 5) {                                                    \
            fprintf(stderr, "%s:%d: rank %d, --seed %" PRIu64 ": ", __FILE__, __LINE__,            \
                    (b)->net->rank, (b)->seed);                                                    \
            fprintf(stderr, __VA_ARGS__);                                                          \
            fputc('\n', stderr);                                                                   \
        }                                                                                          \
    } while (0)

/* Waits for one of the list; a wait that does not end is a failure of its own. */
int bench_await(struct bench *b, struct request *const *list, int count, const char *what);

/* the next head, whose payload is not wanted */
struct header bench_hear(struct bench *b, int from, int tag);
void bench_tell(struct bench *b, int to, int tag, int64_t count);

/* Ends a case: all ranks learn how much went wrong on any, and fail together. */
void bench_verdict(struct bench *b);

/* The payload of (from, to, tag, version), and whether a message carries it. */
uint64_t bench_key(int from, int to, int tag, int64_t version);
void bench_fill(void *at, size_t bytes, uint64_t key);
/* the first byte that differs (to 8), or -1 */
int64_t bench_differs(const void *at, size_t bytes, uint64_t key);
void bench_check(struct bench *b, const struct header *header, const void *data);

void messaging_traffic(void **state);  /* a case: random traffic of everybody with everybody */
void messaging_speed(struct net *net); /* prints what messages cost; at least 2 ranks */

#endif
