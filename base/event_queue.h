/* What will happen, in order of time; what is put down for one time happens in the order in
 * which it was put down.
 *
 * Invariant: the clock shows the time of the event taken last and never runs backwards. An event
 * lies in its owner, is zero before its first use and is in the queue once or not at all; whoever
 * puts it down again, moves it. */
#ifndef BASE_EVENT_QUEUE_H
#define BASE_EVENT_QUEUE_H

#include <stddef.h>
#include <stdint.h>

struct event_time {
    double when_s;
    uint64_t order;
};

struct event {
    uint32_t at; /* its place in the heap; 0: in none, AT_LINE: in the line */
    int kind;    /* the owner's business */
    struct event_time event_time;
    struct event *ahead, *after; /* in the line */
};

struct entry {
    struct event_time event_time;
    struct event *event;
};

struct event_queue {
    double now_s;
    struct event *first, *last; /* of the line */
    struct entry *heap;         /* 1 .. count; the parent of k is (k + 2) / 4 */
    uint32_t count, room;
    uint64_t orders;
};

/* Puts the event down for when_s, not before now. O(1) when nothing in the line comes later, else
 * O(log count). */
void event_queue_put(struct event_queue *queue, struct event *event, double when_s);

/* Takes out the event that comes next and sets the clock; NULL: nothing will happen any more. O(1)
 * or O(log count). */
struct event *event_queue_next(struct event_queue *queue);

/* When it comes; INFINITY: nothing will. O(1). */
double event_queue_next_s(const struct event_queue *queue);

void event_queue_close(struct event_queue *queue);

#endif
