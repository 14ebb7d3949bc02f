/* A heap by (time, order). Each event knows its place, so that it can be moved and nothing outdated is ever kept. Four children each:
 * half as many levels as with two, and at each an event's place is written, somewhere in memory. */
#include "base/agenda.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#include "base/alloc.h"

static bool before(const struct entry *a, const struct entry *b)
{
    return a->when_s < b->when_s || (a->when_s == b->when_s && a->order < b->order);
}

static void place(struct agenda *agenda, size_t at, struct entry entry)
{
    agenda->heap[at] = entry;
    entry.event->at = at;
}

/* Puts the entry at `at`, or up or down from there, where the heap is in order again. */
static void settle(struct agenda *agenda, size_t at, struct entry entry)
{
    const struct entry *heap = agenda->heap;
    for (; at > 1 && before(&entry, &heap[(at + 2) / 4]); at = (at + 2) / 4)
        place(agenda, at, heap[(at + 2) / 4]);
    for (size_t first; (first = 4 * at - 2) <= agenda->count;) {
        size_t least = first, last = first + 3 < agenda->count ? first + 3 : agenda->count;
        for (size_t child = first + 1; child <= last; child++)
            least = before(&heap[child], &heap[least]) ? child : least;
        if (!before(&heap[least], &entry))
            break;
        place(agenda, at, heap[least]);
        at = least;
    }
    place(agenda, at, entry);
}

static void grow(struct agenda *agenda)
{
    size_t room = agenda->room ? 2 * agenda->room : 64;
    struct entry *heap = obtain(room, sizeof *heap);
    if (agenda->heap)
        memcpy(heap, agenda->heap, agenda->room * sizeof *heap);
    release(agenda->heap);
    agenda->heap = heap;
    agenda->room = room;
}

void agenda_put(struct agenda *agenda, struct event *event, double when_s)
{
    assert(when_s >= agenda->now_s);
    if (!event->at) {
        event->at = ++agenda->count;
        if (agenda->count >= agenda->room)
            grow(agenda);
    }
    settle(agenda, event->at, (struct entry){when_s, agenda->orders++, event});
}

struct event *agenda_next(struct agenda *agenda)
{
    if (!agenda->count)
        return NULL;
    struct entry first = agenda->heap[1], last = agenda->heap[agenda->count--];
    if (agenda->count)
        settle(agenda, 1, last);
    first.event->at = 0;
    agenda->now_s = first.when_s;
    return first.event;
}

void agenda_close(struct agenda *agenda)
{
    release(agenda->heap);
    *agenda = (struct agenda){0};
}
