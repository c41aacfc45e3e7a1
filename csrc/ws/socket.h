/* socket.h - the parts of a WebSocket, for the files in this folder; the contracts are in
 * websocket.h.
 *
 *   WAITING -> OPEN -> CLOSING -> CLOSED        OPEN -> CLOSED: the peer's Close came first
 *
 * input.c reads, output.c sends, socket.c has the beginning, the end and the timing; backlog.c has
 * what waits, settings.c what sockets share. */
#ifndef SPRIG_WS_SOCKET_H
#define SPRIG_WS_SOCKET_H

#include "base/utf8.h"
#include "loop/loop.h"
#include "websocket.h"
#include "ws/buffer.h"
#include "ws/deflate.h"
#include "ws/frame.h"

enum ws_state {
    WS_STATE_WAITING, /* waits for the 101 */
    WS_STATE_OPEN,
    WS_STATE_CLOSING, /* our Close is queued, the peer's has not arrived */
    WS_STATE_CLOSED   /* on_close was called, or never will be */
};

struct sprig_ws_group {
    struct sprig_loop *loop;   /* borrowed */
    struct list_link sockets;  /* struct sprig_ws.link: those opened and not over */
    struct list_link settings; /* struct ws_settings.link */
    struct ws_zlib *zlib;      /* owned; NULL until needed */
    struct ws_backlog *spare;  /* owned: an unused one for the next message; or NULL */
    uint32_t refs;             /* its owner's, and all settings' */
    uint32_t n_sockets;
    uint32_t n_to_leave;  /* of the sockets: not told to close yet */
    uint32_t n_each_time; /* told at each tick */
    uint16_t leave_code;  /* 0: nobody has to close */
    struct timer leaving;
};

/* Shared by sockets with the same options: there may be many, and each should be small. */
struct ws_settings {
    struct sprig_ws_options options;
    const struct sprig_ws_handler *handler; /* borrowed */
    struct sprig_ws_group *group;           /* counted */
    struct list_link link;                  /* in group->settings */
    uint32_t refs;                          /* every socket's, and on_due's */
    struct deadline_list ping, pong, close; /* struct sprig_ws.deadline: for the next Ping, its
                                             * answer, the peer's Close */
    struct list_link expired;               /* the same, once it has passed */
    struct ready due;                       /* handles these */
};

/* Data that waits at a socket; an idle one has none. */
struct ws_backlog {
    struct sprig_ws *ws;      /* owner */
    struct ws_reader reader;  /* in the middle of a frame or message */
    struct utf8 text;         /* of the incoming message */
    struct ws_buffer message; /* its earlier pieces, or its decompressed bytes */
    struct ws_buffer kept;    /* input not usable yet */
    struct ws_buffer early;   /* frames that wait for the 101 */
    struct ready resume;      /* continues with the kept input */
    uint32_t n_users;         /* frames of sprig_ws_input */
};

struct sprig_ws {
    struct sprig_exchange *ex;    /* severable */
    struct ws_settings *settings; /* counted */
    struct list_link link;        /* in group->sockets */
    void *arg;                    /* severable: NULL once the bridge has let go */
    uint32_t refs;                /* the bridge's, the exchange's, one per frame that calls out */
    uint8_t state;                /* enum ws_state */
    bool is_wanted : 1;           /* messages are wanted */
    bool has_message : 1;         /* backlog->message is complete, and nobody wanted it yet */
    bool is_binary : 1;           /* the incoming message is binary */
    bool is_unasked : 1;          /* messages were not wanted since the last look */
    bool is_pinged : 1;           /* our Ping has no answer yet */
    bool is_ended : 1;            /* the peer's end of file has arrived */
    bool is_broken : 1;           /* the peer broke a rule: its input is ignored */
    bool is_compressed : 1;       /* permessage-deflate was agreed on */
    struct ws_deflate_terms terms;
    uint32_t n_pong_bytes;               /* bytes of Pongs queued since the queue was empty */
    struct ws_backlog *backlog;          /* owned; NULL while nothing waits */
    struct ws_stream *deflate, *inflate; /* owned; mostly NULL, see deflate.h */
    struct list_link watches;            /* struct sprig_ws_watch.link */
    struct deadline deadline;            /* in one of the settings' lists */
};

static inline struct sprig_ws *ws_ref(struct sprig_ws *ws)
{
    ws->refs++;
    return ws;
}
void ws_unref(struct sprig_ws *ws);

static inline bool ws_is_live(const struct sprig_ws *ws)
{
    return ws->state == WS_STATE_OPEN || ws->state == WS_STATE_CLOSING;
}

/* Whether it sends Pings of its own. */
static inline bool ws_pings(const struct sprig_ws *ws)
{
    return ws->settings->options.ping_interval > 0;
}
/* How often to look at a socket without Pings that is not read. */
enum { WS_LOOK_SECONDS = 3 };

/* Starts or stops reading, depending on what is wanted and kept. */
void ws_adjust_reading(struct sprig_ws *ws);

/* It is over: calls on_close, ends the response after the queued output. */
void ws_finish(struct sprig_ws *ws, uint16_t code, struct sprig_span reason);
/* The peer broke a rule (static text): tells it, and the bridge. */
void ws_fail(struct sprig_ws *ws, int code, const char *reason);
/* The peer has gone without a Close. */
void ws_lost(struct sprig_ws *ws, const char *reason);

/* Queues a control frame; also while closing. */
int ws_send_control(struct sprig_ws *ws, uint8_t opcode, struct sprig_span payload);
/* Answers a Ping, unless the peer keeps sending Pings without reading the answers. */
void ws_send_pong(struct sprig_ws *ws, struct sprig_span payload);
int ws_send_close(struct sprig_ws *ws, uint16_t code, struct sprig_span reason);
/* The payload of our own Pings, whose answers are only for us. */
#define WS_HEARTBEAT SPAN_LIT("heartbeat")

/* ---- settings.c ---- */

/* The settings with these options, counted for the caller; NULL: out of memory. */
struct ws_settings *ws_settings_take(struct sprig_ws_group *group,
                                     const struct sprig_ws_options *options,
                                     const struct sprig_ws_handler *handler);
void ws_settings_unref(struct ws_settings *settings);
/* A deadline of a socket has passed (socket.c). */
void ws_due(struct sprig_ws *ws);

/* ---- backlog.c ---- */

/* The socket's backlog, created if necessary; NULL: out of memory. */
struct ws_backlog *ws_backlog(struct sprig_ws *ws);
/* Whether input has arrived that could not be used. */
static inline bool ws_has_kept(const struct sprig_ws *ws)
{
    return ws->backlog != NULL && ws->backlog->kept.n > ws->backlog->kept.at;
}
/* Continues with the kept input in a later turn. */
void ws_resume_later(struct sprig_ws *ws);
/* Forgets what waits. */
void ws_backlog_drop(struct sprig_ws *ws);
/* Gives the backlog back if nothing waits and no frame uses it. */
void ws_backlog_settle(struct sprig_ws *ws);

/* ---- group.c ---- */

struct ws_zlib *ws_group_zlib(struct sprig_ws_group *group);
static inline struct ws_zlib *ws_zlib(const struct sprig_ws *ws)
{
    return ws_group_zlib(ws->settings->group);
}
void ws_group_enter(struct sprig_ws *ws);
void ws_group_leave(struct sprig_ws *ws);
void ws_group_unref(struct sprig_ws_group *group);

#endif
