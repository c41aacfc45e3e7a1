/* privileges.c - giving up root; see privileges.h */
#include "base/privileges.h"

#include "base/err.h"
#include "base/number.h"
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool privileges_read_mode(const char *text, unsigned *mode)
{
    unsigned v = 0;
    size_t len = strlen(text);
    if (len == 0 || len > 4 || strspn(text, "01234567") != len)
        return false;
    for (const char *p = text; *p; p++)
        v = v * 8 + (unsigned)(*p - '0');
    *mode = v;
    return v <= 0777;
}

void privileges_set_umask(const struct sprig_config *config)
{
    unsigned mask;
    if (config->umask != NULL && privileges_read_mode(config->umask, &mask))
        umask((mode_t)mask);
}

int privileges_socket_umask(const struct sprig_config *config)
{
    unsigned mode;
    if (config->socket_mode == NULL || !privileges_read_mode(config->socket_mode, &mode))
        return -1;
    return (int)(~mode & 0777);
}

/* ----------------------------------------------------------------- who is meant ---- */

struct identity {
    const char *name; /* the user's, to look up its groups; NULL: only a number is known */
    uid_t uid;
    gid_t gid;
    bool has_user, has_group;
};

/* The highest number is not an id: to the system it means "leave as is". */
static bool read_number(const char *text, uint32_t *out)
{
    uint64_t n;
    if (!number_read(span_str(text), UINT32_MAX - 1, &n))
        return false;
    *out = (uint32_t)n;
    return true;
}

static bool find_user(const char *user, struct identity *id)
{
    uint32_t number;
    struct passwd *pw = getpwnam(user);
    bool is_number = pw == NULL && read_number(user, &number);
    if (is_number)
        pw = getpwuid((uid_t)number);
    if (pw == NULL && !is_number)
        return false;
    id->has_user = true;
    id->uid = pw != NULL ? pw->pw_uid : (uid_t)number;
    id->gid = pw != NULL ? pw->pw_gid : (gid_t)number;
    id->name = pw != NULL ? pw->pw_name : NULL;
    return true;
}

static bool find_group(const char *group, struct identity *id)
{
    uint32_t number;
    struct group *gr = getgrnam(group);
    if (gr == NULL && !read_number(group, &number))
        return false;
    id->has_group = true;
    id->gid = gr != NULL ? gr->gr_gid : (gid_t)number;
    return true;
}

/* `prefix` goes before the option names in the message. */
static int find_names(const char *user, const char *group, const char *prefix, struct identity *id,
                      char *why, size_t n)
{
    memset(id, 0, sizeof *id);
    id->gid = getegid();
    if (user != NULL && !find_user(user, id))
        snprintf(why, n, "%suser: there is no user '%s'", prefix, user);
    else if (group != NULL && !find_group(group, id))
        snprintf(why, n, "%sgroup: there is no group '%s'", prefix, group);
    else
        return 0;
    return SPRIG_E_INVALID;
}

static int find_identity(const struct sprig_config *config, struct identity *id, char *why,
                         size_t n)
{
    return find_names(config->user, config->group, "", id, why, n);
}

int privileges_check_owner(const struct sprig_config *config, char *why, size_t n)
{
    struct identity id;
    return find_names(config->socket_user, config->socket_group, "socket_", &id, why, n);
}

/* Who gets the unix sockets. False: nobody is named. */
static bool find_owner(const struct sprig_config *config, struct identity *id)
{
    bool is_named = config->socket_user != NULL || config->socket_group != NULL;
    const char *user = config->socket_user, *group = config->socket_group;
    char why[300];
    if (user == NULL)
        user = config->user;
    if (group == NULL && config->socket_user == NULL)
        group = config->group;
    if (!is_named && geteuid() != 0)
        return false;
    return find_names(user, group, "", id, why, sizeof why) == 0 && (id->has_user || id->has_group);
}

/* --------------------------------------------------------------------- changing ---- */

int privileges_give_socket(const struct sprig_config *config, const char *path, dev_t dev,
                           ino_t ino)
{
    struct identity id;
    struct stat st;
    if (!find_owner(config, &id))
        return 0;
    int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd == -1)
        return SPRIG_E_SYS;
    int rc = -1;
    if (fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode) && st.st_dev == dev && st.st_ino == ino)
        rc = fchownat(fd, "", id.has_user ? id.uid : (uid_t)-1, id.gid, AT_EMPTY_PATH);
    close(fd);
    return rc == 0 ? 0 : SPRIG_E_SYS;
}

void privileges_give_file(const struct sprig_config *config, int fd)
{
    struct identity id;
    struct stat st;
    char why[300];
    bool is_new = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == 0 && st.st_uid == 0 &&
                  st.st_nlink == 1;
    if (geteuid() == 0 && is_new && find_identity(config, &id, why, sizeof why) == 0 &&
        id.has_user && fchown(fd, id.uid, id.gid) == -1)
        return; /* this one can be written to; if it cannot be opened again later, that is reported
                 * then */
}

static bool is_already(const struct identity *id)
{
    return (!id->has_user || (getuid() == id->uid && geteuid() == id->uid)) &&
           (!id->has_group || (getgid() == id->gid && getegid() == id->gid));
}

static int set_groups(const struct identity *id)
{
    if (id->name != NULL)
        return initgroups(id->name, id->gid);
    return setgroups(1, &id->gid);
}

int privileges_drop(const struct sprig_config *config, char *why, size_t n)
{
    struct identity id;
    int rc = find_identity(config, &id, why, n);
    if (rc != 0 || (!id.has_user && !id.has_group) || (geteuid() != 0 && is_already(&id)))
        return rc;
    if (set_groups(&id) == -1 || setresgid(id.gid, id.gid, id.gid) == -1 ||
        (id.has_user && setresuid(id.uid, id.uid, id.uid) == -1)) {
        snprintf(why, n, "cannot become user %s, group %s: %s", config->user ? config->user : "-",
                 config->group ? config->group : "-", strerror(errno));
        return SPRIG_E_SYS;
    }
    if (id.has_user && id.uid != 0 && setuid(0) == 0) {
        snprintf(why, n, "cannot give up root's privileges");
        return SPRIG_E_SYS;
    }
    return 0;
}
