/* SPDX-License-Identifier: Apache-2.0 */
/* See progress.h. The words are literals of the program, which both processes have at one address. */
#include "stord/progress.h"

#include <stdatomic.h>
#include <sys/mman.h>

struct progress {
	const char *_Atomic doing;
	_Atomic unsigned percent;
	_Atomic uint64_t fine; /* the same in millionths */
};
static struct progress *used;

struct progress *progress_new(void)
{
	void *page = mmap(NULL, sizeof(struct progress), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return page == MAP_FAILED ? NULL : page;
}

struct progress *progress_free(struct progress *progress)
{
	if (progress)
		munmap(progress, sizeof(*progress));
	return NULL;
}

char *progress_text(const struct progress *progress)
{
	const char *doing = progress ? progress->doing : NULL;
	return doing ? xprintf("%s: %u %%", doing, progress->percent) : NULL;
}

uint64_t progress_number(const struct progress *progress)
{
	return progress ? progress->fine : 0;
}

void progress_use(struct progress *progress)
{
	used = progress;
}

void progress_say(const char *doing, double percent)
{
	if (!used)
		return;
	used->percent = percent < 0 ? 0 : percent > 100 ? 100 : (unsigned)percent;
	used->fine = percent > 0 ? (uint64_t)(percent * 1e6) : 0;
	used->doing = doing;
}
