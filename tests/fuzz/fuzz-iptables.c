/* SPDX-License-Identifier: Apache-2.0 */
/* Arbitrary text as the output of iptables-save, which holds what others have written. Laws: it is read or refused with
 * a sentence; what is seen of ours fits its table; whatever is there, the text that changes it names no chain, and no
 * jump, that is not ours, and has no line that says anything else. */
#include "core/env.h"
#include "netd/rules.h"
#include "tests/fuzz/fuzz.h"

static const char *const rule_texts[] = {"-s 192.168.150.0/24 -j MASQUERADE"};

static const struct rules_spec *wanted(void)
{
	static struct rules_chain chain = {
		.present = 3, .name = "WEFT-POST-lan", .rules = {(void *)rule_texts, ARRAY_SIZE(rule_texts)}};
	static struct rules_jump jump = {
		.present = 15, .from = "POSTROUTING", .to = "WEFT-POST-lan", .match = "-o lan"};
	static const struct rules_spec spec = {.present = 3, .chains = {&chain, 1}, .jumps = {&jump, 1}};
	return &spec;
}

/* Does the line concern a chain of the network lan, as "-F WEFT-POST-lan" or "-D POSTROUTING ... -j WEFT-POST-lan"? */
static bool is_about_ours(const char *line)
{
	cleanup_free char *copy = xstrdup(line);
	char *name = copy + 3;
	const char *jump = strstr(line, "\" -j ");
	for (const char *next; jump && (next = strstr(jump + 1, "\" -j "));)
		jump = next;
	name[strcspn(name, " ")] = '\0';
	if (streq(rules_chain_network(name), "lan"))
		return true;
	return (line[1] == 'D' || line[1] == 'I' || line[1] == 'A') && jump &&
	       streq(rules_chain_network(jump + strlen("\" -j ")), "lan");
}

static void check_line(const char *line)
{
	if (line[0] == '*')
		require(streq(line, "*nat"), "only the table that was asked for is changed");
	else if (line[0] == ':')
		require(streq(line, ":WEFT-POST-lan - [0:0]"), "only a chain of ours is declared");
	else if (line[0] == '-')
		require(strlen(line) > 3 && strchr("DFAIX", line[1]) && line[2] == ' ' && is_about_ours(line),
			"only what is ours is changed");
	else
		require(streq(line, "COMMIT"), "there is no other line");
}

static void check_change(const struct saved *saved, const struct rules_spec *want)
{
	struct rules_key key;
	if (rules_key_parse("ipv4/nat/lan", &key, NULL) < 0)
		abort();
	const struct rules_change change = {&key, want, "weft:0123456789abcdef:Network/lan"};
	cleanup_free char *text = rules_render(saved, FAMILY_IPV4, &change, 1);
	for (char *rest = text, *line; rest && (line = strsep(&rest, "\n"));)
		if (rest || *line)
			check_line(line);
	struct observation obs = {0};
	rules_observe(saved, &key, want, &obs);
	if (obs.exists)
		json_decref(table_to_json(&rules_table, obs.spec, 0));
	observation_done(&obs);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_setup();
	cleanup_free char *text = xstrndup((const char *)data, size);
	struct saved *saved = NULL;
	struct err err = {0};
	int r = saved_parse(text, &saved, &err);
	require((r == 0) == (saved != NULL) && (r == 0 || *err.text), "it is read, or refused with a sentence");
	if (saved) {
		check_change(saved, wanted());
		check_change(saved, NULL);
	}
	saved_free(saved);
	return 0;
}
