/* The order in which pushes arrived: written by --record, kept to by --replay, so that an asynchronous run can be run again.
 *
 * A file a server, FILE.RANK: one line "nbsgd order 1 WORKERS SCHEME SEED", then two bytes a push, the worker's number, little end
 * first. A record that ends early leaves the rest of the run free. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"
#include "parameter_server/private.h"

enum { NAME = 4200, HEAD = 160 };

struct order {
    FILE *record, *replay;
    char record_name[NAME], replay_name[NAME];
    int workers, next; /* next: whose push the replay wants; -1: nobody's in particular */
    bool failed;
};

static void write_head(char head[HEAD], const struct node *n)
{
    const struct options *o = n->setting->options;
    snprintf(head, HEAD, "nbsgd order 1 %d %s %lld\n", n->setting->workers, o->scheme, (long long)o->seed);
}

static void advance(struct order *o)
{
    int low = o->replay ? getc(o->replay) : EOF, high = low == EOF ? EOF : getc(o->replay);
    o->next = high == EOF ? -1 : low | high << 8;
    CHECK(o->next < o->workers, "%s: worker %d of %d: the record is damaged; record the run again", o->replay_name, o->next, o->workers);
}

static void open_replay(struct order *o, const struct node *n)
{
    char wanted[HEAD], found[HEAD] = "";
    write_head(wanted, n);
    snprintf(o->replay_name, NAME, "%s.%d", n->setting->options->replay, n->rank);
    o->replay = fopen(o->replay_name, "rb");
    if (!o->replay)
        fatal("--replay: %s: %s; --record %s of the same run writes it", o->replay_name, strerror(errno), n->setting->options->replay);
    if (!fgets(found, sizeof found, o->replay) || strcmp(found, wanted)) {
        found[strcspn(found, "\n")] = wanted[strcspn(wanted, "\n")] = '\0';
        fatal("--replay: %s is the record of another run: it begins with '%.60s', expected '%s'", o->replay_name, found, wanted);
    }
}

struct order *order_open(const struct node *n)
{
    struct order *o = obtain(1, sizeof *o);
    char head[HEAD];
    o->workers = n->setting->workers;
    if (*n->setting->options->replay)
        open_replay(o, n);
    advance(o);
    if (!*n->setting->options->record)
        return o;
    snprintf(o->record_name, NAME, "%s.%d", n->setting->options->record, n->rank);
    write_head(head, n);
    o->record = fopen(o->record_name, "wb");
    if (!o->record || fputs(head, o->record) == EOF)
        fatal("--record: cannot write %s (%s)", o->record_name, strerror(errno));
    return o;
}

void order_close(struct order *o)
{
    if (o->record && fclose(o->record) && !o->failed)
        fprintf(stderr, "nbsgd: cannot write %s (%s); the record is incomplete\n", o->record_name, strerror(errno));
    if (o->replay)
        fclose(o->replay);
    release(o);
}

void order_note(struct order *o, int worker)
{
    if (o->replay)
        advance(o);
    if (!o->record || o->failed)
        return;
    putc(worker & 0xff, o->record);
    if (putc(worker >> 8, o->record) == EOF) {
        o->failed = true;
        fprintf(stderr, "nbsgd: cannot write %s (%s); training goes on, the record is incomplete\n", o->record_name, strerror(errno));
    }
}

int order_next(struct order *o)
{
    return o->next;
}
