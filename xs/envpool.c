/* envpool.c - a server's envs that wait for their next request. */
#include "env.h"

#include "base/stats.h"

static struct psgi_env *env_new(pTHX)
{
    struct psgi_env *env;

    Newxz(env, 1, struct psgi_env);
    env->hv = newHV();
    hv_ksplit(env->hv, 48);
    return env;
}

void psgi_env_free(pTHX_ struct psgi_env *env)
{
    HV *hv = env->hv;
    SV *bytes = env->bytes;
    SV *ref = env->ref;

    Safefree(env);
    SvREFCNT_dec((SV *)hv);
    SvREFCNT_dec(bytes);
    SvREFCNT_dec(ref);
}

struct psgi_env *psgi_env_take(pTHX_ struct psgi_server *server)
{
    struct psgi_env *env = server->spare_envs;

    if (env == NULL) {
        server->psgi->n_env_built++;
        stats_add(STAT_ENV_BUILT, 1);
        return env_new(aTHX);
    }
    server->spare_envs = env->next;
    server->n_spare_envs--;
    server->psgi->n_env_recycled++;
    stats_add(STAT_ENV_RECYCLED, 1);
    return env;
}

void psgi_env_pool_clear(pTHX_ struct psgi_server *server)
{
    while (server->spare_envs != NULL) {
        struct psgi_env *env = server->spare_envs;
        server->spare_envs = env->next;
        server->n_spare_envs--;
        psgi_env_free(aTHX_ env);
    }
}
