/* master_sockets.c - a master's listening sockets; see master_internal.h */
#include "net/tls.h"
#include "process/master_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void bound_close(struct bound *b)
{
    for (uint32_t i = 0; i < b->n_sockets; i++)
        socket_close(&b->sockets[i]);
    free(b->sockets);
    free(b->place);
    memset(b, 0, sizeof *b);
}

static void bound_unlink(const struct bound *b)
{
    for (uint32_t k = 0; k < b->n_sockets; k++)
        socket_unlink(&b->sockets[k]);
}

void master_unlink_sockets(const struct sprig_master *m)
{
    for (size_t i = 0; i < m->n_bounds; i++)
        if (m->predecessor_fd == -1 || !m->bounds[i].is_inherited)
            bound_unlink(&m->bounds[i]);
}

void master_close_sockets(struct sprig_master *m, bool unlink)
{
    if (unlink)
        master_unlink_sockets(m);
    for (size_t i = 0; i < m->n_bounds; i++)
        bound_close(&m->bounds[i]);
    for (size_t i = 0; i < m->n_unwanted; i++)
        bound_close(&m->unwanted[i]);
    m->n_unwanted = 0;
}

static struct sprig_socket *bound_add(struct bound *b)
{
    struct sprig_socket *sockets = realloc(b->sockets, (b->n_sockets + 1) * sizeof *sockets);
    if (sockets == NULL)
        return NULL;
    b->sockets = sockets;
    return &sockets[b->n_sockets];
}

/* Makes room for another address, which counts only after master_keep_bound. */
static struct bound *master_add_bound(struct sprig_master *m)
{
    struct bound *bounds = realloc(m->bounds, (m->n_bounds + 1) * sizeof *bounds);
    if (bounds == NULL)
        return NULL;
    m->bounds = bounds;
    memset(&bounds[m->n_bounds], 0, sizeof *bounds);
    return bound_add(&bounds[m->n_bounds]) != NULL ? &bounds[m->n_bounds] : NULL;
}

static int master_keep_bound(struct sprig_master *m, struct bound *b, char *why, size_t n)
{
    b->n_sockets = 1;
    if (socket_address(b->sockets[0].fd, &b->address) != 0) {
        snprintf(why, n, "cannot tell the address of a socket: %s", strerror(errno));
        bound_close(b);
        return SPRIG_E_SYS;
    }
    b->address.is_tls = b->sockets[0].options.tls;
    m->n_bounds++;
    return 0;
}

/* Opens another socket on the address that the first one got. */
static int bound_open_next(const struct sprig_master *m, struct bound *b, char *why, size_t n)
{
    struct sprig_listen_spec spec;
    struct sprig_socket *s = bound_add(b);
    listen_spec_of_address(&spec, &b->address, &b->sockets[0].options);
    if (s == NULL || sockets_open(m->config, &spec, true, s, 1, why, n) != 1)
        return SPRIG_E_SYS;
    b->n_sockets++;
    return 0;
}

static bool bound_has_many(const struct sprig_master *m, const struct bound *b)
{
    return m->config->reuseport && !b->address.is_unix;
}

/* Takes the socket, also on failure. */
static int master_take_socket(struct sprig_master *m, struct sprig_socket *s, const char *place,
                              char *why, size_t n)
{
    struct bound *b = master_add_bound(m);
    if (b == NULL || (b->place = strdup(place)) == NULL) {
        snprintf(why, n, "out of memory");
        if (b != NULL)
            bound_close(b);
        socket_unlink(s);
        socket_close(s);
        return SPRIG_E_NOMEM;
    }
    b->sockets[0] = *s;
    b->is_wanted = true;
    int rc = master_keep_bound(m, b, why, n);
    while (rc == 0 && bound_has_many(m, b) && b->n_sockets < m->n_workers)
        rc = bound_open_next(m, b, why, n);
    return rc;
}

static int open_place(struct sprig_master *m, const struct sprig_listen_spec *spec,
                      const char *place, char *why, size_t n)
{
    struct sprig_socket sockets[SPRIG_LISTEN_MAX_ADDRESSES];
    int rc = 0, n_sockets = sockets_open(m->config, spec, m->config->reuseport, sockets,
                                         SPRIG_LISTEN_MAX_ADDRESSES, why, n);
    if (n_sockets < 0)
        return n_sockets;
    for (int i = 0; i < n_sockets; i++)
        if (rc == 0)
            rc = master_take_socket(m, &sockets[i], place, why, n);
        else
            socket_close(&sockets[i]);
    return rc;
}

/* Whether the previous master listened there, perhaps with other options. */
static bool inherit_place(struct sprig_master *m, const char *place,
                          const struct sprig_listen_options *options)
{
    bool is_here = false;
    for (size_t i = 0; i < m->n_bounds; i++) {
        struct bound *b = &m->bounds[i];
        if (!b->is_inherited || strcmp(b->place, place) != 0)
            continue;
        is_here = b->is_wanted = true;
        b->address.is_tls = options->tls;
        for (uint32_t k = 0; k < b->n_sockets; k++)
            b->sockets[k].options = *options;
    }
    return is_here;
}

/* If systemd or Server::Starter passed sockets, only these are used, whatever is configured. */
static bool has_foreign_sockets(const struct sprig_master *m)
{
    for (size_t i = 0; i < m->n_bounds; i++)
        if (m->bounds[i].is_inherited && m->bounds[i].place == NULL)
            return true;
    return false;
}

int sprig_master_listen(struct sprig_master *m, const struct sprig_listen_spec *spec, char *why,
                        size_t n)
{
    struct sprig_listen_spec place = *spec;
    char text[SPRIG_LISTEN_TEXT_BYTES];
    if (has_foreign_sockets(m))
        return 0;
    if (sockets_check(m->config, spec, why, n) != 0)
        return SPRIG_E_INVALID;
    memset(&place.options, 0, sizeof place.options);
    sprig_listen_spec_print(&place, text, sizeof text);
    return inherit_place(m, text, &spec->options) ? 0 : open_place(m, spec, text, why, n);
}

bool master_put_aside(struct sprig_master *m, const struct bound *b)
{
    struct bound *unwanted = realloc(m->unwanted, (m->n_unwanted + 1) * sizeof *unwanted);
    if (unwanted == NULL)
        return false;
    m->unwanted = unwanted;
    m->unwanted[m->n_unwanted++] = *b;
    return true;
}

/* Without memory to put an address aside, we go on listening there. */
void sprig_master_settle(struct sprig_master *m)
{
    size_t n_kept = 0;
    for (size_t i = 0; i < m->n_bounds; i++) {
        const struct bound *b = &m->bounds[i];
        if (b->is_wanted || b->place == NULL || !master_put_aside(m, b))
            m->bounds[n_kept++] = *b;
    }
    m->n_bounds = n_kept;
}

void master_close_unwanted(struct sprig_master *m)
{
    for (size_t i = 0; i < m->n_unwanted; i++) {
        sprig_log(SPRIG_LOG_INFO, "no longer listening on %s", m->unwanted[i].place);
        bound_unlink(&m->unwanted[i]);
        bound_close(&m->unwanted[i]);
    }
    m->n_unwanted = 0;
}

static bool has_tls(const struct sprig_master *m)
{
    for (size_t i = 0; i < m->n_bounds; i++)
        if (m->bounds[i].address.is_tls)
            return true;
    return false;
}

int master_open_tls(struct sprig_master *m, char *why, size_t n)
{
    if (m->tls == NULL && has_tls(m))
        m->tls = tls_context_open(m->config, why, n);
    return m->tls != NULL || !has_tls(m) ? 0 : SPRIG_E_INVALID;
}

int sprig_master_adopt(struct sprig_master *m, int fd, bool is_tls, char *why, size_t n)
{
    if (has_foreign_sockets(m)) {
        close(fd);
        return 0;
    }
    struct bound *b = master_add_bound(m);
    snprintf(why, n, "out of memory");
    int rc = b == NULL ? SPRIG_E_NOMEM : socket_adopt(m->config, fd, b->sockets, why, n);
    if (rc == 0) {
        b->sockets[0].options.tls = is_tls;
        return master_keep_bound(m, b, why, n);
    }
    if (b != NULL)
        bound_close(b);
    return rc;
}

const struct sprig_address *sprig_master_address(const struct sprig_master *m, size_t i)
{
    return i < m->n_bounds ? &m->bounds[i].address : NULL;
}

int master_move_sockets(struct sprig_master *m, struct sprig_worker *w)
{
    w->sockets = calloc(m->n_bounds + 1, sizeof *w->sockets);
    if (w->sockets == NULL)
        return SPRIG_E_NOMEM;
    for (size_t i = 0; i < m->n_bounds; i++) {
        struct bound *b = &m->bounds[i];
        struct sprig_socket *s = &b->sockets[(w->number - 1) % b->n_sockets];
        w->sockets[w->n_sockets] = *s;
        w->sockets[w->n_sockets++].made_path = false;
        s->fd = -1;
    }
    return 0;
}

int master_add_sockets(struct sprig_master *m, char *why, size_t n)
{
    for (size_t i = 0; i < m->n_bounds; i++) {
        struct bound *b = &m->bounds[i];
        if (bound_has_many(m, b) && b->n_sockets < m->n_workers &&
            bound_open_next(m, b, why, n) != 0)
            return SPRIG_E_SYS;
    }
    return 0;
}

void master_drop_sockets(struct sprig_master *m)
{
    for (size_t i = 0; i < m->n_bounds; i++)
        while (m->bounds[i].n_sockets > m->n_workers)
            socket_close(&m->bounds[i].sockets[--m->bounds[i].n_sockets]);
}

int master_add_socket(struct sprig_master *m, size_t index, const struct sprig_socket *s)
{
    struct bound *b = index < m->n_bounds ? &m->bounds[index] : master_add_bound(m);
    struct sprig_socket *room = b != NULL ? bound_add(b) : NULL;
    char why[512];
    if (room == NULL)
        return SPRIG_E_NOMEM;
    *room = *s;
    b->is_inherited = true;
    if (index == m->n_bounds)
        return master_keep_bound(m, b, why, sizeof why);
    b->n_sockets++;
    return 0;
}
