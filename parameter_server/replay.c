/* The order of what came to a server: written by --record, kept to by --replay, so that an
 * asynchronous run can be run again.
 *
 * A file a server, FILE.RANK. Its head: a line "nbsgd order 2", a line that names the recording,
 * the same in the files of all servers, then what must be equal in both runs, a line each, and an
 * empty line. Then four bytes an event, low byte first: the number of the worker whose push was
 * taken, LEFT + the number of one that has left, or END, where the server took no more. A file
 * without its END is that of a run that was killed: it says nothing of the rest, in which the order
 * is free. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/check.h"
#include "parameter_server/private.h"

enum { NAME = 4200, LEFT = 1 << 30 };
static const uint32_t end_word = UINT32_MAX;
static const double word_s = 1; /* for another server's word to come that drops the record */

struct order {
    struct node *n;
    FILE *record, *replay;
    char record_name[NAME], replay_name[NAME];
    struct due next; /* what the replay wants */
    int64_t taken;   /* events of the replay */
    bool failed;
};

/* The lines of the head that must be equal. To be freed. What is free to differ decides when
 * something comes, where things lie, or what is reported of them, not what is computed. Shards of
 * the data may follow --slow's speeds. */
static char *equal_lines(const struct node *n)
{
    const struct options *o = n->context->options;
    char *lines = NULL;
    size_t size;
    FILE *to = open_memstream(&lines, &size);
    CHECK(to, "no memory for the options");
    fprintf(to, "workers = %d\nservers = %d\n", n->context->workers, n->context->servers);
    options_write(o, to, "", " = ", OPTION_FREE);
    if (!strcmp(o->partition, "speed"))
        fprintf(to, "slow = %s\n", o->slow);
    fclose(to);
    return lines;
}

/* --- replay --- */

/* Rank 0 ends the run where its record ends, whatever the limits say. */
static void want(struct order *o, int kind, int worker)
{
    o->next = (struct due){kind, worker};
    o->n->ending = kind == DUE_ANY ? END_BY_LIMITS : kind == DUE_END ? END_WITH_NEXT : END_LATER;
}

static void advance(struct order *o)
{
    unsigned char bytes[4];
    if (fread(bytes, 1, sizeof bytes, o->replay) < sizeof bytes) {
        fprintf(stderr,
                "nbsgd: %s ends behind its event %lld, but not where its run ended, which was "
                "killed: from here on the order is free\n",
                o->replay_name, (long long)o->taken);
        want(o, DUE_ANY, 0);
        return;
    }
    uint32_t word = bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
                    (uint32_t)bytes[3] << 24,
             worker = word & ~(uint32_t)LEFT;
    if (word == end_word) {
        want(o, DUE_END, 0);
        return;
    }
    CHECK(worker < (uint32_t)o->n->context->workers,
          "%s: event %lld is of worker %u of %d: the record is damaged; record the run again",
          o->replay_name, (long long)o->taken + 1, worker, o->n->context->workers);
    want(o, word & LEFT ? DUE_LEAVING : DUE_PUSH, (int)worker);
}

static void cut_line(char *line)
{
    line[strcspn(line, "\n")] = '\0';
}

/* The first line of both that differs is named. */
static void check_head(struct order *o, char *wanted)
{
    char *line = NULL, *save = NULL, *mine = strtok_r(wanted, "\n", &save);
    size_t room = 0;
    while (getline(&line, &room, o->replay) > 0) {
        cut_line(line);
        if (!*line && !mine)
            break;
        if (!mine || strcmp(line, mine) != 0)
            fatal("--replay: %s is the record of another run: there '%.100s', here '%.100s'",
                  o->replay_name, line, mine ? mine : "");
        mine = strtok_r(NULL, "\n", &save);
    }
    if (mine)
        fatal("--replay: %s: it ends within its head; record the run again", o->replay_name);
    free(line);
}

/* Returns the name of the recording. */
static int64_t open_replay(struct order *o)
{
    static const char first[] = "nbsgd order 2\n";
    const struct options *options = o->n->context->options;
    char line[80] = "";
    long long name = 0;
    snprintf(o->replay_name, NAME, "%s.%d", options->replay, o->n->rank);
    o->replay = fopen(o->replay_name, "rb");
    if (!o->replay)
        fatal("--replay: %s: %s; --record %s of the same run writes it", o->replay_name,
              strerror(errno), options->replay);
    if (!fgets(line, sizeof line, o->replay) || strcmp(line, first) != 0) {
        cut_line(line);
        fatal("--replay: %s begins with '%.60s', not with '%.13s': no record, or another "
              "version's; record the run again",
              o->replay_name, line, first);
    }
    if (!fgets(line, sizeof line, o->replay) || sscanf(line, "recording = %lld", &name) != 1)
        fatal("--replay: %s: it ends within its head; record the run again", o->replay_name);
    return name;
}

/* --- record --- */

static void open_record(struct order *o, int64_t name, const char *lines)
{
    snprintf(o->record_name, NAME, "%s.%d", o->n->context->options->record, o->n->rank);
    o->record = fopen(o->record_name, "wb");
    if (!o->record ||
        fprintf(o->record, "nbsgd order 2\nrecording = %lld\n%s\n", (long long)name, lines) < 0)
        fatal("--record: cannot write %s (%s)", o->record_name, strerror(errno));
}

static void write_word(struct order *o, uint32_t word)
{
    unsigned char bytes[4] = {word & 0xff, word >> 8 & 0xff, word >> 16 & 0xff, word >> 24};
    if (!o->record || o->failed || fwrite(bytes, 1, sizeof bytes, o->record) == sizeof bytes)
        return;
    o->failed = true;
    fprintf(stderr, "nbsgd: cannot write %s (%s); training goes on, the record is incomplete\n",
            o->record_name, strerror(errno));
}

/* Rank 0's name of the recording, at every server. */
static int64_t agree_on_name(struct node *n, int64_t name)
{
    for (int s = 1; s < n->context->servers && n->rank == 0; s++)
        net_send(n->net, s, &(struct header){.tag = TAG_REPLAY, .count = name}, NULL, 0);
    if (n->rank == 0)
        return name;
    struct request *list[2] = {NULL, net_recv(n->net, 0, TAG_REPLAY, NULL, 0)};
    node_wait(n, list, 2, INFINITY, "the name of the recording", 0);
    name = net_header(list[1])->count;
    net_release(n->net, list[1]);
    return name;
}

/* --- both --- */

struct order *order_open(struct node *n)
{
    const struct options *options = n->context->options;
    struct order *o = xcalloc(1, sizeof *o);
    o->n = n;
    if (!*options->replay && !*options->record)
        return o;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t name = *options->replay ? open_replay(o) : now.tv_sec * 1000000000LL + now.tv_nsec,
            agreed = agree_on_name(n, name);
    char *lines = equal_lines(n);
    if (*options->replay && name != agreed)
        fatal("--replay: %s and %s.0 are of two recordings; take the files of one", o->replay_name,
              options->replay);
    if (*options->record)
        open_record(o, agreed, lines);
    if (*options->replay) {
        check_head(o, lines);
        advance(o);
    }
    free(lines);
    return o;
}

void order_close(struct order *o)
{
    write_word(o, end_word);
    if (o->record && fclose(o->record) && !o->failed)
        fprintf(stderr, "nbsgd: cannot write %s (%s); the record is incomplete\n", o->record_name,
                strerror(errno));
    if (o->replay)
        fclose(o->replay);
    xfree(o);
}

void order_note(struct order *o, int kind, int worker)
{
    if (o->next.kind != DUE_ANY) {
        o->taken++;
        advance(o);
    }
    write_word(o, (uint32_t)worker | (kind == DUE_LEAVING ? (uint32_t)LEFT : 0));
}

struct due order_next(const struct order *o)
{
    return o->next;
}

void order_drop(struct order *o)
{
    want(o, DUE_ANY, 0);
}

bool order_goes_on(const struct order *o)
{
    return o->next.kind == DUE_PUSH || o->next.kind == DUE_LEAVING;
}

/* Whom this server owes an answer sends nothing, and who leaves is asked for nothing more. */
void order_check(struct ps *ps)
{
    const struct order *o = ps->order;
    struct due e = o->next;
    if (ps->n->stop || !order_goes_on(o))
        return;
    bool pushes = net_wait(ps->n->net, &ps->awaited[e.worker], 1, 0) == 0;
    const char *why = e.kind == DUE_PUSH && ps->leaves[e.worker] ? "who has left"
                      : ps->owed[e.worker]                       ? "who waits for an answer"
                                                                 : NULL;
    if (pushes)
        why = e.kind == DUE_PUSH ? NULL : "who pushes";
    if (!why || net_wait(ps->n->net, ps->come + AT_STOP, AT_PUSH - AT_STOP,
                         net_now(ps->n->net) + word_s) >= 0)
        return;
    die(EXIT_WORLD,
        "%s: event %lld is %s of worker %d, %s: this is not the run that was recorded; record it "
        "again",
        o->replay_name, (long long)o->taken + 1, e.kind == DUE_PUSH ? "a push" : "the leaving",
        e.worker, why);
}

void order_hear(struct ps *ps)
{
    bool more = ps->order->replay && ps->words < ps->servers - 1;
    ps->come[AT_ORDER] = more ? net_recv(ps->n->net, NET_ANY, TAG_REPLAY, NULL, 0) : NULL;
}

void order_tell(struct ps *ps, bool out)
{
    for (int s = 0; s < ps->servers && !ps->told && ps->order->replay; s++)
        if (s != ps->n->rank)
            net_send(ps->n->net, s, &(struct header){.tag = TAG_REPLAY, .flags = out}, NULL, 0);
    ps->told = true;
}
