/* guide.c - requests that are not for the app: plain HTTP where TLS is spoken, and everything on an
 * address with ",redirect", whose clients are sent to https. Files that a certificate authority
 * wants to see before it signs are served from acme_dir (RFC 8555 section 8.3). */
#include "h1/h1.h"

#include "serve/listener.h"
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* The longest answer to a challenge, and the longest redirect address. */
enum { CHALLENGE_BYTES = 16 * 1024, LOCATION_BYTES = 16 * 1024 };

static const char plain_on_tls[] = "plain HTTP on an address with TLS";
static const char needs_tls[] = "Plain HTTP was sent to an address that speaks HTTPS.\n";

static void guide_answer(struct sprig_conn *c, int status, const char *location,
                         struct sprig_span body)
{
    struct sprig_header headers[] = {
        {SPAN_LIT("Content-Type"), SPAN_LIT("text/plain")},
        {SPAN_LIT("Connection"), SPAN_LIT("close")},
        {SPAN_LIT("Location"), span_str(location != NULL ? location : "")},
    };
    struct sprig_head head = {status, headers, location != NULL ? 3 : 2, body.len};
    bool is_head = h1_of(c)->ex->in->request.is_head;
    conn_log_refusal(c, h1_of(c)->ex, span_make(NULL, 0), status,
                     status == 400 ? plain_on_tls : NULL, is_head ? 0 : body.len);
    h1_answer(c, &head, body);
}

/* ----------------------------------------------------------------- to https ---- */

/* "example.org" for "example.org:80"; brackets stay. */
static struct sprig_span without_port(struct sprig_span host)
{
    const char *end = host.len > 0 && *host.ptr == '[' ? memchr(host.ptr, ']', host.len)
                                                       : memchr(host.ptr, ':', host.len);
    if (end != NULL)
        host.len = (size_t)(end - host.ptr) + (*end == ']');
    return host;
}

/* The port of the first TLS address; "" if it is the default, or unknown. */
static const char *tls_port(const struct sprig_server *server)
{
    list_foreach (it, &server->listeners) {
        const struct sprig_listener *l = list_entry(it, struct sprig_listener, link);
        if (l->address.is_tls && !l->address.is_unix)
            return strcmp(l->address.port, "443") != 0 ? l->address.port : "";
    }
    return "";
}

/* The https address of what the client asked for. False: the request does not name a host, or the
 * address is too long. */
static bool print_location(const struct sprig_conn *c, char *location)
{
    const struct sprig_request *req = &h1_of(c)->ex->in->request;
    struct sprig_span host =
        req->authority.ptr != NULL ? req->authority : request_header(req, SPAN_LIT("Host"));
    const char *port = "";
    if (host.len == 0)
        return false;
    if (c->aim == AIM_REDIRECTED) {
        host = without_port(host);
        port = tls_port(c->server);
    }
    bool has_path = req->uri.len > 0 && *req->uri.ptr == '/';
    int len = snprintf(location, LOCATION_BYTES, "https://%.*s%s%s%.*s", (int)host.len, host.ptr,
                       *port != '\0' ? ":" : "", port, has_path ? (int)req->uri.len : 1,
                       has_path ? req->uri.ptr : "/");
    return len > 0 && len < LOCATION_BYTES;
}

static void guide_to_https(struct sprig_conn *c)
{
    char location[LOCATION_BYTES];
    if (print_location(c, location))
        guide_answer(c, 308, location, SPAN_LIT(""));
    else
        h1_refuse(c, 400, "nothing says where to redirect to");
}

/* --------------------------------------------------------------- challenges ---- */

/* Reads the token in a path; "" if it is another path or not a token. */
static bool read_token(struct sprig_span path, char *token, size_t n)
{
    static const char start[] = "/.well-known/acme-challenge/";
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
    size_t n_start = sizeof start - 1, len = path.len - n_start;
    if (path.len <= n_start || memcmp(path.ptr, start, n_start) != 0 || len >= n)
        return false;
    memcpy(token, path.ptr + n_start, len);
    token[len] = '\0';
    return token[strspn(token, letters)] == '\0';
}

/* Reads a small file in the folder itself, or in the subfolder that certbot and others use. */
static ssize_t read_challenge(const char *dir, const char *token, char *buf)
{
    static const char *const below[] = {"/.well-known/acme-challenge", ""};
    char path[1400];
    struct stat st;
    ssize_t n = -1;
    for (size_t i = 0; i < 2 && n == -1; i++) {
        snprintf(path, sizeof path, "%s%s/%s", dir, below[i], token);
        int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        if (fd == -1)
            continue;
        if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
            n = read(fd, buf, CHALLENGE_BYTES);
        close(fd);
    }
    return n;
}

/* True: it was a challenge. */
static bool guide_challenge(struct sprig_conn *c)
{
    char token[256], buf[CHALLENGE_BYTES];
    const char *dir = c->server->config.acme_dir;
    if (dir == NULL || !read_token(h1_of(c)->ex->in->request.path, token, sizeof token))
        return false;
    ssize_t n = read_challenge(dir, token, buf);
    if (n >= 0)
        guide_answer(c, 200, NULL, span_make(buf, (size_t)n));
    else
        guide_answer(c, 404, NULL, SPAN_LIT("there is no such challenge\n"));
    return true;
}

void h1_guide(struct sprig_conn *c)
{
    if (c->aim == AIM_REDIRECTED && guide_challenge(c))
        return;
    if (c->aim == AIM_REDIRECTED || c->server->config.tls_redirect) {
        guide_to_https(c);
        return;
    }
    struct client_name client = conn_client_name(c, h1_of(c)->ex);
    c->server->counters.n_refused++;
    guide_answer(c, 400, NULL, span_make(needs_tls, sizeof needs_tls - 1));
    conn_tell_of(c, &client, 400, plain_on_tls);
}
