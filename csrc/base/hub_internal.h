/* hub_internal.h - the parts of a hub, for hub.c and hub_memory.c. */
#ifndef SPRIG_HUB_INTERNAL_H
#define SPRIG_HUB_INTERNAL_H

#include "base/hub.h"
#include <pthread.h>

enum {
    HUB_ROWS = 4096,      /* channels in the directory */
    HUB_BUCKETS = 4096,   /* of the directory */
    HUB_PARTS_OF_LOG = 8, /* the longest message is such a part of it */
};

/* A channel. Rows count from 1; 0 is none. */
struct row {
    uint32_t next; /* in its bucket */
    uint32_t n_remembered;
    uint64_t n_messages;  /* so far, from some number on */
    uint64_t last_number; /* of its last message */
    uint64_t newest_at;   /* where its last entry begins */
    uint8_t n_name;
    char name[HUB_NAME_BYTES];
};

/* One message in the log; its parts follow: channel, event, id, text. */
struct entry {
    uint32_t n_bytes; /* all of it, a multiple of 8 */
    uint32_t n_text, n_event, n_id;
    uint64_t number;
    uint64_t nth;     /* among those of its channel */
    uint64_t prev_at; /* the entry of its channel that was written before */
    uint8_t n_channel;
    bool is_binary, has_event, has_id;
    bool is_kept; /* a copy, which was carried along */
};

/* What a program must know to use a hub that another one has created. */
struct hub_shape {
    char layout[48]; /* as text: who maps it has to lay it out alike */
    uint64_t size;   /* of the log */
    uint32_t n_seats;
};

/* The shared part. Positions in the log only grow; a byte lies at its position modulo the size. The
 * log is consistent at every moment: an entry counts once head has moved past it, and tail moves
 * before anything is overwritten. */
struct shared {
    struct hub_shape shape;
    pthread_mutex_t lock;
    pid_t reader;    /* who was the first to read */
    bool has_others; /* others do as well */
    uint64_t number; /* of the last message */
    uint64_t head, tail;
    uint64_t kept; /* bytes of entries that are copies */
    uint32_t n_rows;
    uint32_t buckets[HUB_BUCKETS];
    struct row rows[HUB_ROWS + 1];
};

struct hub {
    struct shared *shared;
    pid_t *seats;      /* n_seats: who counts members */
    uint32_t *members; /* n_seats for each row */
    char *log;
    uint64_t size; /* of the log */
    uint32_t n_seats, seat;
    pid_t seat_of; /* whose `seat` is */
    size_t n_mapped;
    char *scratch; /* owned: an entry that is carried along */
    int memory_fd; /* owned: by which a program that is executed finds it, or -1 */
    int wake_fd;   /* owned, or -1 */
};

static inline uint64_t round_up(uint64_t n, uint64_t to)
{
    return (n + to - 1) / to * to;
}

#endif
