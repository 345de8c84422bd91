/* SPDX-License-Identifier: Apache-2.0 */
/* The command line's own logic: options anywhere, tables that fit, values in one line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <locale.h>

#include "cli/cli.h"
#include "cli/columns.h"
#include "cli/json.h"
#include "cli/table.h"

enum { WORDS_MAX = 16 };

/* Parses a command line written with blanks. stderr is put aside: what is said is not looked at. */
static int parse(struct cli *cli, const char *line)
{
	static char copy[512];
	char *argv[WORDS_MAX + 1] = {"weft"}, *rest = copy;
	int argc = 1, saved[2] = {dup(1), dup(2)}, null = open("/dev/null", O_WRONLY);
	snprintf(copy, sizeof(copy), "%s", line);
	for (char *word; argc < WORDS_MAX && (word = strsep(&rest, " "));)
		if (*word)
			argv[argc++] = word;
	fflush(NULL);
	dup2(null, 1);
	dup2(null, 2);
	*cli = (struct cli){0};
	int status = cli_parse(cli, argc, argv);
	fflush(NULL);
	dup2(saved[0], 1);
	dup2(saved[1], 2);
	close(saved[0]);
	close(saved[1]);
	close(null);
	return status;
}

/* The option's value, wherever the verb keeps it. */
static void *value_of(struct cli *cli, const char *name)
{
	for (size_t i = 0; i < cli->verb->n_options; i++)
		if (streq(cli->verb->options[i].name, name))
			return (char *)cli->options + cli->verb->options[i].offset;
	fail_msg("no option %s", name);
	return NULL;
}

static void test_options_stand_anywhere(void **state)
{
	static const char *const lines[] = {
		"--socket /s -o wide get net lan -w",
		"get -owide net --socket=/s lan --watch",
		"get net lan -wo wide --socket /s",
		"-wowide --socket /s get net lan",
		"get --output=wide --watch --socket /s -- net lan",
	};
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		struct cli cli;
		assert_int_equal(parse(&cli, lines[i]), CLI_DONE);
		assert_string_equal(cli.verb->name, "get");
		assert_string_equal(cli.socket, "/s");
		assert_int_equal(cli.n_args, 2);
		assert_string_equal(cli.args[0], "net");
		assert_string_equal(cli.args[1], "lan");
		assert_int_equal(*(int *)value_of(&cli, "output"), OUTPUT_WIDE);
		assert_true(*(bool *)value_of(&cli, "watch"));
		cli_clear(&cli);
	}
}

static void test_times_and_lists(void **state)
{
	struct cli cli;
	assert_int_equal(parse(&cli, "apply -f a -f - --file b --confirm 1m30s --wait --set s"), CLI_DONE);
	struct texts *files = value_of(&cli, "file");
	assert_int_equal(files->n, 3);
	assert_string_equal(files->items[1], "-");
	assert_int_equal(*(unsigned *)value_of(&cli, "confirm"), 90000);
	struct maybe_time *wait = value_of(&cli, "wait");
	assert_true(wait->given);
	assert_int_equal(wait->ms, 0);
	assert_string_equal(*(const char **)value_of(&cli, "set"), "s");
	cli_clear(&cli);
	assert_int_equal(parse(&cli, "apply --wait=5s -f a"), CLI_DONE);
	assert_int_equal(((struct maybe_time *)value_of(&cli, "wait"))->ms, 5000);
	cli_clear(&cli);
}

static void test_wrong_usage_is_refused(void **state)
{
	static const char *const lines[] = {
		"",
		"appyl",
		"apply --confrim 60s",
		"apply --confirm",
		"apply --confirm 60",
		"apply --confirm 0",
		"get -o yml net",
		"get",
		"status more",
		"--nonsense",
		"get --watch=1 net",
		"apply --wait=x -f a",
		"help nothing",
		"apply --confirm 25h",
		"get net -x",
	};
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		struct cli cli;
		if (parse(&cli, lines[i]) != CLI_USAGE)
			fail_msg("not refused: weft %s", lines[i]);
		cli_clear(&cli);
	}
}

static void check_options_agree(const struct verb *verb, const struct cli_option *a, const struct verb *other)
{
	for (size_t i = 0; i < other->n_options; i++) {
		const struct cli_option *b = &other->options[i];
		bool same = streq(a->name, b->name) || (a->letter && a->letter == b->letter);
		if (same && (!a->argument != !b->argument))
			fail_msg("--%s of %s and --%s of %s", a->name, verb->name, b->name, other->name);
	}
}

/* Each verb has a line of its own in help, and an option that several have takes an argument in all of them or in none:
 * it may stand before the verb. */
static void test_verbs_agree(void **state)
{
	for (size_t i = 0; verbs[i]; i++) {
		struct cli cli;
		cleanup_free char *line = xprintf("help %s", verbs[i]->name);
		assert_int_equal(parse(&cli, line), CLI_DONE);
		cli_clear(&cli);
		for (size_t k = 0; k < verbs[i]->n_options; k++) {
			const struct cli_option *a = &verbs[i]->options[k];
			assert_non_null(a->doc);
			assert_true(a->offset < verbs[i]->options_size);
			for (size_t o = 0; verbs[o]; o++)
				check_options_agree(verbs[i], a, verbs[o]);
		}
	}
}

static struct text_table *guests(void)
{
	static const char *const headings[] = {"NAME", "READY", "NOTE"};
	struct text_table *table = text_table_new(headings, ARRAY_SIZE(headings));
	text_table_cell(table, STYLE_PLAIN, "web");
	text_table_cell(table, STYLE_GOOD, "True");
	text_table_cell(table, STYLE_PLAIN, NULL);
	text_table_cell(table, STYLE_PLAIN, "d\u00e4tabase");
	text_table_cell(table, STYLE_BAD, "False");
	text_table_cell(table, STYLE_WARN, "waits for \033[2Jvolume/local/data, which is not there yet");
	return table;
}

static size_t longest_line(const char *text)
{
	size_t longest = 0;
	for (const char *end; *text && (end = strchr(text, '\n')); text = end + 1) {
		cleanup_free char *line = xstrndup(text, (size_t)(end - text));
		size_t columns = text_columns(line);
		longest = columns > longest ? columns : longest;
	}
	return longest;
}

static void test_tables_fit(void **state)
{
	struct text_table *table = guests();
	assert_int_equal(text_table_rows(table), 2);
	cleanup_free char *whole = text_table_render(table, &(struct terminal){0});
	assert_string_equal(whole,
			    "NAME      READY  NOTE\n"
			    "web       True   -\n"
			    "d\u00e4tabase  False  waits for \\x1b[2Jvolume/local/data, which is not there yet\n");
	for (unsigned width = 28; width < 90; width++) {
		cleanup_free char *text = text_table_render(table, &(struct terminal){.width = width, .utf8 = true});
		assert_true(longest_line(text) <= width);
		assert_true(width > 75 || longest_line(text) == width);
		assert_non_null(strstr(text, "d\u00e4tabase"));
	}
	cleanup_free char *narrow = text_table_render(table, &(struct terminal){.width = 32, .utf8 = true});
	assert_non_null(strstr(narrow, "False  waits for \\x1b\u2026\n"));
	cleanup_free char *colored = text_table_render(table, &(struct terminal){.color = true});
	assert_non_null(strstr(colored, "\033[31mFalse\033[0m  \033[33mwaits"));
	text_table_free(table);
}

static void test_values_in_one_line(void **state)
{
	static const struct {
		const char *json, *line;
	} cases[] = {
		{"[\"a\",\"b\"]", "a,b"},
		{"[{\"name\":\"eth0\",\"mtu\":1},{\"name\":\"eth1\"}]", "eth0,eth1"},
		{"{\"a\":1,\"b\":true}", "a=1,b=true"},
		{"null", ""},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		json_t *json = json_loads(cases[i].json, JSON_DECODE_ANY, NULL);
		cleanup_free char *line = json_line(json);
		assert_string_equal(line, cases[i].line);
		json_decref(json);
	}
}

static const char object_text[] = "{\"kind\":\"Guest\",\"metadata\":{\"name\":\"web\"},\"spec\":{\"cpu\":{\"count\":2}}"
				  ",\"status\":{\"conditions\":[{\"type\":"
				  "\"Ready\",\"status\":\"True\"}],\"details\":{\"qemu\":{\"runState\":\"running\"}}}}";

static void test_columns_come_from_the_kind(void **state)
{
	json_t *object = json_loads(object_text, 0, NULL), *list = json_pack("[O]", object);
	json_t *kind = json_pack("{s:s}", "columns", "status.runState,spec.cpu.count,status.pid");
	assert_string_equal(json_string_value(column_value(object, "status.runState")), "running");
	struct text_table *table = objects_table(list, kind, false);
	cleanup_free char *text = text_table_render(table, &(struct terminal){0});
	assert_string_equal(text, "NAME  READY  RUN-STATE  CPU  PID\n"
				  "web   True   running    2    -\n");
	text_table_free(table);
	json_decref(kind);
	json_decref(list);
	json_decref(object);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_options_stand_anywhere),
		cmocka_unit_test(test_times_and_lists),
		cmocka_unit_test(test_wrong_usage_is_refused),
		cmocka_unit_test(test_verbs_agree),
		cmocka_unit_test(test_tables_fit),
		cmocka_unit_test(test_values_in_one_line),
		cmocka_unit_test(test_columns_come_from_the_kind),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
