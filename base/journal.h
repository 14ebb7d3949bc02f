/* The numbers that a simulated run takes from its vectors, in one order.
 *
 * What such a run does next depends on the values in its vectors through few numbers alone: losses,
 * norms, results of evaluations. So with these it can be gone through again without any arithmetic,
 * up to the point at which its vectors were kept. Then it is *forwarded*: the journal gives the
 * numbers, and vectors are left as they are. Cost: 8 bytes a number, of which a mini-batch has one.
 *
 * All take NULL for a run that keeps no journal. */
#ifndef BASE_JOURNAL_H
#define BASE_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct journal;

struct journal *journal_open(void); /* empty: what is asked for is appended */
void journal_close(struct journal *j);

/* From now on the run is forwarded: numbers come from these words, which are copied. */
void journal_forward(struct journal *j, const uint64_t *words, int64_t count);
bool journal_forwards(const struct journal *j);

/* The run goes on by itself: numbers are appended again. Returns whether all that there were had
 * been asked for. */
bool journal_go_on(struct journal *j);

/* These words were taken from vectors: they are appended. In a forwarded run they are replaced by
 * those that were taken then. One that asks for more than there are has left its course: it ends
 * (EXIT_WORLD). */
void journal_words(struct journal *j, void *words, int64_t count);
double journal_number(struct journal *j, double number); /* one */

const uint64_t *journal_all(const struct journal *j, int64_t *count);

/* The run is not the one that was kept: ends it (EXIT_WORLD), and says so. */
_Noreturn void journal_left_course(void);

#endif
