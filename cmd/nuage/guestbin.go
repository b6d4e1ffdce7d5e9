package main

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"runtime"
)

//go:embed guestbin
var guestFiles embed.FS

// guestBinary is the guest for containers on this machine and what distinguishes it from other builds; nil where this
// build has none.
func guestBinary() (binary []byte, version string) {
	binary, err := guestFiles.ReadFile("guestbin/nuage-guest-" + runtime.GOARCH)
	if err != nil {
		return nil, ""
	}
	sum := sha256.Sum256(binary)
	return binary, hex.EncodeToString(sum[:6])
}
