/* SPDX-License-Identifier: Apache-2.0 */
/* SipHash-2-4 (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012), keyed by the host's secret: for
 * numbers that are stable on this host and differ on every other one. */
#include <endian.h>

#include "core/env.h"
#include "core/lower.h"

struct sip {
	uint64_t v0, v1, v2, v3;
};

static uint64_t rotl(uint64_t x, int b)
{
	return x << b | x >> (64 - b);
}

static void sip_rounds(struct sip *s, int n)
{
	while (n-- > 0) {
		s->v0 += s->v1;
		s->v1 = rotl(s->v1, 13) ^ s->v0;
		s->v0 = rotl(s->v0, 32);
		s->v2 += s->v3;
		s->v3 = rotl(s->v3, 16) ^ s->v2;
		s->v0 += s->v3;
		s->v3 = rotl(s->v3, 21) ^ s->v0;
		s->v2 += s->v1;
		s->v1 = rotl(s->v1, 17) ^ s->v2;
		s->v2 = rotl(s->v2, 32);
	}
}

static uint64_t read_le(const uint8_t *p, size_t n)
{
	uint64_t x = 0;
	memcpy(&x, p, n);
	return le64toh(x);
}

static uint64_t siphash(const uint8_t key[16], const uint8_t *data, size_t size)
{
	uint64_t k0 = read_le(key, 8), k1 = read_le(key + 8, 8);
	struct sip s = {k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d, k0 ^ 0x6c7967656e657261,
			k1 ^ 0x7465646279746573};
	size_t whole = size / 8 * 8;
	for (size_t i = 0; i < whole; i += 8) {
		uint64_t m = read_le(data + i, 8);
		s.v3 ^= m;
		sip_rounds(&s, 2);
		s.v0 ^= m;
	}
	uint64_t last = read_le(data + whole, size - whole) | (uint64_t)size << 56;
	s.v3 ^= last;
	sip_rounds(&s, 2);
	s.v0 ^= last;
	s.v2 ^= 0xff;
	sip_rounds(&s, 4);
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

uint64_t host_hash(const char *text)
{
	return siphash(env.host_key, (const uint8_t *)text, strlen(text));
}
