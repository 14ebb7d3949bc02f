/* What will happen, in order of time; what is put down for one time happens in the order in
 * which it was put down: first by the time at which that was, then by order.
 *
 * Invariant: the clock shows the time of the event taken last and never runs backwards. An event
 * lies in its owner, is zero before its first use and is in the queue once or not at all; whoever
 * puts it down again, moves it. */
#ifndef BASE_EVENT_QUEUE_H
#define BASE_EVENT_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct event_time {
    double when_s, put_s; /* when it will happen; when it was put down */
    uint64_t order;
};

struct event {
    uint32_t at; /* its place in the heap; 0: in none, AT_LINE + i: in line i */
    int kind;    /* the owner's business */
    struct event_time event_time;
    struct event *ahead, *after; /* in its line */
};

struct entry {
    struct event_time event_time;
    struct event *event;
};

enum { EVENT_LINES = 4 };

struct event_queue {
    double now_s;
    struct event_time now; /* of the event taken last */
    struct event *first[EVENT_LINES], *last[EVENT_LINES];
    struct entry *heap; /* 1 .. count; the parent of k is (k + 2) / 4 */
    uint32_t count, room;
    uint64_t orders;
};

/* Puts the event down for when_s, not before now. O(1) when nothing in some line comes later,
 * else O(log count). */
void event_queue_put(struct event_queue *queue, struct event *event, double when_s);

/* As if it had been put down for at.when_s at at.put_s, at.order (event_queue_order()) then. For an
 * event that stands for many, of which only the one is put down that is waited for. */
void event_queue_put_as(struct event_queue *queue, struct event *event, struct event_time at);
uint64_t event_queue_order(struct event_queue *queue); /* the next one */

/* Does an event of that time come after the one taken last? */
bool event_queue_is_ahead(const struct event_queue *queue, struct event_time at);

/* Takes out the event that comes next and sets the clock; NULL: nothing will happen any more. O(1)
 * or O(log count). */
struct event *event_queue_next(struct event_queue *queue);

/* When it comes; INFINITY: nothing will. O(1). */
double event_queue_next_s(const struct event_queue *queue);

/* Is this so of every event in the queue? O(count). */
bool event_queue_all(const struct event_queue *queue,
                     bool (*holds)(const void *self, const struct event *event), const void *self);

void event_queue_close(struct event_queue *queue);

#endif
