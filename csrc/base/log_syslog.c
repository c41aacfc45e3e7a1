/* log_syslog.c - messages as in RFC 5424; see log_syslog.h */
#include "base/log_syslog.h"

#include "base/clock.h"
#include "base/cloexec.h"
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static const char prefix[] = "syslog:";

/* The length that every receiver should accept: section 6.1. */
enum { SHORT_BYTES = 2048 };

bool log_syslog_is_meant(const char *path)
{
    return strncmp(path, prefix, sizeof prefix - 1) == 0;
}

/* ------------------------------------------------------------------- opening ---- */

static int set_unix(struct log_syslog *s, const char *path)
{
    struct sockaddr_un *un = (struct sockaddr_un *)&s->address;
    if (*path == '\0' || strlen(path) >= sizeof un->sun_path) {
        errno = EINVAL;
        return -1;
    }
    un->sun_family = AF_UNIX;
    strcpy(un->sun_path, path);
    s->n_address = sizeof *un;
    return 0;
}

/* "HOST:PORT" */
static int set_udp(struct log_syslog *s, const char *text)
{
    char host[256];
    const char *colon = strrchr(text, ':');
    size_t len = colon != NULL ? (size_t)(colon - text) : 0;
    struct addrinfo hints = {.ai_socktype = SOCK_DGRAM}, *found = NULL;
    errno = EINVAL;
    if (len >= 2 && text[0] == '[' && text[len - 1] == ']')
        text++, len -= 2;
    if (len == 0 || len >= sizeof host || colon[1] == '\0')
        return -1;
    memcpy(host, text, len);
    host[len] = '\0';
    int rc = getaddrinfo(host, colon + 1, &hints, &found);
    if (rc != 0) {
        errno = rc == EAI_SYSTEM ? errno : EADDRNOTAVAIL;
        return -1;
    }
    memcpy(&s->address, found->ai_addr, found->ai_addrlen);
    s->n_address = found->ai_addrlen;
    freeaddrinfo(found);
    return 0;
}

static int set_address(struct log_syslog *s, const char *where)
{
    if (*where == '\0')
        return set_unix(s, "/dev/log");
    if (strncmp(where, "unix:", 5) == 0)
        return set_unix(s, where + 5);
    if (strncmp(where, "udp:", 4) == 0)
        return set_udp(s, where + 4);
    errno = EINVAL;
    return -1;
}

int log_syslog_open(struct log_syslog *s, const char *path)
{
    memset(s, 0, sizeof *s);
    s->level = SPRIG_LOG_INFO;
    if (set_address(s, path + sizeof prefix - 1) == -1)
        return -1;
    int fd = cloexec_socket(s->address.ss_family, SOCK_DGRAM, false);
    if (fd != -1 && connect(fd, (struct sockaddr *)&s->address, s->n_address) == -1) {
        int saved = errno;
        close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

/* ------------------------------------------------------------------- writing ---- */

/* RFC 5424 section 6.2.1: facility 3 (daemon), and severity error, warning, informational or debug.
 */
static int priority(enum sprig_log_level level)
{
    static const int severities[] = {
        [SPRIG_LOG_DEBUG] = 7, [SPRIG_LOG_INFO] = 6, [SPRIG_LOG_WARN] = 4, [SPRIG_LOG_ERROR] = 3};
    return 3 * 8 + severities[level];
}

static size_t print_head(const struct log_syslog *s, char *buf, size_t n)
{
    static char host[256];
    char date[CLOCK_TEXT_BYTES];
    if (host[0] == '\0' && (gethostname(host, sizeof host - 1) == -1 || host[0] == '\0'))
        strcpy(host, "-");
    clock_print(clock_real_ns(), date);
    return (size_t)snprintf(buf, n, "<%d>1 %s %s sprig %ld - - ", priority(s->level), date, host,
                            (long)getpid());
}

static bool send_once(int fd, struct iovec *parts)
{
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    ssize_t rc;
    do
        rc = sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (rc == -1 && errno == EINTR);
    return rc != -1;
}

/* Sends one line. If the socket fails, connects again, once. */
static bool send_line(const struct log_syslog *s, int fd, const char *line, size_t n)
{
    char head[512];
    struct iovec parts[2] = {{.iov_base = head, .iov_len = print_head(s, head, sizeof head)},
                             {.iov_base = (char *)(uintptr_t)line, .iov_len = n}};
    if (send_once(fd, parts))
        return true;
    if (errno == EMSGSIZE && n > SHORT_BYTES - sizeof head) {
        parts[1].iov_len = SHORT_BYTES - sizeof head;
        return send_once(fd, parts);
    }
    if (errno != EAGAIN && errno != ENOBUFS &&
        connect(fd, (const struct sockaddr *)&s->address, s->n_address) == 0 &&
        send_once(fd, parts))
        return true;
    errno = EAGAIN;
    return false;
}

size_t log_syslog_write(const struct log_syslog *s, int fd, const char *lines, size_t n)
{
    size_t done = 0;
    while (done < n) {
        const char *line = lines + done, *end = memchr(line, '\n', n - done);
        size_t len = end != NULL ? (size_t)(end - line) : n - done;
        if (len > 0 && !send_line(s, fd, line, len))
            return done;
        done += len + (end != NULL);
    }
    return done;
}
