/* SPDX-License-Identifier: Apache-2.0 */
/* A host in memory, on which all classes work alike: things are made, changed and removed as told, by lanes that do so
 * at once. It may refuse an operation, lose things to a rival, and outlives the manager that works on it. */
#ifndef WEFT_TESTS_MEMORY_HOST_H
#define WEFT_TESTS_MEMORY_HOST_H

#include "core/engine.h"

/* The n-th change from now fails; 0: none. */
void memory_host_fail(unsigned n);
/* Somebody takes away one of the things that can be made anew. */
void memory_host_lose(struct engine *engine, unsigned number);
/* How much is there that weft made, and does not keep for its owner. */
size_t memory_host_left(char *names, size_t size);
void memory_host_clear(void);
/* Lanes for all classes. */
void memory_host_attach(struct engine *engine);

#endif
