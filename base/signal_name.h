/* Names of signals, without "SIG". */
#ifndef BASE_SIGNAL_NAME_H
#define BASE_SIGNAL_NAME_H

/* "TERM"; NULL of one that has none (a real-time signal). A handler may call it. */
const char *signal_name(int signal);

#endif
