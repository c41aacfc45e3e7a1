/* ctl_top.h - "sprig ctl top": a picture of the server, redrawn every second. */
#ifndef SPRIG_CTL_TOP_H
#define SPRIG_CTL_TOP_H

#include "ctl_http.h"

/* Draws n pictures; 0: until it is ended. Returns the exit status. */
int ctl_top(const struct ctl_server *server, unsigned n);

#endif
