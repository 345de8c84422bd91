/* SPDX-License-Identifier: Apache-2.0 */
/* Loading plugins and finding what they bring. */
#ifndef WEFT_CORE_PLUGIN_H
#define WEFT_CORE_PLUGIN_H

#include "core/lower.h"
#include "weft/plugin.h"

/* Loads every *.so of a directory. A bad one is recorded, never fatal. */
void plugins_load(const char *dir);
/* A backend by name; when NULL, `ret_why` is a sentence: no such plugin, or why it was not loaded. */
const struct weft_port_backend *port_backend_find(const char *name, const char **ret_why);
/* What is offered to plugins. */
extern const struct weft_host plugin_host;
/* For doctor and tests: name, path and why not (NULL: loaded). NULL name ends. */
struct plugin_info {
	const char *name, *path, *why_not;
};
bool plugin_at(size_t i, struct plugin_info *ret);

#endif
