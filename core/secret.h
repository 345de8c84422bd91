/* SPDX-License-Identifier: Apache-2.0 */
/* Secrets: passwords, keys. A manifest holds none but says where one is: {file: PATH} or {credential: NAME} (of
 * systemd's LoadCredential= and kin). It is read when it is used, by a child (child_call()), into memory that is in no
 * core dump and goes to no further process by fork, and that is wiped. It never is an argument, in an environment, in a
 * log, an event or an answer: programs get it through a descriptor. */
#ifndef WEFT_CORE_SECRET_H
#define WEFT_CORE_SECRET_H

#include "core/err.h"
#include "core/kind.h"

/* Where one is: a row F_STRUCT("password", struct chap, password, secret_table, ...). */
struct secret_ref {
	uint64_t present;
	const char *file;       /* absolute */
	const char *credential; /* a name */
};
extern const struct table secret_table;
/* Rules of one that stands at `path`; faults are queued. */
void secret_check(const struct check *check, const struct secret_ref *ref, const char *path);
/* What it is called in sentences: "file '/etc/weft/secrets/chap'". Returns buf. */
const char *secret_name(const struct secret_ref *ref, char *buf, size_t size);

enum { SECRET_MAX = 64 << 10 };

struct secret {
	char *text; /* NUL-terminated, without the newline at its end */
	size_t size;
};
/* In a child only, as the file may be anywhere; from then on that child leaves no core dump and cannot be looked into.
 * Returns 0 or -errno; a file that others than its owner may do anything with is refused. */
int secret_read(const struct secret_ref *ref, struct secret *ret, struct err *err);
/* Wipes it; fine on one that was never read. */
void secret_done(struct secret *secret);
#define cleanup_secret cleanup(secret_done)
/* A descriptor from which a program reads it, as its standard input or as /dev/fd/N. Closed at exec unless it is
 * dup'ed. -errno on failure. */
int secret_fd(const struct secret *secret);

#endif
