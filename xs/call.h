/* call.h - the only way into Perl: calls, methods, and C code that may croak, under eval. */
#ifndef SPRIG_PSGI_CALL_H
#define SPRIG_PSGI_CALL_H

#include "bridge.h"

/* Calls a code reference (or an object with &{}) with borrowed arguments. True: it returned;
 * *result (if not NULL) is its scalar value, owned by the caller. False: it died; *error (if not
 * NULL) is a copy of the exception, owned by the caller. Preserves $@, $! and $? of the Perl code
 * around it; a pass of the loop preserves them, too, and a nested pass also $_. exit() passes
 * through. While PL_phase is DESTRUCT it calls nothing and returns false with *error = NULL. Sets
 * dropped_by_die for exchanges whose objects went away during a call that died. */
bool psgi_call(pTHX_ SV *code, SV **args, int n_args, SV **result, SV **error);

/* The same for code of a server's app, which sees the app's file as its caller. */
bool psgi_call_for(pTHX_ struct psgi_server *server, SV *code, SV **args, int n_args, SV **result,
                   SV **error);

/* Prepares and frees server->caller: the app's file, in package Sprig::Server. At the top level of
 * an app, messages of croak and perl's warnings then name the app and not one of our files. */
void psgi_caller_init(pTHX_ struct psgi_server *server);
void psgi_caller_clear(pTHX_ struct psgi_server *server);

/* psgi_call for a method of an object or class; also false if there is no such method. */
bool psgi_call_method(pTHX_ SV *invocant, const char *method, SV **args, int n_args, SV **result,
                      SV **error);

/* True if the value can be called: a code ref, blessed or not, or an object that overloads &{}. */
bool psgi_is_code(pTHX_ SV *sv);

/* Runs C code that may croak (converting app values to strings, tied containers) under eval. The
 * function gets `arg`. False: it died, *error as above. */
bool psgi_eval(pTHX_ void (*fn)(pTHX_ void *arg), void *arg, SV **error);

/* Code that runs in the middle of other Perl code preserves its $@, $! and $?: keep them between
 * ENTER and LEAVE, and give them back after LEAVE. LEAVE itself does not do that, because exit()
 * passes through with its $?. */
struct psgi_status {
    int of_system;
    I32 of_child;
};
void psgi_status_keep(pTHX_ struct psgi_status *status);
void psgi_status_give_back(pTHX_ const struct psgi_status *status);

#endif
