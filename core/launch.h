/* SPDX-License-Identifier: Apache-2.0 */
/* Starting long-lived helpers (QEMU, dnsmasq, ...) so that they outlive the daemon: the small program weft-launch gets
 * argv, descriptors, files to open and a user over a socket, drops privileges and execs. Where systemd runs
 * (units_are_used(), core/unit.h) it is the command of a transient service, which systemd 252 could not give
 * descriptors to otherwise; elsewhere it detaches. The helper is nobody's child: it is watched by pidfd, and its
 * identity is pid plus start time. Who sees one end calls unit_forget_service(). */
#ifndef WEFT_CORE_LAUNCH_H
#define WEFT_CORE_LAUNCH_H

#include "core/err.h"

struct process_id {
	int pid;
	uint64_t start; /* field 22 of /proc/PID/stat, in clock ticks */
};
struct launch_file {
	const char *path; /* opened by the launcher as root, before privileges drop, so that a dead server blocks only
			     it; NULL: pass fd */
	int open_flags;   /* O_RDONLY, O_RDWR ... */
	int fd;           /* passed as it is when path is NULL; borrowed */
	bool memfd;       /* copy the file into a sealed memfd and pass that (kernel, initrd, dtb) */
	int target_fd;    /* the number it has in the program */
	/* Not 0: the byte of the file that the program holds locked (an open file description lock) from before it
	 * begins until it ends; EBUSY if somebody has locked it. Where files cannot be locked it is just open. */
	uint64_t lock_byte;
};
struct launch_bind {
	const char *from, *to; /* `to` is made if it is missing, and has no blanks */
};
struct launch_spec {
	const char *name;        /* unit name without suffix: "weft-guest-web" */
	const char *description; /* of the unit: "dnsmasq of network lan"; NULL: its name */
	bool machine;            /* a guest: its unit is in machine.slice, and machined knows it */
	const char *const *argv;
	const char *user; /* NULL: root. Supplementary groups by name, comma separated, in `groups` (may be NULL) */
	const char *groups;
	const char *log_path; /* stdout and stderr are appended here; NULL: /dev/null */
	const struct launch_file *files;
	size_t n_files;
	/* Directories that the program sees elsewhere, in a mount namespace of its own: for programs with fixed paths.
	 */
	const struct launch_bind *binds;
	size_t n_binds;
	unsigned deadline_ms; /* for exec to have happened; 0: 10 s */
	bool keep_net_admin; /* dnsmasq: ambient CAP_NET_ADMIN, CAP_NET_RAW, CAP_NET_BIND_SERVICE for a non-root user */
};
/* done: err NULL and the process's identity, or what went wrong (exec's errno, a file that would not open). Called
 * later, once. */
typedef void launch_done_fn(void *ctx, const struct process_id *id, const struct err *err);
int launch(const struct launch_spec *spec, launch_done_fn *done, void *ctx, struct err *err);

/* Is this very process alive (same pid, same start time)? */
bool process_alive(const struct process_id *id);
int process_start_time(int pid, uint64_t *ret);
/* A pidfd of this very process, or -ESRCH. */
int process_open(const struct process_id *id);
int process_signal(const struct process_id *id, int signal);
/* Tells once when it has ended (works for processes that are not children: sd_event_add_io on a pidfd). The handle is
 * freed by process_unwatch, and before fn is called; NULL with ESRCH when it has ended already. */
struct process_watch;
typedef void process_exit_fn(void *ctx, const struct process_id *id);
struct process_watch *process_watch(const struct process_id *id, process_exit_fn *fn, void *ctx, struct err *err);
void process_unwatch(struct process_watch *watch);

#endif
