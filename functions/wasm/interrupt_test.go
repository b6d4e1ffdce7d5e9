package wasm

import (
	"bytes"
	"testing"
)

func TestInterruptible(t *testing.T) {
	header := "\x00asm\x01\x00\x00\x00"
	prologue := "\x23\x00\x41\x01\x6b\x24\x00\x23\x00\x45\x04\x40\x41\xe8\x07\x24\x00\x03\x40\x0b\x0b"
	tests := []struct{ name, module, want string }{
		{"no code", header, header + "\x06\x07\x01\x7f\x01\x41\xe8\x07\x0b"},
		{"a body", header + "\x07\x01\x00" + "\x0a\x04\x01\x02\x00\x0b",
			header + "\x06\x07\x01\x7f\x01\x41\xe8\x07\x0b" + "\x07\x01\x00" + "\x0a\x19\x01\x17\x00" + prologue + "\x0b"},
		{"locals stay first", header + "\x0a\x06\x01\x04\x01\x02\x7f\x0b",
			header + "\x06\x07\x01\x7f\x01\x41\xe8\x07\x0b" + "\x0a\x1b\x01\x19\x01\x02\x7f" + prologue + "\x0b"},
		{"a loop first", header + "\x0a\x07\x01\x05\x00\x03\x40\x0b\x0b",
			header + "\x06\x07\x01\x7f\x01\x41\xe8\x07\x0b" + "\x0a\x07\x01\x05\x00\x03\x40\x0b\x0b"},
		{"behind other globals", header + "\x02\x08\x01\x01a\x01b\x03\x7f\x00" + "\x06\x06\x01\x7f\x00\x41\x05\x0b" + "\x0a\x04\x01\x02\x00\x0b",
			header + "\x02\x08\x01\x01a\x01b\x03\x7f\x00" + "\x06\x0c\x02\x7f\x00\x41\x05\x0b\x7f\x01\x41\xe8\x07\x0b" +
				"\x0a\x19\x01\x17\x00\x23\x02\x41\x01\x6b\x24\x02\x23\x02\x45\x04\x40\x41\xe8\x07\x24\x02\x03\x40\x0b\x0b\x0b"},
		{"cut short", header + "\x0a\x05\x01", header + "\x0a\x05\x01"},
		{"body too long", header + "\x0a\x03\x01\x09\x00", header + "\x0a\x03\x01\x09\x00"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := interruptible([]byte(tt.module)); !bytes.Equal(got, []byte(tt.want)) {
				t.Errorf("got  %x\nwant %x", got, tt.want)
			}
		})
	}
}

// Whatever the bytes, reading them must not panic, and a module that is read must still be one for split.
func FuzzInterruptible(f *testing.F) {
	f.Add(command("_start"))
	f.Add(recursion())
	f.Add([]byte("\x00asm\x01\x00\x00\x00\x02\x07\x01\x01a\x01b\x01\x70\x01\x00\x05"))
	f.Fuzz(func(t *testing.T, module []byte) {
		in, err := split(bytes.Clone(module))
		out, outErr := split(interruptible(module))
		if (err == nil) != (outErr == nil) || err == nil && len(out) < len(in) {
			t.Fatalf("%d sections became %d, %v", len(in), len(out), outErr)
		}
	})
}
