/* What makes a rank slow, as configuration: delays, jitter, speed factors, departures,
 * faults, and machines described in files. */
#ifndef SLOWNESS_SLOWNESS_H
#define SLOWNESS_SLOWNESS_H

#include "slowness/delay.h"
#include "slowness/faults.h"
#include "slowness/jitter.h"
#include "slowness/link.h"
#include "slowness/machine.h"
#include "slowness/speed.h"

/* Fatal when a server, one of the first ranks, is to be slow: only workers compute. */
void slowness_check_servers(const struct delay *delay, const struct slowness *slowness, int servers,
                            int ranks);

#endif
