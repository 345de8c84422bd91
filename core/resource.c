/* SPDX-License-Identifier: Apache-2.0 */
/* The list of resource classes, observations, and giving operations back. See resource.h. */
#include "core/resource.h"

static const struct resource_class **classes;
static size_t n_classes, cap_classes;

const struct resource_class *class_find(const char *name)
{
	for (size_t i = 0; i < n_classes; i++)
		if (streq(classes[i]->name, name))
			return classes[i];
	return NULL;
}

const struct resource_class *class_at(size_t i)
{
	return i < n_classes ? classes[i] : NULL;
}

int class_register(const struct resource_class *class, struct err *err)
{
	if (class_find(class->name))
		return err_set(err, EEXIST, "there is a resource class '%s' already", class->name);
	grow(classes, n_classes, cap_classes);
	classes[n_classes++] = class;
	return 0;
}

void observation_done(struct observation *obs)
{
	arena_free(obs->arena);
	*obs = (struct observation){0};
}

void *observation_begin(struct observation *obs, const struct resource_class *class, bool exists)
{
	observation_done(obs);
	obs->valid = true;
	obs->exists = exists;
	obs->arena = arena_new();
	obs->spec = arena_alloc(obs->arena, class->table->size);
	return obs->spec;
}

void op_complete(struct op *op)
{
	op->done(op);
}

void op_fail(struct op *op, int code, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	vsnprintf(op->err.text, sizeof(op->err.text), fmt, args);
	va_end(args);
	op->err.code = code;
	op_complete(op);
}
