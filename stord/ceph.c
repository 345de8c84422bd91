/* SPDX-License-Identifier: Apache-2.0 */
/* Loading Ceph's libraries, connecting to a cluster, and what it says turned into sentences of ours. Nothing is read
 * but what the manifest names: no ceph.conf, no keyring of the host's, no environment. See ceph.h. */
#include "stord/ceph.h"

#include <dlfcn.h>
#include <jansson.h>
#include <signal.h>
#include <sys/time.h>

#include "stord/image.h"
#include "stord/keyring.h"

struct ceph_functions ceph;

enum { REQUEST_S = 30 };

const char *ceph_missing(void)
{
	static const struct {
		const char *library, *package;
	} libraries[] = {{"librados.so.2", "librados2"}, {"librbd.so.1", "librbd1"}};
	static const struct {
		const char *name;
		size_t offset;
	} functions[] = {
#define CEPH_ROW(name) {#name, offsetof(struct ceph_functions, name)},
		CEPH_FUNCTIONS(CEPH_ROW)};
	static char text[512];
	void *handles[ARRAY_SIZE(libraries)];
	for (size_t i = 0; i < ARRAY_SIZE(libraries); i++) {
		handles[i] = dlopen(libraries[i].library, RTLD_NOW | RTLD_LOCAL);
		if (handles[i])
			continue;
		snprintf(text, sizeof(text), "Ceph's library cannot be loaded (%s): install the package %s", dlerror(),
			 libraries[i].package);
		return text;
	}
	for (size_t i = 0; i < ARRAY_SIZE(functions); i++) {
		void *function = dlsym(handles[str_starts(functions[i].name, "rbd_")], functions[i].name);
		if (!function) {
			snprintf(text, sizeof(text), "Ceph's library is too old, it has no %s(): update librbd1",
				 functions[i].name);
			return text;
		}
		memcpy((char *)&ceph + functions[i].offset, &function, sizeof(function));
	}
	return NULL;
}

bool ceph_monitor_parse(const char *text, struct ceph_monitor *ret)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:";
	bool bracket = text[0] == '[';
	const char *end = bracket ? strchr(text, ']') : text + strcspn(text, ":");
	*ret = (struct ceph_monitor){0};
	if (!end)
		return false;
	snprintf(ret->host, sizeof(ret->host), "%.*s", (int)(end - text - bracket), text + bracket);
	const char *rest = bracket ? end + 1 : end;
	char *last = (char *)rest;
	if (*rest == ':' && rest[1])
		ret->port = (unsigned)strtoul(rest + 1, &last, 10);
	bool port_is_right = !*rest || (*rest == ':' && !*last && ret->port >= 1 && ret->port <= 65535);
	return ret->host[0] && ret->host[0] != '-' && strspn(ret->host, allowed) == strlen(ret->host) &&
	       bracket == (strchr(ret->host, ':') != NULL) && port_is_right;
}

const char *ceph_pool_name(const struct ceph_spec *spec, char buf[static 256])
{
	snprintf(buf, 256, "%s%s%s", spec->pool, spec->namespace ? "/" : "", spec->namespace ? spec->namespace : "");
	return buf;
}

/* "192.0.2.70:6789, 192.0.2.71:6789": what librados reads and people, too. */
static char *monitors_text(const struct ceph_spec *spec)
{
	char *text = xstrdup("");
	for (size_t i = 0; i < spec->monitors.n; i++) {
		char *longer = xprintf("%s%s%s", text, i ? ", " : "", list_at(&spec->monitors, const char *, i));
		free(text);
		text = longer;
	}
	return text;
}

int ceph_key(const struct ceph_spec *spec, struct secret *secret, const char **ret_key)
{
	struct err err = {0};
	cleanup_free char *owner = xprintf("client.%s", spec->user);
	return keyring_read(&spec->keyring, owner, secret, ret_key, &err) < 0 ? say(err.code, "%s", err.text) : 0;
}

static char late_text[1024];

/* A signal's handler: nothing but system calls. */
static void on_alarm(int signal)
{
	ssize_t n = write(STDERR_FILENO, late_text, strlen(late_text));
	_exit(n < 0 ? EIO : ETIMEDOUT);
}

/* A second before the daemon would kill the child without a word: starting it took a while as well. */
static void end_by_itself(unsigned seconds)
{
	const struct itimerval timer = {.it_value = {.tv_sec = seconds - 1}};
	signal(SIGALRM, on_alarm);
	setitimer(ITIMER_REAL, &timer, NULL);
}

static int configure(const struct ceph_spec *spec, const char *key, unsigned seconds, rados_t cluster)
{
	cleanup_free char *monitors = monitors_text(spec), *time = xprintf("%u", seconds ? seconds : REQUEST_S);
	const struct {
		const char *name, *value;
	} options[] = {
		{"mon_host", monitors},         {"key", key},
		{"keyring", "/dev/null"},       {"auth_client_required", "cephx"},
		{"client_mount_timeout", time}, {"rados_mon_op_timeout", time},
		{"rados_osd_op_timeout", time}, {"log_file", "/dev/null"},
		{"log_to_stderr", "false"},     {"err_to_stderr", "false"},
		{"admin_socket", ""},
	};
	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		int r = ceph.rados_conf_set(cluster, options[i].name, options[i].value);
		if (r < 0)
			return say(-r, "Ceph's library does not take %s: %s", options[i].name, strerror(-r));
	}
	return 0;
}

static int connect_failed(const struct ceph_spec *spec, int code)
{
	char name[4096];
	cleanup_free char *monitors = monitors_text(spec);
	secret_name(&spec->keyring, name, sizeof(name));
	switch (code) {
	case ETIMEDOUT:
		return say(code, "no monitor of the cluster answers at %s", monitors);
	case EINVAL:
	case EACCES:
	case EPERM:
		return say(EACCES,
			   "the cluster at %s does not let client.%s in with the key in %s: compare it with `ceph auth "
			   "get client.%s`",
			   monitors, spec->user, name, spec->user);
	default:
		return say(code, "the cluster at %s cannot be reached: %s", monitors, strerror(code));
	}
}

static int connect_as(const struct ceph_spec *spec, unsigned seconds, struct ceph_pool *pool)
{
	cleanup_secret struct secret secret = {0};
	cleanup_free char *user = xprintf("client.%s", spec->user);
	const char *key = NULL;
	int code = ceph_key(spec, &secret, &key), r = 0;
	if (!code && (r = ceph.rados_create2(&pool->cluster, "ceph", user, 0)) < 0)
		code = say(-r, "Ceph's library cannot be used: %s", strerror(-r));
	if (!code)
		code = configure(spec, key, seconds, pool->cluster);
	if (!code && (r = ceph.rados_connect(pool->cluster)) < 0)
		code = connect_failed(spec, -r);
	return code;
}

/* FNV-1a. */
uint64_t ceph_hash(const char *text)
{
	uint64_t hash = 14695981039346656037u;
	for (const char *p = text; *p; p++)
		hash = (hash ^ (unsigned char)*p) * 1099511628211u;
	return hash;
}

/* Two clusters may have pools of one name; which one this is stands in its fsid. */
static int check_cluster(const struct ceph_spec *spec, struct ceph_pool *pool)
{
	char fsid[37] = "";
	int r = ceph.rados_cluster_fsid(pool->cluster, fsid, sizeof(fsid));
	if (r < 0)
		return say(-r, "the cluster does not say which one it is: %s", strerror(-r));
	pool->identity = ceph_hash(fsid);
	if (spec->cluster && strcasecmp(spec->cluster, fsid) != 0)
		return say(EXDEV,
			   "the cluster that answers is %s, and the manifest says %s; correct spec.monitors or "
			   "spec.cluster",
			   fsid, spec->cluster);
	return 0;
}

static int open_pool(const struct ceph_spec *spec, struct ceph_pool *pool)
{
	bool exists = true;
	int r = ceph.rados_ioctx_create(pool->cluster, spec->pool, &pool->io);
	if (r == -ENOENT) {
		snprintf(pool->missing, sizeof(pool->missing),
			 "the cluster has no pool '%s': correct spec.pool, or make it with `ceph osd pool create %s` "
			 "and `rbd pool init %s`",
			 spec->pool, spec->pool, spec->pool);
		return 0;
	}
	if (r >= 0) /* otherwise what is written to a full cluster waits until there is room */
		ceph.rados_set_pool_full_try(pool->io);
	if (r >= 0 && spec->namespace && (r = ceph.rbd_namespace_exists(pool->io, spec->namespace, &exists)) >= 0)
		ceph.rados_ioctx_set_namespace(pool->io, spec->namespace);
	if (!exists)
		snprintf(pool->missing, sizeof(pool->missing),
			 "pool '%s' has no namespace '%s': correct spec.namespace, or make it with `rbd namespace "
			 "create %s/%s`",
			 spec->pool, spec->namespace, spec->pool, spec->namespace);
	return r < 0 ? say(-r, "pool '%s' cannot be opened: %s", spec->pool, strerror(-r)) : 0;
}

int ceph_open(const struct ceph_spec *spec, unsigned seconds, struct ceph_pool *ret)
{
	cleanup_free char *monitors = monitors_text(spec);
	*ret = (struct ceph_pool){.spec = spec};
	snprintf(late_text, sizeof(late_text), "no monitor of the cluster answers at %s\n", monitors);
	if (seconds)
		end_by_itself(seconds); /* from here on: the library is large, and loading it counts as well */
	const char *missing = ceph_missing();
	if (missing)
		return say(ENOPKG, "%s", missing);
	int code = connect_as(spec, seconds, ret);
	snprintf(late_text, sizeof(late_text), "the monitors answer, but the OSDs of pool '%s' do not\n", spec->pool);
	if (!code)
		code = check_cluster(spec, ret);
	return code ? code : open_pool(spec, ret);
}

int ceph_ask(const struct ceph_pool *pool)
{
	uint64_t size;
	time_t changed;
	int r = ceph.rados_stat(pool->io, "rbd_directory", &size, &changed);
	if (r >= 0 || r == -ENOENT)
		return 0;
	if (r == -ETIMEDOUT)
		return say(-r, "%.*s", (int)strcspn(late_text, "\n"), late_text);
	if (r == -EPERM || r == -EACCES)
		return say(-r, "client.%s may not read pool '%s': give it the capability osd 'profile rbd pool=%s'",
			   pool->spec->user, pool->spec->pool, pool->spec->pool);
	return say(-r, "pool '%s' cannot be read: %s", pool->spec->pool, strerror(-r));
}

/* {"prefix": "df", "format": "json"}
 * {"pools": [{"name": "vms", "stats": {"stored": 1024, "max_avail": 4096, ...}, ...}], ...} */
void ceph_room(const struct ceph_pool *pool, uint64_t *ret_capacity, uint64_t *ret_available)
{
	const char *command[] = {"{\"prefix\": \"df\", \"format\": \"json\"}"};
	char *out = NULL, *status = NULL;
	size_t size = 0, status_size = 0, i;
	json_t *row;
	if (ceph.rados_mon_command(pool->cluster, command, 1, "", 0, &out, &size, &status, &status_size) < 0)
		return;
	json_t *answer = json_loadb(out, size, 0, NULL);
	json_array_foreach(json_object_get(answer, "pools"), i, row) {
		json_t *stats = json_object_get(row, "stats");
		const char *name = json_string_value(json_object_get(row, "name"));
		if (!name || !streq(name, pool->spec->pool))
			continue;
		*ret_available = (uint64_t)json_integer_value(json_object_get(stats, "max_avail"));
		*ret_capacity = *ret_available + (uint64_t)json_integer_value(json_object_get(stats, "stored"));
	}
	json_decref(answer);
	ceph.rados_buffer_free(out);
	ceph.rados_buffer_free(status);
}

/* A monitor without a port has two of them. */
const char *ceph_qemu_options(struct arena *arena, const struct ceph_spec *spec, const char *image)
{
	const char *text = arena_printf(arena, "driver=rbd,pool=%s,", spec->pool);
	unsigned n = 0;
	if (spec->namespace)
		text = arena_printf(arena, "%snamespace=%s,", text, spec->namespace);
	text = arena_printf(arena, "%simage=%s,user=%s,", text, image, spec->user);
	for (size_t i = 0; i < spec->monitors.n; i++) {
		static const unsigned usual[] = {3300, 6789};
		struct ceph_monitor monitor;
		ceph_monitor_parse(list_at(&spec->monitors, const char *, i), &monitor);
		for (size_t k = 0; k < (monitor.port ? 1 : ARRAY_SIZE(usual)); k++, n++)
			text = arena_printf(arena, "%sserver.%u.host=%s,server.%u.port=%u,", text, n, monitor.host, n,
					    monitor.port ? monitor.port : usual[k]);
	}
	return arena_printf(arena, "%sauth-client-required.0=cephx,key-secret=", text);
}
