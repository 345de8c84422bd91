/* SPDX-License-Identifier: Apache-2.0 */
/* Pool type nfs: an export of an NFS server, mounted at mounts/POOL in the state directory; volumes are images in it.
 * Whether the server answers is asked of the server: first whether it takes a connection, then the filesystem itself.
 */
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/statvfs.h>

#include "stord/mount.h"
#include "stord/pool-type.h"

struct nfs_spec {
	uint64_t present;
	const char *server, *export;
	int version;
	struct list options;
};

static const char *const versions[] = {"3", "4.0", "4.1", "4.2"};
enum { VERSION_ROW = 2 };

static const struct field nfs_rows[] = {
	F_STRING("server", struct nfs_spec, server, .flags = FIELD_REQUIRED, .max = 253,
		 .doc = "The NFS server: an address or a name.", .example = "192.0.2.50"),
	F_PATH("export", struct nfs_spec, export, .flags = FIELD_REQUIRED, .max = 900, .doc = "What it exports.",
	       .example = "/exports/images"),
	[VERSION_ROW] = F_ENUM("version", struct nfs_spec, version, versions,
			       .doc = "Version of NFS; without it the newest that both sides have."),
	F_LIST("options", struct nfs_spec, options, scalar_string, .list_max = 32,
	       .doc = "Further options of the mount. hard is the default, and right for disks: guests wait for the "
		      "server "
		      "instead of seeing errors.",
	       .example = "timeo=600"),
};
static const struct table nfs_table = CHOICE_TABLE(
	"Pool of type nfs", struct nfs_spec, nfs_rows,
	"An export of an NFS server, mounted below the state directory with nosuid, nodev and noexec. When "
	"the server stops answering the Pool is Degraded and says when it was last seen to work; nothing "
	"else waits for it.");

enum { PROBE_CONNECT_MS = 1200 };

static bool is_server(const char *server)
{
	return *server && *server != '-' && !strpbrk(server, "/ \t[],\"") &&
	       strspn(server, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-:%_") == strlen(server);
}

static void nfs_check(const struct check *check, const void *own)
{
	const struct nfs_spec *spec = own;
	if (spec->server && !is_server(spec->server))
		check_fault(check, "spec.server", "'%s' is neither an address nor a name of a server", spec->server);
	if (spec->export && (spec->export[0] != '/' || strpbrk(spec->export, " \t,")))
		check_fault(check, "spec.export",
			    "an export is an absolute path on the server, such as /exports/images");
	mount_check_options(check, &spec->options, "spec.options");
}

/* "192.0.2.50:/exports/images", "[fd00::1]:/exports/images": as the kernel shows it. */
static const char *export_text(struct arena *arena, const struct nfs_spec *spec)
{
	bool ip6 = strchr(spec->server, ':');
	size_t len = strlen(spec->export);
	while (len > 1 && spec->export[len - 1] == '/')
		len--;
	return arena_printf(arena, "%s%s%s:%.*s", ip6 ? "[" : "", spec->server, ip6 ? "]" : "", (int)len, spec->export);
}

static bool nfs_lower(struct lowering *l, const struct object *object, const void *own, struct pool_plan *plan)
{
	const struct nfs_spec *spec = own;
	struct arena *arena = lower_arena(l);
	struct mount_plan mount = {
		.pool = object->name,
		.what = export_text(arena, spec),
		.fs_type = "nfs",
		.options = &spec->options,
		.more = {"retry=0"}, /* weft itself tries again, and says why meanwhile */
	};
	if (spec->present >> VERSION_ROW & 1)
		mount.more[1] = arena_printf(arena, "vers=%s", versions[spec->version]);
	plan->need = mount_want(l, &mount, &plan->place);
	plan->source = mount.what;
	plan->what = "export";
	plan->at = "spec.export";
	return true;
}

/* An option's value, NULL if it is not among them. */
static const char *option_value(const struct list *options, const char *name)
{
	size_t len = strlen(name);
	for (size_t i = 0; i < options->n; i++) {
		const char *option = list_at(options, const char *, i);
		if (strncmp(option, name, len) == 0 && option[len] == '=')
			return option + len + 1;
	}
	return NULL;
}

static int connect_to(const struct addrinfo *address)
{
	cleanup_close int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return errno;
	if (connect(fd, address->ai_addr, address->ai_addrlen) == 0)
		return 0;
	if (errno != EINPROGRESS)
		return errno;
	struct pollfd poll_fd = {.fd = fd, .events = POLLOUT};
	int n = poll(&poll_fd, 1, PROBE_CONNECT_MS), code = 0;
	socklen_t size = sizeof(code);
	if (n <= 0)
		return n < 0 ? errno : ETIMEDOUT;
	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &size) < 0 ? errno : code;
}

static int try_port(const struct nfs_spec *spec)
{
	const char *port = option_value(&spec->options, "port"), *proto = option_value(&spec->options, "proto");
	if (proto && !str_starts(proto, "tcp"))
		return 0; /* only the filesystem itself can tell */
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
	int r = getaddrinfo(spec->server, port ? port : "2049", &hints, &found);
	if (r != 0)
		return say(EHOSTUNREACH, "server '%s' has no address: %s", spec->server, gai_strerror(r));
	int code = connect_to(found);
	freeaddrinfo(found);
	if (code)
		return say(code, "server %s takes no connection at port %s: %s", spec->server, port ? port : "2049",
			   strerror(code));
	return 0;
}

static int nfs_probe(const struct pool_call *call)
{
	struct statvfs fs;
	int code = try_port(call->state->own);
	if (code)
		return code;
	if (statvfs(call->state->place, &fs) < 0) /* asks the server each time */
		return say(errno, "export %s cannot be looked at: %s", call->state->source, strerror(errno));
	return 0;
}

const struct pool_type stord_nfs_pool = {
	.name = "nfs",
	.doc = "an export of an NFS server",
	.table = &nfs_table,
	.check = nfs_check,
	.lower = nfs_lower,
	.observe = pool_mounted_look,
	.probe = nfs_probe,
	.volumes = &volume_files,
};
