/* What workers know of each other's connections. */
#include "base/board.h"
#include "tap.h"

#include <sys/wait.h>
#include <unistd.h>

static void test_lead(void)
{
    struct sprig_board *board = board_new();
    board_set(board, 0, 0);
    ok(!board_is_ahead(board, 0), "alone");
    board_set(board, 0, 5000);
    ok(!board_is_ahead(board, 0), "alone with many");
    board_set(board, 2, 5000);
    ok(!board_is_ahead(board, 0) && !board_is_ahead(board, 2),
       "as many; an empty slot counts nothing");
    board_set(board, 1, 4000);
    ok(board_is_ahead(board, 0), "many more");
    ok(!board_is_ahead(board, 1), "the one with the fewest");
    board_set(board, 1, 4900);
    ok(!board_is_ahead(board, 0), "few more of many");
    board_set(board, 1, BOARD_NOBODY);
    ok(!board_is_ahead(board, 0), "the third has gone");
    board_free(board);
}

static void test_few(void)
{
    struct sprig_board *board = board_new();
    board_set(board, 0, 1);
    board_set(board, 1, 0);
    ok(board_is_ahead(board, 0), "one against none");
    board_set(board, 0, 5);
    board_set(board, 1, 4);
    ok(!board_is_ahead(board, 0), "five against four");
    board_set(board, 1, 3);
    ok(board_is_ahead(board, 0), "five against three");
    board_free(board);
}

static void test_shared(void)
{
    struct sprig_board *board = board_new();
    board_set(board, 0, 10);
    board_set(board, 1, 10);
    pid_t pid = fork();
    if (pid == 0) {
        board_set(board, 1, 1);
        _exit(0);
    }
    waitpid(pid, NULL, 0);
    ok(board_is_ahead(board, 0), "another process has written");
    board_free(board);
    board_free(NULL);
}

int main(void)
{
    test_lead();
    test_few();
    test_shared();
    return done_testing();
}
