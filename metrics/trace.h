/* What ranks did when: spans, instants and messages, and the files of them. Part of the front door,
 * metrics/metrics.h.
 *
 * Each rank notes its events in a ring of fixed size: the oldest go first, and are counted. At the
 * end rank 0 has a part of each rank, and writes trace.json (Chrome's trace format, for Perfetto)
 * and trace.csv, the rows of a figure (docs/trace.md). */
#ifndef METRICS_TRACE_H
#define METRICS_TRACE_H

#include <stdbool.h>
#include <stdint.h>

enum trace_kind {
    /* where a second of the training clock goes: struct counters, in enum account's order */
    TRACE_OTHER,
    TRACE_COMPUTE,
    TRACE_DELAY,
    TRACE_UPDATE,
    TRACE_TRANSFER,
    TRACE_WAIT,
    TRACE_ACCOUNTS,
    /* other spans */
    TRACE_EVALUATION = TRACE_ACCOUNTS,
    TRACE_MINIBATCH, /* number: its index in the stream of worker `peer` */
    TRACE_ABORTED,   /* the same, dropped under way */
    /* instants */
    TRACE_SIGNAL,  /* sent; number: its round */
    TRACE_HEARD,   /* a signal; the same */
    TRACE_VERSION, /* an update made it; number: the version */
    TRACE_DROPPED, /* finished mini-batches that no update uses; extra: seconds of computing them */
    TRACE_MESSAGE, /* from `peer`: sent at begin_s of its clock, taken at end_s of this rank's;
                      number: the version, extra: bytes of payload */
    /* corrections of what was noted before, of account `number` / ACCOUNTS -> % ACCOUNTS */
    TRACE_MOVED,       /* between these times */
    TRACE_MOVED_NEWEST /* the last `extra` seconds of it */
};

struct trace_event {
    double begin_s, end_s; /* of net_now() of the rank that noted it; of an instant equal */
    double extra;          /* compute: seconds of transfer within it, too short to be told apart */
    int64_t number;
    int32_t kind, peer; /* peer -1: nobody in particular */
    char what[24];      /* a wait: what for; a message: its name; "" else */
};

struct trace {
    struct trace_event *ring; /* [room] */
    int64_t room, noted;      /* noted: in all */
};

void trace_note(struct trace *t, const struct trace_event *e);

struct trace_part { /* of one rank */
    const char *role, *host;
    const struct trace_event *events; /* [kept], the oldest at `first`, then round; NULL: missing */
    int64_t kept, first, noted;
    double offset_s, error_s; /* its clock less rank 0's, known to this (one host: 0, 0) */
};

struct trace_run {
    int ranks;
    bool virtual_time;
    const struct trace_part *parts; /* [ranks] */
};

struct results;

/* Writes trace.json and trace.csv. A failure is said, and is one of results_finish(). */
void results_trace(struct results *r, const struct trace_run *t);

#endif
