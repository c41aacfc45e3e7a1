/* listen_spec.h - an address to listen on, as users write it. */
#ifndef SPRIG_LISTEN_SPEC_H
#define SPRIG_LISTEN_SPEC_H

#include <stdbool.h>
#include <stddef.h>

struct sprig_address;

/* The options of an address. They travel with its sockets. */
struct sprig_listen_options {
    bool proxy_protocol; /* connections begin with a PROXY header */
    bool tls;            /* connections speak TLS */
    bool redirect;       /* requests are sent to the address with TLS */
    bool h2c;            /* they may speak HTTP/2 without it, which they say at once */
};

/* One of them: the word after the address, the key in a Perl hash, and the bit in what a process
 * tells its successor about its sockets. The bit stays the same from version to version. */
struct sprig_listen_flag {
    const char *name;
    size_t offset;
    unsigned bit;
};

/* All, in the order in which they are printed. */
const struct sprig_listen_flag *sprig_listen_flags(size_t *n);

static inline bool *sprig_listen_flag(struct sprig_listen_options *options,
                                      const struct sprig_listen_flag *flag)
{
    return (bool *)((char *)options + flag->offset);
}

enum sprig_listen_kind {
    SPRIG_LISTEN_TCP,
    SPRIG_LISTEN_UNIX,    /* a path */
    SPRIG_LISTEN_ABSTRACT /* a name without a file, Linux only (unix(7)) */
};

struct sprig_listen_spec {
    enum sprig_listen_kind kind;
    char host[256]; /* TCP: a name or an address without brackets; "": all IPv4 addresses; "*":
                     * those and all IPv6 addresses, where the machine has any */
    char port[6];   /* TCP: decimal, 0 to 65535; 0: any free one */
    char path[108]; /* unix: absolute; abstract: the name without '@' */
    struct sprig_listen_options options;
};

/* Reads PORT, :PORT, *:PORT, HOST:PORT, [IPV6]:PORT; unix:PATH or a path with a slash; @NAME or
 * unix:@NAME. Each may have the suffixes ",tls", ",redirect" or ",h2c", and ",proxy_protocol". A
 * relative path is made absolute. Returns 0, or SPRIG_E_INVALID, and `why` (n bytes) has the
 * address, what is wrong, and the valid forms. */
int sprig_listen_spec_read(struct sprig_listen_spec *out, const char *text, char *why, size_t n);

/* Writes the address as sprig_listen_spec_read would read it. Returns buf (n >=
 * SPRIG_LISTEN_TEXT_BYTES). */
enum { SPRIG_LISTEN_TEXT_BYTES = 320 };
char *sprig_listen_spec_print(const struct sprig_listen_spec *spec, char *buf, size_t n);

/* The most sockets for one name or port; further addresses are left out. */
enum { SPRIG_LISTEN_MAX_ADDRESSES = 16 };

/* Writes "host:port", with brackets if the host is an IPv6 address without them. Returns buf. */
char *sprig_listen_join(const char *host, const char *port, char *buf, size_t n);

/* The spec of a TCP address that is already bound. */
void listen_spec_of_address(struct sprig_listen_spec *out, const struct sprig_address *address,
                            const struct sprig_listen_options *options);

#endif
