/* The order of a server's events: written by --record, kept to by --replay, so that an asynchronous
 * run can be run again. A filter over ps_next_event().
 *
 * Each server has a file, FILE.RANK. Its head: a line "nbsgd order 3"; a line that names the
 * recording, the same in the files of all servers; what must be equal in both runs, a line each; an
 * empty line. Then four bytes per event, low byte first: the number of the worker whose push was
 * accepted, DEPARTED + the number of a worker that has departed, EXPIRED where the time of
 * ps_next_until() was up, or END, after which the server accepted nothing. A file without its END
 * is that of a run that was killed. It says nothing of the rest, in which the order is free.
 *
 * Where servers agree on one order (ps_agree_on_order()) rank 0 sends each event to the others.
 * These have no use for a record of their own: they take what they are sent, one after the other.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/file.h"
#include "parameter_server/server.h"

enum { NAME = 4200, DEPARTED = 1 << 30 };
static const uint32_t end_word = UINT32_MAX, expired_word = UINT32_MAX - 1;
static const double patience_s = 1; /* for a message of another server that drops the record */

struct replay {
    struct node *n;
    FILE *record, *replay;
    char record_name[NAME], replay_name[NAME];
    struct event expected; /* next, by the replay */
    int64_t taken;         /* events of the replay */
    bool failed;           /* to write the record, which was said */
    int notes;             /* of other servers have come */
    bool notified;         /* they have this one's */
    bool agreed;           /* all servers take rank 0's order */
    int64_t ordered;       /* events: sent by rank 0, received elsewhere */
    int64_t order_end;     /* elsewhere: so many there will be; not known: INT64_MAX */
};

/* The lines of the head that must be equal. To be freed. What is free to differ decides when
 * something comes, where data lie or what is reported, not what is computed. Shards of the data may
 * follow --slow's speeds. */
static char *equal_lines(const struct options *o, int workers, int servers)
{
    char *lines = NULL;
    size_t size;
    FILE *to = open_memstream(&lines, &size);
    CHECK(to, "no memory for the options");
    fprintf(to, "workers = %d\nservers = %d\n", workers, servers);
    options_write(o, to, "", " = ", OPTION_FREE);
    if (!strcmp(o->partition, "speed"))
        fprintf(to, "slow = %s\n", o->slow);
    fclose(to);
    return lines;
}

/* --- replay --- */

/* Rank 0 ends the run where its record ends, whatever the limits say. */
static void expect(struct replay *r, int kind, int worker)
{
    r->expected = (struct event){kind, worker};
    r->n->ending = kind == EVENT_ANY   ? END_BY_LIMITS
                   : kind == EVENT_END ? END_WITH_NEXT
                                       : END_LATER;
}

static void advance(struct replay *r)
{
    unsigned char bytes[4];
    if (fread(bytes, 1, sizeof bytes, r->replay) < sizeof bytes) {
        fprintf(stderr,
                "nbsgd: %s ends after its event %lld, before its run ended (it was killed): from "
                "here on the order is free\n",
                r->replay_name, (long long)r->taken);
        expect(r, EVENT_ANY, 0);
        return;
    }
    uint32_t word = bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
                    (uint32_t)bytes[3] << 24,
             worker = word & ~(uint32_t)DEPARTED;
    if (word == end_word || word == expired_word) {
        expect(r, word == end_word ? EVENT_END : EVENT_EXPIRY, 0);
        return;
    }
    CHECK(worker < (uint32_t)r->n->context->workers,
          "%s: event %lld is of worker %u of %d: the record is damaged; record the run again",
          r->replay_name, (long long)r->taken + 1, worker, r->n->context->workers);
    expect(r, word & DEPARTED ? EVENT_DEPARTURE : EVENT_PUSH, (int)worker);
}

static void cut_line(char *line)
{
    line[strcspn(line, "\n")] = '\0';
}

/* The first line of both that differs is named. */
static void check_head(struct replay *r, char *wanted)
{
    char *line = NULL, *save = NULL, *mine = strtok_r(wanted, "\n", &save);
    size_t room = 0;
    while (getline(&line, &room, r->replay) > 0) {
        cut_line(line);
        if (!*line && !mine)
            break;
        if (!mine || strcmp(line, mine) != 0)
            fatal("--replay: %s is the record of another run: there '%.100s', here '%.100s'",
                  r->replay_name, line, mine ? mine : "");
        mine = strtok_r(NULL, "\n", &save);
    }
    if (mine)
        fatal("--replay: %s: it ends within its head; record the run again", r->replay_name);
    free(line);
}

/* Returns the name of the recording. */
static int64_t open_replay(struct replay *r, const struct options *options, int rank)
{
    static const char first[] = "nbsgd order 3\n";
    char line[80] = "";
    long long name = 0;
    snprintf(r->replay_name, NAME, "%s.%d", options->replay, rank);
    r->replay = file_open(r->replay_name);
    if (!r->replay)
        fatal("--replay: %s: %s; --record %s of the same run writes it", r->replay_name,
              strerror(errno), options->replay);
    if (!fgets(line, sizeof line, r->replay) || strcmp(line, first) != 0) {
        cut_line(line);
        fatal("--replay: %s begins with '%.60s', not with '%.13s': no record, or one of "
              "another version; record the run again",
              r->replay_name, line, first);
    }
    if (!fgets(line, sizeof line, r->replay) || sscanf(line, "recording = %lld", &name) != 1)
        fatal("--replay: %s: it ends within its head; record the run again", r->replay_name);
    return name;
}

/* What is known of one before the run: the head of rank 0's. */
static void check_replay(const struct options *o, int workers)
{
    struct replay *r = xcalloc(1, sizeof *r);
    char *lines = equal_lines(o, workers, (int)o->servers);
    open_replay(r, o, 0);
    check_head(r, lines);
    fclose(r->replay);
    free(lines);
    xfree(r);
}

/* --- record --- */

static void open_record(struct replay *r, int64_t name, const char *lines)
{
    const struct options *o = r->n->context->options;
    snprintf(r->record_name, NAME, "%s.%d", o->record, r->n->rank);
    r->record = file_begin(r->record_name, o->overwrite);
    if (!r->record && errno == EEXIST)
        fatal("--record: %s has another run's record; name another file, or say --overwrite",
              r->record_name);
    if (!r->record ||
        fprintf(r->record, "nbsgd order 3\nrecording = %lld\n%s\n", (long long)name, lines) < 0)
        fatal("--record: cannot write %s (%s)", r->record_name, strerror(errno));
}

/* Only those that this host sees: the servers ask again. */
static void check_record(const struct options *o)
{
    for (int s = 0; s < o->servers; s++) {
        char name[NAME];
        struct stat there;
        snprintf(name, NAME, "%s.%d", o->record, s);
        if (!o->overwrite && !stat(name, &there) && S_ISREG(there.st_mode) && there.st_size)
            fatal("--record: %s has another run's record; name another file, or say --overwrite",
                  name);
    }
}

static void fail_record(struct replay *r)
{
    r->failed = true;
    fprintf(stderr, "nbsgd: cannot write %s (%s); training goes on, the record is incomplete\n",
            r->record_name, strerror(errno));
    node_unwritten(r->n, r->record_name);
}

static void write_word(struct replay *r, uint32_t word)
{
    unsigned char bytes[4] = {word & 0xff, word >> 8 & 0xff, word >> 16 & 0xff, word >> 24};
    if (!r->record || r->failed || fwrite(bytes, 1, sizeof bytes, r->record) == sizeof bytes)
        return;
    fail_record(r);
}

/* Rank 0's name of the recording, at every server. */
static int64_t agree_on_name(struct node *n, int64_t name)
{
    struct recording_note note = {.name = name};
    for (int s = 1; s < n->context->servers && n->rank == 0; s++)
        send_note(n->net, s, TAG_REPLAY, note);
    if (n->rank == 0)
        return name;
    struct request *list[2] = {NULL, net_recv(n->net, 0, TAG_REPLAY, NULL, 0)};
    node_wait(n, list, 2, INFINITY, "the name of the recording", 0);
    header_unpack(net_header(list[1]), note);
    net_release(n->net, list[1]);
    return note.name;
}

/* --- both --- */

void ps_check_order(const struct options *o, int workers)
{
    if (*o->record)
        check_record(o);
    if (*o->replay)
        check_replay(o, workers);
}

struct replay *replay_open(struct node *n)
{
    const struct options *o = n->context->options;
    struct replay *r = xcalloc(1, sizeof *r);
    r->n = n;
    r->order_end = INT64_MAX;
    if (!*o->replay && !*o->record)
        return r;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t name =
        *o->replay ? open_replay(r, o, n->rank) : now.tv_sec * 1000000000LL + now.tv_nsec;
    int64_t agreed = agree_on_name(n, name);
    char *lines = equal_lines(o, n->context->workers, n->context->servers);
    if (*o->replay && name != agreed)
        fatal("--replay: %s and %s.0 are of two recordings; take the files of one", r->replay_name,
              o->replay);
    if (*o->record)
        open_record(r, agreed, lines);
    if (*o->replay) {
        check_head(r, lines);
        advance(r);
    }
    free(lines);
    return r;
}

void replay_close(struct replay *r)
{
    write_word(r, end_word);
    bool synced =
        !r->record || (!fflush(r->record) && (!fsync(fileno(r->record)) || errno == EINVAL));
    if (!synced && !r->failed)
        fail_record(r);
    if (r->record && fclose(r->record) && !r->failed)
        fail_record(r);
    if (r->replay)
        fclose(r->replay);
    xfree(r);
}

struct event replay_expected(const struct replay *r)
{
    return r->expected;
}

/* It takes rank 0's order. */
static bool follows(const struct replay *r)
{
    return r->agreed && r->n->rank > 0;
}

void replay_drop(struct replay *r)
{
    if (!follows(r))
        expect(r, EVENT_ANY, 0);
}

bool replay_goes_on(const struct replay *r)
{
    return (follows(r) && r->ordered < r->order_end) ||
           (r->expected.kind != EVENT_ANY && r->expected.kind != EVENT_END);
}

/* --- rank 0's order, at all servers --- */

/* Nothing is expected until the next one comes. */
static void expect_order(struct ps_server *ps)
{
    expect(ps->replay, EVENT_END, 0);
    ps->recv[RECV_ORDER] = net_recv(ps->n->net, 0, TAG_ORDER, NULL, 0);
}

void ps_agree_on_order(struct ps_server *ps)
{
    struct replay *r = ps->replay;
    if (ps->servers == 1)
        return;
    r->agreed = true;
    net_release(ps->n->net, ps->recv[RECV_REPLAY]); /* rank 0's record alone decides */
    ps->recv[RECV_REPLAY] = NULL;
    r->notified = true;
    if (ps->n->rank == 0)
        return;
    if (r->replay)
        fclose(r->replay);
    r->replay = NULL;
    expect_order(ps);
}

static void send_order(struct ps_server *ps, struct event e)
{
    const struct order_note note = {
        .kind = e.kind, .worker = e.worker, .cut = node_cut_number(ps->n)};
    for (int s = 1; s < ps->servers; s++)
        send_note(ps->n->net, s, TAG_ORDER, note);
    ps->replay->ordered++;
}

void replay_take_order(struct ps_server *ps, const struct header *m)
{
    struct order_note note;
    header_unpack(m, note);
    node_cut(ps->n, note.cut);
    CHECK(note.kind > EVENT_ANY && note.kind < EVENT_END && note.worker >= 0 &&
              note.worker < ps->workers,
          "an order of kind %lld, worker %lld, from rank %d", (long long)note.kind,
          (long long)note.worker, m->from);
    expect(ps->replay, (int)note.kind, (int)note.worker);
    ps->replay->ordered++;
}

int64_t replay_ordered(const struct replay *r)
{
    return r->ordered;
}

void replay_end_after(struct replay *r, int64_t ordered)
{
    r->order_end = ordered;
}

/* --- the filter --- */

/* Why what is expected cannot come; NULL: it can. A worker that waits for a reply pushes nothing,
 * and one that departs is asked for nothing more. */
static const char *impossible(const struct ps_server *ps, struct event expected)
{
    const struct ps_worker *from = &ps->worker[expected.worker];
    bool departs = from->state == WORKER_DEPARTING || from->state == WORKER_DEPARTED;
    bool pushes = from->state != WORKER_PUSHED &&
                  net_wait(ps->n->net, &ps->recv[RECV_PUSH + expected.worker], 1, 0) == 0;
    if (expected.kind == EVENT_DEPARTURE && from->state == WORKER_DEPARTING)
        return NULL;
    if (pushes)
        return expected.kind == EVENT_PUSH ? NULL : "which pushes";
    if (expected.kind == EVENT_PUSH && departs)
        return "which has departed";
    return from->reply_pending ? "which waits for a reply" : NULL;
}

/* Ends the run when what is expected cannot come, unless another server drops the record. */
static void check_expected(const struct ps_server *ps)
{
    const struct replay *r = ps->replay;
    struct net *net = ps->n->net;
    bool judges = r->replay && !ps->n->stop && replay_goes_on(r);
    const char *why =
        judges && r->expected.kind != EVENT_EXPIRY ? impossible(ps, r->expected) : NULL;
    if (!why ||
        net_wait(net, ps->recv + RECV_STOP, RECV_PUSH - RECV_STOP, net_now(net) + patience_s) >= 0)
        return;
    die(EXIT_WORLD,
        "%s: event %lld is a %s of worker %d, %s: this is not the run that was recorded; record it "
        "again",
        r->replay_name, (long long)r->taken + 1,
        r->expected.kind == EVENT_PUSH ? "push" : "departure", r->expected.worker, why);
}

/* Where a record has run out, its server notifies the others. At its end training is over. */
static struct event next_expected(struct ps_server *ps)
{
    struct replay *r = ps->replay;
    struct node *n = ps->n;
    if (r->expected.kind == EVENT_ANY)
        replay_notify(ps, true);
    bool ends = ps->stop_received || (n->rank == 0 && r->expected.kind == EVENT_END);
    n->stop |= ends && !replay_goes_on(r);
    if (!n->stop)
        return r->expected;
    ps_send_stop(ps);
    ps_reply_to_all_at_end(ps);
    return (struct event){.kind = EVENT_ANY};
}

static uint32_t word_of(struct event e)
{
    if (e.kind == EVENT_EXPIRY)
        return expired_word;
    return (uint32_t)e.worker | (e.kind == EVENT_DEPARTURE ? (uint32_t)DEPARTED : 0);
}

struct event replay_next_event(struct ps_server *ps, double clock_s)
{
    struct replay *r = ps->replay;
    struct event expected = next_expected(ps);
    check_expected(ps);
    struct event e = ps_next_event(ps, expected, clock_s);
    if (e.kind == EVENT_CONTROL || ps->n->stop)
        return e;
    if (r->agreed && ps->n->rank == 0)
        send_order(ps, e);
    if (follows(r)) {
        expect_order(ps);
    } else if (r->expected.kind != EVENT_ANY) {
        r->taken++;
        advance(r);
    }
    write_word(r, word_of(e));
    return e;
}

/* --- among servers --- */

void replay_expect_note(struct ps_server *ps)
{
    struct replay *r = ps->replay;
    bool more = r->replay && r->notes < ps->servers - 1;
    ps->recv[RECV_REPLAY] = more ? net_recv(ps->n->net, NET_ANY, TAG_REPLAY, NULL, 0) : NULL;
}

void replay_take_note(struct ps_server *ps, const struct header *m)
{
    struct replay_note note;
    header_unpack(m, note);
    if (note.drop)
        replay_drop(ps->replay);
    ps->replay->notes++;
    replay_expect_note(ps);
}

void replay_notify(struct ps_server *ps, bool drop)
{
    struct replay *r = ps->replay;
    const struct replay_note note = {.drop = drop};
    for (int s = 0; s < ps->servers && !r->notified && r->replay; s++)
        if (s != ps->n->rank)
            send_note(ps->n->net, s, TAG_REPLAY, note);
    r->notified = true;
}
