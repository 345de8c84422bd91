/* SPDX-License-Identifier: Apache-2.0 */
/* What iscsiadm does for weft: log in and out, look for LUNs, ask for portals. Its exit statuses are turned into
 * sentences here; secrets reach it through a record in a file, see iscsi-record.c. */
#include <fcntl.h>

#include "core/env.h"
#include "stord/iscsi.h"

/* Exit statuses of iscsiadm, as its manual lists them. */
enum {
	STATUS_TRANSPORT = 4,
	STATUS_LOGIN = 5,
	STATUS_TIMEOUT = 8,
	STATUS_PDU_TIMEOUT = 11,
	STATUS_NO_MODULE = 12,
	STATUS_EXISTS = 15,
	STATUS_FATAL_LOGIN = 19,
	STATUS_NO_DAEMON = 20,
	STATUS_NOTHING = 21,
	STATUS_AUTH = 24,
	STATUS_REQUEST_TIMEOUT = 33,
	STATUS_NO_PROGRAM = 127,
};

/* The last line: "iscsiadm: initiator reported error (8 - connection timed out)". */
static const char *reason_of(char *errs)
{
	size_t len = errs ? strlen(errs) : 0;
	while (len > 0 && errs[len - 1] == '\n')
		errs[--len] = '\0';
	char *line = len ? strrchr(errs, '\n') : NULL;
	line = line ? line + 1 : len ? errs : "it does not say why";
	return str_starts(line, "iscsiadm: ") ? line + strlen("iscsiadm: ") : line;
}

/* What is wrong whatever was asked for; 0 if it is none of that. */
static int say_general(int status, const char *portal)
{
	switch (status) {
	case STATUS_NO_PROGRAM:
		return say(ENOENT, "this host has no iscsiadm; install open-iscsi");
	case STATUS_NO_DAEMON:
		return say(ECONNREFUSED, "iscsid does not run: systemctl enable --now iscsid.socket");
	case STATUS_NO_MODULE:
		return say(ENODEV, "the kernel has no iSCSI over TCP: modprobe iscsi_tcp");
	case STATUS_TRANSPORT:
		return say(ECONNREFUSED, "portal %s takes no connection", portal);
	case STATUS_TIMEOUT:
	case STATUS_PDU_TIMEOUT:
	case STATUS_REQUEST_TIMEOUT:
		return say(ETIMEDOUT, "portal %s does not answer", portal);
	}
	return 0;
}

static int say_refused(const struct session_state *state, const char *portal)
{
	char name[4096];
	if (!state->chap.user)
		return say(EACCES, "portal %s of target %s wants a password; write `chap:` with user and password",
			   portal, state->target);
	secret_name(&state->chap.password, name, sizeof(name));
	return say(
		EACCES,
		"portal %s of target %s refuses user '%s' with the password of %s; correct it there, or at the target",
		portal, state->target, state->chap.user, name);
}

static int say_login(int status, const struct session_state *state, const char *portal, char *errs)
{
	int code = say_general(status, portal);
	if (code)
		return code;
	if (status == STATUS_AUTH)
		return say_refused(state, portal);
	if (status == STATUS_FATAL_LOGIN || status == STATUS_LOGIN)
		return say(EPROTO, "no login at portal %s of target %s: it has no such target, or has it disabled%s",
			   portal, state->target,
			   state->mutual.user ? ", or does not know the password of mutualChap" : "");
	return say(EIO, "no login at portal %s of target %s: %s", portal, state->target, reason_of(errs));
}

/* A line of the record holds it: what would end the line, or be trimmed from it, cannot be a part of it. */
static int check_password(const struct secret_ref *ref, const struct secret *secret)
{
	char name[4096];
	secret_name(ref, name, sizeof(name));
	if (strlen(secret->text) != secret->size || strpbrk(secret->text, "\n\r"))
		return say(EINVAL, "%s holds more than a line; a password of CHAP is one line of text", name);
	if (secret->size > 255)
		return say(EINVAL, "the password in %s is longer than 255 bytes", name);
	if (strchr(" \t", secret->text[0]) || strchr(" \t", secret->text[secret->size - 1]))
		return say(EINVAL, "the password in %s begins or ends with a space, which open-iscsi cannot do", name);
	return 0;
}

static int read_password(const struct chap_spec *chap, struct secret *ret)
{
	struct err err = {0};
	if (!chap->user)
		return 0;
	if (secret_read(&chap->password, ret, &err) < 0)
		return say(err.code, "%s", err.text);
	return check_password(&chap->password, ret);
}

/* iscsiadm -m node -T iqn.2003-01.org.example:san1 -p 192.0.2.60:3260 -I weft-0123456789abcdef --login */
static int log_in(const struct session_state *state, const char *portal)
{
	char iface[ISCSI_IFACE_MAX];
	cleanup_free char *errs = NULL;
	const char *argv[] = {
		"iscsiadm", "-m", "node", "-T", state->target, "-p", portal, "-I", iscsi_iface(state->initiator, iface),
		"--login",  NULL};
	int status = run_program(argv, NULL, &errs);
	return status == 0 || status == STATUS_EXISTS ? 0 : say_login(status, state, portal, errs);
}

/* The portal group of the session that is there now; -1 if there is none. */
static int group_of(const struct session_state *state)
{
	cleanup_free struct iscsi_seen *seen = NULL;
	size_t n;
	if (iscsi_sessions(&seen, &n) != 0)
		return -1;
	for (size_t i = 0; i < n; i++)
		if (iscsi_is_ours(&seen[i]) && streq(seen[i].target, state->target) &&
		    scalar_endpoint.equal(&seen[i].portal, &state->portal))
			return seen[i].group;
	return -1;
}

int iscsi_login(const struct session_state *state)
{
	struct iscsi_passwords passwords = {0};
	cleanup_arena struct arena *arena = arena_new();
	int code = read_password(&state->chap, &passwords.chap);
	if (!code)
		code = read_password(&state->mutual, &passwords.mutual);
	if (!code)
		code = iscsi_record_write(state, &passwords, -1);
	secret_done(&passwords.chap);
	secret_done(&passwords.mutual);
	if (!code)
		code = log_in(state, portal_text(&state->portal, arena));
	if (code) {
		iscsi_record_forget(state);
		return code;
	}
	/* Where iscsid is started anew it takes CHAP from the kernel, and only the rest from the record. */
	return iscsi_record_write(state, NULL, group_of(state));
}

/* iscsiadm -m session -r 3 --logout */
int iscsi_logout(const struct session_state *state, const struct iscsi_seen *seen)
{
	char user[IMAGE_TEXT_MAX];
	cleanup_arena struct arena *arena = arena_new();
	cleanup_free char *id = xprintf("%u", seen->id), *errs = NULL;
	const char *portal = portal_text(&seen->portal, arena);
	const char *argv[] = {"iscsiadm", "-m", "session", "-r", id, "--logout", NULL};
	/* One at a time: two sessions that lead to one map would each take the other for the way that stays. */
	cleanup_close int lock = lock_wait(env.run_dir, O_RDONLY | O_DIRECTORY);
	iscsi_user_of(seen, user);
	int code = user[0] ? EBUSY : iscsi_flush_maps(seen, user);
	if (code)
		return say(code, "no logout at portal %s of target %s, since disk %s; end that first", portal,
			   seen->target, user);
	int status = run_program(argv, NULL, &errs);
	if (status != 0 && status != STATUS_NOTHING) {
		code = say_general(status, portal);
		return code ? code : say(EIO, "no logout at portal %s: %s", portal, reason_of(errs));
	}
	iscsi_record_forget(state);
	return 0;
}

/* iscsiadm -m session -r 3 --rescan */
void iscsi_rescan(unsigned id)
{
	cleanup_free char *text = xprintf("%u", id), *out = NULL, *errs = NULL;
	const char *argv[] = {"iscsiadm", "-m", "session", "-r", text, "--rescan", NULL};
	run_program(argv, &out, &errs);
}

static bool has_word(const char *words, const char *word)
{
	size_t len = strlen(word);
	for (const char *at = words; (at = strstr(at, word)); at++)
		if ((at == words || at[-1] == ' ') && (!at[len] || at[len] == ' '))
			return true;
	return false;
}

/* Adds what a line tells of the target: "192.0.2.60:3260,1 iqn.2003-01.org.example:san1". */
static void add_portal(const char *line, const char *target, char **portals)
{
	size_t len = strcspn(line, ","), to_name = strcspn(line, " ");
	struct endpoint portal;
	struct err err = {0};
	cleanup_free char *text = xstrndup(line, len);
	cleanup_arena struct arena *arena = arena_new();
	if (!line[to_name] || !streq(line + to_name + 1, target) ||
	    scalar_portal.parse(NULL, text, arena, &portal, &err) < 0)
		return;
	const char *normal = portal_text(&portal, arena);
	if (*portals && has_word(*portals, normal))
		return;
	char *longer = xprintf("%s%s%s", *portals ? *portals : "", *portals ? " " : "", normal);
	free(*portals);
	*portals = longer;
}

/* iscsiadm -m discoverydb -t sendtargets -p 192.0.2.60:3260 -o nonpersistent --discover */
static int ask(const char *address, const char *iface, char **out)
{
	cleanup_free char *errs = NULL;
	const char *argv[] = {"iscsiadm", "-m", "discoverydb",   "-t",         "sendtargets",       "-p",
			      address,    "-o", "nonpersistent", "--discover", iface ? "-I" : NULL, iface,
			      NULL};
	int status = run_program(argv, out, &errs), code;
	if (status == 0 || status == STATUS_NOTHING)
		return 0;
	code = say_general(status, address);
	if (!code && (status == STATUS_AUTH || status == STATUS_FATAL_LOGIN))
		code = say(EACCES, "%s tells its targets only to those who log in; name the portals by `portals`",
			   address);
	return code ? code : say(EIO, "%s does not tell its targets: %s", address, reason_of(errs));
}

int iscsi_discover(const struct endpoint *address, const char *target, const char *initiator, char **ret)
{
	char iface[ISCSI_IFACE_MAX];
	cleanup_arena struct arena *arena = arena_new();
	cleanup_free char *out = NULL, *portals = NULL;
	const char *text = portal_text(address, arena);
	int code = initiator ? iscsi_iface_write(initiator) : 0;
	if (!code)
		code = ask(text, initiator ? iscsi_iface(initiator, iface) : NULL, &out);
	if (initiator)
		iscsi_iface_forget(initiator);
	if (code)
		return code;
	for (char *rest = out, *line; rest && (line = strsep(&rest, "\n"));)
		add_portal(line, target, &portals);
	if (!portals)
		return say(ENOENT,
			   "%s has no target %s for this host; correct the name, or let this initiator in there", text,
			   target);
	*ret = take_ptr(portals);
	return 0;
}
