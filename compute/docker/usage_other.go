//go:build !unix

package docker

import "context"

// diskUsage cannot read an engine's volumes on this system.
func diskUsage(context.Context, string) (int64, bool) { return 0, false }

func deviceOf(string) (major, minor uint32, ok bool) { return 0, 0, false }
