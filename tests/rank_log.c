#include "tests/rank_log.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"

void log_value(struct rank_log *notes, double value)
{
    CHECK(notes->count < 256, "too many notes");
    notes->list[notes->count++] = value;
}

void expect_log(const char *file, int line, const struct rank_log *notes, int count,
                const double *want)
{
    bool same = notes->count == count && !memcmp(notes->list, want, (size_t)count * sizeof *want);
    for (int i = 0; !same && i < (notes->count > count ? notes->count : count); i++)
        print_error("%s:%d: note %d is %.17g, expected %.17g\n", file, line, i,
                    i < notes->count ? notes->list[i] : NAN, i < count ? want[i] : NAN);
    assert_true(same);
}

struct request *send_head(struct net *net, int to, int tag, int64_t version)
{
    const struct header head = {.tag = tag, .version = version};
    return net_send(net, to, &head, NULL, 0);
}

struct request *send_bytes(struct net *net, int to, int tag, const void *payload, size_t bytes)
{
    const struct header head = {.tag = tag};
    return net_send(net, to, &head, payload, bytes);
}

int64_t take(struct net *net, struct request *request)
{
    CHECK(net_wait(net, &request, 1, INFINITY) == 0, "a wait without end came back with nothing");
    int64_t version = net_header(request)->version;
    net_release(net, request);
    return version;
}

int64_t take_from(struct net *net, int from, int tag)
{
    return take(net, net_recv(net, from, tag, NULL, 0));
}

void wait_sent(struct net *net, struct request *request)
{
    CHECK(net_wait(net, &request, 1, INFINITY) == 0, "a wait without end came back with nothing");
    net_release(net, request);
}

struct rank_log log_run(int ranks, void (*body)(struct net *, void *))
{
    struct world_options options = {.ranks = ranks, .latency_s = L, .bandwidth = BANDWIDTH};
    struct rank_log notes = {0};
    sim_run(&options, body, &notes);
    return notes;
}
