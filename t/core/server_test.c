/* server_test.c - whole requests through listener, connection, exchange and loop, without Perl. */
#include "sprig.h"
#include "tap.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* ---------------------------------------------------------- a small app in C ---- */

static struct {
    struct sprig_exchange *waiting; /* asked for /later or /stream */
    int n_requests, n_ends, n_gone, n_drains, n_notified, n_left;
    enum sprig_end last_end;
    bool hold_next;     /* pretend that an app call is on the stack after the next request */
    uint64_t body_size; /* of the last request */
} app;

static struct sprig_loop *loop;
static struct sprig_server *server;
static int port;
static char logged[4096];

static void reply(struct sprig_exchange *ex, const char *text)
{
    char why[200];
    struct sprig_header type = {SPAN_LIT("Content-Type"), SPAN_LIT("text/plain")};
    struct sprig_head head = {200, &type, 1, strlen(text)};
    if (sprig_response_head(ex, &head, why, sizeof why) == 0)
        sprig_response_write(ex, span_str(text));
    sprig_response_end(ex);
}

static void start_stream(struct sprig_exchange *ex)
{
    char why[200];
    struct sprig_head head = {200, NULL, 0, SPRIG_LENGTH_UNKNOWN};
    sprig_response_head(ex, &head, why, sizeof why);
    sprig_response_write(ex, SPAN_LIT("first"));
    app.waiting = ex;
}

static void on_request(struct sprig_exchange *ex, void *arg)
{
    (void)arg;
    const struct sprig_request *req = sprig_exchange_request(ex);
    struct sprig_body body;
    app.n_requests++;
    sprig_exchange_take_body(ex, &body);
    app.body_size = body.size;
    if (body.fd != -1)
        close(body.fd);
    if (span_eq(req->path, SPAN_LIT("/later")))
        app.waiting = ex;
    else if (span_eq(req->path, SPAN_LIT("/stream")))
        start_stream(ex);
    else if (span_eq(req->path, SPAN_LIT("/hold"))) {
        sprig_loop_count_app_call(loop, 1);
        while (!app.hold_next)
            sprig_loop_pass(loop, true);
        sprig_loop_count_app_call(loop, -1);
        reply(ex, "held");
    } else
        reply(ex, "hello");
}

static void on_drain(struct sprig_exchange *ex, void *arg)
{
    (void)ex, (void)arg;
    app.n_drains++;
}

static void on_gone(struct sprig_exchange *ex, void *arg)
{
    (void)ex, (void)arg;
    app.n_gone++;
}

static void on_notify(struct sprig_exchange *ex, void *arg)
{
    (void)arg;
    app.n_notified++;
    if (!sprig_response_has_head(ex))
        reply(ex, "notified");
}

static void on_end(struct sprig_exchange *ex, enum sprig_end why, void *arg)
{
    (void)arg;
    app.n_ends++;
    app.last_end = why;
    if (app.waiting == ex)
        app.waiting = NULL;
}

static void on_left(struct sprig_server *s, void *arg)
{
    (void)s, (void)arg;
    app.n_left++;
}

static void sink(enum sprig_log_level level, const char *message, void *arg)
{
    (void)level, (void)arg;
    size_t used = strlen(logged);
    snprintf(logged + used, sizeof logged - used, "%s\n", message);
}

/* -------------------------------------------------------------- both sides ---- */

static void open_server(const char *option, const char *value)
{
    char why[300];
    struct sprig_config config;
    struct sprig_handler handler = {.on_request = on_request,
                                    .on_drain = on_drain,
                                    .on_gone = on_gone,
                                    .on_notify = on_notify,
                                    .on_end = on_end,
                                    .on_left = on_left};
    sprig_config_init(&config);
    if (option != NULL && sprig_config_set(&config, option, value, why, sizeof why) != 0)
        diag("%s", why);
    memset(&app, 0, sizeof app);
    logged[0] = '\0';
    server = sprig_server_new(loop, &config, &handler, NULL);
    sprig_config_clear(&config);
    struct sprig_listen_spec spec;
    struct sprig_listener *l = NULL;
    sprig_listen_spec_read(&spec, "127.0.0.1:0", why, sizeof why);
    sprig_server_listen(server, &spec, &l, 1, why, sizeof why);
    port = l ? atoi(sprig_listener_address(l)->port) : 0;
}

static struct sprig_counters counters(void)
{
    struct sprig_counters c;
    sprig_server_counters(server, &c);
    return c;
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

static void say(int fd, const char *text)
{
    if (send(fd, text, strlen(text), MSG_NOSIGNAL) == -1)
        diag("send: %s", strerror(errno));
}

static double now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* Passes until the flag is set, at most two seconds. */
#define PASS_UNTIL(cond)                                                                           \
    for (double end_ = now() + 2; !(cond) && now() < end_;)                                        \
    sprig_loop_pass(loop, false)

static int count(const char *text, const char *needle)
{
    int n = 0;
    for (const char *at = text; (at = strstr(at, needle)) != NULL; at++)
        n++;
    return n;
}

/* What the client gets until `n_bodies` times "hello"-like ends or end of file; passes meanwhile.
 */
static const char *hear_times(int fd, const char *until, int times)
{
    static char got[1 << 20];
    size_t n = 0;
    double end = now() + 2;
    got[0] = '\0';
    while (now() < end && (until == NULL || count(got, until) < times)) {
        sprig_loop_pass(loop, false);
        ssize_t r = recv(fd, got + n, sizeof got - n - 1, MSG_DONTWAIT);
        if (r == 0 || (r == -1 && errno != EAGAIN))
            break;
        if (r > 0)
            n += (size_t)r;
        got[n] = '\0';
    }
    return got;
}

static const char *hear(int fd, const char *until)
{
    return hear_times(fd, until, 1);
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"

static bool is_clean(void)
{
    PASS_UNTIL(counters().n_connections == 0);
    struct sprig_counters c = counters();
    return c.n_connections == 0 && c.n_exchanges == 0;
}

static void close_server(const char *name)
{
    ok(is_clean(), "%s: no connection and no exchange is left", name);
    sprig_server_free(server);
}

/* ------------------------------------------------------------------- tests ---- */

static void requests_are_answered(void)
{
    open_server(NULL, NULL);
    int fd = dial();
    say(fd, GET("/"));
    ok(strstr(hear(fd, "hello"), "HTTP/1.1 200 OK\r\n") != NULL, "a request is answered");
    say(fd, GET("/a") GET("/b") GET("/c") "GET /par");
    is_int(count(hear_times(fd, "hello", 3), "hello"), 3,
           "pipelined requests are answered in order");
    say(fd, "tial HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" GET("/ignored"));
    const char *last = hear(fd, NULL);
    is_int(count(last, "hello"), 1, "what follows Connection: close is ignored");
    ok(strstr(last, "Connection: close\r\n") != NULL, "the last response announces the close");
    is_int(app.n_requests, 5, "the app ran once for each request");
    is_int(app.n_ends, 5, "and heard of each end");
    close(fd);
    close_server("requests");
}

static void many_pipelined_requests_are_all_answered(void)
{
    static char all[100 * sizeof GET("/")];
    open_server(NULL, NULL);
    for (int i = 0; i < 100; i++)
        strcat(all, GET("/"));
    int fd = dial();
    say(fd, all);
    shutdown(fd, SHUT_WR);
    is_int(count(hear(fd, NULL), "hello"), 100,
           "a hundred pipelined requests of a half-closed client are answered");
    close(fd);
    close_server("pipeline");
}

static void bodies_arrive(void)
{
    open_server("body_buffer_bytes", "1000");
    int fd = dial();
    say(fd, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n12345");
    hear(fd, "hello");
    is_int((long long)app.body_size, 5, "a body that comes with its head");
    say(fd, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    ok(strcmp(hear(fd, "\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n") == 0, "the body is invited");
    say(fd, "12");
    sprig_loop_pass(loop, false);
    say(fd, "345");
    hear(fd, "hello");
    is_int((long long)app.body_size, 5, "a body in pieces");
    say(fd, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n");
    sprig_loop_pass(loop, false);
    static char big[4000];
    memset(big, 'x', 3000);
    say(fd, "bb8\r\n");
    say(fd, big);
    say(fd, "\r\n0\r\n\r\n" GET("/"));
    is_int(count(hear_times(fd, "hello", 2), "hello"), 2,
           "a chunked body, and what is pipelined behind it");
    close(fd);
    close_server("bodies");
}

static void errors_are_refused_and_linger(void)
{
    open_server("max_body_bytes", "10");
    int fd = dial();
    say(fd, "GET / HTTP/1.1\nHost: a\r\n\r\n");
    const char *got = hear(fd, NULL);
    ok(strstr(got, "HTTP/1.1 400 ") == got, "a bare LF is a 400");
    say(fd, "still talking");
    close(fd);
    ok(strstr(logged, "bare LF") != NULL, "the log has the reason");
    fd = dial();
    say(fd, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n12345678901");
    ok(strstr(hear(fd, NULL), " 413 ") != NULL, "one byte over max_body_bytes is a 413");
    close(fd);
    fd = dial();
    say(fd, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n1234567890");
    ok(strstr(hear(fd, "hello"), " 200 ") != NULL, "just max_body_bytes is accepted");
    close(fd);
    is_int(app.n_requests, 1, "the app saw only the good request");
    close_server("errors");
}

static void responses_may_come_later(void)
{
    open_server(NULL, NULL);
    int fd = dial();
    say(fd, GET("/later") GET("/next"));
    PASS_UNTIL(app.waiting);
    for (int i = 0; i < 5; i++)
        sprig_loop_pass(loop, false);
    is_int(app.n_requests, 1, "the next request waits for the answer to this one");
    reply(app.waiting, "at last");
    const char *got = hear(fd, "hello");
    ok(strstr(got, "at last") != NULL && strstr(got, "hello") != NULL, "then both are answered");
    say(fd, GET("/later"));
    PASS_UNTIL(app.waiting);
    sprig_exchange_notify(app.waiting);
    ok(strstr(hear(fd, "notified"), "notified") != NULL, "a notified exchange may answer");
    close(fd);
    close_server("later");
}

static void a_client_that_leaves_is_noticed(void)
{
    open_server(NULL, NULL);
    int fd = dial();
    say(fd, GET("/stream"));
    PASS_UNTIL(app.waiting);
    close(fd);
    PASS_UNTIL(app.n_gone);
    is_int(app.n_gone, 1, "on_gone is told while nothing is written");
    for (int i = 0; i < 50 && app.waiting; i++) {
        sprig_response_write(app.waiting, SPAN_LIT("more"));
        sprig_loop_pass(loop, false);
    }
    is_int(app.n_gone, 1, "and told once");
    is_int(app.n_ends, 1, "writing to it ends the exchange");
    is_int(app.last_end, SPRIG_END_GONE, "as gone");
    close_server("gone");
}

static void a_half_closed_client_gets_all(void)
{
    open_server(NULL, NULL);
    int fd = dial();
    say(fd, GET("/stream"));
    shutdown(fd, SHUT_WR);
    PASS_UNTIL(app.n_gone);
    sprig_response_write(app.waiting, SPAN_LIT("second"));
    sprig_response_end(app.waiting);
    ok(strstr(hear(fd, NULL), "6\r\nsecond\r\n0\r\n\r\n") != NULL, "a half-closed client gets all");
    is_int(app.last_end, SPRIG_END_DONE, "and the exchange is done");
    close(fd);
    close_server("half-closed");
}

/* Reads and forgets, passing meanwhile, until the counter is up. */
static void swallow(int fd, const int *counter)
{
    static char bytes[65536];
    for (double end = now() + 5; *counter == 0 && now() < end;) {
        sprig_loop_pass(loop, false);
        (void)!recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
    }
}

static void slow_readers_push_back(void)
{
    static char piece[100000];
    open_server(NULL, NULL);
    int fd = dial(), rc = 0;
    memset(piece, 'p', sizeof piece);
    say(fd, GET("/stream"));
    PASS_UNTIL(app.waiting);
    for (int i = 0; i < 100; i++)
        rc = sprig_response_write(app.waiting, span_make(piece, sizeof piece));
    is_int(rc, 1, "above high_water_bytes a write says so");
    ok(sprig_response_buffered(app.waiting) > 0, "bytes are queued");
    swallow(fd, &app.n_drains);
    is_int(app.n_drains, 1, "on_drain comes when they are gone");
    sprig_response_end(app.waiting);
    swallow(fd, &app.n_ends);
    is_int(app.last_end, SPRIG_END_DONE, "the response is completed");
    close(fd);
    close_server("slow");
}

static void aborted_responses_do_not_look_whole(void)
{
    open_server(NULL, NULL);
    int fd = dial();
    say(fd, GET("/stream"));
    PASS_UNTIL(app.waiting);
    sprig_response_abort(app.waiting, "test");
    const char *got = hear(fd, NULL);
    ok(strstr(got, "first") != NULL && strstr(got, "0\r\n\r\n") == NULL, "no last chunk");
    close(fd);
    fd = dial();
    say(fd, "GET /stream HTTP/1.0\r\n\r\n");
    PASS_UNTIL(app.waiting);
    sprig_loop_pass(loop, false);
    sprig_response_abort(app.waiting, "test");
    struct pollfd p = {.fd = fd, .events = POLLIN};
    poll(&p, 1, 1000);
    ok(p.revents & (POLLERR | POLLHUP), "a body that ends by closing is reset");
    close(fd);
    is_int(app.last_end, SPRIG_END_ABORTED, "on_end says so");
    close_server("abort");
}

static void a_detached_socket_is_the_apps(void)
{
    open_server(NULL, NULL);
    int fd = dial(), mine = -1;
    struct sprig_span unread;
    say(fd, GET("/later") "early bytes");
    PASS_UNTIL(app.waiting);
    for (int i = 0; i < 3; i++)
        sprig_loop_pass(loop, false);
    is_int(sprig_exchange_detach(app.waiting, &mine, &unread), 0, "a socket can be taken");
    ok(span_eq(unread, SPAN_LIT("early bytes")), "with the bytes that came early");
    is_int(app.last_end, SPRIG_END_DETACHED, "the exchange is over");
    say(fd, "ping");
    char buf[8] = "";
    is_int(recv(mine, buf, 4, 0), 4, "the app reads from it");
    say(mine, "pong");
    ok(strcmp(hear(fd, "pong"), "pong") == 0, "and writes to it");
    close(mine);
    close(fd);
    close_server("detach");
}

static void release_hold(struct sprig_timer *t, void *arg)
{
    (void)t, (void)arg;
    is_int(app.n_requests, 1, "a request that comes meanwhile is held");
    app.hold_next = true;
}

static void requests_are_held_while_an_app_runs(void)
{
    open_server(NULL, NULL);
    int one = dial(), two = dial();
    say(one, GET("/hold"));
    say(two, "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc" GET("/y"));
    app.hold_next = false;
    struct sprig_timer *timer = sprig_timer_new(loop, 0.05, 0, release_hold, NULL);
    ok(strstr(hear(one, "held"), "held") != NULL, "the blocking request is answered");
    is_int(count(hear_times(two, "hello", 2), "hello"), 2, "the held ones come after it");
    is_int(app.n_requests, 3, "each ran once");
    sprig_timer_free(timer);
    close(one);
    close(two);
    close_server("hold");
}

static void deadlines_pass(void)
{
    open_server("header_timeout", "0.1");
    int fd = dial(), silent = dial();
    say(fd, "GET / HT");
    ok(strstr(hear(fd, NULL), " 408 ") != NULL, "an unfinished head is a 408");
    ok(hear(silent, NULL)[0] == '\0', "a connection that says nothing is closed silently");
    close(fd);
    close(silent);
    close_server("header_timeout");
    open_server("keepalive_timeout", "0.1");
    fd = dial();
    say(fd, GET("/"));
    const char *got = hear(fd, NULL);
    ok(strstr(got, "hello") != NULL && count(got, "HTTP/1.1") == 1, "keepalive_timeout is silent");
    close(fd);
    close_server("keepalive_timeout");
}

static void draining_finishes_what_runs(void)
{
    open_server(NULL, NULL);
    int idle = dial(), busy = dial();
    say(idle, GET("/"));
    hear(idle, "hello");
    say(busy, GET("/later"));
    PASS_UNTIL(app.waiting);
    sprig_server_leave(server);
    ok(hear(idle, NULL)[0] == '\0', "idle connections are closed at once");
    is_int(dial(), -1, "nobody new is let in");
    is_int(app.n_left, 0, "the server waits for the busy one");
    reply(app.waiting, "bye");
    ok(strstr(hear(busy, NULL), "Connection: close\r\n") != NULL, "its answer is the last one");
    PASS_UNTIL(app.n_left);
    is_int(app.n_left, 1, "then it is drained");
    close(idle);
    close(busy);
    close_server("drain");
}

static void a_forked_child_leaves_the_parent_alone(void)
{
    open_server(NULL, NULL);
    int fd = dial();
    say(fd, GET("/stream"));
    PASS_UNTIL(app.waiting);
    pid_t pid = fork();
    if (pid == 0) {
        sprig_loop_pass(loop, false);
        int rc = sprig_response_write(app.waiting, SPAN_LIT("from the child"));
        _exit(rc == SPRIG_E_CLOSED ? 0 : 1);
    }
    int status = -1;
    waitpid(pid, &status, 0);
    is_int(status, 0, "in the child the exchange is closed");
    sprig_response_write(app.waiting, SPAN_LIT("second"));
    sprig_response_end(app.waiting);
    const char *got = hear(fd, "0\r\n\r\n");
    ok(strstr(got, "second") && !strstr(got, "child"), "the parent's response is untouched");
    say(fd, GET("/"));
    ok(strstr(hear(fd, "hello"), "hello") != NULL, "and so is its connection");
    close(fd);
    close_server("fork");
}

static void freeing_a_server_ends_its_exchanges(void)
{
    open_server(NULL, NULL);
    int fd = dial();
    say(fd, GET("/later"));
    PASS_UNTIL(app.waiting);
    sprig_server_free(server);
    is_int(app.last_end, SPRIG_END_GONE,
           "an open exchange is told that the client is out of reach");
    char byte;
    is_int(recv(fd, &byte, 1, 0), 0, "its client sees the end");
    close(fd);
}

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    signal(SIGPIPE, SIG_DFL);
    loop = sprig_loop_new();
    sprig_log_set_sink(sink, SPRIG_LOG_WARN, NULL);
    requests_are_answered();
    many_pipelined_requests_are_all_answered();
    bodies_arrive();
    errors_are_refused_and_linger();
    responses_may_come_later();
    a_client_that_leaves_is_noticed();
    a_half_closed_client_gets_all();
    slow_readers_push_back();
    aborted_responses_do_not_look_whole();
    a_detached_socket_is_the_apps();
    requests_are_held_while_an_app_runs();
    deadlines_pass();
    draining_finishes_what_runs();
    a_forked_child_leaves_the_parent_alone();
    freeing_a_server_ends_its_exchanges();
    sprig_loop_free(loop);
    return done_testing();
}
