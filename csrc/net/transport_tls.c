/* transport_tls.c - the transport of TLS connections; see tls.h and transport.h
 *
 * OpenSSL reads from and writes to our own BIO. A read takes what is in `in`, and receives at most
 * once per call. A write never fails and never waits: the records go to the shared buffer, and what
 * the socket does not take is copied to `unsent`. So no SSL_write has to be repeated with the same
 * bytes, and it does not matter where they are. */
#include "net/tls_internal.h"

#include "base/err.h"
#include "net/ahead.h"
#include "net/kept.h"
#include <errno.h>
#include <unistd.h>

enum {
    IN_BYTES = 64 * 1024,
    RECORD_BYTES = 16 * 1024, /* plain bytes of the largest record */
    RECORD_MORE = 512,        /* at most what encryption adds to one record */
    OUT_BYTES = 4 * (RECORD_BYTES + RECORD_MORE),
    FIRST_RECORD_BYTES = 4 * 1024, /* while the client may still be waiting for the first packets */
    FIRST_RECORDS_BYTES = 64 * 1024, /* after its last input */
    JOINED_BYTES = 4 * 1024, /* up to this much unsent data goes out together with what follows */
    MAX_EVENTS = 100         /* see on_info */
};

struct tls_io {
    /* Received data, or data read from a file to be sent. */
    _Alignas(AHEAD_LINE_BYTES) char in[IN_BYTES];
    char out[OUT_BYTES];      /* records to be sent */
    char plain[RECORD_BYTES]; /* small pieces joined into one record */
    size_t n_out;
    struct ahead ahead; /* uses `in` while output is gathered */
};

struct tls {
    SSL *ssl;                /* owned */
    struct tls_context *ctx; /* counted reference; used by OpenSSL callbacks */
    struct tls_io *io;       /* borrowed */
    struct sprig_span in;    /* within a call: received, not yet taken by OpenSSL */
    struct kept unread;      /* between calls: the same */
    struct kept unsent;
    size_t n_burst;       /* plain bytes written since the last input */
    int error;            /* errno of a system call that has failed */
    uint8_t n_events;     /* see on_info */
    bool may_receive : 1; /* within a call */
    bool has_begun : 1;   /* a byte has arrived */
    bool is_text : 1;     /* ... and it starts an HTTP method */
    bool is_eof : 1;      /* end of the socket's input */
    bool is_over : 1;     /* no input will follow */
    bool is_open : 1;     /* the handshake is complete */
    bool is_failed : 1;   /* OpenSSL cannot go on */
    bool has_said_end : 1;
    bool is_finished : 1; /* later input is ignored */
};

/* ---------------------------------------------------------------------- buffers ---- */

struct tls_io *tls_io_new(void)
{
    void *io;
    if (posix_memalign(&io, AHEAD_LINE_BYTES, sizeof(struct tls_io)) != 0)
        return NULL;
    ((struct tls_io *)io)->n_out = 0;
    ((struct tls_io *)io)->ahead = (struct ahead){0};
    return io;
}

void tls_io_free(struct tls_io *io)
{
    free(io);
}

/* ----------------------------------------------------------------------- output ---- */

static bool tls_fail(struct tls *s, int error)
{
    if (s->error == 0)
        s->error = error;
    s->is_failed = true;
    return false;
}

/* Sends some of it. False: nothing more can be sent, now or ever. */
static bool send_bytes(struct transport *t, const char *bytes, size_t len, size_t *n_sent)
{
    *n_sent = 0;
    while (*n_sent < len) {
        struct iovec iov = {(char *)bytes + *n_sent, len - *n_sent};
        ssize_t n = transport_plain.writev(t, &iov, 1, false);
        if (n == -1 && errno != EAGAIN && errno != EWOULDBLOCK && errno != ENOBUFS &&
            errno != ENOMEM)
            tls_fail(t->tls, errno);
        if (n == -1)
            return false;
        *n_sent += (size_t)n;
    }
    return true;
}

static void send_unsent(struct transport *t)
{
    struct kept *k = &t->tls->unsent;
    struct sprig_span rest = kept_span(k);
    size_t n;
    send_bytes(t, rest.ptr, rest.len, &n);
    kept_advance(k, n);
    t->has_unsent = k->len > 0;
}

/* Sends or keeps the records in the shared buffer, which is empty afterwards. */
static void send_records(struct transport *t)
{
    struct tls *s = t->tls;
    struct tls_io *io = s->io;
    size_t n = 0;
    if (t->has_unsent)
        send_unsent(t);
    if (!t->has_unsent && !s->is_failed)
        send_bytes(t, io->out, io->n_out, &n);
    if (n < io->n_out) {
        if (!kept_append(&s->unsent, io->out + n, io->n_out - n))
            tls_fail(s, ENOMEM);
        t->has_unsent = true;
    }
    io->n_out = 0;
}

/* Earlier output goes first; a small rest joins the next packet. False: it still waits, or can
 * never be sent; see errno. */
static bool begin_output(struct transport *t)
{
    struct tls *s = t->tls;
    struct kept *k = &s->unsent;
    if (t->has_unsent && k->len - k->at <= JOINED_BYTES) {
        s->io->n_out = k->len - k->at;
        memcpy(s->io->out, k->bytes + k->at, s->io->n_out);
        kept_clear(k);
        t->has_unsent = false;
    } else if (t->has_unsent) {
        send_unsent(t);
    }
    if (!t->has_unsent && !s->is_failed)
        return true;
    errno = s->is_failed ? (s->error ? s->error : EPIPE) : EAGAIN;
    return false;
}

static int bio_write(BIO *bio, const char *bytes, int n)
{
    struct transport *t = BIO_get_data(bio);
    struct tls_io *io = t->tls->io;
    BIO_clear_retry_flags(bio);
    if (io->n_out + (size_t)n > OUT_BYTES)
        send_records(t);
    if (t->has_unsent || (size_t)n > OUT_BYTES) {
        if (!kept_append(&t->tls->unsent, bytes, (size_t)n))
            tls_fail(t->tls, ENOMEM);
        t->has_unsent = true;
    } else {
        memcpy(io->out + io->n_out, bytes, (size_t)n);
        io->n_out += (size_t)n;
    }
    return n;
}

/* ------------------------------------------------------------------------ input ---- */

static ssize_t receive(struct transport *t)
{
    struct tls *s = t->tls;
    if (!s->may_receive) {
        errno = EAGAIN;
        return -1;
    }
    s->may_receive = false;
    ssize_t n = transport_plain_recv(t, s->io->in, IN_BYTES);
    if (n > 0) {
        s->in = span_make(s->io->in, (size_t)n);
    } else if (n == 0) {
        s->is_eof = true;
    } else if (errno != EAGAIN && errno != EWOULDBLOCK) {
        s->error = errno;
    }
    return n;
}

/* Looks at the very first byte: OpenSSL must not take any part of plain text. */
static void look_for_text(struct tls *s)
{
    s->is_text = *s->in.ptr >= 'A' && *s->in.ptr <= 'Z';
    s->has_begun = true;
}

static int bio_read(BIO *bio, char *to, int n)
{
    struct transport *t = BIO_get_data(bio);
    struct tls *s = t->tls;
    BIO_clear_retry_flags(bio);
    if (s->in.len == 0) {
        ssize_t rc = receive(t);
        if (rc == -1 && s->error == 0)
            BIO_set_retry_read(bio);
        if (rc <= 0)
            return (int)rc;
    }
    if (!s->has_begun)
        look_for_text(s);
    if (s->is_text || s->n_events > MAX_EVENTS)
        return -1;
    size_t len = s->in.len < (size_t)n ? s->in.len : (size_t)n;
    memcpy(to, s->in.ptr, len);
    s->in = span_make(s->in.ptr + len, s->in.len - len);
    return (int)len;
}

static long bio_ctrl(BIO *bio, int what, long number, void *pointer)
{
    struct transport *t = BIO_get_data(bio);
    (void)number, (void)pointer;
    if (what == BIO_CTRL_EOF)
        return t->tls->is_eof;
    return what == BIO_CTRL_FLUSH;
}

static void begin_input(struct tls *s)
{
    s->in = kept_span(&s->unread);
    s->may_receive = true;
}

/* Keeps what OpenSSL has not taken. */
static void end_input(struct tls *s)
{
    if (s->in.len == 0) {
        kept_clear(&s->unread);
    } else if (s->unread.bytes != NULL && s->in.ptr >= s->unread.bytes &&
               s->in.ptr < s->unread.bytes + s->unread.len) {
        s->unread.at = (size_t)(s->in.ptr - s->unread.bytes);
    } else {
        kept_clear(&s->unread);
        if (!kept_append(&s->unread, s->in.ptr, s->in.len))
            tls_fail(s, ENOMEM);
    }
    s->in = span_make(NULL, 0);
}

/* After the handshake a client can make OpenSSL work without ever sending us a byte: with key
 * updates, each as expensive as a request, or with messages that are answered by an alert.
 * MAX_EVENTS of these are enough (a key update counts as three), unless data arrives in between and
 * the client takes our answers. */
static void on_info(const SSL *ssl, int where, int value)
{
    struct transport *t = BIO_get_data(SSL_get_rbio(ssl));
    (void)value;
    if (t->tls->is_open && (where & (SSL_CB_LOOP | SSL_CB_ALERT)) && t->tls->n_events <= MAX_EVENTS)
        t->tls->n_events++;
}

/* Notes why there is no more input: EAGAIN, or the end. An alert is still sent. */
static void note_end(struct transport *t, int rc)
{
    struct tls *s = t->tls;
    int error = SSL_get_error(s->ssl, rc);
    tls_forget_errors();
    if (error == SSL_ERROR_WANT_READ)
        return;
    s->is_over = true;
    if (error == SSL_ERROR_ZERO_RETURN || s->is_eof)
        return;
    send_records(t);
    tls_fail(s, EPROTO);
}

static ssize_t tell_end(struct tls *s)
{
    if (!s->is_over) {
        errno = EAGAIN;
        return -1;
    }
    if (!s->is_failed)
        return 0;
    errno = s->error;
    return -1;
}

static ssize_t tls_recv(struct transport *t, void *buf, size_t n)
{
    struct tls *s = t->tls;
    size_t got = 0;
    if (s->is_over || s->is_failed) {
        s->is_over = true;
        return tell_end(s);
    }
    begin_input(s);
    do {
        tls_forget_errors();
        int rc = SSL_read(s->ssl, (char *)buf + got, (int)(n - got));
        if (rc <= 0) {
            note_end(t, rc);
            break;
        }
        got += (size_t)rc;
        s->may_receive = false;
        s->n_events = t->has_unsent ? s->n_events : 0;
    } while (got < n && (s->in.len > 0 || SSL_pending(s->ssl) > 0));
    end_input(s);
    if (s->io->n_out > 0)
        send_records(t); /* the answer to a key update */
    s->n_burst = 0;
    return got > 0 ? (ssize_t)got : tell_end(s);
}

/* The end of input can be read again and again, as on a socket. */
static bool tls_has_input(const struct transport *t)
{
    const struct tls *s = t->tls;
    return !s->is_finished && (s->unread.len > 0 || s->is_over || SSL_pending(s->ssl) > 0);
}

/* ---------------------------------------------------------------------- writing ---- */

static size_t record_limit(const struct tls *s)
{
    return s->n_burst < FIRST_RECORDS_BYTES ? FIRST_RECORD_BYTES : RECORD_BYTES;
}

/* Encrypts one record. False: the connection is of no further use; see errno. */
static bool encrypt(struct transport *t, const char *bytes, size_t n)
{
    struct tls *s = t->tls;
    tls_forget_errors();
    int rc = SSL_write(s->ssl, bytes, (int)n);
    if (rc != (int)n) {
        tls_forget_errors();
        tls_fail(s, EPIPE);
    }
    s->n_burst += n;
    if (s->io->n_out + RECORD_BYTES + RECORD_MORE > OUT_BYTES)
        send_records(t);
    errno = s->error;
    return !s->is_failed;
}

static bool encrypt_all(struct transport *t, const char *bytes, size_t n)
{
    while (n > 0) {
        size_t limit = record_limit(t->tls), len = n < limit ? n : limit;
        if (!encrypt(t, bytes, len))
            return false;
        bytes += len;
        n -= len;
    }
    return true;
}

/* The position of the next byte in a list of pieces. */
struct cursor {
    const struct iovec *iov;
    int n;
    size_t at; /* offset in the first one */
};

static void cursor_advance(struct cursor *c, size_t n)
{
    c->at += n;
    while (c->n > 0 && c->at >= c->iov->iov_len) {
        c->at -= c->iov->iov_len;
        c->iov++;
        c->n--;
    }
}

/* The bytes of the next record: in place, unless several pieces fit into it. */
static struct sprig_span next_record(struct cursor *c, struct tls *s)
{
    size_t limit = record_limit(s), left = c->iov->iov_len - c->at, n = 0;
    const char *first = (const char *)c->iov->iov_base + c->at;
    if (left >= limit || c->n == 1) {
        n = left < limit ? left : limit;
        cursor_advance(c, n);
        return span_make(first, n);
    }
    while (c->n > 0 && n < limit) {
        size_t len = c->iov->iov_len - c->at < limit - n ? c->iov->iov_len - c->at : limit - n;
        memcpy(s->io->plain + n, (const char *)c->iov->iov_base + c->at, len);
        n += len;
        cursor_advance(c, len);
    }
    return span_make(s->io->plain, n);
}

static ssize_t tls_writev(struct transport *t, const struct iovec *iov, int n, bool more)
{
    struct tls *s = t->tls;
    struct cursor c = {iov, n, 0};
    size_t taken = 0;
    (void)more; /* is_gathering says so */
    if (!begin_output(t))
        return -1;
    cursor_advance(&c, 0);
    while (c.n > 0 && !t->has_unsent) {
        struct sprig_span record = next_record(&c, s);
        if (!encrypt(t, record.ptr, record.len))
            return -1;
        taken += record.len;
    }
    if (s->io->n_out > 0 && !t->is_gathering)
        send_records(t);
    errno = s->error;
    return s->is_failed ? -1 : (ssize_t)taken;
}

static ssize_t tls_sendfile(struct transport *t, int in_fd, uint64_t *offset, size_t n)
{
    struct tls *s = t->tls;
    size_t taken = 0;
    ssize_t got = 0;
    if (!begin_output(t))
        return -1;
    while (taken < n && !t->has_unsent) {
        const char *bytes;
        got = ahead_read(&s->io->ahead, s->io->in, IN_BYTES, in_fd, *offset, n - taken,
                         t->is_gathering ? t->n_file_ahead : 0, &bytes);
        if (got <= 0)
            break;
        if (!encrypt_all(t, bytes, (size_t)got))
            return -1;
        taken += (size_t)got;
        *offset += (uint64_t)got;
    }
    int error = errno;
    if (s->io->n_out > 0 && !t->is_gathering)
        send_records(t);
    errno = s->is_failed ? s->error : error;
    return s->is_failed ? -1 : taken > 0 ? (ssize_t)taken : got;
}

static int tls_flush(struct transport *t)
{
    struct tls *s = t->tls;
    s->io->ahead.n = 0;
    if (s->io->n_out > 0)
        send_records(t);
    else if (t->has_unsent)
        send_unsent(t);
    errno = s->is_failed ? s->error : EAGAIN;
    return t->has_unsent ? -1 : 0;
}

/* ---------------------------------------------------------------------- the end ---- */

/* Sends close_notify (RFC 8446 section 6.1): nothing was cut off before it. Does not wait for the
 * peer's. */
static int tls_end(struct transport *t)
{
    struct tls *s = t->tls;
    if (!s->has_said_end && !s->is_failed && SSL_is_init_finished(s->ssl)) {
        s->has_said_end = true;
        tls_forget_errors();
        SSL_shutdown(s->ssl);
        tls_forget_errors();
        send_records(t);
    }
    return tls_flush(t);
}

static int tls_finish(struct transport *t)
{
    t->tls->is_finished = true;
    tls_end(t);
    return transport_plain.finish(t);
}

static void tls_hang_up(struct transport *t, bool is_complete)
{
    if (is_complete)
        tls_end(t);
    transport_plain.hang_up(t, is_complete);
}

static void tls_free(struct tls *s)
{
    SSL_free(s->ssl);
    tls_forget_errors();
    tls_context_release(s->ctx);
    kept_clear(&s->unread);
    kept_clear(&s->unsent);
    free(s);
}

static void tls_close(struct transport *t)
{
    tls_free(t->tls);
    t->tls = NULL;
    t->has_unsent = false;
    transport_plain.close(t);
}

/* ------------------------------------------------------------------- operations ---- */

/* Moving bytes from here to the kernel is no progress yet; the peer taking them from the kernel is.
 */
static int tls_n_unsent(const struct transport *t)
{
    int n = transport_plain.n_unsent(t);
    return n == -1 ? -1 : n + (int)kept_span(&t->tls->unsent).len;
}

static const struct transport_ops transport_tls = {
    .recv = tls_recv,
    .writev = tls_writev,
    .sendfile = tls_sendfile,
    .flush = tls_flush,
    .has_input = tls_has_input,
    .end = tls_end,
    .finish = tls_finish,
    .discard = transport_plain_recv,
    .n_unsent = tls_n_unsent,
    .is_hung_up = transport_plain_is_hung_up,
    .ack = transport_plain_ack,
    .closed = transport_plain_closed,
    .hang_up = tls_hang_up,
    .reset = transport_plain_reset,
    .close = tls_close,
};

/* Made once for all connections of the process. */
static BIO_METHOD *bio_method(void)
{
    static BIO_METHOD *method;
    if (method != NULL)
        return method;
    method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "sprig");
    if (method != NULL) {
        BIO_meth_set_read(method, bio_read);
        BIO_meth_set_write(method, bio_write);
        BIO_meth_set_ctrl(method, bio_ctrl);
    }
    return method;
}

int transport_tls_init(struct transport *t, struct tls_context *ctx, struct tls_io *io)
{
    struct tls *s = calloc(1, sizeof *s);
    BIO *bio = BIO_new(bio_method());
    if (s != NULL)
        s->ssl = SSL_new(ctx->sites[0].ssl_ctx);
    if (s == NULL || bio == NULL || s->ssl == NULL) {
        BIO_free(bio);
        if (s != NULL)
            tls_free(s);
        return SPRIG_E_NOMEM;
    }
    BIO_set_data(bio, t);
    BIO_set_init(bio, 1);
    SSL_set_bio(s->ssl, bio, bio);
    SSL_set_accept_state(s->ssl);
    SSL_set_info_callback(s->ssl, on_info);
    s->ctx = tls_context_hold(ctx);
    s->io = io;
    t->ops = &transport_tls;
    t->tls = s;
    t->resets_by_input = false; /* without close_notify the stream looks cut off anyway */
    return 0;
}

void transport_tls_move(struct transport *to, struct transport *from, struct tls_io *io)
{
    *to = *from;
    from->tls = NULL;
    from->fd = -1;
    BIO_set_data(SSL_get_rbio(to->tls->ssl), to);
    to->tls->io = io;
    tls_context_release(to->tls->ctx);
    to->tls->ctx = NULL;
}

/* -------------------------------------------------------------------- handshake ---- */

enum tls_progress transport_tls_accept(struct transport *t, const char **reason)
{
    struct tls *s = t->tls;
    begin_input(s);
    tls_forget_errors();
    int rc = SSL_do_handshake(s->ssl);
    int error = rc == 1 ? SSL_ERROR_NONE : SSL_get_error(s->ssl, rc);
    *reason = error == SSL_ERROR_SSL ? tls_error_text() : "the connection failed";
    tls_forget_errors();
    end_input(s);
    if (s->is_text)
        return TLS_IS_MISSING;
    if (rc == 1) {
        /* Tickets go out with the first response, which may be ready soon. */
        if (s->io->n_out > 0)
            t->has_unsent = kept_append(&s->unsent, s->io->out, s->io->n_out);
        s->io->n_out = 0;
        s->is_open = true;
        return TLS_IS_OPEN;
    }
    send_records(t);
    if (error == SSL_ERROR_WANT_READ && !s->is_failed)
        return TLS_WAITS;
    bool has_left = s->is_eof || s->error != 0;
    s->is_failed = true;
    return has_left ? TLS_HAS_ENDED : TLS_HAS_FAILED;
}

ssize_t transport_tls_receive(struct transport *t, struct sprig_span *input)
{
    struct tls *s = t->tls;
    ssize_t n = transport_plain_recv(t, s->io->in, IN_BYTES);
    if (n > 0 && !kept_append(&s->unread, s->io->in, (size_t)n)) {
        errno = ENOMEM;
        return -1;
    }
    *input = kept_span(&s->unread);
    return n;
}

void transport_tls_skip(struct transport *t, size_t n)
{
    kept_advance(&t->tls->unread, n);
}

/* Used until recv has returned what had already arrived. */
static ssize_t undone_recv(struct transport *t, void *buf, size_t n)
{
    struct kept *k = &t->tls->unread;
    struct sprig_span rest = kept_span(k);
    size_t len = rest.len < n ? rest.len : n;
    memcpy(buf, rest.ptr, len);
    kept_advance(k, len);
    if (k->len == 0) {
        tls_free(t->tls);
        t->tls = NULL;
        t->ops = &transport_plain;
    }
    return (ssize_t)len;
}

static bool undone_has_input(const struct transport *t)
{
    (void)t;
    return true;
}

void transport_tls_undo(struct transport *t)
{
    static struct transport_ops undone;
    undone = transport_plain;
    undone.recv = undone_recv;
    undone.has_input = undone_has_input;
    undone.close = tls_close;
    t->ops = &undone;
}

void transport_tls_describe(const struct transport *t, tls_describe_cb *tell, void *arg)
{
    tls_describe_ssl(t->tls->ssl, tell, arg);
}

void transport_tls_names(const struct transport *t, const char **protocol, const char **cipher)
{
    if (!SSL_is_init_finished(t->tls->ssl))
        return;
    *protocol = SSL_get_version(t->tls->ssl);
    *cipher = SSL_get_cipher_name(t->tls->ssl);
}

bool transport_tls_is_silent(const struct transport *t)
{
    return !t->tls->has_begun;
}

/* The callback in tls_context.c reads it. */
void transport_tls_offer_http2(struct transport *t)
{
    SSL_set_app_data(t->tls->ssl, TLS_OFFERS_HTTP2);
}

bool transport_tls_is_http2(const struct transport *t)
{
    const unsigned char *name;
    unsigned n;
    SSL_get0_alpn_selected(t->tls->ssl, &name, &n);
    return n == 2 && memcmp(name, "h2", 2) == 0;
}
