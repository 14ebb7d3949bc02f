/* What makes a rank slow, as configuration: delays, speed factors, departures, and machines
 * described in files. */
#ifndef SLOWNESS_SLOWNESS_H
#define SLOWNESS_SLOWNESS_H

#include "slowness/delay.h"
#include "slowness/machine.h"

#endif
