/* Keeping the course of a simulated run, and going on from where it was kept. */
#include "node/course.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/journal.h"
#include "node/private.h"

static struct journal *journal_of(const struct node *n)
{
    return n->context->course ? n->context->course->journal : NULL;
}

struct journal *course_journal(const struct node *n)
{
    return journal_of(n);
}

double node_number(const struct node *n, double number)
{
    return journal_number(journal_of(n), number);
}

bool node_forwards(const struct node *n)
{
    return journal_forwards(journal_of(n));
}

/* --- what is kept --- */

struct state {
    struct kept *list;
    int count, room;
    int rank, block; /* whose blocks come next, and the number of the next one */
};

static struct kept *add(struct state *s, const char *name)
{
    if (s->count == s->room) {
        s->room = s->room ? 2 * s->room : 64;
        s->list = realloc(s->list, (size_t)s->room * sizeof *s->list);
        CHECK(s->list, "no memory for a list of %d blocks", s->room);
    }
    struct kept *new = &s->list[s->count++];
    *new = (struct kept){.type = STATE_U8};
    snprintf(new->name, sizeof new->name, "%s", name);
    return new;
}

static void add_numbers(struct state *s, const char *name, enum state_type type, void *memory,
                        int64_t count)
{
    struct kept *new = add(s, name);
    new->type = type;
    new->memory = memory;
    new->count = count;
}

static void add_block(void *self, void *block, size_t bytes)
{
    struct state *s = self;
    char name[40];
    snprintf(name, sizeof name, "rank %d/block %d", s->rank, s->block++);
    add_numbers(s, name, STATE_U8, block, (int64_t)bytes);
}

/* All that ranks have in vectors. To be freed: its list. */
static struct state blocks_of(const struct node *n)
{
    struct state s = {0};
    for (; s.rank < n->net->ranks; s.rank++) {
        struct node *of = n->context->nodes[s.rank];
        s.block = 0;
        net_visit_memory(of->net, add_block, &s);
        vectors_visit(of, add_block, &s);
    }
    return s;
}

static void add_to(uint64_t *course, const void *bytes, size_t count)
{
    *course = XXH3_64bits_withSeed(bytes, count, *course);
}

/* A number for all that has happened so far, but for what lies in vectors. */
static uint64_t course_of(const struct node *n)
{
    uint64_t course = net_course(n->net);
    for (int r = 0; r < n->net->ranks; r++) {
        const struct node *of = n->context->nodes[r];
        const struct computing *c = &of->own->computing;
        const int64_t numbers[] = {of->version, of->samples, of->clock, c->attempts};
        add_to(&course, numbers, sizeof numbers);
        add_to(&course, &of->counters, sizeof of->counters);
        if (c->next)
            add_to(&course, c->next, (size_t)c->stream_count * sizeof *c->next);
    }
    return course;
}

/* Of several servers those that are in step may be one update apart. */
static void take_weights(struct node *n, float *w)
{
    struct evaluator *e = &n->own->evaluator;
    const struct node *first = n->context->nodes[n->net->ranks > 1 ? n->context->servers : 0];
    if (e->prepare)
        e->prepare(e->prepare_self);
    if (e->set.first)
        memcpy(w, weights_shown(first), (size_t)n->count * sizeof *w);
    if (e->set.mean && !e->set.server) {
        weights_set_look(n);
        memcpy(w, e->mean, (size_t)n->count * sizeof *w);
        return;
    }
    for (int s = 0; s < n->context->servers && !e->set.first; s++) {
        const struct range at = node_slice(n, s);
        memcpy(w + at.from, n->context->nodes[s]->w + at.from,
               (size_t)(at.to - at.from) * sizeof *w);
    }
}

/* What each rank keeps by name: by it a run goes on with another number of workers. */
static void add_kept(const struct node *n, struct state *s)
{
    for (int r = 0; r < n->net->ranks; r++) {
        int count;
        struct kept *list = keeping_list(n->context->nodes[r], &count);
        for (int i = 0; i < count; i++) {
            char name[STATE_NAME + 20];
            snprintf(name, sizeof name, "rank %d/%s", r, list[i].name);
            assert(strlen(name) < STATE_NAME);
            add_numbers(s, name, list[i].type, list[i].memory, list[i].count);
        }
        xfree(list);
    }
}

static void keep(struct node *n)
{
    const struct course *c = n->context->course;
    struct state s = blocks_of(n);
    int64_t words, statistics = n->context->problem->statistics;
    uint64_t course = course_of(n);
    uint64_t *journal = (uint64_t *)journal_all(c->journal, &words);
    float *w = xcalloc((size_t)n->count, sizeof *w);
    take_weights(n, w);
    add_numbers(&s, "journal", STATE_I64, journal, words);
    add_numbers(&s, "course", STATE_I64, &course, 1);
    add_numbers(&s, "weights", STATE_F32, w, n->count);
    add_numbers(&s, "statistics", STATE_F32, n->own->evaluator.statistics, statistics);
    if (!*n->context->options->depart) /* who has departed has closed what it kept */
        add_kept(n, &s);
    c->keep(c->self, n, s.list, s.count);
    free(s.list);
    xfree(w);
}

/* --- going on --- */

/* Nothing was written yet that could not be written again. */
static void arrive(struct node *n)
{
    const struct course *c = n->context->course;
    struct state s = blocks_of(n);
    uint64_t course = 0;
    add_numbers(&s, "course", STATE_I64, &course, 1);
    for (int i = 0; i < s.count; i++)
        if (!c->fill(c->self, &s.list[i]))
            journal_left_course();
    if (course != course_of(n) || !journal_go_on(c->journal))
        journal_left_course();
    free(s.list);
    net_memory_replaced(n->net);
    if (c->arrived)
        c->arrived(c->self, n);
}

void course_update(struct node *n, bool last)
{
    const struct course *c = n->context->course;
    if (!c)
        return;
    if (!journal_forwards(c->journal)) {
        if (c->is_due(c->self, n, last))
            keep(n);
        return;
    }
    if (n->own->stop_heard)
        die(EXIT_STOPPED, "stopped by a signal at update %lld of %lld that it was resumed from",
            (long long)n->version, (long long)c->forward_to);
    if (n->version == c->forward_to)
        arrive(n);
}

void course_close(struct node *n)
{
    const struct course *c = n->context->course;
    if (node_forwards(n))
        journal_left_course();
    if (c && c->end && n->rank == 0)
        c->end(c->self, n);
}
