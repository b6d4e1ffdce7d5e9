package docker

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"nuage/compute"
)

// TestBuilders: both builders tell the same of a build, and make the same image of the same source again.
func TestBuilders(t *testing.T) {
	needEngine(t)
	for name, c := range map[string]struct {
		classic bool
		again   string // what the second build says
	}{
		"classic":  {true, "FROM nuage/tiny:1\nRUN echo said\n"},
		"buildkit": {false, "FROM nuage/tiny:1\nRUN echo said (as before)\n"},
	} {
		t.Run(name, func(t *testing.T) {
			e := open(t, Options{ClassicBuilder: c.classic})
			b := compute.Build{Tag: e.o.CloudID + "/app:1", Owner: "app-1", Project: "p", Name: "shop"}
			var first, second, broken bytes.Buffer
			was, err := e.Build(t.Context(), b, dockerfile(t, "FROM "+tiny+"\nRUN echo said\n"), &first)
			ok(t, err)
			is, err := e.Build(t.Context(), b, dockerfile(t, "FROM "+tiny+"\nRUN echo said\n"), &second)
			ok(t, err)
			if was.ID != is.ID || second.String() != c.again {
				t.Errorf("built %s, then %s, saying:\n%s\nwant:\n%s", was.ID, is.ID, &second, c.again)
			}
			_, err = e.Build(t.Context(), b, dockerfile(t, "FROM "+tiny+"\nRUN echo oops; exit 3\n"), &broken)
			const want = `cannot build "shop": RUN echo oops; exit 3: it ended with status 3`
			if err == nil || err.Error() != want || !bytes.Contains(broken.Bytes(), []byte("\noops\n")) {
				t.Errorf("a failing build answers %v, want %s; it says:\n%s", err, want, &broken)
			}
		})
	}
}

// TestTrace: steps are told once, the builder's own not at all, and a message cut off anywhere harms nothing.
func TestTrace(t *testing.T) {
	text := func(b []byte, number protowire.Number, value string) []byte {
		return protowire.AppendString(protowire.AppendTag(b, number, protowire.BytesType), value)
	}
	step := func(digest, name string, number protowire.Number) []byte {
		v := text(text(nil, vertexDigest, digest), vertexName, name)
		if number == vertexCached {
			v = protowire.AppendVarint(protowire.AppendTag(v, number, protowire.VarintType), 1)
		} else if number != 0 {
			v = text(v, number, "x")
		}
		return text(nil, statusVertexes, string(v))
	}
	kit := newTrace()
	got := ""
	for _, m := range [][]byte{
		step("a", "[internal] load remote build context", vertexStarted), step("b", "[1/2] FROM docker.io/library/debian:1", 0),
		step("b", "[1/2] FROM docker.io/library/debian:1", vertexCached), step("c", "[stage 2/2] RUN make", vertexStarted),
		text(nil, statusLogs, string(text(nil, logMessage, "made\n"))), step("c", "[stage 2/2] RUN make", vertexError), {0x0a, 0xff},
	} {
		aux, err := json.Marshal(base64.StdEncoding.EncodeToString(m))
		ok(t, err)
		got += kit.text(aux)
		for cut := range m {
			newTrace().text(json.RawMessage(`"` + base64.StdEncoding.EncodeToString(m[:cut]) + `"`))
		}
	}
	if want := "FROM debian:1\nRUN make\nmade\n"; got != want || kit.failed != "RUN make" {
		t.Errorf("the log is %q, want %q; failed is %q", got, want, kit.failed)
	}
}
