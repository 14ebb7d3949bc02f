#include "command/agreement.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/digest.h"
#include "command/command.h"
#include "data_loader/data_loader.h"
#include "messaging/messaging.h"
#include "node/node.h"

#define GRACE_S 5.0 /* beyond --deadline: the ranks' start is not their heartbeat's */

/* A path may hold a character that would end a line. */
static void write_plain(FILE *to, const char *text)
{
    for (; *text; text++)
        putc(iscntrl((unsigned char)*text) ? '?' : *text, to);
}

static void write_program(FILE *to, const struct options *o)
{
    const char *hosts = getenv("NBSGD_HOSTS");
    bool little = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__;
    fprintf(to, "command\t%s\n", o->check_options ? "check options" : "train");
    fprintf(to, "version\t%s\ncommit\t%s\n", version_number(), version_commit());
    fprintf(to, "byte order\t%s\n", little ? "little-endian" : "big-endian");
    fprintf(to, "sizes of types\tint %zu, long %zu, pointer %zu, double %zu, header %zu\n",
            sizeof(int), sizeof(long), sizeof(void *), sizeof(double), sizeof(struct header));
    fputs("NBSGD_HOSTS\t", to);
    write_plain(to, hosts ? hosts : "");
    putc('\n', to);
}

/* Not where it lies: each host may have it in a place of its own. */
static void write_data_set(FILE *to, const struct options *o)
{
    const char *kind, *where;
    dataset_find(o->dataset, o->data, &kind, &where);
    fprintf(to, "data set\t%s\t%s", kind, where ? "from " : "found in no folder");
    write_plain(to, where ? where : "");
    putc('\n', to);
}

void agree_on_options(const struct options *o)
{
    char *held = NULL;
    size_t size;
    FILE *f = open_memstream(&held, &size);
    CHECK(f, "no memory for the options");
    write_program(f, o);
    options_write(o, f, "--", "\t", OPTION_OWN);
    if (strcmp(o->network, problem_toy) && !run_context_times_alone(o))
        write_data_set(f, o);
    fclose(f);
    mpi_agree(held, o->deadline + GRACE_S);
    free(held);
}

void agree_to_begin(const struct options *o)
{
    mpi_agree("", o->deadline + GRACE_S);
}

/* Reading takes its time: who is not known to be gone is waited for. */
void agree_on_data(const struct problem *p)
{
    char *held = NULL, digest[DIGEST_TEXT];
    size_t size;
    FILE *f = open_memstream(&held, &size);
    CHECK(f, "no memory for the data's description");
    digest_text(p->data_digest, digest);
    fprintf(f, "training images\t%" PRId64 "\t", p->training_samples);
    write_plain(f, p->source);
    fprintf(f, "\ntest images\t%" PRId64 "\nclasses\t%d\nweights\t%" PRId64, p->test_samples,
            p->classes, p->count);
    fprintf(f, "\ndigest of all images\t%s\t", digest);
    write_plain(f, p->source);
    putc('\n', f);
    if (p->init_digest) { /* several servers have a slice each */
        digest_text(p->init_digest, digest);
        fprintf(f, "digest of the weights of --init\t%s\n", digest);
    }
    fclose(f);
    mpi_agree(held, INFINITY);
    free(held);
}
