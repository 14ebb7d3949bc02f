/* The C library's own table is younger than some clusters' libraries. */
#include "base/signal_name.h"

#include <signal.h>
#include <stddef.h>

#define NAME(name)                                                                                 \
    {                                                                                              \
        SIG##name, #name                                                                           \
    }

static const struct {
    int signal;
    const char *name;
} names[] = {NAME(HUP),  NAME(INT),    NAME(QUIT),  NAME(ILL),  NAME(TRAP), NAME(ABRT),  NAME(BUS),
             NAME(FPE),  NAME(KILL),   NAME(USR1),  NAME(SEGV), NAME(USR2), NAME(PIPE),  NAME(ALRM),
             NAME(TERM), NAME(CHLD),   NAME(CONT),  NAME(STOP), NAME(TSTP), NAME(TTIN),  NAME(TTOU),
             NAME(URG),  NAME(XCPU),   NAME(XFSZ),  NAME(PROF), NAME(SYS),  NAME(WINCH), NAME(POLL),
             NAME(PWR),  NAME(STKFLT), NAME(VTALRM)};

const char *signal_name(int signal)
{
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i].signal == signal)
            return names[i].name;
    return NULL;
}
