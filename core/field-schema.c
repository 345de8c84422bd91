/* SPDX-License-Identifier: Apache-2.0 */
/* JSON Schema (draft-07) out of tables, for editors: what decoding accepts, as far as a schema can say it. See field.h
 * and kind.h. */
#include "core/field-internal.h"
#include "core/kind.h"

static json_t *struct_schema(const struct table *table);

static void set_text(json_t *schema, const char *key, const char *text)
{
	if (text)
		json_object_set_new(schema, key, json_string(text));
}

static json_t *number_schema(const struct field *row)
{
	bool is_signed = row->scalar == &scalar_i32;
	json_t *schema = json_pack("{s:s}", "type", "integer");
	if (!is_signed || row->min)
		json_object_set_new(schema, "minimum", json_integer((json_int_t)row->min));
	if (row->max)
		json_object_set_new(schema, "maximum", json_integer((json_int_t)row->max));
	else if (row->scalar->size == sizeof(uint32_t))
		json_object_set_new(schema, "maximum", json_integer(is_signed ? INT32_MAX : UINT32_MAX));
	return schema;
}

static json_t *string_schema(const struct field *row)
{
	json_t *schema = json_pack("{s:s}", "type", "string");
	if (row->n_names) {
		json_t *names = json_array();
		for (size_t i = 0; i < row->n_names; i++)
			json_array_append_new(names, json_string(row->names[i]));
		json_object_set_new(schema, "enum", names);
	}
	/* A reference may name an object that is called like its link, so that a name's pattern is too narrow. */
	set_text(schema, "pattern", row->ref ? NULL : row->scalar->pattern);
	if (row->scalar->text && row->max)
		json_object_set_new(schema, "maxLength", json_integer((json_int_t)row->max));
	if (row->scalar->zero) { /* of numbers, only a 0 needs no unit */
		json_object_set_new(schema, "type", json_pack("[s, s]", "string", "integer"));
		json_object_set_new(schema, "minimum", json_integer(0));
		json_object_set_new(schema, "maximum", json_integer(0));
	}
	if (row->scalar->number)
		json_object_set_new(schema, "type", json_pack("[s, s]", "string", "integer"));
	return schema;
}

static json_t *scalar_schema(const struct field *row)
{
	switch (row->scalar->json) {
	case JSON_FORM_BOOL:
		return json_pack("{s:s}", "type", "boolean");
	case JSON_FORM_NUMBER:
		return number_schema(row);
	case JSON_FORM_STRING:
		break;
	}
	return string_schema(row);
}

/* A struct of which only the first row must be set may be written as that row's value alone. */
static json_t *item_schema(const struct field *row)
{
	if (row->shape == FIELD_LIST)
		return scalar_schema(row);
	const struct table *table = row->table;
	bool alone = table->fields[0].shape == FIELD_SCALAR;
	for (size_t i = 1; i < table->n_fields; i++)
		alone = alone && !(table->fields[i].flags & FIELD_REQUIRED);
	if (!alone)
		return struct_schema(table);
	return json_pack("{s:[o, o]}", "anyOf", struct_schema(table), scalar_schema(&table->fields[0]));
}

static json_t *list_schema(const struct field *row)
{
	json_int_t max = (json_int_t)(row->list_max ? row->list_max : FIELD_LIST_MAX);
	json_t *one = item_schema(row);
	json_t *list = json_pack("{s:s, s:I, s:O}", "type", "array", "maxItems", max, "items", one);
	return json_pack("{s:[o, o]}", "anyOf", list, one);
}

static json_t *default_json(const struct field *row)
{
	long long n;
	switch (row->scalar->json) {
	case JSON_FORM_BOOL:
		return json_boolean(streq(row->def, "true"));
	case JSON_FORM_NUMBER:
		n = strtoll(row->def, NULL, 10);
		return json_integer(n);
	case JSON_FORM_STRING:
		break;
	}
	return json_string(row->def);
}

static json_t *row_schema(const struct field *row)
{
	json_t *schema = NULL;
	switch (row->shape) {
	case FIELD_SCALAR:
		schema = scalar_schema(row);
		break;
	case FIELD_LIST:
	case FIELD_STRUCTS:
		schema = list_schema(row);
		break;
	case FIELD_STRUCT:
		schema = struct_schema(row->table);
		break;
	case FIELD_VARIANT: /* its fields depend on others, which weft itself checks */
		schema = json_pack("{s:s}", "type", "object");
		break;
	}
	set_text(schema, "description", row->doc);
	if (row->def && row->scalar)
		json_object_set_new(schema, "default", default_json(row));
	if (row->example && row->shape == FIELD_SCALAR)
		json_object_set_new(schema, "examples", json_pack("[s]", row->example));
	return schema;
}

/* What may stand beside the fields of a table, of whichever choice; which of them go together is checked by weft. */
static void add_beside(const struct field *beside, json_t *properties)
{
	const struct table *table;
	for (size_t i = 0; (table = beside->choice(i)); i++) {
		json_t *schema = struct_schema(table);
		json_object_update_missing(properties, json_object_get(schema, "properties"));
		json_decref(schema);
	}
}

static json_t *struct_schema(const struct table *table)
{
	json_t *properties = json_object(), *required = json_array(), *spellings = json_array();
	for (size_t i = 0; i < table->n_fields; i++) {
		const struct field *row = &table->fields[i];
		if (row->flags & FIELD_STATUS)
			continue;
		if (row->flags & FIELD_BESIDE) {
			add_beside(row, properties);
			continue;
		}
		json_object_set_new(properties, row->name, row_schema(row));
		if (row->singular)
			json_object_set_new(properties, row->singular, row_schema(row));
		if (!(row->flags & FIELD_REQUIRED) || row->shape == FIELD_VARIANT)
			continue;
		if (row->singular)
			json_array_append_new(spellings, json_pack("{s:[{s:[s]}, {s:[s]}]}", "anyOf", "required",
								   row->name, "required", row->singular));
		else
			json_array_append_new(required, json_string(row->name));
	}
	json_t *schema =
		json_pack("{s:s, s:o, s:b}", "type", "object", "properties", properties, "additionalProperties", 0);
	if (json_array_size(required))
		json_object_set(schema, "required", required);
	if (json_array_size(spellings))
		json_object_set(schema, "allOf", spellings);
	json_decref(required);
	json_decref(spellings);
	return schema;
}

json_t *table_schema(const struct table *table)
{
	json_t *schema = struct_schema(table);
	json_object_set_new(schema, "$schema", json_string("http://json-schema.org/draft-07/schema#"));
	set_text(schema, "title", table->name);
	return schema;
}

static json_t *kind_schema(const struct kind *kind)
{
	const struct scalar *scalar = kind->flags & KIND_NAME_IS_IFNAME ? &scalar_ifname : &scalar_name;
	json_t *metadata = json_pack("{s:s, s:{s:{s:s, s:s}, s:{s:s, s:{s:[s, s, s]}}, s:{s:s}, s:{s:s}}, s:[s], s:b}",
				     "type", "object", "properties", "name", "type", "string", "pattern",
				     scalar->pattern, "labels", "type", "object", "additionalProperties", "type",
				     "string", "number", "boolean", "set", "type", "string", "generation", "type",
				     "integer", "required", "name", "additionalProperties", 0);
	json_t *spec = struct_schema(kind->table), *required = json_pack("[s, s, s]", "apiVersion", "kind", "metadata");
	if (json_object_get(spec, "required") || json_object_get(spec, "allOf"))
		json_array_append_new(required, json_string("spec"));
	return json_pack("{s:s, s:s, s:s, s:{s:{s:s}, s:{s:s}, s:o, s:o, s:{s:s}}, s:o, s:b}", "title", kind->name,
			 "description", kind->doc, "type", "object", "properties", "apiVersion", "const", "weft/v1",
			 "kind", "const", kind->name, "metadata", metadata, "spec", spec, "status", "type", "object",
			 "required", required, "additionalProperties", 0);
}

json_t *kinds_schema(void)
{
	json_t *kinds = json_array();
	const struct kind *kind;
	for (size_t i = 0; (kind = kind_at(i)); i++)
		json_array_append_new(kinds, kind_schema(kind));
	return json_pack("{s:s, s:s, s:o}", "$schema", "http://json-schema.org/draft-07/schema#", "title",
			 "A weft manifest", "oneOf", kinds);
}
