/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of lowering share; nobody else includes this. */
#ifndef WEFT_CORE_LOWER_INTERNAL_H
#define WEFT_CORE_LOWER_INTERNAL_H

#include "core/lower.h"
#include "core/strmap.h"

/* The objects of one configuration that take part, in reference order once sorted, with an index by kind and name. */
struct configuration {
	struct object **objects;
	size_t n;
	struct object **index; /* hash */
	size_t index_size;
};

/* Facts and allocations by name, for one run over all objects. */
struct choices {
	struct strmap facts;      /* key -> struct fact_value */
	struct strmap taken;      /* space and text -> id of the object that holds it in this run */
	struct strmap kept_texts; /* the same for what was kept from before */
	struct strmap kept_slots; /* object, space and slot -> text */
	struct strmap memos;      /* what modules have worked out of the whole configuration */
};

struct lowering {
	struct generation *gen;
	const struct lower_input *input;
	const struct configuration *config;
	struct choices *choices;
	struct diags *diags;
	const struct object *object; /* being lowered */
	const char *path;            /* of lower_at() */
	bool refused;                /* the object that is being lowered */
};

void choices_init(struct choices *choices, const struct lower_input *input, struct arena *arena);

const struct object *configuration_find(const struct configuration *config, const char *kind, const char *name);
/* Calls fn with each circle of needs: every one of the wants needs the next, and the last the first. */
typedef void lower_circle_fn(void *ctx, struct want *const *wants, size_t n);
void lower_circles(const struct generation *gen, lower_circle_fn *fn, void *ctx);
/* "Kind/name" of the object that is being lowered, in the generation's arena. */
const char *lower_object_id(struct lowering *l);
/* As want_set(), for text from outside. */
int want_set_text(struct lowering *l, struct want *want, const char *row, const char *text, struct err *err);

#endif
