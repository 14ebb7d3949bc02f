/* The rows of the options of checkpoints, which every run has. */
#include <stddef.h>

#include "base/common_options.h"
#include "base/options.h"

#define AT(field) offsetof(struct options, field)

static const struct option_row rows[] = {
    {.name = "checkpoint-every",
     .type = OPTION_TEXT,
     .flags = OPTION_FREE,
     .offset = AT(checkpoint_every),
     .preset = "",
     .placeholder = "N|S",
     .help = "write a checkpoint every N samples (10000) or every S seconds of wall clock (60s, "
             "10m, 2h), and when the run ends or is stopped; training goes on meanwhile"},
    {.name = "checkpoint-dir",
     .type = OPTION_TEXT,
     .flags = OPTION_FREE | OPTION_OUTPUT,
     .offset = AT(checkpoint_dir),
     .preset = "",
     .placeholder = "DIR",
     .help = "folder of checkpoints, which all ranks share (default: checkpoints/ in the results' "
             "folder)"},
    {.name = "checkpoint-keep",
     .type = OPTION_INT,
     .flags = OPTION_FREE,
     .offset = AT(checkpoint_keep),
     .preset = "3",
     .placeholder = "N",
     .help = "the newest N checkpoints stay (0: all)",
     .most = 1000000},
    {.name = "resume",
     .type = OPTION_TEXT,
     .flags = OPTION_FREE | OPTION_OUTPUT,
     .offset = AT(resume),
     .preset = "",
     .placeholder = "DIR|auto",
     .help = "go on from that checkpoint, or from the newest whole one in that folder. auto: in "
             "--checkpoint-dir or --results; if there is none, begin"},
    {0}};

const struct option_set checkpoint_option_set = {.title = "Checkpoints", .rows = rows};
