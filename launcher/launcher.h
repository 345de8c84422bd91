/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the launcher share. Everything here ends the program with a sentence when it fails: there is
 * nothing to go back to. */
#ifndef WEFT_LAUNCHER_LAUNCHER_H
#define WEFT_LAUNCHER_LAUNCHER_H

#include <sys/types.h>

#include "core/util.h"

struct open_file {
	int fd, target;
};
struct bind_mount {
	const char *from, *to;
};
struct request {
	char *text; /* owns all strings */
	char **argv;
	size_t n_args, cap_args;
	const char *user, *groups, *log;
	bool net;
	int answer;              /* descriptor to answer at; 0: none, the launcher is weftd's child */
	struct open_file *files; /* opened, not at their targets yet */
	size_t n_files, cap_files;
	struct bind_mount *binds;
	size_t n_binds, cap_binds;
};

/* Reads the request from the socket and opens its files. */
void request_read(struct request *request);

struct credentials {
	bool change;
	uid_t uid;
	gid_t gid;
	gid_t groups[64];
	size_t n_groups;
	bool net;
};
/* Looks names up (may block on a directory service, hence before anything is forked). */
void credentials_find(const struct request *request, struct credentials *ret);
/* Becomes that user for good. */
void credentials_take(const struct credentials *credentials);

/* From now on failures are said there, as launch-request.h tells. */
void answer_at(int fd);
/* Says why on the error descriptor and exits with the errno. */
void die(int code, const char *fmt, ...) printf_like(2, 3) __attribute__((noreturn));

#endif
