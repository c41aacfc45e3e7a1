/* pagi_mounts.h - the applications of a server that has several, PSGI and PAGI side by side, or a
 * single one for PAGI: each below a path of its own. */
#ifndef SPRIG_PAGI_MOUNTS_H
#define SPRIG_PAGI_MOUNTS_H

#include "bridge.h"

/* An application below a path. */
struct psgi_mount {
    char *path; /* owned: "" or "/api", without a slash at its end */
    size_t len;
    SV *app;      /* owned code ref */
    HV *state;    /* owned: its lifespan's; NULL: it has none */
    bool is_pagi; /* otherwise a PSGI application, which knows its path itself */
};

/* Adds one; `state` may be NULL. Before the first request. */
void psgi_server_mount(pTHX_ struct psgi_server *server, struct sprig_span path, SV *app,
                       bool is_pagi, HV *state);
void psgi_server_unmount_all(pTHX_ struct psgi_server *server);
/* The application for a request, longest path first; NULL: the server's own. */
const struct psgi_mount *psgi_server_find_mount(const struct psgi_server *server,
                                                struct sprig_span path);
/* PAGI applications get request bodies piece by piece; for struct sprig_handler. */
bool psgi_server_streams(const struct sprig_request *req, void *arg);

#endif
