package apitest

import (
	"bytes"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
	"golang.org/x/crypto/ssh"
)

func run(t *testing.T, module []byte, stdin string) (string, error) {
	t.Helper()
	ctx := t.Context()
	r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter())
	defer r.Close(ctx)
	wasi_snapshot_preview1.MustInstantiate(ctx, r)
	var out bytes.Buffer
	_, err := r.InstantiateWithConfig(ctx, module, wazero.NewModuleConfig().WithStdin(strings.NewReader(stdin)).WithStdout(&out))
	return out.String(), err
}

func TestEcho(t *testing.T) {
	for _, in := range []string{"", "hello", strings.Repeat("0123456789", 20_000)} {
		if out, err := run(t, Echo(), in); err != nil || out != in {
			t.Errorf("the echo of %d bytes has %d: %v", len(in), len(out), err)
		}
	}
}

func TestTrap(t *testing.T) {
	if _, err := run(t, Trap(), ""); err == nil || !strings.Contains(err.Error(), "unreachable") {
		t.Errorf("the trap ends with %v", err)
	}
}

func TestPublicKey(t *testing.T) {
	if _, _, _, _, err := ssh.ParseAuthorizedKey([]byte(publicKey)); err != nil {
		t.Error(err)
	}
}
