/* invariant_test.c - a mistake of ours ends one connection, not the process; see invariant.h */
#include "base/invariant.h"
#include "h1/h1.h"
#include "tap.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static struct sprig_loop *loop;
static struct sprig_server *server;
static int port, n_ends;
static enum sprig_end last_end;
static char logged[2000];

/* Answers at once, or never. */
static void on_request(struct sprig_exchange *ex, void *arg)
{
    (void)arg;
    char why[200];
    struct sprig_head head = {200, NULL, 0, 2};
    if (!span_eq(sprig_exchange_request(ex)->path, SPAN_LIT("/quick")))
        return;
    sprig_response_head(ex, &head, why, sizeof why);
    sprig_response_write(ex, SPAN_LIT("ok"));
    sprig_response_end(ex);
}

static void on_end(struct sprig_exchange *ex, enum sprig_end why, void *arg)
{
    (void)ex, (void)arg;
    n_ends++;
    last_end = why;
}

static void on_gone(struct sprig_exchange *ex, void *arg)
{
    (void)ex, (void)arg;
}

static void sink(enum sprig_log_level level, const char *message, void *arg)
{
    (void)level, (void)arg;
    snprintf(logged + strlen(logged), sizeof logged - strlen(logged), "%s\n", message);
}

static int ask(const char *text)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&in, sizeof in) == -1 ||
        send(fd, text, strlen(text), MSG_NOSIGNAL) == -1)
        diag("the request was not sent");
    return fd;
}

static void leave(int fd)
{
    struct linger hard = {1, 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    close(fd);
}

static void pass_some(void)
{
    for (int i = 0; i < 200; i++) {
        sprig_loop_pass(loop, false);
        usleep(500);
    }
}

static void start(void)
{
    static const struct sprig_handler handler = {
        .on_request = on_request, .on_end = on_end, .on_gone = on_gone};
    char why[300];
    struct sprig_config config;
    sprig_config_init(&config);
    loop = sprig_loop_new();
    server = sprig_server_new(loop, &config, &handler, NULL);
    sprig_config_clear(&config);
    struct sprig_listen_spec spec;
    struct sprig_listener *l = NULL;
    sprig_listen_spec_read(&spec, "127.0.0.1:0", why, sizeof why);
    sprig_server_listen(server, &spec, &l, 1, why, sizeof why);
    port = atoi(sprig_listener_address(l)->port);
    sprig_log_set_sink(sink, SPRIG_LOG_WARN, NULL);
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"

static void one_connection_is_given_up(void)
{
    char byte[100];
    int fd = ask(GET("/never")), other = ask(GET("/never"));
    pass_some();
    struct sprig_conn *c = list_entry(list_first(&server->conns), struct sprig_conn, link);
    h1_set_phase(c, H1_HEAD); /* a request is being answered */
    is_int(h1_of(c)->phase, H1_APP, "a move that cannot be is not made");
    is_str(logged, "", "nor is anybody told in the middle of it");
    pass_some();
    ok(strstr(logged, "internal error at ") != NULL, "the log has it");
    is_int(n_ends, 1, "the app hears that its request is over");
    is_int(last_end, SPRIG_END_GONE, "as if the client had left");
    ok(recv(fd, byte, sizeof byte, MSG_DONTWAIT) == -1 && errno == ECONNRESET,
       "the connection is reset");
    ok(recv(other, byte, sizeof byte, MSG_DONTWAIT) == -1 && errno == EAGAIN, "the others are not");
    int third = ask(GET("/quick"));
    pass_some();
    ok(recv(third, byte, sizeof byte, MSG_DONTWAIT) > 0, "and the server goes on");
    leave(fd);
    leave(other);
    leave(third);
    pass_some();
}

static void a_mistake_of_pins(void)
{
    int fd = ask(GET("/never"));
    pass_some();
    struct sprig_conn *c = list_entry(list_first(&server->conns), struct sprig_conn, link);
    logged[0] = '\0';
    conn_unpin(c);
    is_int(c->pins, 0, "more is not unpinned than was pinned");
    leave(fd);
    pass_some();
    ok(strstr(logged, "c->pins > 0") != NULL, "the log says what was not so");
    ok(list_empty(&server->conns), "and the connection goes as others do");
    logged[0] = '\0';
    log_undefer();
    pass_some();
    ok(strstr(logged, "kept.depth > 0") != NULL, "messages that nobody has deferred");
}

static void developers_see_a_core(void)
{
    int status = 0;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        signal(SIGABRT, SIG_DFL);
        if (freopen("/dev/null", "w", stderr) == NULL)
            _exit(1);
        invariant_set_fatal(true);
        log_undefer();
        _exit(0);
    }
    ok(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT,
       "a development build aborts");
}

int main(void)
{
    invariant_set_fatal(false);
    start();
    one_connection_is_given_up();
    a_mistake_of_pins();
    sprig_server_free(server);
    sprig_loop_pass(loop, false);
    sprig_loop_free(loop);
    developers_see_a_core();
    return done_testing();
}
