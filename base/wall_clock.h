/* Seconds of wall clock, for those whose rank's net_now() may be virtual or not there. */
#ifndef BASE_WALL_CLOCK_H
#define BASE_WALL_CLOCK_H

/* Since some moment; never set back. A signal handler may call it. */
double wall_s(void);

#endif
