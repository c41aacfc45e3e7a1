/* board.h - how many connections each worker has, in memory that the master and its workers share.
 *
 * The kernel decides whom it wakes for a new client, and tends to choose the same worker again and
 * again. A worker with more than its share lets the others go first. */
#ifndef SPRIG_BOARD_H
#define SPRIG_BOARD_H

#include <stdbool.h>
#include <stdint.h>

enum { BOARD_MAX_WORKERS = 1000 };

/* Stands in place of a number if nobody serves in that slot. */
#define BOARD_NOBODY UINT32_MAX

/* Slots count from 0. A worker writes its own number; when the worker is gone, the master does. */
struct sprig_board {
    uint32_t n_slots; /* that were ever in use */
    uint32_t n_connections[BOARD_MAX_WORKERS];
};

/* On failure NULL, and errno is set. board_free unmaps the memory in this process only. */
struct sprig_board *board_new(void);
void board_free(struct sprig_board *board);

void board_set(struct sprig_board *board, uint32_t slot, uint32_t n_connections);

/* True if the worker in this slot has clearly more connections than the one with the fewest. */
bool board_is_ahead(const struct sprig_board *board, uint32_t slot);

#endif
