/* fields.c - the rules for Host, Content-Length, Transfer-Encoding, Connection, Upgrade, Expect. */
#include "http/fields.h"
#include "base/number.h"
#include "http/chars.h"
#include "http/elements.h"
#include "http/parser.h"
#include "http/target.h"

/* Which headers have been seen so far. */
struct fields_seen {
    bool host, transfer_encoding, content_type, content_range, authorization;
    bool unknown_coding;
    bool close, keep_alive, upgrade; /* options in Connection */
    bool protocol;                   /* Upgrade names a protocol that an app might speak */
};

static int fields_refuse(struct parser_refusal *why, int status, const char *reason)
{
    *why = (struct parser_refusal){status, reason};
    return -status;
}

/* Checks a field that may appear only once in a message. */
static int check_single(bool *seen, struct parser_refusal *why, const char *reason)
{
    if (*seen)
        return fields_refuse(why, 400, reason);
    *seen = true;
    return 0;
}

static int check_host(struct fields_seen *seen, struct sprig_span value, struct parser_refusal *why)
{
    if (check_single(&seen->host, why, "two Host headers") < 0)
        return -400;
    if (value.len && !target_is_authority(value))
        return fields_refuse(why, 400, "invalid Host");
    return 0;
}

static int check_length(struct sprig_request *req, struct sprig_span value,
                        struct parser_refusal *why)
{
    if (req->has_content_length)
        return fields_refuse(why, 400, "two Content-Length headers");
    req->has_content_length = true;
    if (number_read(value, INT64_MAX, &req->content_length))
        return 0;
    for (size_t i = 0; i < value.len; i++)
        if (!char_is(value.ptr[i], CHAR_DIGIT))
            return fields_refuse(why, 400, "invalid Content-Length");
    return fields_refuse(why, 400,
                         value.len ? "Content-Length too large" : "invalid Content-Length");
}

static bool is_token(struct sprig_span s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!char_is(s.ptr[i], CHAR_TOKEN))
            return false;
    return s.len > 0;
}

/* A coding after "chunked", or a second "chunked", leaves the body without an end: 400, not 501. */
static int check_coding(struct sprig_request *req, struct fields_seen *seen,
                        struct sprig_span value, struct parser_refusal *why)
{
    if (check_single(&seen->transfer_encoding, why, "two Transfer-Encoding headers") < 0)
        return -400;
    if (req->version < 11)
        return fields_refuse(why, 400, "Transfer-Encoding in HTTP/1.0");
    struct sprig_span coding;
    while (element_first(&value, &coding)) {
        if (!is_token(coding))
            return fields_refuse(why, 400, "malformed Transfer-Encoding");
        if (req->chunked)
            return fields_refuse(why, 400, "chunked is not the last transfer coding");
        if (span_ieq(coding, SPAN_LIT("chunked")))
            req->chunked = true;
        else
            seen->unknown_coding = true;
    }
    return 0;
}

static void read_connection(struct fields_seen *seen, struct sprig_span value)
{
    struct sprig_span option;
    while (element_first(&value, &option)) {
        if (span_ieq(option, SPAN_LIT("close")))
            seen->close = true;
        else if (span_ieq(option, SPAN_LIT("keep-alive")))
            seen->keep_alive = true;
        else if (span_ieq(option, SPAN_LIT("upgrade")))
            seen->upgrade = true;
    }
}

static void read_upgrade(struct fields_seen *seen, struct sprig_span value)
{
    struct sprig_span protocol;
    while (element_first(&value, &protocol))
        if (protocol.len && !span_ieq(protocol, SPAN_LIT("h2c")))
            seen->protocol = true;
}

static int check_expect(struct sprig_request *req, struct sprig_span value,
                        struct parser_refusal *why)
{
    struct sprig_span expectation;
    while (req->version >= 11 && element_first(&value, &expectation)) {
        if (expectation.len == 0)
            continue;
        if (!span_ieq(expectation, SPAN_LIT("100-continue")))
            return fields_refuse(why, 417, "unknown expectation");
        req->expect_continue = true;
    }
    return 0;
}

/* Checks one header; the length of the name rules out most that do not matter for framing. */
static int check_field(struct sprig_request *req, struct fields_seen *seen,
                       const struct sprig_header *h, struct parser_refusal *why)
{
    switch (h->name.len) {
    case 4:
        return name_is(h->name, "host") ? check_host(seen, h->value, why) : 0;
    case 6:
        return name_is(h->name, "expect") ? check_expect(req, h->value, why) : 0;
    case 7:
        if (name_is(h->name, "upgrade"))
            read_upgrade(seen, h->value);
        return 0;
    case 10:
        if (name_is(h->name, "connection"))
            read_connection(seen, h->value);
        return 0;
    case 12:
        return name_is(h->name, "content-type")
                   ? check_single(&seen->content_type, why, "two Content-Type headers")
                   : 0;
    case 13:
        if (name_is(h->name, "authorization"))
            return check_single(&seen->authorization, why, "two Authorization headers");
        return name_is(h->name, "content-range")
                   ? check_single(&seen->content_range, why, "two Content-Range headers")
                   : 0;
    case 14:
        return name_is(h->name, "content-length") ? check_length(req, h->value, why) : 0;
    case 17:
        return name_is(h->name, "transfer-encoding") ? check_coding(req, seen, h->value, why) : 0;
    default:
        return 0;
    }
}

int fields_check(struct sprig_request *req, struct parser_refusal *why)
{
    struct fields_seen seen = {0};
    req->has_content_length = req->chunked = req->expect_continue = false;
    req->content_length = 0;
    for (uint32_t i = 0; i < req->n_headers; i++) {
        int rc = check_field(req, &seen, &req->headers[i], why);
        if (rc < 0)
            return rc;
    }
    if (seen.transfer_encoding && req->has_content_length)
        return fields_refuse(why, 400, "Content-Length with Transfer-Encoding");
    if (req->version == 11 && !seen.host)
        return fields_refuse(why, 400, "no Host header");
    if (seen.unknown_coding)
        return fields_refuse(why, 501, "unknown transfer coding");
    req->keep_alive = !seen.close && (req->version >= 11 || seen.keep_alive);
    req->upgrade = (req->version >= 11 && seen.upgrade && seen.protocol) ||
                   span_eq(req->method, SPAN_LIT("CONNECT"));
    req->is_head = span_eq(req->method, SPAN_LIT("HEAD"));
    return 0;
}
