/* SPDX-License-Identifier: Apache-2.0 */
/* Plans as text: a dry run's, a refused disruption's, and the differences that diff finds.
 *
 *     Network/lan
 *       ~ link/lan                              # has to be made anew: what uses it is interrupted for a moment
 *           - mtu: 1400
 *           + mtu: 1500
 */
#include "cli/change.h"
#include "cli/json.h"
#include "cli/terminal.h"

static const struct verb_sign {
	const char *verb, *sign;
	enum style style;
} signs[] = {
	{"create", "+", STYLE_GOOD},
	{"update", "~", STYLE_WARN},
	{"remove", "-", STYLE_BAD},
	{"unknown", "?", STYLE_FAINT},
};

static const struct verb_sign *sign_of(const json_t *step)
{
	for (size_t i = 0; i < ARRAY_SIZE(signs); i++)
		if (streq(signs[i].verb, json_text(step, "verb")))
			return &signs[i];
	return &signs[ARRAY_SIZE(signs) - 1];
}

static void print_field(const json_t *change)
{
	const char *field = json_text(change, "field"), *from = json_text(change, "from"),
		   *to = json_text(change, "to");
	if (from)
		print_styled(stdout, STYLE_BAD, "      - %s: %s\n", field ? field : "?", from);
	if (to)
		print_styled(stdout, STYLE_GOOD, "      + %s: %s\n", field ? field : "?", to);
}

static void print_step(const json_t *step, bool fields)
{
	const struct verb_sign *sign = sign_of(step);
	const char *resource = json_text(step, "resource"), *note = json_text(step, "note");
	const json_t *change;
	size_t i;
	if (sign->style == STYLE_FAINT && !note)
		note = "is looked at when it is applied";
	print_styled(stdout, sign->style, "  %s %s", sign->sign, resource ? resource : "?");
	if (note)
		print_styled(stdout, json_is_true(json_at(step, "disruptive")) ? STYLE_WARN : STYLE_FAINT, "  # %s",
			     note);
	putchar('\n');
	if (!fields && sign->verb[0] != 'u')
		return;
	json_array_foreach(json_at(step, "changes"), i, change)
		print_field(change);
}

static bool of_object(const json_t *step, const char *object)
{
	return streq(json_text(step, "object"), object);
}

static bool seen_before(const json_t *plan, size_t n, const char *object)
{
	for (size_t i = 0; i < n; i++)
		if (of_object(json_array_get(plan, i), object))
			return true;
	return false;
}

void plan_print(const json_t *answer, bool fields)
{
	const json_t *plan = json_at(answer, "plan"), *notes = json_at(answer, "notes"), *step, *other;
	size_t i, k;
	json_array_foreach(plan, i, step) {
		const char *object = json_text(step, "object");
		if (seen_before(plan, i, object))
			continue;
		print_styled(stdout, STYLE_STRONG, "%s\n", object ? object : "(of no object any more)");
		json_array_foreach(plan, k, other) {
			if (of_object(other, object))
				print_step(other, fields);
		}
	}
	json_array_foreach(notes, i, step)
		print_styled(stderr, STYLE_FAINT, "# %s: %s\n", json_text(step, "resource"), json_text(step, "note"));
}
