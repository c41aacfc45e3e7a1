/* logformat_items.h - the parts of a format, for the files of logformat. */
#ifndef LOGFORMAT_ITEMS_H
#define LOGFORMAT_ITEMS_H

#include "serve/logformat.h"

/* The kind of an item. All kinds before LOG_LATE are known when the request arrives. */
enum log_kind {
    LOG_HOST,
    LOG_LINE,
    LOG_METHOD,
    LOG_PATH,
    LOG_QUERY,
    LOG_PROTOCOL,
    LOG_NAME,
    LOG_ASKED_NAME,
    LOG_PORT,
    LOG_HEADER,
    LOG_VERSION,
    LOG_TLS,
    LOG_TLS_CIPHER,
    LOG_RAW,
    LOG_REQUEST_ID,
    LOG_ASKED,
    LOG_LATE,
    LOG_USER = LOG_LATE,
    LOG_TIME,
    LOG_STATUS,
    LOG_BYTES,
    LOG_SECONDS,
    LOG_MICROSECONDS,
    LOG_PID,
    LOG_OUT_HEADER,
    LOG_STRFTIME,
    LOG_ISO_TIME,
    LOG_CLOCK,
    LOG_REFUSED,
    LOG_QUEUE_TIME,
    LOG_APP_TIME,
    LOG_SEND_TIME,
    LOG_TOOK,
    LOG_END /* no value, only the text before it */
};

enum {
    LOG_NUMBER_BYTES = 20,   /* 64 bits in decimal */
    LOG_STRFTIME_BYTES = 64, /* one %{}t, before it is escaped */
    LOG_TIME_BYTES = 28,     /* [22/Nov/2026:00:52:42 +0000] */
    LOG_REASON_BYTES = 200,  /* the reason of a refusal */
    LOG_VALUE_BYTES = 1,     /* a dash */
    LOG_BLOCK_BYTES = 32 /* fixed text is copied in blocks: room behind what is read and written */
};

/* A value. */
struct log_item {
    enum log_kind kind;
    uint32_t n_early; /* neighbours that are known when the request comes: the first one has their
                       * number, and all are written in one piece; else 0 */
    size_t n_fixed;   /* of these: bytes of all but the values */
    struct sprig_span before; /* fixed text */
    struct sprig_span text;   /* the name of a header, a format (with a NUL behind it) */
};

#endif
