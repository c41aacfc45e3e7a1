/* frames.c - looks at the head of each incoming frame before nghttp2 gets it: whether its stream
 * may have it, and whether it has any effect; see h2.h */
#include "h2/h2.h"

enum { HEAD_BYTES = 9, PREFACE_BYTES = 24, PRIORITY_BYTES = 4 /* bytes of the dependency */ };

void h2_scan_init(struct h2_scan *scan)
{
    *scan = (struct h2_scan){.left = PREFACE_BYTES};
}

static uint32_t number_at(const uint8_t *bytes, size_t n)
{
    uint32_t number = 0;
    for (size_t i = 0; i < n; i++)
        number = number << 8 | bytes[i];
    return number;
}

static uint32_t length_of(const struct h2_scan *scan)
{
    return number_at(scan->head, 3);
}

static uint8_t type_of(const struct h2_scan *scan)
{
    return scan->head[3];
}

static int32_t id_of(const struct h2_scan *scan)
{
    return (int32_t)(number_at(scan->head + 5, 4) & INT32_MAX);
}

/* For PRIORITY, includes the dependency. */
static size_t wanted_bytes(const struct h2_scan *scan)
{
    bool has_more = scan->n_head >= HEAD_BYTES && type_of(scan) == NGHTTP2_PRIORITY &&
                    length_of(scan) >= PRIORITY_BYTES;
    return has_more ? HEAD_BYTES + PRIORITY_BYTES : HEAD_BYTES;
}

/* Scans to the end of the next head; returns how many bytes that took. */
static size_t scan_head(struct h2_scan *scan, struct sprig_span in, bool *is_whole)
{
    size_t at = in.len < scan->left ? in.len : scan->left;
    scan->left -= (uint32_t)at;
    while (at < in.len && scan->n_head < wanted_bytes(scan))
        scan->head[scan->n_head++] = (uint8_t)in.ptr[at++];
    *is_whole = scan->left == 0 && scan->n_head >= HEAD_BYTES && scan->n_head == wanted_bytes(scan);
    if (*is_whole) {
        scan->left = length_of(scan) - (scan->n_head - HEAD_BYTES);
        scan->n_head = 0;
    }
    return at;
}

/* ------------------------------------------------------- streams that are closed ---- */

/* Frames that arrive for it from now on may have been sent before the client knew. */
void h2_remember_reset(struct h2 *h2, int32_t id)
{
    h2->reset_ids[h2->n_reset_ids++ % H2_RESETS_KNOWN] = id;
}

static bool was_reset(const struct h2 *h2, int32_t id)
{
    for (size_t i = 0; i < H2_RESETS_KNOWN; i++)
        if (h2->reset_ids[i] == id)
            return true;
    return false;
}

/* HEADERS or DATA on a stream that the client knows to be closed (RFC 9113 section 5.1): nghttp2
 * does not remember such streams, and would ignore the frames. */
static void check_stream(struct h2 *h2, uint8_t type, int32_t id)
{
    if (id % 2 == 0)
        return;
    if (id > h2->last_id)
        h2->last_id = type == NGHTTP2_HEADERS ? id : h2->last_id;
    else if (nghttp2_session_find_stream(h2->session, id) == NULL && !was_reset(h2, id))
        h2_session_end(h2, NGHTTP2_STREAM_CLOSED, NULL);
}

/* nghttp2 does not check priorities either, which we leave to RFC 9218. */
static void check_priority(struct h2 *h2)
{
    const struct h2_scan *scan = &h2->scan;
    int32_t id = id_of(scan), on = (int32_t)(number_at(scan->head + HEAD_BYTES, 4) & INT32_MAX);
    if (id == 0 || (length_of(scan) >= PRIORITY_BYTES && on == id))
        h2_session_end(h2, NGHTTP2_PROTOCOL_ERROR, NULL);
}

/* ----------------------------------------------------------------------- budgets ---- */

static bool is_idle(const struct h2_scan *scan)
{
    enum { FEW_BYTES = 16 }; /* fewer bytes of a head than this are few */
    switch (type_of(scan)) {
    case NGHTTP2_HEADERS:
        return false;
    case NGHTTP2_DATA:
        return length_of(scan) == 0 && !(scan->head[4] & NGHTTP2_FLAG_END_STREAM);
    case NGHTTP2_CONTINUATION:
        return length_of(scan) < FEW_BYTES;
    default:
        return true;
    }
}

/* Checks HEADERS and CONTINUATION, also for streams that are over: a head is limited where its
 * fields are taken, but only as long as somebody takes them. */
static void check_block(struct h2 *h2)
{
    enum { PATIENCE = 4 };
    const struct h2_scan *scan = &h2->scan;
    uint32_t max = h2->conn->server->config.max_header_bytes;
    h2->block_bytes = type_of(scan) == NGHTTP2_HEADERS ? 0 : h2->block_bytes;
    h2->block_bytes += length_of(scan);
    h2->in_block = !(scan->head[4] & NGHTTP2_FLAG_END_HEADERS);
    if (max != 0 && h2->block_bytes > PATIENCE * (uint64_t)max)
        h2_session_end(h2, NGHTTP2_ENHANCE_YOUR_CALM, "max_header_bytes: the headers do not end");
}

static void check_frame(struct h2 *h2)
{
    const struct h2_scan *scan = &h2->scan;
    uint8_t type = type_of(scan);
    if (type == NGHTTP2_HEADERS || type == NGHTTP2_CONTINUATION)
        check_block(h2);
    if (type == NGHTTP2_HEADERS || type == NGHTTP2_DATA)
        check_stream(h2, type, id_of(scan));
    else if (type == NGHTTP2_PRIORITY)
        check_priority(h2);
    if (is_idle(scan) && !h2_budget_spend(&h2->frames, sprig_loop_now(h2->conn->server->loop)))
        h2_session_end(h2, NGHTTP2_ENHANCE_YOUR_CALM,
                       "http2_max_idle_frames: too many frames without effect");
}

/* Checks each frame after nghttp2 has taken all earlier ones, but before it has this one's last
 * byte. */
bool h2_receive(struct h2 *h2, struct sprig_span bytes)
{
    size_t at = 0, given = 0;
    h2_memory_wake(&h2->memory);
    if (bytes.len == 0)
        return !h2->has_failed;
    while (at < bytes.len && !h2->is_ending) {
        bool is_whole;
        at += scan_head(&h2->scan, span_make(bytes.ptr + at, bytes.len - at), &is_whole);
        if (!is_whole)
            continue;
        if (!h2_session_receive(h2, span_make(bytes.ptr + given, at - 1 - given)))
            return false;
        given = at - 1;
        check_frame(h2);
    }
    return h2_session_receive(h2, span_make(bytes.ptr + given, bytes.len - given));
}
