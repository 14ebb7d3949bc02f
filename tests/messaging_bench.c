/* Heads by hand, a sum over all ranks, payloads that are pure functions of who sends what to
 * whom. */
#include "tests/messaging_bench.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"

int bench_await(struct bench *b, struct request *const *list, int count, const char *what)
{
    int i = net_wait(b->net, list, count, net_now(b->net) + DEADLINE_S);
    if (i < 0)
        die(1, "%s: nothing came for %d s (--seed %" PRIu64 ")", what, DEADLINE_S, b->seed);
    return i;
}

struct header bench_hear(struct bench *b, int from, int tag)
{
    struct request *r = net_recv(b->net, from, tag, NULL, 0);
    bench_await(b, &r, 1, "a head");
    struct header header = *net_header(r);
    net_release(b->net, r);
    return header;
}

void bench_tell(struct bench *b, int to, int tag, int64_t count)
{
    struct request *r = net_send(b->net, to, &(struct header){.tag = tag, .count = count}, NULL, 0);
    EXPECT(b, !r, "a head alone left a request");
}

void bench_verdict(struct bench *b)
{
    int64_t sum = b->wrong;
    for (int i = 1; i < b->net->ranks && b->net->rank == 0; i++)
        sum += bench_hear(b, i, TAG_VERDICT).count;
    for (int i = 1; i < b->net->ranks && b->net->rank == 0; i++)
        bench_tell(b, i, TAG_VERDICT, sum);
    if (b->net->rank > 0) {
        bench_tell(b, 0, TAG_VERDICT, sum);
        sum = bench_hear(b, 0, TAG_VERDICT).count;
    }
    b->wrong = 0;
    assert_int_equal(sum, 0);
}

static uint64_t word(uint64_t key, size_t i)
{
    return (key + i) * 0x9e3779b97f4a7c15u;
}

uint64_t bench_key(int from, int to, int tag, int64_t version)
{
    return (uint64_t)version * 1000003 + (uint64_t)from * 5003 + (uint64_t)to * 71 + (uint64_t)tag;
}

void bench_fill(void *at, size_t bytes, uint64_t key)
{
    for (size_t i = 0; i < bytes; i += 8) {
        uint64_t value = word(key, i);
        memcpy((char *)at + i, &value, bytes - i < 8 ? bytes - i : 8);
    }
}

int64_t bench_differs(const void *at, size_t bytes, uint64_t key)
{
    for (size_t i = 0; i < bytes; i += 8) {
        uint64_t value = word(key, i);
        if (memcmp((const char *)at + i, &value, bytes - i < 8 ? bytes - i : 8) != 0)
            return (int64_t)i;
    }
    return -1;
}

void bench_check(struct bench *b, const struct header *header, const void *data)
{
    int64_t at = bench_differs(data, header->bytes,
                               bench_key(header->from, header->to, header->tag, header->version));
    EXPECT(b, at < 0,
           "%" PRIu64 " bytes of rank %d (tag %d, version %" PRId64 ") differ at %" PRId64,
           header->bytes, header->from, header->tag, header->version, at);
}
