// Command guest is the sandbox's half of nuage-guest alone, for tests.
package main

import (
	"os"

	"nuage/compute/guest/sandbox"
)

func main() { os.Exit(sandbox.Main(os.Args[2:])) }
