/* report.h - reports failures where the application looks: psgi.errors, warnings, STDERR. */
#ifndef SPRIG_PSGI_REPORT_H
#define SPRIG_PSGI_REPORT_H

#include "bridge.h"

/* Like warn: the message (borrowed) goes to $SIG{__WARN__} or STDERR. Never dies. */
void psgi_warn(pTHX_ SV *message);
void psgi_warnf(pTHX_ const char *fmt, ...);

/* Whether text for STDERR may as well go to descriptor 2 through sprig_log_print, which never
 * waits: no handler, tie or other file of the application would miss it. */
bool psgi_stderr_is_plain(pTHX);

/* Prints it in the error log if that has the format json. False: it has another. */
bool psgi_print_as_json(pTHX_ SV *message);

/* Prints "message
 * " (one newline) with the print method of env's psgi.errors; falls back to warn. env may be NULL.
 * Never dies. */
void psgi_report(pTHX_ HV *env, SV *message);
/* The same for a request whose env may be gone: then its name (psgi_env_request_name) says which
 * request it was, and the server's psgi.errors is used. Both NULL: falls back to warn. */
void psgi_report_of(pTHX_ HV *env, const char *name, SV *message);
void psgi_reportf(pTHX_ HV *env, const char *fmt, ...);

/* Calls a callback whose death no caller could handle: reports it to $Sprig::Loop::DIED or by warn.
 */
void psgi_callback(pTHX_ SV *code, SV **args, int n_args);

#endif
