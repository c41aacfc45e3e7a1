/* log.h - where messages of the core go. The core itself never prints. */
#ifndef SPRIG_LOG_H
#define SPRIG_LOG_H

#include "base/span.h"
#include <stdbool.h>
#include <stdint.h>

enum sprig_log_level { SPRIG_LOG_DEBUG, SPRIG_LOG_INFO, SPRIG_LOG_WARN, SPRIG_LOG_ERROR };

/* Receives one message: one line, no newline, NUL-terminated, borrowed for the call.
 * The sink may enter Perl: it is called only while messages are not deferred. */
typedef void sprig_log_sink_cb(enum sprig_log_level level, const char *message, void *arg);

/* Sets the sink (NULL: messages are dropped) and the lowest level it wants to see
 * (default SPRIG_LOG_WARN). One sink a process. */
void sprig_log_set_sink(sprig_log_sink_cb *sink, enum sprig_log_level min, void *arg);

/* Formats and hands over one message of at most 1023 bytes; longer ones are cut. Control
 * characters, which a terminal might obey, become spaces. */
void sprig_log(enum sprig_log_level level, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* As sprig_log, where the sink must not be called, since it may enter Perl: in the middle of a
 * write, or of a change of state. The message is kept until the end of the pass. */
void log_later(enum sprig_log_level level, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Where messages go, and from which level on, by the options error_log, error_log_format, log_level
 * and log_buffer_bytes. A file or FIFO becomes descriptor 2 as well. Can be called again. < 0 and
 * `why` (n bytes), and nothing has changed. Of the process. */
struct sprig_config;
int sprig_log_configure(const struct sprig_config *config, char *why, size_t n);

/* Whether messages are objects of JSON. Errors of a start are printed before there is a
 * configuration: as soon as its format is known, it is said here. */
bool sprig_log_is_json(void);
void sprig_log_be_json(bool is_json);

/* The level that was configured; SPRIG_LOG_DEBUG where the environment has SPRIG_DEBUG. */
enum sprig_log_level sprig_log_level(void);

/* Opens the file of error_log anew, if there is one. False: that has failed, the old one goes on.
 */
bool sprig_log_reopen(void);

/* Whether there is one. */
bool sprig_log_has_file(void);

/* Whether what is printed goes straight to a regular file by descriptor 2. */
bool sprig_log_is_plain_file(void);

/* Tries to write lines that nobody has read yet. True: there are some still. */
bool sprig_log_flush(void);

/* Told when lines begin to wait: whoever has a timer sees to sprig_log_flush. One a process. */
void sprig_log_on_waiting(void (*cb)(void *arg), void *arg);

/* Writes what waits, for at most a second: the process ends. */
void sprig_log_finish(void);

/* Prints "sprig: MESSAGE" and a newline in the error log, for sinks. Unless that is a terminal,
 * time and process come first: "2026-11-30T04:46:34.123Z [1234 worker 2 warn] sprig: ...". In the
 * format json it is an object with the names of OpenTelemetry. Never waits for a reader (see
 * log_target.h): what does not fit into log_buffer_bytes is counted, which the next line tells. The
 * text is cut behind SPRIG_PRINT_BYTES. */
enum { SPRIG_PRINT_BYTES = 2000 };
void sprig_log_print(enum sprig_log_level level, const char *message);

/* The same from another thread than that of the loop, while that one is busy with something else:
 * if the reader does not take the line at once it is lost. */
void sprig_log_print_aside(enum sprig_log_level level, const char *message);

/* Prints the text as it is under the same rules. False: it was lost. */
bool sprig_log_print_text(const char *text, size_t n);

/* The same for text of the application, which comes in pieces: in the format json each line of it
 * is an object of that level. */
void sprig_log_print_output(enum sprig_log_level level, const char *text, size_t n);

/* The id of the request that lines belong to. */
enum { LOG_REQUEST_BYTES = 64 };
struct log_request {
    char bytes[LOG_REQUEST_BYTES];
    uint8_t n;     /* 0: none */
    bool is_other; /* for who saves it: there is something to give back */
};

/* Lines tell this id (copied; empty: none) until log_request_leave, and then the one from before.
 * Calls nest. */
void log_request_enter(struct sprig_span id, struct log_request *before);
void log_request_leave(const struct log_request *before);

/* The id at hand, borrowed until the next of these calls. */
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
