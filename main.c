/* The program: finds the command, and lets it run. A signal asks it to stop, at the next update. */
#include <signal.h>

#include "command/command.h"

static volatile sig_atomic_t stop_requested;

static void request_stop(int signal)
{
    (void)signal;
    stop_requested = 1;
}

int main(int argc, char **argv)
{
    const struct command *command = commands[0];
    struct sigaction stop = {.sa_handler = request_stop, .sa_flags = SA_RESTART};
    if (argc > 1 && *argv[1] && *argv[1] != '-') {
        command = command_find(argv[1]);
        argv[1] = argv[0];
        argc--;
        argv++;
    }
    sigaction(SIGTERM, &stop, NULL);
    sigaction(SIGUSR2, &stop, NULL);
    return command->run(argc, argv, &stop_requested);
}
