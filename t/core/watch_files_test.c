/* Files that are watched: saved in place, renamed into place, removed, made later, by a pattern;
 * with inotify and without. */
#include "base/err.h"
#include "process/watch_files.h"
#include "process/watch_pattern.h"
#include "scratch.h"
#include "tap.h"

#include <poll.h>

static const char *gives_up;

static void write_file(const char *name, const char *text)
{
    FILE *f = fopen(scratch_path(name), "w");
    fputs(text, f);
    fclose(f);
}

/* As most editors save. */
static void replace_file(const char *name, const char *text)
{
    write_file(".new", text);
    rename(scratch_path(".new"), scratch_path(name));
}

static void add(struct watch_files *w, const char *name)
{
    const char *path = scratch_path(name);
    watch_files_add(w, path, strlen(path));
}

/* The name of a file that has changed, "" for none. With inotify only if the kernel has said so. */
static const char *change(struct watch_files *w)
{
    struct pollfd fd = {.fd = watch_files_fd(w), .events = POLLIN};
    if (fd.fd != -1 && (poll(&fd, 1, 0) <= 0 || !watch_files_hear(w)))
        return "";
    const char *path = watch_files_look(w, false, &gives_up);
    return path != NULL ? path + strlen(scratch_dir) + 1 : "";
}

static void is_text(const char *got, const char *expected, const char *what)
{
    if (!ok(strcmp(got, expected) == 0, "%s", what))
        diag("got '%s', expected '%s'", got, expected);
}

static void test_saves(bool uses_events)
{
    const char *how = uses_events ? "by inotify" : "by stat";
    struct watch_files *w = watch_files_new(uses_events);
    write_file("app.psgi", "1");
    write_file("other", "1");
    add(w, "app.psgi");
    diag("%s", how);
    is_text(change(w), "", "nothing has changed");
    write_file("app.psgi", "two");
    is_text(change(w), "app.psgi", "saved in place");
    is_text(change(w), "", "that is told once");
    replace_file("app.psgi", "333");
    is_text(change(w), "app.psgi", "saved by rename");
    replace_file("app.psgi", "444");
    is_text(change(w), "app.psgi", "and once more");
    write_file("other", "two");
    is_text(change(w), "", "another file does not matter");
    unlink(scratch_path("app.psgi"));
    is_text(change(w), "app.psgi", "removed");
    is_int((long long)watch_files_count(w), 0, "and counted no more");
    write_file("app.psgi", "5");
    is_text(change(w), "app.psgi", "there again");
    watch_files_free(w);
}

static void test_missing(bool uses_events)
{
    struct watch_files *w = watch_files_new(uses_events);
    add(w, "lib/My/App.pm");
    is_text(change(w), "", "a file that is not there");
    mkdir(scratch_path("lib"), 0755);
    change(w);
    mkdir(scratch_path("lib/My"), 0755);
    change(w);
    write_file("lib/My/App.pm", "1;");
    is_text(change(w), "lib/My/App.pm", "is noticed when its folders have been made");
    rename(scratch_path("lib/My"), scratch_path("lib/Old"));
    is_text(change(w), "lib/My/App.pm", "and when its folder goes");
    rename(scratch_path("lib/Old"), scratch_path("lib/My"));
    is_text(change(w), "lib/My/App.pm", "and comes back");
    write_file("lib/My/App.pm", "22");
    is_text(change(w), "lib/My/App.pm", "where it is still watched");
    watch_files_free(w);
}

static void test_lists(void)
{
    struct watch_files *w = watch_files_new(false);
    write_file("a", "1");
    write_file("b", "1");
    add(w, "a");
    add(w, "b");
    watch_files_begin(w);
    add(w, "b");
    write_file("b", "22");
    is_text(change(w), "b", "a change before the end of the next list is not lost");
    watch_files_end(w);
    write_file("a", "22");
    is_text(change(w), "", "what is not on it is dropped");
    is_int(watch_files_add(w, "relative", 8), SPRIG_E_INVALID, "a relative path is refused");
    watch_files_free(w);
}

static void test_self(void)
{
    struct watch_files *w = watch_files_new(false);
    write_file("made", "1");
    add(w, "made");
    int n = 0;
    for (char text[16] = "1"; n < 20; n++) {
        snprintf(text, sizeof text, "%d", 100 + n);
        replace_file("made", text);
        if (watch_files_look(w, true, &gives_up) == NULL)
            break;
    }
    is_int(n, WATCH_MAX_SELF - 1, "a file that changes with each load is left alone");
    ok(gives_up != NULL, "and that is told");
    watch_files_free(w);
}

static void test_patterns(bool uses_events)
{
    char pattern[300];
    struct watch_files *w = watch_files_new(uses_events);
    mkdir(scratch_path("t"), 0755);
    mkdir(scratch_path("t/deep"), 0755);
    write_file("t/a.tt", "1");
    write_file("t/a.txt", "1");
    snprintf(pattern, sizeof pattern, "%s", scratch_path("t/**/*.tt"));
    is_int(watch_files_add_pattern(w, pattern), 0, "a pattern");
    is_int((long long)watch_files_count(w), 1, "has one file");
    is_text(change(w), "", "that has not changed");
    write_file("t/a.tt", "22");
    is_text(change(w), "t/a.tt", "but does");
    write_file("t/a.txt", "22");
    is_text(change(w), "", "others do not matter");
    write_file("t/deep/b.tt", "1");
    is_text(change(w), "t/deep/b.tt", "a new one");
    mkdir(scratch_path("t/new"), 0755);
    change(w);
    write_file("t/new/c.tt", "1");
    is_text(change(w), "t/new/c.tt", "in a new folder");
    unlink(scratch_path("t/deep/b.tt"));
    is_text(change(w), "t/deep/b.tt", "one that goes");
    snprintf(pattern, sizeof pattern, "%s", scratch_path("t/new"));
    watch_files_add_pattern(w, pattern);
    write_file("t/new/d", "1");
    is_text(change(w), "t/new/d", "a folder is all below it");
    watch_files_free(w);
}

static void test_matching(void)
{
    static const struct {
        const char *pattern, *path;
        bool matches;
    } rows[] = {
        {"/a/*.tt", "/a/b.tt", true},
        {"/a/*.tt", "/a/b/c.tt", false},
        {"/a/*.tt", "/a/.b.tt", false},
        {"/a/.*.tt", "/a/.b.tt", true},
        {"/a/**", "/a/b/c.tt", true},
        {"/a/**", "/a/.git/c.tt", false},
        {"/a/**/*.tt", "/a/c.tt", true},
        {"/a/**/*.tt", "/a/b/d/c.tt", true},
        {"/a/**/x/*.tt", "/a/x/c.tt", true},
        {"/a/?.tt", "/a/b.tt", true},
        {"/a/?.tt", "/a/bb.tt", false},
        {"/a?b", "/a/b", false},
        {"/a/[b-d].tt", "/a/c.tt", true},
        {"/a/[!b-d].tt", "/a/c.tt", false},
        {"/a/[]].tt", "/a/].tt", true},
        {"/a/[b", "/a/b", true},
        {"/a/b", "/a/b", true},
        {"/a/b", "/a/bc", false},
        {"/a/bc", "/a/b", false},
        {"", "/a", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        is_int(watch_pattern_matches(rows[i].pattern, rows[i].path), rows[i].matches, "%s and %s",
               rows[i].pattern, rows[i].path);
}

/* With what is below it. */
static void remove_all(void)
{
    static const char *const files[] = {"lib/My/App.pm", "t/a.tt", "t/a.txt", "t/new/c.tt",
                                        "t/new/d"};
    static const char *const folders[] = {"lib/My", "lib", "t/deep", "t/new", "t"};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        unlink(scratch_path(files[i]));
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++)
        rmdir(scratch_path(folders[i]));
    scratch_remove();
}

int main(void)
{
    test_matching();
    for (int uses_events = 0; uses_events < 2; uses_events++) {
        test_saves(uses_events);
        test_missing(uses_events);
        test_patterns(uses_events);
        remove_all();
        scratch_dir[0] = '\0';
    }
    test_lists();
    test_self();
    remove_all();
    return done_testing();
}
