/* list.h - intrusive doubly linked lists: a link is a member of the object, a head is a link. */
#ifndef SPRIG_LIST_H
#define SPRIG_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list_link {
    struct list_link *prev, *next;
};

/* The object that holds this link. */
#define list_entry(link_ptr, type, member) ((type *)((char *)(link_ptr)-offsetof(type, member)))

/* Makes a head empty, or a link unlinked. A zeroed link must be initialised before use. */
static inline void list_init(struct list_link *l)
{
    l->prev = l->next = l;
}

static inline bool list_empty(const struct list_link *head)
{
    return head->next == head;
}

/* True while this link stands in some list. */
static inline bool list_linked(const struct list_link *l)
{
    return l->next != l;
}

static inline void list_append(struct list_link *head, struct list_link *l)
{
    l->prev = head->prev;
    l->next = head;
    head->prev->next = l;
    head->prev = l;
}

/* Unlinks; harmless on an unlinked link. */
static inline void list_remove(struct list_link *l)
{
    l->prev->next = l->next;
    l->next->prev = l->prev;
    list_init(l);
}

/* Moves every link of *from to the end of *head; *from is empty afterwards. */
static inline void list_splice(struct list_link *head, struct list_link *from)
{
    if (list_empty(from))
        return;
    from->next->prev = head->prev;
    from->prev->next = head;
    head->prev->next = from->next;
    head->prev = from->prev;
    list_init(from);
}

static inline struct list_link *list_first(struct list_link *head)
{
    return list_empty(head) ? NULL : head->next;
}

#define list_foreach(it, head)                                                                     \
    for (struct list_link *it = (head)->next; it != (head); it = it->next)

/* The same, safe if the body removes `it` (but not its successor). */
#define list_foreach_safe(it, tmp, head)                                                           \
    for (struct list_link *it = (head)->next, *tmp = it->next; it != (head);                       \
         it = tmp, tmp = it->next)

#endif
