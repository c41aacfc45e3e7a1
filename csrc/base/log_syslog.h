/* log_syslog.h - lines as messages of syslog (RFC 5424), one datagram each, without waiting.
 *
 *   syslog:                  /dev/log
 *   syslog:unix:PATH         another datagram socket
 *   syslog:udp:HOST:PORT     a collector; HOST is looked up once, IPv6 in brackets
 *
 * "<30>1 2026-11-30T04:46:34.123Z host sprig 1234 - - LINE", facility daemon. */
#ifndef SPRIG_LOG_SYSLOG_H
#define SPRIG_LOG_SYSLOG_H

#include "base/log.h"
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

struct log_syslog {
    struct sockaddr_storage address;
    socklen_t n_address; /* 0: this is none */
    enum sprig_log_level level;
};

/* Whether the path of a log is one of these forms. */
bool log_syslog_is_meant(const char *path);

/* Opens a socket, non-blocking and close-on-exec. -1 and errno; EINVAL: it is none of the forms. */
int log_syslog_open(struct log_syslog *s, const char *path);

/* Sends the lines, each with its newline left out. Returns how many of the bytes were sent; fewer
 * than n: EAGAIN, nobody takes them now. A collector that was started anew is connected to again. A
 * line that is too long for a datagram is cut. */
size_t log_syslog_write(const struct log_syslog *s, int fd, const char *lines, size_t n);

#endif
