/* SPDX-License-Identifier: Apache-2.0 */
/* Arbitrary bytes as datagrams of rtnetlink: events, parts of dumps, answers to requests. Laws: the cache's two indexes
 * hold the same links; what is seen of a link or an address can be shown, and compared with what is wanted; an error of
 * an operation is a sentence. */
#include "netd/link.h"
#include "tests/fuzz/fuzz.h"

extern const struct resource_class netd_address_class;

static struct netlink_cache cache;
static struct netlink_batch batch;

static size_t count_links(bool by_name)
{
	size_t n = 0;
	for (size_t i = 0; i < NETLINK_BUCKETS; i++)
		for (const struct netlink_link *l = by_name ? cache.by_name[i] : cache.by_index[i]; l;
		     l = by_name ? l->next_by_name : l->next_by_index)
			n++;
	return n;
}

static void observe(const struct resource_class *class, const char *key, const void *want)
{
	const struct netlink_verbs *verbs = class->verbs;
	struct op op = {.verb = OP_OBSERVE, .class = class, .key = key, .want = want};
	verbs->observe(&cache, &op);
	require(op.err.code || op.obs.valid, "an observation is one, or fails");
	if (op.obs.exists) {
		require_json(table_to_json(class->table, op.obs.spec, 0), "what is seen can be shown");
		if (want)
			table_diff(class->table, want, op.obs.spec);
	}
	observation_done(&op.obs);
}

static void observe_all(void)
{
	static struct link_spec want = {
		.present = 1 << LINK_KIND | 1 << LINK_MTU | 1 << LINK_UP | 1 << LINK_MASTER,
		.kind = "bridge",
		.mtu = 1500,
		.up = true,
		.master = "",
	};
	static const char *const links[] = {"lan", "eth0", "web.0"};
	for (size_t i = 0; i < ARRAY_SIZE(links); i++) {
		observe(&netd_link_class, links[i], &want);
		observe(&netd_link_class, links[i], NULL);
	}
	observe(&netd_address_class, "lan/192.168.150.1/24", NULL);
	observe(&netd_address_class, "lan/fd42:150::1/64", NULL);
	/* Those that nobody asked for as well. */
	for (size_t i = 0; i < NETLINK_BUCKETS; i++)
		for (const struct netlink_link *l = cache.by_index[i]; l; l = l->next_by_index)
			observe(&netd_link_class, l->name, NULL);
}

/* The same bytes as the answers to three requests. */
static void read_answers(const void *data, size_t size)
{
	struct op ops[3] = {{0}};
	batch.first = 1;
	batch.n = ARRAY_SIZE(ops);
	for (size_t i = 0; i < batch.n; i++)
		batch.ops[i] = &ops[i];
	netlink_batch_read(&batch, data, (int)size);
	for (size_t i = 0; i < batch.n; i++)
		require(!ops[i].err.code == !*ops[i].err.text, "an error is a sentence");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_setup();
	/* A copy, as messages are aligned. */
	cleanup_free void *datagram = xcalloc(1, size + 1);
	memcpy(datagram, data, size);
	observe_all();
	netlink_cache_read(&cache, datagram, (int)size);
	require(count_links(true) == count_links(false), "both indexes hold the same links");
	observe_all();
	batch.sink = netlink_cache_message;
	batch.sink_ctx = &cache;
	read_answers(datagram, size);
	/* A dump of which only these messages come. */
	cache.sweep++;
	netlink_cache_read(&cache, datagram, (int)(size / 2));
	netlink_cache_sweep(&cache);
	observe_all();
	require(count_links(true) == count_links(false), "both indexes hold the same links");
	netlink_cache_close(&cache);
	memset(&cache, 0, sizeof(cache));
	return 0;
}
