/* stderr.h - STDERR of Perl as a part of the error log. */
#ifndef SPRIG_PSGI_STDERR_H
#define SPRIG_PSGI_STDERR_H

#include "bridge.h"

/* From now on what is printed on STDERR (warnings and psgi.errors as well) is written by
 * sprig_log_print_output, which never waits for a reader. Nothing is done where it goes to a plain
 * file, or where the application has put something else in the place of STDERR. */
void psgi_stderr_attach(pTHX);

/* The level of what is printed from now on, SPRIG_LOG_WARN at first. Returns the one before. */
enum sprig_log_level psgi_stderr_level(enum sprig_log_level next);

#endif
