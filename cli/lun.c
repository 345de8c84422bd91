/* SPDX-License-Identifier: Apache-2.0 */
/* weft lun list: the disks of this host, named or not, with their paths and who uses them. */
#include "cli/cli.h"
#include "cli/json.h"
#include "cli/table.h"

struct options {
	bool named;
	int output;
};

static const struct cli_option rows[] = {
	{.name = "named",
	 .type = OPTION_FLAG,
	 .offset = offsetof(struct options, named),
	 .doc = "Only those that a Lun names"},
	OUTPUT_OPTION(struct options, output, 3),
};

/* "1.5GiB" */
static char *size_of(const json_t *lun)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
	double size = (double)json_integer_value(json_object_get(lun, "size"));
	size_t unit = 0;
	for (; size >= 1024 && unit + 1 < ARRAY_SIZE(units); unit++)
		size /= 1024;
	char text[32];
	snprintf(text, sizeof(text), "%.1f", size);
	char *point = strstr(text, ".0");
	if (point)
		*point = '\0';
	return xprintf("%s%s", text, units[unit]);
}

/* "LIO-ORG IBLOCK" */
static char *product_of(const json_t *lun)
{
	const char *vendor = json_text(lun, "vendor"), *model = json_text(lun, "model");
	if (vendor && model)
		return xprintf("%s %s", vendor, model);
	const char *some = vendor ? vendor : model ? model : json_text(lun, "serial");
	return xstrdup(some ? some : "");
}

/* "192.0.2.60:3260 198.51.100.60:3260 (faulty)" */
static char *paths_of(const json_t *lun, bool *ret_all_up)
{
	char *text = xstrdup("");
	const json_t *path;
	size_t i;
	*ret_all_up = true;
	json_array_foreach(json_object_get(lun, "paths"), i, path) {
		const char *state = json_text(path, "state");
		bool up = streq(state, "up");
		char *longer = up ? xprintf("%s%s%s", text, *text ? " " : "", json_text(path, "name"))
				  : xprintf("%s%s%s (%s)", text, *text ? " " : "", json_text(path, "name"), state);
		free(text);
		text = longer;
		*ret_all_up &= up;
	}
	return text;
}

static void print_luns(const json_t *luns)
{
	static const char *const headings[] = {"NAME", "WWID", "SIZE", "DEVICE", "PRODUCT", "PATHS", "USERS"};
	struct text_table *table = text_table_new(headings, ARRAY_SIZE(headings));
	const json_t *lun;
	size_t i;
	json_array_foreach(luns, i, lun) {
		bool all_up;
		const char *device = json_text(lun, "device");
		cleanup_free char *size = size_of(lun), *product = product_of(lun), *paths = paths_of(lun, &all_up);
		cleanup_free char *users = json_line(json_object_get(lun, "users"));
		text_table_cell(table, STYLE_PLAIN, json_text(lun, "name"));
		text_table_cell(table, STYLE_PLAIN, json_text(lun, "wwid"));
		text_table_cell(table, STYLE_PLAIN, size);
		text_table_cell(table, device ? STYLE_PLAIN : STYLE_BAD, device ? device : "not there");
		text_table_cell(table, STYLE_PLAIN, product);
		text_table_cell(table, all_up ? STYLE_PLAIN : STYLE_BAD, paths);
		text_table_cell(table, STYLE_PLAIN, users);
	}
	if (text_table_rows(table))
		text_table_print(table);
	else
		fputs("there are no disks\n", stderr);
	text_table_free(table);
}

static json_t *chosen(const json_t *luns, bool named)
{
	json_t *kept = json_array(), *lun;
	size_t i;
	json_array_foreach(luns, i, lun) {
		if (!named || json_text(lun, "name"))
			json_array_append(kept, lun);
	}
	return kept;
}

static int run(struct cli *cli, const void *opaque)
{
	const struct options *options = opaque;
	json_t *answer = NULL;
	int status = cli_get(cli, "/v1/luns", &answer);
	if (status != CLI_DONE)
		return status;
	json_t *luns = chosen(json_object_get(answer, "luns"), options->named);
	if (json_text(answer, "note"))
		fprintf(stderr, "weft: %s\n", json_text(answer, "note"));
	if (options->output == OUTPUT_JSON)
		print_json(luns);
	else if (options->output == OUTPUT_YAML)
		print_yaml(luns);
	else
		print_luns(luns);
	json_decref(luns);
	json_decref(answer);
	return CLI_DONE;
}

const struct verb verb_lun_list = {
	.name = "lun list",
	.summary = "List the disks of this host, with their paths and users",
	.options = rows,
	.n_options = ARRAY_SIZE(rows),
	.options_size = sizeof(struct options),
	.run = run,
};
