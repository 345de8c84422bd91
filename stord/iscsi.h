/* SPDX-License-Identifier: Apache-2.0 */
/* iSCSI: what this host has of sessions (libopeniscsiusr, sysfs), and what weft does about its own (iscsiadm). Ours are
 * told from those of others by the iscsi interface record that they are bound to, weft-ID. The functions run in a
 * child; they return 0, or a positive errno after one say(). */
#ifndef WEFT_STORD_ISCSI_H
#define WEFT_STORD_ISCSI_H

#include "core/secret.h"
#include "stord/image.h"
#include "stord/scsi.h"

enum { ISCSI_NAME_MAX = 224, ISCSI_IFACE_MAX = 66, ISCSI_STATE_MAX = 16, ISCSI_PORT = 3260 };

/* How manifests write them: ADDRESS or ADDRESS:PORT (struct endpoint), iqn.2003-01.org.example:sn.1 (const char *). */
extern const struct scalar scalar_portal, scalar_iscsi_name;
/* "192.0.2.60:3260" */
const char *portal_text(const struct endpoint *portal, struct arena *arena);

struct chap_spec {
	uint64_t present;
	const char *user;
	struct secret_ref password;
};
struct iscsi_timeouts {
	uint64_t present;
	uint64_t replacement, noop_interval, noop_timeout, login; /* ms */
};
extern const struct table chap_table, iscsi_timeouts_table;

/* resource session/POOL/PORTAL: this host logged in at one portal of a target. */
struct session_state {
	uint64_t present;
	const char *target;
	struct endpoint portal;
	const char *initiator; /* NULL: the host's name */
	struct chap_spec chap, mutual;
	struct iscsi_timeouts timeouts;
	const char *state; /* observed: "LOGGED_IN", "FAILED" */
	const char *name;  /* observed: "session3" */
	struct list luns;  /* observed: "1 sdb 10GiB" */
	bool record;       /* open-iscsi has a record of it, and no password in it */
};
enum {
	SESSION_TARGET = 1 << 0,
	SESSION_PORTAL = 1 << 1,
	SESSION_INITIATOR = 1 << 2,
	SESSION_CHAP = 1 << 3,
	SESSION_MUTUAL = 1 << 4,
	SESSION_TIMEOUTS = 1 << 5,
	SESSION_STATE = 1 << 6,
	SESSION_NAME = 1 << 7,
	SESSION_LUNS = 1 << 8,
	SESSION_RECORD = 1 << 9,
};
extern const struct resource_class stord_session_class;

/* A session as the kernel has it. Goes through pipes: no pointers. */
struct iscsi_seen {
	unsigned id; /* 3 of session3 */
	char target[ISCSI_NAME_MAX], initiator[ISCSI_NAME_MAX], iface[ISCSI_IFACE_MAX];
	struct endpoint portal; /* that it was told to log in at */
	int group;              /* portal group tag */
	char state[ISCSI_STATE_MAX];
	uint64_t incarnation;
};
/* iscsi-seen.c: all of them; the array is the caller's to free. */
int iscsi_sessions(struct iscsi_seen **ret, size_t *ret_n);
bool iscsi_is_ours(const struct iscsi_seen *seen);
bool iscsi_is_alive(const struct iscsi_seen *seen);
/* What somebody does with a disk that only this session leads to, "disk sdb is mounted at /mnt"; empty: nothing. */
void iscsi_user_of(const struct iscsi_seen *seen, char ret[static IMAGE_TEXT_MAX]);
/* Takes away the maps that only this session has a path of, so that nothing waits in them for paths that do not come
 * back. 0, or an errno, and in ret what is in the way, "disk sdb is ...". */
int iscsi_flush_maps(const struct iscsi_seen *seen, char ret[static IMAGE_TEXT_MAX]);
/* How many sessions of a target work; by sysfs alone, as it is asked every few seconds. */
unsigned iscsi_count_alive(const char *target, bool ours);
/* The state of session ID as sysfs has it now, without waiting for anything; false if there is no such session. */
bool iscsi_state(unsigned id, char ret[static ISCSI_STATE_MAX]);

/* iscsi-record.c: open-iscsi's records of nodes and interfaces, those of this instance. Passwords are in them only
 * while iscsiadm logs in, in a file of mode 0600; what the kernel and iscsid know goes on from there. */
struct iscsi_passwords {
	struct secret chap, mutual;
};
const char *iscsi_iface(const char *initiator, char ret[static ISCSI_IFACE_MAX]);
int iscsi_iface_write(const char *initiator);
/* `passwords` NULL: without any. group: -1 for one that is not known yet. */
int iscsi_record_write(const struct session_state *state, const struct iscsi_passwords *passwords, int group);
/* Is there one record of it, that of this group, whole and without a password? */
bool iscsi_record_is_whole(const struct session_state *state, int group);
/* Removes what there is of it, and the interface if nothing uses it any more. */
void iscsi_record_forget(const struct session_state *state);
void iscsi_iface_forget(const char *initiator);

/* iscsi-admin.c */
int iscsi_login(const struct session_state *state);
/* Refused while its disks are used. */
int iscsi_logout(const struct session_state *state, const struct iscsi_seen *seen);
/* Asks for new LUNs, and for the sizes of those that are known. */
void iscsi_rescan(unsigned id);
/* SendTargets: the portals at which `target` is to be had, "A:3260 B:3260". The text is the caller's to free. */
int iscsi_discover(const struct endpoint *address, const char *target, const char *initiator, char **ret);

/* session-watch.c: tells of sessions that fail or come back within seconds, and of LUNs that were changed. */
struct engine;
void session_watch(struct engine *engine, const char *key, const struct iscsi_seen *seen);
void session_unwatch(const char *key);
/* Is it time to ask its target for changed LUNs? At most every ten seconds, but whenever the target said so. */
bool session_rescan_due(const char *key);
void session_watch_start(struct engine *engine);
void session_watch_stop(void);

/* discovery.c: resource discovery/POOL, what a target said of its portals; kept in a file for when it does not answer.
 */
struct discovery_state {
	uint64_t present;
	struct endpoint address;
	const char *target;
	const char *initiator;
	struct list portals; /* observed */
};
enum {
	DISCOVERY_ADDRESS = 1 << 0,
	DISCOVERY_TARGET = 1 << 1,
	DISCOVERY_INITIATOR = 1 << 2,
	DISCOVERY_PORTALS = 1 << 3
};
extern const struct resource_class stord_discovery_class;
/* Answers the fact "iscsi-portals/POOL": "ADDRESS TARGET PORTAL PORTAL...". */
void discovery_start(void);
void discovery_stop(void);

#endif
