// The guestbook's greeting as a WASI preview 1 command without any library: the event on stdin, the answer on stdout.
//
//   {"name":"Ada"}                                  -> {"greeting":"Hello, Ada!"}
//   an HTTP event (payload format 2.0)              -> the same, name from the query or from a JSON body
//   no name, or no event at all                     -> {"greeting":"Hello, world!"}
//   no JSON                                         -> a line on stderr, exit status 1
//
// Rebuild greeting.wasm with `make` in this folder (clang and lld).

typedef unsigned int size;
typedef struct { const char *at; size length; } text;

#define WASI(name) __attribute__((import_module("wasi_snapshot_preview1"), import_name(#name)))
WASI(fd_read) int fd_read(int fd, text *buffers, size count, size *done);
WASI(fd_write) int fd_write(int fd, const text *buffers, size count, size *done);
WASI(proc_exit) _Noreturn void proc_exit(int status);

enum { MAX_EVENT = 64 * 1024, MAX_DEPTH = 64 };

static char event[MAX_EVENT + 1], body[MAX_EVENT + 1];

#define TEXT(literal) ((text){literal, sizeof(literal) - 1})

static void put(int fd, text t) {
	while (t.length > 0) {
		size done = 0;
		if (fd_write(fd, &t, 1, &done) != 0 || done == 0) proc_exit(1);
		t.at += done;
		t.length -= done;
	}
}

static _Noreturn void fail(text why) {
	put(2, TEXT("cannot greet: "));
	put(2, why);
	put(2, TEXT("\n"));
	proc_exit(1);
}

static int same(text a, text b) {
	if (a.length != b.length) return 0;
	for (size i = 0; i < a.length; i++)
		if (a.at[i] != b.at[i]) return 0;
	return 1;
}

// A cursor in JSON text that ends with a zero byte. What it finds is kept as it stands between the quotes, escapes and all,
// so that it can go into an answer unchanged.
typedef struct {
	const char *p;
	text name, query, body; // at is 0 where there was none
} scan;

static void skip(scan *s) {
	while (*s->p == ' ' || *s->p == '\t' || *s->p == '\n' || *s->p == '\r') s->p++;
}

static int hex(char c) {
	if (c >= '0' && c <= '9') return c - '0';
	c |= 32;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int hex4(const char *p) {
	int value = 0;
	for (int i = 0; i < 4; i++) {
		int digit = hex(p[i]);
		if (digit < 0) return -1;
		value = value * 16 + digit;
	}
	return value;
}

// escaped returns how long the escape at p is, 0 where it is none.
static size escaped(const char *p) {
	for (const char *known = "\"\\/bfnrt"; *known; known++)
		if (p[1] == *known) return 2;
	return p[1] == 'u' && hex4(p + 2) >= 0 ? 6 : 0;
}

static int string(scan *s, text *out) {
	if (*s->p != '"') return 0;
	const char *start = ++s->p;
	while (*s->p != '"') {
		size n = *s->p == '\\' ? escaped(s->p) : (unsigned char)*s->p >= 32;
		if (n == 0) return 0;
		s->p += n;
	}
	*out = (text){start, (size)(s->p++ - start)};
	return 1;
}

static size digits(scan *s) {
	size n = 0;
	for (; *s->p >= '0' && *s->p <= '9'; n++) s->p++;
	return n;
}

static int number(scan *s) {
	if (*s->p == '-') s->p++;
	if (*s->p == '0') s->p++;
	else if (digits(s) == 0) return 0;
	if (*s->p == '.' && (s->p++, digits(s) == 0)) return 0;
	if ((*s->p | 32) != 'e') return 1;
	s->p++;
	if (*s->p == '+' || *s->p == '-') s->p++;
	return digits(s) > 0;
}

static int word(scan *s, text w) {
	for (size i = 0; i < w.length; i++)
		if (*s->p++ != w.at[i]) return 0;
	return 1;
}

static int value(scan *s, int depth, int wanted);

static int array(scan *s, int depth) {
	s->p++;
	skip(s);
	if (*s->p == ']') return s->p++, 1;
	for (;;) {
		if (!value(s, depth, 0)) return 0;
		if (*s->p == ']') return s->p++, 1;
		if (*s->p++ != ',') return 0;
	}
}

// member reads what stands after a key. wanted: 1 in the outermost object, 2 in the query's, else 0.
static int member(scan *s, text key, int depth, int wanted) {
	text t;
	if (wanted == 1 && same(key, TEXT("queryStringParameters"))) return value(s, depth, 2);
	if (wanted == 0 || *s->p != '"') return value(s, depth, 0);
	if (!string(s, &t)) return 0;
	if (same(key, TEXT("name"))) *(wanted == 1 ? &s->name : &s->query) = t;
	if (wanted == 1 && same(key, TEXT("body"))) s->body = t;
	skip(s);
	return 1;
}

static int object(scan *s, int depth, int wanted) {
	text key;
	s->p++;
	skip(s);
	if (*s->p == '}') return s->p++, 1;
	for (;;) {
		skip(s);
		if (!string(s, &key)) return 0;
		skip(s);
		if (*s->p++ != ':') return 0;
		skip(s);
		if (!member(s, key, depth, wanted)) return 0;
		if (*s->p == '}') return s->p++, 1;
		if (*s->p++ != ',') return 0;
	}
}

static int value(scan *s, int depth, int wanted) {
	text ignored;
	int ok;
	if (depth > MAX_DEPTH) return 0;
	skip(s);
	switch (*s->p) {
	case '{': ok = object(s, depth + 1, wanted); break;
	case '[': ok = array(s, depth + 1); break;
	case '"': ok = string(s, &ignored); break;
	case 't': ok = word(s, TEXT("true")); break;
	case 'f': ok = word(s, TEXT("false")); break;
	case 'n': ok = word(s, TEXT("null")); break;
	default: ok = number(s);
	}
	skip(s);
	return ok;
}

// document reads a whole JSON text. A zero byte stands behind it.
static int document(scan *s, text json) {
	*s = (scan){.p = json.at};
	return value(s, 0, 1) && s->p == json.at + json.length;
}

static char *utf8(char *out, int c) {
	if (c < 0x80) return *out++ = (char)c, out;
	if (c < 0x800) *out++ = (char)(0xc0 | c >> 6);
	else {
		if (c < 0x10000) *out++ = (char)(0xe0 | c >> 12);
		else {
			*out++ = (char)(0xf0 | c >> 18);
			*out++ = (char)(0x80 | (c >> 12 & 63));
		}
		*out++ = (char)(0x80 | (c >> 6 & 63));
	}
	*out++ = (char)(0x80 | (c & 63));
	return out;
}

// unescape writes the text that a JSON string stands for to out, with a zero byte behind it. It never grows.
static text unescape(text t, char *out) {
	const char *start = out;
	static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
	for (const char *p = t.at, *end = t.at + t.length; p < end;) {
		if (*p != '\\') {
			*out++ = *p++;
			continue;
		}
		if (p[1] == 'u') {
			int c = hex4(p + 2);
			p += 6;
			if (c >= 0xd800 && c < 0xdc00 && end - p >= 6 && p[0] == '\\' && p[1] == 'u') {
				int low = hex4(p + 2);
				if (low >= 0xdc00 && low < 0xe000) c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00), p += 6;
			}
			if (c >= 0xd800 && c < 0xe000) c = 0xfffd; // half a pair
			out = utf8(out, c);
			continue;
		}
		char c = p[1];
		for (int i = 0; from[i]; i++)
			if (c == from[i]) c = to[i];
		*out++ = c;
		p += 2;
	}
	*out = 0;
	return (text){start, (size)(out - start)};
}

static text read_event(void) {
	size length = 0, done = 0;
	do {
		text rest = {event + length, MAX_EVENT + 1 - length};
		if (fd_read(0, &rest, 1, &done) != 0) fail(TEXT("stdin cannot be read"));
		length += done;
		if (length > MAX_EVENT) fail(TEXT("the event is longer than 64 KiB"));
	} while (done > 0);
	event[length] = 0;
	return (text){event, length};
}

// find_name looks in the event, then in the query, then in the body.
static text find_name(text json) {
	scan s = {.p = json.at}, inner;
	skip(&s);
	if (s.p == json.at + json.length) return (text){0, 0};
	if (!document(&s, json)) fail(TEXT("the event is no JSON"));
	if (s.name.at) return s.name;
	if (s.query.at) return s.query;
	if (!s.body.at || s.body.length == 0) return (text){0, 0};
	if (!document(&inner, unescape(s.body, body))) fail(TEXT("the body is no JSON"));
	return inner.name;
}

void _start(void) {
	text name = find_name(read_event());
	put(1, TEXT("{\"greeting\":\"Hello, "));
	put(1, name.length > 0 ? name : TEXT("world"));
	put(1, TEXT("!\"}\n"));
}
