/* Sockets of Server::Starter and systemd: which descriptors are named, and what is refused. */
#include "base/err.h"
#include "net/inherited.h"
#include "scratch.h"
#include "tap.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>

static int fds[4];
static char why[256];

static int ask(void)
{
    memset(fds, -1, sizeof fds);
    why[0] = '\0';
    return sprig_inherited_sockets(fds, 4, why, sizeof why);
}

static void listen_at(int at)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd == -1 || bind(fd, (struct sockaddr *)&in, sizeof in) != 0 || listen(fd, 5) != 0)
        abort();
    if (fd == at)
        return;
    if (dup2(fd, at) == -1)
        abort();
    close(fd);
}

static void set_systemd(const char *n, long pid)
{
    char text[24];
    snprintf(text, sizeof text, "%ld", pid);
    setenv("LISTEN_FDS", n, 1);
    setenv("LISTEN_PID", text, 1);
    setenv("LISTEN_FDNAMES", "http:https", 1);
}

static bool has_systemd(void)
{
    return getenv("LISTEN_FDS") || getenv("LISTEN_PID") || getenv("LISTEN_FDNAMES");
}

static void test_none(void)
{
    unsetenv("SERVER_STARTER_PORT");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_PID");
    is_int(ask(), 0, "nothing is inherited");
    setenv("SERVER_STARTER_PORT", "", 1);
    is_int(ask(), 0, "nor with an empty variable");
}

static void test_server_starter(void)
{
    static const struct {
        const char *list, *part;
    } wrong[] = {{"80", "80"},
                 {"80=", "80="},
                 {"80=x", "80=x"},
                 {"80=-1", "80=-1"},
                 {"80=20;;90=21", ""},
                 {"80=20;b", "b"},
                 {"80=99999999999", "80=99999999999"}};
    char expected[128];
    setenv("SERVER_STARTER_PORT", "127.0.0.1:80=20;/run/a=b.sock=21", 1);
    is_int(ask(), 2, "Server::Starter: two sockets");
    ok(fds[0] == 20 && fds[1] == 21, "in their order");
    setenv("SERVER_STARTER_PORT", "80=20;", 1);
    is_int(ask(), 1, "a ';' may stand at the end");
    set_systemd("1", (long)getpid());
    ok(ask() == 1 && fds[0] == 20, "it goes before systemd");
    ok(!has_systemd(), "whose variables are taken away all the same");
    ok(getenv("SERVER_STARTER_PORT") != NULL, "its own stays");
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        setenv("SERVER_STARTER_PORT", wrong[i].list, 1);
        is_int(ask(), SPRIG_E_INVALID, "'%s' is refused", wrong[i].list);
        snprintf(expected, sizeof expected,
                 "SERVER_STARTER_PORT has a part without descriptor: '%s'", wrong[i].part);
        is_str(why, expected, "with its part");
    }
}

static void test_not_listening(void)
{
    int pair[2], null = open("/dev/null", O_RDONLY);
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0 || dup2(pair[0], 22) == -1 ||
        dup2(null, 23) == -1)
        abort();
    setenv("SERVER_STARTER_PORT", "80=20;81=22", 1);
    is_int(ask(), SPRIG_E_INVALID, "a connected socket is refused");
    is_str(why, "the inherited descriptor 22 does not listen", "by its number");
    setenv("SERVER_STARTER_PORT", "80=23", 1);
    is_int(ask(), SPRIG_E_INVALID, "so is a file");
    is_bytes(why, strcspn(why, ":"), "the inherited descriptor 23 is not a socket",
             "by its number");
    setenv("SERVER_STARTER_PORT", "80=24", 1);
    is_int(ask(), SPRIG_E_INVALID, "and what is not open");
    setenv("SERVER_STARTER_PORT", "1=20;2=20;3=20;4=20;5=20", 1);
    is_int(ask(), SPRIG_E_INVALID, "more than there is room for are refused");
    is_str(why, "there are more than 4 inherited sockets", "with the number");
    close(pair[0]);
    close(pair[1]);
    close(null);
    close(22);
    close(23);
    unsetenv("SERVER_STARTER_PORT");
}

/* In a child, whose descriptors from 3 on may be anything. */
static int systemd_child(void *arg)
{
    (void)arg;
    listen_at(3);
    listen_at(4);
    set_systemd("2", (long)getpid());
    if (ask() != 2 || fds[0] != 3 || fds[1] != 4)
        return 1;
    if (has_systemd())
        return 2;
    return ask() == 0 ? 0 : 3;
}

static void test_systemd(void)
{
    is_int(in_child(systemd_child, NULL), 0, "systemd: descriptors from 3 on, told once");
    set_systemd("2", (long)getppid());
    is_int(ask(), 0, "what is meant for another process is not ours");
    ok(!has_systemd(), "and taken away");
    set_systemd("many", (long)getpid());
    is_int(ask(), SPRIG_E_INVALID, "a number that is none is refused");
    is_str(why, "LISTEN_FDS must be a number, got 'many'", "as it was given");
    ok(!has_systemd(), "and taken away");
    set_systemd("0", (long)getpid());
    is_int(ask(), 0, "0 sockets are none");
}

int main(void)
{
    test_none();
    listen_at(20);
    listen_at(21);
    test_server_starter();
    test_not_listening();
    test_systemd();
    close(20);
    close(21);
    return done_testing();
}
