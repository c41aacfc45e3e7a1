/* cloexec_test.c - descriptors and their flags where the system cannot set them at once. */
#undef SPRIG_HAS_ACCEPT4
#include "base/cloexec.h"

#include "tap.h"
#include <netinet/in.h>
#include <string.h>

static bool is_closed_by_exec(int fd)
{
    return fcntl(fd, F_GETFD) == FD_CLOEXEC;
}

static bool is_blocking(int fd)
{
    return !(fcntl(fd, F_GETFL) & O_NONBLOCK);
}

static void sockets(void)
{
    int fd = cloexec_socket(AF_INET, SOCK_STREAM, false);
    ok(is_closed_by_exec(fd) && !is_blocking(fd), "a socket that does not block");
    close(fd);
    fd = cloexec_socket(AF_UNIX, SOCK_DGRAM, true);
    ok(is_closed_by_exec(fd) && is_blocking(fd), "one that does");
    close(fd);
    errno = 0;
    ok(cloexec_socket(-1, SOCK_STREAM, true) == -1 && errno != 0, "one that cannot be had");
}

static void pairs_and_pipes(void)
{
    int ends[2];
    ok(cloexec_pair(SOCK_STREAM, ends) == 0, "a pair");
    ok(is_closed_by_exec(ends[0]) && is_closed_by_exec(ends[1]), "both ends of it");
    ok(is_blocking(ends[0]) && is_blocking(ends[1]), "which block");
    close(ends[0]), close(ends[1]);
    ok(cloexec_pipe(ends, false) == 0, "a pipe");
    ok(is_closed_by_exec(ends[0]) && is_closed_by_exec(ends[1]), "both ends of it");
    ok(!is_blocking(ends[0]) && !is_blocking(ends[1]), "which do not block");
    close(ends[0]), close(ends[1]);
}

static void connections(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t n = sizeof at;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int listener = cloexec_socket(AF_INET, SOCK_STREAM, false);
    int client = cloexec_socket(AF_INET, SOCK_STREAM, true);
    bool is_open = bind(listener, (struct sockaddr *)&at, n) == 0 && listen(listener, 1) == 0 &&
                   getsockname(listener, (struct sockaddr *)&at, &n) == 0;
    ok(is_open && cloexec_accept(listener, NULL, NULL) == -1 && errno == EAGAIN, "nobody connects");
    is_open = is_open && connect(client, (struct sockaddr *)&at, n) == 0;
    int server = cloexec_accept(listener, (struct sockaddr *)&at, &n);
    ok(is_open && server != -1, "somebody does");
    ok(is_closed_by_exec(server) && !is_blocking(server), "the connection has both flags");
    close(server), close(client), close(listener);
}

int main(void)
{
    sockets();
    pairs_and_pipes();
    connections();
    return done_testing();
}
