#define _GNU_SOURCE
#include "messaging/mpi/agreement.h"

#include <math.h>
#include <mpi.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "messaging/mpi/process.h"

#define MPI(call) CHECK((call) == MPI_SUCCESS, "%s failed", #call)

/* Between two looks: few ranks wait for long, and each look is a call into MPI. */
#define LOOK_LEAST_S 50e-6
#define LOOK_MOST_S 5e-3
#define ASK_S 1.0

enum { LAST_WORDS_S = 3 };
enum { HOLDS = 1, FAILED, AGREED }; /* tags: host, zero byte, what is held; a line; nothing */

struct agreement {
    MPI_Comm comm;
    int rank, ranks;
};

struct agreement *agreement_open(void)
{
    struct agreement *a = xcalloc(1, sizeof *a);
    MPI(MPI_Comm_dup(MPI_COMM_WORLD, &a->comm));
    MPI(MPI_Comm_rank(a->comm, &a->rank));
    MPI(MPI_Comm_size(a->comm, &a->ranks));
    return a;
}

void agreement_close(struct agreement *a)
{
    MPI(MPI_Comm_free(&a->comm));
    xfree(a);
}

/* ---- waiting */

struct watch {
    int64_t begin_ns, asked_ns;
    double pause_s;
};

static struct watch watch_begin(void)
{
    return (struct watch){clock_ns(), clock_ns(), LOOK_LEAST_S};
}

static double seconds_since(int64_t then_ns)
{
    return 1e-9 * (double)(clock_ns() - then_ns);
}

/* One look, and a nap. True once a second: it is time to ask who is gone, which costs more. */
static bool watch_on(struct watch *w, const struct company *c)
{
    c->look(c->self);
    nap(w->pause_s);
    w->pause_s = fmin(1.5 * w->pause_s, LOOK_MOST_S);
    if (seconds_since(w->asked_ns) < ASK_S)
        return false;
    w->asked_ns = clock_ns();
    return true;
}

/* Is that rank not waited for any more? */
static bool is_given_up(const struct watch *w, const struct company *c, int rank, char why[NET_WHY])
{
    if (c->is_gone(c->self, rank, why))
        return true;
    snprintf(why, NET_WHY, "rank %d has not come to the start in %g s: is it stopped?", rank,
             c->patience_s);
    return seconds_since(w->begin_ns) > c->patience_s;
}

/* Until it is done; false: rank 0, which has to come for it, is gone. If it has said why, the
 * launcher ends this rank meanwhile. */
static bool await(MPI_Request *request, const struct company *c, char why[NET_WHY])
{
    struct watch w = watch_begin();
    for (bool gone = false; !gone;) {
        int done;
        MPI_Status status;
        MPI(MPI_Test(request, &done, &status));
        if (done)
            return true;
        gone = watch_on(&w, c) && is_given_up(&w, c, 0, why);
    }
    sleep(LAST_WORDS_S);
    return false;
}

/* ---- rank 0's text for all */

static bool hand_out(struct agreement *a, const struct company *c, void *block, int bytes)
{
    char why[NET_WHY];
    MPI_Request request;
    MPI(MPI_Ibcast(block, bytes, MPI_BYTE, 0, a->comm, &request));
    return await(&request, c, why);
}

int agreement_hand_out(struct agreement *a, const struct company *c, char **text, size_t *bytes,
                       char line[FATAL_LINE])
{
    if (!hand_out(a, c, bytes, sizeof *bytes)) {
        snprintf(line, FATAL_LINE,
                 "rank 0 has not handed out its configuration for %g s: is it stopped, or is a "
                 "--config file endless?",
                 c->patience_s);
        return EXIT_SILENT;
    }
    if (a->rank)
        *text = xcalloc(*bytes + 1, 1);
    if (*bytes && !hand_out(a, c, *text, (int)*bytes)) {
        snprintf(line, FATAL_LINE, "the configuration of rank 0 has not come for %g s",
                 c->patience_s);
        return EXIT_SILENT;
    }
    return 0;
}

/* ---- what is held, line by line */

struct word {
    const char *at;
    int length;
};

struct holding {
    struct word name, value, remark;
};

static struct word next_word(const char **at)
{
    struct word w = {*at, (int)strcspn(*at, "\t\n")};
    *at += w.length;
    *at += **at == '\t';
    return w;
}

static bool next_holding(const char **at, struct holding *h)
{
    if (!**at)
        return false;
    h->name = next_word(at);
    h->value = next_word(at);
    h->remark = next_word(at);
    *at += strcspn(*at, "\n");
    *at += **at == '\n';
    return true;
}

static bool is_same(struct word a, struct word b)
{
    return a.length == b.length && !memcmp(a.at, b.at, (size_t)a.length);
}

static bool find_holding(const char *held, struct word name, struct holding *h)
{
    while (next_holding(&held, h))
        if (is_same(h->name, name))
            return true;
    return false;
}

/* "--seed 2", "data set cifar10 (from here)" */
static void describe(char *to, size_t size, const struct holding *h)
{
    const char *shown = h->value.length ? h->value.at : "''";
    int length = h->value.length ? h->value.length : 2;
    snprintf(to, size, "%.*s %.*s%s%.*s%s", h->name.length, h->name.at, length, shown,
             h->remark.length ? " (" : "", h->remark.length, h->remark.at,
             h->remark.length ? ")" : "");
}

bool agreement_differs(const char *ours, const char *theirs, int rank, const char *host,
                       char line[FATAL_LINE])
{
    struct holding our, their;
    char here[FATAL_LINE / 3], there[FATAL_LINE / 3];
    while (next_holding(&ours, &our)) {
        if (!find_holding(theirs, our.name, &their) || is_same(our.value, their.value))
            continue;
        describe(here, sizeof here, &our);
        describe(there, sizeof there, &their);
        snprintf(line, FATAL_LINE,
                 "rank %d on %.200s has %s, rank 0 has %s; give all ranks the "
                 "same",
                 rank, host, there, here);
        return true;
    }
    return false;
}

/* ---- every rank and rank 0 */

/* Another rank than 0. */
static int declare(struct agreement *a, const struct company *c, const char *held,
                   char line[FATAL_LINE])
{
    char host[256] = "?";
    MPI_Request sent, answered;
    gethostname(host, sizeof host - 1);
    size_t length = strlen(host) + 1, bytes = length + strlen(held) + 1;
    char *message = xcalloc(bytes, 1);
    memcpy(message, host, length);
    memcpy(message + length, held, bytes - length);
    MPI(MPI_Irecv(NULL, 0, MPI_BYTE, 0, AGREED, a->comm, &answered));
    MPI(MPI_Isend(message, (int)bytes, MPI_BYTE, 0, HOLDS, a->comm, &sent));
    bool agreed = await(&sent, c, line) && await(&answered, c, line);
    xfree(message);
    return agreed ? 0 : EXIT_SILENT;
}

/* The next message of a rank's, to be released; NULL: none has come. */
static char *take(struct agreement *a, int *from, bool *failed)
{
    int there, bytes;
    MPI_Status status;
    MPI(MPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, a->comm, &there, &status));
    if (!there)
        return NULL;
    MPI(MPI_Get_count(&status, MPI_BYTE, &bytes));
    *from = status.MPI_SOURCE;
    *failed = status.MPI_TAG == FAILED;
    char *message = xcalloc((size_t)bytes + 2, 1); /* two texts, whatever came */
    MPI(MPI_Recv(message, bytes, MPI_BYTE, *from, status.MPI_TAG, a->comm, &status));
    return message;
}

/* Is a rank that has not come not waited for any more? */
static bool any_given_up(const struct agreement *a, const struct company *c, const struct watch *w,
                         const bool *heard, char why[NET_WHY])
{
    for (int i = 1; i < a->ranks; i++)
        if (!heard[i] && is_given_up(w, c, i, why))
            return true;
    return false;
}

/* Who differs may be why another rank has failed, or is gone: that line stays. */
static int end_with(char line[FATAL_LINE], bool differs, const char *other, int code)
{
    if (differs)
        return EXIT_USER;
    snprintf(line, FATAL_LINE, "%s", other);
    return code;
}

/* Rank 0: of all ranks that differ the first one counts; one that fails is not waited upon. */
static int hear_all(struct agreement *a, const struct company *c, const char *held,
                    char line[FATAL_LINE])
{
    bool *heard = xcalloc((size_t)a->ranks, sizeof *heard), failed;
    struct watch w = watch_begin();
    int from, first = a->ranks, code = 0;
    for (int left = a->ranks - 1; left && !code;) {
        char *message = take(a, &from, &failed);
        if (!message) {
            char why[NET_WHY];
            if (watch_on(&w, c) && any_given_up(a, c, &w, heard, why))
                code = end_with(line, first < a->ranks, why, EXIT_SILENT);
            continue;
        }
        w.pause_s = LOOK_LEAST_S;
        if (failed) {
            code = end_with(line, first < a->ranks, message, EXIT_USER);
        } else if (from < first &&
                   agreement_differs(held, strchr(message, 0) + 1, from, message, line)) {
            first = from;
        }
        left -= !failed;
        heard[from] = true;
        xfree(message);
    }
    xfree(heard);
    return code ? code : first < a->ranks ? EXIT_USER : 0;
}

int agreement_meet(struct agreement *a, const struct company *c, const char *held,
                   char line[FATAL_LINE])
{
    if (a->rank)
        return declare(a, c, held, line);
    int code = hear_all(a, c, held, line);
    for (int i = 1; !code && i < a->ranks; i++)
        MPI(MPI_Send(NULL, 0, MPI_BYTE, i, AGREED, a->comm));
    return code;
}

/* Nothing is checked: this rank is at its end. */
void agreement_report(struct agreement *a, const char *line, double patience_s)
{
    MPI_Request request;
    MPI_Status status;
    int done;
    if (!a->rank || MPI_Isend(line, (int)strlen(line) + 1, MPI_BYTE, 0, FAILED, a->comm,
                              &request) != MPI_SUCCESS)
        return;
    for (int64_t begin_ns = clock_ns(); seconds_since(begin_ns) < patience_s; nap(LOOK_MOST_S))
        MPI_Test(&request, &done, &status);
}
