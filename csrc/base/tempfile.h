/* tempfile.h - temporary files without a name, for what does not belong into memory. */
#ifndef SPRIG_TEMPFILE_H
#define SPRIG_TEMPFILE_H

#include "base/span.h"

/* The folder that is meant: `dir` (the option temp_dir), or $TMPDIR, or /tmp. Never NULL. */
const char *tempfile_dir(const char *dir);

/* A file in that folder that never shows there where the system can do that, and is unlinked at
 * once elsewhere; mode 0600, close-on-exec. -1: errno. */
int tempfile_open(const char *dir);

/* Writes all of it at the file's offset. 0, or SPRIG_E_SYS: errno, part of it may be written. */
int tempfile_write(int fd, struct sprig_span bytes);

/* Closes without touching errno. */
void tempfile_close(int fd);

#endif
