/* ctl_top.h - "sprig ctl top": a picture of the server, each second anew. */
#ifndef SPRIG_CTL_TOP_H
#define SPRIG_CTL_TOP_H

#include "ctl_http.h"

/* So many pictures; 0: until it is ended. Returns the exit status. */
int ctl_top(const struct ctl_server *server, unsigned n);

#endif
