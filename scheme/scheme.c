/* The list of schemes, what their flags forbid, and the tables made from it. */
#include "scheme/scheme.h"

#include <string.h>

#include "base/check.h"
#include "base/text.h"

#define SCHEMES(X)                                                                                 \
    X(serial)                                                                                      \
    X(ssgd)                                                                                        \
    X(nbssgd)                                                                                      \
    X(asgd)                                                                                        \
    X(ringmaster)                                                                                  \
    X(ringleader)                                                                                  \
    X(dcasgd)                                                                                      \
    X(downpour)                                                                                    \
    X(hogwild)                                                                                     \
    X(ssp)                                                                                         \
    X(backup)                                                                                      \
    X(quorum)                                                                                      \
    X(rennala)                                                                                     \
    X(malenia)                                                                                     \
    X(anytime)                                                                                     \
    X(localsgd)                                                                                    \
    X(diloco)                                                                                      \
    X(asynclocal)                                                                                  \
    X(dnesterov)                                                                                   \
    X(easgd)                                                                                       \
    X(eamsgd)                                                                                      \
    X(allreduce)                                                                                   \
    X(dropcompute)                                                                                 \
    X(eager)                                                                                       \
    X(local)                                                                                       \
    X(dpsgd)                                                                                       \
    X(nbgossip)                                                                                    \
    X(adpsgd)                                                                                      \
    X(sgp)                                                                                         \
    X(osgp)                                                                                        \
    X(dsgt)                                                                                        \
    X(dinno)

#define DECLARE(name) extern const struct scheme scheme_##name;
SCHEMES(DECLARE)
#define ROW(name) &scheme_##name,
const struct scheme *const schemes[] = {SCHEMES(ROW) NULL};

const struct scheme *scheme_find(const char *name)
{
    const char *names[64];
    int count = 0;
    for (int i = 0; schemes[i]; i++) {
        if (!strcmp(schemes[i]->name, name))
            return schemes[i];
        names[count++] = schemes[i]->name;
    }
    const char *near = options_nearest(name, names, count);
    fatal("--scheme: unknown scheme '%s'%s%s%s (--help lists all)", name,
          near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

void scheme_check(const struct scheme *s, const struct options *o, int workers)
{
    const char *order = *o->record ? "record" : *o->replay ? "replay" : NULL;
    bool by_clock = strcmp(o->schedule, "constant") || o->warmup > 0;
    if (s->flags & DECENTRAL && o->servers > 1)
        fatal("--servers %lld: %s has no use for more than rank 0; leave it out",
              (long long)o->servers, s->name);
    if (s->flags & DECENTRAL && *o->depart)
        fatal("--depart: %s wants all of its workers to the end; leave it out", s->name);
    if (!(s->flags & COMPRESSES) && strcmp(o->compress, "f32"))
        fatal("--compress %s: nothing is pushed to a server in %s; leave it out", o->compress,
              s->name);
    if (!(s->flags & PUSHES) && strcmp(o->server_device, "cpu"))
        fatal("--server-device %s: no server steps in %s; leave it out", o->server_device, s->name);
    if (optimizer_is_layerwise(o->optimizer) && (o->servers > 1 || strcmp(o->server_device, "cpu")))
        fatal("--optimizer %s: a layer's norm needs all of it, on a CPU; take --servers 1 and "
              "--server-device cpu",
              o->optimizer);
    if (!optimizer_fits_device(o->optimizer) && strcmp(o->server_device, "cpu"))
        fatal("--optimizer %s: no device has it; take --server-device cpu", o->optimizer);
    if (o->ema > 0 && (s->flags & OWN_WEIGHTS || !(s->flags & (PUSHES | ALONE | DECENTRAL))))
        fatal("--ema: in %s nobody sees the weights of one update; leave it out", s->name);
    if (o->clip > 0 && s->flags & PUSHES && strcmp(o->server_device, "cpu"))
        fatal("--clip: no device takes norms; take --server-device cpu, or leave one of them out");
    if (o->clip > 0 && s->flags & PUSHES && o->servers > 1 && !(s->flags & LOCKSTEP))
        fatal("--clip with --servers %lld: in %s none of them knows the norm of a whole gradient; "
              "take one server",
              (long long)o->servers, s->name);
    if (!(s->flags & REPLAYS) && order)
        fatal("--%s: more than the order of arrivals decides a run of %s; it can't be replayed",
              order, s->name);
    if (order && o->seconds > 0 && by_clock)
        fatal("--%s with --seconds: the rate would follow the clock, which no record has; take "
              "--schedule constant --warmup 0, or end by --samples or --updates",
              order);
    if (s->check)
        s->check(o, workers);
}

void schemes_list(FILE *to)
{
    for (int i = 0; schemes[i]; i++)
        text_member(to, schemes[i]->name, schemes[i]->rule, schemes[i]->paper);
}

/* Words, in lines of 100 columns of which the later ones are indented. Returns the column. */
static int print_words(FILE *to, int column, const char *text)
{
    enum { WIDTH = 100, INDENT = 2 };
    for (int length; *text; text += length + strspn(text + length, " ")) {
        length = (int)strcspn(text, " ");
        if (column + 1 + length > WIDTH)
            column = fprintf(to, "\n%*s%.*s", INDENT, "", length, text) - 1;
        else
            column += fprintf(to, column ? " %.*s" : "%.*s", length, text);
    }
    return column;
}

static void print_deviations(FILE *to)
{
    for (int i = 0; schemes[i]; i++) {
        char text[200];
        snprintf(text, sizeof text, "- `%s` (%s):", schemes[i]->name, schemes[i]->paper);
        int column = print_words(to, 0, text);
        print_words(to, column, schemes[i]->deviations ? schemes[i]->deviations : "as there");
        fputs(".\n", to);
    }
}

static void print_survivors(FILE *to)
{
    int column = print_words(to, 0,
                             "With one server these go on without a worker that is lost, and "
                             "take it back when it pushes again:");
    for (int i = 0; schemes[i]; i++) {
        char name[80];
        snprintf(name, sizeof name, "`%s`,", schemes[i]->name);
        if (schemes[i]->flags & SURVIVES)
            column = print_words(to, column, name);
    }
    print_words(to, column, "`nbssgd` with `--nb-drop-late` or `--nb-server racing`.\n\n");
    print_words(to, 0,
                "The others need every worker in every update: by their rule, or since a sum among "
                "workers passes through each of them (`eager`, too: who is late adds zeros, but "
                "its own process adds them). `adpsgd` does not, but its neighbours would wait at "
                "the end.\n");
}

void schemes_table(FILE *to)
{
    fputs("| scheme | an update of the weights |\n|---|---|\n", to);
    for (int i = 0; schemes[i]; i++)
        fprintf(to, "| `%s` | %s |\n", schemes[i]->name, schemes[i]->rule);
    fputs("\n| scheme | messages per update | floats of a worker | staleness |\n"
          "|---|---|---|---|\n",
          to);
    for (int i = 0; schemes[i]; i++)
        fprintf(to, "| `%s` | %s | %s | %s |\n", schemes[i]->name, schemes[i]->messages,
                schemes[i]->floats, schemes[i]->staleness);
    fputs("\n", to);
    print_survivors(to);
    fputs("\nW workers, n weights, H local steps. \"Floats\" are those that one worker sends and "
          "receives per\nupdate.\n\n## Papers, and what is done otherwise\n\n"
          "For all schemes: the step is that of `--optimizer`, momentum and weight decay "
          "included, by the rate\nof `--schedule`; a gradient is the mean of a batch of "
          "mini-batches.\n\n",
          to);
    print_deviations(to);
}
