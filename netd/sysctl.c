/* SPDX-License-Identifier: Apache-2.0 */
/* The class "sysctl": one setting of the kernel, key its name with slashes. It is always there or never, and giving it
 * up puts back what it was. */
#include "netd/sysctl.h"

#include <ctype.h>
#include <fcntl.h>

#include "core/lane-async.h"

enum { SYSCTL_VALUE };
struct sysctl_spec {
	uint64_t present;
	const char *value;
};

static const struct field sysctl_rows[] = {
	[SYSCTL_VALUE] = F_STRING("value", struct sysctl_spec, value, .max = SYSCTL_VALUE_MAX,
				  .doc = "Its value; white space counts as one blank."),
};
static const struct table sysctl_table = TABLE("sysctl", struct sysctl_spec, sysctl_rows);

bool sysctl_name_valid(const char *name)
{
	return *name >= 'a' && *name <= 'z' && strlen(name) < 200 && !strstr(name, "..") && !strstr(name, "//") &&
	       name[strlen(name) - 1] != '/';
}

/* One blank between words, none at the ends. */
static void squeeze(char *text)
{
	char *to = text;
	for (const char *from = text; *from; from++) {
		if (!isspace((unsigned char)*from))
			*to++ = *from;
		else if (to > text && to[-1] != ' ')
			*to++ = ' ';
	}
	if (to > text && to[-1] == ' ')
		to--;
	*to = '\0';
}

int sysctl_read(const char *name, char **ret)
{
	char path[256];
	if (!sysctl_name_valid(name))
		return -EINVAL;
	snprintf(path, sizeof(path), "/proc/sys/%s", name);
	int r = file_read(path, SYSCTL_VALUE_MAX, ret, NULL);
	if (r == 0)
		squeeze(*ret);
	return r;
}

/* The kernel takes a value from the first write alone. */
int sysctl_write(const char *name, const char *value, struct err *err)
{
	char path[256];
	if (!sysctl_name_valid(name))
		return err_set(err, EINVAL, "'%s' is not a name below /proc/sys", name);
	snprintf(path, sizeof(path), "/proc/sys/%s", name);
	cleanup_close int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return err_errno(err, errno, "open %s", path);
	ssize_t n = write(fd, value, strlen(value));
	if (n < 0)
		return err_errno(err, errno, "write '%s' to %s", value, path);
	return (size_t)n == strlen(value)
		       ? 0
		       : err_set(err, EIO, "the kernel took only a part of '%s' for %s", value, path);
}

static int look(struct op *op)
{
	cleanup_free char *text = NULL;
	int r = sysctl_read(op->key, &text);
	if (r < 0 && r != -ENOENT && r != -ENOTDIR)
		return err_errno(&op->err, -r, "read /proc/sys/%s", op->key);
	struct sysctl_spec *seen = observation_begin(&op->obs, op->class, r == 0);
	if (r == 0) {
		seen->value = arena_strdup(op->obs.arena, text);
		*present_of(seen) |= 1 << SYSCTL_VALUE;
	}
	return 0;
}

static void observe(struct op *op)
{
	look(op);
	op_complete(op);
}

static void update(struct op *op)
{
	const struct sysctl_spec *want = op->want;
	int r = 0;
	if (op->rows & 1 << SYSCTL_VALUE)
		r = sysctl_write(op->key, want->value, &op->err);
	if (r == 0)
		look(op);
	op_complete(op);
}

/* The engine never asks for these two, since a setting is neither made nor removed. */
static void refuse(struct op *op)
{
	op_fail(op, ENOTSUP, "a setting of the kernel is neither made nor removed");
}

static const struct async_verbs sysctl_verbs = {
	.observe = observe, .create = refuse, .update = update, .remove = refuse};

/* A setting of a link goes with its link, perhaps just now. */
static const struct errno_rule sysctl_errnos[] = {
	{OP_UPDATE, ENOENT, ANSWER_WAIT},
	{OP_UPDATE, ENODEV, ANSWER_WAIT},
};

/* Most settings tell nobody of a change; those that do are marked by netlink-events.c. */
enum { PERIOD_MS = 60 * 1000 };

extern const struct resource_class netd_sysctl_class;
const struct resource_class netd_sysctl_class = {
	.name = "sysctl",
	.doc = "A setting of the kernel below /proc/sys; its key is its name with slashes.",
	.table = &sysctl_table,
	.lane = "sysctl",
	.verbs = &sysctl_verbs,
	.flags = CLASS_TRANSACTIONAL | CLASS_INHERENT,
	.rules = sysctl_errnos,
	.n_rules = ARRAY_SIZE(sysctl_errnos),
	.period_ms = PERIOD_MS,
};
