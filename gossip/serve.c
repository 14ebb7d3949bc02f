/* Rank 0 of a scheme whose workers have weights of their own. */
#include "gossip/gossip.h"
#include "parameter_server/parameter_server.h"

struct own_weights_options {
    bool judge_workers;
};

static const struct option_row rows[] = {
    {.name = "judge-workers",
     .type = OPTION_FLAG,
     .offset = offsetof(struct own_weights_options, judge_workers),
     .preset = "yes",
     .help = "an evaluation judges each worker's own weights beside their mean"},
    {0}};

const struct option_set own_weights_option_set = {
    .title = "Schemes whose workers have weights of their own",
    .owner = "a scheme whose workers have weights of their own",
    .rows = rows,
    .size = sizeof(struct own_weights_options)};

void gossip_serve(struct node *n, bool together)
{
    const struct own_weights_options *own =
        options_of(n->context->options, &own_weights_option_set);
    struct ps_server *ps = ps_server_open(n);
    ps_judge(ps, (struct weights_set){.mean = true, .workers = own->judge_workers});
    ps_monitor(ps, together);
    ps_server_close(ps);
}
