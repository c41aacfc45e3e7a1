/* origin.h - how this process was started: program, environment and folder, for the time when it is
 * to be started anew (USR2). An application that is loaded before may change all three. */
#ifndef SPRIG_ORIGIN_H
#define SPRIG_ORIGIN_H

/* Copies the environment and the folder. First thing in a process; later calls do nothing. */
void sprig_origin_keep(void);

/* The folder, by the name its user knows it by ($PWD): a link in it may lead elsewhere by now. "":
 * unknown. Static storage. */
const char *sprig_origin_folder(void);

/* Executes the program as it would have been executed then: in that folder, by that PATH, with that
 * environment and one variable more. Variables that were for this process only (LISTEN_FDS and the
 * like, and an earlier one of that name) are left out. Returns only on failure: errno. */
void origin_execute(char *const *argv, const char *name, const char *value);

/* One more variable for it; `name` is static text, `value` is copied. */
void origin_pass(const char *name, const char *value);

#endif
