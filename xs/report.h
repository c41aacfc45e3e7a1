/* report.h - what failed, told where the application looks: psgi.errors, warnings, STDERR. */
#ifndef SPRIG_PSGI_REPORT_H
#define SPRIG_PSGI_REPORT_H

#include "bridge.h"

/* Like warn: the message (borrowed) goes to $SIG{__WARN__} or STDERR. Never dies. */
void psgi_warn(pTHX_ SV *message);
void psgi_warnf(pTHX_ const char *fmt, ...);

/* Whether text for STDERR may as well go to descriptor 2 by sprig_log_print, which never waits: no
 * handler, tie or other file of the application would see it. */
bool psgi_stderr_is_plain(pTHX);

/* In the error log, if that has the format json. False: it has not. */
bool psgi_print_as_json(pTHX_ SV *message);

/* Prints "message\n" (one newline) to env's psgi.errors by its print method; falls back to warn.
 * env may be NULL. Never dies. */
void psgi_report(pTHX_ HV *env, SV *message);
/* The same about a request whose env may be gone by now: then its name (psgi_env_request_name) says
 * which one it was, and psgi.errors is the one of the server. Both NULL: falls back to warn. */
void psgi_report_of(pTHX_ HV *env, const char *name, SV *message);
void psgi_reportf(pTHX_ HV *env, const char *fmt, ...);

/* Calls a callback that belongs to nobody who could hear of its death: reports it to
 * $Sprig::Loop::DIED or by warn. */
void psgi_callback(pTHX_ SV *code, SV **args, int n_args);

#endif
