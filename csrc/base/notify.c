/* notify.c - messages for systemd; see notify.h */
#include "base/notify.h"

#include "base/clock.h"
#include "base/cloexec.h"
#include "base/number.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { MESSAGE_BYTES = 1024, STATUS_BYTES = 256 };

/* Reads a path, or @ and an abstract name. Returns the length of the address, or 0 if there is no
 * such socket. */
static socklen_t read_address(struct sockaddr_un *to)
{
    const char *name = getenv("NOTIFY_SOCKET");
    size_t len = name != NULL ? strlen(name) : 0;
    memset(to, 0, sizeof *to);
    if (len < 2 || len >= sizeof to->sun_path || (*name != '/' && *name != '@'))
        return 0;
    to->sun_family = AF_UNIX;
    memcpy(to->sun_path, name, len);
    if (*name == '@')
        to->sun_path[0] = '\0';
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
}

bool notify_is_on(void)
{
    struct sockaddr_un to;
    return read_address(&to) != 0;
}

static void tell(const char *message)
{
    struct sockaddr_un to;
    socklen_t n = read_address(&to);
    if (n == 0)
        return;
    int fd = cloexec_socket(AF_UNIX, SOCK_DGRAM, true);
    if (fd == -1)
        return;
    sendto(fd, message, strlen(message), MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&to, n);
    close(fd);
}

__attribute__((format(printf, 2, 0))) static void tell_status(const char *state, const char *fmt,
                                                              va_list args)
{
    char message[MESSAGE_BYTES], status[STATUS_BYTES];
    if (!notify_is_on())
        return;
    vsnprintf(status, sizeof status, fmt, args);
    snprintf(message, sizeof message, "%sSTATUS=%s\n", state, status);
    tell(message);
}

void notify_ready(const char *fmt, ...)
{
    char state[64];
    va_list args;
    snprintf(state, sizeof state, "READY=1\nMAINPID=%ld\n", (long)getpid());
    va_start(args, fmt);
    tell_status(state, fmt, args);
    va_end(args);
}

void notify_status(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    tell_status("", fmt, args);
    va_end(args);
}

void notify_reloading(void)
{
    char message[MESSAGE_BYTES];
    snprintf(message, sizeof message, "RELOADING=1\nMONOTONIC_USEC=%llu\nSTATUS=Reloading\n",
             (unsigned long long)clock_monotonic_ns() / 1000);
    tell(message);
}

void notify_stopping(void)
{
    tell("STOPPING=1\nSTATUS=Ending, the requests in progress are answered\n");
}

void notify_main_pid(pid_t pid)
{
    char message[64];
    snprintf(message, sizeof message, "MAINPID=%ld\n", (long)pid);
    tell(message);
}

uint64_t notify_watchdog_ms(void)
{
    const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
    uint64_t us, own;
    if (usec == NULL || !number_read(span_str(usec), INT64_MAX, &us) || us == 0 || !notify_is_on())
        return 0;
    if (pid != NULL && (!number_read(span_str(pid), INT32_MAX, &own) || own != (uint64_t)getpid()))
        return 0;
    return us / 2000 > 0 ? us / 2000 : 1;
}

void notify_watchdog(void)
{
    tell("WATCHDOG=1\n");
}
