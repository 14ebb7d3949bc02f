/* The program: finds the command, and lets it run. Signals ask it to stop.
 *
 * The first one is left to the command, which saves and ends well. A second one ends the process at
 * once, as does the first where there is nothing to save. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/signal_name.h"
#include "base/threads.h"
#include "base/wall_clock.h"
#include "command/command.h"
#include "messaging/messaging.h"

/* A terminal and a launcher may both send what one hand asked for: within a second it is one. */
static const double one_signal_s = 1;

static struct stop stop;
static double asked_s; /* when the first one came */
static int rank;       /* as its launcher counts */
static char place[250];

/* Only what a handler may call. Of several ranks that are asked the first one says it, and the
 * launcher ends the others meanwhile. */
static void leave(int signal, const char *why)
{
    char line[400] = "";
    if (rank > 0)
        sleep(1);
    strcat(strcat(strcat(line, place), signal_name(signal)), why);
    if (write(STDERR_FILENO, line, strlen(line)) < 0)
        _exit(EXIT_STOPPED); /* a closed terminal */
    _exit(EXIT_STOPPED);
}

static void hear(int signal)
{
    int error = errno;
    if (!stop.saves)
        leave(signal, ": ends at once, there is nothing to save\n");
    if (stop.signal && wall_s() - asked_s > one_signal_s)
        leave(signal, ", for the second time: ends at once, with what is saved\n");
    if (!stop.signal)
        asked_s = wall_s();
    stop.signal = signal;
    errno = error;
}

/* MPICH takes SIGUSR1 for itself when it starts. A SIGINT that is ignored is heard nevertheless: so
 * shells leave it to what they start in the background, but who sends it means this program. */
static void listen_to_signals(void)
{
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2};
    const struct sigaction heard = {.sa_handler = hear, .sa_flags = SA_RESTART};
    const char *job = getenv("SLURM_JOB_ID");
    char host[128] = "?", who[32] = "";
    rank = launched_rank();
    gethostname(host, sizeof host - 1);
    if (mpi_launched())
        snprintf(who, sizeof who, "rank %d on ", rank);
    snprintf(place, sizeof place, "nbsgd: %s%s%s%.64s: SIG", who, host, job ? ", job " : "",
             job ? job : "");
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        struct sigaction before;
        sigaction(signals[i], NULL, &before);
        if (signals[i] != SIGHUP || before.sa_handler != SIG_IGN) /* nohup */
            sigaction(signals[i], &heard, NULL);
    }
}

/* Standard input, output and error that were closed lead nowhere. Else the first files that are
 * opened would take their numbers, and what is said would be in them. */
static void open_standard_files(void)
{
    int file;
    do
        file = open("/dev/null", O_RDWR);
    while (file >= 0 && file <= STDERR_FILENO);
    if (file > STDERR_FILENO)
        close(file);
}

int main(int argc, char **argv)
{
    threads_sleep_soon(argv);
    const struct command *command = commands[0];
    if (argc > 1 && *argv[1] && *argv[1] != '-') {
        command = command_find(argv[1]);
        argv[1] = argv[0];
        argc--;
        argv++;
    }
    open_standard_files();
    /* A file that is too large, a reader that is gone: errors of a write. */
    signal(SIGXFSZ, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    listen_to_signals();
    return command->run(argc, argv, &stop);
}
