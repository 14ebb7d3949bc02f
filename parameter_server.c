/* Opens and closes either side; what a rank does stands in parameter_server/. */
#include "parameter_server.h"

#include <assert.h>

#include "base/alloc.h"
#include "parameter_server/private.h"

int ps_rank_of(const struct ps *ps, int worker)
{
    return ps->servers + worker;
}

struct ps *ps_open(struct node *n)
{
    struct ps *ps = obtain(1, sizeof *ps);
    ps->n = n;
    ps->wire = wire_find(n->setting->options->wire);
    ps->weights_wire = ps->wire->weights ? ps->wire : wire_find("f32");
    ps->servers = n->setting->servers;
    ps->workers = n->setting->workers;
    assert(ps->servers <= MAX_SERVERS);
    (n->worker < 0 ? ps_open_server : ps_open_worker)(ps);
    return ps;
}

void ps_close(struct ps *ps)
{
    (ps->n->worker < 0 ? ps_close_server : ps_close_worker)(ps);
    release(ps);
}
