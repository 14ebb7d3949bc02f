/* What will happen, in order of time; what is put down for one moment happens in the order in which it was put down.
 *
 * Law: the clock shows the time of the event taken last and never runs backwards. An event lies in its owner, is zero before
 * its first use and is in the agenda once or not at all; whoever puts it down again, moves it. */
#ifndef BASE_AGENDA_H
#define BASE_AGENDA_H

#include <stddef.h>
#include <stdint.h>

struct moment {
    double when_s;
    uint64_t order;
};

struct event {
    uint32_t at; /* its place in the heap; 0: in none, AT_LINE: in the line */
    int kind;    /* the owner's business */
    struct moment moment;
    struct event *ahead, *behind; /* in the line */
};

struct entry {
    struct moment moment;
    struct event *event;
};

struct agenda {
    double now_s;
    struct event *first, *last; /* of the line */
    struct entry *heap;         /* 1 .. count; the parent of k is (k + 2) / 4 */
    uint32_t count, room;
    uint64_t orders;
};

/* Puts the event down for when_s, not before now. O(1) when nothing in the line comes later, else O(log count). */
void agenda_put(struct agenda *agenda, struct event *event, double when_s);

/* Takes out the event that comes next and sets the clock; NULL: nothing will happen any more. O(1) or O(log count). */
struct event *agenda_next(struct agenda *agenda);

void agenda_close(struct agenda *agenda);

#endif
