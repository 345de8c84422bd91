/* SPDX-License-Identifier: Apache-2.0 */
/* What `weft doctor` finds. The modules that own the facts look (netd_doctor() and its like) and say each finding with
 * its remedy; `weftd --doctor` prints them as JSON lines, one at once when it is known, so that a probe which hangs
 * costs itself alone. Looking changes nothing on the host, and needs neither loop nor store. */
#ifndef WEFT_CORE_DOCTOR_H
#define WEFT_CORE_DOCTOR_H

#include <limits.h>

#include "core/util.h"

enum finding_level {
	FINDING_OK,
	FINDING_WARN, /* weft works, but less well, or not in all of its parts */
	FINDING_BAD,  /* what is the use of weft here will fail */
};
extern const char *const finding_levels[];

struct doctor {
	FILE *out;
	const char *area; /* "network": what the following findings are about */
};

/* Says one: {"area", "name", "level", "text", "remedy"}. The remedy is a sentence for a person; NULL when there is
 * nothing to do. */
void doctor_find(struct doctor *d, enum finding_level level, const char *name, const char *remedy, const char *fmt, ...)
	printf_like(5, 6);

/* Has every area looked at by a process of its own, side by side. What they find is said in their order, at once when
 * its turn has come. */
typedef void doctor_area_fn(struct doctor *d);
void doctor_look(FILE *out, doctor_area_fn *const *areas, size_t n);

/* Where a program stands, in PATH and the usual directories; false if nowhere. */
bool doctor_program(const char *name, char ret[static PATH_MAX]);
/* Runs a program with a deadline of a few seconds. Returns its exit status with the beginning of its output in *ret
 * (freed by the caller), or -errno; -ETIMEDOUT when it had to be left. */
int doctor_run(const char *const *argv, char **ret);
/* Calls fn in a child, as it may block, with the same deadline; it returns 0 to 100. Returns that, or -errno. */
int doctor_try(int (*fn)(const void *ctx), const void *ctx);

/* A program that is needed, asked for its version. */
struct doctor_program {
	const char *name;
	const char *argument; /* that prints the version: "--version" */
	const char *package;  /* of Debian */
	const char *why;      /* "networks get their DHCP and DNS from it" */
	enum finding_level missing;
};
void doctor_programs(struct doctor *d, const struct doctor_program *rows, size_t n);
/* "8.2.1" out of "QEMU emulator version 8.2.1 (Debian ...)"; false if there is none. */
bool doctor_version(const char *text, char ret[static 64]);

/* A kernel module: loaded, built in, or there to be loaded. */
struct doctor_module {
	const char *name;
	const char *why;
	enum finding_level missing;
	bool (*works)(void); /* whether what it brings is there, for kernels that have it built in and do not say so;
				may be NULL */
};
void doctor_modules(struct doctor *d, const struct doctor_module *rows, size_t n);
enum module_state { MODULE_MISSING, MODULE_LOADABLE, MODULE_BUILTIN, MODULE_LOADED };
/* `modules` is the directory with modules.dep and modules.builtin; NULL: that of the running kernel. */
enum module_state doctor_module_state(const char *name, const char *modules);

/* A setting below /proc/sys as a number; -1 if it cannot be read. */
long long doctor_setting(const char *name);

#endif
