/* SPDX-License-Identifier: Apache-2.0 */
/* Records in open-iscsi's own format, written as files since iscsiadm takes passwords only as arguments, which
 * everybody can read. A node's record is nodes/TARGET/ADDRESS,PORT,GROUP/IFACE, an interface's ifaces/IFACE; both hold
 * lines "name = value", and what they leave out has open-iscsi's built-in defaults. The portal group is known only
 * after the login: until then the directory says 1 and the record -1, which is any. */
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "core/env.h"
#include "core/lower.h"
#include "stord/iscsi.h"

enum { FIRST_GROUP = 1, RECORD_MAX = 64 << 10 };
static const char password_line[] = "\nnode.session.auth.password", last_line[] = "# END RECORD\n";

/* Debian's open-iscsi has moved from the one to the other. */
static const char *database(void)
{
	return access("/var/lib/iscsi/nodes", F_OK) == 0 ? "/var/lib/iscsi" : "/etc/iscsi";
}

const char *iscsi_iface(const char *initiator, char ret[static ISCSI_IFACE_MAX])
{
	if (initiator)
		snprintf(ret, ISCSI_IFACE_MAX, "weft-%s-%08x", env.instance, (unsigned)host_hash(initiator));
	else
		snprintf(ret, ISCSI_IFACE_MAX, "weft-%s", env.instance);
	return ret;
}

/* Where iscsiadm does not look. */
static char *aside_path(void)
{
	return xprintf("%s/.weft-%s", database(), env.instance);
}

/* One at a time, so that what one takes away as unused is not what another is about to use; nor is anything aside, with
 * a password in it, but what a child has left that was killed. Closed to unlock. */
static int lock_records(void)
{
	cleanup_free char *path = xprintf("%s/iscsi.lock", env.run_dir), *aside = aside_path();
	cleanup_close int lock = lock_wait(path, O_RDWR | O_CREAT);
	unlink(aside);
	return take_fd(&lock);
}

/* Written aside and put in place whole. Records are locked. */
static int write_whole(const char *path, const struct iovec *parts, int n)
{
	cleanup_free char *aside = aside_path();
	size_t size = 0;
	for (int i = 0; i < n; i++)
		size += parts[i].iov_len;
	cleanup_close int fd = open(aside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd >= 0 && writev(fd, parts, n) == (ssize_t)size && rename(aside, path) == 0)
		return 0;
	int code = errno ? errno : EIO;
	unlink(aside);
	return say(code, "'%s' cannot be written: %s", path, strerror(code));
}

static struct iovec part(const char *text)
{
	return (struct iovec){.iov_base = (void *)text, .iov_len = strlen(text)};
}

static char *iface_path(const char *initiator)
{
	char iface[ISCSI_IFACE_MAX];
	return xprintf("%s/ifaces/%s", database(), iscsi_iface(initiator, iface));
}

/* "iface.iscsi_ifacename = weft-...\niface.transport_name = tcp\n" */
static char *iface_text(const char *initiator)
{
	char iface[ISCSI_IFACE_MAX];
	return xprintf("iface.iscsi_ifacename = %s\niface.transport_name = tcp\n%s%s%s", iscsi_iface(initiator, iface),
		       initiator ? "iface.initiatorname = " : "", initiator ? initiator : "", initiator ? "\n" : "");
}

static int make_directory(const char *fmt, ...) printf_like(1, 2);
static int make_directory(const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	cleanup_free char *path = xvprintf(fmt, args);
	va_end(args);
	int r = mkdir_all(path, 0700);
	return r < 0 ? say(-r, "directory '%s' cannot be made: %s", path, strerror(-r)) : 0;
}

static int write_iface_locked(const char *initiator)
{
	cleanup_free char *path = iface_path(initiator), *text = iface_text(initiator);
	struct iovec all = part(text);
	int code = make_directory("%s/ifaces", database());
	return code ? code : write_whole(path, &all, 1);
}

int iscsi_iface_write(const char *initiator)
{
	cleanup_close int lock = lock_records();
	return write_iface_locked(initiator);
}

static char *node_directory(const struct session_state *state, int group)
{
	char address[IP_TEXT];
	return xprintf("%s/nodes/%s/%s,%u,%d", database(), state->target, ip_text(&state->portal.ip, address),
		       state->portal.port, group >= 0 ? group : FIRST_GROUP);
}

static char *record_path(const struct session_state *state, int group)
{
	char iface[ISCSI_IFACE_MAX];
	cleanup_free char *dir = node_directory(state, group);
	return xprintf("%s/%s", dir, iscsi_iface(state->initiator, iface));
}

static unsigned seconds(uint64_t ms)
{
	return (unsigned)((ms + 999) / 1000);
}

static char *node_text(const struct session_state *state, int group)
{
	char address[IP_TEXT];
	const struct iscsi_timeouts *t = &state->timeouts;
	cleanup_free char *iface = iface_text(state->initiator);
	return xprintf("# BEGIN RECORD weft\nnode.name = %s\nnode.tpgt = %d\nnode.startup = manual\n%s"
		       "node.conn[0].address = %s\nnode.conn[0].port = %u\nnode.conn[0].startup = manual\n"
		       "node.session.timeo.replacement_timeout = %u\nnode.session.initial_login_retry_max = 1\n"
		       "node.session.reopen_max = 0\n"
		       "node.session.scan = auto\nnode.conn[0].timeo.login_timeout = %u\n"
		       "node.conn[0].timeo.noop_out_interval = %u\nnode.conn[0].timeo.noop_out_timeout = %u\n",
		       state->target, group, iface, ip_text(&state->portal.ip, address), state->portal.port,
		       seconds(t->replacement), seconds(t->login), seconds(t->noop_interval), seconds(t->noop_timeout));
}

/* Calls a function with each record of the session, whatever its portal group: the directory and the file. */
typedef void record_fn(const char *group, const char *path, void *ctx);
static void for_records(const struct session_state *state, record_fn *fn, void *ctx)
{
	char iface[ISCSI_IFACE_MAX], address[IP_TEXT];
	cleanup_free char *target = xprintf("%s/nodes/%s", database(), state->target);
	cleanup_free char *portal = xprintf("%s,%u,", ip_text(&state->portal.ip, address), state->portal.port);
	DIR *dir = opendir(target);
	iscsi_iface(state->initiator, iface);
	for (struct dirent *entry; dir && (entry = readdir(dir));) {
		cleanup_free char *group = xprintf("%s/%s", target, entry->d_name);
		cleanup_free char *path = xprintf("%s/%s", group, iface);
		if (str_starts(entry->d_name, portal) && access(path, F_OK) == 0)
			fn(group, path, ctx);
	}
	if (dir)
		closedir(dir);
}

static void forget_but(const char *group, const char *path, void *but)
{
	if (!streq(path, but) && unlink(path) == 0)
		rmdir(group); /* which fails where others have records too */
}

static void forget_locked(const struct session_state *state, char *but)
{
	cleanup_free char *target = xprintf("%s/nodes/%s", database(), state->target);
	for_records(state, forget_but, but);
	rmdir(target);
}

struct judgement {
	char *place;
	bool is_there, is_alone;
};

static void judge(const char *group, const char *path, void *ctx)
{
	struct judgement *judgement = ctx;
	cleanup_free char *text = NULL;
	if (!streq(path, judgement->place))
		judgement->is_alone = false;
	else
		judgement->is_there = file_read(path, RECORD_MAX, &text, NULL) == 0 &&
				      !strstr(text, password_line) && strstr(text, last_line);
	if (text)
		explicit_bzero(text, strlen(text));
}

bool iscsi_record_is_whole(const struct session_state *state, int group)
{
	cleanup_free char *place = record_path(state, group);
	struct judgement judgement = {.place = place, .is_alone = true};
	for_records(state, judge, &judgement);
	return judgement.is_there && judgement.is_alone;
}

int iscsi_record_write(const struct session_state *state, const struct iscsi_passwords *passwords, int group)
{
	cleanup_close int lock = lock_records();
	cleanup_free char *dir = node_directory(state, group), *path = record_path(state, group);
	cleanup_free char *text = node_text(state, group);
	struct iovec parts[16];
	int n = 0, code = make_directory("%s", dir);
	if (!code)
		code = write_iface_locked(state->initiator);
	if (code)
		return code;
	parts[n++] = part(text);
	if (passwords) {
		parts[n++] = part(passwords->chap.text ? "node.session.auth.authmethod = CHAP\n"
						       : "node.session.auth.authmethod = None\n");
	}
	if (passwords && passwords->chap.text) {
		parts[n++] = part("node.session.auth.username = ");
		parts[n++] = part(state->chap.user);
		parts[n++] = part(password_line);
		parts[n++] = part(" = ");
		parts[n++] = part(passwords->chap.text);
		parts[n++] = part("\n");
	}
	if (passwords && passwords->mutual.text) {
		parts[n++] = part("node.session.auth.username_in = ");
		parts[n++] = part(state->mutual.user);
		parts[n++] = part(password_line);
		parts[n++] = part("_in = ");
		parts[n++] = part(passwords->mutual.text);
		parts[n++] = part("\n");
	}
	parts[n++] = part(last_line);
	forget_locked(state, path);
	return write_whole(path, parts, n);
}

static const char *looked_for;

static int is_record_of_iface(const char *path, const struct stat *st, int type, struct FTW *at)
{
	return type == FTW_F && streq(path + at->base, looked_for);
}

/* Does a record of a node name the interface? */
static bool is_iface_used(const char *iface)
{
	cleanup_free char *nodes = xprintf("%s/nodes", database());
	looked_for = iface;
	return nftw(nodes, is_record_of_iface, 8, FTW_PHYS) == 1;
}

static void forget_iface_locked(const char *initiator)
{
	char iface[ISCSI_IFACE_MAX];
	cleanup_free char *path = iface_path(initiator);
	if (access(path, F_OK) == 0 && !is_iface_used(iscsi_iface(initiator, iface)))
		unlink(path);
}

void iscsi_record_forget(const struct session_state *state)
{
	cleanup_close int lock = lock_records();
	forget_locked(state, NULL);
	forget_iface_locked(state->initiator);
}

void iscsi_iface_forget(const char *initiator)
{
	cleanup_close int lock = lock_records();
	forget_iface_locked(initiator);
}
