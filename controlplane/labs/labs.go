// Package labs holds the sample programs that labs and the demo run, so that they need no source tree.
package labs

import (
	"embed"
	"io/fs"
	"os"

	"nuage/api"
)

//go:embed guestbook
var samples embed.FS

// Samples returns the sample programs, one folder each. guestbook holds the same program four times: iaas (for a
// machine, with its install.sh), app (with a Dockerfile), function (an HTTP handler) and greeting (greeting.wasm and its source).
func Samples() fs.FS { return samples }

// Export writes the samples below dir, which is made where it is missing. Conflict: a sample's file is there already,
// which is left as it is. Unavailable: dir cannot be written.
func Export(dir string) error {
	err := os.CopyFS(dir, samples)
	if os.IsExist(err) {
		return api.Errorf(api.Conflict, "cannot write the samples to %q: they are there; remove them or give another folder: %w", dir, err)
	}
	if err != nil {
		return api.Errorf(api.Unavailable, "cannot write the samples to %q: %w", dir, err)
	}
	return nil
}
