/* How the program ends when something is wrong, and with which exit code.
 *
 * Three words. fatal(): the user erred; one line that says what, where and what to do; exit 2;
 * called before training starts. CHECK(): the world failed (a library, a disk, a message of the
 * wrong length); exit 3. assert(): we erred; on in every build. What a rank beyond the first finds
 * wrong is said by rank 0, so that five ranks that see one mistake say it once. */
#ifndef BASE_CHECK_H
#define BASE_CHECK_H

enum {
    EXIT_USER = 2,      /* wrong option, file or number */
    EXIT_WORLD = 3,     /* a library, a disk or a message failed */
    EXIT_NAN = 4,       /* the loss is no longer a number */
    EXIT_SILENT = 5,    /* a rank died or fell silent */
    EXIT_STOPPED = 6,   /* a signal asked the program to save and leave */
    EXIT_UNWRITTEN = 7, /* it trained to its end, but rows, weights or a record were not written */
    EXIT_CELLS = 8      /* a cell of a study failed */
};

enum { FATAL_LINE = 2048 }; /* bytes of a line at most */

/* The real world has it (messaging/mpi/mpi.c), where that is linked: rank 0 says this line of
 * another rank's and ends all. Returns after some seconds, when nobody has listened. */
void mpi_report(const char *line) __attribute__((weak));

/* Where run.s supervises this run (command/witness.c): the code with which a thread ends this
 * process past exit(), before its launcher is asked to end all. */
void report_end(int code) __attribute__((weak));

/* The user erred: prints "nbsgd: ..." to stderr and exits with EXIT_USER. End the text with what to
 * do. */
_Noreturn void fatal(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Prints "nbsgd: rank R on HOST: ..." and exits with `code`. */
_Noreturn void die(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The rank that the launcher wrote into the environment (MPICH, Open MPI, Slurm), 0 without one. */
int launched_rank(void);

_Noreturn void check_failed(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Ends the program with EXIT_WORLD unless `condition` holds; the rest is printf's. */
#define CHECK(condition, ...)                                                                      \
    do {                                                                                           \
        if (!(condition))                                                                          \
            check_failed(__FILE__, __LINE__, __VA_ARGS__);                                         \
    } while (0)

#endif
