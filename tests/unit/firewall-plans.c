/* SPDX-License-Identifier: Apache-2.0 */
/* See firewall-plans.h. Each network is an object of a kind that lowers to nothing but its firewall. */
#include "firewall-plans.h"

#include "core/env.h"
#include "netd/firewall.h"

const char *const plan_names[PLANS_MAX] = {"quickstart", "isolated", "routed", "half", "fifteen-letters"};

struct network_spec {
	uint64_t present;
};
static const struct table network_table = {.name = "Network", .size = sizeof(struct network_spec)};

static void add_prefix(struct lowering *l, struct netd_firewall_plan *plan, const char *text)
{
	struct ip_prefix *prefixes = arena_alloc(lower_arena(l), (plan->prefixes.n + 1) * sizeof(*prefixes));
	if (plan->prefixes.n)
		memcpy(prefixes, plan->prefixes.items, plan->prefixes.n * sizeof(*prefixes));
	if (prefix_parse(text, &prefixes[plan->prefixes.n++]) < 0)
		abort();
	plan->prefixes.items = prefixes;
}

struct forward_text {
	const char *listen;
	unsigned listen_port;
	int proto;
	const char *to;
	unsigned port;
};

static void add_forward(struct lowering *l, struct netd_firewall_plan *plan, struct forward_text text)
{
	struct netd_firewall_forward *forwards =
		arena_alloc(lower_arena(l), (plan->forwards.n + 1) * sizeof(*forwards));
	if (plan->forwards.n)
		memcpy(forwards, plan->forwards.items, plan->forwards.n * sizeof(*forwards));
	struct netd_firewall_forward *forward = &forwards[plan->forwards.n++];
	forward->listen.port = (uint16_t)text.listen_port;
	forward->proto = text.proto;
	forward->to.port = (uint16_t)text.port;
	if (ip_parse(text.listen, &forward->listen.ip) < 0 || ip_parse(text.to, &forward->to.ip) < 0)
		abort();
	plan->forwards.items = forwards;
}

static void fill(struct lowering *l, struct netd_firewall_plan *plan, const char *name)
{
	if (streq(name, "quickstart")) {
		plan->mode = FIREWALL_NAT;
		plan->nat4 = plan->nat6 = plan->dhcp4 = plan->dns = plan->ra = true;
		add_prefix(l, plan, "192.168.150.1/24");
		add_prefix(l, plan, "fd42:150::1/64");
		add_forward(l, plan, (struct forward_text){"0.0.0.0", 8080, FIREWALL_TCP, "192.168.150.10", 80});
	} else if (streq(name, "isolated")) {
		plan->mode = FIREWALL_ISOLATED;
		plan->dhcp4 = plan->dns = true;
		add_prefix(l, plan, "10.201.0.1/24");
	} else if (streq(name, "routed")) {
		plan->mode = FIREWALL_ROUTED;
		plan->dhcp4 = plan->dhcp6 = plan->dns = plan->ra = true;
		add_prefix(l, plan, "10.5.0.1/24");
		add_prefix(l, plan, "2001:db8:5::1/64");
	} else if (streq(name, "half")) {
		plan->mode = FIREWALL_NAT;
		plan->nat4 = true;
		plan->dhcp4 = true;
		add_prefix(l, plan, "10.6.0.1/24");
		add_prefix(l, plan, "10.7.0.1/24");
		add_prefix(l, plan, "2001:db8:6::1/64");
		add_forward(l, plan, (struct forward_text){"192.0.2.5", 5353, FIREWALL_UDP, "10.6.0.53", 53});
		add_forward(l, plan, (struct forward_text){"::", 443, FIREWALL_TCP, "2001:db8:6::10", 8443});
		add_forward(l, plan, (struct forward_text){"2001:db8::1", 53, FIREWALL_UDP, "2001:db8:6::10", 53});
	} else {
		plan->mode = FIREWALL_NAT;
		plan->nat4 = true;
		add_prefix(l, plan, "10.8.0.1/30");
	}
}

static void lower_plan(struct lowering *l, const struct object *object)
{
	struct netd_firewall_plan plan = {.network = object->name, .bridge = object->name};
	fill(l, &plan, object->name);
	netd_firewall_want(l, &plan);
}

static const struct kind network_kind = {.name = "Network", .table = &network_table, .lower = lower_plan};

static int answer_fact(void *ctx, const char *key, char **ret)
{
	if (!streq(key, "firewall/ipv6"))
		return -ENOENT;
	*ret = xstrdup("true");
	return 0;
}

struct generation *plan_lower(const char *name)
{
	static bool registered;
	if (!registered)
		fact_register("firewall/", answer_fact, NULL);
	registered = true;
	snprintf(env.instance, sizeof(env.instance), "00000000000000aa");
	struct generation *gen = generation_new(NULL);
	struct object *object = arena_new_of(gen->arena, struct object);
	struct object **objects = arena_new_of(gen->arena, struct object *);
	*object = (struct object){.kind = &network_kind, .name = arena_strdup(gen->arena, name)};
	object->spec = arena_new_of(gen->arena, struct network_spec);
	objects[0] = object;
	struct diags diags = {.arena = gen->arena};
	struct lower_input input = {.objects = objects, .n_objects = 1};
	if (lower_all(gen, &input, &diags) < 0)
		abort();
	return gen;
}

char *plan_render(const struct generation *gen, enum family family)
{
	struct rules_key keys[32];
	struct rules_change changes[32];
	size_t n = 0;
	struct saved *nothing;
	if (saved_parse("", &nothing, NULL) < 0)
		abort();
	for (size_t i = 0; i < gen->n_wants && n < ARRAY_SIZE(keys); i++) {
		const struct want *w = gen->wants[i];
		if (w->class != &netd_rules_class || rules_key_parse(w->key, &keys[n], NULL) < 0)
			continue;
		changes[n] = (struct rules_change){.key = &keys[n], .want = w->spec, .mark = w->mark};
		n++;
	}
	char *text = rules_render(nothing, family, changes, n);
	saved_free(nothing);
	return text;
}
