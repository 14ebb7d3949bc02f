/* The norm of a whole gradient that several servers have in slices: each sends its sum of squares
 * to all others. They make the same updates in one order (LOCKSTEP schemes), so the sums meet. The
 * bits are those of one server. Cost: S - 1 headers sent and awaited by each, an update. */
#include <math.h>

#include "base/check.h"
#include "base/squares.h"
#include "parameter_server/server.h"

/* The wait is part of the update, which is accounted for as a whole. */
static void wait_within_update(struct ps_server *ps, struct request **list, int server)
{
    struct node *n = ps->n;
    double waited_s = n->counters.wait_s, moved_s = n->counters.transfer_s;
    node_wait(n, list, 2, INFINITY, "the norm of its slice", server);
    node_move_account(n, ACCOUNT_WAIT, ACCOUNT_OTHER, n->counters.wait_s - waited_s);
    node_move_account(n, ACCOUNT_TRANSFER, ACCOUNT_OTHER, n->counters.transfer_s - moved_s);
}

static void add_squares_of(struct ps_server *ps, int server, struct squares *sum)
{
    struct squares_packed theirs;
    struct request *list[2] = {NULL, net_recv(ps->n->net, server, TAG_NORM, NULL, 0)};
    wait_within_update(ps, list, server);
    const struct header *m = net_header(list[1]);
    CHECK(m->version == ps->n->version, "rank %d sent the norm of version %lld, not of %lld",
          server, (long long)m->version, (long long)ps->n->version);
    header_unpack(m, theirs);
    net_release(ps->n->net, list[1]);
    const struct squares more = squares_unpack(&theirs);
    squares_join(sum, &more);
}

double ps_whole_norm(void *self, const struct squares *slice)
{
    struct ps_server *ps = self;
    struct squares sum = *slice;
    const struct squares_packed packed = squares_pack(slice);
    struct header header = {.tag = TAG_NORM, .version = ps->n->version};
    header_pack(&header, packed);
    for (int s = 0; s < ps->servers; s++)
        if (s != ps->n->rank)
            net_send(ps->n->net, s, &header, NULL, 0);
    for (int s = 0; s < ps->servers; s++)
        if (s != ps->n->rank)
            add_squares_of(ps, s, &sum);
    return squares_norm(&sum);
}
