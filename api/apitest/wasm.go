package apitest

// Echo returns a WASI preview 1 command that copies stdin to stdout.
func Echo() []byte {
	return module(
		0x03, 0x40, // loop
		0x41, 0x00, 0x41, 0x80, 0x08, 0x36, 0x02, 0x00, // iovec.buf = 1024
		0x41, 0x04, 0x41, 0x80, 0x80, 0x04, 0x36, 0x02, 0x00, // iovec.len = 65536
		0x41, 0x00, 0x41, 0x00, 0x41, 0x01, 0x41, 0x08, 0x10, 0x00, 0x1a, // fd_read(0, iovec, 1, &n)
		0x41, 0x04, 0x41, 0x08, 0x28, 0x02, 0x00, 0x36, 0x02, 0x00, // iovec.len = n
		0x41, 0x01, 0x41, 0x00, 0x41, 0x01, 0x41, 0x0c, 0x10, 0x01, 0x1a, // fd_write(1, iovec, 1, &written)
		0x41, 0x08, 0x28, 0x02, 0x00, 0x0d, 0x00, // again while n != 0
		0x0b, // end
	)
}

// Trap returns a WASI preview 1 command that fails at its first instruction.
func Trap() []byte { return module(0x00) }

// module wraps the body of _start, which may call fd_read as function 0 and fd_write as function 1.
func module(start ...byte) []byte {
	body := append(append([]byte{0}, start...), 0x0b) // no locals
	return join(
		[]byte{0x00, 'a', 's', 'm', 1, 0, 0, 0},
		section(1, []byte{2, 0x60, 4, 0x7f, 0x7f, 0x7f, 0x7f, 1, 0x7f, 0x60, 0, 0}), // types: the calls, and _start
		section(2, join([]byte{2}, imported("fd_read"), imported("fd_write"))),
		section(3, []byte{1, 1}),    // one function, of type 1
		section(5, []byte{1, 0, 2}), // one memory of two pages
		section(7, join([]byte{2}, name("memory"), []byte{2, 0}, name("_start"), []byte{0, 2})),
		section(10, join([]byte{1}, sized(body))),
	)
}

func section(id byte, content []byte) []byte { return append([]byte{id}, sized(content)...) }

func imported(function string) []byte {
	return join(name("wasi_snapshot_preview1"), name(function), []byte{0, 0})
}

func name(s string) []byte { return sized([]byte(s)) }

// sized puts the length in front; all lengths here fit in two bytes of LEB128.
func sized(b []byte) []byte {
	if len(b) < 128 {
		return append([]byte{byte(len(b))}, b...)
	}
	return append([]byte{byte(len(b)&0x7f | 0x80), byte(len(b) >> 7)}, b...)
}

func join(parts ...[]byte) (all []byte) {
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}
