/* reentry_test.c - callbacks that run the loop, end the server or drain it; and output that nobody
 * reads, which no state may forget. */
#include "sprig.h"
#include "tap.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { LARGE_BYTES = 24 * 1024 * 1024 };

static struct sprig_loop *loop;
static struct sprig_server *server;
static int port;

static struct {
    struct sprig_exchange *later, *stream; /* asked for /later, /stream */
    int n_requests, n_ends, n_left;
    int ask_in_end;   /* on_end asks for /stream on this socket and runs the loop, unless 0 */
    bool free_in_app; /* the app frees its server */
} app;

static double now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* Passes until the condition holds, at most so many seconds. */
#define PASS_UNTIL(seconds, cond)                                                                  \
    for (double end_ = now() + (seconds); !(cond) && now() < end_;)                                \
    sprig_loop_pass(loop, false)

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"

static void say(int fd, const char *text)
{
    if (send(fd, text, strlen(text), MSG_NOSIGNAL) == -1)
        diag("send: %s", strerror(errno));
}

static void start(struct sprig_exchange *ex, uint64_t length)
{
    char why[200];
    struct sprig_head head = {200, NULL, 0, length};
    sprig_response_head(ex, &head, why, sizeof why);
}

static void answer(struct sprig_exchange *ex, struct sprig_span body)
{
    start(ex, body.len);
    sprig_response_write(ex, body);
    sprig_response_end(ex);
}

static void answer_large(struct sprig_exchange *ex)
{
    static char large[LARGE_BYTES];
    start(ex, sizeof large);
    sprig_response_write_ref(ex, span_make(large, sizeof large), NULL, NULL);
    sprig_response_end(ex);
}

static void on_request(struct sprig_exchange *ex, void *arg)
{
    (void)arg;
    struct sprig_span path = sprig_exchange_request(ex)->path;
    app.n_requests++;
    if (app.free_in_app)
        sprig_server_free(server);
    else if (span_eq(path, SPAN_LIT("/later")))
        app.later = ex;
    else if (span_eq(path, SPAN_LIT("/stream"))) {
        start(ex, SPRIG_LENGTH_UNKNOWN);
        app.stream = ex;
    } else if (span_eq(path, SPAN_LIT("/large")))
        answer_large(ex);
    else
        answer(ex, SPAN_LIT("hello"));
}

static void on_event(struct sprig_exchange *ex, void *arg)
{
    (void)ex, (void)arg;
}

static void on_end(struct sprig_exchange *ex, enum sprig_end why, void *arg)
{
    (void)why, (void)arg;
    app.n_ends++;
    if (app.later == ex)
        app.later = NULL;
    if (app.stream == ex)
        app.stream = NULL;
    if (app.ask_in_end == 0)
        return;
    say(app.ask_in_end, GET("/stream"));
    app.ask_in_end = 0;
    PASS_UNTIL(1, app.stream);
}

static void on_left(struct sprig_server *s, void *arg)
{
    (void)s, (void)arg;
    app.n_left++;
}

static void no_log(enum sprig_log_level level, const char *message, void *arg)
{
    (void)level, (void)message, (void)arg;
}

/* Options are pairs of name and value, ended by NULL. */
static void open_server(const char *const *options)
{
    char why[300];
    struct sprig_config config;
    struct sprig_handler handler = {.on_request = on_request,
                                    .on_drain = on_event,
                                    .on_gone = on_event,
                                    .on_notify = on_event,
                                    .on_end = on_end,
                                    .on_left = on_left};
    sprig_config_init(&config);
    for (; *options != NULL; options += 2)
        if (sprig_config_set(&config, options[0], options[1], why, sizeof why) != 0)
            diag("%s", why);
    memset(&app, 0, sizeof app);
    server = sprig_server_new(loop, &config, &handler, NULL);
    sprig_config_clear(&config);
    struct sprig_listen_spec spec;
    struct sprig_listener *l = NULL;
    sprig_listen_spec_read(&spec, "127.0.0.1:0", why, sizeof why);
    sprig_server_listen(server, &spec, &l, 1, why, sizeof why);
    port = l ? atoi(sprig_listener_address(l)->port) : 0;
}

static const char *const no_options[] = {NULL};

static uint32_t n_connections(void)
{
    struct sprig_counters c;
    sprig_server_counters(server, &c);
    return c.n_connections;
}

static int dial(void)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&in, sizeof in) == -1) {
        close(fd);
        return -1;
    }
    return fd;
}

/* Reads until the end of file, `until` or two seconds; passes meanwhile. The number of bytes; the
 * first of them stand in `got`. */
static char got[65536];

static size_t hear(int fd, const char *until)
{
    static char rest[65536];
    size_t n = 0, kept = 0;
    memset(got, 0, sizeof got);
    for (double end = now() + 2; now() < end && (until == NULL || strstr(got, until) == NULL);) {
        sprig_loop_pass(loop, false);
        ssize_t r = recv(fd, rest, sizeof rest, MSG_DONTWAIT);
        if (r == 0 || (r == -1 && errno != EAGAIN))
            break;
        if (r <= 0)
            continue;
        size_t room = sizeof got - 1 - kept;
        memcpy(got + kept, rest, (size_t)r < room ? (size_t)r : room);
        kept += (size_t)r < room ? (size_t)r : room;
        n += (size_t)r;
    }
    return n;
}

/* ------------------------------------------------------------------- tests ---- */

static void the_next_request_may_begin_within_the_end_of_one(void)
{
    open_server(no_options);
    int fd = dial();
    say(fd, GET("/later"));
    PASS_UNTIL(2, app.later);
    app.ask_in_end = fd;
    answer(app.later, SPAN_LIT("at last"));
    PASS_UNTIL(3, app.stream);
    ok(app.stream != NULL, "the next request is served");
    if (app.stream != NULL) {
        sprig_response_write(app.stream, SPAN_LIT("streamed"));
        sprig_response_end(app.stream);
    }
    hear(fd, "0\r\n\r\n");
    ok(strstr(got, "streamed") != NULL, "and its response arrives");
    PASS_UNTIL(1, app.n_ends == 2);
    is_int(app.n_ends, 2, "and ends");
    say(fd, GET("/"));
    hear(fd, "hello");
    ok(strstr(got, "hello") != NULL, "the connection goes on");
    is_int(app.n_requests, 3, "with one call for each request");
    close(fd);
    PASS_UNTIL(2, n_connections() == 0);
    is_int(n_connections(), 0, "and nothing is left");
    sprig_server_free(server);
}

static void a_flush_by_hand_forgets_no_end(void)
{
    open_server(no_options);
    int fd = dial();
    say(fd, GET("/later"));
    PASS_UNTIL(2, app.later);
    struct sprig_exchange *ex = app.later;
    answer(ex, SPAN_LIT("at last"));
    sprig_response_flush(ex);
    hear(fd, "at last");
    PASS_UNTIL(1, app.n_ends);
    is_int(app.n_ends, 1, "a complete response that was flushed by hand ends its exchange");
    say(fd, GET("/"));
    hear(fd, "hello");
    ok(strstr(got, "hello") != NULL, "and the next request is served");
    close(fd);
    PASS_UNTIL(2, n_connections() == 0);
    sprig_server_free(server);
}

/* More is queued than the kernel takes, and yet the next request is served. */
static const char *const deep_queue[] = {
    "high_water_bytes", "100000000", "write_timeout", "0.3", "header_timeout", "0.3", NULL};

static void check_unread(const char *next, const char *name)
{
    open_server(deep_queue);
    int fd = dial();
    say(fd, GET("/large"));
    PASS_UNTIL(1, app.n_requests > 0);
    for (int i = 0; i < 20; i++)
        sprig_loop_pass(loop, false);
    say(fd, next);
    PASS_UNTIL(3, n_connections() == 0);
    is_int(n_connections(), 0, "write_timeout ends it, unread: %s", name);
    is_int(app.n_ends, app.n_requests, "with all its exchanges");
    close(fd);
    sprig_server_free(server);
}

static void output_that_nobody_reads_times_out(void)
{
    check_unread("", "one response");
    check_unread(GET("/"), "two responses");
    check_unread(GET("/later"), "one, and a request that is not answered");
    check_unread("GET /", "one, and a part of a head");
    check_unread("GET / HTTP/1.1\n\n", "one, and a refused request");
}

static void a_drained_server_waits_for_output_only(void)
{
    open_server(deep_queue);
    int fd = dial();
    say(fd, GET("/large"));
    PASS_UNTIL(2, app.n_ends);
    sprig_server_leave(server);
    size_t n = hear(fd, NULL);
    ok(n > LARGE_BYTES, "a response that is being written arrives");
    close(fd);
    PASS_UNTIL(1, app.n_left);
    is_int(app.n_left, 1, "and then the server is drained");
    sprig_server_free(server);
}

static void a_response_survives_what_follows_it(void)
{
    open_server(deep_queue);
    int fd = dial();
    say(fd, GET("/large") "GET /unfin");
    shutdown(fd, SHUT_WR);
    PASS_UNTIL(2, app.n_ends);
    ok(hear(fd, NULL) > LARGE_BYTES, "a broken-off request cuts no response before it");
    close(fd);
    PASS_UNTIL(2, n_connections() == 0);
    is_int(n_connections(), 0, "and the connection ends");
    sprig_server_free(server);
}

static void an_app_may_free_its_server(void)
{
    open_server(no_options);
    int fd = dial(), other = dial();
    say(other, "GET /unfin");
    for (int i = 0; i < 5; i++)
        sprig_loop_pass(loop, false);
    app.free_in_app = true;
    say(fd, GET("/"));
    is_int((long long)hear(fd, NULL), 0, "its connection is closed");
    is_int((long long)hear(other, NULL), 0, "and so are the others");
    is_int(app.n_ends, 1, "the exchange has ended");
    is_int(dial(), -1, "nobody listens any more");
    is_int(app.n_left, 0, "and nothing is told to who freed it");
    close(other);
    close(fd);
}

static void a_child_counts_connections_once(void)
{
    open_server(no_options);
    int fd = dial();
    say(fd, GET("/later"));
    PASS_UNTIL(2, app.later);
    sprig_response_abort(app.later, "test"); /* closed, and not yet reaped */
    pid_t pid = fork();
    if (pid == 0) {
        sprig_loop_pass(loop, false);
        _exit(n_connections() == 0 ? 0 : 1);
    }
    int status = -1;
    waitpid(pid, &status, 0);
    is_int(status, 0, "a child has no connection");
    close(fd);
    sprig_server_free(server);
}

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    loop = sprig_loop_new();
    sprig_log_set_sink(no_log, SPRIG_LOG_ERROR, NULL);
    the_next_request_may_begin_within_the_end_of_one();
    a_flush_by_hand_forgets_no_end();
    output_that_nobody_reads_times_out();
    a_drained_server_waits_for_output_only();
    a_response_survives_what_follows_it();
    an_app_may_free_its_server();
    a_child_counts_connections_once();
    sprig_loop_free(loop);
    return done_testing();
}
