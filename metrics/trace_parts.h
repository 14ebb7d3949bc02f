/* What the writers of a trace share: the events of all ranks, corrected, on one clock, in order. */
#ifndef METRICS_TRACE_PARTS_H
#define METRICS_TRACE_PARTS_H

#include "metrics/trace.h"

struct trace_item {        /* a span, an instant or one end of a message */
    int64_t at_ns, for_ns; /* since the trace's begin; on rank 0's clock */
    int32_t rank;
    int32_t other; /* of a message: the rank at its other end; else -1 */
    int64_t id;    /* of a message; the same at both ends */
    bool arrives;  /* the end of a message that comes second */
    const struct trace_event *event;
};

struct trace_items {
    struct trace_item *list; /* [count], by time; what encloses another comes before it */
    int64_t count, room;
    int64_t messages, left_out; /* messages that are in it; with an end in what is not kept */
    int64_t early;              /* that came before they were sent, as the clocks have it: moved */
    struct trace_event **kept;  /* [ranks]: what the items point at */
    int64_t *kept_count;        /* [ranks] */
    int ranks;
};

void trace_items_open(struct trace_items *t, const struct trace_run *run);
void trace_items_close(struct trace_items *t);

/* trace_rows.c: writes trace.csv. */
void trace_rows(struct results *r, const struct trace_items *t);

extern const char *const trace_names[]; /* of each kind: "compute", "mini-batch", .. */

#endif
