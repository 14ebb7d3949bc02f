/* Ranks that meet: what they would do by messages is done at once.
 *
 * Cost: a request and an event for each rank, whatever they exchange. */
#include "base/alloc.h"
#include "messaging/sim/sim.h"

void sim_meetings_close(struct sim *sim)
{
    xfree(sim->meeting.request);
    xfree(sim->meeting.given);
    xfree(sim->meeting.at_s);
}

static void open(struct sim *sim)
{
    struct meeting *m = &sim->meeting;
    size_t ranks = (size_t)sim->options.ranks;
    m->request = xcalloc(ranks, sizeof *m->request);
    m->given = xcalloc(ranks, sizeof *m->given);
    m->at_s = xcalloc(ranks, sizeof *m->at_s);
}

/* All are here. */
static void hold(struct sim *sim, void (*together)(void *self, void *const *given, double *at_s),
                 void *self)
{
    struct meeting *m = &sim->meeting;
    int count = m->here;
    m->here = 0;
    together(self, m->given, m->at_s);
    for (int i = 0; i < count; i++) {
        m->request[i]->event.kind = MET;
        event_queue_put(&sim->events, &m->request[i]->event, m->at_s[i]);
    }
}

struct request *sim_meet(struct net *net, int first, void *given,
                         void (*together)(void *self, void *const *given, double *at_s), void *self)
{
    struct rank *rank = net->self;
    struct sim *sim = rank->sim;
    struct meeting *m = &sim->meeting;
    int place = net->rank - first;
    if (!m->request)
        open(sim);
    if (!m->here)
        m->first = first;
    STRICT(m->first == first, sim, "rank %d meets those from %d up, others those from %d up",
           net->rank, first, m->first);
    struct request *request = sim_request(rank, NULL, false);
    list_append(&rank->open, &request->open);
    m->request[place] = request;
    m->given[place] = given;
    m->at_s[place] = sim->events.now_s;
    if (++m->here == net->ranks - first)
        hold(sim, together, self);
    return request;
}
