package docker

import (
	"encoding/json"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// traceID marks the messages of BuildKit in the engine's stream: a moby.buildkit.v1.StatusResponse in base64 each.
const traceID = "moby.buildkit.trace"

// Numbers of the fields that are read, from api/services/control/control.proto and solver/pb of BuildKit.
const (
	statusVertexes = 1
	statusLogs     = 3

	vertexDigest  = 1
	vertexName    = 3
	vertexCached  = 4
	vertexStarted = 5
	vertexError   = 7

	logMessage = 4
)

// trace makes readable lines of what BuildKit tells. A step is told of many times and shown once.
type trace struct {
	shown  map[string]bool
	failed string // the instruction that failed
}

func newTrace() *trace { return &trace{shown: map[string]bool{}} }

// text is what a message adds to the log: instructions as they start, or come from the cache, and what they print. What
// is no such message adds nothing.
func (t *trace) text(aux json.RawMessage) string {
	var status []byte // in JSON it is base64
	if json.Unmarshal(aux, &status) != nil {
		return ""
	}
	var out strings.Builder
	fields(status, func(number protowire.Number, value []byte, _ uint64) {
		switch number {
		case statusVertexes:
			out.WriteString(t.vertex(value))
		case statusLogs:
			fields(value, func(number protowire.Number, value []byte, _ uint64) {
				if number == logMessage {
					out.Write(value)
				}
			})
		}
	})
	return out.String()
}

// vertex is the line of a step that began, "" where it was shown or is BuildKit's own.
func (t *trace) vertex(vertex []byte) string {
	var digest, name string
	var began, cached, broken bool
	fields(vertex, func(number protowire.Number, value []byte, n uint64) {
		switch number {
		case vertexDigest:
			digest = string(value)
		case vertexName:
			name = string(value)
		case vertexCached:
			cached = n != 0
		case vertexStarted:
			began = true
		case vertexError:
			broken = len(value) > 0
		}
	})
	instruction, is := instructionOf(name)
	if broken && is {
		t.failed = instruction
	}
	if !is || t.shown[digest] || !began && !cached {
		return ""
	}
	t.shown[digest] = true
	if cached && !strings.HasPrefix(instruction, "FROM ") {
		return instruction + " (as before)\n"
	}
	return instruction + "\n"
}

// instructionOf is the instruction in the name of a step as "[2/3] RUN make" or "[stage 2/3] RUN make".
func instructionOf(name string) (string, bool) {
	if !strings.HasPrefix(name, "[") || strings.HasPrefix(name, "[internal]") {
		return "", false
	}
	_, instruction, found := strings.Cut(name, "] ")
	if image, is := strings.CutPrefix(instruction, "FROM docker.io/"); is { // as it was written
		instruction = "FROM " + strings.TrimPrefix(image, "library/")
	}
	return instruction, found
}

// fields calls see with each field of a message: bytes, or a number. A message that is cut off ends it.
func fields(message []byte, see func(number protowire.Number, value []byte, n uint64)) {
	for len(message) > 0 {
		number, kind, size := protowire.ConsumeTag(message)
		if size < 0 {
			return
		}
		message = message[size:]
		var value []byte
		var n uint64
		switch kind {
		case protowire.BytesType:
			value, size = protowire.ConsumeBytes(message)
		case protowire.VarintType:
			n, size = protowire.ConsumeVarint(message)
		default:
			size = protowire.ConsumeFieldValue(number, kind, message)
		}
		if size < 0 {
			return
		}
		message = message[size:]
		see(number, value, n)
	}
}
