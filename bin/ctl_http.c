/* ctl_http.c - see ctl_http.h */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* struct sockaddr_un in full, asprintf */
#endif
#include "ctl_http.h"

#include "base/cloexec.h"
#include "base/config_file.h"
#include "ctl.h"
#include "process/admin.h"
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

enum { ASK_SECONDS = 10 };

/* ------------------------------------------------------------------------ finding ---- */

/* Reads the first bytes of a file, and adds a NUL; -1: errno. */
static ssize_t read_file(const char *path, char *buf, size_t n)
{
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return -1;
    size_t len = fread(buf, 1, n - 1, file);
    fclose(file);
    buf[len] = '\0';
    return (ssize_t)len;
}

static int read_token(struct ctl_server *server, const char *path, char *why, size_t n)
{
    ssize_t len = read_file(path, server->token, sizeof server->token);
    if (len < 0) {
        snprintf(why, n, "cannot read the token in %s: %s", path, strerror(errno));
        return -1;
    }
    while (len > 0 && isspace((unsigned char)server->token[len - 1]))
        server->token[--len] = '\0';
    return 0;
}

static int take_address(struct ctl_server *server, const char *text, char *why, size_t n)
{
    if (sprig_listen_spec_read(&server->address, text, why, n) != 0) {
        snprintf(why, n,
                 "'%s' is not the address of an admin listener: give unix:PATH or HOST:PORT", text);
        return -1;
    }
    sprig_listen_spec_print(&server->address, server->text, sizeof server->text);
    return 0;
}

static int take_config(struct ctl_server *server, const char *path, char *why, size_t n)
{
    struct sprig_config_file file;
    struct sprig_config config;
    if (sprig_config_file_read(&file, path, why, n) != 0)
        return -1;
    sprig_config_init(&config);
    snprintf(why, n, "%s has no option admin: add one, or give --admin ADDRESS", path);
    int rc = sprig_config_file_apply(&file, &config) == 0 && config.admin != NULL
                 ? take_address(server, config.admin, why, n)
                 : -1;
    if (rc == 0 && config.admin_token_file != NULL && *server->token == '\0')
        rc = read_token(server, config.admin_token_file, why, n);
    sprig_config_clear(&config);
    sprig_config_file_clear(&file);
    return rc;
}

/* Finds what the process was given: the word after `flag` in its words, or the environment's
 * `variable`. The last one counts. */
static const char *find_word(const char *words, size_t n, const char *flag, bool is_variable)
{
    const char *found = NULL;
    size_t len = strlen(flag);
    for (const char *w = words; w < words + n; w += strlen(w) + 1) {
        if (strncmp(w, flag, len) != 0)
            continue;
        if (w[len] == '=')
            found = w + len + 1;
        else if (!is_variable && w[len] == '\0' && w + len + 1 < words + n)
            found = w + len + 1;
    }
    return found;
}

/* Takes a running server's own note about its listener, see ADMIN_NOTE. 0; 1: there is no note. */
static int take_note(struct ctl_server *server, int pid, char *why, size_t n)
{
    static const char note[] = "/memfd:" ADMIN_NOTE;
    char folder[64], path[sizeof folder + 256], target[64], text[8192];
    int rc = 1;
    snprintf(folder, sizeof folder, "/proc/%d/fd", pid);
    DIR *dir = opendir(folder);
    for (struct dirent *e; dir != NULL && rc == 1 && (e = readdir(dir)) != NULL;) {
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        ssize_t len = readlink(path, target, sizeof target);
        if (len < (ssize_t)sizeof note - 1 || memcmp(target, note, sizeof note - 1) != 0 ||
            read_file(path, text, sizeof text) <= 0)
            continue;
        char *token = text + strcspn(text, "\n");
        *token++ = '\0';
        token[strcspn(token, "\n")] = '\0';
        rc = take_address(server, text, why, n);
        if (rc == 0 && *token != '\0' && *server->token == '\0')
            rc = read_token(server, token, why, n);
    }
    if (dir != NULL)
        closedir(dir);
    return rc;
}

/* Otherwise the command line and environment of a running server show where its listener is.
 * Relative paths start from its folder. */
static int take_pid(struct ctl_server *server, const char *path, char *why, size_t n)
{
    static char words[128 * 1024], environment[128 * 1024];
    char pid[32], name[64];
    if (read_file(path, pid, sizeof pid) < 0) {
        snprintf(why, n, "cannot read %s: %s", path, strerror(errno));
        return -1;
    }
    int rc = take_note(server, atoi(pid), why, n);
    if (rc <= 0)
        return rc;
    snprintf(name, sizeof name, "/proc/%d/cmdline", atoi(pid));
    ssize_t n_words = read_file(name, words, sizeof words);
    snprintf(name, sizeof name, "/proc/%d/environ", atoi(pid));
    ssize_t n_environment = read_file(name, environment, sizeof environment);
    snprintf(name, sizeof name, "/proc/%d/cwd", atoi(pid));
    if (n_words <= 0 || chdir(name) == -1) {
        snprintf(why, n, "%s does not name a running process (%d)", path, atoi(pid));
        return -1;
    }
    n_environment = n_environment < 0 ? 0 : n_environment;
    const char *token = find_word(words, (size_t)n_words, "--admin-token-file", false);
    const char *admin = find_word(words, (size_t)n_words, "--admin", false);
    const char *config = find_word(words, (size_t)n_words, "--config", false);
    if (admin == NULL)
        admin = find_word(environment, (size_t)n_environment, "SPRIG_ADMIN", true);
    if (token != NULL && *server->token == '\0' && read_token(server, token, why, n) != 0)
        return -1;
    if (admin != NULL)
        return take_address(server, admin, why, n);
    if (config != NULL)
        return take_config(server, config, why, n);
    snprintf(why, n,
             "process %d has no admin listener: start the server with --admin unix:PATH, or use "
             "signals, such as kill -TERM %d",
             atoi(pid), atoi(pid));
    return -1;
}

int ctl_find(struct ctl_server *server, const char *admin, const char *config, const char *pid,
             const char *token_file, char *why, size_t n)
{
    memset(server, 0, sizeof *server);
    if (token_file == NULL)
        token_file = getenv("SPRIG_ADMIN_TOKEN_FILE");
    if (token_file != NULL && *token_file != '\0' && read_token(server, token_file, why, n) != 0)
        return -1;
    if (config != NULL)
        return take_config(server, config, why, n);
    if (pid != NULL)
        return take_pid(server, pid, why, n);
    if (admin == NULL)
        admin = getenv("SPRIG_ADMIN");
    if (admin != NULL && *admin != '\0')
        return take_address(server, admin, why, n);
    snprintf(why, n,
             "which server? Give --admin ADDRESS, --config FILE or --pid FILE, or set "
             "SPRIG_ADMIN");
    return -1;
}

/* ------------------------------------------------------------------------- asking ---- */

static int connect_unix(const struct sprig_listen_spec *spec)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    size_t n = strlen(spec->path);
    bool is_abstract = spec->kind == SPRIG_LISTEN_ABSTRACT;
    memcpy(addr.sun_path + is_abstract, spec->path,
           n < sizeof addr.sun_path - 1 ? n : sizeof addr.sun_path - 1);
    socklen_t len = is_abstract ? (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + n)
                                : (socklen_t)sizeof addr;
    int fd = cloexec_socket(AF_UNIX, SOCK_STREAM, true);
    if (fd != -1 && connect(fd, (struct sockaddr *)&addr, len) == 0)
        return fd;
    int saved = errno;
    if (fd != -1)
        close(fd);
    errno = saved;
    return -1;
}

static int connect_tcp(const struct sprig_listen_spec *spec)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list, *a;
    int fd = -1;
    bool is_any = *spec->host == '\0' || strcmp(spec->host, "*") == 0;
    const char *host = is_any ? "127.0.0.1" : spec->host;
    if (getaddrinfo(host, spec->port, &hints, &list) != 0) {
        errno = EADDRNOTAVAIL;
        return -1;
    }
    for (a = list; a != NULL && fd == -1; a = a->ai_next) {
        fd = cloexec_socket(a->ai_family, SOCK_STREAM, true);
        if (fd != -1 && connect(fd, a->ai_addr, a->ai_addrlen) == -1) {
            int saved = errno;
            close(fd);
            errno = saved;
            fd = -1;
        }
    }
    freeaddrinfo(list);
    return fd;
}

static int open_server(const struct ctl_server *server)
{
    struct timeval limit = {ASK_SECONDS, 0};
    int fd = server->address.kind == SPRIG_LISTEN_TCP ? connect_tcp(&server->address)
                                                      : connect_unix(&server->address);
    if (fd == -1)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    return fd;
}

static int send_request(const struct ctl_server *server, int fd, const char *method,
                        const char *path)
{
    char *text;
    bool has_token = *server->token != '\0';
    int n =
        asprintf(&text,
                 "%s %s HTTP/1.1\r\nHost: localhost\r\nSprig-Control: 1\r\nConnection: close\r\n"
                 "%s%s%s\r\n",
                 method, path, has_token ? "Authorization: Bearer " : "", server->token,
                 has_token ? "\r\n" : "");
    if (n < 0)
        return -1;
    ssize_t sent = send(fd, text, (size_t)n, MSG_NOSIGNAL);
    free(text);
    return sent == n ? 0 : -1;
}

/* Reads everything, NUL-terminated; NULL: errno. */
static char *read_all(int fd, size_t *n)
{
    char *text = NULL;
    size_t cap = 0;
    *n = 0;
    for (;;) {
        if (cap - *n < 2) {
            char *larger = realloc(text, cap = 2 * cap + 16 * 1024);
            if (larger == NULL)
                break;
            text = larger;
        }
        ssize_t got = recv(fd, text + *n, cap - *n - 1, 0);
        if (got == -1 && errno == EINTR)
            continue;
        if (got == -1)
            break;
        if (got == 0) {
            text[*n] = '\0';
            return text;
        }
        *n += (size_t)got;
    }
    free(text);
    return NULL;
}

static int take_answer(char *text, struct ctl_answer *answer)
{
    char *body = strstr(text, "\r\n\r\n");
    if (sscanf(text, "HTTP/1.1 %d ", &answer->status) != 1 || body == NULL)
        return -1;
    answer->body = strdup(body + 4);
    return answer->body != NULL ? 0 : -1;
}

int ctl_ask(const struct ctl_server *server, const char *method, const char *path,
            struct ctl_answer *answer)
{
    size_t n = 0;
    *answer = (struct ctl_answer){.body = NULL};
    int fd = open_server(server);
    if (fd == -1) {
        snprintf(answer->why, sizeof answer->why, "no server answers at %s: %s", server->text,
                 strerror(errno));
        return -1;
    }
    char *text = send_request(server, fd, method, path) == 0 ? read_all(fd, &n) : NULL;
    int saved = errno;
    close(fd);
    int rc = text != NULL ? take_answer(text, answer) : -1;
    if (rc != 0)
        snprintf(answer->why, sizeof answer->why, "%s did not answer%s%s", server->text,
                 text == NULL ? ": " : "", text == NULL ? strerror(saved) : "");
    free(text);
    return rc;
}

void ctl_answer_clear(struct ctl_answer *answer)
{
    free(answer->body);
    answer->body = NULL;
}

int ctl_ask_or_say(const struct ctl_server *server, const char *method, const char *path,
                   struct ctl_answer *answer)
{
    if (ctl_ask(server, method, path, answer) != 0) {
        fprintf(stderr, "sprig ctl: %s\n", answer->why);
        return CTL_UNREACHABLE;
    }
    if (answer->status == 200)
        return 0;
    fprintf(stderr, "sprig ctl: %s", answer->body);
    ctl_answer_clear(answer);
    return EXIT_FAILURE;
}

double ctl_metric(const char *metrics, const char *name)
{
    size_t n = strlen(name);
    const char *line = metrics;
    while (line != NULL && (strncmp(line, name, n) != 0 || line[n] != ' ')) {
        line = strchr(line, '\n');
        line = line != NULL ? line + 1 : NULL;
    }
    return line != NULL ? strtod(line + n, NULL) : 0;
}
