/* watcher_test.c - io, timer, signal and idle watchers, and what a fork does to them. */
#include "base/clock.h"
#include "loop/loop_internal.h"
#include "tap.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static struct sprig_loop *loop;
static int pair[2];
static int n_calls, last_what;

static void open_pair(void)
{
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == -1)
        abort();
    n_calls = last_what = 0;
}

static void close_pair(void)
{
    close(pair[0]);
    close(pair[1]);
}

static void say(int fd)
{
    if (write(fd, "x", 1) != 1)
        abort();
}

static void count_io(struct sprig_io *io, int what, void *arg)
{
    (void)io, (void)arg;
    n_calls++;
    last_what |= what;
}

static void free_itself(struct sprig_io *io, int what, void *arg)
{
    count_io(io, what, arg);
    sprig_io_free(io);
}

/* Frees the watcher behind the pointer, and forgets it. */
static void free_other(struct sprig_io *io, int what, void *arg)
{
    struct sprig_io **other = arg;
    count_io(io, what, arg);
    if (*other != NULL)
        sprig_io_free(*other);
    *other = NULL;
}

/* -------------------------------------------------------------------- io ---- */

static void all_watchers_of_a_descriptor_run(void)
{
    open_pair();
    struct sprig_io *io[4];
    for (int i = 0; i < 3; i++)
        io[i] = sprig_io_new(loop, pair[0], SPRIG_READ, count_io, NULL);
    io[3] = sprig_io_new(loop, pair[0], SPRIG_WRITE, count_io, NULL);
    sprig_loop_pass(loop, false);
    ok(n_calls == 1 && last_what == SPRIG_WRITE, "only what is ready runs");
    say(pair[1]);
    n_calls = 0;
    sprig_loop_pass(loop, true);
    ok(n_calls == 4 && last_what == (SPRIG_READ | SPRIG_WRITE), "every watcher runs");
    sprig_io_free(io[3]);
    sprig_io_free(io[1]);
    n_calls = 0;
    sprig_loop_pass(loop, true);
    ok(n_calls == 2, "the others stay when one goes");
    sprig_io_free(io[0]);
    sprig_io_free(io[2]);
    n_calls = 0;
    sprig_loop_pass(loop, false);
    ok(n_calls == 0, "the last one ends it");
    close_pair();
}

static void watchers_may_be_freed_in_callbacks(void)
{
    open_pair();
    say(pair[1]);
    struct sprig_io *a, *b;
    a = sprig_io_new(loop, pair[0], SPRIG_READ, free_other, &b);
    b = sprig_io_new(loop, pair[0], SPRIG_READ, free_other, &a);
    sprig_loop_pass(loop, true);
    ok(n_calls == 1 && (a == NULL || b == NULL), "a watcher freed by another one does not run");
    sprig_io_free(a != NULL ? a : b);
    n_calls = 0;
    sprig_io_new(loop, pair[0], SPRIG_READ, free_itself, NULL);
    sprig_loop_pass(loop, true);
    sprig_loop_pass(loop, false);
    ok(n_calls == 1, "a watcher may free itself");
    close_pair();
}

static void regular_files_are_always_ready(void)
{
    n_calls = 0;
    int fd = open("/dev/null", O_RDWR);
    char path[] = "/tmp/sprig-watcher-XXXXXX";
    int file = mkstemp(path);
    unlink(path);
    struct sprig_io *a = sprig_io_new(loop, fd, SPRIG_READ, count_io, NULL);
    struct sprig_io *b = sprig_io_new(loop, file, SPRIG_READ | SPRIG_WRITE, count_io, NULL);
    ok(a != NULL && b != NULL, "regular files and /dev/null can be watched");
    sprig_loop_pass(loop, true);
    sprig_loop_pass(loop, true);
    ok(n_calls == 4, "and are ready in every pass");
    sprig_io_free(a);
    sprig_io_free(b);
    ok(!always_any(loop), "until they are not watched any more");
    close(fd);
    close(file);
}

static void bad_descriptors_are_refused(void)
{
    open_pair();
    close_pair();
    struct sprig_io *io = sprig_io_new(loop, pair[0], SPRIG_READ, count_io, NULL);
    ok(io == NULL && errno == EBADF, "a closed descriptor is refused");
    io = sprig_io_new(loop, -1, SPRIG_READ, count_io, NULL);
    ok(io == NULL && errno == EBADF, "and a negative one");
    io = sprig_io_new(loop, 0, 0, count_io, NULL);
    ok(io == NULL && errno == EINVAL, "and a watcher for nothing");
}

/* A program that closes first and drops its watcher later is wrong, but it is not to break the next
 * user of the number. */
static void a_number_may_be_used_again(void)
{
    open_pair();
    struct sprig_io *old = sprig_io_new(loop, pair[0], SPRIG_READ, free_itself, NULL);
    int number = pair[0];
    close_pair();
    open_pair();
    ok(pair[0] == number, "the number is used again");
    struct sprig_io *io = sprig_io_new(loop, number, SPRIG_READ, count_io, NULL);
    sprig_io_free(old);
    say(pair[1]);
    sprig_loop_pass(loop, false);
    ok(n_calls == 1, "a new watcher sees the new file, also when the old one goes later");
    sprig_io_free(io);
    close_pair();
}

/* ----------------------------------------------------------------- timers ---- */

static void count_timer(struct sprig_timer *timer, void *arg)
{
    (void)timer, (void)arg;
    n_calls++;
}

static void free_timer(struct sprig_timer *timer, void *arg)
{
    count_timer(timer, arg);
    sprig_timer_free(timer);
}

static void block_ms(int ms)
{
    uint64_t until = clock_monotonic_ns() + (uint64_t)ms * 1000000;
    while (clock_monotonic_ns() < until)
        ;
}

static void timers_run(void)
{
    n_calls = 0;
    uint64_t before = clock_monotonic_ns();
    sprig_timer_new(loop, 0.010, 0.005, free_timer, NULL);
    while (n_calls == 0)
        sprig_loop_pass(loop, true);
    ok(clock_monotonic_ns() - before >= 10000000, "a timer is never early, and may free itself");
    sprig_loop_pass(loop, false);
    ok(n_calls == 1 && timers_next(loop) == TIMERS_NONE, "with all its later turns");
    sprig_timer_new(loop, -1, 0, free_timer, NULL);
    ok(n_calls == 1, "a span below 0 is not run at once");
    sprig_loop_pass(loop, true);
    ok(n_calls == 2, "but in the next pass");
    struct sprig_timer *t = sprig_timer_new(loop, 1e300, 0, count_timer, NULL);
    ok(timers_next(loop) > clock_monotonic_ns() && timers_next(loop) != TIMERS_NONE,
       "endless spans");
    sprig_timer_free(t);
}

static void the_shortest_interval_repeats(void)
{
    n_calls = 0;
    struct sprig_timer *t = sprig_timer_new(loop, 0, 1e-10, count_timer, NULL);
    for (int i = 0; i < 1000 && n_calls < 3; i++)
        sprig_loop_pass(loop, false);
    is_int(n_calls, 3, "an interval of less than a nanosecond is not once");
    sprig_timer_free(t);
}

static void intervals_neither_drift_nor_catch_up(void)
{
    n_calls = 0;
    /* an interval that even a busy machine does not miss */
    struct sprig_timer *t = sprig_timer_new(loop, 0.005, 2, count_timer, NULL);
    uint64_t first = timers_next(loop);
    sprig_loop_pass(loop, true);
    ok(timers_next(loop) == first + 2000000000, "the next turn counts from the last one's time");
    sprig_timer_free(t);
    n_calls = 0;
    t = sprig_timer_new(loop, 0.005, 0.005, count_timer, NULL);
    block_ms(40);
    sprig_loop_pass(loop, true);
    sprig_loop_pass(loop, false);
    int n_at_once = n_calls;
    sprig_timer_free(t);
    ok(n_at_once <= 3, "turns that were missed are not made up for");
}

/* ---------------------------------------------------------------- signals ---- */

static int n_foreign;

static void count_signal(struct sprig_signal *w, int signo, void *arg)
{
    (void)w, (void)arg;
    n_calls += signo == SIGUSR1;
}

static void foreign_handler(int signo)
{
    (void)signo;
    n_foreign++;
}

static void signals_run_all_their_watchers(void)
{
    n_calls = n_foreign = 0;
    signal(SIGUSR1, foreign_handler);
    struct sprig_signal *a = sprig_signal_new(loop, SIGUSR1, count_signal, NULL);
    struct sprig_signal *b = sprig_signal_new(loop, SIGUSR1, count_signal, NULL);
    raise(SIGUSR1);
    raise(SIGUSR1);
    ok(n_calls == 0 && signals_pending(loop), "a signal waits for the pass");
    sprig_loop_pass(loop, true);
    ok(n_calls == 2 && n_foreign == 0, "each watcher runs once, the old handler does not");
    sprig_signal_free(a);
    raise(SIGUSR1);
    sprig_loop_pass(loop, true);
    ok(n_calls == 3, "the other watcher stays");
    sprig_signal_free(b);
    raise(SIGUSR1);
    ok(n_foreign == 1 && !signals_pending(loop), "after the last one the old handler is back");
}

static void a_newer_handler_is_left_alone(void)
{
    n_foreign = 0;
    signal(SIGUSR1, SIG_DFL);
    struct sprig_signal *w = sprig_signal_new(loop, SIGUSR1, count_signal, NULL);
    signal(SIGUSR1, foreign_handler);
    sprig_signal_free(w);
    raise(SIGUSR1);
    ok(n_foreign == 1, "a handler set by others meanwhile is left alone");
    ok(sprig_signal_new(loop, SIGKILL, count_signal, NULL) == NULL, "SIGKILL cannot be watched");
    ok(sprig_signal_new(loop, 0, count_signal, NULL) == NULL && errno == EINVAL, "nor can 0");
}

/* What the end of a scope with `local %SIG` does. */
static void a_default_action_is_taken_back(void)
{
    n_calls = 0;
    signal(SIGUSR1, SIG_DFL);
    struct sprig_signal *w = sprig_signal_new(loop, SIGUSR1, count_signal, NULL);
    signal(SIGUSR1, SIG_DFL);
    sprig_timer_new(loop, 0.001, 0, free_timer, NULL);
    sprig_loop_pass(loop, true);
    n_calls = 0;
    raise(SIGUSR1);
    sprig_loop_pass(loop, true);
    ok(n_calls == 1, "a signal that was set to its default is ours again after the next sleep");
    sprig_signal_free(w);
}

static void a_signal_ends_the_sleep(void)
{
    n_calls = 0;
    struct sprig_signal *w = sprig_signal_new(loop, SIGUSR1, count_signal, NULL);
    pid_t child = fork();
    if (child == 0) {
        block_ms(20);
        kill(getppid(), SIGUSR1);
        _exit(0);
    }
    sprig_loop_pass(loop, true);
    ok(n_calls == 1, "a signal ends the sleep");
    waitpid(child, NULL, 0);
    sprig_signal_free(w);
}

/* ------------------------------------------------------------------- idle ---- */

static void count_idle(struct sprig_idle *w, void *arg)
{
    (void)w;
    ++*(int *)arg;
}

static void idle_runs_when_nothing_else_does(void)
{
    open_pair();
    int n_idle = 0;
    struct sprig_idle *w = sprig_idle_new(loop, count_idle, &n_idle);
    struct sprig_io *io = sprig_io_new(loop, pair[0], SPRIG_READ, count_io, NULL);
    sprig_loop_pass(loop, true);
    sprig_loop_pass(loop, true);
    ok(n_idle == 2, "idle watchers run in a pass without events, which does not sleep");
    say(pair[1]);
    sprig_loop_pass(loop, true);
    ok(n_idle == 2 && n_calls == 1, "and not in one with events");
    sprig_io_free(io);
    sprig_idle_free(w);
    close_pair();
}

/* ------------------------------------------------------------------- fork ---- */

static int exit_status(pid_t child)
{
    int status = -1;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void a_child_that_frees_watchers_leaves_the_parent_alone(void)
{
    open_pair();
    struct sprig_io *io = sprig_io_new(loop, pair[0], SPRIG_READ, count_io, NULL);
    pid_t child = fork();
    if (child == 0) {
        sprig_io_free(io);
        _exit(sprig_loop_pass(loop, false));
    }
    ok(exit_status(child) == 0, "a child may free the parent's watchers");
    say(pair[1]);
    sprig_loop_pass(loop, false);
    ok(n_calls == 1, "and the parent's still run");
    child = fork();
    if (child == 0) {
        n_calls = 0;
        sprig_loop_pass(loop, false);
        _exit(n_calls);
    }
    ok(exit_status(child) == 1, "in a child that goes on they run, too");
    sprig_io_free(io);
    close_pair();
}

static void signals_of_a_child_are_its_own(void)
{
    n_calls = 0;
    struct sprig_signal *w = sprig_signal_new(loop, SIGUSR1, count_signal, NULL);
    pid_t child = fork();
    if (child == 0) {
        raise(SIGUSR1);
        _exit(signals_pending(loop) ? 0 : 1);
    }
    ok(exit_status(child) == 0, "a signal sent to a child");
    sprig_loop_pass(loop, false);
    ok(n_calls == 0, "does not show in the parent");
    sprig_signal_free(w);
}

int main(void)
{
    alarm(60);
    loop = sprig_loop_new();
    all_watchers_of_a_descriptor_run();
    watchers_may_be_freed_in_callbacks();
    regular_files_are_always_ready();
    bad_descriptors_are_refused();
    a_number_may_be_used_again();
    timers_run();
    the_shortest_interval_repeats();
    intervals_neither_drift_nor_catch_up();
    signals_run_all_their_watchers();
    a_newer_handler_is_left_alone();
    a_default_action_is_taken_back();
    a_signal_ends_the_sleep();
    idle_runs_when_nothing_else_does();
    a_child_that_frees_watchers_leaves_the_parent_alone();
    signals_of_a_child_are_its_own();
    sprig_loop_free(loop);
    return done_testing();
}
