/* ctl_http.h - the client of the admin listener: where it is, and one request to it. */
#ifndef SPRIG_CTL_HTTP_H
#define SPRIG_CTL_HTTP_H

#include "net/listen_spec.h"
#include <stdbool.h>
#include <stddef.h>

struct ctl_server {
    struct sprig_listen_spec address;
    char text[SPRIG_LISTEN_TEXT_BYTES]; /* the same, to name it in messages */
    char token[512];                    /* "": none */
};

/* Finds it: by its address, by the file of --config that it reads, by the file that it writes its
 * number to; all NULL: $SPRIG_ADMIN. token_file: NULL, or what --admin-token-file names. 0, or -1
 * and `why` (n bytes). */
int ctl_find(struct ctl_server *server, const char *admin, const char *config, const char *pid,
             const char *token_file, char *why, size_t n);

struct ctl_answer {
    int status;
    char *body; /* owned, NUL-terminated */
    char why[512];
};

/* 0: it has answered. -1: it has not, and answer->why says why. */
int ctl_ask(const struct ctl_server *server, const char *method, const char *path,
            struct ctl_answer *answer);
/* The same. Where it has not answered, or with anything but 200, standard error says why, there is
 * nothing to clear, and the exit status (ctl.h) is returned. */
int ctl_ask_or_say(const struct ctl_server *server, const char *method, const char *path,
                   struct ctl_answer *answer);
void ctl_answer_clear(struct ctl_answer *answer);

/* In a text of /metrics: the value of the line that begins with this name (labels included); 0:
 * there is none. */
double ctl_metric(const char *metrics, const char *name);

#endif
