/* SPDX-License-Identifier: Apache-2.0 */
/* What hangs together: objects and the resources they want as nodes, references, ownership and needs as edges. Whoever
 * draws it chooses what to show.
 *
 *     {"nodes": [{"id": "Network/lan", "type": "object", "kind", "name", "set", "ready": "True"},
 *                {"id": "link/lan", "type": "resource", "class", "key", "state", "spec": {...}},
 *                {"id": "eth0", "type": "external", "name"}],
 *      "edges": [{"from": "Guest/web", "to": "Network/lan", "type": "reference", "path": "interfaces[0].network"},
 *                {"from": "Network/lan", "to": "link/lan", "type": "wants"}, {"from": ..., "to": ..., "type":
 * "needs"}]}
 */
#include "api/server.h"

struct graph {
	json_t *nodes, *edges;
	const struct generation *gen;
	const struct object *object; /* whose references are walked */
	json_t *externals;           /* ids already there */
};

static void add_edge(struct graph *g, const char *from, const char *to, const char *type, const char *path)
{
	json_array_append_new(g->edges,
			      json_pack("{s:s, s:s, s:s, s:s*}", "from", from, "to", to, "type", type, "path", path));
}

/* A reference to any kind means whatever has this name on the host: an object that is a link, else something that is
 * not ours. */
static char *referred_id(struct graph *g, const char *kind, const char *name)
{
	if (!streq(kind, "*"))
		return xprintf("%s/%s", kind, name);
	for (size_t i = 0; i < g->gen->n_objects; i++) {
		const struct object *object = g->gen->objects[i];
		if ((object->kind->flags & KIND_NAME_IS_IFNAME) && streq(object->name, name))
			return xprintf("%s/%s", object->kind->name, name);
	}
	if (!json_object_get(g->externals, name)) {
		json_object_set_new(g->externals, name, json_true());
		json_array_append_new(g->nodes,
				      json_pack("{s:s, s:s, s:s}", "id", name, "type", "external", "name", name));
	}
	return xstrdup(name);
}

static void add_reference(void *ctx, const char *kind, const char *name, const struct ref_path *path)
{
	char where[REF_PATH_TEXT];
	struct graph *g = ctx;
	cleanup_free char *from = xprintf("%s/%s", g->object->kind->name, g->object->name),
			  *to = referred_id(g, kind, name);
	add_edge(g, from, to, "reference", ref_path_text(path, where));
}

static const char *ready_of(const json_t *object)
{
	const json_t *conditions = json_object_get(json_object_get(object, "status"), "conditions"), *condition;
	size_t i;
	json_array_foreach(conditions, i, condition) {
		if (streq(json_string_value(json_object_get(condition, "type")), "Ready"))
			return json_string_value(json_object_get(condition, "status"));
	}
	return "Unknown";
}

static void add_object_nodes(struct graph *g)
{
	json_t *objects = manager_objects(api_manager(), NULL, NULL), *object;
	size_t i;
	json_array_foreach(objects, i, object) {
		json_t *metadata = json_object_get(object, "metadata");
		const char *kind = json_string_value(json_object_get(object, "kind"));
		const char *name = json_string_value(json_object_get(metadata, "name"));
		const char *set = json_string_value(json_object_get(metadata, "set"));
		if (!kind || !name)
			continue;
		cleanup_free char *id = xprintf("%s/%s", kind, name);
		json_array_append_new(g->nodes, json_pack("{s:s, s:s, s:s, s:s, s:s*, s:s, s:O*}", "id", id, "type",
							  "object", "kind", kind, "name", name, "set", set, "ready",
							  ready_of(object), "spec", json_object_get(object, "spec")));
	}
	json_decref(objects);
}

static void add_want(struct graph *g, const struct want *want)
{
	struct resource_view view;
	bool known = engine_view_find(manager_engine(api_manager()), want->class->name, want->key, &view);
	cleanup_free char *id = xprintf("%s/%s", want->class->name, want->key);
	json_array_append_new(g->nodes, json_pack("{s:s, s:s, s:s, s:s, s:s, s:o*}", "id", id, "type", "resource",
						  "class", want->class->name, "key", want->key, "state",
						  resource_state_names[known ? view.state : RES_UNKNOWN], "spec",
						  table_to_json(want->class->table, want->spec, 0)));
	for (size_t i = 0; i < want->n_owners; i++) {
		cleanup_free char *owner = xprintf("%s/%s", want->owners[i]->kind->name, want->owners[i]->name);
		add_edge(g, owner, id, "wants", NULL);
	}
	for (size_t i = 0; i < want->n_needs; i++) {
		cleanup_free char *need = xprintf("%s/%s", want->needs[i]->class->name, want->needs[i]->key);
		add_edge(g, id, need, "needs", NULL);
	}
}

void handle_topology(struct call *call)
{
	struct graph g = {
		.nodes = json_array(),
		.edges = json_array(),
		.externals = json_object(),
		.gen = engine_generation(manager_engine(api_manager())),
	};
	add_object_nodes(&g);
	for (size_t i = 0; g.gen && i < g.gen->n_objects; i++) {
		g.object = g.gen->objects[i];
		table_refs(g.object->kind->table, g.object->spec, add_reference, &g);
	}
	for (size_t i = 0; g.gen && i < g.gen->n_wants; i++)
		add_want(&g, g.gen->wants[i]);
	json_decref(g.externals);
	call_answer(call, MHD_HTTP_OK, json_pack("{s:o, s:o}", "nodes", g.nodes, "edges", g.edges));
}
