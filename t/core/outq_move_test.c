/* outq_move_test.c - from one output queue to another: nothing is lost, copied without need, or
 * given back too early. */
#include "base/err.h"
#include "net/outq.h"
#include "tap.h"
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static struct outq_pool pool;
static int n_released;

static void count_release(void *arg)
{
    (void)arg;
    n_released++;
}

/* Bytes that tell where they stand. */
static char text[256 * 1024];

static void make_text(void)
{
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (char)(i * 7 + i / 251);
}

static int file_of_text(void)
{
    char name[] = "/tmp/sprig-move-XXXXXX";
    int fd = mkstemp(name);
    unlink(name);
    if (write(fd, text, sizeof text) != (ssize_t)sizeof text)
        exit(1);
    return fd;
}

/* What the queue sends, read from the other end. */
static char got[sizeof text * 2];
static size_t read_all(struct outq *q)
{
    int fds[2];
    size_t n = 0;
    enum outq_result result;
    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds);
    struct transport t;
    transport_plain_init(&t, fds[0], AF_UNIX);
    do {
        uint64_t n_written;
        result = outq_flush(q, &t, 0, &n_written);
        for (ssize_t part; (part = recv(fds[1], got + n, sizeof got - n, 0)) > 0;)
            n += (size_t)part;
    } while (result == OUTQ_BLOCKED);
    close(fds[0]);
    close(fds[1]);
    return n;
}

static void bytes_of_each_kind(struct outq *q, int fd)
{
    outq_add(q, span_make(text, 1000));
    outq_add_ref(q, span_make(text + 1000, 49000), count_release, NULL);
    outq_add_file(q, fd, 50000, 50000, count_release, NULL);
    outq_add_shared(q, span_make(text + 100000, 50000), count_release, NULL);
    outq_add(q, span_make(text + 150000, 20000));
}
enum { ALL = 170000 };

static void in_portions_of_any_size(void)
{
    static const uint64_t sizes[] = {1, 9, 100, 2048, 2049, 16384, 49000, ALL, 2 * ALL};
    int fd = file_of_text();
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct outq from, to;
        outq_init(&from, &pool);
        outq_init(&to, &pool);
        n_released = 0;
        bytes_of_each_kind(&from, fd);
        bool adds_up = true;
        while (from.size > 0) {
            if (outq_move(&to, &from, sizes[i]) != 0)
                break;
            adds_up = adds_up && from.size + to.size == ALL;
        }
        ok(adds_up, "in portions of %d: every byte is in one of them", (int)sizes[i]);
        is_int((long)from.in_memory, 0, "the one is empty");
        ok(from.head == NULL && from.tail == NULL, "and has no segments");
        is_int(n_released, 0, "nothing was given back");
        is_int((long)read_all(&to), ALL, "all is sent");
        ok(memcmp(got, text, ALL) == 0, "in order");
        is_int(n_released, 3, "and given back, each thing once");
        is_int((long)(to.in_memory + to.size), 0, "no byte is held");
    }
    close(fd);
}

static void two_queues_share_what_was_split(void)
{
    struct outq from, to;
    outq_init(&from, &pool);
    outq_init(&to, &pool);
    n_released = 0;
    outq_add_ref(&from, span_make(text, 60000), count_release, NULL);
    outq_move(&to, &from, 20000);
    is_int((long)from.in_memory, 40000, "what is held is divided");
    is_int((long)to.in_memory, 20000, "among both");
    outq_clear(&from);
    is_int(n_released, 0, "what one of them still needs is not given back");
    is_int((long)read_all(&to), 20000, "it is sent");
    is_int(n_released, 1, "and given back then");

    outq_add_ref(&from, span_make(text, 60000), count_release, NULL);
    outq_move(&to, &from, 20000);
    outq_move(&to, &from, 20000);
    outq_clear(&to);
    is_int(n_released, 1, "the other way round as well");
    is_int((long)read_all(&from), 20000, "the rest is sent");
    ok(memcmp(got, text + 40000, 20000) == 0, "the right one");
    is_int(n_released, 2, "and given back");
}

static void what_is_in_the_temporary_file_moves_too(void)
{
    struct outq from, to;
    outq_init(&from, &pool);
    outq_init(&to, &pool);
    outq_add(&from, span_make(text, 120000));
    is_int(outq_spill(&from, 30000, NULL), 0, "part of it is in a file");
    uint64_t spilled = from.spilled;
    ok(spilled > 60000, "most of it");
    outq_move(&to, &from, 70000);
    is_int((long)(from.spilled + to.spilled), (long)spilled, "the file is divided");
    outq_add(&from, span_make(text + 120000, 50000));
    is_int(outq_spill(&from, 0, NULL), 0, "it is appended to all the same");
    is_int((long)read_all(&to), 70000, "the first part is sent");
    ok(memcmp(got, text, 70000) == 0, "as it was");
    is_int((long)read_all(&from), 100000, "and the second");
    ok(memcmp(got, text + 70000, 100000) == 0, "as it was");
    is_int((long)(from.spilled + to.spilled), 0, "nothing is left");
    ok(from.spill == NULL, "nor the file");

    outq_add(&from, span_make(text, 120000));
    outq_spill(&from, 0, NULL);
    outq_move(&to, &from, 50000);
    outq_clear(&from);
    is_int((long)read_all(&to), 50000, "a part outlives the queue that it was written for");
    ok(memcmp(got, text, 50000) == 0, "as it was");
}

static void few_bytes_go_where_there_is_room(void)
{
    struct outq from, to;
    outq_init(&from, &pool);
    outq_init(&to, &pool);
    outq_add(&to, span_make(text, 9));
    outq_add(&from, span_make(text + 9, 13));
    outq_move(&to, &from, 100);
    ok(to.head == to.tail, "behind what is there, in the same segment");
    is_int((long)read_all(&to), 22, "both are sent");
    ok(memcmp(got, text, 22) == 0, "in order");
    is_int(outq_move(&to, &from, 5), 0, "from an empty queue comes nothing");
    is_int((long)to.size, 0, "at all");
}

int main(void)
{
    make_text();
    outq_pool_init(&pool);
    in_portions_of_any_size();
    two_queues_share_what_was_split();
    what_is_in_the_temporary_file_moves_too();
    few_bytes_go_where_there_is_room();
    outq_pool_clear(&pool);
    return done_testing();
}
