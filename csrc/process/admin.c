/* admin.c - sockets and connections of the admin listener; see admin.h */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* memfd_create */
#endif
#include "process/admin_internal.h"

#include "base/cloexec.h"
#include "base/err.h"
#include "http/parser.h"
#include "net/inherited.h"
#include "process/processes.h"
#include "sprig.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0
#endif

/* ------------------------------------------------------------------- connections ---- */

static void conn_drop(struct admin_conn *c)
{
    if (c->fd != -1)
        close(c->fd);
    text_clear(&c->in);
    text_clear(&c->out);
    *c = (struct admin_conn){.fd = -1};
}

static void conn_wait(struct admin_conn *c, enum admin_waits waits, int ms)
{
    c->waits = waits;
    c->due_ms = clock_ms() + (uint64_t)ms;
}

/* If all places are taken, the connection that has waited longest makes room. */
static struct admin_conn *find_place(struct admin *a)
{
    struct admin_conn *oldest = &a->conns[0];
    for (int i = 0; i < ADMIN_MAX_CONNS; i++) {
        if (a->conns[i].fd == -1)
            return &a->conns[i];
        if (a->conns[i].due_ms < oldest->due_ms)
            oldest = &a->conns[i];
    }
    conn_drop(oldest);
    return oldest;
}

static void accept_all(struct admin *a, int fd)
{
    for (int i = 0; i < ADMIN_MAX_CONNS; i++) {
        int client = cloexec_accept(fd, NULL, NULL);
        if (client == -1)
            return;
        struct admin_conn *c = find_place(a);
        c->fd = client;
        conn_wait(c, WAITS_FOR_HEAD, ADMIN_TIMEOUT_MS);
    }
}

/* Reads what has arrived before the close, so that the close is not a reset. */
static void conn_finish(struct admin_conn *c)
{
    char rest[4096];
    shutdown(c->fd, SHUT_WR);
    for (int i = 0; i < 16 && recv(c->fd, rest, sizeof rest, MSG_DONTWAIT) > 0; i++)
        ;
    conn_drop(c);
}

static void conn_send(struct admin_conn *c)
{
    while (c->n_sent < c->out.len) {
        ssize_t n = send(c->fd, c->out.ptr + c->n_sent, c->out.len - c->n_sent,
                         MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n == -1 && errno == EINTR)
            continue;
        if (n == -1 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            if (c->waits != WAITS_FOR_CLIENT)
                conn_wait(c, WAITS_FOR_CLIENT, ADMIN_TIMEOUT_MS);
            return;
        }
        if (n <= 0) {
            conn_drop(c);
            return;
        }
        c->n_sent += (size_t)n;
        if (c->waits == WAITS_FOR_CLIENT)
            conn_wait(c, WAITS_FOR_CLIENT, ADMIN_TIMEOUT_MS);
    }
    if (c->is_last) {
        conn_finish(c);
        return;
    }
    if (c->waits == WAITS_FOR_CLIENT)
        conn_wait(c, WAITS_FOR_EVENT, ADMIN_EVENT_MS);
    text_clear(&c->out);
    c->n_sent = 0;
}

static void conn_take_head(struct admin *a, struct admin_conn *c)
{
    static const struct parser_limits limits = {4096, ADMIN_MAX_HEAD, 100};
    struct parser parser;
    struct parser_scratch scratch = {.headers = NULL};
    struct sprig_request req;
    struct parser_refusal why;
    memset(&req, 0, sizeof req);
    parser_init(&parser);
    long n = parser_head(&parser, span_make(c->in.ptr, c->in.len), &limits, &scratch, &req, &why);
    if (n < 0)
        admin_answer_status(c, why.status, "", why.reason);
    else if (n == 0 && c->in.len >= ADMIN_MAX_HEAD)
        admin_answer_status(c, 431, "", "the head is too large");
    else if (n > 0)
        admin_answer(a, c, &req);
    request_clear(&req);
    scratch_clear(&scratch);
    if (c->out.len > 0)
        conn_send(c);
}

static void conn_receive(struct admin *a, struct admin_conn *c)
{
    char buffer[4096];
    ssize_t n = recv(c->fd, buffer, sizeof buffer, MSG_DONTWAIT);
    if (n == -1 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return;
    if (n <= 0) {
        conn_drop(c);
        return;
    }
    if (c->waits != WAITS_FOR_HEAD || c->out.len > 0)
        return; /* one request per connection: later input is ignored */
    text_add_bytes(&c->in, buffer, (size_t)n);
    conn_take_head(a, c);
}

static void conn_run_due(struct admin *a, struct admin_conn *c, uint64_t now)
{
    bool is_due = now >= c->due_ms;
    if (c->waits == WAITS_FOR_CONNS && (is_due || admin_has_all_conns(a))) {
        admin_answer_conns(a, c);
        conn_send(c);
    } else if (c->waits == WAITS_FOR_EVENT && is_due) {
        admin_add_event(a, c);
        conn_wait(c, WAITS_FOR_EVENT, ADMIN_EVENT_MS);
        conn_send(c);
    } else if (is_due) {
        conn_drop(c);
    } else if (c->waits == WAITS_FOR_CONNS) {
        a->host.ask(a->host.arg); /* the worker may have been about to sleep */
    }
}

void admin_run(struct admin *a)
{
    struct pollfd fds[ADMIN_MAX_POLL];
    uint64_t now = clock_ms();
    size_t n = admin_poll(a, fds, ADMIN_MAX_POLL);
    if (poll(fds, (nfds_t)n, 0) == -1)
        return;
    for (size_t i = 0; i < n; i++) {
        if (fds[i].revents == 0)
            continue;
        for (size_t k = 0; k < a->n_sockets; k++)
            if (a->sockets[k].fd == fds[i].fd)
                accept_all(a, fds[i].fd);
        for (int k = 0; k < ADMIN_MAX_CONNS; k++) {
            struct admin_conn *c = &a->conns[k];
            if (c->fd != fds[i].fd)
                continue;
            if (fds[i].revents & POLLOUT)
                conn_send(c);
            else
                conn_receive(a, c);
        }
    }
    for (int k = 0; k < ADMIN_MAX_CONNS; k++)
        if (a->conns[k].fd != -1)
            conn_run_due(a, &a->conns[k], now);
}

size_t admin_poll(const struct admin *a, struct pollfd *fds, size_t max)
{
    size_t n = 0;
    for (size_t i = 0; i < a->n_sockets && n < max; i++)
        fds[n++] = (struct pollfd){.fd = a->sockets[i].fd, .events = POLLIN};
    for (int i = 0; i < ADMIN_MAX_CONNS && n < max; i++) {
        const struct admin_conn *c = &a->conns[i];
        short events = c->out.len > c->n_sent ? POLLIN | POLLOUT : POLLIN;
        if (c->fd != -1)
            fds[n++] = (struct pollfd){.fd = c->fd, .events = events};
    }
    return n;
}

int admin_timeout(const struct admin *a)
{
    uint64_t now = clock_ms(), least = UINT64_MAX;
    for (int i = 0; i < ADMIN_MAX_CONNS; i++) {
        const struct admin_conn *c = &a->conns[i];
        if (c->fd == -1)
            continue;
        uint64_t ms = c->due_ms > now ? c->due_ms - now : 0;
        if (c->waits == WAITS_FOR_CONNS && ms > ADMIN_ASK_TICK_MS)
            ms = ADMIN_ASK_TICK_MS;
        least = ms < least ? ms : least;
    }
    return least == UINT64_MAX ? -1 : (int)least;
}

/* ----------------------------------------------------------------- open and close ---- */

/* Address options are for addresses that serve clients, so they are refused here. */
static int check_flags(struct sprig_listen_spec *spec, char *why, size_t n)
{
    size_t n_flags;
    const struct sprig_listen_flag *flags = sprig_listen_flags(&n_flags);
    for (size_t i = 0; i < n_flags; i++)
        if (*sprig_listen_flag(&spec->options, &flags[i])) {
            snprintf(why, n, "admin must be an address alone, without ',%s'", flags[i].name);
            return SPRIG_E_INVALID;
        }
    return 0;
}

static bool is_loopback(const struct sprig_address *address)
{
    return strncmp(address->host, "127.", 4) == 0 || strcmp(address->host, "::1") == 0;
}

static int refuse_open(const char *address, char *why, size_t n)
{
    snprintf(why, n,
             "admin must be a unix socket or a loopback address unless admin_token_file is given, "
             "got '%s'",
             address);
    return SPRIG_E_INVALID;
}

/* A host name is resolved only when the address is opened. */
static bool is_far(const struct sprig_listen_spec *spec)
{
    struct sprig_address address = {.is_unix = false};
    snprintf(address.host, sizeof address.host, "%.*s", (int)sizeof address.host - 1, spec->host);
    bool is_number = spec->host[strspn(spec->host, "0123456789.:abcdefABCDEF*")] == '\0';
    return spec->kind == SPRIG_LISTEN_TCP && is_number && !is_loopback(&address);
}

int admin_check(const struct sprig_config *config, char *why, size_t n)
{
    struct sprig_listen_spec spec;
    char reason[512];
    if (config->admin == NULL)
        return 0;
    if (sprig_listen_spec_read(&spec, config->admin, reason, sizeof reason) != 0) {
        snprintf(why, n, "admin must be unix:PATH, @NAME or HOST:PORT, got '%s'", config->admin);
        return SPRIG_E_INVALID;
    }
    if (check_flags(&spec, why, n) != 0)
        return SPRIG_E_INVALID;
    bool is_open = is_far(&spec) && config->admin_token_file == NULL;
    return is_open ? refuse_open(config->admin, why, n) : 0;
}

static int open_address(struct admin *a, char *why, size_t n)
{
    struct sprig_listen_spec spec;
    struct sprig_config config;
    int fd = sprig_inherited_admin();
    if (fd != -1) {
        a->n_sockets = 1;
        return socket_adopt(a->host.config, fd, a->sockets, why, n);
    }
    int rc = admin_check(a->host.config, why, n);
    if (rc == 0)
        rc = sprig_listen_spec_read(&spec, a->host.config->admin, why, n);
    if (rc != 0)
        return rc;
    if (sprig_config_copy(&config, a->host.config) != 0)
        return SPRIG_E_NOMEM;
    rc = sprig_config_set(&config, "socket_mode", "600", why, n);
    if (rc == 0)
        rc = sockets_open(&config, &spec, false, a->sockets, ADMIN_MAX_SOCKETS, why, n);
    sprig_config_clear(&config);
    if (rc < 0)
        return rc;
    a->n_sockets = (size_t)rc;
    return 0;
}

static void take_sockets(struct admin *a, const struct sprig_socket *sockets, size_t n)
{
    a->n_sockets = n < ADMIN_MAX_SOCKETS ? n : ADMIN_MAX_SOCKETS;
    if (n == 0)
        return;
    memcpy(a->sockets, sockets, a->n_sockets * sizeof *sockets);
}

/* Over TCP, everybody on the machine or beyond it could ask. */
static int check_sockets(struct admin *a, char *why, size_t n)
{
    a->is_local = true;
    for (size_t i = 0; i < a->n_sockets; i++) {
        struct sprig_address address;
        if (socket_address(a->sockets[i].fd, &address) != 0)
            continue;
        a->is_local = a->is_local && address.is_unix;
        if (address.is_unix || a->token != NULL || is_loopback(&address))
            continue;
        const char *given = a->host.config->admin;
        return refuse_open(given != NULL ? given : "a socket of systemd", why, n);
    }
    return 0;
}

static void write_note(struct admin *a)
{
#ifdef MFD_CLOEXEC
    char where[SPRIG_LISTEN_TEXT_BYTES];
    const char *token = a->host.config->admin_token_file;
    struct sprig_address address;
    if (a->n_sockets == 0 || socket_address(a->sockets[0].fd, &address) != 0)
        return;
    if (address.is_unix)
        snprintf(where, sizeof where, "unix:%s", address.port);
    else
        sprig_listen_join(address.host, address.port, where, sizeof where);
    a->note_fd = memfd_create(ADMIN_NOTE, MFD_CLOEXEC);
    if (a->note_fd != -1)
        dprintf(a->note_fd, "%s\n%s\n", where, token != NULL ? token : "");
#endif
}

struct admin *admin_open(const struct admin_host *host, const struct sprig_socket *sockets,
                         size_t n_sockets, char *why, size_t n)
{
    struct admin *a = calloc(1, sizeof *a);
    snprintf(why, n, "out of memory");
    if (a == NULL)
        return NULL;
    a->host = *host;
    a->note_fd = -1;
    for (int i = 0; i < ADMIN_MAX_CONNS; i++)
        a->conns[i].fd = -1;
    take_sockets(a, sockets, n_sockets);
    int rc = admin_read_token(a, why, n);
    if (rc == 0 && n_sockets == 0)
        rc = open_address(a, why, n);
    if (rc == 0)
        rc = check_sockets(a, why, n);
    if (rc == 0) {
        write_note(a);
        return a;
    }
    admin_close(a, true);
    return NULL;
}

void admin_abandon(struct admin *a)
{
    if (a->note_fd != -1)
        close(a->note_fd);
    for (size_t i = 0; i < a->n_sockets; i++)
        close(a->sockets[i].fd);
    for (int i = 0; i < ADMIN_MAX_CONNS; i++)
        if (a->conns[i].fd != -1)
            close(a->conns[i].fd);
}

void admin_close(struct admin *a, bool unlink)
{
    if (a == NULL)
        return;
    for (size_t i = 0; i < a->n_sockets; i++) {
        if (unlink)
            socket_unlink(&a->sockets[i]);
        socket_close(&a->sockets[i]);
    }
    for (int i = 0; i < ADMIN_MAX_CONNS; i++)
        conn_drop(&a->conns[i]);
    if (a->note_fd != -1)
        close(a->note_fd);
    free(a->token);
    free(a);
}

void admin_set_config(struct admin *a, const struct sprig_config *config)
{
    a->host.config = config;
}

const struct sprig_socket *admin_sockets(const struct admin *a, size_t *n)
{
    *n = a->n_sockets;
    return a->sockets;
}
