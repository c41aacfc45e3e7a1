/* quit.h - TERM, QUIT and INT while no server hears them: before there is one, and behind its end.
 *
 * A handler of Perl would run in the middle of the compiler, which an exit from there does not
 * leave in one piece. These handlers are of C, ask nobody, and end the process wherever it is.
 *
 * Supervisors tell a process to end more than once: start_server sends TERM twice, others send it
 * to a whole group, whose master passes it on. What comes within SPRIG_REPEAT_MS of the first
 * signal says the same once more; what comes later means that somebody is tired of waiting. */
#ifndef SPRIG_QUIT_H
#define SPRIG_QUIT_H

#include <stdbool.h>

enum { SPRIG_REPEAT_MS = 1000 };

/* From now on each of the three ends this process with status 0, also if it was blocked before. A
 * child that is forked meanwhile ends as if there were no handler. May be called again: it is then
 * for the process that calls. */
void sprig_quit_open(void);

/* What is to be removed before that end, of this process and no child: called in the handler, so
 * everything it does must be async-signal-safe. Two may be set. */
void sprig_quit_clean(void (*cleanup)(void));

/* The first of these signals has come, and a server has heard it. */
void sprig_quit_note(void);

/* That was less than SPRIG_REPEAT_MS ago. */
bool sprig_quit_is_repeated(void);

/* Keeps the signals out while a cleanup would find things half done, or while the handlers of the
 * server go; and lets them in again. */
void sprig_quit_hold(void);
void sprig_quit_release(void);

/* The server is over. Signals that repeat the first one are nothing, those that come later have
 * the effect they had before sprig_quit_open; with `for_good`, only INT has one. Lets them in. */
void sprig_quit_linger(bool for_good);

/* All as before sprig_quit_open. */
void sprig_quit_close(void);

#endif
