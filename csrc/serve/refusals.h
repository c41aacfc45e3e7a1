/* refusals.h - logs what clients do wrong. Anybody who can reach the server can make it refuse
 * things, so only so many lines of each kind are written per second. The others are counted, and
 * reported in one line at the end of that second. */
#ifndef SPRIG_REFUSALS_H
#define SPRIG_REFUSALS_H

#include "loop/loop.h"
#include <netinet/in.h>

enum {
    REFUSALS_PER_SECOND = 10, /* lines of one kind */
    REFUSALS_KINDS = 128      /* in one second; what else there is counts as one kind, the last */
};

struct refusal_kind {
    const char *reason; /* static text */
    int status;
    uint64_t since_ns; /* beginning of its second; 0: unused */
    uint32_t n;        /* in it */
    uint32_t n_untold;
    char client[INET6_ADDRSTRLEN]; /* the last one of those */
};

/* Embedded in a server. */
struct refusals {
    struct sprig_loop *loop; /* borrowed */
    struct timer timer;      /* runs while something is untold */
    bool is_waiting;         /* it does */
    struct refusal_kind kinds[REFUSALS_KINDS];
};

void refusals_init(struct refusals *r, struct sprig_loop *loop);

/* In place of a status: a TLS handshake has failed. Anybody can cause many of these, so there is
 * one line per second and reason. */
enum { REFUSALS_HANDSHAKE = -1 };

/* "400 for 192.0.2.1: bare LF (GET /path)"; status 0 is a connection that was reset: "reset for
 * ...". reason is static text; `what` was asked for, or is "". Written in the next pass of the
 * loop: legal wherever Perl must not be entered. */
void refusals_tell(struct refusals *r, int status, const char *client, const char *reason,
                   const char *what);

/* Tells what is untold. May enter Perl. */
void refusals_clear(struct refusals *r);

/* In a forked child: the parent reports what is still unreported. */
void refusals_forget(struct refusals *r);

#endif
