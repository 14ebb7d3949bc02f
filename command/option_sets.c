/* Every set of options there is: what all runs have, then each family's members; and the names of
 * members that options take. */
#include "command/command.h"

#include <string.h>

#include "backend/backend.h"
#include "base/check.h"
#include "collective/collective.h"
#include "data_loader/data_loader.h"
#include "gossip/gossip.h"
#include "messaging/messaging.h"
#include "optimizer/optimizer.h"
#include "problem/problem.h"
#include "scheme/scheme.h"
#include "serialization/serialization.h"

/* Once, though several members may share it; NULL: the member has none. */
static void add(struct option_sets *s, const struct option_set *set)
{
    if (!set)
        return;
    for (int i = 0; i < s->count; i++)
        if (s->list[i] == set)
            return;
    CHECK(s->count < MAX_OPTION_SETS, "more than %d sets of options", MAX_OPTION_SETS);
    s->list[s->count++] = set;
}

struct option_sets option_sets(void)
{
    struct option_sets s = {.count = 0};
    const struct option_set *list[MAX_OPTION_SETS];
    int count = dataset_option_sets(list, MAX_OPTION_SETS);
    count += partition_option_sets(list + count, MAX_OPTION_SETS - count);
    count += optimizer_option_sets(list + count, MAX_OPTION_SETS - count);
    count += schedule_option_sets(list + count, MAX_OPTION_SETS - count);
    list[count++] = &gossip_option_set;
    list[count++] = &own_weights_option_set;
    list[count++] = &outer_option_set;
    count += topology_option_sets(list + count, MAX_OPTION_SETS - count);
    for (int i = 0; common_option_sets[i]; i++)
        add(&s, common_option_sets[i]);
    for (int i = 0; models[i]; i++)
        add(&s, models[i]->options);
    for (int i = 0; codecs[i]; i++)
        add(&s, codecs[i]->options);
    add(&s, &cudnn_option_set);
    for (int i = 0; worlds[i]; i++)
        add(&s, worlds[i]->options);
    for (int i = 0; i < count; i++)
        add(&s, list[i]);
    for (int i = 0; schemes[i]; i++)
        add(&s, schemes[i]->options);
    return s;
}

void option_choices(const char *option, char *text, size_t size)
{
    char datasets[300], partitions[200], known[100], shapes[200], topologies[600];
    const struct {
        const char *option, *also, *names;
    } families[] = {
        {"world", "", world_names(known, sizeof known)},
        {"dataset", "auto|", dataset_names(datasets, sizeof datasets)},
        {"partition", "", partition_names(partitions, sizeof partitions)},
        {"optimizer", "", optimizer_rules()},
        {"schedule", "", schedule_shapes(shapes, sizeof shapes)},
        {"compress", "", codec_names()},
        {"backend", "auto|", backend_names()},
        {"allreduce", "auto|", collective_names()},
        {"topology", "", topology_names(topologies, sizeof topologies)},
    };
    *text = 0;
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        if (!strcmp(families[i].option, option))
            snprintf(text, size, "%s%s", families[i].also, families[i].names);
}

void option_sets_use(struct options *o)
{
    const struct scheme *scheme = scheme_find(o->scheme);
    options_use(o, scheme->options);
    if (scheme->flags & GOSSIP)
        gossip_use_options(o);
    if (scheme->flags & OUTER)
        options_use(o, &outer_option_set);
    if (scheme->flags & OWN_WEIGHTS)
        options_use(o, &own_weights_option_set);
    options_use(o, codec_find(o->compress)->options);
    options_use(o, model_options(o->network));
    options_use(o, partition_option_set(o->partition));
    options_use(o, optimizer_option_set(o->optimizer));
    options_use(o, schedule_option_set(o->schedule));
    if (strcmp(o->network, problem_toy)) { /* which has no images, and no backend */
        options_use(o, dataset_option_set(o->dataset, o->data));
        options_use(o, backend_option_set(o->backend));
    }
    options_use(o, world_find(o->world)->options);
}
