/* parser.h - turns bytes into a request head, strictly.
 *
 * parser.c scans the raw bytes, enforces every rule of RFC 9112 that the libraries are lax about,
 * and splits the head. A back end (parser_http_parser.c or parser_llhttp.c, chosen at build time)
 * then reads the parts of the complete, checked head that say where the message ends, and must
 * agree. Only the back ends include their library's header.
 *
 * The verdict on a message depends on its bytes alone, never on how they were cut into reads. */
#ifndef SPRIG_PARSER_H
#define SPRIG_PARSER_H

#include "http/request.h"
#include <stdint.h>

/* Limits on the bytes of a head and the number of its fields; 0 is no limit if the option says so.
 */
struct parser_limits {
    uint32_t max_request_line; /* bytes, CRLF not counted; beyond: 414 */
    uint32_t max_header_bytes; /* bytes of all header lines, CRLF counted; beyond: 431 */
    uint32_t max_headers;      /* beyond: 431 */
};

/* How far the scan of an incomplete head has got, so that no byte is scanned twice. */
struct parser {
    uint32_t line;       /* offset of the first byte of the line being received */
    uint32_t scanned;    /* offset behind the last byte looked at */
    uint32_t first;      /* offset of the request line: empty lines before it are skipped */
    uint32_t n_headers;  /* complete header lines so far */
    uint32_t headers_at; /* offset behind the request line's CRLF, 0 while that is incomplete */
    bool in_value;       /* the colon of the header line being received has been seen */
};

/* Reusable memory for one request at a time; one per loop. All zero is empty. */
struct parser_scratch {
    struct sprig_header *headers; /* owned */
    uint32_t capacity;            /* of headers */
    char *uri; /* owned: the uri of a request whose target has none that could be pointed at */
};

/* Why a request was refused. */
struct parser_refusal {
    int status;         /* 400, 414, 417, 431, 501, 505; 503 without memory */
    const char *reason; /* static text for the log: "bare LF", "two Host headers" */
};

void parser_init(struct parser *p);
void scratch_clear(struct parser_scratch *scratch);

/* Looks at the bytes received for one message so far: `bytes` always starts at the message's first
 * byte and only grows between calls with the same parser.
 * Returns > 0: the length of the complete head, empty lines before it included; *req is filled
 *           0: incomplete, more bytes needed
 *         < 0: refused: *why is filled, *req is not to be read; answer and close.
 * *req is overwritten: one that owns memory is to be cleared before.
 *
 * Lines are judged in the order of their bytes. Within a line, a byte that can stand nowhere in it
 * and the limit are noticed where they occur, whichever comes first; all else when the line is
 * complete. The rules that concern several headers come last. Sources: RFC 9112 sections 2 to 6,
 * RFC 9110 sections 7.2 and 10.1.1; see also target.h and fields.h. Decided here:
 *   up to two empty lines before the request are skipped, a third is refused
 *   a version other than 1.0 and 1.1 is 505, before anything else in its line is looked at; 0.9
 *   and what is no version at all is 400
 *   every token is a method (RFC 9110 section 9.1), and case counts: what it means is for the app
 *   to say */
long parser_head(struct parser *p, struct sprig_span bytes, const struct parser_limits *limits,
                 struct parser_scratch *scratch, struct sprig_request *req,
                 struct parser_refusal *why);

/* The back end. The head of *req is complete and has passed the scan: CRLF line ends only, one
 * request line of n_line bytes (CRLF included), header lines of token ':' value. method, target,
 * version and headers are there. Returns 0, -400 with *why set, or PARSER_FRAMING: the library
 * dislikes a Content-Length or Transfer-Encoding and has stopped there.
 *
 * The library reads the request line, the header lines that it makes something of (those that tell
 * where a message ends and whether the connection goes on, but for the usual one: see
 * parser_is_usual) and the end. The others mean nothing to
 * it, and to read them took most of the time of a browser's request. What it reads it must split as
 * we do.
 *
 * A request line that the library does not take, because it knows no such method, is read by us
 * alone: the library gets parser_stand_in() in its place. Framing is judged by fields_check alone,
 * since the libraries differ in it and err: http-parser refuses "Content-Length: 1" with a tab
 * behind it. */
enum { PARSER_FRAMING = 1 };
int parser_backend_head(const struct sprig_request *req, size_t n_line, struct parser_refusal *why);

/* Makes the library read all lines, for tests that check whether this changes a verdict. */
extern bool parser_backend_reads_all;

/* "http-parser 2.9.4" or "llhttp 9.2.1": the library in use, static storage. */
const char *parser_backend_name(void);

#endif
