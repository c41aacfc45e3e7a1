/* app.h - calls the app for each request and takes what it returns. */
#ifndef SPRIG_PSGI_APP_H
#define SPRIG_PSGI_APP_H

#include "bridge.h"

/* The callbacks from the core, for sprig_server_new with a struct psgi_server as `arg`. */
extern const struct sprig_handler psgi_handler;

#endif
