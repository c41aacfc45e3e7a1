/* log.h - where messages of the core go. The core itself never prints. */
#ifndef SPRIG_LOG_H
#define SPRIG_LOG_H

#include "base/span.h"
#include <stdbool.h>
#include <stdint.h>

enum sprig_log_level { SPRIG_LOG_DEBUG, SPRIG_LOG_INFO, SPRIG_LOG_WARN, SPRIG_LOG_ERROR };

/* Receives one message: one line without a newline, NUL-terminated, borrowed for the call. The sink
 * may enter Perl, so it is called only while messages are not deferred. */
typedef void sprig_log_sink_cb(enum sprig_log_level level, const char *message, void *arg);

/* Sets the sink (NULL drops messages) and the lowest level it wants (default SPRIG_LOG_WARN). One
 * sink per process. */
void sprig_log_set_sink(sprig_log_sink_cb *sink, enum sprig_log_level min, void *arg);

/* Formats and delivers one message. It is cut to 1023 bytes, and control characters, which a
 * terminal might obey, become spaces. */
void sprig_log(enum sprig_log_level level, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Like sprig_log, for places where the sink must not be called because it may enter Perl: in the
 * middle of a write or a change of state. The message is kept until the end of the pass. */
void log_later(enum sprig_log_level level, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Sets where messages go, and from which level on, by the options error_log, error_log_format,
 * log_level and log_buffer_bytes. A file or FIFO becomes descriptor 2 as well. May be called again,
 * and applies to the process. On failure < 0 and `why` (n bytes), and nothing has changed. */
struct sprig_config;
int sprig_log_configure(const struct sprig_config *config, char *why, size_t n);

/* Whether messages are JSON objects. Startup errors are printed before there is a configuration, so
 * set this as soon as the format is known. */
bool sprig_log_is_json(void);
void sprig_log_be_json(bool is_json);

/* The configured level; SPRIG_LOG_DEBUG if SPRIG_DEBUG is set in the environment. */
enum sprig_log_level sprig_log_level(void);

/* Reopens the file of error_log, if there is one. If that fails the old file stays in use, and gets
 * a line that says so. */
void sprig_log_reopen(void);

/* Whether there is one. */
bool sprig_log_has_file(void);

/* Whether what is printed goes straight to a regular file by descriptor 2. */
bool sprig_log_is_plain_file(void);

/* Tries to write lines that nobody has read yet. True if some are left. */
bool sprig_log_flush(void);

/* Called when lines begin to wait, so that whoever has a timer can call sprig_log_flush. One per
 * process. */
void sprig_log_on_waiting(void (*cb)(void *arg), void *arg);

/* Writes the waiting lines, for at most a second, because the process ends. */
void sprig_log_finish(void);

/* Prints "sprig: MESSAGE" and a newline to the error log, for sinks. Unless that is a terminal,
 * time and process come first: "2026-11-30T04:46:34.123Z [1234 worker 2 warn] sprig: ...". In the
 * format json it is an object with OpenTelemetry's names. Never waits for a reader (see
 * log_target.h): lines that do not fit into log_buffer_bytes are counted, and the next line reports
 * the number. The text is cut after SPRIG_PRINT_BYTES. */
enum { SPRIG_PRINT_BYTES = 2000 };
void sprig_log_print(enum sprig_log_level level, const char *message);

/* The same from another thread, while the loop's thread is busy. If the reader does not take the
 * line at once, it is lost. */
void sprig_log_print_aside(enum sprig_log_level level, const char *message);

/* Prints the text unchanged, under the same rules. False if it was lost. */
bool sprig_log_print_text(const char *text, size_t n);

/* The same for text of the application, which arrives in pieces: in the format json, each line
 * becomes an object of that level. */
void sprig_log_print_output(enum sprig_log_level level, const char *text, size_t n);

/* The id of the request that lines belong to. */
enum { LOG_REQUEST_BYTES = 64 };
struct log_request {
    char bytes[LOG_REQUEST_BYTES];
    uint8_t n;     /* 0: none */
    bool is_other; /* for who saves it: there is something to give back */
};

/* Lines carry this id (copied; empty for none) until log_request_leave restores the one from
 * before. Calls nest. */
void log_request_enter(struct sprig_span id, struct log_request *before);
void log_request_leave(const struct log_request *before);

/* The current id, borrowed until the next of these calls. */
struct sprig_span log_request_id(void);

/* What sprig_log_print says of this process: its number as a worker, 0: it is none. */
void sprig_log_set_worker(uint32_t number);

/* From log_defer to log_undefer (calls nest) messages are kept, up to 16 KiB; the last one hands
 * them over. The loop defers them while libevent runs, so that no sink is entered from within it.
 */
void log_defer(void);
void log_undefer(void);

/* Hands over what log_later has kept, unless messages are deferred. The loop does so at the end of
 * a pass. */
void log_deliver(void);

/* Turns control characters into spaces, as sprig_log does. */
void log_clean(char *text);

/* Writes bytes of a client as printable ASCII: \xHH for everything else and for '\\' and '"'.
 * Cuts with "..." where dst (size n > 4) is too small. Always terminates; returns dst. */
char *log_escape(char *dst, size_t n, struct sprig_span bytes);

#endif
