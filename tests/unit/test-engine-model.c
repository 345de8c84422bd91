/* SPDX-License-Identifier: Apache-2.0 */
/* The engine's model test: random configurations over a toy host, with failing operations, crashes, rivals,
 * irreversible steps and applies that are confirmed, refused or taken back, all from a seed. When the noise stops, the
 * host must equal the current generation, and nothing foreign was touched (the toy host aborts on that by itself).
 *
 *     test-engine-model [STEPS [SEED]]      the defaults: a million steps, a seed from the clock */
#include "toy.h"

#include "core/env.h"

struct world {
	struct toy_host host;
	struct engine *engine;
	struct generation *final, *applying; /* what the store would say */
	struct generation *leaving[256];
	size_t n_leaving;
	struct toy_disk disk;
	bool woken;
	bool holds; /* nothing comes of what is done to volumes, as with storage that hangs, until the noise stops */
	uint64_t seed;
	unsigned n_probing;
	unsigned long n_probed, n_planned; /* looks at other configurations, and what they would change */
	unsigned long n_applied, n_refused, n_undone, n_crashes, n_rounds;
};

static void stuck(const struct world *w, const char *what)
{
	fprintf(stderr, "model: seed %llu: %s\n", (unsigned long long)w->seed, what);
	struct resource_view view;
	for (size_t i = 0; engine_view(w->engine, i, &view); i++)
		fprintf(stderr, "  %s/%s %s %s%s%s %s\n", view.class->name, view.key, resource_state_names[view.state],
			view.want ? "wanted " : "leaving ", view.exists ? "exists " : "", view.made ? "made" : "",
			view.reason ? view.reason : "");
	abort();
}

/* ---- what the engine asks of its host ---- */

static uint64_t clock_now(void *ctx)
{
	return ((struct world *)ctx)->host.clock_ms;
}

static void wake(void *ctx)
{
	((struct world *)ctx)->woken = true;
}

static int persist(void *ctx, const struct engine_record *records, size_t n, struct err *err)
{
	struct world *w = ctx;
	if (toy_random(&w->host, 100) < w->host.fail_percent)
		return err_set(err, EIO, "disk");
	toy_disk_write(&w->disk, records, n);
	return 0;
}

/* Volumes that a final generation wants are kept from now on. */
static void note_kept(struct world *w)
{
	for (size_t i = 0; i < TOY_NAMES; i++) {
		char key[] = {'n', (char)('0' + i), '\0'};
		if (generation_find(w->final, "volume", key))
			w->host.things[TOY_VOLUME][i].fresh = false;
	}
	for (size_t i = 0; i < w->host.n_ops; i++) {
		struct op *op = w->host.ops[i];
		if (op->verb == OP_CREATE && generation_find(w->final, "volume", op->key))
			op->lane_data = NULL;
	}
}

static void start_engine(struct world *w)
{
	struct engine_host host = {.ctx = w, .now_ms = clock_now, .persist = persist, .wake = wake};
	w->engine = toy_start(&w->host, &host, &w->disk);
	for (size_t i = 0; i < w->n_leaving; i++)
		engine_leave(w->engine, w->leaving[i]);
	w->host.pending = false;
	engine_switch(w->engine, w->final, false);
	note_kept(w);
}

/* ---- random configurations ---- */

static struct want *add(struct generation *gen, enum toy_class class, size_t name, const struct toy_spec *spec)
{
	char key[] = {'n', (char)('0' + name), '\0'};
	struct want *w =
		generation_add(gen, toy_classes[class], key, table_copy(toy_classes[class]->table, spec, gen->arena));
	w->mark = "mark";
	return w;
}

static void edge(struct generation *gen, struct want ***list, size_t *n, size_t *cap, struct want *to)
{
	arena_grow(gen->arena, *list, *n, *cap);
	(*list)[(*n)++] = to;
}

static void add_on_link(struct toy_host *h, struct generation *gen, size_t i, struct want *link)
{
	struct toy_spec spec = {.present = 1, .mtu = (uint32_t)toy_random(h, 3)};
	if (toy_random(h, 2)) {
		struct want *a = add(gen, TOY_ADDR, i, &spec);
		edge(gen, &a->needs, &a->n_needs, &a->cap_needs, link);
	}
	if (toy_random(h, 2))
		return;
	struct toy_spec proc_spec = {.present = 8, .model = (uint32_t)toy_random(h, 2)};
	struct want *proc = add(gen, TOY_PROC, i, &proc_spec);
	edge(gen, &proc->needs, &proc->n_needs, &proc->cap_needs, link);
	struct toy_spec attach_spec = {0};
	struct want *attach = add(gen, TOY_ATTACH, i, &attach_spec);
	edge(gen, &attach->needs, &attach->n_needs, &attach->cap_needs, link);
	attach->carrier = proc;
	struct toy_spec helper_spec = {.present = 1, .mtu = (uint32_t)toy_random(h, 2)};
	struct want *helper = add(gen, TOY_HELPER, i, &helper_spec);
	edge(gen, &helper->needs, &helper->n_needs, &helper->cap_needs, link);
	edge(gen, &helper->needs, &helper->n_needs, &helper->cap_needs, proc);
}

/* What an address serves goes over to another one. */
static void add_handovers(struct toy_host *h, struct generation *gen)
{
	for (size_t i = 0; i < TOY_NAMES; i++) {
		char from[] = {'n', (char)('0' + i), '\0'}, to[] = {'n', (char)('0' + toy_random(h, TOY_NAMES)), '\0'};
		struct want *x = generation_find(gen, "addr", from), *y = generation_find(gen, "addr", to);
		if (x && y && x != y)
			edge(gen, &x->handovers, &x->n_handovers, &x->cap_handovers, y);
	}
}

static struct want *find(const struct generation *gen, enum toy_class class, size_t name)
{
	char key[] = {'n', (char)('0' + name), '\0'};
	return generation_find(gen, toy_classes[class]->name, key);
}

/* A setting is changed only after others, and goes back only after others have. So does what is made. */
static void add_orders(struct toy_host *h, struct generation *gen)
{
	for (size_t i = 1; i < TOY_NAMES; i++) {
		size_t less = toy_random(h, i);
		struct want *setting = find(gen, TOY_SETTING, i), *first = find(gen, TOY_SETTING, less),
			    *addr = find(gen, TOY_ADDR, i);
		if (setting && first)
			edge(gen, &setting->afters, &setting->n_afters, &setting->cap_afters, first);
		if (setting && first && toy_random(h, 2))
			edge(gen, &setting->handovers, &setting->n_handovers, &setting->cap_handovers, first);
		if (addr && setting)
			edge(gen, &addr->afters, &addr->n_afters, &addr->cap_afters, setting);
		if (addr && first)
			edge(gen, &addr->handovers, &addr->n_handovers, &addr->cap_handovers, first);
	}
}

static void add_link(struct toy_host *h, struct generation *gen, struct want **links, size_t i)
{
	struct toy_spec spec = {.present = 3, .mtu = (uint32_t)toy_random(h, 3), .type = (uint32_t)toy_random(h, 2)};
	char master[] = "n0";
	size_t m = i + 1 + toy_random(h, TOY_NAMES);
	if (m < TOY_NAMES && links[m]) {
		master[1] = (char)('0' + m);
		spec.master = master;
		spec.present |= 16;
	}
	if (!h->strict && toy_random(h, 12) == 0)
		spec.present = 1; /* somebody else's link: only its MTU is asked for */
	links[i] = add(gen, TOY_LINK, i, &spec);
	if (spec.present & 16)
		edge(gen, &links[i]->needs, &links[i]->n_needs, &links[i]->cap_needs, links[m]);
	add_on_link(h, gen, i, links[i]);
}

static struct generation *random_generation(struct world *w)
{
	struct toy_host *h = &w->host;
	struct generation *gen = generation_new(NULL);
	struct want *links[TOY_NAMES] = {0};
	for (size_t i = TOY_NAMES; i-- > 0;) {
		if (toy_random(h, 3))
			add_link(h, gen, links, i);
		struct toy_spec setting = {.present = 1, .mtu = 5 + (uint32_t)toy_random(h, 2)};
		if (toy_random(h, 2))
			add(gen, TOY_SETTING, i, &setting);
		struct toy_spec volume = {
			.present = 0x24, .size = 1 + (uint32_t)toy_random(h, 3), .reclaim = toy_random(h, 2)};
		if (toy_random(h, 2))
			add(gen, TOY_VOLUME, i, &volume);
	}
	if (toy_random(h, 2))
		add_handovers(h, gen);
	if (toy_random(h, 2))
		add_orders(h, gen);
	return gen;
}

/* ---- one that carries over most of another ---- */

enum { CHAIN_MAX = 16 };

static bool is_among(struct want *const *wants, size_t n, const struct want *want)
{
	for (size_t i = 0; i < n; i++)
		if (wants[i] == want)
			return true;
	return false;
}

static bool leads_out(const struct want *w, struct want *const *kept, size_t n)
{
	for (size_t i = 0; i < w->n_needs; i++)
		if (!is_among(kept, n, w->needs[i]))
			return true;
	for (size_t i = 0; i < w->n_handovers; i++)
		if (!is_among(kept, n, w->handovers[i]))
			return true;
	for (size_t i = 0; i < w->n_afters; i++)
		if (!is_among(kept, n, w->afters[i]))
			return true;
	return w->carrier && !is_among(kept, n, w->carrier);
}

/* What is carried over leads to nothing that is not. */
static size_t choose_kept(struct toy_host *h, const struct generation *before, struct want **kept)
{
	size_t n = 0, last;
	for (size_t i = 0; i < before->n_wants; i++)
		if (toy_random(h, 6))
			kept[n++] = before->wants[i];
	do {
		last = n;
		n = 0;
		for (size_t i = 0; i < last; i++)
			if (!leads_out(kept[i], kept, last))
				kept[n++] = kept[i];
	} while (n < last);
	return n;
}

static bool all_there(const struct generation *gen, struct want *const *wants, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!generation_find(gen, wants[i]->class->name, wants[i]->key))
			return false;
	return true;
}

struct edges {
	struct want ***to;
	size_t *n, *cap;
};

static void copy_edges(struct generation *gen, const struct edges *edges, struct want *const *from, size_t n_from)
{
	for (size_t i = 0; i < n_from; i++) {
		struct want *to = generation_find(gen, from[i]->class->name, from[i]->key);
		if (to)
			edge(gen, edges->to, edges->n, edges->cap, to);
	}
}

/* The rest as in another one, as far as what it needs is there. */
static void copy_wants(struct generation *gen, const struct generation *from)
{
	size_t last;
	do {
		last = gen->n_wants;
		for (size_t i = 0; i < from->n_wants; i++) {
			const struct want *w = from->wants[i];
			bool complete =
				all_there(gen, w->needs, w->n_needs) && (!w->carrier || all_there(gen, &w->carrier, 1));
			if (complete && !generation_find(gen, w->class->name, w->key))
				generation_add(gen, w->class, w->key, table_copy(w->class->table, w->spec, gen->arena))
					->mark = "mark";
		}
	} while (gen->n_wants > last);
	for (size_t i = gen->n_carried; i < gen->n_wants; i++) {
		struct want *w = gen->wants[i];
		const struct want *like = generation_find(from, w->class->name, w->key);
		copy_edges(gen, &(struct edges){&w->needs, &w->n_needs, &w->cap_needs}, like->needs, like->n_needs);
		copy_edges(gen, &(struct edges){&w->handovers, &w->n_handovers, &w->cap_handovers}, like->handovers,
			   like->n_handovers);
		copy_edges(gen, &(struct edges){&w->afters, &w->n_afters, &w->cap_afters}, like->afters,
			   like->n_afters);
		w->carrier =
			like->carrier ? generation_find(gen, like->carrier->class->name, like->carrier->key) : NULL;
	}
}

static struct generation *similar_generation(struct world *w, const struct generation *before)
{
	struct want *kept[TOY_CLASSES * TOY_NAMES];
	struct generation *other = random_generation(w), *gen = generation_new(NULL);
	size_t n = choose_kept(&w->host, before, kept);
	if (before->n_older >= CHAIN_MAX)
		return generation_unref(gen), other;
	for (size_t i = 0; i < n; i++)
		generation_share(gen, kept[i]);
	gen->n_carried = n;
	gen->basis = before->serial;
	gen->gone = arena_alloc(gen->lists, (before->n_wants + 1) * sizeof(struct want *));
	for (size_t i = 0; i < before->n_wants; i++)
		if (!is_among(kept, n, before->wants[i]))
			gen->gone[gen->n_gone++] = before->wants[i];
	generation_share_arenas(gen, before);
	copy_wants(gen, other);
	generation_unref(other);
	return gen;
}

static struct generation *next_generation(struct world *w)
{
	bool similar = !w->applying && toy_random(&w->host, 2);
	return similar ? similar_generation(w, w->final) : random_generation(w);
}

/* ---- what a manager does ---- */

static void leave(struct world *w, struct generation *gen)
{
	if (w->n_leaving == ARRAY_SIZE(w->leaving))
		stuck(w, "too many generations are leaving");
	w->leaving[w->n_leaving++] = gen;
}

static void forget_leaving(struct world *w)
{
	if (w->applying || engine_leaving(w->engine))
		return;
	for (size_t i = 0; i < w->n_leaving; i++)
		generation_unref(w->leaving[i]);
	w->n_leaving = 0;
}

static void apply(struct world *w)
{
	if (w->applying || w->n_leaving > 100)
		return;
	w->applying = next_generation(w);
	w->host.pending = true;
	engine_switch(w->engine, w->applying, true);
	w->n_applied++;
}

static void count_step(void *ctx, const struct plan_step *step)
{
	struct world *w = ctx;
	w->n_planned += step->verb != OP_OBSERVE;
}

static void probed(void *ctx)
{
	struct world *w = ctx;
	w->n_probing--;
	w->n_probed++;
	struct generation *gen = next_generation(w);
	engine_plan_change(w->engine, gen, count_step, w);
	generation_unref(gen);
	if (toy_random(&w->host, 4) == 0)
		apply(w); /* as a manager does, from within */
}

static void probe(struct world *w)
{
	struct generation *gen = next_generation(w);
	w->n_probing++;
	engine_probe_change(w->engine, gen, probed, w);
	generation_unref(gen);
}

static void make_final(struct world *w)
{
	leave(w, w->final);
	w->final = take_ptr(w->applying);
	w->host.pending = false;
	note_kept(w);
	engine_final(w->engine);
}

static void take_back(struct world *w)
{
	leave(w, take_ptr(w->applying));
	w->host.pending = false;
	engine_switch(w->engine, w->final, false);
	note_kept(w);
}

static void judge(struct world *w)
{
	if (!w->applying)
		return;
	struct err why = {0};
	switch (engine_outcome(w->engine, &why)) {
	case ENGINE_RUNNING:
		return;
	case ENGINE_REFUSED:
		w->n_refused++;
		take_back(w);
		return;
	case ENGINE_SETTLED:
		if (toy_random(&w->host, 4) == 0) {
			w->n_undone++;
			take_back(w); /* not confirmed in time */
		} else {
			make_final(w);
		}
		return;
	}
}

static void crash(struct world *w)
{
	toy_crash(&w->host);
	engine_free(w->engine);
	if (w->applying)
		leave(w, take_ptr(w->applying));
	w->n_crashes++;
	w->n_probing = 0;
	start_engine(w);
}

static uint64_t run(struct world *w)
{
	w->woken = false;
	return engine_run(w->engine);
}

/* ---- the noise, and the silence after it ---- */

static void do_one(struct world *w)
{
	size_t i = toy_random(&w->host, w->host.n_ops);
	if (!w->holds || w->host.ops[i]->class != toy_classes[TOY_VOLUME])
		toy_do(&w->host, i);
}

static void noisy_step(struct world *w, bool rivals)
{
	uint64_t dice = toy_random(&w->host, 1000);
	if (dice < 500 && w->host.n_ops)
		do_one(w);
	else if (dice < 900)
		run(w);
	else if (dice < 930)
		judge(w);
	else if (dice < 945)
		apply(w);
	else if (dice < 948)
		crash(w);
	else if (dice < 975 && rivals)
		toy_rival(&w->host, toy_random(&w->host, 5) == 0);
	else if (dice < 990)
		w->host.clock_ms += toy_random(&w->host, 2000);
	else if (dice < 992)
		engine_resync(w->engine);
	else if (dice < 996 && w->n_probing < 3)
		probe(w);
	else if (dice < 997)
		engine_retry(w->engine, NULL);
	else if (dice < 998)
		engine_hurry(w->engine);
}

/* Rivals leave: what stands in the way of a wanted thing goes, what is somebody else's to provide comes. */
static void make_room(struct world *w)
{
	for (size_t i = 0; i < w->final->n_wants; i++) {
		const struct want *want = w->final->wants[i];
		size_t name = (size_t)(want->key[1] - '0');
		const struct toy_spec *spec = want->spec;
		for (size_t c = 0; c < TOY_CLASSES; c++) {
			struct toy_thing *t = &w->host.things[c][name];
			if (toy_classes[c] != want->class)
				continue;
			if (c == TOY_LINK && !(spec->present & 2) && !t->exists)
				toy_provide(&w->host, name);
			else if (c != TOY_SETTING && t->foreign && !(c == TOY_LINK && !(spec->present & 2)))
				t->exists = t->foreign = false;
		}
	}
}

/* Without `whole`: only until what is being applied has been judged. */
static void settle(struct world *w, bool whole)
{
	w->host.fail_percent = 0;
	int n_rooms = 0;
	for (int i = 0; i < 100000; i++) {
		uint64_t next = run(w);
		judge(w);
		if (!whole && !w->applying)
			return;
		if (w->host.n_ops) {
			toy_do(&w->host, toy_random(&w->host, w->host.n_ops));
		} else if (!w->applying && engine_converged(w->engine) && !w->woken) {
			return;
		} else if (!w->woken) {
			if (next == UINT64_MAX && n_rooms++ > 3)
				stuck(w, "nothing to wait for, and not converged");
			if (next == UINT64_MAX) {
				make_room(w);
				engine_resync(w->engine);
				continue;
			}
			if (next > w->host.clock_ms)
				w->host.clock_ms = next;
		}
	}
	stuck(w, "does not come to rest");
}

static void check_wanted(const struct world *w, const struct want *want, const struct toy_thing *t)
{
	const struct toy_spec *spec = want->spec;
	bool same = t->exists && (!(spec->present & 1) || t->mtu == spec->mtu) &&
		    (!(spec->present & 2) || t->type == spec->type) &&
		    (!(spec->present & 4) || t->size >= spec->size) &&
		    (!(spec->present & 16) || streq(t->master, spec->master));
	bool binds = want->class == toy_classes[TOY_ATTACH] || want->class == toy_classes[TOY_HELPER];
	if (binds && t->bound != w->host.things[TOY_LINK][want->key[1] - '0'].incarnation)
		same = false;
	if (same)
		return;
	fprintf(stderr, "%s/%s\n", want->class->name, want->key);
	stuck(w, "the host differs from what is wanted");
}

static void check_unwanted(const struct world *w, enum toy_class class, const char *key, const struct toy_thing *t)
{
	bool fine = !t->exists || t->foreign;
	if (class == TOY_VOLUME)
		fine = !t->exists || !t->fresh;
	if (class == TOY_SETTING)
		fine = !w->host.strict || !t->touched || t->mtu == t->before_mtu;
	if (fine)
		return;
	fprintf(stderr, "%s/%s\n", toy_classes[class]->name, key);
	stuck(w, "something of ours is left over");
}

static void check_host(const struct world *w)
{
	for (size_t c = 0; c < TOY_CLASSES; c++) {
		for (size_t i = 0; i < TOY_NAMES; i++) {
			char key[] = {'n', (char)('0' + i), '\0'};
			const struct want *want = generation_find(w->final, toy_classes[c]->name, key);
			const struct toy_thing *t = &w->host.things[c][i];
			if (want)
				check_wanted(w, want, t);
			else
				check_unwanted(w, (enum toy_class)c, key, t);
		}
	}
}

static void silence(struct world *w)
{
	if (w->applying) { /* a crash in the middle, or the end of it */
		if (toy_random(&w->host, 2))
			crash(w);
		else
			settle(w, false);
	}
	make_room(w);
	engine_resync(w->engine);
	engine_retry(w->engine, NULL);
	settle(w, true);
	if (engine_generation(w->engine) != w->final)
		stuck(w, "the current generation is not the final one");
	check_host(w);
	forget_leaving(w);
	w->n_rounds++;
}

static unsigned long play(uint64_t seed, unsigned long steps)
{
	struct world w = {.seed = seed};
	toy_init(&w.host, seed);
	w.host.strict = seed % 4 == 0;
	w.final = generation_new(NULL);
	start_engine(&w);
	unsigned long n = 0;
	while (n < steps) {
		w.host.fail_percent = w.host.strict ? 0 : (unsigned)toy_random(&w.host, 15);
		w.holds = toy_random(&w.host, 4) == 0;
		for (uint64_t k = toy_random(&w.host, 400); k > 0; k--, n++)
			noisy_step(&w, !w.host.strict);
		silence(&w);
	}
	engine_free(w.engine);
	for (size_t i = 0; i < w.n_leaving; i++)
		generation_unref(w.leaving[i]);
	toy_disk_clear(&w.disk);
	generation_unref(w.final);
	generation_unref(w.applying);
	free(w.host.ops);
	printf("seed %llu: %lu steps, %lu operations, %lu applies (%lu refused, %lu taken back), %lu crashes, %lu "
	       "probes, %lu cancelled, %lu silences\n",
	       (unsigned long long)seed, n, w.host.n_done, w.n_applied, w.n_refused, w.n_undone, w.n_crashes,
	       w.n_probed, w.host.n_cancels, w.n_rounds);
	return n;
}

enum { STEPS_A_SEED = 10000 };

int main(int argc, char **argv)
{
	unsigned long steps = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000000;
	uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : wall_ms();
	printf("model: %lu steps from seed %llu\n", steps, (unsigned long long)seed);
	fflush(stdout);
	for (unsigned long done = 0; done < steps; seed++)
		done += play(seed, argc > 2 && steps < STEPS_A_SEED ? steps : STEPS_A_SEED);
	printf("model: passed\n");
	return 0;
}
