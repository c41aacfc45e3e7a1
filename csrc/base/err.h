/* err.h - the error codes of the core. */
#ifndef SPRIG_ERR_H
#define SPRIG_ERR_H

/* Functions of the core return 0 (or a count) on success and one of these on failure. */
enum sprig_err {
    SPRIG_OK = 0,
    SPRIG_E_NOMEM = -1,   /* out of memory */
    SPRIG_E_SYS = -2,     /* a system call failed; errno says why */
    SPRIG_E_INVALID = -3, /* an argument is invalid; nothing was changed */
    SPRIG_E_LIMIT = -4,   /* a configured limit would be exceeded */
    SPRIG_E_CLOSED = -5,  /* the peer is gone, or the exchange is over */
    SPRIG_E_STATE = -6,   /* not possible now (head already sent, already ended, ...) */
    SPRIG_E_NOTFOUND = -7 /* no such option, name or address */
};

/* A short English text for an enum sprig_err; never NULL, static storage. */
const char *sprig_err_text(int err);

#endif
