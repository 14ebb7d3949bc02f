/* Opens and closes either side; what a rank does stands in parameter_server/. */
#include "parameter_server/parameter_server.h"

#include <assert.h>

#include "base/alloc.h"
#include "parameter_server/private.h"

int ps_rank_of(const struct ps *ps, int worker)
{
    return ps->servers + worker;
}

struct ps *ps_open(struct node *n)
{
    struct ps *ps = xcalloc(1, sizeof *ps);
    ps->n = n;
    ps->codec = codec_find(n->context->options->compress);
    ps->weights_codec = ps->codec->weights ? ps->codec : codec_find("f32");
    ps->servers = n->context->servers;
    ps->workers = n->context->workers;
    assert(ps->servers <= MAX_SERVERS);
    (n->worker < 0 ? ps_open_server : ps_open_worker)(ps);
    return ps;
}

void ps_close(struct ps *ps)
{
    (ps->n->worker < 0 ? ps_close_server : ps_close_worker)(ps);
    xfree(ps);
}
