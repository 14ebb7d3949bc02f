/* Shared memory of the ranks of one host. Cost: a payload is never copied here; an envelope is two
 * copies of some 100 bytes and, when the receiver sleeps, one futex call. The doorbell is an event
 * count: whoever brings something raises `rung`, a sleeper gives the number up to which it has
 * heard to the futex, so no ring is lost between the last look and the sleep. A local rank's death
 * shows in its process descriptor at once, also when it was killed; where the system has none, only
 * its silence grows. */
#define _GNU_SOURCE
#include "messaging/mpi/segment.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <math.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/check.h"

enum {
    PAGE = 64 << 10,
    HUGE_PAGE = 2 << 20,
    RING = 64
}; /* PAGE: the largest of any system, so that all can map a block */

struct ring { /* from one rank to one other: `put` is the writer's, `taken` the reader's, each on
                 its own cache line */
    _Alignas(64) _Atomic uint64_t put;
    _Alignas(64) _Atomic uint64_t taken;
    struct envelope entry[RING];
};

enum { PIDFD_OPEN = 434 }; /* its number, on all machines; older headers have no name for it */
enum { WORDS = sizeof(struct net_activity) / sizeof(uint64_t) };
_Static_assert(WORDS * sizeof(uint64_t) == sizeof(struct net_activity), "whole words");

struct control { /* the head of a rank's file */
    uint64_t nonce;
    _Atomic int64_t alive_ns, stepped_ns; /* CLOCK_MONOTONIC is one for the host */
    _Atomic bool gone;
    /* Of a struct net_activity. Who reads while it is written may meet some of the old one. */
    _Atomic uint64_t activity[WORDS];
    _Alignas(64) _Atomic uint32_t rung; /* the futex */
    _Atomic uint32_t asleep;
    struct ring from[]; /* by the sender's rank; a pair that never talks costs address space only */
};

struct block {
    uint64_t begin, span; /* in the file */
    char *at;
};

struct blocks {
    struct block *list;
    int count, room;
};

struct backlog { /* a queue that grows */
    struct envelope *list;
    size_t first, count, room;
};

struct local_rank {
    int file, process; /* descriptors; -1: none */
    struct control *control;
    struct blocks seen;
    struct backlog backlog;
};

struct segment {
    int rank, ranks, file;
    size_t control_bytes, file_bytes;
    struct control *own;
    struct blocks blocks;
    struct local_rank *local_rank; /* by rank */
    int *local_ranks;              /* the ranks that are local_ranks */
    int local_count, scanned;
    uint32_t heard; /* the doorbell's count when the scan of the rings began */
    size_t waiting; /* envelopes in backlogs */
};

static size_t up(size_t bytes, size_t to)
{
    return (bytes + to - 1) / to * to;
}

static char *map(int file, uint64_t begin, size_t span, int protection, int flags)
{
    char *at = mmap(NULL, span, protection, MAP_SHARED | flags, file, (off_t)begin);
    return at == MAP_FAILED ? NULL : at;
}

/* Cuts off the next `span` bytes of the file. Ranges are never used twice: what a local rank has
 * mapped stays what it was. */
static uint64_t extend(struct segment *s, size_t span, size_t align)
{
    uint64_t begin = up(s->file_bytes, align);
    CHECK(!ftruncate(s->file, (off_t)(begin + span)), "no shared memory for %zu bytes more: %s",
          span, strerror(errno));
    s->file_bytes = begin + span;
    return begin;
}

static void add_block(struct blocks *b, struct block block)
{
    if (b->count == b->room) {
        b->room = b->room ? 2 * b->room : 16;
        struct block *list = xcalloc((size_t)b->room, sizeof *list);
        if (b->count)
            memcpy(list, b->list, (size_t)b->count * sizeof *list);
        xfree(b->list);
        b->list = list;
    }
    b->list[b->count++] = block;
}

struct segment *segment_open(int rank, int ranks, struct segment_endpoint *endpoint)
{
    struct segment *s = xcalloc(1, sizeof *s);
    s->rank = rank;
    s->ranks = ranks;
    s->file = memfd_create("nbsgd", MFD_CLOEXEC);
    CHECK(s->file >= 0, "no shared memory: memfd_create: %s", strerror(errno));
    s->control_bytes = up(sizeof(struct control) + (size_t)ranks * sizeof(struct ring), PAGE);
    s->own = (struct control *)map(s->file, extend(s, s->control_bytes, PAGE), s->control_bytes,
                                   PROT_READ | PROT_WRITE, 0);
    CHECK(s->own, "no shared memory for %zu bytes: mmap: %s", s->control_bytes, strerror(errno));
    CHECK(getrandom(&s->own->nonce, sizeof s->own->nonce, 0) == sizeof s->own->nonce,
          "getrandom: %s", strerror(errno));
    s->local_rank = xcalloc((size_t)ranks, sizeof *s->local_rank);
    s->local_ranks = xcalloc((size_t)ranks, sizeof *s->local_ranks);
    for (int i = 0; i < ranks; i++)
        s->local_rank[i].file = s->local_rank[i].process = -1;
    *endpoint =
        (struct segment_endpoint){.process = getpid(), .file = s->file, .nonce = s->own->nonce};
    return s;
}

static void forget(struct segment *s, struct local_rank *m)
{
    if (m->control)
        munmap(m->control, s->control_bytes);
    for (int i = 0; i < m->seen.count; i++)
        munmap(m->seen.list[i].at, m->seen.list[i].span);
    if (m->file >= 0)
        close(m->file);
    if (m->process >= 0)
        close(m->process);
    xfree(m->seen.list);
    xfree(m->backlog.list);
    *m = (struct local_rank){.file = -1, .process = -1};
}

void segment_close(struct segment *s)
{
    for (int i = 0; i < s->ranks; i++)
        forget(s, &s->local_rank[i]);
    for (int i = 0; i < s->blocks.count; i++)
        munmap(s->blocks.list[i].at, s->blocks.list[i].span);
    munmap(s->own, s->control_bytes);
    close(s->file);
    xfree(s->blocks.list);
    xfree(s->local_rank);
    xfree(s->local_ranks);
    xfree(s);
}

bool segment_meet(struct segment *s, int rank, const struct segment_endpoint *endpoint)
{
    struct local_rank *m = &s->local_rank[rank];
    char path[64], target[64] = "";
    snprintf(path, sizeof path, "/proc/%d/fd/%d", endpoint->process, endpoint->file);
    /* In another name space of processes this may be anybody's file: look at what it is before
     * opening it. */
    if (readlink(path, target, sizeof target - 1) < 0 || strncmp(target, "/memfd:nbsgd", 12) != 0)
        return false;
    m->file = open(path, O_RDWR | O_CLOEXEC);
    struct stat stat;
    if (m->file >= 0 && !fstat(m->file, &stat) && (size_t)stat.st_size >= s->control_bytes)
        m->control = (struct control *)map(m->file, 0, s->control_bytes, PROT_READ | PROT_WRITE, 0);
    if (!m->control || m->control->nonce != endpoint->nonce) {
        forget(s, m);
        return false;
    }
    m->process = (int)syscall(PIDFD_OPEN, endpoint->process, 0);
    return true;
}

void segment_set_local(struct segment *s, const bool *local)
{
    for (int i = 0; i < s->ranks; i++) {
        if (!local[i])
            forget(s, &s->local_rank[i]);
        else if (s->local_rank[i].control)
            s->local_ranks[s->local_count++] = i;
    }
    s->scanned = s->local_count;
}

void *segment_alloc(struct segment *s, size_t bytes)
{
    CHECK(bytes <= SIZE_MAX / 4, "%zu bytes are more memory than can be addressed", bytes);
    size_t span = up(bytes ? bytes : 1, PAGE);
    uint64_t begin = extend(s, span, span >= HUGE_PAGE ? HUGE_PAGE : PAGE);
    char *at = map(s->file, begin, span, PROT_READ | PROT_WRITE, 0);
    CHECK(at, "no shared memory for %zu bytes: mmap: %s", span, strerror(errno));
    /* heeded where /sys/kernel/mm/transparent_hugepage/shmem_enabled says so */
    madvise(at, span, MADV_HUGEPAGE);
    memset(at, 0, span); /* the pages come now, not during the first step */
    add_block(&s->blocks, (struct block){.begin = begin, .span = span, .at = at});
    return at;
}

void segment_free(struct segment *s, void *block)
{
    for (int i = 0; i < s->blocks.count; i++) {
        struct block b = s->blocks.list[i];
        if (b.at != block)
            continue;
        munmap(b.at, b.span);
        /* local_ranks may still map it */
        fallocate(s->file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)b.begin,
                  (off_t)b.span);
        s->blocks.list[i] = s->blocks.list[--s->blocks.count];
        return;
    }
    assert(!"freed what net_alloc() did not give");
}

bool segment_locate(const struct segment *s, const void *data, size_t bytes, struct envelope *e)
{
    for (int i = 0; i < s->blocks.count; i++) {
        const struct block *b = &s->blocks.list[i];
        /* huge when data lies before the block */
        uintptr_t offset = (uintptr_t)data - (uintptr_t)b->at;
        if (offset > b->span || bytes > b->span - offset)
            continue;
        e->block = b->begin;
        e->span = b->span;
        e->offset = offset;
        return true;
    }
    return false;
}

static void check_place(int from, const struct envelope *e)
{
    CHECK(e->offset <= e->span && e->header.bytes <= e->span - e->offset,
          "rank %d sent %llu bytes at %llu of a block of %llu", from,
          (unsigned long long)e->header.bytes, (unsigned long long)e->offset,
          (unsigned long long)e->span);
}

static char *map_block(const struct local_rank *m, int from, const struct envelope *e,
                       int protection)
{
    struct stat stat;
    CHECK(!fstat(m->file, &stat), "rank %d's memory: fstat: %s", from, strerror(errno));
    CHECK(e->block <= (uint64_t)stat.st_size && e->span <= (uint64_t)stat.st_size - e->block,
          "rank %d sent a block of %llu bytes at %llu of a file of %llu", from,
          (unsigned long long)e->span, (unsigned long long)e->block,
          (unsigned long long)stat.st_size);
    char *at = map(m->file, e->block, e->span, protection, MAP_POPULATE);
    CHECK(at, "rank %d's memory, %llu bytes: mmap: %s", from, (unsigned long long)e->span,
          strerror(errno));
    return at;
}

const void *segment_resolve(struct segment *s, int from, const struct envelope *e)
{
    struct local_rank *m = &s->local_rank[from];
    check_place(from, e);
    for (int i = m->seen.count - 1; i >= 0; i--)
        if (m->seen.list[i].begin == e->block && m->seen.list[i].span == e->span)
            return m->seen.list[i].at + e->offset;
    char *at = map_block(m, from, e, PROT_READ);
    add_block(&m->seen, (struct block){.begin = e->block, .span = e->span, .at = at});
    return at + e->offset;
}

const void *segment_block(const struct segment *s, int from, const void *data, size_t *bytes)
{
    const struct blocks *seen = &s->local_rank[from].seen;
    for (int i = 0; i < seen->count; i++) {
        const struct block *b = &seen->list[i];
        if ((uintptr_t)data - (uintptr_t)b->at <
            b->span) { /* huge when data lies before the block */
            *bytes = b->span;
            return b->at;
        }
    }
    return NULL;
}

void *segment_map(struct segment *s, int from, const struct envelope *e)
{
    check_place(from, e);
    return map_block(&s->local_rank[from], from, e, PROT_READ | PROT_WRITE) + e->offset;
}

void segment_unmap(void *data, const struct envelope *e)
{
    munmap((char *)data - e->offset, e->span);
}

static void ring(struct control *c)
{
    atomic_fetch_add(&c->rung, 1);
    if (atomic_load(&c->asleep) && atomic_exchange(&c->asleep, 0))
        syscall(SYS_futex, &c->rung, FUTEX_WAKE, 1, NULL, NULL, 0);
}

void segment_ring(struct segment *s, int rank)
{
    ring(rank == s->rank ? s->own : s->local_rank[rank].control);
}

static bool put(struct segment *s, struct local_rank *m, const struct envelope *e)
{
    struct ring *r = &m->control->from[s->rank];
    uint64_t n = atomic_load_explicit(&r->put, memory_order_relaxed);
    if (n - atomic_load_explicit(&r->taken, memory_order_acquire) >= RING)
        return false;
    r->entry[n % RING] = *e;
    atomic_store_explicit(&r->put, n + 1, memory_order_release);
    ring(m->control);
    return true;
}

static void queue_up(struct backlog *b, const struct envelope *e)
{
    if (b->count == b->room) {
        size_t room = b->room ? 2 * b->room : RING;
        struct envelope *list = xcalloc(room, sizeof *list);
        for (size_t i = 0; i < b->count; i++)
            list[i] = b->list[(b->first + i) % b->room];
        xfree(b->list);
        *b = (struct backlog){.list = list, .count = b->count, .room = room};
    }
    b->list[(b->first + b->count++) % b->room] = *e;
}

void segment_post(struct segment *s, int to, const struct envelope *e)
{
    struct local_rank *m = &s->local_rank[to];
    if (!m->backlog.count && put(s, m, e))
        return;
    queue_up(&m->backlog, e);
    s->waiting++;
}

bool segment_flush(struct segment *s)
{
    for (int i = 0; s->waiting && i < s->local_count; i++) {
        struct local_rank *m = &s->local_rank[s->local_ranks[i]];
        struct backlog *b = &m->backlog;
        while (b->count && put(s, m, &b->list[b->first])) {
            b->first = (b->first + 1) % b->room;
            b->count--;
            s->waiting--;
        }
    }
    return !s->waiting;
}

bool segment_rang(const struct segment *s)
{
    return atomic_load(&s->own->rung) != s->heard;
}

bool segment_take(struct segment *s, int *from, struct envelope *e)
{
    for (;;) {
        if (s->scanned == s->local_count) {
            uint32_t rung = atomic_load(&s->own->rung);
            if (rung == s->heard)
                return false;
            s->heard = rung; /* read before the rings: what comes during the scan rings again */
            s->scanned = 0;
        }
        for (; s->scanned < s->local_count; s->scanned++) {
            struct ring *r = &s->own->from[s->local_ranks[s->scanned]];
            uint64_t n = atomic_load_explicit(&r->taken, memory_order_relaxed);
            if (n == atomic_load_explicit(&r->put, memory_order_acquire))
                continue;
            *from = s->local_ranks[s->scanned];
            *e = r->entry[n % RING];
            atomic_store_explicit(&r->taken, n + 1, memory_order_release);
            return true;
        }
    }
}

void segment_sleep(struct segment *s, double seconds)
{
    if (!(seconds > 0))
        return;
    double whole = floor(fmin(seconds, 1e6));
    struct timespec limit = {.tv_sec = (time_t)whole,
                             .tv_nsec = (long)(1e9 * (fmin(seconds, 1e6) - whole))};
    atomic_store(&s->own->asleep, 1);
    if (!segment_rang(s))
        syscall(SYS_futex, &s->own->rung, FUTEX_WAIT, s->heard, &limit, NULL, 0);
    atomic_store(&s->own->asleep, 0);
}

void segment_alive(struct segment *s, int64_t now_ns)
{
    atomic_store_explicit(&s->own->alive_ns, now_ns, memory_order_relaxed);
}

void segment_step(struct segment *s, int64_t now_ns)
{
    atomic_store_explicit(&s->own->stepped_ns, now_ns, memory_order_relaxed);
}

void segment_act(struct segment *s, const struct net_activity *activity)
{
    uint64_t words[WORDS];
    memcpy(words, activity, sizeof words);
    for (int i = 0; i < WORDS; i++)
        atomic_store_explicit(&s->own->activity[i], words[i], memory_order_relaxed);
}

/* Has its process ended, waited for or not? */
static bool has_ended(const struct local_rank *m)
{
    struct pollfd ended = {.fd = m->process, .events = POLLIN};
    return poll(&ended, 1, 0) > 0;
}

struct segment_signs segment_signs(const struct segment *s, int rank)
{
    const struct local_rank *m = &s->local_rank[rank];
    const struct control *c = rank == s->rank ? s->own : m->control;
    struct segment_signs signs = {
        .alive_ns = atomic_load_explicit(&c->alive_ns, memory_order_relaxed),
        .stepped_ns = atomic_load_explicit(&c->stepped_ns, memory_order_relaxed)};
    uint64_t words[WORDS] = {0};
    for (int i = 0; i < WORDS; i++)
        words[i] = atomic_load_explicit(&c->activity[i], memory_order_relaxed);
    memcpy(&signs.activity, words, sizeof words);
    signs.activity.what[sizeof signs.activity.what - 1] = '\0';
    if (rank != s->rank && (segment_is_gone(s, rank) || has_ended(m)))
        signs.alive_ns = SEGMENT_GONE;
    return signs;
}

void segment_set_gone(struct segment *s)
{
    atomic_store(&s->own->gone, true);
}

bool segment_is_gone(const struct segment *s, int rank)
{
    return atomic_load(&s->local_rank[rank].control->gone);
}
