/* Ranks note down what they see; what is noted is compared after the run, to the last bit. */
#ifndef TESTS_RANK_LOG_H
#define TESTS_RANK_LOG_H

#include "messaging/messaging.h"

#define BANDWIDTH 0x1p20 /* bytes per second */
#define L 0x1p-4         /* latency, s */
#define T 0x1p-8         /* s that a message of BYTES takes */
#define H (sizeof(struct header) / BANDWIDTH)
enum { BYTES = 4096 - sizeof(struct header) };

struct rank_log {
    int count;
    double list[256];
};

void log_value(struct rank_log *notes, double value);
void expect_log(const char *file, int line, const struct rank_log *notes, int count,
                const double *want);

#define EXPECT(notes, ...)                                                                         \
    do {                                                                                           \
        const double want[] = {__VA_ARGS__};                                                       \
        expect_log(__FILE__, __LINE__, notes, sizeof want / sizeof *want, want);                   \
    } while (0)

struct request *send_head(struct net *net, int to, int tag, int64_t version);
struct request *send_bytes(struct net *net, int to, int tag, const void *payload, size_t bytes);

int64_t take(struct net *net, struct request *request); /* waits for the request, for ever, drops
                                                           it, returns the version that came */
int64_t take_from(struct net *net, int from, int tag);
void wait_sent(struct net *net, struct request *request);

/* What the ranks of a simulated run note down; every link has latency L and bandwidth BANDWIDTH. */
struct rank_log log_run(int ranks, void (*body)(struct net *, void *));

#endif
