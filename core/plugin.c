/* SPDX-License-Identifier: Apache-2.0 */
/* Loading plugins: dlopen, a check of the one symbol they export, and the table of functions they are offered over
 * core/lower.h. See plugin.h. */
#include "core/plugin.h"

#include <dirent.h>
#include <dlfcn.h>

enum { PLUGINS_MAX = 64, BACKENDS_MAX = 32 };

struct loaded {
	char *name, *path; /* the name is that of the file until the plugin is loaded */
	char *why_not;     /* NULL: loaded */
	void *handle;
	const struct weft_plugin *plugin;
};
static struct loaded *plugins;
static size_t n_plugins, cap_plugins;

static struct want *host_want(struct lowering *l, const char *class_name, const char *key)
{
	const struct resource_class *class = class_find(class_name);
	return class ? want(l, class, NULL, "%s", key) : NULL;
}

static bool host_want_set(struct lowering *l, struct want *want, const char *row, const char *text)
{
	/* Tried on a copy first: what a plugin hands over is outside input, and want_set() takes faults for bugs. */
	struct err err = {0};
	void *trial = table_copy(want->class->table, want->spec, lower_arena(l));
	const struct set_into into = {want->class->table, trial, lower_arena(l)};
	if (table_set_text(&into, row, text, &err) < 0) {
		lower_refuse(l, NULL, "%s/%s: %s", want->class->name, want->key, err.text);
		return false;
	}
	want_set(l, want, row, "%s", text);
	return true;
}

static void host_refuse(struct lowering *l, const char *path, const char *text)
{
	lower_refuse(l, path, "%s", text);
}

static const char *host_fact(struct lowering *l, const char *key)
{
	return fact(l, "%s", key);
}

const struct weft_host plugin_host = {
	.size = sizeof(struct weft_host),
	.want = host_want,
	.want_set = host_want_set,
	.want_find = want_find,
	.needs = needs,
	.refuse = host_refuse,
	.fact = host_fact,
};

static const struct loaded *backend_holder(const char *name, const struct weft_port_backend **ret)
{
	for (size_t i = 0; i < n_plugins; i++) {
		const struct weft_plugin *plugin = plugins[i].plugin;
		for (size_t j = 0; plugin && j < plugin->n_port_backends; j++) {
			if (!streq(plugin->port_backends[j]->name, name))
				continue;
			*ret = plugin->port_backends[j];
			return &plugins[i];
		}
	}
	return NULL;
}

/* NULL when the plugin may be used, else why not. `size` is checked before any later member is read. */
static char *refuse_plugin(const struct weft_plugin *plugin)
{
	if (plugin->abi != WEFT_PLUGIN_ABI)
		return xprintf("it is made for plugin interface %u, and this weftd has %u; build it against this "
			       "weft's plugin.h",
			       plugin->abi, WEFT_PLUGIN_ABI);
	if (plugin->size < sizeof(struct weft_plugin))
		return xprintf("its description has %u bytes, and at least %zu are needed; build it against this "
			       "weft's plugin.h",
			       plugin->size, sizeof(struct weft_plugin));
	if (!plugin->name || !*plugin->name)
		return xstrdup("it has no name");
	if (plugin->n_port_backends > BACKENDS_MAX || (plugin->n_port_backends && !plugin->port_backends))
		return xstrdup("its list of port backends is damaged");
	for (size_t i = 0; i < plugin->n_port_backends; i++) {
		const struct weft_port_backend *backend = plugin->port_backends[i], *other;
		if (!backend || !backend->name || !backend->lower_port)
			return xprintf("its port backend %zu is incomplete", i);
		const struct loaded *holder = backend_holder(backend->name, &other);
		if (holder)
			return xprintf("its port backend '%s' is there already, from %s", backend->name, holder->path);
	}
	return NULL;
}

static void load(struct loaded *p)
{
	p->handle = dlopen(p->path, RTLD_NOW | RTLD_LOCAL);
	if (!p->handle) {
		p->why_not = xstrdup(dlerror());
		return;
	}
	const struct weft_plugin *plugin = dlsym(p->handle, "weft_plugin");
	p->why_not = plugin ? refuse_plugin(plugin) : xstrdup("it exports no 'weft_plugin'");
	if (p->why_not) {
		dlclose(p->handle);
		p->handle = NULL;
		return;
	}
	p->plugin = plugin;
	free(p->name);
	p->name = xstrdup(plugin->name);
}

static int is_shared_object(const struct dirent *entry)
{
	size_t len = strlen(entry->d_name);
	return entry->d_name[0] != '.' && len > 3 && streq(entry->d_name + len - 3, ".so");
}

void plugins_load(const char *dir)
{
	struct dirent **entries = NULL;
	int n = scandir(dir, &entries, is_shared_object, alphasort);
	for (int i = 0; i < n; i++) {
		const char *file = entries[i]->d_name;
		if (n_plugins < PLUGINS_MAX) {
			grow(plugins, n_plugins, cap_plugins);
			plugins[n_plugins] = (struct loaded){
				.name = xstrndup(file, strlen(file) - 3),
				.path = xprintf("%s/%s", dir, file),
			};
			load(&plugins[n_plugins++]);
		}
		free(entries[i]);
	}
	free(entries);
}

const struct weft_port_backend *port_backend_find(const char *name, const char **ret_why)
{
	static char why[512];
	const struct weft_port_backend *backend = NULL;
	if (backend_holder(name, &backend))
		return backend;
	snprintf(why, sizeof(why), "there is no plugin that brings the port backend '%s'; install it and restart weftd",
		 name);
	/* A plugin that did not load cannot say what it brings: by custom its file has the name of its backend. */
	for (size_t i = 0; i < n_plugins; i++)
		if (plugins[i].why_not && streq(plugins[i].name, name))
			snprintf(why, sizeof(why), "plugin %s was not loaded: %s", plugins[i].path, plugins[i].why_not);
	if (ret_why)
		*ret_why = why;
	return NULL;
}

bool plugin_at(size_t i, struct plugin_info *ret)
{
	if (i >= n_plugins)
		return false;
	*ret = (struct plugin_info){.name = plugins[i].name, .path = plugins[i].path, .why_not = plugins[i].why_not};
	return true;
}
