/* Ranks note down what they see; what is noted is compared after the run, to the last bit. */
#ifndef TESTS_NOTES_H
#define TESTS_NOTES_H

#include "messaging.h"

#define BANDWIDTH 0x1p20 /* bytes a second */
#define L 0x1p-4         /* latency, s */
#define T 0x1p-8         /* s that a message of BYTES takes */
#define H (sizeof(struct mail) / BANDWIDTH)
enum { BYTES = 4096 - sizeof(struct mail) };

struct notes {
    int count;
    double list[256];
};

void note(struct notes *notes, double value);
void expect_notes(const char *file, int line, const struct notes *notes, int count, const double *want);

#define EXPECT(notes, ...)                                                                                                                 \
    do {                                                                                                                                   \
        const double want[] = {__VA_ARGS__};                                                                                               \
        expect_notes(__FILE__, __LINE__, notes, sizeof want / sizeof *want, want);                                                         \
    } while (0)

struct request *send_head(struct net *net, int to, int tag, int64_t version);
struct request *send_bytes(struct net *net, int to, int tag, const void *payload, size_t bytes);

int64_t take(struct net *net, struct request *request); /* waits for the request, for ever, drops it, returns the version that came */
int64_t take_from(struct net *net, int from, int tag);
void wait_sent(struct net *net, struct request *request);

#endif
