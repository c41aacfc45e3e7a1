/* origin.h - how this process was started: program, environment and folder. USR2 needs them to
 * start it again, and an application loaded meanwhile may change all three. */
#ifndef SPRIG_ORIGIN_H
#define SPRIG_ORIGIN_H

/* Copies the environment and the folder. Call it first in a process; later calls do nothing. */
void sprig_origin_keep(void);

/* The folder, by the name its user knows ($PWD): a link in it may lead elsewhere by now. "" if
 * unknown. Static storage. */
const char *sprig_origin_folder(void);

/* Executes the program as it would have been executed then: in that folder, by that PATH, with that
 * environment and one variable more. Omits variables that were only for this process (LISTEN_FDS
 * and the like, and an earlier one of that name). Returns only on failure: errno. */
void origin_execute(char *const *argv, const char *name, const char *value);

/* Adds a variable for it; `name` is static text, `value` is copied. */
void origin_pass(const char *name, const char *value);

#endif
