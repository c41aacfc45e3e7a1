/* Listening sockets: addresses, shared ports, unix paths, and their form as text. */
#include "net/sockets.h"
#include "scratch.h"
#include "sprig.h"
#include "tap.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/un.h>
#include <sys/wait.h>

/* In place of the system's: names of the test, and numeric addresses. */
static const struct {
    const char *name, *addresses[6];
} names[] = {{"several.test", {"192.0.2.1", "127.0.0.1", "::1", "127.0.0.1", "127.0.0.2"}},
             {"elsewhere.test", {"192.0.2.1"}},
             {"localhost", {"127.0.0.1"}}};

static struct addrinfo *new_address(const char *host, const char *port)
{
    struct addrinfo *ai = calloc(1, sizeof *ai + sizeof(struct sockaddr_in6));
    struct sockaddr_in *in = (struct sockaddr_in *)(void *)(ai + 1);
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)(void *)(ai + 1);
    bool is_v6 = strchr(host, ':') != NULL;
    ai->ai_addr = (struct sockaddr *)(void *)(ai + 1);
    ai->ai_addrlen = is_v6 ? sizeof *in6 : sizeof *in;
    ai->ai_addr->sa_family = is_v6 ? AF_INET6 : AF_INET;
    if (inet_pton(ai->ai_addr->sa_family, host,
                  is_v6 ? (void *)&in6->sin6_addr : (void *)&in->sin_addr) != 1)
        abort();
    *(is_v6 ? &in6->sin6_port : &in->sin_port) = htons((uint16_t)atoi(port));
    return ai;
}

int getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                struct addrinfo **out)
{
    (void)hints;
    const char *const single[] = {host != NULL ? host : "0.0.0.0", NULL};
    const char *const *addresses = single;
    for (size_t i = 0; host != NULL && i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i].name, host) == 0)
            addresses = names[i].addresses;
    *out = NULL;
    for (struct addrinfo **end = out; *addresses != NULL; end = &(*end)->ai_next)
        *end = new_address(*addresses++, port);
    return 0;
}

void freeaddrinfo(struct addrinfo *ai)
{
    while (ai != NULL) {
        struct addrinfo *next = ai->ai_next;
        free(ai);
        ai = next;
    }
}

static struct sprig_config config;
static char why[512];

/* The first socket of the address. 0 or < 0. */
static int open_spec(const char *text, bool reuseport, struct sprig_socket *s)
{
    struct sprig_listen_spec spec;
    why[0] = '\0';
    int rc = sprig_listen_spec_read(&spec, text, why, sizeof why);
    if (rc == 0)
        rc = sockets_open(&config, &spec, reuseport, s, 1, why, sizeof why);
    return rc < 0 ? rc : 0;
}

static bool has_flags(int fd)
{
    return (fcntl(fd, F_GETFL) & O_NONBLOCK) && (fcntl(fd, F_GETFD) & FD_CLOEXEC);
}

static int option_of(int fd, int level, int name)
{
    int value = -1;
    socklen_t len = sizeof value;
    return getsockopt(fd, level, name, &value, &len) == 0 ? value : -1;
}

static bool can_connect(const char *path)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(un.sun_path, sizeof un.sun_path, "%s", path);
    bool connected = connect(fd, (struct sockaddr *)&un, sizeof un) == 0;
    close(fd);
    return connected;
}

static void test_tcp(void)
{
    struct sprig_socket s, other;
    struct sprig_address a;
    char spec[128], expected[200];
    if (!is_int(open_spec("127.0.0.1:0", false, &s), 0, "a port of the kernel's choice"))
        return;
    ok(socket_address(s.fd, &a) == 0 && atoi(a.port) > 0, "has a number");
    is_str(a.host, "127.0.0.1", "on the host");
    ok(!a.is_unix && !s.made_path && !s.options.proxy_protocol, "it is a plain TCP socket");
    ok(has_flags(s.fd), "non-blocking, close-on-exec");
    ok(option_of(s.fd, IPPROTO_TCP, TCP_NODELAY) == 1, "no_delay is set");
    ok(option_of(s.fd, SOL_SOCKET, SO_REUSEPORT) == 0, "the port is not shared");
    snprintf(spec, sizeof spec, "127.0.0.1:%s", a.port);
    is_int(open_spec(spec, false, &other), SPRIG_E_SYS, "the same port again is refused");
    snprintf(expected, sizeof expected, "cannot listen on %s: Address already in use", spec);
    is_str(why, expected, "with address and reason");
    socket_close(&s);
    is_int(s.fd, -1, "a closed socket has no descriptor");
    socket_close(&s);
    ok(true, "and may be closed again");
}

static void test_forms(void)
{
    static const struct {
        const char *spec, *host;
    } forms[] = {{":0", "0.0.0.0"}, {"*:0", "0.0.0.0"}, {"[::1]:0", "::1"}, {"localhost:0", NULL}};
    struct sprig_socket s;
    struct sprig_address a;
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        if (open_spec(forms[i].spec, false, &s) != 0 && strchr(forms[i].spec, '[')) {
            diag("no IPv6 here: %s", why);
            continue;
        }
        ok(socket_address(s.fd, &a) == 0, "%s can be listened on", forms[i].spec);
        if (forms[i].host != NULL)
            is_str(a.host, forms[i].host, "%s is that address", forms[i].spec);
        socket_close(&s);
    }
    is_int(open_spec("127.0.0.1:65535", false, &s), 0, "the last port");
    socket_close(&s);
}

static const char forms_text[] =
    "an address is PORT, *:PORT, HOST:PORT, [IPV6]:PORT, unix:PATH, a path with a slash or @NAME, "
    "and \",tls\", \",redirect\", \",h2c\" or \",proxy_protocol\" may follow";

/* What is read comes out in one form; what is not understood is told. */
static void test_reading(void)
{
    static const struct {
        const char *text, *plain; /* NULL: as it was */
    } good[] = {{"8080", ":8080"},
                {":8080", NULL},
                {"*:8080", NULL},
                {"0", ":0"},
                {"localhost:5000", NULL},
                {"127.0.0.1:65535", NULL},
                {"[::1]:80", NULL},
                {"a-b.example:80,proxy_protocol", NULL},
                {"/run/app.sock", "unix:/run/app.sock"},
                {"unix:/run/app.sock", NULL},
                {"unix:/run/app.sock,proxy_protocol", NULL},
                {"/run/a,b.sock", "unix:/run/a,b.sock"},
                {"/run/app:80", "unix:/run/app:80"},
                {"unix:/a://b", NULL},
                {"@name", "unix:@name"},
                {"unix:@name", NULL},
                {"@a/b", "unix:@a/b"},
                {"@name,proxy_protocol", "unix:@name,proxy_protocol"}};
    static const struct {
        const char *text, *reason;
        bool has_forms;
    } bad[] = {
        {"", "the address is empty", false},
        {",proxy_protocol", "the address is empty", false},
        {"127.0.0.1:65536", "the port must be 0..65535", false},
        {"100000", "the port must be 0..65535", false},
        {"app.sock", "that is not a port, and a path needs a slash", true},
        {"127.0.0.1", "that is not a port, and a path needs a slash", true},
        {"127.0.0.1:", "there is no port", true},
        {"127.0.0.1:http", "there is no port", true},
        {"127.0.0.1:8080:ssl", "that is not a host and a port", true},
        {"http://127.0.0.1:80", "that is a URL", true},
        {"tcp://127.0.0.1:80", "that is a URL", true},
        {"http://127.0.0.1:80/", "that is a URL", true},
        {"::1:80", "that is not a host and a port", true},
        {"[::1:80", "that is not a host and a port", true},
        {"127.0.0.1:80,proxy-protocol", "'proxy-protocol' is not an option of an address", true},
        {"/run/a,ssl", "'ssl' is not an option of an address", true},
        {"@", "there is no name", true},
        {"unix:", "there is no path", true}};
    struct sprig_listen_spec spec;
    char text[SPRIG_LISTEN_TEXT_BYTES], expected[400];
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        is_int(sprig_listen_spec_read(&spec, good[i].text, why, sizeof why), 0, "'%s' is read",
               good[i].text);
        is_str(sprig_listen_spec_print(&spec, text, sizeof text),
               good[i].plain ? good[i].plain : good[i].text, "in its plain form");
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        is_int(sprig_listen_spec_read(&spec, bad[i].text, why, sizeof why), SPRIG_E_INVALID,
               "'%s' is refused", bad[i].text);
        snprintf(expected, sizeof expected, "cannot listen on %s: %s%s%s", bad[i].text,
                 bad[i].reason, bad[i].has_forms ? "; " : "", bad[i].has_forms ? forms_text : "");
        is_str(why, expected, "with the reason");
    }
}

static void test_lengths(void)
{
    struct sprig_listen_spec spec;
    char path[110], name[110];
    memset(path, 'p', sizeof path);
    memset(name, 'n', sizeof name);
    path[0] = '/', path[107] = '\0';
    is_int(sprig_listen_spec_read(&spec, path, why, sizeof why), 0, "a path of 107 bytes");
    path[107] = 'p', path[108] = '\0';
    is_int(sprig_listen_spec_read(&spec, path, why, sizeof why), SPRIG_E_INVALID, "one of 108");
    ok(strstr(why, ": the path is too long for a unix socket"), "is too long");
    name[0] = '@', name[107] = '\0';
    is_int(sprig_listen_spec_read(&spec, name, why, sizeof why), 0, "a name of 106 bytes");
    name[107] = 'n', name[108] = '\0';
    is_int(sprig_listen_spec_read(&spec, name, why, sizeof why), SPRIG_E_INVALID, "one of 107");
}

/* All addresses of a name, with one port. */
static void test_many(void)
{
    struct sprig_socket s[SPRIG_LISTEN_MAX_ADDRESSES], probe;
    struct sprig_address first, a;
    struct sprig_listen_spec spec;
    bool has_v4 = false, has_v6 = false, can_v6 = open_spec("[::1]:0", false, &probe) == 0;
    if (can_v6)
        socket_close(&probe);
    sprig_listen_spec_read(&spec, "several.test:0", why, sizeof why);
    int n = sockets_open(&config, &spec, false, s, SPRIG_LISTEN_MAX_ADDRESSES, why, sizeof why);
    if (!is_int(n, can_v6 ? 3 : 2, "a socket for each address that is ours, none twice"))
        return;
    socket_address(s[0].fd, &first);
    for (int i = 0; i < n; i++) {
        socket_address(s[i].fd, &a);
        is_str(a.port, first.port, "%s has that port", a.host);
        has_v4 = has_v4 || strcmp(a.host, "127.0.0.2") == 0;
        has_v6 = has_v6 || strcmp(a.host, "::1") == 0;
    }
    ok(has_v4 && has_v6 == can_v6, "both families are there");
    snprintf(spec.port, sizeof spec.port, "%.5s", first.port);
    socket_close(&s[0]);
    is_int(sockets_open(&config, &spec, false, &probe, 1, why, sizeof why), 1,
           "not more than asked for");
    is_int(sockets_open(&config, &spec, false, &s[0], 1, why, sizeof why), SPRIG_E_SYS,
           "where one of them is taken");
    ok(strstr(why, "cannot listen on several.test:") && strstr(why, "in use"), "there is none");
    socket_close(&probe);
    for (int i = 1; i < n; i++)
        socket_close(&s[i]);
    sprig_listen_spec_read(&spec, "elsewhere.test:0", why, sizeof why);
    is_int(sockets_open(&config, &spec, false, s, 4, why, sizeof why), SPRIG_E_SYS,
           "a name without an address that is ours");
    is_str(why, "cannot listen on elsewhere.test:0: Cannot assign requested address", "is told");
}

static void test_abstract(void)
{
    struct sprig_socket s, other;
    struct sprig_address a;
    char spec[80], name[64];
    snprintf(name, sizeof name, "@sprig-test-%ld", (long)getpid());
    snprintf(spec, sizeof spec, "unix:%s", name);
    if (!is_int(open_spec(name, false, &s), 0, "an abstract socket"))
        return;
    ok(socket_address(s.fd, &a) == 0 && a.is_unix && !s.made_path, "has no path");
    is_str(a.port, name, "but a name");
    is_int(open_spec(spec, false, &other), SPRIG_E_SYS, "the same name is taken");
    socket_unlink(&s);
    socket_close(&s);
    is_int(open_spec(spec, false, &other), 0, "and free when it is closed");
    socket_close(&other);
}

/* Opens the path as soon as `start` is closed, says by one byte whether it has got it, and keeps it
 * until `end` is closed. */
static int open_at_once(const char *path, int start, int said, int end)
{
    struct sprig_socket s;
    char byte;
    if (read(start, &byte, 1) == -1)
        return 1;
    byte = open_spec(path, false, &s) == 0 ? '+' : '-';
    return write(said, &byte, 1) == 1 && read(end, &byte, 1) == 0 ? 0 : 1;
}

/* Of servers that start at once, over a stale socket, one has the path. */
static void test_race(void)
{
    const char *path = scratch_path("race");
    struct sprig_socket s;
    int n_wrong = 0;
    for (int round = 0; round < 40; round++) {
        int start[2], said[2], end[2], n_open = 0;
        char bytes[4];
        if (open_spec(path, false, &s) != 0 || pipe(start) != 0 || pipe(said) != 0 ||
            pipe(end) != 0)
            abort();
        socket_close(&s); /* stale from now on */
        for (int i = 0; i < 4; i++)
            if (fork() == 0) {
                close(start[1]);
                close(end[1]);
                _exit(open_at_once(path, start[0], said[1], end[0]));
            }
        close(start[1]);
        for (int i = 0; i < 4; i++)
            n_open += read(said[0], &bytes[i], 1) == 1 && bytes[i] == '+';
        close(end[1]);
        while (wait(NULL) > 0)
            ;
        close(start[0]);
        close(said[0]);
        close(said[1]);
        close(end[0]);
        n_wrong += n_open != 1;
    }
    is_int(n_wrong, 0, "of four that start at once, one has got the path");
    unlink(path);
}

static void test_reuseport(void)
{
    struct sprig_socket first, second, third;
    struct sprig_address a;
    char spec[128];
    is_int(open_spec("127.0.0.1:0", true, &first), 0, "reuseport: the first socket");
    socket_address(first.fd, &a);
    snprintf(spec, sizeof spec, "127.0.0.1:%s", a.port);
    bool shared = is_int(open_spec(spec, true, &second), 0, "a second one on the same port");
    is_int(open_spec(spec, false, &third), SPRIG_E_SYS, "but none that does not share");
    socket_close(&first);
    if (shared)
        socket_close(&second);
}

static void test_suffix(void)
{
    struct sprig_socket s;
    char spec[320];
    is_int(open_spec("127.0.0.1:0,proxy_protocol", false, &s), SPRIG_E_INVALID,
           "an address with the suffix needs trusted_proxies");
    ok(strstr(why, "proxy_protocol needs trusted_proxies") != NULL, "... and that is said: %s",
       why);
    sprig_config_set(&config, "trusted_proxies", "127.0.0.1", why, sizeof why);
    is_int(open_spec("127.0.0.1:0,proxy_protocol", false, &s), 0, "an address with the suffix");
    ok(s.options.proxy_protocol, "wants PROXY headers");
    socket_close(&s);
    snprintf(spec, sizeof spec, "%s,proxy_protocol", scratch_path("proxied"));
    ok(open_spec(spec, false, &s) == 0 && s.options.proxy_protocol, "so does a path with it");
    ok(exists(scratch_path("proxied")), "which is not part of the path");
    socket_unlink(&s);
    socket_close(&s);
    sprig_config_set(&config, "trusted_proxies", "", why, sizeof why);
}

static void test_unix(void)
{
    const char *path = scratch_path("unix");
    struct sprig_socket s, other;
    struct sprig_address a;
    if (!is_int(open_spec(path, true, &s), 0, "a unix socket, reuseport or not"))
        return;
    ok(socket_address(s.fd, &a) == 0 && a.is_unix, "is one");
    is_str(a.host, "unix/", "its host");
    is_str(a.port, path, "its path");
    ok(s.made_path && has_flags(s.fd), "the path is ours, the flags are set");
    is_int(open_spec(path, false, &other), SPRIG_E_SYS, "a living one is not replaced");
    ok(strstr(why, path) && strstr(why, "in use"), "the message names path and reason");
    ok(can_connect(path), "it goes on");
    socket_close(&s);
    ok(exists(path), "a close leaves the path");
    ok(!can_connect(path), "stale");
    is_int(open_spec(path, false, &s), 0, "a stale one is replaced");
    socket_unlink(&s);
    ok(!exists(path), "socket_unlink removes it");
    socket_close(&s);
}

static void test_foreign_paths(void)
{
    const char *path = scratch_path("foreign");
    struct sprig_socket s, other;
    scratch_write(path, "mine\n");
    is_int(open_spec(path, false, &s), SPRIG_E_SYS, "a plain file is no place for a socket");
    is_str(scratch_read(path), "mine\n", "and stays");
    unlink(path);
    if (open_spec(path, false, &s) != 0)
        return;
    unlink(path);
    is_int(open_spec(path, false, &other), 0, "somebody else takes the path");
    socket_unlink(&s);
    ok(exists(path) && can_connect(path), "whose socket is not removed by the one before");
    other.made_path = false;
    socket_unlink(&other);
    ok(exists(path), "nor one by a process that has not made it");
    other.made_path = true;
    socket_unlink(&other);
    ok(!exists(path), "only by its owner");
    socket_close(&s);
    socket_close(&other);
}

static void test_mode(void)
{
    const char *path = scratch_path("mode");
    struct sprig_socket s;
    struct stat st = {.st_mode = 0};
    char text[8];
    sprig_config_set(&config, "socket_mode", "0600", why, sizeof why);
    is_int(open_spec(path, false, &s), 0, "socket_mode");
    lstat(path, &st);
    snprintf(text, sizeof text, "%03o", (unsigned)st.st_mode & 0777);
    is_str(text, "600", "is the mode from the start");
    sprig_config_set(&config, "socket_mode", "", why, sizeof why);
    socket_unlink(&s);
    socket_close(&s);
}

/* Without the rights of root, from which the options may ask more. */
static int open_as_nobody(void *path)
{
    struct sprig_socket s;
    if (setgid(65534) != 0 || setuid(65534) != 0)
        return 100;
    int rc = open_spec(path, false, &s);
    return strstr(why, "its owner") != NULL ? -rc : 101;
}

static void test_owner(void)
{
    const char *path = scratch_path("owner");
    struct sprig_socket s;
    struct stat st = {.st_uid = 0};
    if (geteuid() != 0) {
        diag("not root: sockets cannot be given away");
        return;
    }
    if (chmod(scratch_dir, 0777) != 0)
        abort();
    sprig_config_set(&config, "socket_user", "4711", why, sizeof why);
    sprig_config_set(&config, "socket_group", "4712", why, sizeof why);
    is_int(open_spec(path, false, &s), 0, "socket_user and socket_group");
    lstat(path, &st);
    ok(st.st_uid == 4711 && st.st_gid == 4712, "are those of the socket");
    socket_unlink(&s);
    socket_close(&s);
    is_int(in_child(open_as_nobody, (void *)path), -SPRIG_E_SYS,
           "who may not give it away does not listen");
    ok(!exists(path), "and leaves no socket");
    sprig_config_set(&config, "socket_user", "", why, sizeof why);
    sprig_config_set(&config, "socket_group", "", why, sizeof why);
}

/* A socket as another program would hand it over. */
static int plain_socket(bool listens)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd == -1 || bind(fd, (struct sockaddr *)&in, sizeof in) != 0 ||
        (listens && listen(fd, 5) != 0))
        abort();
    return fd;
}

static void test_adopt(void)
{
    struct sprig_socket s;
    int fd = plain_socket(true), silent = plain_socket(false), pair[2];
    is_int(socket_adopt(&config, fd, &s, why, sizeof why), 0, "a listening socket is adopted");
    ok(s.fd == fd && !s.made_path && !s.options.proxy_protocol, "as it is");
    ok(has_flags(fd) && option_of(fd, IPPROTO_TCP, TCP_NODELAY) == 1, "and gets our flags");
    is_int(socket_adopt(&config, silent, &s, why, sizeof why), SPRIG_E_SYS,
           "one that does not listen is refused");
    ok(strstr(why, "does not listen") && fcntl(silent, F_GETFD) != -1, "and stays open");
    if (pipe(pair) != 0)
        abort();
    is_int(socket_adopt(&config, pair[0], &s, why, sizeof why), SPRIG_E_SYS, "a pipe is refused");
    close(silent);
    is_int(socket_adopt(&config, silent, &s, why, sizeof why), SPRIG_E_SYS,
           "so is what is not open");
    close(fd);
    close(pair[0]);
    close(pair[1]);
}

static void test_text(void)
{
    static const char *const wrong[] = {"",
                                        "5",
                                        "5:0:0:1",
                                        "5:0:0:1:2:3",
                                        "5:16:0:1:2",
                                        "-1:0:0:1:2",
                                        "5:0:0:1:2 ",
                                        " 5:0:0:1:2",
                                        "5:0:0:1:x",
                                        "5:0:0::2",
                                        "5:0:0:1:",
                                        "5:+1:0:1:2",
                                        "5;0;0;1;2",
                                        "99999999999:0:0:1:2",
                                        "5:0:0:1:99999999999999999999999"};
    struct sprig_socket s = {.fd = 2147483647,
                             .options = {.proxy_protocol = true},
                             .made_path = true,
                             .path_dev = (dev_t)-1,
                             .path_ino = (ino_t)-1},
                        back;
    char buf[96], again[96];
    socket_print(&s, buf, sizeof buf);
    ok(strpbrk(buf, " ;\t\n") == NULL && strlen(buf) < 95, "the text has no blanks: %s", buf);
    is_int(socket_read(buf, &back), 0, "and can be read");
    ok(back.fd == s.fd && back.options.proxy_protocol && back.made_path &&
           back.path_dev == s.path_dev && back.path_ino == s.path_ino,
       "as the same");
    s = (struct sprig_socket){.fd = 7};
    is_int(socket_read(socket_print(&s, buf, sizeof buf), &back), 0, "a plain one, too");
    is_str(socket_print(&back, again, sizeof again), buf, "there and back");
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        is_int(socket_read(wrong[i], &back), SPRIG_E_INVALID, "'%s' is refused", wrong[i]);
}

int main(void)
{
    sprig_config_init(&config);
    test_tcp();
    test_forms();
    test_reading();
    test_lengths();
    test_many();
    test_abstract();
    test_race();
    test_reuseport();
    test_suffix();
    test_unix();
    test_foreign_paths();
    test_mode();
    test_owner();
    test_adopt();
    test_text();
    sprig_config_clear(&config);
    scratch_remove();
    return done_testing();
}
