/* What is checked of a message before anything of it is used. */
#include "parameter_server/messages.h"

#include <math.h>

#include "base/check.h"

static bool is_count(int64_t number)
{
    return number >= 0 && number <= NOTE_MOST;
}

void push_note_check(const struct header *m, const struct push_note *note)
{
    CHECK(is_count(note->minibatches) && is_count(note->aborted) && is_count(note->staleness) &&
              note->clock >= 0,
          "push of version %lld from rank %d: it counts %lld mini-batches, %d aborted, staleness "
          "%d, clock %lld",
          (long long)m->version, m->from, (long long)note->minibatches, (int)note->aborted,
          (int)note->staleness, (long long)note->clock);
    CHECK(isfinite(note->computed_s) && isfinite(note->aborted_s) && isfinite(note->signal_s) &&
              isfinite(note->waited_s),
          "push of version %lld from rank %d: it took %g s to compute, %g s aborted, %g s for a "
          "signal, %g s of waiting",
          (long long)m->version, m->from, note->computed_s, note->aborted_s, note->signal_s,
          note->waited_s);
}

void reply_note_check(const struct header *m, const struct reply_note *note)
{
    CHECK(isfinite(note->lr) && note->samples >= 0 && note->min_clock >= 0 && m->version >= 0,
          "reply of version %lld from rank %d: it names rate %g, %lld samples, clock %lld",
          (long long)m->version, m->from, note->lr, (long long)note->samples,
          (long long)note->min_clock);
}

void depart_note_check(const struct header *m, const struct depart_note *note)
{
    CHECK(is_count(note->signals), "rank %d departs, and says that it has sent %lld signals",
          m->from, (long long)note->signals);
}

void farewell_note_check(const struct header *m, const struct farewell_note *note)
{
    CHECK(is_count(note->signals) && isfinite(note->dropped_s),
          "farewell of rank %d: it names %lld signals, and %g s that were dropped", m->from,
          (long long)note->signals, note->dropped_s);
}
