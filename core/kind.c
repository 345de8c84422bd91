/* SPDX-License-Identifier: Apache-2.0 */
/* The list of kinds, found by any of their names. See kind.h; object.c reads and writes their documents. */
#include <strings.h>

#include "core/kind.h"

static const struct kind **kinds;
static size_t n_kinds, cap_kinds;

static bool is_called(const struct kind *kind, const char *name)
{
	return strcasecmp(kind->name, name) == 0 || strcasecmp(kind->plural, name) == 0 ||
	       (kind->shorts && strcasecmp(kind->shorts, name) == 0);
}

const struct kind *kind_find(const char *name)
{
	for (size_t i = 0; i < n_kinds; i++)
		if (is_called(kinds[i], name))
			return kinds[i];
	return NULL;
}

const struct kind *kind_at(size_t i)
{
	return i < n_kinds ? kinds[i] : NULL;
}

int kind_register(const struct kind *kind, struct err *err)
{
	const char *const names[] = {kind->name, kind->plural, kind->shorts};
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (names[i] && kind_find(names[i]))
			return err_set(err, EEXIST, "kind '%s': the name '%s' is taken by kind '%s'", kind->name,
				       names[i], kind_find(names[i])->name);
	grow(kinds, n_kinds, cap_kinds);
	kinds[n_kinds++] = kind;
	return 0;
}
