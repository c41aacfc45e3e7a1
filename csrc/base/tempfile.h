/* tempfile.h - temporary files without a name, for data that does not belong in memory. */
#ifndef SPRIG_TEMPFILE_H
#define SPRIG_TEMPFILE_H

#include "base/span.h"

/* The folder for temporary files: `dir` (the option temp_dir), or $TMPDIR, or /tmp. Never NULL. */
const char *tempfile_dir(const char *dir);

/* Opens a file in that folder. It never appears there if the system supports that, and is unlinked
 * at once elsewhere. Mode 0600, close-on-exec. On failure -1, and errno is set. */
int tempfile_open(const char *dir);

/* Writes everything at the file's offset. Returns 0, or SPRIG_E_SYS and errno; part of it may be
 * written then. */
int tempfile_write(int fd, struct sprig_span bytes);

/* Closes without touching errno. */
void tempfile_close(int fd);

#endif
