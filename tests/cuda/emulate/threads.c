/* A thread is a coroutine that leaves at each barrier and at the end of its block; blocks run one
 * after another. A block's threads run in the same round between two barriers, each as far as it
 * comes. */
#include "tests/cuda/emulate/threads.h"

#include <assert.h>
#include <stddef.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/coroutine.h"

enum { STACK_BYTES = 64 << 10, MOST_TEAMS = 8 };

struct place { /* where a thread is: at a barrier, or (no file) at the end of its block */
    const char *file;
    int line;
};

struct team {
    void (*body)(const void *argument);
    const void *argument;
    struct coroutines *threads;
    int count;
    struct place *place;
};

struct emulated_index threadIdx, blockIdx;

static struct team *running;

static void thread_of(void *argument, int index)
{
    struct team *team = argument;
    for (;;) {
        team->body(team->argument);
        team->place[index] = (struct place){0};
        coroutine_yield(team->threads);
    }
}

void emulate_barrier(const char *file, int line)
{
    assert(running);
    running->place[threadIdx.x] = (struct place){file, line};
    coroutine_yield(running->threads);
}

/* Lets all threads go on to their next place, which must be the same for all. False: that is the
 * end of the block. */
static bool run_round(struct team *team, bool backwards)
{
    for (int i = 0; i < team->count; i++) {
        int thread = backwards ? team->count - 1 - i : i;
        threadIdx.x = (unsigned)thread;
        coroutine_resume(team->threads, thread);
    }
    const struct place *first = team->place;
    for (int i = 1; i < team->count; i++)
        CHECK(team->place[i].file == first->file && team->place[i].line == first->line,
              "block %u: thread 0 waits at %s:%d, thread %d at %s:%d: a device would hang here",
              blockIdx.x, first->file ? first->file : "its end", first->line, i,
              team->place[i].file ? team->place[i].file : "its end", team->place[i].line);
    return first->file;
}

/* Of so many threads; opened once and kept, since it costs more than most kernels do. */
static struct team *team_of(int threads)
{
    static struct team teams[MOST_TEAMS];
    struct team *team = teams;
    while (team->count && team->count != threads)
        team++;
    assert(team < teams + MOST_TEAMS - 1);
    if (!team->count) {
        team->count = threads;
        team->place = xcalloc((size_t)threads, sizeof *team->place);
        team->threads = coroutines_open(threads, STACK_BYTES, thread_of, team);
    }
    return team;
}

void emulate_launch(int64_t blocks, int threads, void (*body)(const void *argument),
                    const void *argument)
{
    static bool backwards;
    assert(!running && threads > 0 && threads <= 1024);
    running = team_of(threads);
    running->body = body;
    running->argument = argument;
    for (int64_t i = 0; i < blocks; i++) {
        blockIdx.x = (unsigned)(backwards ? blocks - 1 - i : i);
        while (run_round(running, backwards))
            ;
    }
    backwards = !backwards;
    running = NULL;
}
