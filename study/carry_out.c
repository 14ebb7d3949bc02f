/* A plan is carried out: its folder is taken and judged, what is missing runs, rows are written. */
#include "base/check.h"
#include "base/cores.h"
#include "base/wall_clock.h"
#include "study/private.h"

static const double rows_s = 2; /* between two writings of the rows */

struct carried {
    struct plan *plan;
    const struct study_program *program;
    const struct plan_files *files;
    double written_s;
};

static bool write_experiment(FILE *f, void *self)
{
    experiment_write(self, f);
    return true;
}

/* The rows of what lies there now: while they are written no other task writes any, so those that
 * are written last have seen what all tasks have left. */
static bool look_and_write(FILE *f, void *self)
{
    struct carried *c = self;
    struct plan *p = c->plan;
    for (int i = 0; i < p->count; i++)
        if (!p->cells[i].mine)
            cell_look(p, &p->cells[i], c->program, false);
    return c->files->write_rows(f, c->files->rows);
}

static void write_rows(struct carried *c)
{
    study_write(c->plan->root, c->files->rows_name, look_and_write, c);
}

static void ended(void *self, const struct cell *cell)
{
    struct carried *c = self;
    (void)cell;
    if (wall_s() - c->written_s < rows_s)
        return;
    write_rows(c);
    c->written_s = wall_s();
}

static void deal(struct plan *p)
{
    int tasks, task;
    study_tasks(&tasks, &task);
    for (int i = 0; i < p->count; i++)
        p->cells[p->order[i]].mine = i % tasks == task;
}

int plan_carry_out(struct plan *p, const struct study_request *r,
                   const struct study_program *program, const struct plan_files *files)
{
    struct carried c = {.plan = p, .program = program, .files = files};
    deal(p);
    struct study_lock *lock = study_lock(p->root);
    for (int i = 0; i < p->count; i++)
        cell_look(p, &p->cells[i], program, true);
    study_write(p->root, files->experiment_name, write_experiment, files->experiment);
    write_rows(&c);
    int code = plan_run(&(struct runner_request){.plan = p,
                                                 .program = program,
                                                 .jobs = r->jobs ? r->jobs : cores_available(),
                                                 .ended = ended,
                                                 .self = &c});
    if (code != EXIT_WORLD) {
        write_rows(&c);
        if (files->conclude && !files->conclude(files->rows) && !code)
            code = EXIT_CELLS;
    }
    printf("rows: %s/%s\n", p->root, files->rows_name);
    study_unlock(lock);
    return code;
}
