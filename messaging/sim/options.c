/* The rows of --world sim's own options. */
#include <stddef.h>

#include "messaging/sim/sim.h"
#include "messaging/worlds.h"

#define AT(field) offsetof(struct sim_options, field)

static const struct option_row rows[] = {
    {.name = "machine",
     .type = OPTION_TEXT,
     .flags = OPTION_FREE,
     .offset = AT(machine),
     .preset = "",
     .placeholder = "FILE",
     .help = "links, speeds and compute times of a cluster, as test.s writes them; replaces the "
             "three --sim-*"},
    {.name = "sim-latency",
     .type = OPTION_REAL,
     .flags = OPTION_FREE,
     .offset = AT(sim_latency),
     .preset = "20e-6",
     .placeholder = "S",
     .help = "of every link",
     .most = 1e9},
    {.name = "sim-bandwidth",
     .type = OPTION_REAL,
     .flags = OPTION_FREE | OPTION_ABOVE,
     .offset = AT(sim_bandwidth),
     .preset = "1.25e9",
     .placeholder = "B/S",
     .help = "of every link, bytes a second"},
    {.name = "sim-minibatch",
     .type = OPTION_REAL,
     .flags = OPTION_FREE,
     .offset = AT(sim_minibatch),
     .preset = "0.1",
     .placeholder = "S",
     .help = "that a mini-batch takes a worker of speed 1",
     .most = 1e9},
    {0}};

const struct option_set sim_option_set = {.title = "The simulated network (--world sim)",
                                          .owner = "--world sim",
                                          .rows = rows,
                                          .size = sizeof(struct sim_options)};
