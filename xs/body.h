/* body.h - response bodies: strings, arrays, files by sendfile, everything with getline. */
#ifndef SPRIG_PSGI_BODY_H
#define SPRIG_PSGI_BODY_H

#include "bridge.h"

/* A response's body, inspected before the head is sent. It owns only `fd`. */
struct psgi_body {
    enum {
        PSGI_BODY_NONE,
        PSGI_BODY_STRING,
        PSGI_BODY_ARRAY,
        PSGI_BODY_FILE,
        PSGI_BODY_HANDLE
    } kind;
    SV *sv; /* the string, the array itself (not the reference), or the object that has getline */
    uint64_t length; /* SPRIG_LENGTH_UNKNOWN if only reading would tell */
    int fd;          /* FILE: owned until psgi_body_send or _clear, else -1 */
    bool is_shared;  /* perl uses it as well: closed when both are done with it */
    uint64_t offset; /* FILE: where its next read would start */
};

/* Whether it is an object without getline, but with a method string_ref that returns a reference to
 * all of its text. */
bool psgi_body_has_string_ref(pTHX_ SV *sv);
/* Finds out what kind of body it is. Enters no Perl. Returns 1: done; 0: it has magic, overloading
 * or wide strings, so pass a plain copy; -1: unusable, *error (owned by the caller) says why. */
int psgi_body_inspect(pTHX_ SV *sv, struct psgi_body *body, SV **error);
/* For an object with getline and a method `path` that names the file it reads: opens that file.
 * Returns -1 if there is none, or it cannot be opened. May enter Perl. Later, when the body has
 * been inspected, _use_path takes the descriptor and turns a HANDLE into a FILE if it is a regular
 * file. */
int psgi_body_open_path(pTHX_ SV *sv);
void psgi_body_use_path(int fd, struct psgi_body *body);
/* Sends an inspected body after the queued head and ends the response, now or when everything has
 * been read. Calls close exactly once if the body has it. */
void psgi_body_send(pTHX_ struct psgi_exchange *px, struct psgi_body *body);
void psgi_body_clear(struct psgi_body *body);
/* The descriptor of a FILE, which the caller closes. -1 and errno: none is available. */
int psgi_body_take_fd(struct psgi_body *body);

#endif
