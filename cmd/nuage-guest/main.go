//go:build linux

// Command nuage-guest is PID 1 inside what nuage runs. See package compute/guest.
package main

import (
	"fmt"
	"os"

	"nuage/compute/guest"
	"nuage/compute/guest/disk"
	"nuage/compute/guest/sandbox"
)

// version may be set by the linker.
var version = "1.0"

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	if len(args) == 0 {
		return usage()
	}
	switch args[0] {
	case "machine": // PID 1 of an instance
		return guest.Main(version, args[1:])
	case "sandbox": // PID 1 of a function's sandbox
		return sandbox.Main(args[1:], guest.Enclose)
	case "copy": // of a volume, alone in a container
		return disk.Main(args[1:], os.Stderr)
	case "version":
		fmt.Println("nuage-guest", version)
		return 0
	case "run-limited": // the rest is for the guest's own children
		return guest.RunLimited(args[1:])
	case "scripts":
		return guest.RunScripts("/")
	case "user-data":
		return guest.RunUserData(guest.UserDataPath)
	case "sftp":
		return guest.RunSFTP()
	}
	return usage()
}

func usage() int {
	fmt.Fprintln(os.Stderr, "usage: nuage-guest machine -- ENTRYPOINT CMD... | sandbox -- COMMAND... | version")
	return 2
}
