/* What will happen, in order of time; what is put down for one moment happens in the order in which it was put down.
 *
 * Law: the clock shows the time of the event taken last and never runs backwards. An event lies in its owner, is zero before
 * its first use and is in the agenda once or not at all; whoever puts it down again, moves it. */
#ifndef BASE_AGENDA_H
#define BASE_AGENDA_H

#include <stddef.h>
#include <stdint.h>

struct event {
    size_t at; /* its place in the heap; 0: in none */
    int kind;  /* the owner's business */
};

struct entry {
    double when_s;
    uint64_t order;
    struct event *event;
};

struct agenda {
    double now_s;
    struct entry *heap; /* 1 .. count; the parent of k is (k + 2) / 4 */
    size_t count, room;
    uint64_t orders;
};

/* Puts the event down for when_s, not before now. O(log count). */
void agenda_put(struct agenda *agenda, struct event *event, double when_s);

/* Takes out the event that comes next and sets the clock; NULL: nothing will happen any more. O(log count). */
struct event *agenda_next(struct agenda *agenda);

void agenda_close(struct agenda *agenda);

#endif
