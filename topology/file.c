/* A graph from a file: a line an edge, "I J" or "I J WEIGHT", nodes from 0. A line "step" begins
 * the next step, "directed" before all edges makes "I J" an edge from I to J. '#' begins a
 * comment. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/file.h"
#include "topology/kinds.h"

struct file_options {
    const char *path;
};

static const struct option_row rows[] = {
    {.name = "topology-file",
     .type = OPTION_TEXT,
     .offset = offsetof(struct file_options, path),
     .preset = "",
     .placeholder = "FILE",
     .help = "edges of topology file, a line each: I J [WEIGHT]; 'step' begins the next step"},
    {0}};

static const struct option_set option_set = {.title = "Topology file",
                                             .owner = "--topology file",
                                             .rows = rows,
                                             .size = sizeof(struct file_options)};

struct reader {
    struct draft *d;
    const char *path;
    int line;
    int64_t edges;
    bool weighted; /* the edges so far */
};

/* A word of the line, as a whole number below the number of nodes. */
static int node_of(const struct reader *r, const char *word)
{
    char *end;
    errno = 0;
    long node = strtol(word, &end, 10);
    if (end == word || *end || errno || node < 0 || node >= draft_nodes(r->d))
        fatal("%s, line %d: '%s' is no node; they are 0 to %d", r->path, r->line, word,
              draft_nodes(r->d) - 1);
    return (int)node;
}

static double weight_of(const struct reader *r, const char *word)
{
    char *end;
    double weight = strtod(word, &end);
    if (end == word || *end || !(weight > 0 && weight <= 1))
        fatal("%s, line %d: weight '%s' is not a number above 0 and up to 1", r->path, r->line,
              word);
    return weight;
}

static void take_edge(struct reader *r, char *const *word, int words)
{
    int from = node_of(r, word[0]), to = node_of(r, word[1]);
    if (words > 3)
        fatal("%s, line %d: '%s' is one word too many; an edge is I J [WEIGHT]", r->path, r->line,
              word[3]);
    if (from == to)
        fatal("%s, line %d: node %d is its own neighbour; what it keeps is what is left of 1",
              r->path, r->line, from);
    if (r->edges++ && r->weighted != (words == 3))
        fatal("%s, line %d: some edges have a weight and some have none", r->path, r->line);
    r->weighted = words == 3;
    if (r->weighted)
        draft_weighted_edge(r->d, from, to, weight_of(r, word[2]));
    else
        draft_edge(r->d, from, to);
}

static void take_line(struct reader *r, char *text)
{
    char *word[5], *save = NULL;
    int words = 0;
    text[strcspn(text, "#")] = '\0';
    for (char *w = strtok_r(text, " \t\r\n", &save); w && words < 5;
         w = strtok_r(NULL, " \t\r\n", &save))
        word[words++] = w;
    if (!words)
        return;
    if (words == 1 && !strcmp(word[0], "step")) {
        draft_next_step(r->d);
    } else if (words == 1 && !strcmp(word[0], "directed")) {
        if (r->edges)
            fatal("%s, line %d: 'directed' belongs before all edges", r->path, r->line);
        draft_set_directed(r->d);
    } else if (words == 1) {
        fatal("%s, line %d: '%s' alone; a line is I J [WEIGHT], 'step' or 'directed'", r->path,
              r->line, word[0]);
    } else {
        take_edge(r, word, words);
    }
}

static void build(struct draft *d, const struct topology_options *o)
{
    const struct file_options *own = o->own;
    struct reader r = {.d = d, .path = own->path};
    char *text = NULL;
    size_t size = 0;
    if (!*own->path)
        fatal("topology file: which one? --topology-file FILE");
    FILE *f = file_open_text(own->path);
    if (!f)
        fatal("cannot read %s (%s)", own->path, file_why(errno));
    while (getline(&text, &size, f) >= 0) {
        r.line++;
        take_line(&r, text);
    }
    bool failed = ferror(f);
    fclose(f);
    free(text);
    if (failed)
        fatal("cannot read %s (%s)", own->path, strerror(errno));
    if (!r.edges && o->nodes > 1)
        fatal("%s: no edge is in it", own->path);
}

const struct topology_kind topology_file = {
    .name = "file",
    .summary = "edges, and weights if you like, from --topology-file",
    .options = &option_set,
    .build = build,
};
