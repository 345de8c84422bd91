/* SPDX-License-Identifier: Apache-2.0 */
/* Where this weftd lives and who it is: paths, the instance id that marks what is ours, the boot. Set up once by the
 * daemon (or a test) before anything else and read everywhere. */
#ifndef WEFT_CORE_ENV_H
#define WEFT_CORE_ENV_H

#include "core/err.h"

struct sd_event;

struct env {
	const char *root;        /* --root, or "" for the system's paths */
	const char *run_dir;     /* /run/weft        ROOT/run: sockets, pids; gone at a reboot */
	const char *state_dir;   /* /var/lib/weft    ROOT/lib: the store, images, files/ */
	const char *etc_dir;     /* /etc/weft        ROOT/etc: the set `system` */
	const char *libexec_dir; /* where weft-launch and plugins/ stand */
	char instance[17];       /* 16 hex digits, random, made once with the state directory: the mark's ID */
	uint8_t host_key[16];    /* random, secret: keys host_hash() */
	char boot_id[37];        /* /proc/sys/kernel/random/boot_id */
	struct sd_event *loop;   /* borrowed; NULL in unit tests */
};
extern struct env env;

/* Fills env for a root (NULL: the system's paths), making directories and ids that are missing. libexec_dir is found
 * beside the program (build tree) or in LIBEXECDIR/weft. */
int env_setup(const char *root, struct err *err);
/* Only the paths, and makes nothing: for looking at a host where perhaps no weftd was yet. */
void env_look(const char *root);

#endif
