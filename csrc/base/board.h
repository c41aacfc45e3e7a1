/* board.h - how many connections each worker has: memory that the master and its workers share.
 *
 * Who is woken for a new client is up to the kernel, which tends to choose the same worker again
 * and again. One that has more than its share lets the others go first. */
#ifndef SPRIG_BOARD_H
#define SPRIG_BOARD_H

#include <stdbool.h>
#include <stdint.h>

enum { BOARD_MAX_WORKERS = 1000 };

/* In place of a number: nobody serves in that slot. */
#define BOARD_NOBODY UINT32_MAX

/* Slots count from 0. Each number is written by its worker, and by the master when that is gone. */
struct sprig_board {
    uint32_t n_slots; /* that were ever in use */
    uint32_t n_connections[BOARD_MAX_WORKERS];
};

/* NULL: errno says why. Free unmaps it in this process only. */
struct sprig_board *board_new(void);
void board_free(struct sprig_board *board);

void board_set(struct sprig_board *board, uint32_t slot, uint32_t n_connections);

/* The worker of this slot has clearly more connections than the one with the fewest. */
bool board_is_ahead(const struct sprig_board *board, uint32_t slot);

#endif
