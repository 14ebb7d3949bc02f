/* A line and a heap, each by (time, order): what comes next is the first of the line or the top of the heap, whichever is sooner.
 *
 * What comes no sooner than all that stands in the line joins it behind, in O(1): where many ranks do one thing after another that takes
 * each the same time, that is nearly everything. The rest goes to the heap. There each event knows its place, so that it can be moved and
 * nothing outdated is ever kept. Four children each: half as many levels as with two, and at each an event's place is written, somewhere
 * in memory. */
#include "base/agenda.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#include "base/alloc.h"

#define AT_LINE UINT32_MAX

static bool before(const struct moment *a, const struct moment *b)
{
    return a->when_s < b->when_s || (a->when_s == b->when_s && a->order < b->order);
}

static void place(struct agenda *agenda, uint32_t at, struct entry entry)
{
    agenda->heap[at] = entry;
    entry.event->at = at;
}

/* Puts the entry at `at`, or up or down from there, where the heap is in order again. */
static void settle(struct agenda *agenda, uint32_t at, struct entry entry)
{
    const struct entry *heap = agenda->heap;
    for (; at > 1 && before(&entry.moment, &heap[(at + 2) / 4].moment); at = (at + 2) / 4)
        place(agenda, at, heap[(at + 2) / 4]);
    for (uint32_t first; (first = 4 * at - 2) <= agenda->count;) {
        uint32_t least = first, last = first + 3 < agenda->count ? first + 3 : agenda->count;
        for (uint32_t child = first + 1; child <= last; child++)
            least = before(&heap[child].moment, &heap[least].moment) ? child : least;
        if (!before(&heap[least].moment, &entry.moment))
            break;
        place(agenda, at, heap[least]);
        at = least;
    }
    place(agenda, at, entry);
}

static void grow(struct agenda *agenda)
{
    uint32_t room = agenda->room ? 2 * agenda->room : 64;
    struct entry *heap = obtain(room, sizeof *heap);
    if (agenda->heap)
        memcpy(heap, agenda->heap, agenda->room * sizeof *heap);
    release(agenda->heap);
    agenda->heap = heap;
    agenda->room = room;
}

static void join_line(struct agenda *agenda, struct event *event)
{
    event->at = AT_LINE;
    event->ahead = agenda->last;
    event->behind = NULL;
    *(event->ahead ? &event->ahead->behind : &agenda->first) = event;
    agenda->last = event;
}

static void leave_line(struct agenda *agenda, struct event *event)
{
    event->at = 0;
    *(event->ahead ? &event->ahead->behind : &agenda->first) = event->behind;
    *(event->behind ? &event->behind->ahead : &agenda->last) = event->ahead;
}

void agenda_put(struct agenda *agenda, struct event *event, double when_s)
{
    assert(when_s >= agenda->now_s);
    if (event->at == AT_LINE)
        leave_line(agenda, event);
    event->moment = (struct moment){when_s, agenda->orders++};
    if (!event->at && (!agenda->last || when_s >= agenda->last->moment.when_s)) {
        join_line(agenda, event);
        return;
    }
    if (!event->at) {
        event->at = ++agenda->count;
        if (agenda->count >= agenda->room)
            grow(agenda);
    }
    settle(agenda, event->at, (struct entry){event->moment, event});
}

struct event *agenda_next(struct agenda *agenda)
{
    struct event *next = agenda->first;
    if (next && (!agenda->count || before(&next->moment, &agenda->heap[1].moment))) {
        leave_line(agenda, next);
    } else if (agenda->count) {
        struct entry last = agenda->heap[agenda->count--];
        next = agenda->heap[1].event;
        if (agenda->count)
            settle(agenda, 1, last);
        next->at = 0;
    } else {
        return NULL;
    }
    agenda->now_s = next->moment.when_s;
    return next;
}

void agenda_close(struct agenda *agenda)
{
    release(agenda->heap);
    *agenda = (struct agenda){0};
}
