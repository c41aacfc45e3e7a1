/* board.c - the numbers that workers show each other; see board.h */
#include "base/board.h"

#include <stddef.h>
#include <sys/mman.h>

#ifndef MAP_ANONYMOUS
#define MAP_ANONYMOUS MAP_ANON
#endif

struct sprig_board *board_new(void)
{
    struct sprig_board *board =
        mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return board != MAP_FAILED ? board : NULL;
}

void board_free(struct sprig_board *board)
{
    if (board != NULL)
        munmap(board, sizeof *board);
}

/* Slots between the old end and this one are empty. Only the first write to a slot moves the end,
 * and the master does that. */
static void board_grow(struct sprig_board *board, uint32_t slot)
{
    for (uint32_t i = board->n_slots; i < slot; i++)
        board->n_connections[i] = BOARD_NOBODY;
    __atomic_store_n(&board->n_slots, slot + 1, __ATOMIC_RELEASE);
}

void board_set(struct sprig_board *board, uint32_t slot, uint32_t n_connections)
{
    __atomic_store_n(&board->n_connections[slot], n_connections, __ATOMIC_RELAXED);
    if (slot >= board->n_slots)
        board_grow(board, slot);
}

static uint32_t board_get(const struct sprig_board *board, uint32_t slot)
{
    return __atomic_load_n(&board->n_connections[slot], __ATOMIC_RELAXED);
}

/* A small lead is ignored: with short connections it shifts all the time. */
bool board_is_ahead(const struct sprig_board *board, uint32_t slot)
{
    uint32_t own = board_get(board, slot), fewest = BOARD_NOBODY;
    uint32_t n = __atomic_load_n(&board->n_slots, __ATOMIC_ACQUIRE);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t other = board_get(board, i);
        fewest = other < fewest ? other : fewest;
    }
    return fewest != BOARD_NOBODY && own > fewest + fewest / 8 + (own > 4);
}
