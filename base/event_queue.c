/* A line and a heap, each by (time, order): what comes next is the first of the line or the top of
 * the heap, whichever is sooner.
 *
 * What comes no sooner than all that is in the line joins its end, in O(1): where many ranks
 * do one thing after another that takes each the same time, that is nearly everything. The rest
 * goes to the heap. There each event knows its place, so that it can be moved and nothing outdated
 * is ever kept. Four children each: half as many levels as with two, and at each an event's place
 * is written, somewhere in memory. */
#include "base/event_queue.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "base/alloc.h"

#define AT_LINE UINT32_MAX

static bool before(const struct event_time *a, const struct event_time *b)
{
    return a->when_s < b->when_s || (a->when_s == b->when_s && a->order < b->order);
}

static void place(struct event_queue *queue, uint32_t at, struct entry entry)
{
    queue->heap[at] = entry;
    entry.event->at = at;
}

/* Puts the entry at `at`, or up or down from there, where the heap is in order again. */
static void settle(struct event_queue *queue, uint32_t at, struct entry entry)
{
    const struct entry *heap = queue->heap;
    for (; at > 1 && before(&entry.event_time, &heap[(at + 2) / 4].event_time); at = (at + 2) / 4)
        place(queue, at, heap[(at + 2) / 4]);
    for (uint32_t first; (first = 4 * at - 2) <= queue->count;) {
        uint32_t least = first, last = first + 3 < queue->count ? first + 3 : queue->count;
        for (uint32_t child = first + 1; child <= last; child++)
            least = before(&heap[child].event_time, &heap[least].event_time) ? child : least;
        if (!before(&heap[least].event_time, &entry.event_time))
            break;
        place(queue, at, heap[least]);
        at = least;
    }
    place(queue, at, entry);
}

static void grow(struct event_queue *queue)
{
    uint32_t room = queue->room ? 2 * queue->room : 64;
    struct entry *heap = xcalloc(room, sizeof *heap);
    if (queue->heap)
        memcpy(heap, queue->heap, queue->room * sizeof *heap);
    xfree(queue->heap);
    queue->heap = heap;
    queue->room = room;
}

static void join_line(struct event_queue *queue, struct event *event)
{
    event->at = AT_LINE;
    event->ahead = queue->last;
    event->after = NULL;
    *(event->ahead ? &event->ahead->after : &queue->first) = event;
    queue->last = event;
}

static void leave_line(struct event_queue *queue, struct event *event)
{
    event->at = 0;
    *(event->ahead ? &event->ahead->after : &queue->first) = event->after;
    *(event->after ? &event->after->ahead : &queue->last) = event->ahead;
}

void event_queue_put(struct event_queue *queue, struct event *event, double when_s)
{
    assert(when_s >= queue->now_s);
    if (event->at == AT_LINE)
        leave_line(queue, event);
    event->event_time = (struct event_time){when_s, queue->orders++};
    if (!event->at && (!queue->last || when_s >= queue->last->event_time.when_s)) {
        join_line(queue, event);
        return;
    }
    if (!event->at) {
        event->at = ++queue->count;
        if (queue->count >= queue->room)
            grow(queue);
    }
    settle(queue, event->at, (struct entry){event->event_time, event});
}

struct event *event_queue_next(struct event_queue *queue)
{
    struct event *next = queue->first;
    if (next && (!queue->count || before(&next->event_time, &queue->heap[1].event_time))) {
        leave_line(queue, next);
    } else if (queue->count) {
        struct entry last = queue->heap[queue->count--];
        next = queue->heap[1].event;
        if (queue->count)
            settle(queue, 1, last);
        next->at = 0;
    } else {
        return NULL;
    }
    queue->now_s = next->event_time.when_s;
    return next;
}

double event_queue_next_s(const struct event_queue *queue)
{
    double line_s = queue->first ? queue->first->event_time.when_s : INFINITY;
    return queue->count ? fmin(line_s, queue->heap[1].event_time.when_s) : line_s;
}

void event_queue_close(struct event_queue *queue)
{
    xfree(queue->heap);
    *queue = (struct event_queue){0};
}
