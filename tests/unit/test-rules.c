/* SPDX-License-Identifier: Apache-2.0 */
/* The class of firewall rules in a network namespace of the test's own, with the real iptables of both sorts; what it
 * did is read back with iptables-save and nft. Needs root. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sched.h>
#include <systemd/sd-event.h>

#include "core/env.h"
#include "core/lane-async.h"
#include "netd/firewall-backend.h"
#include "firewall-plans.h"
#include "netd/firewall.h"

#define MARK "weft:00000000000000aa:Network/lan"

struct rig {
	struct lane *lane;
	struct arena *arena;
	unsigned marks_rules, marks_path;
	int n_done;
};

static char *shell(const char *command)
{
	FILE *f = popen(command, "r");
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	for (int c; (c = fgetc(f)) != EOF;)
		fputc(c, out);
	fclose(out);
	pclose(f);
	return text;
}

static void run(const char *command)
{
	free(shell(command));
}

static bool says(const char *command, const char *needle)
{
	cleanup_free char *text = shell(command);
	return strstr(text, needle);
}

static void on_mark(void *ctx, const char *class)
{
	struct rig *rig = ctx;
	*(streq(class, "rules") ? &rig->marks_rules : &rig->marks_path) += 1;
}

static int setup(void **state, int backend)
{
	static char dir[] = "/tmp/weft-test-rules.XXXXXX";
	if (geteuid() != 0 || unshare(CLONE_NEWNET) < 0)
		return 0;
	if (!env.loop) {
		assert_non_null(mkdtemp(dir));
		env.run_dir = dir;
		snprintf(env.instance, sizeof(env.instance), "00000000000000aa");
		assert_true(sd_event_default((sd_event **)&env.loop) >= 0);
	}
	struct rig *rig = xcalloc(1, sizeof(*rig));
	rig->lane = lane_async_new("firewall");
	rig->arena = arena_new();
	firewall_backend_set(backend);
	assert_int_equal(nft_events_start(on_mark, rig, NULL), 0);
	*state = rig;
	return 0;
}

static int setup_nft(void **state)
{
	return setup(state, BACKEND_NFT);
}

static int setup_legacy(void **state)
{
	return setup(state, BACKEND_LEGACY);
}

static int teardown(void **state)
{
	struct rig *rig = *state;
	if (!rig)
		return 0;
	rig->lane->ops->free(rig->lane);
	arena_free(rig->arena);
	nft_events_stop();
	cleanup_free char *notes = xprintf("%s/nft-made", env.run_dir), *kept = xprintf("%s/iptables", env.run_dir);
	unlink(notes);
	unlink(kept);
	free(rig);
	return 0;
}

static int teardown_all(void **state)
{
	if (env.run_dir)
		rmdir(env.run_dir);
	sd_event_unref(env.loop);
	return 0;
}

static struct rig *rig_of(void **state)
{
	if (!*state)
		skip();
	return *state;
}

static void turn(struct rig *rig, unsigned ms)
{
	for (uint64_t until = now_ms() + ms; now_ms() < until;)
		assert_true(sd_event_run(env.loop, 10000) >= 0);
}

static void wait_marks(struct rig *rig, const unsigned *marks, unsigned n)
{
	for (uint64_t until = now_ms() + 20000; *marks < n && now_ms() < until;)
		assert_true(sd_event_run(env.loop, 10000) >= 0);
	assert_int_equal(*marks, n);
}

static void on_done(struct op *op)
{
	((struct rig *)op->node)->n_done++;
}

static void do_ops(struct rig *rig, struct op *ops, int n)
{
	rig->n_done = 0;
	for (int i = 0; i < n; i++) {
		observation_done(&ops[i].obs);
		ops[i].err = (struct err){0};
		ops[i].class = &netd_rules_class;
		ops[i].done = on_done;
		ops[i].node = rig;
		ops[i].mark = MARK;
		rig->lane->ops->submit(rig->lane, &ops[i]);
	}
	rig->lane->ops->flush(rig->lane);
	for (uint64_t from = now_ms(); rig->n_done < n && now_ms() - from < 30000;)
		assert_true(sd_event_run(env.loop, 100000) >= 0);
	assert_int_equal(rig->n_done, n);
}

static void add_chain(struct rig *rig, struct rules_spec *spec, const char *name, const char *rules)
{
	struct rules_chain *chains = arena_alloc(rig->arena, (spec->chains.n + 1) * sizeof(*chains));
	const char **lines = arena_alloc(rig->arena, 64 * sizeof(*lines));
	char *rest = arena_strdup(rig->arena, rules), *line;
	if (spec->chains.n)
		memcpy(chains, spec->chains.items, spec->chains.n * sizeof(*chains));
	struct rules_chain *chain = &chains[spec->chains.n++];
	*chain = (struct rules_chain){.present = 3, .name = name, .rules = {.items = lines}};
	while ((line = strsep(&rest, "\n")))
		if (*line)
			lines[chain->rules.n++] = line;
	spec->chains.items = chains;
	spec->present = 3;
}

static void add_jump(struct rig *rig, struct rules_spec *spec, const char *from, const char *to, const char *match)
{
	struct rules_jump *jumps = arena_alloc(rig->arena, (spec->jumps.n + 1) * sizeof(*jumps));
	if (spec->jumps.n)
		memcpy(jumps, spec->jumps.items, spec->jumps.n * sizeof(*jumps));
	jumps[spec->jumps.n++] = (struct rules_jump){
		.present = match ? 15 : 7, .from = from, .to = to, .position = RULES_FIRST, .match = match};
	spec->jumps.items = jumps;
	spec->present = 3;
}

static void check_equal(const struct op *op)
{
	if (op->err.code)
		fail_msg("%s: %s", op->key, op->err.text);
	assert_true(op->obs.valid);
	assert_true(op->obs.exists);
	assert_int_equal(op->obs.owner, OWNER_OURS);
	assert_int_equal(table_diff(&rules_table, op->want, op->obs.spec), 0);
}

#define POST_RULES                                     \
	"-s 192.168.150.0/24 ! -o lan -j MASQUERADE\n" \
	"-s 192.168.150.0/24 -o lan -m conntrack --ctstate DNAT -j MASQUERADE\n"

/* Two families, two tables, in one round; idempotent; only the chain that differs is written anew; all gone
 * afterwards. */
static void test_life(void **state)
{
	struct rig *rig = rig_of(state);
	bool nft = firewall_backend() == BACKEND_NFT;
	run("nft add table ip filter; nft add chain ip filter FORWARD "
	    "'{type filter hook forward priority 0; policy accept;}'");
	run(nft ? "iptables-nft -A FORWARD -s 10.9.9.9 -j ACCEPT" : "iptables-legacy -A FORWARD -s 10.9.9.9 -j ACCEPT");
	cleanup_free char *before = shell("nft list ruleset");
	struct rules_spec nat = {0}, filter = {0}, other = {0}, six = {0};
	add_chain(rig, &nat, "WEFT-POST-lan", POST_RULES);
	add_chain(rig, &nat, "WEFT-PRE-lan", "");
	add_jump(rig, &nat, "POSTROUTING", "WEFT-POST-lan", NULL);
	add_jump(rig, &nat, "PREROUTING", "WEFT-PRE-lan", NULL);
	add_jump(rig, &nat, "OUTPUT", "WEFT-PRE-lan", NULL);
	add_chain(rig, &filter, "WEFT-IN-lan", "-p udp -m udp --dport 67 -j ACCEPT");
	add_jump(rig, &filter, "INPUT", "WEFT-IN-lan", "-i lan");
	add_chain(rig, &other, "WEFT-POST-b", "-s 10.1.0.0/16 ! -o b -j MASQUERADE");
	add_jump(rig, &other, "POSTROUTING", "WEFT-POST-b", NULL);
	add_chain(rig, &six, "WEFT-FWD-lan", "-i lan -j ACCEPT");
	add_jump(rig, &six, "FORWARD", "WEFT-FWD-lan", NULL);
	struct op ops[] = {
		{.verb = OP_CREATE, .key = "ipv4/nat/lan", .want = &nat},
		{.verb = OP_CREATE, .key = "ipv4/filter/lan", .want = &filter},
		{.verb = OP_CREATE, .key = "ipv4/nat/b", .want = &other},
		{.verb = OP_CREATE, .key = "ipv6/filter/lan", .want = &six},
	};
	do_ops(rig, ops, 4);
	for (int i = 0; i < 4; i++)
		check_equal(&ops[i]);
	const char *list = nft ? "nft -a list table ip nat" : "iptables-legacy-save -t nat | grep -v '^[#:]'";
	cleanup_free char *first = shell(list);
	assert_non_null(strstr(first, "WEFT-POST-lan"));
	for (int i = 0; i < 4; i++)
		ops[i].verb = OP_UPDATE;
	do_ops(rig, ops, 4);
	for (int i = 0; i < 4; i++)
		check_equal(&ops[i]);
	cleanup_free char *again = shell(list);
	assert_string_equal(first, again);

	/* One forward more: the other chains keep their handles, a counter of theirs would go on. */
	struct rules_spec edited = nat;
	edited.chains.n = 1;
	add_chain(rig, &edited, "WEFT-PRE-lan",
		  "-p tcp -m addrtype --dst-type LOCAL -m tcp --dport 8080 -j DNAT --to-destination 192.168.150.10:80");
	ops[0].want = &edited;
	do_ops(rig, ops, 1);
	check_equal(&ops[0]);
	cleanup_free char *after = shell(list);
	char *rest = first, *line;
	while ((line = strsep(&rest, "\n")))
		assert_non_null(strstr(after, line));

	for (int i = 0; i < 4; i++)
		ops[i].verb = OP_REMOVE;
	do_ops(rig, ops, 4);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(ops[i].err.code, 0);
		assert_false(ops[i].obs.exists);
	}
	cleanup_free char *end = shell("nft list ruleset");
	assert_string_equal(before, end);
	assert_true(says(nft ? "iptables-nft-save" : "iptables-legacy-save", "-A FORWARD -s 10.9.9.9/32 -j ACCEPT"));
	assert_false(
		says("iptables-nft-save; ip6tables-nft-save; iptables-legacy-save; ip6tables-legacy-save", "WEFT"));
	for (int i = 0; i < 4; i++)
		observation_done(&ops[i].obs);
}

/* Whatever a network may want is printed back by the kernel's tools word by word, so that text can be compared. */
static void test_plans(void **state)
{
	struct rig *rig = rig_of(state);
	cleanup_free char *before = shell("nft list ruleset");
	for (size_t p = 0; plan_names[p]; p++) {
		struct generation *gen = plan_lower(plan_names[p]);
		struct op ops[16] = {0};
		int n = 0;
		for (size_t i = 0; i < gen->n_wants; i++)
			if (gen->wants[i]->class == &netd_rules_class)
				ops[n++] = (struct op){
					.key = gen->wants[i]->key, .verb = OP_CREATE, .want = gen->wants[i]->spec};
		assert_true(n >= 2);
		do_ops(rig, ops, n);
		for (int i = 0; i < n; i++)
			check_equal(&ops[i]);
		for (int i = 0; i < n; i++)
			ops[i].verb = OP_REMOVE;
		do_ops(rig, ops, n);
		for (int i = 0; i < n; i++) {
			assert_int_equal(ops[i].err.code, 0);
			observation_done(&ops[i].obs);
		}
		generation_unref(gen);
	}
	cleanup_free char *after = shell("nft list ruleset");
	assert_string_equal(before, after);
}

/* What the host refuses fails alone; what is wrong already in the text never gets there. */
static void test_refusals(void **state)
{
	struct rig *rig = rig_of(state);
	struct rules_spec good = {0}, bad = {0}, stranger = {0};
	add_chain(rig, &good, "WEFT-POST-a", "-s 10.1.0.0/16 ! -o a -j MASQUERADE");
	add_jump(rig, &good, "POSTROUTING", "WEFT-POST-a", NULL);
	add_chain(rig, &bad, "WEFT-POST-b", "-s 10.1.0.0/16 -j NOSUCHTARGET");
	add_jump(rig, &bad, "POSTROUTING", "WEFT-POST-b", NULL);
	add_chain(rig, &stranger, "DOCKER", "-j DROP");
	struct op ops[] = {
		{.verb = OP_CREATE, .key = "ipv4/nat/a", .want = &good},
		{.verb = OP_CREATE, .key = "ipv4/nat/b", .want = &bad},
		{.verb = OP_CREATE, .key = "ipv4/nat/c", .want = &stranger},
		{.verb = OP_OBSERVE, .key = "rubbish"},
	};
	do_ops(rig, ops, 4);
	check_equal(&ops[0]);
	assert_non_null(strstr(ops[1].err.text, "NOSUCHTARGET"));
	assert_non_null(strstr(ops[2].err.text, "DOCKER"));
	assert_int_equal(ops[3].err.code, EINVAL);
	assert_false(says("iptables-nft-save; iptables-legacy-save", "WEFT-POST-b"));
	observation_done(&ops[0].obs);
}

/* Chains that another instance jumps to, or jumps of ours that stand twice. */
static void test_foreign_and_doubled(void **state)
{
	struct rig *rig = rig_of(state);
	const char *tool = firewall_backend() == BACKEND_NFT ? "iptables-nft" : "iptables-legacy";
	cleanup_free char *foreign = xprintf("%s -t nat -N WEFT-POST-x; %s -t nat -A POSTROUTING -m comment --comment "
					     "'weft:ffffffffffffffff:Network/x' -j WEFT-POST-x",
					     tool, tool);
	run(foreign);
	struct op look = {.verb = OP_OBSERVE, .key = "ipv4/nat/x"};
	do_ops(rig, &look, 1);
	assert_true(look.obs.exists);
	assert_int_equal(look.obs.owner, OWNER_FOREIGN);
	observation_done(&look.obs);

	struct rules_spec want = {0};
	add_chain(rig, &want, "WEFT-POST-a", "-s 10.1.0.0/16 ! -o a -j MASQUERADE");
	add_jump(rig, &want, "POSTROUTING", "WEFT-POST-a", NULL);
	struct op op = {.verb = OP_CREATE, .key = "ipv4/nat/a", .want = &want};
	do_ops(rig, &op, 1);
	check_equal(&op);
	cleanup_free char *doubled =
		xprintf("%s -t nat -A POSTROUTING -m comment --comment '" MARK "' -j WEFT-POST-a", tool);
	run(doubled);
	op.verb = OP_OBSERVE;
	do_ops(rig, &op, 1);
	assert_int_equal(table_diff(&rules_table, &want, op.obs.spec), 1 << RULES_JUMPS);
	op.verb = OP_UPDATE;
	do_ops(rig, &op, 1);
	check_equal(&op);
	observation_done(&op.obs);
}

/* A flush is told of, with a name; our own changes are not. */
static void test_events(void **state)
{
	struct rig *rig = rig_of(state);
	struct rules_spec want = {0};
	add_chain(rig, &want, "WEFT-POST-a", "-s 10.1.0.0/16 ! -o a -j MASQUERADE");
	add_jump(rig, &want, "POSTROUTING", "WEFT-POST-a", NULL);
	struct op op = {.verb = OP_CREATE, .key = "ipv4/nat/a", .want = &want};
	do_ops(rig, &op, 1);
	check_equal(&op);
	turn(rig, 300);
	assert_int_equal(rig->marks_rules, 0);
	assert_null(netd_firewall_last_rival());

	run("nft flush ruleset");
	wait_marks(rig, &rig->marks_rules, 1);
	assert_non_null(netd_firewall_last_rival());
	assert_true(str_starts(netd_firewall_last_rival(), "nft (pid "));
	op.verb = OP_OBSERVE;
	do_ops(rig, &op, 1);
	assert_false(op.obs.exists);
	assert_non_null(strstr(op.obs.note, "removed by nft (pid "));
	op.verb = OP_CREATE;
	do_ops(rig, &op, 1);
	check_equal(&op);
	turn(rig, 300);
	assert_int_equal(rig->marks_rules, 1);
	run("iptables-nft -t nat -F POSTROUTING");
	wait_marks(rig, &rig->marks_rules, 2);
	assert_true(str_starts(netd_firewall_last_rival(), "iptables"));
	op.verb = OP_REMOVE;
	do_ops(rig, &op, 1);
	cleanup_free char *end = shell("nft list ruleset");
	assert_string_equal(end, "");

	run("nft 'add table inet mine; add chain inet mine c'");
	wait_marks(rig, &rig->marks_path, 1);
	assert_int_equal(rig->marks_rules, 2);
	observation_done(&op.obs);
}

/* The backend that holds rules is taken, and kept by who comes after. */
static void test_backend(void **state)
{
	struct rig *rig = rig_of(state);
	const char *other = "legacy";
	cleanup_free char *path = xprintf("%s/iptables", env.run_dir);
	run("iptables-legacy -A FORWARD -s 10.9.9.9 -j ACCEPT");
	firewall_backend_set(-1);
	assert_int_equal(firewall_backend(), BACKEND_LEGACY);
	run("iptables-legacy -F; iptables-nft -A FORWARD -s 10.9.9.9 -j ACCEPT");
	firewall_backend_set(-1);
	assert_int_equal(firewall_backend(), BACKEND_NFT);
	struct rules_spec want = {0};
	add_chain(rig, &want, "WEFT-POST-a", "-s 10.1.0.0/16 ! -o a -j MASQUERADE");
	struct op op = {.verb = OP_CREATE, .key = "ipv4/nat/a", .want = &want};
	do_ops(rig, &op, 1);
	assert_int_equal(op.err.code, 0);
	observation_done(&op.obs);
	assert_int_equal(file_write_atomic(path, other, strlen(other), 0644), 0);
	firewall_backend_set(-1);
	assert_int_equal(firewall_backend(), BACKEND_LEGACY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_life, setup_nft, teardown),
		cmocka_unit_test_setup_teardown(test_life, setup_legacy, teardown),
		cmocka_unit_test_setup_teardown(test_plans, setup_nft, teardown),
		cmocka_unit_test_setup_teardown(test_plans, setup_legacy, teardown),
		cmocka_unit_test_setup_teardown(test_refusals, setup_nft, teardown),
		cmocka_unit_test_setup_teardown(test_refusals, setup_legacy, teardown),
		cmocka_unit_test_setup_teardown(test_foreign_and_doubled, setup_nft, teardown),
		cmocka_unit_test_setup_teardown(test_foreign_and_doubled, setup_legacy, teardown),
		cmocka_unit_test_setup_teardown(test_backend, setup_nft, teardown),
		cmocka_unit_test_setup_teardown(test_events, setup_nft, teardown),
	};
	return cmocka_run_group_tests_name("rules", tests, NULL, teardown_all);
}
