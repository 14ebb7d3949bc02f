/* A graph of workers, looked at: its edges and weights, and what they do.
 *
 * What it prints is a file for --topology file: what is said about the graph are comments there. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/child.h"
#include "base/paths.h"
#include "command/command.h"
#include "topology/topology.h"

static const double draws_s = 60; /* at most, a figure */

struct topology_command {
    const char *mixing, *figure;
    int64_t seed, local, drawn;
    double floats;
};

#define AT(field) offsetof(struct topology_command, field)

static const struct option_row rows[] = {
    {.name = "mixing",
     .type = OPTION_CHOICE,
     .offset = AT(mixing),
     .preset = "metropolis",
     .choices = TOPOLOGY_MIXINGS,
     .help = "the weights: by the degrees of both, plain means, by the greatest degree of all"},
    {.name = "local-ranks",
     .type = OPTION_INT,
     .offset = AT(local),
     .preset = "1",
     .placeholder = "N",
     .help = "ranks of each host, for graphs that know hosts",
     .least = 1,
     .most = TOPOLOGY_MOST_NODES},
    {.name = "seed",
     .type = OPTION_INT,
     .offset = AT(seed),
     .preset = "1",
     .placeholder = "N",
     .help = "of graphs that are drawn",
     .most = 9e18},
    {.name = "steps",
     .type = OPTION_INT,
     .offset = AT(drawn),
     .preset = "4",
     .placeholder = "N",
     .help = "steps that are printed where each is drawn",
     .least = 1,
     .most = 1000000},
    {.name = "floats",
     .type = OPTION_REAL,
     .offset = AT(floats),
     .preset = "23520842",
     .placeholder = "N",
     .help = "of a vector; preset: ResNet-50 for ten classes"},
    {.name = "figure",
     .type = OPTION_TEXT,
     .offset = AT(figure),
     .preset = "",
     .placeholder = "FILE",
     .help = "draw it: .svg or .png"},
    {0}};

static const struct option_set option_set = {
    .title = "Topology", .rows = rows, .size = sizeof(struct topology_command)};

static void help(FILE *to)
{
    fputs("Usage: nbsgd topology NAME RANKS [OPTION...]\n\nNames:\n", to);
    topology_list(to);
    fputs(
        "\nOptions: --mixing --local-ranks --seed --steps --floats --figure, and the graphs' own:\n"
        "--edge-probability --graph-attempts (erdos-renyi), --fiedler (disk), --matcha-graph\n"
        "--matcha-budget (matcha), --topology-file (file). What it prints, --topology-file "
        "reads.\n",
        to);
}

/* Who decides the weights; "": the rule does. */
static void by_whom(const struct topology *t, const struct topology_facts *f, char text[80])
{
    *text = '\0';
    if (f->weighted)
        snprintf(text, 80, "the graph's own");
    else if (f->alpha > 0)
        snprintf(text, 80, "%.6g on each active edge", f->alpha);
    else if (topology_is_directed(t))
        snprintf(text, 80, "the sender's, equal");
}

static void print_facts(const struct topology *t, const struct topology_options *o, double floats,
                        bool rule_given)
{
    bool few = topology_nodes(t) <= TOPOLOGY_MOST_MEASURED;
    struct topology_facts f = few ? topology_measure(t) : (struct topology_facts){0};
    int64_t period = topology_period(t);
    char weights[80];
    if (!few) {
        printf("# topology %s: %d nodes; what it does is not computed for more than %d\n", o->name,
               o->nodes, TOPOLOGY_MOST_MEASURED);
        return;
    }
    by_whom(t, &f, weights);
    if (rule_given && *weights)
        fatal("--mixing has no effect on %s: its weights are %s; leave it out", o->name, weights);
    printf("# topology %s: %d nodes, %s, %s", o->name, o->nodes,
           topology_is_directed(t) ? "directed" : "undirected",
           period == 1 ? "every step the same\n" : "");
    if (period != 1)
        printf(period ? "repeated after %lld steps\n" : "each step is drawn\n", (long long)period);
    printf("# weights %s: %s; the sum of a row furthest from 1 is %.6g, of a column %.6g\n",
           *weights ? weights : o->mixing, f.symmetric ? "symmetric" : "not symmetric", f.row_sum,
           f.column_sum);
    printf("# a node sends %.4g vectors a step (%d at most), %.4g floats of %.6g a vector\n",
           f.vectors, f.most_vectors, f.vectors * floats, floats);
    printf("# diameter %d", f.diameter);
    if (!isnan(f.fiedler))
        printf(", Fiedler value %.6g", f.fiedler);
    if (!isnan(f.gap))
        printf(", spectral gap %.6g: a step leaves %.6g of the distance to the mean", f.gap,
               1 - f.gap);
    putchar('\n');
}

/* Each edge once, with the weight that its end mixes it with. */
static void print_step(const struct topology *t, int64_t step, bool weighted, FILE *to)
{
    struct neighbour *list = xcalloc((size_t)topology_degree(t), sizeof *list);
    for (int i = 0; i < topology_nodes(t); i++) {
        int count = topology_targets(t, step, i, list);
        for (int k = 0; k < count; k++)
            if (list[k].node > i || (topology_is_directed(t) && list[k].node != i))
                fprintf(to, weighted ? "%d %d %.15g\n" : "%d %d\n", i, list[k].node,
                        list[k].weight);
    }
    xfree(list);
}

static void print_edges(const struct topology *t, int64_t drawn, bool weighted, FILE *to)
{
    int64_t steps = topology_period(t) ? topology_period(t) : drawn;
    if (topology_is_directed(t))
        fputs("directed\n", to);
    for (int64_t s = 0; s < steps; s++) {
        if (s)
            fputs("step\n", to);
        print_step(t, s, weighted, to);
    }
}

static void draw(const struct topology *t, const struct topology_options *o,
                 const struct topology_command *c)
{
    char script[4200], edges[4200], title[200], nodes[20];
    size_t length = strlen(c->figure);
    if (length < 5 ||
        (strcmp(c->figure + length - 4, ".svg") && strcmp(c->figure + length - 4, ".png")))
        fatal("--figure %s: take a name that ends in .svg or .png", c->figure);
    if (!data_path(script, sizeof script, "plots/topology.gp"))
        fatal("--figure: plots/topology.gp is not where it belongs; set NBSGD_DATADIR");
    snprintf(edges, sizeof edges, "%s.XXXXXX", c->figure); /* beside it */
    int file = mkstemp(edges);
    FILE *f = file < 0 ? NULL : fdopen(file, "w");
    if (!f)
        fatal("--figure: cannot write %s (%s)", edges, strerror(errno));
    print_edges(t, c->drawn, false, f);
    fclose(f);
    snprintf(title, sizeof title, "%s of %d nodes", o->name, o->nodes);
    snprintf(nodes, sizeof nodes, "%d", o->nodes);
    char *const words[] = {"gnuplot", "-c", script, (char *)c->figure, edges, nodes, title, NULL};
    enum child_end end = child_run(words, draws_s);
    unlink(edges);
    if (end != CHILD_WELL)
        fatal("--figure %s: gnuplot is missing, failed, or took more than %.0f s", c->figure,
              draws_s);
    fprintf(stderr, "figure: %s\n", c->figure);
}

static int ranks_of(const char *word)
{
    char *end;
    errno = 0;
    long ranks = strtol(word, &end, 10);
    if (end == word || *end || errno || ranks < 1 || ranks > TOPOLOGY_MOST_NODES)
        fatal("topology: '%s' ranks; take a whole number, 1 to %d", word, TOPOLOGY_MOST_NODES);
    return (int)ranks;
}

static int run(int argc, char **argv, struct stop *stop)
{
    (void)stop;
    const struct option_set *sets[MAX_OPTION_SETS + 2] = {&option_set};
    int count = topology_option_sets(sets + 1, MAX_OPTION_SETS);
    struct options options;
    sets[1 + count] = NULL;
    if (argc > 1 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))) {
        help(stdout);
        return 0;
    }
    if (argc < 3 || *argv[1] == '-' || *argv[2] == '-')
        fatal("topology: which one, and of how many ranks? nbsgd topology NAME RANKS (--help lists "
              "the names)");
    struct topology_options o = {.name = argv[1], .nodes = ranks_of(argv[2])};
    argv[2] = argv[0];
    options_parse(&options, sets, argc - 2, argv + 2, NULL);
    const struct topology_command *c = options_of(&options, &option_set);
    const struct option_set *own = topology_option_set(o.name);
    options_use(&options, own);
    options_refuse_unused(&options);
    o.own = own ? options_of(&options, own) : NULL;
    o.mixing = c->mixing;
    o.seed = (uint64_t)c->seed;
    o.local = (int)c->local;
    struct topology *t = topology_open(&o);
    print_facts(t, &o, c->floats, options_given(&options, "mixing"));
    print_edges(t, c->drawn, strcmp(o.mixing, "uniform") || topology_is_directed(t), stdout);
    if (*c->figure)
        draw(t, &o, c);
    topology_close(t);
    options_close(&options);
    return 0;
}

const struct command command_topology = {
    .name = "topology",
    .summary = "a graph of workers: edges, weights, what they do: topology NAME RANKS",
    .run = run,
};
