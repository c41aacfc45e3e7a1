/* ctl_http.h - the client of the admin listener: finds it, and makes one request to it. */
#ifndef SPRIG_CTL_HTTP_H
#define SPRIG_CTL_HTTP_H

#include "net/listen_spec.h"
#include <stdbool.h>
#include <stddef.h>

struct ctl_server {
    struct sprig_listen_spec address;
    char text[SPRIG_LISTEN_TEXT_BYTES]; /* the same as text, for messages */
    char token[512];                    /* "": none */
};

/* Finds the listener by its address, by the file that the server reads with --config, or by its pid
 * file; if all are NULL, by $SPRIG_ADMIN. token_file: NULL, or the file of --admin-token-file. 0,
 * or -1 and `why` (n bytes). */
int ctl_find(struct ctl_server *server, const char *admin, const char *config, const char *pid,
             const char *token_file, char *why, size_t n);

struct ctl_answer {
    int status;
    char *body; /* owned, NUL-terminated */
    char why[512];
};

/* 0: it has answered. -1: it has not; answer->why says why. */
int ctl_ask(const struct ctl_server *server, const char *method, const char *path,
            struct ctl_answer *answer);
/* The same, but if there is no answer, or it is not 200, says why on standard error, leaves nothing
 * to clear, and returns the exit status (ctl.h). */
int ctl_ask_or_say(const struct ctl_server *server, const char *method, const char *path,
                   struct ctl_answer *answer);
void ctl_answer_clear(struct ctl_answer *answer);

/* The value on the line of /metrics that begins with this name (including labels); 0: there is
 * none. */
double ctl_metric(const char *metrics, const char *name);

#endif
