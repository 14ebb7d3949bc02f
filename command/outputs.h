/* What a run writes, and where: judged before it begins, since nothing that was learned is
 * overwritten by less. */
#ifndef COMMAND_OUTPUTS_H
#define COMMAND_OUTPUTS_H

#include "scheme/scheme.h"

/* Fatal when a folder or a file that the options name would be refused. Nothing is touched.
 * `started`: processes that the launcher started, 1 without one. */
void outputs_check(const struct options *o, int started);

/* A run that goes on replaces the weights that it saved before; fatal when they are another's.
 * Nothing is touched. */
void outputs_check_saved(const struct options *o, const struct claim *claim);

/* Such a run's folder says from now on where it saves. */
void outputs_note_saved(const struct options *o, const struct claim *claim);

/* Which classes each worker draws from, as partition.csv; how large its shard is. */
void outputs_partition(struct run_context *c, int ranks);

/* What --results asks for. */
struct claim_request outputs_claim(const struct options *o);

#endif
