package wasm

import "errors"

// wazero looks whether a run is over at the head of each loop. A recursion without a loop is never stopped, and as
// compiled code can't be preempted, it also holds up this process's garbage collector: one fib(50) would stop the
// cloud. So every function gets a prologue that counts calls down in a global of its own and enters an empty loop
// every interval calls:
//
//	global.get N  i32.const 1  i32.sub  global.set N
//	global.get N  i32.eqz
//	if  i32.const interval  global.set N  loop end  end
//
// Only sections, not instructions, need to be read for that. A function that begins with a loop is left as it is.
// The prologue costs about a nanosecond a call; a check at each call would cost about sixty.

// interval is how many calls pass between two checks, as signed LEB128.
var interval = [...]byte{0xe8, 0x07} // 1000

// Section ids and opcodes of the WebAssembly binary format.
const (
	sectionCustom = 0
	sectionImport = 2
	sectionGlobal = 6
	sectionExport = 7
	sectionCode   = 10
	opLoop        = 0x03
)

var errMalformed = errors.New("malformed module")

// section is one section of a module.
type section struct {
	id      byte
	content []byte
}

// interruptible returns the module with the prologue in each of its functions. A module it can't read is returned as
// it is, for the compiler to say what is wrong with it.
func interruptible(module []byte) []byte {
	sections, err := split(module)
	if err != nil {
		return module
	}
	sections, global, err := addGlobal(sections)
	if err != nil {
		return module
	}
	out := append([]byte(nil), module[:8]...)
	for _, s := range sections {
		if s.id == sectionCode {
			if s.content, err = addPrologues(s.content, prologue(global)); err != nil {
				return module
			}
		}
		out = append(out, s.id)
		out = append(appendUint(out, uint32(len(s.content))), s.content...)
	}
	return out
}

// split cuts a module into its sections.
func split(module []byte) ([]section, error) {
	if len(module) < 8 {
		return nil, errMalformed
	}
	var sections []section
	r := reader{rest: module[8:]}
	for len(r.rest) > 0 && !r.bad {
		sections = append(sections, section{id: r.byte(), content: r.take(r.uint())})
	}
	return sections, r.err()
}

// addGlobal appends the counter to the module's globals and returns its index.
func addGlobal(sections []section) ([]section, uint32, error) {
	var imported uint32
	place := len(sections)
	for n, s := range sections {
		switch {
		case s.id == sectionImport:
			count, err := importedGlobals(s.content)
			if err != nil {
				return nil, 0, err
			}
			imported = count
		case s.id == sectionGlobal:
			r := reader{rest: s.content}
			defined := r.uint()
			sections[n].content = append(appendUint(nil, defined+1), append(r.rest, counter()...)...)
			return sections, imported + defined, r.err()
		case s.id >= sectionExport && place == len(sections):
			place = n
		}
	}
	added := section{id: sectionGlobal, content: append([]byte{1}, counter()...)}
	return append(sections[:place:place], append([]section{added}, sections[place:]...)...), imported, nil
}

// counter is the definition of a mutable i32 global that begins at interval.
func counter() []byte { return []byte{0x7f, 0x01, 0x41, interval[0], interval[1], 0x0b} }

// importedGlobals counts the globals in an import section.
func importedGlobals(content []byte) (uint32, error) {
	r := reader{rest: content}
	var globals uint32
	for count := r.uint(); count > 0 && !r.bad; count-- {
		r.take(r.uint()) // module
		r.take(r.uint()) // name
		switch r.byte() {
		case 0:
			r.uint() // type
		case 1:
			r.byte() // type of the table's elements
			r.limits()
		case 2:
			r.limits()
		case 3:
			r.take(2) // type and mutability
			globals++
		default:
			r.bad = true
		}
	}
	return globals, r.err()
}

// prologue counts down the global and enters an empty loop when it is at zero.
func prologue(global uint32) []byte {
	g := appendUint(nil, global)
	code := append([]byte{0x23}, g...)
	code = append(append(code, 0x41, 1, 0x6b, 0x24), g...)
	code = append(append(code, 0x23), g...)
	code = append(code, 0x45, 0x04, 0x40, 0x41, interval[0], interval[1], 0x24)
	return append(append(code, g...), opLoop, 0x40, 0x0b, 0x0b)
}

// addPrologues puts code at the beginning of all bodies in a code section.
func addPrologues(content, code []byte) ([]byte, error) {
	r := reader{rest: content}
	count := r.uint()
	out := appendUint(make([]byte, 0, len(content)+int(min(count, uint32(len(content))))*len(code)), count)
	for ; count > 0 && !r.bad; count-- {
		body := reader{rest: r.take(r.uint())}
		whole := body.rest
		body.locals()
		if body.bad {
			return nil, errMalformed
		}
		if len(body.rest) > 0 && body.rest[0] == opLoop {
			out = append(appendUint(out, uint32(len(whole))), whole...)
			continue
		}
		out = appendUint(out, uint32(len(whole)+len(code)))
		out = append(out, whole[:len(whole)-len(body.rest)]...)
		out = append(append(out, code...), body.rest...)
	}
	return append(out, r.rest...), r.err()
}

// reader reads the binary format. What does not fit sets bad and reads as zero.
type reader struct {
	rest []byte
	bad  bool
}

func (r *reader) err() error {
	if r.bad {
		return errMalformed
	}
	return nil
}

func (r *reader) byte() byte {
	b := r.take(1)
	if r.bad {
		return 0
	}
	return b[0]
}

func (r *reader) take(n uint32) []byte {
	if r.bad || uint64(n) > uint64(len(r.rest)) {
		r.bad = true
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

// uint reads an unsigned LEB128 number of 32 bits.
func (r *reader) uint() uint32 {
	var v uint64
	for shift := 0; shift < 35; shift += 7 {
		b := r.byte()
		v |= uint64(b&0x7f) << shift
		if b < 0x80 {
			r.bad = r.bad || v > 1<<32-1
			return uint32(v)
		}
	}
	r.bad = true
	return 0
}

// limits skips the limits of a table or memory.
func (r *reader) limits() {
	flags := r.byte()
	r.uint()
	if flags&1 != 0 {
		r.uint()
	}
}

// locals skips the declaration of a body's local variables.
func (r *reader) locals() {
	for groups := r.uint(); groups > 0 && !r.bad; groups-- {
		r.uint()
		r.byte()
	}
}

func appendUint(b []byte, v uint32) []byte {
	for ; v >= 0x80; v >>= 7 {
		b = append(b, byte(v)|0x80)
	}
	return append(b, byte(v))
}
