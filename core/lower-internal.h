/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of lowering share; nobody else includes this. */
#ifndef WEFT_CORE_LOWER_INTERNAL_H
#define WEFT_CORE_LOWER_INTERNAL_H

#include "core/lower.h"

/* The objects of one configuration that take part, in reference order once sorted, with an index by kind and name. */
struct configuration {
	struct object **objects;
	size_t n;
	struct object **index; /* hash */
	size_t index_size;
};

struct lowering {
	struct generation *gen;
	const struct lower_input *input;
	const struct configuration *config;
	struct diags *diags;
	const struct object *object; /* being lowered */
	const char *path;            /* of lower_at() */
	bool refused;                /* the object that is being lowered */
};

const struct object *configuration_find(const struct configuration *config, const char *kind, const char *name);
/* "Kind/name" of the object that is being lowered, in the generation's arena. */
const char *lower_object_id(struct lowering *l);
/* As want_set(), for text from outside. */
int want_set_text(struct lowering *l, struct want *want, const char *row, const char *text, struct err *err);

#endif
