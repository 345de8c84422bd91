/* SPDX-License-Identifier: Apache-2.0 */
/* What only reads and answers at once. */
#include "api/server.h"

#include "core/plugin.h"
#include "netd/netd.h"
#include "stord/stord.h"

static void answer_new(struct call *call, json_t *answer)
{
	if (answer)
		call_answer(call, MHD_HTTP_OK, answer);
	else
		call_refuse(call, MHD_HTTP_INTERNAL_SERVER_ERROR, "there was no answer");
}

void handle_history(struct call *call)
{
	answer_new(call, manager_history(api_manager()));
}

void handle_resources(struct call *call)
{
	answer_new(call, manager_resources(api_manager()));
}

void handle_status(struct call *call)
{
	answer_new(call, manager_status(api_manager()));
}

static void refuse_kind(struct call *call, const char *name)
{
	const char *names[128];
	size_t n = 0;
	for (const struct kind *kind; n < ARRAY_SIZE(names) && (kind = kind_at(n));)
		names[n++] = kind->name;
	const char *near = nearest_name(name, names, n);
	if (near)
		call_refuse(call, MHD_HTTP_NOT_FOUND, "there is no kind '%s'; did you mean '%s'?", name, near);
	else
		call_refuse(call, MHD_HTTP_NOT_FOUND, "there is no kind '%s'", name);
}

void handle_objects(struct call *call)
{
	const struct kind *kind = call->args[0] ? kind_find(call->args[0]) : NULL;
	if (call->args[0] && !kind) {
		refuse_kind(call, call->args[0]);
		return;
	}
	json_t *objects = manager_objects(api_manager(), kind, call->args[1]);
	if (!call->args[1]) {
		answer_new(call, objects);
		return;
	}
	json_t *object = json_is_array(objects) ? json_array_get(objects, 0) : objects;
	if (object)
		call_answer(call, MHD_HTTP_OK, json_incref(object));
	else
		call_refuse(call, MHD_HTTP_NOT_FOUND, "there is no %s '%s'", kind->name, call->args[1]);
	json_decref(objects);
}

void handle_plugins(struct call *call)
{
	json_t *list = json_array();
	struct plugin_info info;
	for (size_t i = 0; plugin_at(i, &info); i++)
		json_array_append_new(list, json_pack("{s:s, s:s, s:s?}", "name", info.name, "path", info.path,
						      "whyNot", info.why_not));
	answer_new(call, list);
}

void handle_leases(struct call *call)
{
	answer_new(call, netd_leases());
}

void handle_luns(struct call *call)
{
	answer_new(call, stord_luns(manager_engine(api_manager())));
}

/* ---- kinds: what their tables say, for completion and explain ---- */

static json_t *rows_json(const struct table *table, unsigned depth);

static void set_flag(json_t *json, const char *key, unsigned flags, unsigned flag)
{
	if (flags & flag)
		json_object_set_new(json, key, json_true());
}

static const char *shape_name(const struct field *row)
{
	static const char *const names[] = {
		[FIELD_SCALAR] = "scalar", [FIELD_LIST] = "list",       [FIELD_STRUCT] = "map",
		[FIELD_STRUCTS] = "maps",  [FIELD_VARIANT] = "variant",
	};
	return names[row->shape];
}

static json_t *row_json(const struct field *row, unsigned depth)
{
	json_t *json = json_pack("{s:s, s:s, s:s*, s:s*, s:s*, s:s*, s:s*}", "name", row->name, "shape",
				 shape_name(row), "doc", row->doc, "example", row->example, "default", row->def, "ref",
				 row->ref, "singular", row->singular);
	if (row->scalar) {
		json_object_set_new(json, "type", json_string(row->scalar->name));
		json_object_set_new(json, "typeDoc", json_string(row->scalar->doc));
	}
	if (row->max) {
		json_object_set_new(json, "min", json_integer((json_int_t)row->min));
		json_object_set_new(json, "max", json_integer((json_int_t)row->max));
	}
	json_t *values = row->n_names ? json_array() : NULL;
	for (size_t i = 0; i < row->n_names; i++)
		json_array_append_new(values, json_string(row->names[i]));
	if (values)
		json_object_set_new(json, "values", values);
	set_flag(json, "required", row->flags, FIELD_REQUIRED);
	set_flag(json, "recreate", row->flags, FIELD_RECREATE);
	set_flag(json, "restart", row->flags, FIELD_RESTART);
	set_flag(json, "secret", row->flags, FIELD_SECRET);
	if (row->table && depth > 0)
		json_object_set_new(json, "fields", rows_json(row->table, depth - 1));
	return json;
}

static void add_rows(json_t *rows, const struct table *table, const char *of, unsigned depth)
{
	for (size_t i = 0; i < table->n_fields; i++) {
		const struct field *row = &table->fields[i];
		for (size_t t = 0; (row->flags & FIELD_BESIDE) && row->choice(t); t++)
			add_rows(rows, row->choice(t), row->choice(t)->name, depth);
		if (row->flags & FIELD_BESIDE)
			continue;
		json_t *json = row_json(row, depth);
		if (of)
			json_object_set_new(json, "of", json_string(of));
		json_array_append_new(rows, json);
	}
}

static json_t *rows_json(const struct table *table, unsigned depth)
{
	json_t *rows = json_array();
	add_rows(rows, table, NULL, depth);
	return rows;
}

static json_t *kind_json(const struct kind *kind)
{
	enum { DEPTH = 8 };
	return json_pack("{s:s, s:s, s:s*, s:s*, s:s*, s:o}", "name", kind->name, "plural", kind->plural, "short",
			 kind->shorts, "doc", kind->doc, "columns", kind->columns, "fields",
			 rows_json(kind->table, DEPTH));
}

void handle_kinds(struct call *call)
{
	if (call->args[0]) {
		const struct kind *kind = kind_find(call->args[0]);
		json_t *json = kind ? kind_json(kind) : NULL;
		if (!json) {
			refuse_kind(call, call->args[0]);
			return;
		}
		json_object_set_new(json, "schema", table_schema(kind->table));
		call_answer(call, MHD_HTTP_OK, json);
		return;
	}
	json_t *list = json_array();
	for (size_t i = 0; kind_at(i); i++)
		json_array_append_new(list, kind_json(kind_at(i)));
	answer_new(call, list);
}
