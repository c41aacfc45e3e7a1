/* init.c - see init.h */
#include "process/init.h"

#include "process/daemon.h"
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static const int awaited[] = {SIGCHLD, SIGTERM, SIGQUIT, SIGINT, SIGHUP, SIGUSR1, SIGUSR2};

enum { N_AWAITED = sizeof awaited / sizeof awaited[0] };

/* Reaps children; ends when the server ends. */
static void collect(pid_t server)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        if (pid == server)
            _exit(WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
}

/* A signal from the terminal has already reached the server. */
static bool is_for_all(const siginfo_t *info)
{
#ifdef SI_KERNEL
    return info->si_code == SI_KERNEL;
#else
    (void)info;
    return false;
#endif
}

__attribute__((noreturn)) static void stay(pid_t server, const sigset_t *set)
{
    for (;;) {
        siginfo_t info;
        int signo = sigwaitinfo(set, &info);
        if (signo > 0 && signo != SIGCHLD && !is_for_all(&info))
            kill(server, signo);
        collect(server);
    }
}

void sprig_init_begin(void)
{
    sigset_t set, before;
    if (getpid() != 1)
        return;
    sigemptyset(&set);
    for (int i = 0; i < N_AWAITED; i++)
        sigaddset(&set, awaited[i]);
    sigprocmask(SIG_BLOCK, &set, &before);
    pid_t server = fork();
    if (server > 0)
        stay(server, &set);
    sigprocmask(SIG_SETMASK, &before, NULL);
    if (server == 0)
        daemon_keep_listen_pid(1);
}
