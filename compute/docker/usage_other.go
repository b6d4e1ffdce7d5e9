//go:build !unix

package docker

// diskUsage cannot read an engine's volumes on this system.
func diskUsage(string) (int64, bool) { return 0, false }
