/* SPDX-License-Identifier: Apache-2.0 */
/* See arena.h: a list of blocks, each twice the one before up to a bound; large requests get a block of their own. */
#include "core/arena.h"

enum { FIRST_BLOCK = 512, LARGEST_BLOCK = 256 * 1024, ALIGN = 16 };

struct block {
	struct block *next;
	size_t used, size;
	_Alignas(ALIGN) char data[];
};

struct arena {
	struct block *blocks;
	size_t next_size, total;
	unsigned refs;
};

struct arena *arena_new(void)
{
	struct arena *arena = xcalloc(1, sizeof(*arena));
	arena->next_size = FIRST_BLOCK;
	arena->refs = 1;
	return arena;
}

struct arena *arena_ref(struct arena *arena)
{
	arena->refs++;
	return arena;
}

struct arena *arena_free(struct arena *arena)
{
	if (!arena || --arena->refs > 0)
		return NULL;
	for (struct block *b = arena->blocks, *next; b; b = next) {
		next = b->next;
		free(b);
	}
	free(arena);
	return NULL;
}

static struct block *block_new(struct arena *arena, size_t at_least)
{
	size_t size = arena->next_size > at_least ? arena->next_size : at_least;
	struct block *b = xcalloc(1, sizeof(*b) + size);
	b->size = size;
	if (arena->next_size < LARGEST_BLOCK)
		arena->next_size *= 2;
	return b;
}

void *arena_alloc(struct arena *arena, size_t size)
{
	size = (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
	struct block *b = arena->blocks;
	if (!b || b->size - b->used < size) {
		b = block_new(arena, size);
		b->next = arena->blocks;
		arena->blocks = b;
	}
	void *p = b->data + b->used;
	b->used += size;
	arena->total += size;
	return p;
}

char *arena_strndup(struct arena *arena, const char *s, size_t size)
{
	char *copy = arena_alloc(arena, size + 1);
	memcpy(copy, s, size);
	return copy;
}

char *arena_strdup(struct arena *arena, const char *s)
{
	return s ? arena_strndup(arena, s, strlen(s)) : NULL;
}

char *arena_vprintf(struct arena *arena, const char *fmt, va_list args)
{
	va_list again;
	va_copy(again, args);
	int len = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	if (len < 0)
		abort();
	char *s = arena_alloc(arena, (size_t)len + 1);
	vsnprintf(s, (size_t)len + 1, fmt, args);
	return s;
}

char *arena_printf(struct arena *arena, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	char *s = arena_vprintf(arena, fmt, args);
	va_end(args);
	return s;
}

size_t arena_used(const struct arena *arena)
{
	return arena->total;
}

void *arena_grow_items(struct arena *arena, void *items, size_t n, size_t *cap, size_t size)
{
	if (n < *cap)
		return items;
	size_t bigger = *cap ? *cap * 2 : 4;
	void *copy = arena_alloc(arena, bigger * size);
	if (n)
		memcpy(copy, items, n * size);
	*cap = bigger;
	return copy;
}
