package rest

import (
	"embed"
	"fmt"
)

// The documentation page renders /openapi.json by itself: nothing comes from the net.
//
//go:embed docs
var docFiles embed.FS

// contentPolicy lets a page use what this address serves and nothing else.
const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

func (f *face) docs() error {
	for _, p := range []struct{ path, file, mediaType string }{
		{"/docs", "docs/index.html", "text/html; charset=utf-8"},
		{"/docs/page.js", "docs/page.js", "text/javascript; charset=utf-8"},
		{"/docs/page.css", "docs/page.css", "text/css; charset=utf-8"},
	} {
		content, err := docFiles.ReadFile(p.file)
		if err != nil {
			return fmt.Errorf("cannot read the page %s: %w", p.file, err)
		}
		f.page(p.path, p.mediaType, content)
	}
	return nil
}
