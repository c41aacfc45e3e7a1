/* http2.c - frames of HTTP/2 on a connection of a server: however the bytes are cut, the same
 * requests come of them; nothing is left in the end, whatever they are. */
#include "fuzz.h"
#include "h2/h2.h"
#include "h2/protocol_h2.h"
#include "sprig.h"

#include <sys/socket.h>
#include <unistd.h>

enum { N_PASSES = 30 };

static uint64_t hash;
static uint32_t n_requests;

static void add_to(uint64_t *sum, struct sprig_span bytes)
{
    for (size_t i = 0; i < bytes.len; i++)
        *sum = *sum * 33 + (unsigned char)bytes.ptr[i];
}

static void add(struct sprig_span bytes)
{
    add_to(&hash, bytes);
}

/* Of a body that streams: it counts once it is whole, since one that is cut off may be so anywhere.
 */
static uint64_t *sum_of(struct sprig_exchange *ex)
{
    uint64_t *sum = sprig_exchange_app(ex);
    if (sum == NULL) {
        sum = calloc(1, sizeof *sum);
        FUZZ_CHECK(sum != NULL);
        sprig_exchange_set_app(ex, sum);
    }
    return sum;
}

/* -------------------------------------------------------------------- an app in C ---- */

static int respond(struct sprig_exchange *ex, int status, uint64_t length)
{
    char why[200];
    struct sprig_header fields[] = {{SPAN_LIT("Upgrade"), SPAN_LIT("websocket")},
                                    {SPAN_LIT("X-Long-Name"), SPAN_LIT("value")}};
    struct sprig_head head = {status, fields, 2, length};
    return sprig_response_head(ex, &head, why, sizeof why);
}

/* What waits for its body, or for bytes of a tunnel, echoes them. */
static void on_request(struct sprig_exchange *ex, void *arg)
{
    (void)arg;
    const struct sprig_request *req = sprig_exchange_request(ex);
    struct sprig_body body;
    n_requests++;
    add(req->method);
    add(req->target);
    for (uint32_t i = 0; i < req->n_headers; i++) {
        add(req->headers[i].name);
        add(req->headers[i].value);
    }
    bool opens = req->upgrade && req->version == 20 && !span_eq(req->method, SPAN_LIT("CONNECT"));
    if (sprig_exchange_is_streaming(ex)) {
        respond(ex, 200, SPRIG_LENGTH_UNKNOWN);
        sprig_exchange_read_body(ex, true);
    } else if (opens && respond(ex, 101, SPRIG_LENGTH_UNKNOWN) == 0) {
        if (sprig_exchange_open_tunnel(ex, true) == 0)
            sprig_exchange_read_body(ex, true);
    } else if (!opens) {
        sprig_exchange_take_body(ex, &body);
        add(body.mem);
        if (body.fd != -1)
            close(body.fd);
        respond(ex, 200, 5);
        sprig_response_write(ex, SPAN_LIT("hello"));
        sprig_response_end(ex);
    }
}

static void on_body(struct sprig_exchange *ex, struct sprig_span bytes, bool is_last, void *arg)
{
    (void)arg;
    add_to(sum_of(ex), bytes);
    if (bytes.len > 0)
        sprig_response_write(ex, bytes);
    if (!is_last)
        return;
    hash += *sum_of(ex);
    sprig_response_end(ex);
}

static void ignore(struct sprig_exchange *ex, void *arg)
{
    (void)ex, (void)arg;
}

static void on_end(struct sprig_exchange *ex, enum sprig_end why, void *arg)
{
    (void)why, (void)arg;
    free(sprig_exchange_app(ex));
}

static void on_left(struct sprig_server *server, void *arg)
{
    (void)server, (void)arg;
}

/* ------------------------------------------------------------------- a connection ---- */

static struct sprig_loop *loop;
static struct sprig_server *server;

static void start(void)
{
    static const struct sprig_handler handler = {.on_request = on_request,
                                                 .on_drain = ignore,
                                                 .on_gone = ignore,
                                                 .on_body = on_body,
                                                 .on_notify = ignore,
                                                 .on_end = on_end,
                                                 .on_left = on_left};
    struct sprig_config config;
    char why[200];
    sprig_config_init(&config);
    FUZZ_CHECK(sprig_config_set(&config, "streaming_input", "/s", why, sizeof why) == 0);
    FUZZ_CHECK(sprig_config_set(&config, "http2_websocket", "on", why, sizeof why) == 0);
    FUZZ_CHECK(sprig_config_set(&config, "max_headers", "20", why, sizeof why) == 0);
    FUZZ_CHECK(sprig_config_set(&config, "http2_max_streams", "10", why, sizeof why) == 0);
    loop = sprig_loop_new();
    server = loop != NULL ? sprig_server_new(loop, &config, &handler, NULL) : NULL;
    FUZZ_CHECK(server != NULL);
    sprig_config_clear(&config);
}

/* Takes what the server says, so that it can go on. */
static void pass(int fd)
{
    char bytes[4096];
    for (int i = 0; i < N_PASSES; i++) {
        sprig_loop_pass(loop, false);
        while (recv(fd, bytes, sizeof bytes, MSG_DONTWAIT) > 0)
            continue;
    }
}

/* What came of the bytes, as far as it must not depend on the cuts. */
struct outcome {
    uint64_t hash;
    uint32_t n_requests;
    bool has_failed;
};

static void feed(struct h2 *h2, const uint8_t *data, size_t n, struct cuts *cuts)
{
    for (size_t at = 0, step; at < n; at += step) {
        step = cuts != NULL ? cuts_next(cuts) : n;
        step = step < n - at ? step : n - at;
        char *bytes = exact_copy(data + at, step);
        h2_receive(h2, span_make(bytes, step));
        free(bytes);
    }
}

/* All bytes are there before the first stream has its turn: else it would matter how many have. */
static struct outcome serve(const uint8_t *data, size_t n, struct cuts *cuts)
{
    struct sprig_counters counters;
    int fds[2];
    hash = 5381;
    n_requests = 0;
    FUZZ_CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
    FUZZ_CHECK(sprig_server_adopt(server, fds[0]) == 0);
    struct sprig_conn *c = list_entry(list_first(&server->conns), struct sprig_conn, link);
    conn_pin(c);
    conn_speak(c, protocol_h2, span_make(NULL, 0));
    struct h2 *h2 = h2_of(c);
    feed(h2, data, n, cuts);
    struct outcome out = {.has_failed = h2->has_failed};
    conn_flush_later(c);
    conn_unpin(c);
    pass(fds[1]);
    close(fds[1]);
    for (int i = 0; i < N_PASSES; i++)
        sprig_loop_pass(loop, false);
    sprig_server_counters(server, &counters);
    FUZZ_CHECK(counters.n_connections == 0 && counters.n_exchanges == 0);
    out.hash = hash;
    out.n_requests = n_requests;
    return out;
}

static const char preface[] =
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0\0\0\0\4\1\0\0\0\0";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n < 3)
        return 0;
    if (server == NULL)
        start();
    struct cuts cuts = cuts_make(data);
    size_t n_preface = data[2] & 1 ? 0 : sizeof preface - 1;
    uint8_t *bytes = malloc(n_preface + n);
    FUZZ_CHECK(bytes != NULL);
    memcpy(bytes, preface, n_preface);
    memcpy(bytes + n_preface, data + 3, n - 3);
    struct outcome cut = serve(bytes, n_preface + n - 3, &cuts);
    struct outcome whole = serve(bytes, n_preface + n - 3, NULL);
    free(bytes);
    FUZZ_CHECK(cut.hash == whole.hash && cut.n_requests == whole.n_requests);
    FUZZ_CHECK(cut.has_failed == whole.has_failed);
    return 0;
}
