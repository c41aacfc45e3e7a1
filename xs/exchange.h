/* exchange.h - one request and its response: its life, its failure, its end. */
#ifndef SPRIG_PSGI_EXCHANGE_H
#define SPRIG_PSGI_EXCHANGE_H

#include "bridge.h"

/* The exchange of the core begins: it holds one count, until on_end. */
struct psgi_exchange *psgi_exchange_new(struct psgi_server *server, struct sprig_exchange *ex);
void psgi_exchange_free(pTHX_ struct psgi_exchange *px); /* only from unref */
static inline struct psgi_exchange *psgi_exchange_ref(struct psgi_exchange *px)
{
    px->refs++;
    return px;
}
static inline void psgi_exchange_unref(pTHX_ struct psgi_exchange *px)
{
    if (--px->refs == 0)
        psgi_exchange_free(aTHX_ px);
}
/* Its server's options, also while the server is being stopped. The exchange must not be over. */
const struct sprig_config *psgi_exchange_config(const struct psgi_exchange *px);

/* Answers 500 if no head is out, aborts the response otherwise. */
void psgi_exchange_refuse(pTHX_ struct psgi_exchange *px);
/* Answers 500 and reports `message` (borrowed) if no head is out, aborts the response otherwise. */
void psgi_exchange_fail(pTHX_ struct psgi_exchange *px, SV *message);
void psgi_exchange_failf(pTHX_ struct psgi_exchange *px, const char *fmt, ...);

/* psgi_report about this request, even if its env was released early. */
void psgi_exchange_report(pTHX_ struct psgi_exchange *px, SV *message);

/* sprig_response_end for the whole bridge: if there are cleanup handlers or a completion callback,
 * on_end waits until the kernel has every byte. May free what px points to, but not px itself if it
 * is held. */
int psgi_exchange_finish(pTHX_ struct psgi_exchange *px);

/* The array of psgix.cleanup.handlers if it is not empty, owned by the caller; otherwise NULL. */
AV *psgi_exchange_cleanup_handlers(pTHX_ struct psgi_exchange *px);

/* A responder or writer went away: on_notify will settle it. Legal in destructors. */
void psgi_exchange_object_dropped(pTHX_ struct psgi_exchange *px);

/* True while an error can still change what the client sees: nothing was answered yet, or a writer
 * is active. */
bool psgi_exchange_can_fail(const struct psgi_exchange *px);

/* Reports the error and fails the exchange (500, or aborted if the head is out), unless its
 * response is already complete. */
void psgi_exchange_raise(pTHX_ struct psgi_exchange *px, SV *error);

#endif
