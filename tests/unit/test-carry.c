/* SPDX-License-Identifier: Apache-2.0 */
/* What a change does not reach is carried over: random changes of links that stand on each other, hold each other's
 * addresses and join each other's bridges, on a host that changes as well. Whatever is carried over has to be what
 * lowering from nothing gives; debug builds also ask every question that was passed over. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/cases.h"

enum { STEPS = 120, VARIANTS = 5, LONGEST = 256 };

/* Each line is one object's place: documents of which it is one, or none. */
static const char *const documents[][VARIANTS] = {
	{"Bridge br0 {}", "Bridge br0 {mtu: 1400}", "Bridge br0 {ports: [t1, v0p]}",
	 "Bridge br0 {addresses: [10.0.0.1/24]}", "Network br0 {addresses: [10.0.0.1/24], mode: isolated}"},
	{"Bridge br1 {ports: [d0]}", "Bridge br1 {addresses: [10.0.0.1/16], ports: [eth0]}",
	 "Dummy br1 {addresses: [10.0.1.1/24]}", "Bridge br1 {mtu: 1280}", "Bridge br1 {ports: [l0, x0]}"},
	{"Network n0 {mode: routed, addresses: [10.0.2.1/24]}",
	 "Network n0 {mode: isolated, bridge: br2, addresses: [10.0.2.1/24], mtu: 1300}",
	 "Network n0 {mode: bridged, bridge: br0}",
	 "Network n0 {mode: isolated, bridge: br1, addresses: [10.0.3.1/24]}",
	 "Network n0 {mode: isolated, bridge: d0, addresses: [10.0.2.1/24]}"},
	{"Bridge br2 {addresses: [10.0.4.1/24]}", "Dummy br2 {}", "Tap br2 {bridge: br0}",
	 "Network n1 {mode: isolated, bridge: br2, addresses: [10.0.4.1/24]}", "Bridge br2 {ports: [t0, t1]}"},
	{"Tap t0 {bridge: br0}", "Tap t0 {bridge: br1}", "Tap t0 {}", "Tap t0 {mtu: 1350, bridge: br0}",
	 "Tap t0 {bridge: n0}"},
	{"Tap t1 {}", "Tap t1 {mtu: 1290}", "Tap t1 {bridge: br1}", "Tap t1 {bridge: br0}",
	 "Tap t1 {addresses: [10.0.5.1/24]}"},
	{"Veth v0 {peer: {name: v0p}}", "Veth v0 {peer: {name: v0p, bridge: br1}, mtu: 1330}",
	 "Veth v0 {bridge: br0, peer: {name: v0p, addresses: [10.0.1.1/24]}}",
	 "Veth v0 {peer: {name: v0q, bridge: br0}}", "Veth v0p {peer: {name: v0, bridge: br1}}"},
	{"Dummy d0 {addresses: [10.0.1.1/24]}", "Dummy d0 {mtu: 1310}", "Dummy d0 {}", "Dummy d0 {bridge: br0}",
	 "Bridge d0 {addresses: [10.0.1.1/24]}"},
	{"Vlan l0 {link: br0, id: 5}", "Vlan l0 {link: d0, id: 6, addresses: [10.0.6.1/24]}",
	 "Vlan l0 {link: eth0, id: 7, bridge: br1}", "Vlan l0 {link: v0p, id: 7}", "Vlan l0 {link: l1, id: 9}"},
	{"Vlan l1 {link: l0, id: 8}", "Vlan l1 {link: br1, id: 8}", "Macvlan l1 {link: eth0}",
	 "Vlan l1 {link: x0, id: 8}", "Macvlan l1 {link: br0, addresses: [10.0.7.1/24]}"},
	{"Vxlan x0 {vni: 5001, local: 10.0.0.1, bridge: br1}", "Vxlan x0 {vni: 5001, local: 10.0.1.1, bridge: br0}",
	 "Vxlan x0 {vni: 5001, remotes: [10.0.4.9, 10.0.7.3]}", "Vxlan x0 {vni: 5001, local: 192.0.2.1}",
	 "Vxlan x0 {vni: 5002, link: l0, remotes: [10.0.2.7]}"},
	{"Vxlan x1 {vni: 5001, local: 10.0.6.1}", "Vxlan x1 {vni: 5003, remotes: [10.0.2.9], bridge: br2}",
	 "Gretap x1 {local: 10.0.0.1, remote: 10.0.0.9, bridge: br0}", "Geneve x1 {vni: 7, remote: 10.0.3.5}",
	 "Vxlan x1 {vni: 5003, local: 10.0.5.1, bridge: n0}"},
	{"Vrf r0 {table: 1001, links: [l0, br1]}", "Vrf r0 {table: 1001, links: [d0]}", "Vrf r0 {table: 1002}",
	 "Bond r0 {mode: active-backup, ports: [d0]}", "Vrf r0 {table: 1001, links: [eth0]}"},
};
enum { N_PLACES = ARRAY_SIZE(documents) };

static unsigned n_seeds = 60;
static uint64_t seed;

static unsigned random_below(unsigned n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (unsigned)(seed >> 16) % n;
}

/* ---- a host ---- */

static unsigned host; /* which of some it is */

static int answer_fact(void *ctx, const char *key, char **ret)
{
	static const char *const holders[] = {"eth0", "eth1", "br0"};
	static const char *const mtus[] = {"1500", "9000", "1450"};
	if (str_starts(key, "link-with/") || str_starts(key, "link-towards/"))
		*ret = xstrdup(holders[host % 3]);
	else if (str_starts(key, "link/eth") && strstr(key, "/mtu"))
		*ret = xstrdup(mtus[host / 3 % 3]);
	return *ret ? 0 : -ENOENT;
}

/* ---- configurations ---- */

struct item {
	int variant; /* 0: none, else from 1 */
	struct object *object;
};
struct world {
	struct arena *arena;
	struct item items[N_PLACES];
	size_t order[N_PLACES]; /* what was changed last comes first */
	struct generation *gen;
	unsigned n_carried, n_anew, n_refused;
};

static struct object *decode(struct arena *arena, const char *document)
{
	char kind[32], name[32], spec[LONGEST];
	struct diags diags = {.arena = arena};
	assert_int_equal(sscanf(document, "%31s %31s %255[^\n]", kind, name, spec), 3);
	const char *text = arena_printf(arena, "apiVersion: weft/v1\nkind: %s\nmetadata: {name: %s}\nspec: %s\n", kind,
					name, spec);
	struct source *source = arena_new_of(arena, struct source);
	*source = (struct source){"carry.yaml", text, strlen(text)};
	size_t n;
	struct node **docs = yaml_parse(source, arena, &diags, &n);
	struct object *object = n == 1 ? object_decode(docs[0], arena, &diags) : NULL;
	if (diags.n_total)
		fail_msg("%s: %s", document, diags.items[0]->text);
	object->set = "default";
	object->generation = 1;
	return object;
}

static void move_to_front(struct world *world, size_t place)
{
	size_t at = 0;
	while (world->order[at] != place)
		at++;
	memmove(&world->order[1], &world->order[0], at * sizeof(world->order[0]));
	world->order[0] = place;
}

static void change(struct world *world)
{
	size_t place = random_below(N_PLACES);
	struct item *item = &world->items[place];
	item->variant = random_below(5) ? 1 + (int)random_below(VARIANTS) : 0;
	item->object = item->variant ? decode(world->arena, documents[place][item->variant - 1]) : NULL;
	if (item->variant)
		move_to_front(world, place);
}

static struct lower_input input_of(const struct world *world, struct object **objects)
{
	struct lower_input input = {.objects = objects, .before = world->gen};
	for (size_t i = 0; i < N_PLACES; i++)
		if (world->items[world->order[i]].object)
			objects[input.n_objects++] = world->items[world->order[i]].object;
	if (world->gen) {
		input.allocs = world->gen->allocs;
		input.n_allocs = world->gen->n_allocs;
	}
	return input;
}

/* As the manager does it. NULL if the configuration is refused. */
static struct generation *lower(struct world *world)
{
	struct object *objects[N_PLACES];
	struct lower_input input = input_of(world, objects);
	struct generation *gen = generation_new(NULL);
	struct diags diags = {.arena = gen->arena};
	if (world->gen && lower_carry(gen, &input) == 0) {
		lower_check(gen, &input);
		world->n_carried++;
		return gen;
	}
	if (lower_all(gen, &input, &diags) == 0) {
		world->n_anew++;
		return gen;
	}
	world->n_refused++;
	return generation_unref(gen);
}

static void step(struct world *world)
{
	struct world before = *world;
	if (!random_below(8))
		host = random_below(9);
	for (unsigned i = random_below(3) + 1; i > 0; i--)
		change(world);
	struct generation *gen = lower(world);
	if (gen) {
		generation_unref(world->gen);
		world->gen = gen;
		return;
	}
	memcpy(world->items, before.items, sizeof(before.items));
	memcpy(world->order, before.order, sizeof(before.order));
}

static void test_changes(void **state)
{
	unsigned n_carried = 0, n_anew = 0, n_refused = 0;
	for (unsigned i = 1; i <= n_seeds; i++) {
		struct world world = {.arena = arena_new()};
		seed = i * 0x9e3779b97f4a7c15;
		for (size_t k = 0; k < N_PLACES; k++)
			world.order[k] = k;
		for (unsigned k = 0; k < STEPS; k++)
			step(&world);
		n_carried += world.n_carried;
		n_anew += world.n_anew;
		n_refused += world.n_refused;
		generation_unref(world.gen);
		arena_free(world.arena);
	}
	print_message("%u carried over, %u lowered from nothing, %u refused\n", n_carried, n_anew, n_refused);
	assert_true(n_carried > n_seeds * STEPS / 8);
}

/* With a number: that many seeds. */
int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_changes)};
	n_seeds = argc > 1 ? (unsigned)atoi(argv[1]) : n_seeds;
	cases_setup();
	fact_register("", answer_fact, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
