/* SPDX-License-Identifier: Apache-2.0 */
/* See keyring.h. What QEMU gets of one goes from a child straight into memory that QEMU is handed: the daemon never
 * has it. */
#include "stord/keyring.h"

#include <sys/mman.h>

#include "core/child.h"
#include "stord/image.h"
#include "stord/volume.h"

enum { READ_MS = 10 * 1000, TO_FD = 3 };

/* What follows "key = " in a line; NULL if it is another line. */
static char *key_of_line(char *line)
{
	if (!str_starts(line, "key"))
		return NULL;
	line += strlen("key");
	line += strspn(line, " \t");
	if (*line != '=')
		return NULL;
	line += 1 + strspn(line + 1, " \t");
	line[strcspn(line, " \t\r")] = '\0';
	return line;
}

/* [client.weft]
 *         key = AQ...== */
const char *keyring_find(struct secret *secret, const char *owner)
{
	char *key = NULL, *rest = secret->text;
	cleanup_free char *section = xprintf("[%s]", owner);
	bool inside = false;
	if (!strchr(secret->text, '[')) {
		key = secret->text + strspn(secret->text, " \t\r\n");
		key[strcspn(key, " \t\r\n")] = '\0';
		rest = NULL;
	}
	for (char *line; !key && (line = strsep(&rest, "\n"));) {
		line += strspn(line, " \t");
		if (*line == '[')
			inside = str_starts(line, section);
		else if (inside)
			key = key_of_line(line);
	}
	return key && *key ? key : NULL;
}

int keyring_read(const struct secret_ref *ref, const char *owner, struct secret *secret, const char **ret_key,
		 struct err *err)
{
	char name[4096];
	int r = secret_read(ref, secret, err);
	if (r < 0)
		return r;
	*ret_key = keyring_find(secret, owner);
	if (*ret_key)
		return 0;
	secret_name(ref, name, sizeof(name));
	return err_set(err, EINVAL, "%s has no key of %s: write there what `ceph auth get %s` says", name, owner,
		       owner);
}

struct fetch {
	struct secret_ref ref;
	char *file, *credential, *owner;
	int fd;
	stord_secret_fn *done;
	void *ctx;
};

/* Runs in the child. */
static int do_fetch(void *ctx, int out_fd)
{
	const struct fetch *fetch = ctx;
	cleanup_secret struct secret secret = {0};
	const char *key = NULL;
	struct err err = {0};
	if (keyring_read(&fetch->ref, fetch->owner, &secret, &key, &err) < 0)
		return say(err.code, "%s", err.text);
	size_t size = strlen(key);
	if (write(TO_FD, key, size) != (ssize_t)size)
		return say(EIO, "no memory for a secret");
	return 0;
}

static void on_fetched(void *ctx, const struct child_result *result)
{
	struct fetch *fetch = ctx;
	int fd = result->status == 0 ? take_fd(&fetch->fd) : -1;
	fetch->done(fetch->ctx, fd, result->status == 0 ? NULL : &result->err);
	closep(&fetch->fd);
	free(fetch->file);
	free(fetch->credential);
	free(fetch->owner);
	free(fetch);
}

void stord_secret_fetch(const struct stord_secret *secret, stord_secret_fn *done, void *ctx)
{
	struct fetch *fetch = xcalloc(1, sizeof(*fetch));
	*fetch = (struct fetch){.fd = memfd_create("weft-secret", MFD_CLOEXEC), .done = done, .ctx = ctx};
	if (fetch->fd < 0)
		abort(); /* out of memory or descriptors */
	fetch->owner = xstrdup(secret->owner);
	fetch->ref.file = fetch->file = secret->ref.file ? xstrdup(secret->ref.file) : NULL;
	fetch->ref.credential = fetch->credential = secret->ref.credential ? xstrdup(secret->ref.credential) : NULL;
	child_run(&(struct child_spec){
		.func = do_fetch,
		.func_ctx = fetch,
		.pass_fd = fetch->fd,
		.deadline_ms = READ_MS,
		.done = on_fetched,
		.ctx = fetch,
	});
}
