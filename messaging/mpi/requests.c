/* Pools of requests, messages and buffers. Cost: a list's first link; of buffers, a walk over those
 * that there are, a handful. */
#include "messaging/mpi/requests.h"

#include <string.h>

#include "base/alloc.h"

enum { FIRST_ROOM = 64 };

void pools_open(struct pools *p)
{
    *p = (struct pools){.numbers = 0};
    list_clear(&p->requests);
    list_clear(&p->messages);
}

void pools_close(struct pools *p)
{
    for (struct link *l; (l = list_first(&p->messages));) {
        list_remove(l);
        xfree(container_of(struct message, link, l));
    }
    for (uint32_t i = 1; i <= p->numbers; i++) {
        if (p->table[i]->in_use && p->table[i]->done)
            xfree(p->table[i]->message); /* a receive that was done and never released */
        xfree(p->table[i]);
    }
    for (int i = 0; i < p->buffers; i++) {
        xfree(p->buffer[i]->at);
        xfree(p->buffer[i]);
    }
    xfree(p->table);
    xfree(p->buffer);
}

/* The list of pointers with room for `room`. */
static void *grown(void *list, size_t count, size_t room)
{
    void **copy = xcalloc(room, sizeof *copy);
    if (count)
        memcpy(copy, list, count * sizeof *copy);
    xfree(list);
    return copy;
}

struct request *request_new(struct pools *p, const struct net_calls *calls)
{
    struct link *free = list_first(&p->requests);
    struct request *r = free ? container_of(struct request, link, free) : NULL;
    if (r) {
        list_remove(&r->link);
    } else {
        if (p->numbers + 1 >= p->room) {
            p->room = p->room ? 2 * p->room : FIRST_ROOM;
            p->table = grown(p->table, p->table ? p->numbers + 1 : 0, p->room);
        }
        r = xcalloc(1, sizeof *r);
        r->number = ++p->numbers;
        p->table[r->number] = r;
    }
    *r = (struct request){.calls = calls, .number = r->number, .in_use = true};
    return r;
}

void request_free(struct pools *p, struct request *r)
{
    r->in_use = false;
    list_append(&p->requests, &r->link);
}

struct request *request_at(const struct pools *p, uint32_t number)
{
    bool known = number > 0 && number <= p->numbers && p->table[number]->in_use;
    return known ? p->table[number] : NULL;
}

struct message *message_new(struct pools *p)
{
    struct link *free = list_first(&p->messages);
    struct message *m = free ? container_of(struct message, link, free) : xcalloc(1, sizeof *m);
    if (free)
        list_remove(free);
    else
        m->channel = p->channels++;
    *m = (struct message){.channel = m->channel};
    return m;
}

void message_free(struct pools *p, struct message *m)
{
    list_append(&p->messages, &m->link);
}

struct buffer *buffer_take(struct pools *p, size_t bytes)
{
    struct buffer *best = NULL;
    for (int i = 0; i < p->buffers; i++) {
        struct buffer *b = p->buffer[i];
        if (!b->taken && b->bytes >= bytes && (!best || b->bytes < best->bytes))
            best = b;
    }
    if (!best) {
        if (p->buffers == p->buffer_room) {
            p->buffer_room += FIRST_ROOM;
            p->buffer = grown(p->buffer, (size_t)p->buffers, (size_t)p->buffer_room);
        }
        best = p->buffer[p->buffers++] = xcalloc(1, sizeof *best);
        *best = (struct buffer){.at = xcalloc(bytes, 1), .bytes = bytes};
    }
    best->taken = true;
    return best;
}

void message_give_buffer(struct message *m)
{
    if (m->buffer)
        m->buffer->taken = false;
    m->buffer = NULL;
}
