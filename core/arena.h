/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that is freed all at once. One arena carries one configuration generation (its nodes, objects and
 * resources), so that the old and the new one live side by side while they are compared. Allocation never
 * fails (it aborts); memory is zeroed and aligned for any type. */
#ifndef WEFT_CORE_ARENA_H
#define WEFT_CORE_ARENA_H

#include "core/util.h"

struct arena;

struct arena *arena_new(void);
struct arena *arena_ref(struct arena *arena);
struct arena *arena_free(struct arena *arena); /* with the last reference; NULL is fine; returns NULL */
void *arena_alloc(struct arena *arena, size_t size);
char *arena_strdup(struct arena *arena, const char *s); /* NULL gives NULL */
char *arena_strndup(struct arena *arena, const char *s, size_t size);
char *arena_printf(struct arena *arena, const char *fmt, ...) printf_like(2, 3);
char *arena_vprintf(struct arena *arena, const char *fmt, va_list args) printf_like(2, 0);
/* Bytes handed out so far; for tests and limits. */
size_t arena_used(const struct arena *arena);

static inline void arena_freep(struct arena **arena)
{
	arena_free(*arena);
}
#define cleanup_arena             cleanup(arena_freep)
#define arena_new_of(arena, type) ((type *)arena_alloc((arena), sizeof(type)))

/* As grow(), in an arena (the old array stays behind in it). */
#define arena_grow(arena, items, n, cap) ((items) = arena_grow_items((arena), (items), (n), &(cap), sizeof(*(items))))
void *arena_grow_items(struct arena *arena, void *items, size_t n, size_t *cap, size_t size);

#endif
