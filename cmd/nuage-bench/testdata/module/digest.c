// A WASI preview 1 command of about 100 KB without any library, as the wasm functions of the bench: the event on stdin, a digest of it
// on stdout. Its bulk is code and a table, as in a program of that size; a call runs a little of it.
//
// Rebuild digest.wasm with `make` in this folder (clang and lld).

typedef unsigned int u32;
typedef unsigned long long u64;
typedef struct { const char *at; u32 length; } text;

#define WASI(name) __attribute__((import_module("wasi_snapshot_preview1"), import_name(#name)))
WASI(fd_read) int fd_read(int fd, text *buffers, u32 count, u32 *done);
WASI(fd_write) int fd_write(int fd, const text *buffers, u32 count, u32 *done);
WASI(proc_exit) _Noreturn void proc_exit(int status);

enum { MAX_EVENT = 16 * 1024 };
static char event[MAX_EVENT], answer[64];

// table is the first 2,048 steps of a generator, so that there is data to be put in place for each instance.
#define T1(n) (n) * 2654435761u ^ 0x9e3779b9u * ((n) + 7)
#define T8(n) T1(n), T1(n + 1), T1(n + 2), T1(n + 3), T1(n + 4), T1(n + 5), T1(n + 6), T1(n + 7)
#define T64(n) T8(n), T8(n + 8), T8(n + 16), T8(n + 24), T8(n + 32), T8(n + 40), T8(n + 48), T8(n + 56)
#define T512(n) T64(n), T64(n + 64), T64(n + 128), T64(n + 192), T64(n + 256), T64(n + 320), T64(n + 384), T64(n + 448)
static const u32 table[2048] = {T512(0u), T512(512u), T512(1024u), T512(1536u)};

// A round mixes the event in its own way.
#define STEP(h, c, a, b) h = (h ^ table[(h + (c) + (a)) & 2047]) * (u64)((a) * 2u + 1u), h ^= h >> ((b) % 29u + 3u), h += (u64)(c) << ((b) % 31u)
#define ROUND(name, a) \
	__attribute__((noinline)) static u64 name(u64 h, const char *p, u32 length) { \
		for (u32 i = 0; i < length; i++) { \
			u32 c = (unsigned char)p[i]; \
			STEP(h, c, a * 3u + 11u, a + 1u); \
			STEP(h, c, a * 5u + 13u, a + 2u); \
			STEP(h, c, a * 7u + 17u, a + 3u); \
			STEP(h, c, a * 11u + 19u, a + 4u); \
			STEP(h, c, a * 13u + 23u, a + 5u); \
		} \
		return h; \
	}
#define R8(name, n) ROUND(name##0, n + 0u) ROUND(name##1, n + 1u) ROUND(name##2, n + 2u) ROUND(name##3, n + 3u) \
	ROUND(name##4, n + 4u) ROUND(name##5, n + 5u) ROUND(name##6, n + 6u) ROUND(name##7, n + 7u)
#define R64(name, n) R8(name##0, n) R8(name##1, n + 8u) R8(name##2, n + 16u) R8(name##3, n + 24u) \
	R8(name##4, n + 32u) R8(name##5, n + 40u) R8(name##6, n + 48u) R8(name##7, n + 56u)
R64(a, 0u)
R64(b, 64u)
R64(c, 128u)
R64(d, 192u)
R64(e, 256u)

#define C1(name, n) case n: return name(h, p, length);
#define C8(name, n) C1(name##0, n) C1(name##1, n + 1) C1(name##2, n + 2) C1(name##3, n + 3) \
	C1(name##4, n + 4) C1(name##5, n + 5) C1(name##6, n + 6) C1(name##7, n + 7)
#define C64(name, n) C8(name##0, n) C8(name##1, n + 8) C8(name##2, n + 16) C8(name##3, n + 24) \
	C8(name##4, n + 32) C8(name##5, n + 40) C8(name##6, n + 48) C8(name##7, n + 56)
static u64 mixed(u32 round, u64 h, const char *p, u32 length) {
	switch (round) { C64(a, 0) C64(b, 64) C64(c, 128) C64(d, 192) C64(e, 256) }
	return h;
}

static u32 read_event(void) {
	u32 length = 0, done = 1;
	while (length < MAX_EVENT && done > 0) {
		text rest = {event + length, MAX_EVENT - length};
		if (fd_read(0, &rest, 1, &done) != 0) proc_exit(1);
		length += done;
	}
	return length;
}

static void write_answer(u64 digest) {
	u32 at = 0;
	for (const char *begin = "{\"digest\":\""; *begin; begin++) answer[at++] = *begin;
	for (int shift = 60; shift >= 0; shift -= 4) answer[at++] = "0123456789abcdef"[digest >> shift & 15];
	answer[at++] = '"', answer[at++] = '}';
	text whole = {answer, at};
	u32 done;
	if (fd_write(1, &whole, 1, &done) != 0 || done != at) proc_exit(1);
}

void _start(void) {
	u32 length = read_event();
	u64 digest = 1469598103934665603ull;
	for (u32 i = 0; i < 2; i++) digest = mixed((digest + i) % 320, digest, event, length);
	write_answer(digest);
}
