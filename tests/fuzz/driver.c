/* Runs a harness where there is no libFuzzer: over its corpus, then over keyed mutations of that.
 *
 *   tests/fuzz/NAME [MUTATIONS [CORPUS]]     CORPUS: tests/fuzz/corpus/NAME
 *
 * Inputs are run by children, so many each, so that what a reader leaves behind ends with them; one
 * that dies or hangs names its input, which is written to NAME-input-N beside the program. The same
 * number is the same input as long as the corpus is the same. */
#define _GNU_SOURCE
#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "base/random.h"

enum { SEED = 1, MOST = 1 << 14, FILES = 256, EACH = 500, LIMIT_S = 20, WORDS = 3000 };

struct input {
    uint8_t *bytes;
    size_t size;
};

struct corpus {
    struct input list[FILES];
    int count;
};

static void add(struct corpus *c, const uint8_t *bytes, size_t size)
{
    CHECK(c->count < FILES, "more than %d inputs", FILES);
    struct input *in = &c->list[c->count++];
    *in = (struct input){malloc(size + 1), size};
    memcpy(in->bytes, bytes, size);
}

static int is_input(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static void load(struct corpus *c, const char *folder)
{
    static uint8_t bytes[MOST];
    struct dirent **entries;
    size_t size;
    for (int i = 0; (size = fuzz_seed(i, bytes)); i++)
        add(c, bytes, size);
    int count = scandir(folder, &entries, is_input, alphasort);
    for (int i = 0; i < count; i++) {
        char path[4200];
        snprintf(path, sizeof path, "%.3900s/%s", folder, entries[i]->d_name);
        FILE *file = fopen(path, "rb");
        CHECK(file, "cannot read %s", path);
        size = fread(bytes, 1, sizeof bytes, file);
        CHECK(size < sizeof bytes, "%s: %zu bytes are too many", path, size);
        fclose(file);
        add(c, bytes, size);
        free(entries[i]);
    }
    CHECK(c->count, "no input in %s", folder);
}

/* --- mutations */

static size_t at_most(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t insert(struct random *r, uint8_t *bytes, size_t size, size_t at, const uint8_t *from,
                     size_t count)
{
    static const uint8_t telling[] = "{}[]\",:=;#@!|.+-e019\\ux \n\t\0\1\177\200\377a";
    count = at_most(count, MOST - size);
    memmove(bytes + at + count, bytes + at, size - at);
    for (size_t i = 0; i < count; i++)
        bytes[at + i] = from ? from[i] : telling[random_below(r, sizeof telling - 1)];
    return size + count;
}

/* One change: a bit, a byte, a digit, a piece removed, inserted, copied, cut off, or taken from
 * another input. Returns the new size. */
static size_t mutate(const struct corpus *c, struct random *r, uint8_t *bytes, size_t size)
{
    size_t at = random_below(r, size + 1), run = 1 + random_below(r, random_below(r, 8) ? 8 : 64);
    const struct input *other = &c->list[random_below(r, (uint64_t)c->count)];
    size_t from = random_below(r, other->size + 1);
    switch (random_below(r, 8)) {
    case 0:
        if (at < size)
            bytes[at] ^= (uint8_t)(1u << random_below(r, 8));
        return size;
    case 1:
        if (at < size)
            bytes[at] = (uint8_t)random_bits(r);
        return size;
    case 2:
        while (at < size && (bytes[at] < '0' || bytes[at] > '9'))
            at++;
        if (at < size)
            bytes[at] = (uint8_t)('0' + random_below(r, 10));
        return size;
    case 3:
        run = at_most(run, size - at);
        memmove(bytes + at, bytes + at + run, size - at - run);
        return size - run;
    case 4:
        return insert(r, bytes, size, at, NULL, run);
    case 5:
        run = at_most(run, size - at);
        memmove(bytes + random_below(r, size - run + 1), bytes + at, run);
        return size;
    case 6:
        return insert(r, bytes, size, at, other->bytes + from, at_most(run, other->size - from));
    default:
        return random_below(r, 4) ? size : at;
    }
}

/* Input number `number`: the corpus first. */
static size_t make(const struct corpus *c, int64_t number, uint8_t bytes[MOST])
{
    struct random r = random_at(RANDOM_TEST, SEED, (uint64_t)number, 0, 0);
    const struct input *in =
        &c->list[number < c->count ? (uint64_t)number : random_below(&r, (uint64_t)c->count)];
    size_t size = in->size;
    memcpy(bytes, in->bytes, size);
    for (uint64_t changes = number < c->count ? 0 : 1 + random_below(&r, 4); changes; changes--)
        size = mutate(c, &r, bytes, size);
    return size;
}

/* --- running */

/* A copy that ends where its block does, for the sanitizer. */
static void run_one(const struct corpus *c, int64_t number)
{
    static uint8_t bytes[MOST];
    size_t size = make(c, number, bytes);
    uint8_t *exact = malloc(size ? size : 1);
    memcpy(exact, bytes, size);
    LLVMFuzzerTestOneInput(exact, size);
    free(exact);
}

/* In a child, whose words go to `words`. */
static void run_some(const struct corpus *c, int64_t from, int64_t to, volatile int64_t *current,
                     int words)
{
    dup2(words, STDERR_FILENO);
    dup2(open("/dev/null", O_WRONLY), STDOUT_FILENO);
    for (int64_t i = from; i < to; i++) {
        *current = i;
        alarm(LIMIT_S);
        run_one(c, i);
    }
    _exit(0);
}

static void report(const struct corpus *c, const char *program, int64_t number, int status,
                   int words)
{
    static uint8_t bytes[MOST];
    char path[4200], text[WORDS + 1];
    size_t size = make(c, number, bytes);
    snprintf(path, sizeof path, "%s-input-%lld", program, (long long)number);
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(bytes, 1, size, file) != size || fclose(file))
        fprintf(stderr, "cannot write %s\n", path);
    off_t all = lseek(words, 0, SEEK_END);
    ssize_t got = pread(words, text, WORDS, all > WORDS ? all - WORDS : 0);
    text[got > 0 ? got : 0] = 0;
    fprintf(stderr, "%s\n%s: input %lld (%s) %s %d\n", text, program, (long long)number, path,
            WIFSIGNALED(status) ? "ended it by signal" : "ended it with code",
            WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
}

int main(int argc, char **argv)
{
    static struct corpus c;
    char folder[4200];
    const char *slash = strrchr(argv[0], '/');
    int64_t mutations = argc > 1 ? atoll(argv[1]) : 1000, *current;
    snprintf(folder, sizeof folder, "tests/fuzz/corpus/%s", slash ? slash + 1 : argv[0]);
    int none = 1;
    CHECK(!LLVMFuzzerInitialize(&none, &argv), "no folder for files");
    load(&c, argc > 2 ? argv[2] : folder);
    current =
        mmap(NULL, sizeof *current, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int words = memfd_create("words", 0);
    CHECK(current != MAP_FAILED && words >= 0, "no memory");
    for (int64_t i = 0; i < c.count + mutations; i += EACH) {
        int64_t end = i + EACH < c.count + mutations ? i + EACH : c.count + mutations;
        int status;
        fflush(NULL);
        CHECK(!ftruncate(words, 0) && !lseek(words, 0, SEEK_SET), "no words");
        pid_t child = fork();
        CHECK(child >= 0, "no fork");
        if (!child)
            run_some(&c, i, end, current, words);
        CHECK(waitpid(child, &status, 0) == child, "the child is lost");
        if (status) {
            report(&c, argv[0], *current, status, words);
            return 1;
        }
    }
    printf("%lld inputs: %lld taken, %lld refused\n", (long long)(c.count + mutations),
           (long long)fuzz_counts()->taken, (long long)fuzz_counts()->refused);
    return 0;
}
