/* SPDX-License-Identifier: Apache-2.0 */
/* See fuzz.h. */
#include "tests/fuzz/fuzz.h"

#include <ftw.h>

#include "core/env.h"
#include "core/plugin.h"
#include "core/registry.h"

static char directory[32];

void require(bool law, const char *name)
{
	if (law)
		return;
	fprintf(stderr, "broken law: %s\n", name);
	abort();
}

void require_json(json_t *json, const char *name)
{
	require(json != NULL, name);
	cleanup_free char *text = json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY);
	require(text != NULL, name);
	json_decref(json);
}

/* The host that lowering sees: one NIC, IPv6, a QEMU. */
static int answer_fact(void *ctx, const char *key, char **ret)
{
	static const char *const facts[][2] = {
		{"firewall/ipv6", "yes"},
		{"firewall/backend", "nft"},
		{"link/eth0/mtu", "1500"},
		{"program/qemu-system-x86_64", "/usr/bin/qemu-system-x86_64"},
		{"sysctl/net/ipv6/conf/all/disable_ipv6", "0"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(facts); i++) {
		if (!streq(facts[i][0], key))
			continue;
		*ret = xstrdup(facts[i][1]);
		return 0;
	}
	return -ENOENT;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	return remove(path);
}

static void remove_directory(void)
{
	nftw(directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

const char *fuzz_directory(void)
{
	if (*directory)
		return directory;
	strcpy(directory, access("/dev/shm", W_OK) == 0 ? "/dev/shm/weft-fuzz.XXXXXX" : "/tmp/weft-fuzz.XXXXXX");
	if (!mkdtemp(directory))
		abort();
	atexit(remove_directory);
	return directory;
}

void fuzz_setup(void)
{
	static bool done;
	if (done)
		return;
	done = true;
	registry_init();
	plugins_load(WEFT_PLUGINS_DIR);
	fact_register("", answer_fact, NULL);
	const char *dir = fuzz_directory();
	env = (struct env){.root = dir,
			   .run_dir = xprintf("%s/run", dir),
			   .state_dir = xprintf("%s/lib", dir),
			   .etc_dir = xprintf("%s/etc", dir),
			   .libexec_dir = "/usr/libexec/weft",
			   .instance = "0123456789abcdef",
			   .boot_id = "00000000-0000-0000-0000-000000000000"};
}

char *fuzz_part(const uint8_t **data, size_t *size, size_t *ret_size)
{
	const uint8_t *end = memchr(*data, '\0', *size);
	size_t len = end ? (size_t)(end - *data) : *size, step = len + (end != NULL);
	char *part = xstrndup((const char *)*data, len);
	*data += step;
	*size -= step;
	if (ret_size)
		*ret_size = len;
	return part;
}
