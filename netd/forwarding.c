/* SPDX-License-Identifier: Apache-2.0 */
/* The class "forwarding": whether the host routes, key ipv4 or ipv6. The switch is one file, but throwing it overwrites
 * settings of every link, both ways; so what it will overwrite is kept with the state before us, and put back. It is
 * left on when somebody else has come to rely on it meanwhile, which his rules for forwarded traffic show. */
#include <dirent.h>

#include "core/child.h"
#include "core/event.h"
#include "core/lane-async.h"
#include "netd/firewall-backend.h"
#include "netd/sysctl.h"

enum { LINKS_MAX = 65536, RULES_MAX = 16384, ROUTES_SIZE_MAX = 16 * 1024 * 1024 };

enum { FORWARDING_ENABLED, FORWARDING_BEFORE, FORWARDING_RULES };
struct forwarding_spec {
	uint64_t present;
	bool enabled;
	struct list before; /* const char *: "NAME=VALUE" of settings that switching overwrites */
	struct list rules;  /* const char *: hashes of other people's rules for forwarded traffic */
};

static const struct field forwarding_rows[] = {
	[FORWARDING_ENABLED] = F_BOOL("enabled", struct forwarding_spec, enabled, .doc = "Whether packets are routed."),
	[FORWARDING_BEFORE] =
		F_LIST("before", struct forwarding_spec, before, scalar_string, .flags = FIELD_WEAK,
		       .list_max = LINKS_MAX, .doc = "Settings that switching it overwrites, while it is off."),
	[FORWARDING_RULES] = F_LIST("rules", struct forwarding_spec, rules, scalar_string, .flags = FIELD_WEAK,
				    .list_max = RULES_MAX,
				    .doc = "Other people's rules for forwarded traffic, hashed, while it is off."),
};
static const struct table forwarding_table = TABLE("forwarding", struct forwarding_spec, forwarding_rows);

/* A list of texts that grows in an arena. */
struct texts {
	struct arena *arena;
	const char **items;
	size_t n, cap;
};

static void add_text(struct texts *texts, const char *text)
{
	arena_grow(texts->arena, texts->items, texts->n, texts->cap);
	texts->items[texts->n++] = text;
}

static bool is_ipv6(const struct op *op)
{
	return streq(op->key, "ipv6");
}

static const char *switch_name(const struct op *op)
{
	return is_ipv6(op) ? "net/ipv6/conf/all/forwarding" : "net/ipv4/ip_forward";
}

static bool setting_is(const char *name, const char *value)
{
	cleanup_free char *text = NULL;
	return sysctl_read(name, &text) == 0 && streq(text, value);
}

/* ---- what switching overwrites ---- */

static void keep_setting(struct texts *before, const char *name)
{
	cleanup_free char *value = NULL;
	if (sysctl_read(name, &value) == 0)
		add_text(before, arena_printf(before->arena, "%s=%s", name, value));
}

/* Links that forward although the host as a whole does not. All others are off, and will be again. */
static void keep_links(struct texts *before, const char *family)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/sys/net/%s/conf", family);
	DIR *dir = opendir(path);
	if (!dir)
		return;
	for (struct dirent *entry; before->n < LINKS_MAX && (entry = readdir(dir));) {
		if (entry->d_name[0] == '.' || streq(entry->d_name, "all"))
			continue;
		const char *name = arena_printf(before->arena, "net/%s/conf/%s/forwarding", family, entry->d_name);
		if (setting_is(name, "1"))
			keep_setting(before, name);
	}
	closedir(dir);
}

typedef void link_fn(void *ctx, const char *link);

/* Calls fn for each link with a default route that a router advertised. A line of the file, in hexadecimal but the
 * name: DESTINATION LENGTH SOURCE LENGTH NEXTHOP METRIC REFERENCES USE FLAGS NAME */
static void each_advertised(link_fn *fn, void *ctx)
{
	enum { FLAG_DEFAULT = 0x10000, FLAG_ADDRCONF = 0x40000 };
	cleanup_free char *text = NULL;
	char *at, *line;
	if (file_read("/proc/thread-self/net/ipv6_route", ROUTES_SIZE_MAX, &text, NULL) < 0)
		return;
	for (at = text; (line = strsep(&at, "\n"));) {
		char link[17];
		unsigned len, flags;
		if (sscanf(line, "%*s %x %*s %*x %*s %*x %*x %*x %x %16s", &len, &flags, link) == 3 && len == 0 &&
		    (flags & FLAG_DEFAULT) && (flags & FLAG_ADDRCONF))
			fn(ctx, link);
	}
}

static const char *accept_ra_name(const char *link, char buf[static 64])
{
	snprintf(buf, 64, "net/ipv6/conf/%s/accept_ra", link);
	return buf;
}

static void keep_advertised(void *ctx, const char *link)
{
	char name[64];
	if (setting_is(accept_ra_name(link, name), "1"))
		keep_setting(ctx, name);
}

/* A router does not believe advertisements unless it is told to, and forgets at once the default route that it learnt
 * from one. */
static void believe_advertised(void *ctx, const char *link)
{
	char name[64];
	if (setting_is(accept_ra_name(link, name), "1"))
		sysctl_write(name, "2", ctx);
}

static void keep_before(const struct op *op, struct texts *before)
{
	if (is_ipv6(op)) {
		each_advertised(keep_advertised, before);
	} else {
		keep_setting(before, "net/ipv4/conf/all/accept_redirects");
	}
	keep_links(before, op->key);
}

static void put_back(const struct forwarding_spec *before)
{
	for (size_t i = 0; i < before->before.n; i++) {
		const char *text = list_at(&before->before, const char *, i);
		const char *equals = strchr(text, '=');
		if (!equals)
			continue;
		cleanup_free char *name = xstrndup(text, (size_t)(equals - text));
		/* A link that has gone took its settings along. */
		if (!setting_is(name, equals + 1))
			(void)sysctl_write(name, equals + 1, NULL);
	}
}

/* ---- other people's rules ---- */

static uint64_t hash_line(const char *line)
{
	uint64_t h = 0xcbf29ce484222325u;
	for (; *line; line++)
		h = (h ^ (uint8_t)*line) * 0x100000001b3u;
	return h;
}

/* Is a line of iptables-save somebody else's rule for traffic that passes through? `table` is the one it stands in. */
static bool is_others_rule(const char *table, const char *line)
{
	if (!str_starts(line, "-A ") || str_starts(line, "-A WEFT-") || strstr(line, "\"weft:") ||
	    strstr(line, "--comment weft:"))
		return false;
	if (streq(table, "*nat"))
		return true;
	return streq(table, "*filter") && !str_starts(line, "-A INPUT ") && !str_starts(line, "-A OUTPUT ");
}

/* The hashes of other people's rules out of what iptables-save printed. */
static void read_rules(const char *out, struct texts *rules)
{
	cleanup_free char *copy = xstrdup(out);
	const char *table = "";
	char *at = copy, *line;
	while (rules->n < RULES_MAX && (line = strsep(&at, "\n"))) {
		if (*line == '*')
			table = line;
		else if (is_others_rule(table, line))
			add_text(rules, arena_printf(rules->arena, "%016llx", (unsigned long long)hash_line(line)));
	}
}

/* Without iptables there are no rules, and a list that cannot be had is none. */
static void run_save(struct op *op, child_fn *done)
{
	char program[40];
	const char *argv[] = {firewall_program(is_ipv6(op) ? FAMILY_IPV6 : FAMILY_IPV4, "save", program), NULL};
	const struct child_spec spec = {.argv = argv, .done = done, .ctx = op};
	child_run(&spec);
}

static bool has_new_rule(const struct forwarding_spec *before, const char *out)
{
	cleanup_arena struct arena *arena = arena_new();
	struct texts now = {.arena = arena};
	read_rules(out, &now);
	for (size_t i = 0; i < now.n; i++) {
		bool known = false;
		for (size_t k = 0; k < before->rules.n && !known; k++)
			known = streq(list_at(&before->rules, const char *, k), now.items[i]);
		if (!known)
			return true;
	}
	return false;
}

/* ---- verbs ---- */

static void saw(struct op *op, bool enabled, const char *out)
{
	struct forwarding_spec *seen = observation_begin(&op->obs, op->class, true);
	struct texts before = {.arena = op->obs.arena}, rules = {.arena = op->obs.arena};
	seen->enabled = enabled;
	seen->present = 1 << FORWARDING_ENABLED;
	if (!enabled) {
		keep_before(op, &before);
		read_rules(out, &rules);
		seen->before = (struct list){before.items, before.n};
		seen->rules = (struct list){rules.items, rules.n};
		seen->present |= 1 << FORWARDING_BEFORE | 1 << FORWARDING_RULES;
	}
	op_complete(op);
}

static void seen_off(void *ctx, const struct child_result *result)
{
	saw(ctx, false, result->out ? result->out : "");
}

static void observe(struct op *op)
{
	cleanup_free char *value = NULL;
	int r = sysctl_read(switch_name(op), &value);
	if (r == -ENOENT) {
		observation_begin(&op->obs, op->class, false);
		op_complete(op);
	} else if (r < 0) {
		op_fail(op, -r, "read /proc/sys/%s: %s", switch_name(op), strerror(-r));
	} else if (streq(value, "0")) {
		run_save(op, seen_off);
	} else {
		saw(op, true, "");
	}
}

static void switch_on(struct op *op)
{
	if (is_ipv6(op))
		each_advertised(believe_advertised, &op->err);
	if (op->err.code || sysctl_write(switch_name(op), "1", &op->err) < 0)
		op_complete(op);
	else
		observe(op);
}

static void switch_off(void *ctx, const struct child_result *result)
{
	struct op *op = ctx;
	if (has_new_rule(op->want, result->out ? result->out : "")) {
		event_text("ForwardingKept", NULL, true,
			   "%s forwarding stays on: others have added rules for forwarded traffic since weft switched "
			   "it on; "
			   "switch it off with sysctl if nobody needs it",
			   is_ipv6(op) ? "IPv6" : "IPv4");
		/* There is nothing left for us to give back. */
		observation_begin(&op->obs, op->class, false);
		op_complete(op);
		return;
	}
	if (sysctl_write(switch_name(op), "0", &op->err) < 0) {
		op_complete(op);
		return;
	}
	put_back(op->want);
	observe(op);
}

static void update(struct op *op)
{
	const struct forwarding_spec *want = op->want;
	cleanup_free char *value = NULL;
	bool on = sysctl_read(switch_name(op), &value) == 0 && !streq(value, "0");
	if (on == want->enabled)
		observe(op);
	else if (want->enabled)
		switch_on(op);
	else
		run_save(op, switch_off);
}

static void refuse(struct op *op)
{
	op_fail(op, ENOTSUP, "forwarding is neither made nor removed");
}

static const struct async_verbs forwarding_verbs = {
	.observe = observe, .create = refuse, .update = update, .remove = refuse};

extern const struct resource_class netd_forwarding_class;
const struct resource_class netd_forwarding_class = {
	.name = "forwarding",
	.doc = "Whether the host routes packets of a family; its key is ipv4 or ipv6.",
	.table = &forwarding_table,
	.lane = "sysctl",
	.verbs = &forwarding_verbs,
	.flags = CLASS_TRANSACTIONAL | CLASS_INHERENT,
};
