/* Another program, run to its end, but not for ever. */
#ifndef BASE_CHILD_H
#define BASE_CHILD_H

enum child_end {
    CHILD_WELL,   /* exit code 0 */
    CHILD_BADLY,  /* another one, or a signal, or it could not be started */
    CHILD_KILLED, /* it had not ended after the limit */
};

/* Runs words[0], found in $PATH, with these words (NULL ends them), in a process group of its own,
 * for at most limit_s seconds: then the group is killed. No shell sees a word. */
enum child_end child_run(char *const *words, double limit_s);

#endif
