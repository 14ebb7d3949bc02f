/* Lines and a heap, each by its time: what comes next is the first of a line or the top of the
 * heap, whichever is sooner.
 *
 * What comes no sooner than all that is in a line joins its end, in O(1): where many ranks do one
 * thing after another that takes each the same time, that is nearly everything. There are several
 * lines, since messages are under way for a moment and mini-batches for long. The rest goes to the
 * heap. There each event knows its place, so that it can be moved and nothing outdated is ever
 * kept. Four children each: half as many levels as with two, and at each an event's place is
 * written, somewhere in memory. */
#include "base/event_queue.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/alloc.h"

#define AT_LINE (UINT32_MAX - EVENT_LINES) /* and on: a line's */

static bool before(const struct event_time *a, const struct event_time *b)
{
    if (a->when_s != b->when_s)
        return a->when_s < b->when_s;
    return a->put_s < b->put_s || (a->put_s == b->put_s && a->order < b->order);
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

/* Of the lines that it may join, the one that ends latest: the others stay open for what comes
 * sooner. -1: none. */
static int line_for(const struct event_queue *queue, const struct event_time *at)
{
    int best = -1;
    for (int i = 0; i < EVENT_LINES; i++) {
        const struct event *last = queue->last[i], *latest = best < 0 ? NULL : queue->last[best];
        if (last ? !before(at, &last->event_time) &&
                       (!latest || before(&latest->event_time, &last->event_time))
                 : best < 0)
            best = i;
    }
    return best;
}

static void join_line(struct event_queue *queue, int line, struct event *event)
{
    event->at = AT_LINE + (uint32_t)line;
    event->ahead = queue->last[line];
    event->after = NULL;
    *(event->ahead ? &event->ahead->after : &queue->first[line]) = event;
    queue->last[line] = event;
}

static void leave_line(struct event_queue *queue, struct event *event)
{
    uint32_t line = event->at - AT_LINE;
    event->at = 0;
    *(event->ahead ? &event->ahead->after : &queue->first[line]) = event->after;
    *(event->after ? &event->after->ahead : &queue->last[line]) = event->ahead;
}

void event_queue_put_as(struct event_queue *queue, struct event *event, struct event_time at)
{
    assert(at.when_s >= queue->now_s);
    if (event->at >= AT_LINE)
        leave_line(queue, event);
    event->event_time = at;
    int line = event->at ? -1 : line_for(queue, &at);
    if (line >= 0) {
        join_line(queue, line, event);
        return;
    }
    if (!event->at) {
        event->at = ++queue->count;
        if (queue->count >= queue->room)
            grow(queue);
    }
    settle(queue, event->at, (struct entry){event->event_time, event});
}

void event_queue_put(struct event_queue *queue, struct event *event, double when_s)
{
    event_queue_put_as(queue, event,
                       (struct event_time){when_s, queue->now_s, event_queue_order(queue)});
}

uint64_t event_queue_order(struct event_queue *queue)
{
    return queue->orders++;
}

bool event_queue_is_ahead(const struct event_queue *queue, struct event_time at)
{
    return before(&queue->now, &at);
}

/* Of those that are first in their line, the one that comes next; NULL: all lines are empty. */
static struct event *next_of_lines(const struct event_queue *queue)
{
    struct event *next = NULL;
    for (int i = 0; i < EVENT_LINES; i++) {
        struct event *first = queue->first[i];
        if (first && (!next || before(&first->event_time, &next->event_time)))
            next = first;
    }
    return next;
}

double event_queue_next_s(const struct event_queue *queue)
{
    const struct event *next = next_of_lines(queue);
    double line_s = next ? next->event_time.when_s : INFINITY;
    return queue->count ? fmin(line_s, queue->heap[1].event_time.when_s) : line_s;
}

struct event *event_queue_next(struct event_queue *queue)
{
    struct event *next = next_of_lines(queue);
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
    queue->now = next->event_time;
    queue->now_s = queue->now.when_s;
    return next;
}

bool event_queue_all(const struct event_queue *queue,
                     bool (*holds)(const void *self, const struct event *event), const void *self)
{
    for (uint32_t i = 1; i <= queue->count; i++)
        if (!holds(self, queue->heap[i].event))
            return false;
    for (int i = 0; i < EVENT_LINES; i++)
        for (const struct event *e = queue->first[i]; e; e = e->after)
            if (!holds(self, e))
                return false;
    return true;
}

void event_queue_close(struct event_queue *queue)
{
    xfree(queue->heap);
    *queue = (struct event_queue){0};
}
