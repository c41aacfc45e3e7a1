/* tls_none.c - a build without OpenSSL: tells those who ask for TLS what is missing. */
#include "base/err.h"
#include "net/tls.h"

#include <stdio.h>

struct tls_context *tls_context_open(const struct sprig_config *config, char *why, size_t n)
{
    snprintf(why, n,
             "%s: this Sprig was built without TLS; install OpenSSL with its headers (libssl-dev "
             "on Debian and Ubuntu, openssl-devel on Fedora, openssl-dev on Alpine) and build it "
             "again",
             config->tls_cert != NULL ? "tls_cert" : "listen");
    return NULL;
}

struct tls_context *tls_context_hold(struct tls_context *ctx)
{
    return ctx;
}

void tls_context_release(struct tls_context *ctx)
{
    (void)ctx;
}

const char *tls_library(void)
{
    return NULL;
}

struct tls_io *tls_io_new(void)
{
    return NULL;
}

void tls_io_free(struct tls_io *io)
{
    (void)io;
}

int transport_tls_init(struct transport *t, struct tls_context *ctx, struct tls_io *io)
{
    (void)t, (void)ctx, (void)io;
    return SPRIG_E_NOMEM;
}

enum tls_progress transport_tls_accept(struct transport *t, const char **reason)
{
    (void)t;
    *reason = "there is no TLS";
    return TLS_HAS_FAILED;
}

void transport_tls_undo(struct transport *t)
{
    (void)t;
}

bool transport_tls_is_silent(const struct transport *t)
{
    (void)t;
    return true;
}

void transport_tls_offer_http2(struct transport *t)
{
    (void)t;
}

bool transport_tls_is_http2(const struct transport *t)
{
    (void)t;
    return false;
}

int tls_tickets_copy(void)
{
    return -1;
}

void transport_tls_describe(const struct transport *t, tls_describe_cb *tell, void *arg)
{
    (void)t, (void)tell, (void)arg;
}

void transport_tls_names(const struct transport *t, const char **protocol, const char **cipher)
{
    (void)t, (void)protocol, (void)cipher;
}

bool tls_context_has_changed(struct tls_context *ctx)
{
    (void)ctx;
    return false;
}

ssize_t transport_tls_receive(struct transport *t, struct sprig_span *input)
{
    (void)t, (void)input;
    return 0;
}

void transport_tls_skip(struct transport *t, size_t n)
{
    (void)t, (void)n;
}

int transport_tls_relay(struct transport *t, struct sprig_span input)
{
    (void)t, (void)input;
    return SPRIG_E_STATE;
}

unsigned tls_relays_ending(void)
{
    return 0;
}
