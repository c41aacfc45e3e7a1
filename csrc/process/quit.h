/* quit.h - TERM, QUIT and INT while no server handles them: before there is one, and after its end.
 *
 * A Perl handler would run in the middle of the compiler, and an exit from there does not leave it
 * in one piece. These handlers are in C, ask nobody, and end the process wherever it is.
 *
 * Supervisors often tell a process to end more than once: start_server sends TERM twice, others
 * send it to a whole group whose master passes it on. A signal within SPRIG_REPEAT_MS of the first
 * one repeats it; a later one means that somebody is tired of waiting. */
#ifndef SPRIG_QUIT_H
#define SPRIG_QUIT_H

#include <stdbool.h>

enum { SPRIG_REPEAT_MS = 1000 };

/* From now on, each of the three ends this process with status 0, even if it was blocked before. A
 * child forked meanwhile ends as if there were no handler. May be called again, and is then for the
 * calling process. */
void sprig_quit_open(void);

/* Removes something before that end, in this process and in no child. Called in the handler, so it
 * must be async-signal-safe. Two may be set. */
void sprig_quit_clean(void (*cleanup)(void));

/* The first of these signals has arrived, and a server has handled it. */
void sprig_quit_note(void);

/* That was less than SPRIG_REPEAT_MS ago. */
bool sprig_quit_is_repeated(void);

/* Blocks the signals while a cleanup would find things half done or while the server's handlers go,
 * and lets them in again. */
void sprig_quit_hold(void);
void sprig_quit_release(void);

/* The server has ended. Signals that repeat the first one do nothing; later ones act as they did
 * before sprig_quit_open; with `for_good`, only INT acts. Unblocks them. */
void sprig_quit_linger(bool for_good);

/* All as before sprig_quit_open. */
void sprig_quit_close(void);

#endif
