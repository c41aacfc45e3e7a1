/* request.c - request heads that outlive the receive buffer, and look-ups in them. */
#include "http/request.h"
#include "base/err.h"
#include "http/chars.h"
#include <stdlib.h>

bool request_begins_as_head(struct sprig_span bytes)
{
    while (bytes.len > 0 && (*bytes.ptr == '\r' || *bytes.ptr == '\n'))
        bytes.ptr++, bytes.len--;
    return bytes.len >= 5 && memcmp(bytes.ptr, "HEAD ", 5) == 0;
}

bool request_begins_as_1_1(struct sprig_span bytes)
{
    static const char version[] = " HTTP/1.1\r";
    size_t n = sizeof version - 1;
    const char *end = memchr(bytes.ptr, '\n', bytes.len);
    return end != NULL && (size_t)(end - bytes.ptr) >= n && memcmp(end - n, version, n) == 0;
}

static bool holds(struct sprig_span block, struct sprig_span s)
{
    return s.ptr && (uintptr_t)s.ptr >= (uintptr_t)block.ptr &&
           (uintptr_t)s.ptr < (uintptr_t)block.ptr + block.len;
}

/* Spans that do not point into the head are static text ("/") and stay as they are. */
static void rebase(struct sprig_span *s, struct sprig_span head, char *copy)
{
    if (holds(head, *s))
        s->ptr = copy + (s->ptr - head.ptr);
}

/* Allocates one block: the header array (first, for alignment), the head, and a uri that is not
 * part of the head. */
int request_own(struct sprig_request *req)
{
    if (req->own)
        return SPRIG_OK;
    struct sprig_span head = req->head;
    bool has_uri = req->uri.len && !holds(head, req->uri);
    size_t array = req->n_headers * sizeof(struct sprig_header);
    char *own = malloc(array + head.len + (has_uri ? req->uri.len : 0) + 1);
    if (!own)
        return SPRIG_E_NOMEM;
    char *copy = own + array;
    struct sprig_header *headers = (struct sprig_header *)(void *)own;
    if (array)
        memcpy(headers, req->headers, array);
    if (head.len)
        memcpy(copy, head.ptr, head.len);
    if (has_uri)
        req->uri.ptr = memcpy(copy + head.len, req->uri.ptr, req->uri.len);
    else
        rebase(&req->uri, head, copy);
    for (uint32_t i = 0; i < req->n_headers; i++) {
        rebase(&headers[i].name, head, copy);
        rebase(&headers[i].value, head, copy);
    }
    rebase(&req->method, head, copy);
    rebase(&req->target, head, copy);
    rebase(&req->path, head, copy);
    rebase(&req->query, head, copy);
    rebase(&req->authority, head, copy);
    req->head.ptr = copy;
    req->headers = headers;
    req->own = own;
    return SPRIG_OK;
}

void request_clear(struct sprig_request *req)
{
    free(req->own);
    memset(req, 0, sizeof *req);
}

void request_forget(struct sprig_request *req)
{
    const struct sprig_span none = {NULL, 0};
    free(req->own);
    req->own = NULL;
    req->head = req->method = req->target = req->uri = req->path = none;
    req->query = req->authority = none;
    req->headers = NULL;
    req->n_headers = 0;
}

struct sprig_span request_header(const struct sprig_request *req, struct sprig_span name)
{
    for (uint32_t i = 0; i < req->n_headers; i++)
        if (span_ieq(req->headers[i].name, name))
            return req->headers[i].value;
    return span_make(NULL, 0);
}

size_t request_decode_path(struct sprig_span path, char *out)
{
    char *to = out;
    for (size_t i = 0; i < path.len; i++) {
        if (path.ptr[i] == '%' && path.len - i > 2) {
            *to++ = (char)(char_hex(path.ptr[i + 1]) << 4 | char_hex(path.ptr[i + 2]));
            i += 2;
        } else {
            *to++ = path.ptr[i];
        }
    }
    return (size_t)(to - out);
}
