/* The time left: what is missing takes as long as its like did: the same setting in the same case,
 * else the same case, else any. */
#include "study/progress.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/signal_name.h"
#include "base/wall_clock.h"

static const double live_s = 0.5; /* between two looks of the live line */

static double mean_of(const struct plan *p, const struct cell *like, int closeness)
{
    double sum = 0;
    int count = 0;
    for (int i = 0; i < p->count; i++) {
        const struct cell *c = &p->cells[i];
        if (!(c->wall_s > 0) || (closeness > 0 && c->scene != like->scene) ||
            (closeness > 1 && c->setting != like->setting))
            continue;
        sum += c->wall_s;
        count++;
    }
    return count ? sum / count : NAN;
}

static double expected_s(const struct plan *p, const struct cell *c)
{
    for (int closeness = 2; closeness >= 0; closeness--) {
        double s = mean_of(p, c, closeness);
        if (!isnan(s))
            return s;
    }
    return NAN;
}

struct left {
    int cells, done, failed;
    double seconds; /* NAN: nothing is known yet */
};

static bool is_over(const struct cell *c)
{
    return c->state == CELL_DONE || c->state == CELL_DIVERGED ||
           (c->state == CELL_FAILED && c->tried);
}

static struct left left_of(const struct progress_bar *b, const struct cell *const *running,
                           const double *since_s, int count)
{
    struct left l = {0};
    double simulated_s = 0, real_s = 0;
    for (int i = 0; i < b->plan->count; i++) {
        const struct cell *c = &b->plan->cells[i];
        if (!c->mine)
            continue;
        l.cells++;
        l.done += is_over(c);
        l.failed += c->state == CELL_FAILED && c->tried;
        if (is_over(c))
            continue;
        double s = expected_s(b->plan, c);
        for (int k = 0; k < count; k++)
            if (running[k] == c)
                s = fmax(s - (wall_s() - since_s[k]), 0);
        *(c->of->processes ? &real_s : &simulated_s) += s;
    }
    l.seconds = simulated_s / b->jobs + real_s;
    return l;
}

/* ", about 3:20 left"; "" where nothing is known. */
static void say_left(const struct left *l, char text[60])
{
    long s = isnan(l->seconds) ? -1 : lround(l->seconds);
    *text = 0;
    if (s >= 3600)
        snprintf(text, 60, ", about %ld:%02ld:%02ld left", s / 3600, s / 60 % 60, s % 60);
    else if (s >= 0)
        snprintf(text, 60, ", about %ld:%02ld left", s / 60, s % 60);
}

static void clear(const struct progress_bar *b)
{
    if (b->live)
        fputs("\r\033[K", stdout);
}

void progress_begin(struct progress_bar *b, const struct plan *p, int jobs)
{
    *b = (struct progress_bar){
        .plan = p, .jobs = jobs, .live = isatty(STDOUT_FILENO) || getenv("NBSGD_LIVE")};
    struct left l = left_of(b, NULL, NULL, 0);
    char left[60];
    say_left(&l, left);
    printf("%d of %d cells to run%s%s\n", l.cells - l.done, l.cells,
           l.cells < p->count ? " by this task" : "", l.done < l.cells ? left : "");
    fflush(stdout);
}

void progress_show(struct progress_bar *b, const struct cell *const *running, const double *since_s,
                   int count)
{
    double now = wall_s();
    char left[60], failed[40] = "";
    if (!b->live || now - b->shown_s < live_s || !count)
        return;
    b->shown_s = now;
    struct left l = left_of(b, running, since_s, count);
    say_left(&l, left);
    if (l.failed)
        snprintf(failed, sizeof failed, ", %d failed", l.failed);
    printf("\r\033[K%d of %d cells%s%s | %d running: %.60s", l.done, l.cells, failed, left, count,
           running[0]->folder);
    fflush(stdout);
}

static const char *outcome(const struct cell *c, char text[60])
{
    if (c->state == CELL_MISSING)
        return "stopped";
    if (c->state == CELL_FAILED && c->exit > 128)
        snprintf(text, 60, "FAILED, killed by signal %d", c->exit - 128);
    else if (c->state == CELL_FAILED)
        snprintf(text, 60, "FAILED, exit code %d", c->exit);
    else
        return c->state == CELL_DIVERGED ? "the loss is no number" : "done";
    return text;
}

void progress_ended(struct progress_bar *b, const struct cell *c)
{
    char left[60], text[60], complaint[600] = "";
    struct left l = left_of(b, NULL, NULL, 0);
    say_left(&l, left);
    clear(b);
    printf("%s: %s, %.1f s (%d of %d%s)\n", c->folder, outcome(c, text), c->wall_s, l.done, l.cells,
           l.done < l.cells ? left : "");
    if (c->state == CELL_FAILED) {
        cell_complaint(b->plan, c, complaint, sizeof complaint);
        printf("  %s%slog: %s/%s/log\n", complaint, *complaint ? "; " : "", b->plan->root,
               c->folder);
    }
    fflush(stdout);
    b->shown_s = 0;
}

void progress_end(struct progress_bar *b, int signal)
{
    struct left l = left_of(b, NULL, NULL, 0);
    const char *name = signal ? signal_name(signal) : NULL;
    clear(b);
    if (signal)
        printf("stopped by SIG%s: %d of %d cells have ended; the same command goes on\n",
               name ? name : "?", l.done, l.cells);
    for (int i = 0; i < b->plan->count; i++) {
        const struct cell *c = &b->plan->cells[i];
        char text[60];
        if (c->state == CELL_FAILED && c->tried)
            printf("%s: %s, log: %s/%s/log\n", c->folder, outcome(c, text), b->plan->root,
                   c->folder);
    }
    fflush(stdout);
}
