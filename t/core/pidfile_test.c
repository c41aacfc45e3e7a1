/* The pid file: what is written to, what is left alone, and who removes it. */
#include "base/err.h"
#include "process/pidfile.h"
#include "scratch.h"
#include "tap.h"

#include <fcntl.h>
#include <sys/file.h>

static char why[512];
static char own[24]; /* our number and a newline */

static int open_pid(struct sprig_pidfile *p, const char *path)
{
    why[0] = '\0';
    return sprig_pidfile_open(p, path, why, sizeof why);
}

/* The file is refused with the code and a message that names the path and this reason. */
static void refuses(const char *path, int code, const char *reason, const char *what)
{
    struct sprig_pidfile p;
    char expected[400];
    snprintf(expected, sizeof expected, "pid file %s: %s", path, reason);
    is_int(open_pid(&p, path), code, "%s is refused", what);
    is_str(why, expected, "the message names path and reason");
    ok(p.path == NULL && p.fd == -1, "nothing is to be closed");
    sprig_pidfile_close(&p);
}

static void test_life(void)
{
    const char *path = scratch_path("life.pid");
    struct sprig_pidfile p;
    struct stat st;
    if (!is_int(open_pid(&p, path), 0, "the file is made") || stat(path, &st) != 0)
        return;
    is_str(scratch_read(path), own, "it holds the number and a newline");
    ok(p.owner == getpid() && (fcntl(p.fd, F_GETFD) & FD_CLOEXEC), "close-on-exec");
    ok((st.st_mode & 022) == 0, "others cannot write to it");
    sprig_pidfile_close(&p);
    ok(!exists(path), "the end removes it");
    ok(p.path == NULL && p.fd == -1, "and leaves nothing to close");
    sprig_pidfile_close(&p);
    ok(true, "twice does no harm");
}

static void test_relative(void)
{
    struct sprig_pidfile p;
    char cwd[600];
    const char *path = scratch_path("relative.pid");
    if (getcwd(cwd, sizeof cwd) == NULL || chdir(scratch_dir) != 0)
        abort();
    is_int(open_pid(&p, "relative.pid"), 0, "a path from the current folder");
    is_str(p.path, path, "is made absolute");
    if (chdir(cwd) != 0)
        abort();
    sprig_pidfile_close(&p);
    ok(!exists(path), "and removed from another folder");
}

static void test_stale(void)
{
    const char *path = scratch_path("stale.pid");
    struct sprig_pidfile p;
    scratch_write(path, "4194303999\nand more\n");
    is_int(open_pid(&p, path), 0, "a file that nobody has locked is taken over");
    is_str(scratch_read(path), own, "nothing of the old text is left");
    sprig_pidfile_close(&p);
    ok(!exists(path), "and it is removed");
}

static void test_refusals(void)
{
    const char *target = scratch_path("target"), *link = scratch_path("link.pid"),
               *fifo = scratch_path("fifo.pid");
    struct sprig_pidfile p;
    scratch_write(target, "precious\n");
    if (symlink(target, link) != 0 || mkfifo(fifo, 0600) != 0)
        abort();
    refuses(link, SPRIG_E_INVALID, "is a symbolic link, which is not followed", "a symbolic link");
    unlink(link);
    if (symlink(scratch_path("nowhere"), link) != 0)
        abort();
    refuses(link, SPRIG_E_INVALID, "is a symbolic link, which is not followed", "a dangling one");
    ok(!exists(scratch_path("nowhere")), "and nothing is made behind it");
    unlink(link);
    if (linkat(AT_FDCWD, target, AT_FDCWD, link, 0) != 0)
        abort();
    refuses(link, SPRIG_E_INVALID, "has another name (a hard link)", "a hard link");
    is_str(scratch_read(target), "precious\n", "what they lead to is untouched");
    refuses(fifo, SPRIG_E_INVALID, "is not a regular file", "a named pipe");
    refuses(scratch_path("none/x.pid"), SPRIG_E_SYS, "No such file or directory",
            "a folder that is not there");
    is_int(open_pid(&p, scratch_dir), SPRIG_E_SYS, "a folder is refused");
    unlink(link);
}

static void test_living(void)
{
    const char *path = scratch_path("living.pid");
    struct sprig_pidfile p;
    char reason[80];
    is_int(open_pid(&p, path), 0, "a file of a living process");
    snprintf(reason, sizeof reason, "in use by the running process %.*s", (int)strcspn(own, "\n"),
             own);
    refuses(path, SPRIG_E_STATE, reason, "the same again");
    is_str(scratch_read(path), own, "the file stays as it was");
    sprig_pidfile_close(&p);
    is_int(open_pid(&p, path), 0, "after its end the file can be had");
    sprig_pidfile_close(&p);
}

static int close_in_child(void *arg)
{
    sprig_pidfile_close(arg);
    return 0;
}

static void test_fork(void)
{
    const char *path = scratch_path("fork.pid");
    struct sprig_pidfile p, other;
    is_int(open_pid(&p, path), 0, "a process that will fork");
    is_int(in_child(close_in_child, &p), 0, "the child closes the file");
    is_str(scratch_read(path), own, "which does not remove it");
    is_int(open_pid(&other, path), SPRIG_E_STATE, "nor unlock it");
    sprig_pidfile_close(&p);
    ok(!exists(path), "the owner removes it");
}

static void test_replaced(void)
{
    const char *path = scratch_path("replaced.pid");
    struct sprig_pidfile p;
    is_int(open_pid(&p, path), 0, "a file that somebody replaces");
    unlink(path);
    scratch_write(path, "somebody else\n");
    sprig_pidfile_close(&p);
    is_str(scratch_read(path), "somebody else\n", "is not ours to remove");
    is_int(open_pid(&p, path), 0, "a file that somebody removes");
    unlink(path);
    sprig_pidfile_close(&p);
    ok(!exists(path), "is just gone");
}

static int take_over_in_child(void *path)
{
    struct sprig_pidfile p;
    char expected[24];
    snprintf(expected, sizeof expected, "%ld\n", (long)getpid());
    if (sprig_pidfile_take_over(&p, path, -1, why, sizeof why) != 0)
        return 1;
    if (strcmp(scratch_read(path), expected) != 0)
        return 2;
    free(p.path); /* ends without removing it, as one that was killed */
    return 0;
}

static void test_take_over(void)
{
    const char *path = scratch_path("over.pid"), *link = scratch_path("over-link.pid");
    struct sprig_pidfile p, next;
    is_int(open_pid(&p, path), 0, "a master that is to be replaced");
    is_int(in_child(take_over_in_child, (void *)path), 0, "its successor takes the file over");
    sprig_pidfile_close(&p);
    ok(exists(path), "the old one does not remove it any more");
    is_int(sprig_pidfile_take_over(&p, path, -1, why, sizeof why), 0, "a stale file is taken over");
    is_int(sprig_pidfile_take_over(&next, path, -1, why, sizeof why), 0, "a living one as well");
    is_str(scratch_read(path), own, "with our number");
    sprig_pidfile_close(&p);
    is_str(scratch_read(path), own, "that stays when the one before ends");
    struct sprig_pidfile third;
    is_int(open_pid(&third, path), SPRIG_E_STATE, "and is locked");
    sprig_pidfile_close(&next);
    ok(!exists(path), "until its owner ends");
    if (symlink("/dev/null", link) != 0)
        abort();
    is_int(sprig_pidfile_take_over(&p, link, -1, why, sizeof why), SPRIG_E_INVALID,
           "links are refused here, too");
    is_int(sprig_pidfile_take_over(&p, path, -1, why, sizeof why), 0,
           "where there is none it is made");
    sprig_pidfile_close(&p);
    unlink(link);
}

/* Contends for the file, and for each time it has it holds up a flag that only one can hold. */
static int contend(void *path)
{
    const char *flag = scratch_path("flag");
    struct sprig_pidfile p;
    for (int n = 0; n < 50;) {
        int rc = sprig_pidfile_open(&p, path, why, sizeof why);
        if (rc == SPRIG_E_STATE)
            continue;
        int fd = rc == 0 ? open(flag, O_CREAT | O_EXCL | O_WRONLY, 0600) : -1;
        if (fd == -1 || close(fd) != 0 || unlink(flag) != 0)
            return 1;
        sprig_pidfile_close(&p);
        n++;
    }
    return 0;
}

static int contend_together(void *path)
{
    int failed = 0, status;
    for (int i = 0; i < 4; i++)
        if (fork() == 0)
            _exit(contend(path));
    for (int i = 0; i < 4; i++)
        failed |= wait(&status) == -1 || status != 0;
    return failed;
}

static void test_contention(void)
{
    const char *path = scratch_path("contended.pid");
    is_int(in_child(contend_together, (void *)path), 0,
           "of processes that come and go only one has the file at a time");
    ok(!exists(path), "the last one removes it");
}

/* Gives up root while it holds the file, and closes it where it may not remove it. */
static int close_as_nobody(void *path)
{
    struct sprig_pidfile p;
    if (sprig_pidfile_open(&p, path, why, sizeof why) != 0)
        return 1;
    if (setgid(65534) != 0 || setuid(65534) != 0)
        return 2;
    sprig_pidfile_close(&p);
    return 0;
}

static int open_as_nobody(void *path)
{
    struct sprig_pidfile p;
    if (setgid(65534) != 0 || setuid(65534) != 0)
        return 100;
    return -sprig_pidfile_open(&p, path, why, sizeof why);
}

static void test_root_given_up(void)
{
    const char *path = scratch_path("root.pid");
    struct sprig_pidfile p;
    if (geteuid() != 0) {
        diag("not root: nothing can be given up");
        return;
    }
    if (chmod(scratch_dir, 0755) != 0)
        abort();
    is_int(in_child(close_as_nobody, (void *)path), 0, "the folder is root's");
    is_str(scratch_read(path), "", "the file is emptied");
    is_int(open_pid(&p, path), 0, "and can be used again");
    sprig_pidfile_close(&p);
    scratch_write(path, "1\n");
    if (chmod(path, 0666) != 0)
        abort();
    is_int(in_child(open_as_nobody, (void *)path), -SPRIG_E_INVALID,
           "a file of another user is refused, may we write to it or not");
    is_str(scratch_read(path), "1\n", "and stays");
}

int main(void)
{
    umask(022);
    snprintf(own, sizeof own, "%ld\n", (long)getpid());
    scratch_path("");
    test_life();
    test_relative();
    test_stale();
    test_refusals();
    test_living();
    test_fork();
    test_replaced();
    test_take_over();
    test_contention();
    test_root_given_up();
    scratch_remove();
    return done_testing();
}
