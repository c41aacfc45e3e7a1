/* call.h - the one way into Perl: calls, methods, and C code that may croak, under eval. */
#ifndef SPRIG_PSGI_CALL_H
#define SPRIG_PSGI_CALL_H

#include "bridge.h"

/* Calls a code reference (or an object with &{}) with borrowed arguments. True: it returned;
 * *result (if not NULL) is its scalar value, owned by the caller. False: it died; *error (if not
 * NULL) is a copy of the exception, owned by the caller. Keeps $@, $! and $? of Perl code that it
 * is called within; a pass of the loop keeps them too, and a nested one $_. exit() passes through.
 * With PL_phase at DESTRUCT nothing is called and false is returned with *error = NULL. Sets
 * dropped_by_die for the exchanges whose objects went away during a call that died. */
bool psgi_call(pTHX_ SV *code, SV **args, int n_args, SV **result, SV **error);

/* The same for code of a server's app, which finds the app's file where it asks for its caller. */
bool psgi_call_for(pTHX_ struct psgi_server *server, SV *code, SV **args, int n_args, SV **result,
                   SV **error);

/* Prepares and frees server->caller: the place of the app, in package Sprig::Server. What croak
 * says at the top level of an app, and what perl warns of there, then names the app and not a file
 * of ours. */
void psgi_caller_init(pTHX_ struct psgi_server *server);
void psgi_caller_clear(pTHX_ struct psgi_server *server);

/* psgi_call for a method of an object or class; false also if there is no such method. */
bool psgi_call_method(pTHX_ SV *invocant, const char *method, SV **args, int n_args, SV **result,
                      SV **error);

/* True if the value can be called: a code ref, blessed or not, or an object that overloads &{}. */
bool psgi_is_code(pTHX_ SV *sv);

/* Runs C code that may croak (string conversion of app values, tied containers) under eval. The
 * function gets `arg`. False: it died, *error as above. */
bool psgi_eval(pTHX_ void (*fn)(pTHX_ void *arg), void *arg, SV **error);

/* What runs in the middle of somebody's code keeps their $@, $! and $?: between ENTER and LEAVE,
 * and gives them back behind LEAVE. That is not done by LEAVE, since exit() passes by with its $?.
 */
struct psgi_status {
    int of_system;
    I32 of_child;
};
void psgi_status_keep(pTHX_ struct psgi_status *status);
void psgi_status_give_back(pTHX_ const struct psgi_status *status);

#endif
