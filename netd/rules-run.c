/* SPDX-License-Identifier: Apache-2.0 */
/* Does a round of operations on rules: save both families, render what differs, test all texts, commit all texts, take
 * away tables that are of no use any more, save again for what was observed. Each step is a child. A round that fails
 * is tried once more (somebody may have changed the tables in between), then its operations one by one, so that only
 * those fail which the host refuses. */
#include "core/child.h"
#include "netd/firewall-backend.h"
#include "netd/firewall.h"

enum { DEADLINE_MS = 5000, TRIES = 2 };
/* The order of work; a step a family where it says so. */
enum step { STEP_SAVE, STEP_PLAN, STEP_TEST, STEP_COMMIT, STEP_SWEEP, STEP_SAVE_AGAIN, STEP_END };

struct round {
	struct round *next;
	struct op *ops;
	enum step step;
	unsigned family; /* within the step */
	unsigned tries;
	bool concerned[N_FAMILIES];
	struct saved *saved[N_FAMILIES];
	char *texts[N_FAMILIES];
	struct err err;
};

static struct round *first, **last = &first;

static void work(struct round *round);

static struct round *round_free(struct round *round)
{
	for (int family = 0; family < N_FAMILIES; family++) {
		saved_free(round->saved[family]);
		free(round->texts[family]);
	}
	free(round);
	return NULL;
}

static struct round *round_new(struct op *ops)
{
	struct round *round = xcalloc(1, sizeof(*round));
	round->ops = ops;
	for (const struct op *op = ops; op; op = op->next) {
		struct rules_key key;
		if (rules_key_parse(op->key, &key, NULL) == 0)
			round->concerned[key.family] = true;
	}
	return round;
}

/* Puts every operation into a round of its own, right after this one. */
static void split(struct round *round)
{
	struct round **at = &round->next;
	for (struct op *op = round->ops, *next; op; op = next) {
		next = op->next;
		op->next = NULL;
		struct round *one = round_new(op);
		one->next = *at;
		*at = one;
		at = &one->next;
	}
	if (!*at)
		last = at;
	round->ops = NULL;
}

/* What iptables said: its first line that says something; the last is only "Try `iptables-restore -h'". */
static void explain(const struct child_result *result, struct err *err)
{
	*err = result->err;
	if (result->timed_out || result->status < 0)
		return;
	for (const char *line = result->errs; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		int len = (int)strcspn(line, "\n");
		if (len == 0 || *line == '#' || str_starts(line, "Error occurred") || str_starts(line, "Try `"))
			continue;
		err_set(err, EIO, "%.*s", len, line);
		return;
	}
}

static size_t count_rules(const struct rules_spec *spec)
{
	size_t n = spec->chains.n + spec->jumps.n;
	for (size_t i = 0; i < spec->chains.n; i++)
		n += list_at(&spec->chains, struct rules_chain, i).rules.n;
	return n;
}

static void observe_op(const struct round *round, struct op *op)
{
	struct rules_key key;
	if (rules_key_parse(op->key, &key, &op->err) < 0)
		return;
	const struct saved_table *table = saved_find(round->saved[key.family], key.table);
	if (table && table->unreadable) {
		char program[40];
		err_set(&op->err, EOPNOTSUPP,
			"the table '%s' of %s holds rules that %s cannot read; move them to a table with another name",
			key.table, family_names[key.family], firewall_program(key.family, "save", program));
		return;
	}
	rules_observe(round->saved[key.family], &key, op->want, &op->obs);
	const struct rules_spec *want = op->want, *seen = op->obs.spec;
	const char *rival = op->verb == OP_OBSERVE ? netd_firewall_last_rival() : NULL;
	if (rival && want && count_rules(seen) < count_rules(want))
		op->obs.note = arena_printf(op->obs.arena, "rules were removed by %s", rival);
}

static void give_back(struct round *round)
{
	for (struct op *op = round->ops, *next; op; op = next) {
		next = op->next;
		if (round->err.code)
			op->err = round->err;
		else if (!op->err.code)
			observe_op(round, op);
		op_complete(op);
	}
	round->ops = NULL;
}

static void start_first(void)
{
	if (first)
		work(first);
}

static void end_round(struct round *round)
{
	bool many = round->ops && round->ops->next;
	if (round->err.code && ++round->tries < TRIES) {
		round->err = (struct err){0};
		round->step = STEP_SAVE;
		round->family = 0;
		work(round);
		return;
	}
	if (round->err.code && many)
		split(round);
	else
		give_back(round);
	/* It was first all the time, so that what giving back brings in only queues up. */
	first = round->next;
	if (!first)
		last = &first;
	round_free(round);
	start_first();
}

static bool changes_anything(const struct round *round)
{
	return round->texts[FAMILY_IPV4] || round->texts[FAMILY_IPV6];
}

static bool removes_anything(const struct round *round)
{
	for (const struct op *op = round->ops; op; op = op->next)
		if (op->verb == OP_REMOVE)
			return true;
	return false;
}

static void fail(struct round *round, const struct err *err)
{
	round->err = *err;
	if (!round->err.code)
		round->err.code = EIO;
	end_round(round);
}

static void next_family(struct round *round)
{
	round->family++;
	work(round);
}

static void on_saved(void *ctx, const struct child_result *result)
{
	struct round *round = ctx;
	struct err err;
	saved_free(round->saved[round->family]);
	round->saved[round->family] = NULL;
	if (result->status != 0) {
		explain(result, &err);
		fail(round, &err);
	} else if (saved_parse(result->out, &round->saved[round->family], &err) < 0) {
		fail(round, &err);
	} else {
		next_family(round);
	}
}

static void on_restored(void *ctx, const struct child_result *result)
{
	struct round *round = ctx;
	struct err err;
	if (result->status == 0) {
		next_family(round);
		return;
	}
	explain(result, &err);
	fail(round, &err);
}

static void on_swept(void *ctx, const struct child_result *result)
{
	struct round *round = ctx;
	firewall_forget_swept();
	round->step++;
	round->family = 0;
	work(round);
}

/* iptables-nft-save */
static void start_save(struct round *round)
{
	char program[40];
	const char *argv[] = {firewall_program(round->family, "save", program), NULL};
	child_run(&(struct child_spec){.argv = argv, .deadline_ms = DEADLINE_MS, .done = on_saved, .ctx = round});
}

/* iptables-nft-restore --noflush --wait 4 [--test] < text */
static void start_restore(struct round *round, bool test)
{
	char program[40];
	const char *argv[] = {firewall_program(round->family, "restore", program),
			      "--noflush",
			      "--wait",
			      "4",
			      test ? "--test" : NULL,
			      NULL};
	struct child_spec spec = {
		.argv = argv,
		.input = round->texts[round->family],
		.input_size = strlen(round->texts[round->family]),
		.deadline_ms = DEADLINE_MS,
		.done = on_restored,
		.ctx = round,
	};
	nft_events_own(child_pid(child_run(&spec)));
}

/* Takes one operation into the plan; what is no rule at all fails here, alone. */
static void plan_op(struct op *op, struct rules_key *key, struct rules_change *changes, size_t *n)
{
	if (op->verb == OP_OBSERVE || op->err.code)
		return;
	const struct rules_spec *want = op->verb == OP_REMOVE ? NULL : op->want;
	if (rules_key_parse(op->key, key, &op->err) < 0)
		return;
	if (want && rules_check(want, key->network, &op->err) < 0)
		return;
	changes[(*n)++] = (struct rules_change){.key = key, .want = want, .mark = op->mark};
}

static void plan(struct round *round)
{
	size_t n_ops = 0, n = 0, i = 0;
	for (const struct op *op = round->ops; op; op = op->next)
		n_ops++;
	cleanup_free struct rules_key *keys = xcalloc(n_ops, sizeof(*keys));
	cleanup_free struct rules_change *changes = xcalloc(n_ops, sizeof(*changes));
	for (struct op *op = round->ops; op; op = op->next)
		plan_op(op, &keys[i++], changes, &n);
	for (int family = 0; family < N_FAMILIES; family++) {
		free(round->texts[family]);
		round->texts[family] = rules_render(round->saved[family], family, changes, n);
	}
	for (i = 0; i < n; i++)
		if (changes[i].want && round->texts[changes[i].key->family])
			firewall_note_missing(changes[i].key->family, changes[i].key->table);
	if (changes_anything(round))
		firewall_backend_keep();
}

/* Starts what the step asks of the present family; false if that is nothing. */
static bool start_step(struct round *round)
{
	bool has_text = round->texts[round->family];
	switch (round->step) {
	case STEP_SAVE:
		if (round->concerned[round->family])
			start_save(round);
		return round->concerned[round->family];
	case STEP_SAVE_AGAIN:
		if (has_text)
			start_save(round);
		return has_text;
	case STEP_TEST:
	case STEP_COMMIT:
		if (has_text)
			start_restore(round, round->step == STEP_TEST);
		return has_text;
	case STEP_PLAN:
		if (round->family == 0)
			plan(round);
		return false;
	case STEP_SWEEP:
		if (round->family > 0 || !changes_anything(round) || !firewall_has_leftovers())
			return false;
		if (!removes_anything(round)) {
			firewall_forget_swept();
			return false;
		}
		nft_events_own(child_pid(child_call(firewall_sweep, NULL, DEADLINE_MS, on_swept, round)));
		return true;
	case STEP_END:
		break;
	}
	return false;
}

static void work(struct round *round)
{
	for (; round->step != STEP_END; round->step++, round->family = 0)
		for (; round->family < N_FAMILIES; round->family++)
			if (start_step(round))
				return;
	end_round(round);
}

void rules_run(struct op *ops)
{
	bool idle = !first;
	struct round *round = round_new(ops);
	*last = round;
	last = &round->next;
	if (idle)
		start_first();
}
