/* input.c - from bytes to messages: checks text as it arrives, assembles fragments, decompresses.
 * Before Perl is entered, nothing depends on the receive buffer. */
#include "ws/socket.h"

/* Messages per socket before the others get their turn. */
enum { MESSAGES_PER_TURN = 64 };

/* One run over the available input. */
struct ws_run {
    struct sprig_ws *ws;
    struct ws_backlog *backlog; /* the socket's, held */
    struct sprig_span in;       /* not read yet; in the receive buffer or in backlog->kept */
    bool is_kept;               /* in backlog->kept */
    unsigned n_messages;
};

/* The socket keeps the rest of the input, so Perl may run afterwards. False: out of memory. */
static bool keep_rest(struct ws_run *run)
{
    struct ws_buffer *kept = &run->backlog->kept;
    if (run->is_kept) {
        kept->at = kept->n - run->in.len;
    } else if (ws_buffer_add(kept, run->in) != 0) {
        ws_fail(run->ws, WS_CLOSE_ERROR, "out of memory");
        return false;
    }
    run->is_kept = true;
    return true;
}

/* Perl may have read on, or ended everything. */
static void take_up(struct ws_run *run)
{
    struct ws_buffer *kept = &run->backlog->kept;
    if (kept->at == kept->n)
        ws_buffer_clear(kept);
    run->in = ws_buffer_span(kept);
}

/* Gives a whole message to the bridge. */
static void deliver(struct ws_run *run, struct sprig_span message)
{
    struct sprig_ws *ws = run->ws;
    run->n_messages++;
    if (keep_rest(run) && ws->arg != NULL)
        ws->settings->handler->on_message(ws, message, ws->is_binary, ws->arg);
    take_up(run);
}

/* Delivers an assembled message. This call takes its buffer: the next message may arrive meanwhile.
 */
static void deliver_buffer(struct ws_run *run)
{
    struct ws_buffer message = run->backlog->message;
    run->backlog->message = (struct ws_buffer){NULL, 0, 0, 0};
    run->ws->has_message = false;
    deliver(run, ws_buffer_span(&message));
    ws_buffer_clear(&message);
}

/* Checks arrived text. False: it is invalid. */
static bool check_text(struct sprig_ws *ws, struct sprig_span bytes, bool is_last)
{
    if (ws->is_binary)
        return true;
    if (utf8_take(&ws->backlog->text, bytes) && (!is_last || utf8_is_whole(&ws->backlog->text)))
        return true;
    ws_fail(ws, WS_CLOSE_NOT_UTF8, "the text is not UTF-8");
    return false;
}

static bool inflate_piece(struct sprig_ws *ws, const struct ws_piece *piece)
{
    size_t before = ws->backlog->message.n - ws->backlog->message.at;
    int rc = ws_inflate(ws_zlib(ws), &ws->inflate, &ws->terms, piece->bytes, piece->is_last,
                        ws->settings->options.max_message_bytes, &ws->backlog->message);
    if (rc == -WS_CLOSE_TOO_BIG)
        ws_fail(ws, -rc, "websocket_max_message_bytes: the message is too large");
    else if (rc == -WS_CLOSE_NOT_UTF8)
        ws_fail(ws, -rc, "the compressed bytes are malformed");
    else if (rc < 0)
        ws_fail(ws, -rc, "out of memory");
    if (rc < 0)
        return false;
    struct sprig_span all = ws_buffer_span(&ws->backlog->message);
    return check_text(ws, span_make(all.ptr + before, all.len - before), piece->is_last);
}

/* Takes a piece of a message. False: it has failed. */
static bool take_piece(struct sprig_ws *ws, const struct ws_piece *piece)
{
    if (piece->is_first) {
        ws->is_binary = piece->opcode == WS_BINARY;
        utf8_init(&ws->backlog->text);
    }
    if (piece->is_compressed)
        return inflate_piece(ws, piece);
    if (!check_text(ws, piece->bytes, piece->is_last))
        return false;
    if (piece->is_whole && ws->is_wanted)
        return true; /* in place */
    if (ws_buffer_add(&ws->backlog->message, piece->bytes) == 0)
        return true;
    ws_fail(ws, WS_CLOSE_ERROR, "out of memory");
    return false;
}

static void on_data(struct ws_run *run, const struct ws_piece *piece)
{
    struct sprig_ws *ws = run->ws;
    if (ws->state != WS_STATE_OPEN)
        return; /* after our Close nobody looks at it */
    bool lies_there = piece->is_whole && !piece->is_compressed && ws->is_wanted;
    if (!take_piece(ws, piece) || !piece->is_last)
        return;
    if (lies_there)
        deliver(run, piece->bytes);
    else
        ws->has_message = true;
}

/* ------------------------------------------------------------------ control ---- */

/* The peer's Close, answered with the same code. */
static void on_close_frame(struct sprig_ws *ws, struct sprig_span payload)
{
    uint16_t code;
    struct sprig_span reason;
    int error = ws_read_close(payload, &code, &reason);
    if (error != 0) {
        ws_fail(ws, error,
                error == WS_CLOSE_NOT_UTF8 ? "the reason of the close is not UTF-8"
                                           : "a close with a code that is not allowed");
        return;
    }
    if (ws->state == WS_STATE_OPEN)
        ws_send_close(ws, code, span_make(NULL, 0));
    ws_finish(ws, code, reason);
}

static void on_pong(struct ws_run *run, struct sprig_span payload)
{
    struct sprig_ws *ws = run->ws;
    char bytes[WS_MAX_CONTROL];
    if (ws->state != WS_STATE_OPEN || ws->arg == NULL || span_eq(payload, WS_HEARTBEAT))
        return;
    if (payload.len > 0)
        memcpy(bytes, payload.ptr, payload.len);
    if (keep_rest(run))
        ws->settings->handler->on_pong(ws, span_make(bytes, payload.len), ws->arg);
    take_up(run);
}

static void on_control(struct ws_run *run, const struct ws_piece *piece)
{
    struct sprig_ws *ws = run->ws;
    if (piece->opcode == WS_CLOSE)
        on_close_frame(ws, piece->bytes);
    else if (piece->opcode == WS_PONG)
        on_pong(run, piece->bytes);
    else if (ws->state == WS_STATE_OPEN)
        ws_send_pong(ws, piece->bytes);
}

/* ------------------------------------------------------------------- a run ---- */

/* Takes the next piece of input. False: it is used up, or nothing may be read now. */
static bool take_step(struct ws_run *run)
{
    struct sprig_ws *ws = run->ws;
    struct ws_limits limits = {ws->settings->options.max_message_bytes,
                               ws->settings->options.max_fragments, ws->is_compressed};
    struct ws_piece piece;
    if (ws->has_message && !ws->is_wanted)
        return false;
    if (ws->has_message) {
        deliver_buffer(run);
        return true; /* the next one is also kept until wanted */
    }
    int rc = ws_read(&run->backlog->reader, &limits, &run->in, &piece);
    if (rc == WS_READ_DATA)
        on_data(run, &piece);
    else if (rc == WS_READ_CONTROL)
        on_control(run, &piece);
    else if (rc < 0)
        ws_fail(ws, -rc, run->backlog->reader.reason);
    return rc > 0;
}

/* The peer's end of file, if no earlier message waits. */
static void end_input(struct sprig_ws *ws)
{
    if (ws->is_ended && !ws->has_message && !ws_has_kept(ws))
        ws_lost(ws, NULL);
}

/* The peer has sent something, so the next Ping can wait. */
static void put_off_ping(struct sprig_ws *ws)
{
    ws->is_pinged = false;
    if (ws->state == WS_STATE_OPEN)
        deadline_set(&ws->settings->ping, &ws->deadline);
}

static void run_input(struct sprig_ws *ws, struct ws_backlog *backlog, struct sprig_span bytes)
{
    struct ws_run run = {ws, backlog, bytes, false, 0};
    if (ws_has_kept(ws) && keep_rest(&run))
        take_up(&run);
    run.is_kept = ws_has_kept(ws);
    while (ws_is_live(ws) && run.n_messages < MESSAGES_PER_TURN && take_step(&run))
        ;
    if (ws_is_live(ws) && keep_rest(&run)) {
        take_up(&run);
        if (run.n_messages >= MESSAGES_PER_TURN)
            ws_resume_later(ws);
        ws_adjust_reading(ws);
        end_input(ws);
    }
}

void sprig_ws_input(struct sprig_ws *ws, struct sprig_span bytes, bool is_last)
{
    if (!ws_is_live(ws))
        return;
    ws_ref(ws);
    if (bytes.len > 0)
        put_off_ping(ws);
    ws->is_ended |= is_last;
    struct ws_backlog *backlog = ws_backlog(ws);
    if (backlog != NULL) {
        backlog->n_users++;
        run_input(ws, backlog, bytes);
        backlog->n_users--;
        ws_backlog_settle(ws);
    } else {
        ws_fail(ws, WS_CLOSE_ERROR, "out of memory");
    }
    ws_unref(ws);
}
