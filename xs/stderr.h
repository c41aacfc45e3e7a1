/* stderr.h - Perl's STDERR as a part of the error log. */
#ifndef SPRIG_PSGI_STDERR_H
#define SPRIG_PSGI_STDERR_H

#include "bridge.h"

/* From now on text printed on STDERR (including warnings and psgi.errors) goes through
 * sprig_log_print_output, which never waits for a reader. Does nothing if STDERR is a plain file,
 * or the application has replaced it. */
void psgi_stderr_attach(pTHX);

/* Sets the level of text printed from now on; SPRIG_LOG_WARN at first. Returns the previous one. */
enum sprig_log_level psgi_stderr_level(enum sprig_log_level next);

#endif
