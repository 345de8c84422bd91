/* SPDX-License-Identifier: Apache-2.0 */
/* Good manifests with random damage (words and lines that are dropped, doubled, exchanged) through decoding, checks and
 * lowering: whatever a person writes, the answer is a generation or diagnostics. */
#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "tests/unit/cases.h"

enum { MAX_TEXT = 16384, MAX_WORDS = 4096, MAX_GOOD = 32, ROUNDS = 6000 };
static const char word_ends[] = " \n:,[]{}\"";

struct piece {
	const char *at;
	size_t len;
};
static char *good[MAX_GOOD];
static size_t n_good;
static struct piece words[MAX_WORDS];
static size_t n_words;
static const char *const odd[] = {"0",
				  "-1",
				  "",
				  "true",
				  "no",
				  "null",
				  "18446744073709551616",
				  "64MiB",
				  "1h",
				  "::/0",
				  "0.0.0.0/0",
				  "255.255.255.255",
				  "10.0.0.1/31",
				  "fe80::1",
				  "'",
				  "[",
				  "}",
				  "- ",
				  "\t",
				  "\n",
				  ": ",
				  "a",
				  "lan",
				  "web",
				  "web.0",
				  "..",
				  "\xff"};

static void add_words(const char *text)
{
	for (const char *c = text; *c && n_words < MAX_WORDS;) {
		size_t len = strcspn(c, word_ends);
		if (len)
			words[n_words++] = (struct piece){c, len};
		c += len + strspn(c + len, word_ends);
	}
}

static int setup(void **state)
{
	glob_t found;
	assert_int_equal(glob(WEFT_SOURCE_DIR "/tests/golden/lowering/*.yaml", 0, NULL, &found), 0);
	for (size_t i = 0; i < found.gl_pathc && n_good < MAX_GOOD; i++) {
		assert_int_equal(file_read(found.gl_pathv[i], MAX_TEXT / 2, &good[n_good], NULL), 0);
		add_words(good[n_good++]);
	}
	globfree(&found);
	return 0;
}

static int teardown(void **state)
{
	for (size_t i = 0; i < n_good; i++)
		free(good[i]);
	return 0;
}

static size_t pick(unsigned *seed, size_t n)
{
	return (size_t)rand_r(seed) % n;
}

static void splice(char *text, size_t *size, size_t at, size_t cut, struct piece with)
{
	if (at + cut > *size || *size - cut + with.len >= MAX_TEXT)
		return;
	memmove(text + at + with.len, text + at + cut, *size - at - cut);
	memcpy(text + at, with.at, with.len);
	*size = *size - cut + with.len;
	text[*size] = 0;
}

/* A word becomes another one of any manifest, or something odd. */
static void damage_word(char *text, size_t *size, unsigned *seed)
{
	size_t at = pick(seed, *size);
	at += strcspn(text + at, word_ends);
	at += strspn(text + at, word_ends);
	size_t len = strcspn(text + at, word_ends);
	const char *other = odd[pick(seed, ARRAY_SIZE(odd))];
	struct piece piece = pick(seed, 4) ? words[pick(seed, n_words)] : (struct piece){other, strlen(other)};
	splice(text, size, at, len, piece);
}

/* A line goes, or one of any manifest comes before it. */
static void damage_line(char *text, size_t *size, unsigned *seed)
{
	size_t at = pick(seed, *size);
	at += strcspn(text + at, "\n");
	at += text[at] == '\n';
	size_t len = strcspn(text + at, "\n");
	const char *from = good[pick(seed, n_good)];
	from += pick(seed, strlen(from));
	from += strcspn(from, "\n");
	bool broken = *from == '\n';
	from += broken;
	if (pick(seed, 2))
		splice(text, size, at, len + (text[at + len] == '\n'), (struct piece){"", 0});
	else
		splice(text, size, at, 0, (struct piece){from, strcspn(from, "\n") + broken});
}

static void test_damaged_manifests(void **state)
{
	unsigned seed = getenv("WEFT_SEED") ? (unsigned)atoi(getenv("WEFT_SEED")) : (unsigned)time(NULL), n_fine = 0;
	print_message("seed %u (set WEFT_SEED to repeat)\n", seed);
	for (unsigned round = 0; round < ROUNDS; round++) {
		char text[MAX_TEXT];
		unsigned mine = seed + round;
		/* Two manifests in one are where conflicts come from. */
		size_t size = (size_t)snprintf(text, sizeof(text), "%s---\n%s", good[pick(&mine, n_good)],
					       pick(&mine, 2) ? good[pick(&mine, n_good)] : "");
		for (size_t k = pick(&mine, 5); k > 0; k--)
			(pick(&mine, 4) ? damage_word : damage_line)(text, &size, &mine);
		if (getenv("WEFT_SHOW"))
			fprintf(stderr, "=== %u\n%s", seed + round, text);
		n_fine += cases_try(text, size) == 0;
	}
	print_message("%u of %u were still fine\n", n_fine, (unsigned)ROUNDS);
	assert_true(n_fine > 0 && n_fine < ROUNDS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(test_damaged_manifests, setup, teardown)};
	cases_setup();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
