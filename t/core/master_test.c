/* The master with workers that do no more than tell who they are, or fail as they are told. */
#include "master.h"
#include "tap.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PATIENCE_MS = 20 * 1000 };

static char folder[] = "/tmp/sprig-master-XXXXXX";

/* ------------------------------------------------------------- files as signs ---- */

static const char *path_of(const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void set_mode(const char *mode)
{
    FILE *f = fopen(path_of("mode"), "w");
    fputs(mode, f);
    fclose(f);
}

static void get_mode(char *buf, size_t n)
{
    FILE *f = fopen(path_of("mode"), "r");
    buf[0] = '\0';
    if (f != NULL && fgets(buf, (int)n, f) == NULL)
        buf[0] = '\0';
    if (f != NULL)
        fclose(f);
}

static void note(const char *name, const char *text)
{
    int fd = open(path_of(name), O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (write(fd, text, strlen(text)) == -1)
        _exit(9);
    close(fd);
}

static int count_lines(const char *name)
{
    int n = 0, c;
    FILE *f = fopen(path_of(name), "r");
    while (f != NULL && (c = fgetc(f)) != EOF)
        n += c == '\n';
    if (f != NULL)
        fclose(f);
    return n;
}

static bool has_line(const char *name, const char *part)
{
    char line[2048];
    bool found = false;
    FILE *f = fopen(path_of(name), "r");
    while (f != NULL && !found && fgets(line, sizeof line, f) != NULL)
        found = strstr(line, part) != NULL;
    if (f != NULL)
        fclose(f);
    return found;
}

/* ------------------------------------------------------------------- a worker ---- */

static volatile sig_atomic_t told_to_leave;

static void leave(int signo)
{
    (void)signo;
    told_to_leave = 1;
}

static void say(int fd, const char *line)
{
    if (write(fd, line, strlen(line)) == -1)
        _exit(8);
}

static bool hears_probe(int fd)
{
    char word[16] = "";
    struct pollfd p = {.fd = fd, .events = POLLIN};
    poll(&p, 1, PATIENCE_MS);
    return read(fd, word, sizeof word - 1) == 6 && strcmp(word, "probe\n") == 0;
}

/* Answers each connection with "number generation pid". */
static void serve(const struct sprig_worker *w)
{
    struct pollfd fds[2] = {{.fd = w->sockets[0].fd, .events = POLLIN},
                            {.fd = w->control_fd, .events = POLLIN}};
    while (!told_to_leave) {
        char text[64], mode[64];
        if (poll(fds, 2, 100) < 1)
            continue;
        if (fds[1].revents)
            _exit(7);
        int fd = accept(w->sockets[0].fd, NULL, NULL);
        if (fd == -1)
            continue;
        get_mode(mode, sizeof mode); /* before the client can change it */
        snprintf(text, sizeof text, "%u %u %d", w->number, w->generation, (int)getpid());
        say(fd, text);
        close(fd);
        if (strcmp(mode, "retire") == 0)
            say(w->control_fd, "retire max_requests\n");
        if (strcmp(mode, "leaving") == 0) {
            say(w->control_fd, "leaving harakiri\n");
            break;
        }
    }
}

__attribute__((noreturn)) static void work(const struct sprig_worker *w)
{
    char mode[64];
    signal(SIGQUIT, leave);
    get_mode(mode, sizeof mode);
    note("starts", "x\n");
    if (strcmp(mode, "fail") == 0) {
        say(w->control_fd, "error the app is broken at line 3\n");
        _exit(1);
    }
    if (strcmp(mode, "long") == 0) {
        char text[1030];
        memset(text, 'x', sizeof text);
        memcpy(text, "error ", 6);
        strcpy(text + 1024, "ready"); /* where the next part would begin */
        say(w->control_fd, text);
        say(w->control_fd, "\n");
        _exit(1);
    }
    if (strcmp(mode, "hang") == 0)
        poll(NULL, 0, PATIENCE_MS);
    say(w->control_fd, "loaded\n");
    if (!hears_probe(w->control_fd))
        _exit(6);
    say(w->control_fd, "ready\n");
    if (strcmp(mode, "stuck") == 0) {
        signal(SIGQUIT, SIG_IGN);
        poll(NULL, 0, PATIENCE_MS);
    }
    serve(w);
    _exit(0);
}

/* ------------------------------------------------------------------ the master ---- */

static void sink(enum sprig_log_level level, const char *message, void *arg)
{
    char line[2048];
    (void)level, (void)arg;
    snprintf(line, sizeof line, "%s\n", message);
    note("log", line);
}

static void on_ready(void *arg)
{
    (void)arg;
    note("ready", "x\n");
}

__attribute__((noreturn)) static void be_master(const char *const *options, int port_fd)
{
    char why[1200] = "";
    char *argv[] = {NULL};
    struct sprig_config config;
    struct sprig_worker worker;
    sprig_log_set_sink(sink, SPRIG_LOG_INFO, NULL);
    sprig_config_init(&config);
    for (; *options != NULL; options += 2)
        sprig_config_set(&config, options[0], options[1], why, sizeof why);
    struct sprig_master *m = sprig_master_new(&config, argv, -1, why, sizeof why);
    sprig_master_on_ready(m, on_ready, NULL);
    struct sprig_listen_spec spec;
    if (sprig_listen_spec_read(&spec, "127.0.0.1:0", why, sizeof why) != 0 ||
        sprig_master_listen(m, &spec, why, sizeof why) != 0)
        note("log", why);
    dprintf(port_fd, "%s", sprig_master_address(m, 0)->port);
    close(port_fd);
    int rc = sprig_master_run(m, &worker, why, sizeof why);
    if (rc < 0)
        sink(SPRIG_LOG_ERROR, why, NULL);
    sprig_master_free(m);
    sprig_config_clear(&config);
    if (rc > 0)
        work(&worker);
    exit(rc == 0 ? 0 : 1);
}

struct run {
    pid_t pid;
    uint16_t port;
};

static struct run start(const char *mode, const char *const *options)
{
    int ends[2];
    char port[16] = "";
    struct run run;
    const char *files[] = {"mode", "starts", "log", "ready"};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        unlink(path_of(files[i]));
    set_mode(mode);
    fflush(stdout);
    if (pipe(ends) == -1)
        exit(1);
    run.pid = fork();
    if (run.pid == 0) {
        close(ends[0]);
        be_master(options, ends[1]);
    }
    close(ends[1]);
    if (read(ends[0], port, sizeof port - 1) < 1)
        diag("no port");
    close(ends[0]);
    run.port = (uint16_t)atoi(port);
    return run;
}

static uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

struct answer {
    unsigned number, generation;
    int pid;
};

/* False: refused. */
static bool ask(struct run run, struct answer *out)
{
    char text[64] = "";
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(run.port)};
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    bool is_good = connect(fd, (struct sockaddr *)&in, sizeof in) == 0 &&
                   read(fd, text, sizeof text - 1) > 0 &&
                   sscanf(text, "%u %u %d", &out->number, &out->generation, &out->pid) == 3;
    close(fd);
    return is_good;
}

/* Asks until somebody of that generation answers. */
static bool answers_in_generation(struct run run, unsigned generation)
{
    struct answer a;
    for (uint64_t end = now_ms() + PATIENCE_MS; now_ms() < end;)
        if (ask(run, &a) && a.generation == generation)
            return true;
    return false;
}

static bool comes_true(bool (*is_true)(const void *arg), const void *arg)
{
    for (uint64_t end = now_ms() + PATIENCE_MS; now_ms() < end; poll(NULL, 0, 10))
        if (is_true(arg))
            return true;
    return false;
}

static bool is_logged(const void *arg)
{
    return has_line("log", arg);
}

static bool is_ready(const void *arg)
{
    (void)arg;
    return count_lines("ready") > 0;
}

static bool have_started(const void *n)
{
    return count_lines("starts") >= *(const int *)n;
}

/* The exit status, or -1 if it does not end. Also notes how long it took. */
static int finish(struct run run, int signo, uint64_t *took_ms)
{
    int status;
    uint64_t begin = now_ms();
    kill(run.pid, signo);
    for (; now_ms() < begin + PATIENCE_MS; poll(NULL, 0, 5))
        if (waitpid(run.pid, &status, WNOHANG) == run.pid) {
            *took_ms = now_ms() - begin;
            return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
        }
    kill(run.pid, SIGKILL);
    waitpid(run.pid, &status, 0);
    return -1;
}

/* ------------------------------------------------------------------------ tests ---- */

static void test_life(void)
{
    const char *options[] = {"workers", "3", NULL};
    struct answer a = {0, 0, 0};
    uint64_t took;
    struct run run = start("ok", options);
    ok(answers_in_generation(run, 1), "workers serve");
    ok(ask(run, &a) && a.number >= 1 && a.number <= 3, "one of three");
    ok(a.pid != run.pid, "which is not the master");
    ok(comes_true(is_ready, NULL), "the master knows");
    ok(comes_true(have_started, &(int){3}), "the others start");
    is_int(finish(run, SIGTERM, &took), 0, "TERM ends it");
    is_int(count_lines("ready"), 1, "and has told so once");
    is_int(count_lines("starts"), 3, "three were started");
    ok(!ask(run, &a), "nobody listens");
}

static void test_crash(void)
{
    const char *options[] = {"workers", "1", NULL};
    struct answer first, next;
    uint64_t took;
    struct run run = start("ok", options);
    answers_in_generation(run, 1);
    ask(run, &first);
    kill(first.pid, SIGKILL);
    ok(ask(run, &next), "clients wait for the next worker");
    ok(first.pid != next.pid, "which is another process");
    ok(has_line("log", "ended by signal 9"), "and hear why");
    ok(has_line("log", "starts in 0.1 seconds"), "after a pause of 0.1 seconds");
    kill(next.pid, SIGKILL);
    ask(run, &next);
    ok(has_line("log", "starts in 0.2 seconds"), "then 0.2");
    is_int(finish(run, SIGINT, &took), 0, "INT ends it");
}

static void test_reload(void)
{
    const char *options[] = {"workers", "2", NULL};
    struct answer a;
    uint64_t took;
    struct run run = start("ok", options);
    answers_in_generation(run, 1);
    kill(run.pid, SIGHUP);
    ok(answers_in_generation(run, 2), "HUP brings a new generation");
    ok(comes_true(is_logged, "reloaded: all workers are of generation 2"), "in all slots");
    set_mode("fail");
    kill(run.pid, SIGHUP);
    ok(comes_true(is_logged,
                  "the reload failed and the old workers keep serving: the app is broken"),
       "an app that does not load is told of");
    ok(ask(run, &a) && a.generation == 2, "and the old workers serve on");
    set_mode("ok");
    kill(run.pid, SIGHUP);
    ok(answers_in_generation(run, 4), "the next reload is a new one");
    is_int(finish(run, SIGQUIT, &took), 0, "QUIT ends it");
}

static void test_failing_app(void)
{
    const char *options[] = {"workers", "4", NULL};
    struct answer a;
    uint64_t took;
    struct run run = start("ok", options);
    comes_true(have_started, &(int){4});
    answers_in_generation(run, 1);
    set_mode("fail");
    for (int i = 0; i < 4; i++)
        if (ask(run, &a))
            kill(a.pid, SIGKILL);
    poll(NULL, 0, 3200);
    int n = count_lines("starts");
    ok(n >= 4 + 3 && n <= 4 + 4 + 5, "few starts in 3 seconds: %d", n);
    is_int(count_lines("log"), 4 + 1, "one message, besides those of the four that were killed");
    ok(has_line("log", "the app is broken at line 3"), "with the reason");
    set_mode("ok");
    ok(answers_in_generation(run, 1), "it goes on as soon as the app loads");
    is_int(finish(run, SIGTERM, &took), 0, "TERM ends it");
}

static void test_failing_app_ends(void)
{
    const char *options[] = {"workers", "4", NULL};
    uint64_t took;
    struct run run = start("fail", options);
    is_int(finish(run, 0, &took), 1, "a first start that fails ends the master with status 1");
    is_int(count_lines("log"), 1, "one message");
    ok(has_line("log", "the app is broken at line 3"), "with the reason");
}

static void test_slow_start(void)
{
    const char *options[] = {"workers", "2", "start_timeout", "0.2", NULL};
    uint64_t took;
    struct run run = start("hang", options);
    is_int(finish(run, 0, &took), 1, "workers that hang are given up");
    ok(has_line("log", "not ready within start_timeout; raise it if loading takes longer"),
       "with the reason");
}

static void test_long_error(void)
{
    const char *options[] = {"workers", "2", NULL};
    uint64_t took;
    struct run run = start("long", options);
    is_int(finish(run, 0, &took), 1, "the master ends");
    ok(has_line("log", "xxx"), "a long error is told");
    is_int(count_lines("ready"), 0, "and not taken for more");
}

static void test_number_of_workers(void)
{
    const char *options[] = {"workers", "1", NULL};
    uint64_t took;
    struct run run = start("ok", options);
    answers_in_generation(run, 1);
    kill(run.pid, SIGTTIN);
    ok(comes_true(is_logged, "2 workers"), "TTIN: one more");
    kill(run.pid, SIGTTOU);
    ok(comes_true(is_logged, "1 workers"), "TTOU: one less");
    ok(answers_in_generation(run, 1), "it serves on");
    is_int(finish(run, SIGTERM, &took), 0, "TERM ends it");
}

static bool is_second(const void *arg)
{
    (void)arg;
    return count_lines("starts") >= 2;
}

static void test_replaced_on_request(const char *mode)
{
    const char *options[] = {"workers", "1", NULL};
    struct answer first, next;
    uint64_t took;
    struct run run = start("ok", options);
    answers_in_generation(run, 1);
    set_mode(mode);
    ask(run, &first);
    set_mode("ok");
    ok(comes_true(is_second, NULL), "%s: the next one starts", mode);
    do
        ask(run, &next);
    while (next.pid == first.pid);
    ok(!has_line("log", "ended"), "%s: that is no crash", mode);
    is_int(finish(run, SIGTERM, &took), 0, "TERM ends it");
}

static void test_stuck_worker(void)
{
    const char *options[] = {"workers", "1", "graceful_timeout", "0.1", NULL};
    uint64_t took;
    struct run run = start("stuck", options);
    comes_true(is_ready, NULL);
    kill(run.pid, SIGTERM);
    poll(NULL, 0, 1100); /* sooner it would say the same once more */
    is_int(finish(run, SIGTERM, &took), 0, "a second TERM ends it");
    ok(took < 3000, "though a worker is stuck");
}

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    signal(SIGPIPE, SIG_IGN);
    if (mkdtemp(folder) == NULL)
        return 1;
    test_life();
    test_crash();
    test_reload();
    test_failing_app();
    test_failing_app_ends();
    test_slow_start();
    test_long_error();
    test_number_of_workers();
    test_replaced_on_request("retire");
    test_replaced_on_request("leaving");
    test_stuck_worker();
    const char *files[] = {"mode", "starts", "log", "ready"};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        unlink(path_of(files[i]));
    rmdir(folder);
    return done_testing();
}
