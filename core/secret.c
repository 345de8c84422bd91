/* SPDX-License-Identifier: Apache-2.0 */
/* See secret.h. */
#include "core/secret.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>

static const struct field secret_rows[] = {
	F_PATH("file", struct secret_ref, file, .max = 3800,
	       .doc = "File that holds it, absolute; a newline at its end does not count. Only its owner may have "
		      "any right to it (chmod 600).",
	       .example = "/etc/weft/secrets/chap"),
	F_STRING("credential", struct secret_ref, credential, .max = 255,
		 .doc = "Name of a credential that systemd hands to weftd (LoadCredential= and its kin), instead.",
		 .example = "chap"),
};
const struct table secret_table = {
	.name = "secret",
	.size = sizeof(struct secret_ref),
	.fields = secret_rows,
	.n_fields = ARRAY_SIZE(secret_rows),
	.hidden = true,
};

void secret_check(const struct check *check, const struct secret_ref *ref, const char *path)
{
	cleanup_free char *file = xprintf("%s.file", path), *credential = xprintf("%s.credential", path);
	if (!ref->file == !ref->credential)
		check_fault(check, path, "a secret is {file: PATH} or {credential: NAME}, one of the two");
	if (ref->file && ref->file[0] != '/')
		check_fault(check, file, "the file of a secret is named by its absolute path");
	if (ref->credential && (!*ref->credential || ref->credential[0] == '.' || strchr(ref->credential, '/')))
		check_fault(check, credential, "'%s' is not the name of a credential", ref->credential);
}

const char *secret_name(const struct secret_ref *ref, char *buf, size_t size)
{
	if (ref->file)
		snprintf(buf, size, "file '%s'", ref->file);
	else
		snprintf(buf, size, "credential '%s'", ref->credential ? ref->credential : "");
	return buf;
}

static int open_secret(const struct secret_ref *ref)
{
	const char *dir = getenv("CREDENTIALS_DIRECTORY");
	if (!ref->file && !dir)
		return -ENOENT;
	cleanup_free char *path = ref->file ? xstrdup(ref->file) : xprintf("%s/%s", dir, ref->credential);
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

/* Whole pages of its own, so that what holds of them holds of nothing else. */
static char *secret_pages(void)
{
	char *pages = mmap(NULL, 2 * SECRET_MAX, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (pages == MAP_FAILED)
		return NULL;
	if (madvise(pages, 2 * SECRET_MAX, MADV_DONTDUMP) == 0 && madvise(pages, 2 * SECRET_MAX, MADV_DONTFORK) == 0) {
		mlock(pages, 2 * SECRET_MAX); /* where it is not allowed it may be swapped, as the file may */
		return pages;
	}
	munmap(pages, 2 * SECRET_MAX);
	return NULL;
}

static int read_pages(int fd, struct secret *ret)
{
	ssize_t n;
	while (ret->size <= SECRET_MAX && (n = read(fd, ret->text + ret->size, SECRET_MAX + 1 - ret->size)) != 0) {
		if (n < 0 && errno != EINTR)
			return -errno;
		ret->size += n > 0 ? (size_t)n : 0;
	}
	if (ret->size > SECRET_MAX)
		return -EFBIG;
	if (ret->size && ret->text[ret->size - 1] == '\n')
		ret->text[--ret->size] = '\0';
	return 0;
}

int secret_read(const struct secret_ref *ref, struct secret *ret, struct err *err)
{
	char name[4096];
	struct stat st;
	*ret = (struct secret){0};
	secret_name(ref, name, sizeof(name));
	prctl(PR_SET_DUMPABLE, 0);
	cleanup_close int fd = open_secret(ref);
	if (fd == -ENOENT && ref->credential)
		return err_set(err, ENOENT, "there is no %s; give it to weftd.service with LoadCredential=%s:PATH",
			       name, ref->credential);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_set(err, fd < 0 ? -fd : errno, "%s cannot be opened: %s", name,
			       strerror(fd < 0 ? -fd : errno));
	if (!S_ISREG(st.st_mode))
		return err_set(err, EINVAL, "%s is not a regular file", name);
	if (st.st_mode & (S_IRWXG | S_IRWXO))
		return err_set(err, EPERM, "%s is open to others than its owner and is no secret: chmod 600 %s", name,
			       ref->file ? ref->file : ref->credential);
	ret->text = secret_pages();
	int r = ret->text ? read_pages(fd, ret) : -ENOMEM;
	if (r == 0 && ret->size == 0)
		r = -ENODATA;
	if (r == 0)
		return 0;
	secret_done(ret);
	return r == -ENODATA ? err_set(err, ENODATA, "%s is empty", name)
			     : err_set(err, -r, "%s cannot be read: %s", name, strerror(-r));
}

void secret_done(struct secret *secret)
{
	if (secret->text) {
		explicit_bzero(secret->text, 2 * SECRET_MAX);
		munmap(secret->text, 2 * SECRET_MAX);
	}
	*secret = (struct secret){0};
}

int secret_fd(const struct secret *secret)
{
	cleanup_close int fd = memfd_create("weft-secret", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	for (size_t done = 0; done < secret->size;) {
		ssize_t n = write(fd, secret->text + done, secret->size - done);
		if (n < 0)
			return -errno;
		done += (size_t)n;
	}
	if (lseek(fd, 0, SEEK_SET) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) < 0)
		return -errno;
	return take_fd(&fd);
}
