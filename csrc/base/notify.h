/* notify.h - what systemd is told of the service (sd_notify(3)), without its library: datagrams to
 * the socket that NOTIFY_SOCKET names. Nothing is done without one, and nothing waits. */
#ifndef SPRIG_NOTIFY_H
#define SPRIG_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Whether somebody is listening. */
bool notify_is_on(void);

/* It serves, `status` being what systemctl shows; also at the end of a reload. */
void notify_ready(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* It reads its configuration anew, with the time that Type=notify-reload asks for. */
void notify_reloading(void);

/* It ends. */
void notify_stopping(void);

/* Only the line that systemctl shows. */
void notify_status(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Another process is the service from now on. */
void notify_main_pid(pid_t pid);

/* How often notify_watchdog has to be called (half of WATCHDOG_USEC), in ms; 0: nobody wants it, or
 * it is meant for another process (WATCHDOG_PID). */
uint64_t notify_watchdog_ms(void);
void notify_watchdog(void);

#endif
