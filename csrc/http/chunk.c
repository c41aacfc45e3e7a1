/* chunk.c - the chunked transfer coding: framing byte by byte, data in spans. */
#include "http/chunk.h"
#include "http/chars.h"

/* The grammar of RFC 9112 section 7.1, without leniency:
 *
 *   SIZE -> [BWS -> EXTENSION] -> SIZE_LF -> DATA -> DATA_CR -> DATA_LF -> SIZE ...
 *   SIZE_LF of the last chunk -> LINE -> NAME -> VALUE -> VALUE_LF -> LINE ... -> END_LF -> DONE */
enum state {
    SIZE,      /* hex digits */
    BWS,       /* spaces after the size: only an extension may follow */
    EXTENSION, /* after ';', up to CR */
    SIZE_LF,   /* CR of the size line seen */
    DATA,      /* `left` bytes still to come */
    DATA_CR,   /* all data of the chunk seen */
    DATA_LF,   /* CR after the data seen */
    LINE,      /* at the start of a trailer line */
    NAME,      /* in the name of a trailer field */
    VALUE,     /* in its value, up to CR */
    VALUE_LF,  /* CR of a trailer line seen */
    END_LF,    /* CR of the final empty line seen */
    DONE,      /* complete */
    BAD,       /* refused with 400 */
    TOO_LARGE, /* refused with 431 */
    NO_MEMORY  /* refused with 503 */
};

void chunk_init(struct chunk *c, uint32_t max_trailer_bytes)
{
    *c = (struct chunk){.max_trailers = max_trailer_bytes};
}

void chunk_keep_trailers(struct chunk *c, struct trailers *trailers, uint32_t max_fields)
{
    c->trailers = trailers;
    c->max_fields = max_fields;
}

static void chunk_refuse(struct chunk *c, enum state state, const char *reason)
{
    c->state = (uint8_t)state;
    c->reason = reason;
}

/* Continues if the byte is the expected one. */
static void expect(struct chunk *c, char byte, char expected, enum state next, const char *reason)
{
    if (byte == expected)
        c->state = (uint8_t)next;
    else
        chunk_refuse(c, BAD, reason);
}

/* Also refuses a size if sizes could no longer be added up in an off_t. */
static void size_digit(struct chunk *c, char byte)
{
    if (c->n_digits == CHUNK_MAX_SIZE_DIGITS)
        return chunk_refuse(c, BAD, "chunk size too long");
    c->n_digits++;
    c->left = c->left << 4 | char_hex(byte);
    if (c->left > INT64_MAX - c->total)
        chunk_refuse(c, BAD, "chunk size too large");
}

static void size_byte(struct chunk *c, char byte)
{
    if (char_is(byte, CHAR_HEX))
        return size_digit(c, byte);
    if (c->n_digits == 0)
        return chunk_refuse(c, BAD, "chunk size is not hexadecimal");
    if (byte == '\r')
        c->state = SIZE_LF;
    else if (byte == ';')
        c->state = EXTENSION;
    else if (byte == ' ' || byte == '\t')
        c->state = BWS;
    else
        return chunk_refuse(c, BAD, "chunk size is not hexadecimal");
    c->n_extension = byte != '\r';
}

static void extension_byte(struct chunk *c, char byte)
{
    if (byte == '\r' && c->state == EXTENSION) {
        c->state = SIZE_LF;
        return;
    }
    if (c->state == BWS && byte != ';' && byte != ' ' && byte != '\t')
        return chunk_refuse(c, BAD, "garbage after a chunk size");
    if (!char_is(byte, CHAR_VALUE))
        return chunk_refuse(c, BAD, "control character in a chunk extension");
    if (c->n_extension == CHUNK_MAX_EXTENSION_BYTES)
        return chunk_refuse(c, BAD, "chunk extension too long");
    c->n_extension++;
    if (byte == ';')
        c->state = EXTENSION;
}

static void size_line_end(struct chunk *c, char byte)
{
    expect(c, byte, '\n', c->left ? DATA : LINE, "bare CR in a chunk size line");
    c->n_digits = 0;
}

static char lower(char byte)
{
    return byte >= 'A' && byte <= 'Z' ? (char)(byte | 0x20) : byte;
}

/* is_name: the byte is in a field name, or about to start one. */
static void keep_trailer(struct chunk *c, char byte, bool is_name)
{
    if (c->state == LINE && c->max_fields && c->trailers->n_fields == c->max_fields)
        return chunk_refuse(c, TOO_LARGE, "max_headers: there are too many trailers");
    c->trailers->n_fields += c->state == LINE;
    char kept = is_name ? lower(byte) : byte;
    if (!trailers_add(c->trailers, span_make(&kept, 1)))
        chunk_refuse(c, NO_MEMORY, "there is no memory for the trailers");
}

/* Takes a byte of the trailer section; all count towards the limit, except the final CRLF. */
static void trailer_byte(struct chunk *c, char byte)
{
    if (c->state == LINE && byte == '\r') {
        c->state = END_LF;
        return;
    }
    if (c->max_trailers && c->trailer_bytes == c->max_trailers)
        return chunk_refuse(c, TOO_LARGE, "trailers too large");
    c->trailer_bytes++;
    if (c->trailers != NULL)
        keep_trailer(c, byte, c->state == LINE || c->state == NAME);
    bool is_name = char_is(byte, CHAR_TOKEN);
    if (c->state == LINE)
        expect(c, is_name, true, NAME, "malformed trailer name");
    else if (c->state == NAME && !is_name)
        expect(c, byte, ':', VALUE, "malformed trailer name");
    else if (c->state == VALUE && !char_is(byte, CHAR_VALUE))
        expect(c, byte, '\r', VALUE_LF, "control character in a trailer");
    else if (c->state == VALUE_LF)
        expect(c, byte, '\n', LINE, "bare CR in a trailer");
}

static void framing_byte(struct chunk *c, char byte)
{
    switch ((enum state)c->state) {
    case SIZE:
        return size_byte(c, byte);
    case BWS:
    case EXTENSION:
        return extension_byte(c, byte);
    case SIZE_LF:
        return size_line_end(c, byte);
    case DATA_CR:
        return expect(c, byte, '\r', DATA_LF, "no CRLF after the data of a chunk");
    case DATA_LF:
        return expect(c, byte, '\n', SIZE, "no CRLF after the data of a chunk");
    case LINE:
    case NAME:
    case VALUE:
    case VALUE_LF:
        return trailer_byte(c, byte);
    case END_LF:
        return expect(c, byte, '\n', DONE, "bare CR after the last chunk");
    case DATA:
    case DONE:
    case BAD:
    case TOO_LARGE:
    case NO_MEMORY:
        return;
    }
}

static int take_data(struct chunk *c, struct sprig_span *in, struct sprig_span *data)
{
    size_t n = c->left < in->len ? (size_t)c->left : in->len;
    *data = span_make(in->ptr, n);
    *in = span_make(in->ptr + n, in->len - n);
    c->left -= n;
    c->total += n;
    if (c->left == 0)
        c->state = DATA_CR;
    return CHUNK_DATA;
}

int chunk_decode(struct chunk *c, struct sprig_span *in, struct sprig_span *data)
{
    while (c->state < DONE && in->len > 0) {
        if (c->state == DATA)
            return take_data(c, in, data);
        framing_byte(c, *in->ptr);
        in->ptr++;
        in->len--;
    }
    if (c->state < DONE)
        return CHUNK_MORE;
    return c->state == DONE        ? CHUNK_END
           : c->state == BAD       ? -400
           : c->state == TOO_LARGE ? -431
                                   : -503;
}

uint64_t chunk_announced(const struct chunk *c)
{
    return c->state == DATA ? c->left : 0;
}
