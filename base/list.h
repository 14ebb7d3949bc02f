/* Rings of links: a list is a link, and what is listed carries one. Appending and removing touch
 * the neighbours only. */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <stddef.h>

struct link {
    struct link *next, *prev;
};

/* The struct of this type whose `member` is the link. */
#define container_of(type, member, link) ((type *)((char *)(link)-offsetof(type, member)))

/* An empty list, or a link that is in none. */
static inline void list_clear(struct link *list)
{
    list->next = list->prev = list;
}

static inline void list_append(struct link *list, struct link *link)
{
    link->prev = list->prev;
    link->next = list;
    list->prev->next = link;
    list->prev = link;
}

/* Takes the link out of its list; harmless when it is in none. */
static inline void list_remove(struct link *link)
{
    link->prev->next = link->next;
    link->next->prev = link->prev;
    list_clear(link);
}

/* NULL when the list is empty. */
static inline struct link *list_first(const struct link *list)
{
    return list->next == list ? NULL : list->next;
}

#endif
