/* One table of keys; libinih splits the lines, their values are checked here.
 *
 * libinih is handed the lines one by one, so that each is counted and refused by its number. */
#include "slowness/machine.h"

#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/file.h"
#include "base/options.h"

enum section { CLUSTER, RANK, LINK, MINIBATCH };
enum range { FROM_ZERO, ABOVE_ZERO, WHOLE, PART };
enum { WORDS = 5, KEY_SIZE = 80, MOST_RANKS = 1000000 };

struct rank_entry {
    int rank;
    double speed, bandwidth;
};

struct pair_entry {
    int from, to;
    double latency_s, jitter_s, bandwidth;
};

struct minibatch_entry {
    char key[KEY_SIZE];
    double seconds, jitter;
};

/* The file's values; NAN: it has none. */
struct machine {
    char *path;
    double latency_s, jitter_s, bandwidth, host_bandwidth;
    double local_latency_s, local_jitter_s, local_bandwidth;
    double vector_bandwidth[VECTOR_PASSES], crowded_bandwidth;
    double ranks_per_host, cores_per_host, hosts_per_machine, host_jitter_share;
    double message_core_s;
    struct rank_entry *rank;
    struct pair_entry *pair;
    struct minibatch_entry *minibatch;
    int ranks, pairs, minibatches;
    struct links links;
};

static const struct key {
    enum section section;
    enum range range;
    const char *name;
    size_t offset;
} keys[] = {
#define AT(field) offsetof(struct machine, field)
    {CLUSTER, FROM_ZERO, "latency_s", AT(latency_s)},
    {CLUSTER, FROM_ZERO, "jitter_s", AT(jitter_s)},
    {CLUSTER, ABOVE_ZERO, "bandwidth_bytes_per_s", AT(bandwidth)},
    {CLUSTER, ABOVE_ZERO, "host_bandwidth_bytes_per_s", AT(host_bandwidth)},
    {CLUSTER, FROM_ZERO, "local_latency_s", AT(local_latency_s)},
    {CLUSTER, FROM_ZERO, "local_jitter_s", AT(local_jitter_s)},
    {CLUSTER, ABOVE_ZERO, "local_bandwidth_bytes_per_s", AT(local_bandwidth)},
    {CLUSTER, ABOVE_ZERO, "vector_bandwidth_bytes_per_s", AT(vector_bandwidth[PASS_SUM])},
    {CLUSTER, ABOVE_ZERO, "step_bandwidth_bytes_per_s", AT(vector_bandwidth[PASS_STEP])},
    {CLUSTER, ABOVE_ZERO, "copy_bandwidth_bytes_per_s", AT(vector_bandwidth[PASS_COPY])},
    {CLUSTER, ABOVE_ZERO, "crowded_bandwidth_bytes_per_s", AT(crowded_bandwidth)},
    {CLUSTER, WHOLE, "ranks_per_host", AT(ranks_per_host)},
    {CLUSTER, WHOLE, "cores_per_host", AT(cores_per_host)},
    {CLUSTER, WHOLE, "hosts_per_machine", AT(hosts_per_machine)},
    {CLUSTER, PART, "host_jitter_share", AT(host_jitter_share)},
    {CLUSTER, FROM_ZERO, "message_core_s_per_byte", AT(message_core_s)},
#undef AT
    {RANK, ABOVE_ZERO, "speed", offsetof(struct rank_entry, speed)},
    {RANK, ABOVE_ZERO, "bandwidth_bytes_per_s", offsetof(struct rank_entry, bandwidth)},
    {LINK, FROM_ZERO, "latency_s", offsetof(struct pair_entry, latency_s)},
    {LINK, FROM_ZERO, "jitter_s", offsetof(struct pair_entry, jitter_s)},
    {LINK, ABOVE_ZERO, "bandwidth_bytes_per_s", offsetof(struct pair_entry, bandwidth)},
};
enum { KEYS = sizeof keys / sizeof *keys };

struct reader {
    struct machine *m;
    FILE *file;
    int line;
};

#define REFUSE(reader, format, ...)                                                                \
    fatal("%s:%d: " format, (reader)->m->path, (reader)->line, __VA_ARGS__)

/* The list with room for one more after `count`, which is zero. */
static void *one_more(void *list, int count, size_t size)
{
    if (count & (count - 1)) /* there is room up to the next power of two */
        return list;
    void *longer = xcalloc(count ? 2 * (size_t)count : 1, size);
    if (count)
        memcpy(longer, list, (size_t)count * size);
    xfree(list);
    return longer;
}

static double number_of(const struct reader *r, const char *name, const char *text,
                        enum range range)
{
    static const char *const wanted[] = {"a number from 0 up", "a number above 0",
                                         "a whole number from 1 up", "a number from 0 to 1"};
    char *end;
    double value = strtod(text, &end);
    bool fits = range == FROM_ZERO    ? value >= 0
                : range == ABOVE_ZERO ? value > 0
                : range == PART       ? value >= 0 && value <= 1
                                      : value >= 1 && value <= MOST_RANKS && value == rint(value);
    if (end == text || *end || !isfinite(value) || !fits)
        REFUSE(r, "%s = %s: expected %s, in the unit that the key names", name, text,
               wanted[range]);
    return value;
}

static const struct key *key_of(const struct reader *r, enum section section, const char *name)
{
    const char *list[KEYS];
    char all[400] = "";
    int count = 0;
    for (int i = 0; i < KEYS; i++) {
        if (keys[i].section != section)
            continue;
        if (!strcmp(keys[i].name, name))
            return &keys[i];
        list[count++] = keys[i].name;
        snprintf(all + strlen(all), sizeof all - strlen(all), "%s%s", *all ? ", " : "",
                 keys[i].name);
    }
    const char *near = options_nearest(name, list, count);
    if (near)
        REFUSE(r, "unknown key '%s': did you mean '%s'?", name, near);
    REFUSE(r, "unknown key '%s': expected one of %s", name, all);
}

static void set(const struct reader *r, enum section section, void *entry, const char *name,
                const char *text)
{
    const struct key *key = key_of(r, section, name);
    double *value = (double *)((char *)entry + key->offset);
    if (!isnan(*value))
        REFUSE(r, "%s appears twice: leave one", name);
    *value = number_of(r, name, text, key->range);
}

/* Reads a rank's number and the blanks after it; NULL: it is none. */
static const char *rank_number(const char *text, int *rank)
{
    char *end;
    long value = strtol(text, &end, 10);
    if (end == text || value < 0 || value >= MOST_RANKS || (*end && !isspace((unsigned char)*end)))
        return NULL;
    *rank = (int)value;
    while (isspace((unsigned char)*end))
        end++;
    return end;
}

static struct rank_entry *entry_of_rank(const struct reader *r, const char *section,
                                        const char *number)
{
    struct machine *m = r->m;
    int rank = 0;
    const char *rest = rank_number(number, &rank);
    if (!rest || *rest)
        REFUSE(r, "[%s]: expected [rank N], N from 0 up", section);
    for (int i = 0; i < m->ranks; i++)
        if (m->rank[i].rank == rank)
            return &m->rank[i];
    m->rank = one_more(m->rank, m->ranks, sizeof *m->rank);
    m->rank[m->ranks] = (struct rank_entry){rank, NAN, NAN};
    return &m->rank[m->ranks++];
}

static struct pair_entry *entry_of_pair(const struct reader *r, const char *section,
                                        const char *numbers)
{
    struct machine *m = r->m;
    int from = 0, to = 0;
    const char *rest = rank_number(numbers, &from);
    rest = rest ? rank_number(rest, &to) : NULL;
    if (!rest || *rest || from == to)
        REFUSE(r, "[%s]: expected [link FROM TO], two different ranks from 0 up", section);
    for (int i = m->pairs - 1; i >= 0; i--)
        if (m->pair[i].from == from && m->pair[i].to == to)
            return &m->pair[i];
    m->pair = one_more(m->pair, m->pairs, sizeof *m->pair);
    m->pair[m->pairs] = (struct pair_entry){from, to, NAN, NAN, NAN};
    return &m->pair[m->pairs++];
}

/* Of a network: a stem, with or without a norm behind it, or widths, as a run would name it. */
static bool is_variant(const char *word)
{
    return !strncmp(word, "cifar", 5) || !strncmp(word, "imagenet", 8) ||
           strspn(word, "0123456789,") == strlen(word);
}

/* Takes the words of the key apart, in place; false: it does not have this form. */
static bool split_minibatch(char *copy, char *word[WORDS])
{
    char *save = NULL, *end;
    int count = 0;
    for (char *w = strtok_r(copy, " \t", &save); w; w = strtok_r(NULL, " \t", &save)) {
        if (count == WORDS)
            return false;
        word[count++] = w;
    }
    for (int i = 2; i < WORDS && count == WORDS; i += 2)
        if (strtol(word[i], &end, 10) < 1 || *end)
            return false;
    return count == WORDS && is_variant(word[1]) &&
           (!strcmp(word[3], "f32") || !strcmp(word[3], "bf16"));
}

static void add_minibatch(const struct reader *r, const char *name, const char *text)
{
    struct machine *m = r->m;
    char *word[WORDS], copy[KEY_SIZE], key[KEY_SIZE];
    snprintf(copy, sizeof copy, "%s", name);
    if (strlen(name) >= sizeof copy || !split_minibatch(copy, word))
        REFUSE(r,
               "'%s': expected network, variant (cifar, imagenet; of mlp its widths), samples, "
               "type (f32, bf16), threads, as in 'resnet50 cifar 32 f32 1'",
               name);
    snprintf(key, sizeof key, "%s %s %ld %s %ld", word[0], word[1], strtol(word[2], NULL, 10),
             word[3], strtol(word[4], NULL, 10));
    for (int i = 0; i < m->minibatches; i++)
        if (!strcmp(m->minibatch[i].key, key))
            REFUSE(r, "%s appears twice: leave one", key);
    m->minibatch = one_more(m->minibatch, m->minibatches, sizeof *m->minibatch);
    struct minibatch_entry *entry = &m->minibatch[m->minibatches++];
    memcpy(entry->key, key, sizeof key);
    char first[40], name_of_second[KEY_SIZE + 20];
    size_t length = strcspn(text, " \t");
    const char *second = text + length + strspn(text + length, " \t");
    snprintf(first, sizeof first, "%.*s", (int)length, text);
    snprintf(name_of_second, sizeof name_of_second, "the jitter of %s", key);
    entry->seconds = number_of(r, key, first, ABOVE_ZERO);
    entry->jitter = *second ? number_of(r, name_of_second, second, FROM_ZERO) : 0;
}

static _Noreturn void refuse_section(const struct reader *r, const char *section)
{
    static const char *const known[] = {"rank", "link", "minibatch_s"}, *const forms[] = {
                                                                            "[rank N]",
                                                                            "[link FROM TO]",
                                                                            "[minibatch_s]"};
    char word[40];
    snprintf(word, sizeof word, "%.*s", (int)strcspn(section, " \t"), section);
    const char *near = options_nearest(word, known, 3);
    for (int i = 0; near && i < 3; i++)
        if (near == known[i])
            REFUSE(r, "unknown section [%s]: did you mean %s?", section, forms[i]);
    REFUSE(r, "unknown section [%s]: expected %s, %s or %s", section, forms[0], forms[1], forms[2]);
}

static int handle(void *reader, const char *section, const char *name, const char *value)
{
    const struct reader *r = reader;
    if (!*section)
        set(r, CLUSTER, r->m, name, value);
    else if (!strcmp(section, "minibatch_s"))
        add_minibatch(r, name, value);
    else if (!strncmp(section, "rank ", 5))
        set(r, RANK, entry_of_rank(r, section, section + 5), name, value);
    else if (!strncmp(section, "link ", 5))
        set(r, LINK, entry_of_pair(r, section, section + 5), name, value);
    else
        refuse_section(r, section);
    return 1;
}

/* libinih's fgets(). A line that it could not split is refused here, before it goes on to the next;
 * blanks in front go, since to libinih they would make the line a part of the one before. */
static char *next_line(char *text, int room, void *reader)
{
    struct reader *r = reader;
    if (!fgets(text, room, r->file))
        return NULL;
    r->line++;
    if (!strchr(text, '\n') && !feof(r->file))
        REFUSE(r, "expected at most %d characters per line", room - 2);
    memmove(text, text + strspn(text, " \t"), strlen(text + strspn(text, " \t")) + 1);
    if (*text == '[' ? !strchr(text, ']') : !strchr(";#\r\n", *text) && !strpbrk(text, "=:"))
        REFUSE(r, "'%.*s': expected 'key = value', [section] or a comment",
               (int)strcspn(text, "\r\n"), text);
    return text;
}

static double or_zero(double value)
{
    return isnan(value) ? 0 : value;
}

/* The links as the simulator wants them; what the file does not have is 0, or as everywhere. */
static void make_links(struct machine *m)
{
    struct link_rank *rank = xcalloc((size_t)m->ranks, sizeof *rank);
    struct link_pair *pair = xcalloc((size_t)m->pairs, sizeof *pair);
    m->links = (struct links){
        .between = {or_zero(m->latency_s), or_zero(m->jitter_s), or_zero(m->bandwidth)},
        .within = {or_zero(m->local_latency_s), or_zero(m->local_jitter_s),
                   or_zero(m->local_bandwidth)},
        .ranks_per_host = isnan(m->ranks_per_host) ? 1 : (int)m->ranks_per_host,
        .host_bandwidth = or_zero(m->host_bandwidth),
        .rank = rank,
        .pair = pair,
        .pair_count = m->pairs,
    };
    for (int i = 0; i < m->ranks; i++)
        if (!isnan(m->rank[i].bandwidth))
            rank[m->links.rank_count++] = (struct link_rank){m->rank[i].rank, m->rank[i].bandwidth};
    for (int i = 0; i < m->pairs; i++) {
        const struct pair_entry *entry = &m->pair[i];
        bool within = entry->from / m->links.ranks_per_host == entry->to / m->links.ranks_per_host;
        const struct link_kind *usual = within ? &m->links.within : &m->links.between;
        pair[i] = (struct link_pair){entry->from,
                                     entry->to,
                                     {isnan(entry->latency_s) ? usual->latency_s : entry->latency_s,
                                      isnan(entry->jitter_s) ? usual->jitter_s : entry->jitter_s,
                                      or_zero(entry->bandwidth)}};
    }
}

const struct machine *machine_load(const char *path)
{
    struct machine *m = xcalloc(1, sizeof *m);
    m->path = strdup(path);
    CHECK(m->path, "no memory for a name");
    for (int i = 0; i < KEYS; i++)
        if (keys[i].section == CLUSTER)
            *(double *)((char *)m + keys[i].offset) = NAN;
    struct reader r = {.m = m, .file = file_open_text(path)};
    if (!r.file)
        fatal("--machine: cannot read %s (%s); test.s writes such a file, slowness/machine.h "
              "describes it",
              path, file_why(errno));
    int wrong = ini_parse_stream(next_line, &r, handle, &r);
    if (ferror(r.file))
        fatal("--machine: cannot read %s (%s)", path, file_why(errno));
    CHECK(!wrong, "%s: libinih refuses line %d", path, wrong);
    fclose(r.file);
    make_links(m);
    return m;
}

void machine_close(const struct machine *m)
{
    struct machine *own = (struct machine *)m;
    if (!own)
        return;
    xfree((void *)own->links.rank);
    xfree((void *)own->links.pair);
    xfree(own->rank);
    xfree(own->pair);
    xfree(own->minibatch);
    free(own->path);
    xfree(own);
}

static void require(const struct machine *m, int ranks, double value, const char *name,
                    const char *where)
{
    if (isnan(value))
        fatal("%s: %s is missing: of %d ranks, with ranks_per_host = %d, some meet %s; measure it "
              "(test.s there), or write what you assume",
              m->path, name, ranks, m->links.ranks_per_host, where);
}

const struct links *machine_links(const struct machine *m, int ranks)
{
    if (ranks > m->links.ranks_per_host) {
        require(m, ranks, m->latency_s, "latency_s", "between hosts");
        require(m, ranks, m->bandwidth, "bandwidth_bytes_per_s", "between hosts");
    }
    if (ranks > 1 && m->links.ranks_per_host > 1) {
        require(m, ranks, m->local_latency_s, "local_latency_s", "within a host");
        require(m, ranks, m->local_bandwidth, "local_bandwidth_bytes_per_s", "within a host");
    }
    return &m->links;
}

double machine_vector_bandwidth(const struct machine *m, enum vector_pass pass, bool crowded)
{
    double sum = or_zero(m->vector_bandwidth[PASS_SUM]);
    double alone = isnan(m->vector_bandwidth[pass]) ? sum : m->vector_bandwidth[pass];
    bool slows = crowded && m->links.ranks_per_host > 1 && m->crowded_bandwidth < sum;
    return slows ? alone * m->crowded_bandwidth / sum : alone;
}

double machine_speed(const struct machine *m, int rank)
{
    for (int i = 0; i < m->ranks; i++)
        if (m->rank[i].rank == rank && !isnan(m->rank[i].speed))
            return m->rank[i].speed;
    return 1;
}

int machine_host(const struct machine *m, int rank)
{
    int hosts = isnan(m->hosts_per_machine) ? 1 : (int)m->hosts_per_machine;
    return rank / m->links.ranks_per_host / hosts;
}

double machine_host_jitter_share(const struct machine *m)
{
    return or_zero(m->host_jitter_share);
}

int machine_cores(const struct machine *m)
{
    return (int)or_zero(m->cores_per_host);
}

double machine_message_core_s(const struct machine *m)
{
    return or_zero(m->message_core_s);
}

double machine_copy_bandwidth(const struct machine *m, int from, int to)
{
    bool within = m->links.ranks_per_host > 1 &&
                  from / m->links.ranks_per_host == to / m->links.ranks_per_host;
    return within ? or_zero(m->local_bandwidth) : 0;
}

static const struct minibatch_entry *find_minibatch(const struct machine *m, const char *network,
                                                    const char *stem, int samples,
                                                    const char *dtype, int threads)
{
    char key[KEY_SIZE];
    snprintf(key, sizeof key, "%s %s %d %s %d", network, stem, samples, dtype, threads);
    for (int i = 0; i < m->minibatches; i++)
        if (!strcmp(m->minibatch[i].key, key))
            return &m->minibatch[i];
    return NULL;
}

double machine_minibatch_s(const struct machine *m, const char *network, const char *stem,
                           int samples, const char *dtype, int threads)
{
    const struct minibatch_entry *entry = find_minibatch(m, network, stem, samples, dtype, threads);
    return entry ? entry->seconds : NAN;
}

double machine_minibatch_jitter(const struct machine *m, const char *network, const char *stem,
                                int samples, const char *dtype, int threads)
{
    const struct minibatch_entry *entry = find_minibatch(m, network, stem, samples, dtype, threads);
    return entry ? entry->jitter : 0;
}
