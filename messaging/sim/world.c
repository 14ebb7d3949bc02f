/* The simulated world describes itself: its options, its run. */
#include "base/options.h"
#include "messaging/worlds.h"

#define AT(field) offsetof(struct sim_options, field)

static const struct option_row rows[] = {
    {.name = "machine",
     .type = OPTION_TEXT,
     .flags = OPTION_FREE,
     .offset = AT(machine),
     .preset = "",
     .placeholder = "FILE",
     .help = "links, speeds and compute times of a cluster, as test.s writes them; replaces "
             "--sim-latency, --sim-bandwidth and --sim-minibatch"},
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
     .help = "of every link, bytes per second"},
    {.name = "sim-minibatch",
     .type = OPTION_REAL,
     .flags = OPTION_FREE,
     .offset = AT(sim_minibatch),
     .preset = "0.1",
     .placeholder = "S",
     .help = "that a mini-batch takes a worker of speed 1",
     .most = 1e9},
    {.name = "link-delay",
     .type = OPTION_TEXT,
     .flags = OPTION_FREE,
     .offset = AT(link_delay),
     .preset = "",
     .placeholder = "WHAT",
     .help = "delays added to each payload that leaves a rank or comes to it from another host, in "
             "the words of --delay; numbered by payloads, or by --delay-key clock"},
    {.name = "link-burst",
     .type = OPTION_TEXT,
     .flags = OPTION_FREE,
     .offset = AT(link_burst),
     .preset = "",
     .placeholder = "P,F,L",
     .help = "with probability P a rank's link has its bandwidth divided by F, for L payloads in a "
             "row (--delay-key clock: L blocks of --delay-block); '0.1,8,20@3': rank 3's alone"},
    {.name = "faults",
     .type = OPTION_TEXT,
     .flags = OPTION_FREE,
     .offset = AT(faults),
     .preset = "",
     .placeholder = "FILE",
     .help = "what befalls ranks, and when: they die, freeze, are slower, their messages late, "
             "their links down (docs/faults.md); random:SEED,COUNT,SECONDS draws it"},
    {.name = "sim-model-sums",
     .type = OPTION_INT,
     .flags = OPTION_FREE,
     .offset = AT(sim_model_sums),
     .preset = "128",
     .placeholder = "N",
     .help = "charge for sums among more than N workers as a whole, not message by message (0: for "
             "none)"},
    {.name = "sim-gradients",
     .type = OPTION_FLAG,
     .flags = OPTION_FREE,
     .offset = AT(sim_gradients),
     .preset = "yes",
     .help =
         "no: none is computed, nothing is learned, no data are read; times alone are simulated"},
    {0}};

static const struct option_set option_set = {.title = "The simulated network (--world sim)",
                                             .owner = "--world sim",
                                             .rows = rows,
                                             .size = sizeof(struct sim_options)};

static void configure(struct world_options *w, const struct options *o)
{
    const struct sim_options *own = options_of(o, &option_set);
    w->seed = (uint64_t)o->seed;
    w->latency_s = own->sim_latency;
    w->bandwidth = own->sim_bandwidth;
}

const struct world world_sim = {
    .name = "sim",
    .line = "ranks are coroutines of one process on a simulated network, time is a number",
    .virtual_time = true,
    .options = &option_set,
    .configure = configure,
    .run = sim_run,
};
