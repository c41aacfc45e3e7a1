/* pagi_mounts.c - the applications of a server; see pagi_mounts.h */
#include "pagi_mounts.h"

void psgi_server_mount(pTHX_ struct psgi_server *server, struct sprig_span path, SV *app,
                       bool is_pagi, HV *state)
{
    uint32_t at = server->n_mounts++;
    struct psgi_mount *mounts;

    while (path.len > 0 && path.ptr[path.len - 1] == '/')
        path.len--;
    Renew(server->mounts, server->n_mounts, struct psgi_mount);
    mounts = server->mounts;
    for (; at > 0 && mounts[at - 1].len < path.len; at--)
        mounts[at] = mounts[at - 1];
    mounts[at] = (struct psgi_mount){savepvn(path.ptr, path.len), path.len, newSVsv(app),
                                     (HV *)SvREFCNT_inc((SV *)state), is_pagi};
}

void psgi_server_unmount_all(pTHX_ struct psgi_server *server)
{
    for (uint32_t i = 0; i < server->n_mounts; i++) {
        Safefree(server->mounts[i].path);
        SvREFCNT_dec(server->mounts[i].app);
        SvREFCNT_dec((SV *)server->mounts[i].state);
    }
    Safefree(server->mounts);
    server->mounts = NULL;
    server->n_mounts = 0;
}

bool psgi_server_streams(const struct sprig_request *req, void *arg)
{
    const struct psgi_server *server = arg;
    const struct psgi_mount *mount =
        server->mounts != NULL ? psgi_server_find_mount(server, req->path) : NULL;

    return mount != NULL && mount->is_pagi;
}

const struct psgi_mount *psgi_server_find_mount(const struct psgi_server *server,
                                                struct sprig_span path)
{
    for (uint32_t i = 0; i < server->n_mounts; i++) {
        const struct psgi_mount *m = &server->mounts[i];
        if (path.len >= m->len && memcmp(path.ptr, m->path, m->len) == 0 &&
            (path.len == m->len || path.ptr[m->len] == '/'))
            return m;
    }
    return NULL;
}
