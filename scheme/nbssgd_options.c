/* nbssgd's table, the rows of its options, and what does not go together. */
#include "scheme/nbssgd.h"

#include <string.h>

#include "base/check.h"
#include "serialization/serialization.h"

#define AT(field) offsetof(struct nbssgd_options, field)

static const struct option_row rows[] = {
    {.name = "nb-payload",
     .type = OPTION_CHOICE,
     .offset = AT(nb_payload),
     .preset = "gradient",
     .choices = "gradient|weights",
     .help = "what a worker pushes"},
    {.name = "nb-inflight",
     .type = OPTION_CHOICE,
     .offset = AT(nb_inflight),
     .preset = "abort",
     .choices = "abort|finish|carry",
     .help = "what becomes of the mini-batch that is computing when the signal comes"},
    {.name = "nb-batch",
     .type = OPTION_CHOICE,
     .offset = AT(nb_batch),
     .preset = "reset",
     .choices = "keep|reset",
     .help =
         "after an update an interrupted worker goes on with its batch, or all begin a new one"},
    {.name = "nb-server",
     .type = OPTION_CHOICE,
     .offset = AT(nb_server),
     .preset = "locked",
     .choices = "locked|racing",
     .help = "one update from all pushes, or one from each push at once"},
    {.name = "nb-signal",
     .type = OPTION_CHOICE,
     .offset = AT(nb_signal),
     .preset = "direct",
     .choices = "direct|relay",
     .help = "the worker that finishes first signals all others, or the server does"},
    {.name = "nb-weigh",
     .type = OPTION_CHOICE,
     .offset = AT(nb_weigh),
     .preset = "capped",
     .choices = "finished|full|samples|capped",
     .help = "the step of an update that has N mini-batches: always a full one, as N to all that "
             "could be finished, as N to its mean so far, or that but at most a full one"},
    {.name = "nb-drop-late",
     .type = OPTION_REAL,
     .offset = AT(nb_drop_late),
     .preset = "0",
     .placeholder = "S",
     .help = "seconds after its signal at which a version closes: who comes later contributes "
             "nothing and does these samples again (0: all are waited for)"},
    {0}};

const struct option_set nbssgd_option_set = {
    .title = "Scheme nbssgd: choices that its paper leaves open",
    .owner = "--scheme nbssgd",
    .rows = rows,
    .size = sizeof(struct nbssgd_options)};

static void check(const struct options *o, int workers)
{
    const struct nbssgd_options *own = options_of(o, &nbssgd_option_set);
    (void)workers;
    if (own->nb_drop_late > 0 && !strcmp(own->nb_server, "racing"))
        fatal("--nb-drop-late %g: a racing server waits for nobody; leave it out, or take "
              "--nb-server locked",
              own->nb_drop_late);
    if (o->clip > 0 && o->servers > 1 && !strcmp(own->nb_server, "racing"))
        fatal("--clip with --servers %lld: a racing server does not know the norm of a whole "
              "gradient; take --nb-server locked",
              (long long)o->servers);
    if (!strcmp(own->nb_payload, "weights") && !codec_find(o->compress)->weights)
        fatal(
            "--nb-payload weights: weights would not survive --compress %s; take f32, bf16 or f16",
            o->compress);
}

const struct scheme scheme_nbssgd = {
    .name = "nbssgd",
    .rule = "the first to finish its batch signals, all push what they have, nobody waits",
    .paper = "He, Dube 2022, arXiv:2211.00889",
    .deviations = "a server sums, where the paper names ring all-reduce, D-PSGD and MATCHA; what "
                  "it leaves open is an option each",
    .flags = BOUNDED | PUSHES | COMPRESSES | LOCKSTEP,
    .messages = "W pushes, W pulls, W - 1 signals",
    .floats = "2 n",
    .staleness = "0",
    .options = &nbssgd_option_set,
    .check = check,
    .state = (const char *const[]){"worker.position", "worker.optimizer", "server.minibatches",
                                   "server.updates", NULL},
    .work = nbssgd_work,
    .serve = nbssgd_serve,
};
