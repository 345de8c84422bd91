/* SPDX-License-Identifier: Apache-2.0 */
/* Finding and printing what is in weftd's answers. */
#ifndef WEFT_CLI_JSON_H
#define WEFT_CLI_JSON_H

#include <jansson.h>

#include "core/util.h"

/* The value at a path such as "metadata.name"; NULL if there is none. Borrowed. */
json_t *json_at(const json_t *json, const char *path);
/* A string there, else NULL. */
const char *json_text(const json_t *json, const char *path);
/* Any value in one line, for a table: lists with commas, of maps their names. NULL is "". Freed by the caller. */
char *json_line(const json_t *json);

/* "Network/lan" of an object; freed by the caller. */
char *object_label(const json_t *object);
/* The object of that label in a list; NULL if there is none. Borrowed. */
const json_t *object_find(const json_t *objects, const char *label);
/* A text of a node of the topology; "" where it has none. Borrowed. */
const char *node_text(const json_t *node, const char *path);
bool node_is(const json_t *node, const char *class);
/* Its condition of a type, NULL if there is none. */
json_t *object_condition(const json_t *object, const char *type);
bool object_is_ready(const json_t *object);
/* What a person should read about it when not all is well, or something is unusual; NULL if there is nothing. Freed by
 * the caller. */
char *object_note(const json_t *object);

/* On stdout, as -o json prints it. */
void print_json(const json_t *json);
/* As -o yaml: a document, or one for each item of a list. */
void print_yaml(const json_t *json);

/* "2m", "3h", "5d": how long ago a time such as 2026-01-02T03:04:05Z was. Freed by the caller; the text itself if it is
 * no time. */
char *time_ago(const char *time);
/* The same as local time, "15:04:05", with the date if it is not today's. */
char *time_local(const char *time);
/* Seconds since 1970 of such a time, -1 if it is none. */
int64_t time_parse(const char *time);

#endif
