/* deflate.c - see deflate.h */
#include "ws/deflate.h"

#include "ws/frame.h"

#ifdef SPRIG_HAS_ZLIB

#include <zlib.h>

enum {
    STEP_BYTES = 16 * 1024, /* the output buffer grows by this much */
    LEVEL = 1,              /* the compression level: messages are short, and there are many */
    SHARED_MEMORY = 8,
    SMALL_BYTES = 4096, /* up to this size a small window is enough, which is faster to clear */
    SMALL_BITS = 12,
    SMALL_MEMORY = 5,
    MAX_SPARE = 4
};

struct ws_stream {
    z_stream z;
    struct ws_stream *next_spare;
};

struct ws_zlib {
    struct ws_stream *deflaters[16]; /* owned: by window bits; NULL until needed */
    struct ws_stream *small;         /* owned: for short messages */
    struct ws_stream *spare;         /* owned: decompressors, by `next_spare` */
    unsigned n_spare;
};

bool ws_deflate_is_there(void)
{
    return true;
}

struct ws_zlib *ws_zlib_new(void)
{
    return calloc(1, sizeof(struct ws_zlib));
}

void ws_zlib_free(struct ws_zlib *z)
{
    if (z == NULL)
        return;
    for (int i = 0; i < 16; i++)
        ws_deflate_end(z->deflaters[i]);
    ws_deflate_end(z->small);
    while (z->spare != NULL) {
        struct ws_stream *next = z->spare->next_spare;
        inflateEnd(&z->spare->z);
        free(z->spare);
        z->spare = next;
    }
    free(z);
}

/* -------------------------------------------------------------- compressing ---- */

static struct ws_stream *deflater_new(int bits, int memory_level)
{
    struct ws_stream *s = calloc(1, sizeof *s);
    if (s != NULL &&
        deflateInit2(&s->z, LEVEL, Z_DEFLATED, -bits, memory_level, Z_DEFAULT_STRATEGY) == Z_OK)
        return s;
    free(s);
    return NULL;
}

void ws_deflate_end(struct ws_stream *own)
{
    if (own == NULL)
        return;
    deflateEnd(&own->z);
    free(own);
}

void ws_deflate_forget(struct ws_stream *own)
{
    if (own != NULL)
        deflateReset(&own->z);
}

/* The compressor for this message, ready for use; NULL: out of memory. */
static struct ws_stream *deflater_for(struct ws_zlib *z, struct ws_stream **own,
                                      const struct ws_deflate_terms *terms, unsigned memory_level,
                                      size_t n)
{
    int bits = terms->server_bits;
    if (terms->server_takeover) {
        if (*own == NULL)
            *own = deflater_new(bits, (int)memory_level);
        return *own;
    }
    bool is_small = n <= SMALL_BYTES && bits >= SMALL_BITS;
    struct ws_stream **shared = is_small ? &z->small : &z->deflaters[bits];
    if (*shared == NULL)
        *shared =
            is_small ? deflater_new(SMALL_BITS, SMALL_MEMORY) : deflater_new(bits, SHARED_MEMORY);
    else
        deflateReset(&(*shared)->z);
    return *shared;
}

/* Runs until all input is compressed and flushed. */
static int run_deflate(z_stream *z, struct ws_buffer *out)
{
    do {
        if (ws_buffer_reserve(out, STEP_BYTES) != 0)
            return SPRIG_E_NOMEM;
        size_t room = out->cap - out->n;
        z->next_out = (Bytef *)out->bytes + out->n;
        z->avail_out = room < UINT32_MAX ? (uInt)room : UINT32_MAX;
        uInt before = z->avail_out;
        deflate(z, Z_SYNC_FLUSH);
        out->n += before - z->avail_out;
    } while (z->avail_out == 0);
    return 0;
}

int ws_deflate(struct ws_zlib *z, struct ws_stream **own, const struct ws_deflate_terms *terms,
               unsigned memory_level, struct sprig_span message, struct ws_buffer *out)
{
    struct ws_stream *s = deflater_for(z, own, terms, memory_level, message.len);
    if (s == NULL)
        return SPRIG_E_NOMEM;
    if (message.len > UINT32_MAX)
        return SPRIG_E_LIMIT;
    s->z.next_in = (Bytef *)message.ptr;
    s->z.avail_in = (uInt)message.len;
    int rc = run_deflate(&s->z, out);
    if (rc != 0)
        return rc;
    if (out->n - out->at >= 4)
        out->n -= 4; /* 00 00 ff ff, RFC 7692 section 7.2.1 */
    return 0;
}

/* ------------------------------------------------------------ decompressing ---- */

static struct ws_stream *inflater_new(int bits)
{
    struct ws_stream *s = calloc(1, sizeof *s);
    if (s != NULL && inflateInit2(&s->z, -bits) == Z_OK)
        return s;
    free(s);
    return NULL;
}

/* A decompressor without its own window can handle any window of the client. */
static struct ws_stream *inflater_take(struct ws_zlib *z, const struct ws_deflate_terms *terms)
{
    struct ws_stream *s = z->spare;
    if (terms->client_takeover)
        return inflater_new(terms->client_bits);
    if (s == NULL)
        return inflater_new(15);
    z->spare = s->next_spare;
    z->n_spare--;
    inflateReset(&s->z);
    return s;
}

static void inflater_give_back(struct ws_zlib *z, struct ws_stream *s)
{
    if (z->n_spare >= MAX_SPARE) {
        inflateEnd(&s->z);
        free(s);
        return;
    }
    s->next_spare = z->spare;
    z->spare = s;
    z->n_spare++;
}

void ws_inflate_end(struct ws_zlib *z, struct ws_stream *own)
{
    (void)z;
    if (own == NULL)
        return;
    inflateEnd(&own->z);
    free(own);
}

/* Makes room for the next step; one byte more than allowed shows that there is too much. */
static int make_room(z_stream *z, struct ws_buffer *out, uint64_t max)
{
    uint64_t n = out->n - out->at, left = max != 0 ? max - n + 1 : STEP_BYTES;
    size_t step = left < STEP_BYTES ? (size_t)left : STEP_BYTES;
    if (ws_buffer_reserve(out, step) != 0)
        return -WS_CLOSE_ERROR;
    size_t room = out->cap - out->n;
    if (max != 0 && room > left)
        room = (size_t)left;
    z->next_out = (Bytef *)out->bytes + out->n;
    z->avail_out = room < UINT32_MAX ? (uInt)room : UINT32_MAX;
    return 0;
}

/* Decompresses all these bytes. */
static int run_inflate(z_stream *z, struct sprig_span bytes, uint64_t max, struct ws_buffer *out)
{
    z->next_in = (Bytef *)bytes.ptr;
    z->avail_in = (uInt)bytes.len; /* fits: from a receive buffer */
    do {
        int rc = make_room(z, out, max);
        if (rc != 0)
            return rc;
        uInt before = z->avail_out;
        rc = inflate(z, Z_SYNC_FLUSH);
        out->n += before - z->avail_out;
        if (max != 0 && out->n - out->at > max)
            return -WS_CLOSE_TOO_BIG;
        if (rc == Z_STREAM_END)
            inflateResetKeep(z); /* a final block is not the end here: RFC 7692 section 7.2.3.4 */
        else if (rc != Z_OK && rc != Z_BUF_ERROR)
            return -WS_CLOSE_NOT_UTF8;
    } while (z->avail_in > 0 || z->avail_out == 0);
    return 0;
}

/* Appends what the client removed from the end of a message (RFC 7692 section 7.2.2). It is an
 * empty block, and is read as one only after the end of another block: a message that was cut is
 * invalid. */
static int inflate_tail(z_stream *z, uint64_t max, struct ws_buffer *out)
{
    enum { LEFT_BITS = 0x3f, IS_LAST_BLOCK = 0x40, IS_BETWEEN_BLOCKS = 0x80 }; /* see zlib.h */
    if (z->total_in == 0)
        return 0; /* a final block came last, or this message has none */
    int rc = run_inflate(z, span_make("\0\0\xff\xff", 4), max, out);
    z->total_in = 0; /* for the next message */
    int place = z->data_type & (LEFT_BITS | IS_LAST_BLOCK | IS_BETWEEN_BLOCKS);
    return rc == 0 && place != IS_BETWEEN_BLOCKS ? -WS_CLOSE_NOT_UTF8 : rc;
}

int ws_inflate(struct ws_zlib *z, struct ws_stream **own, const struct ws_deflate_terms *terms,
               struct sprig_span piece, bool is_last, uint64_t max, struct ws_buffer *out)
{
    if (*own == NULL && (*own = inflater_take(z, terms)) == NULL)
        return -WS_CLOSE_ERROR;
    int rc = piece.len > 0 ? run_inflate(&(*own)->z, piece, max, out) : 0;
    if (rc == 0 && is_last)
        rc = inflate_tail(&(*own)->z, max, out);
    if (rc == 0 && is_last && !terms->client_takeover) {
        inflater_give_back(z, *own);
        *own = NULL;
    }
    return rc;
}

#else

bool ws_deflate_is_there(void)
{
    return false;
}

struct ws_zlib *ws_zlib_new(void)
{
    return NULL;
}

void ws_zlib_free(struct ws_zlib *z)
{
    (void)z;
}

int ws_deflate(struct ws_zlib *z, struct ws_stream **own, const struct ws_deflate_terms *terms,
               unsigned memory_level, struct sprig_span message, struct ws_buffer *out)
{
    (void)z, (void)own, (void)terms, (void)memory_level, (void)message, (void)out;
    return SPRIG_E_STATE;
}

void ws_deflate_end(struct ws_stream *own)
{
    (void)own;
}

void ws_deflate_forget(struct ws_stream *own)
{
    (void)own;
}

int ws_inflate(struct ws_zlib *z, struct ws_stream **own, const struct ws_deflate_terms *terms,
               struct sprig_span piece, bool is_last, uint64_t max, struct ws_buffer *out)
{
    (void)z, (void)own, (void)terms, (void)piece, (void)is_last, (void)max, (void)out;
    return -WS_CLOSE_ERROR;
}

void ws_inflate_end(struct ws_zlib *z, struct ws_stream *own)
{
    (void)z, (void)own;
}

#endif
