// Command echo stands in for the guest: it says "ready" on stderr and answers each line of stdin. It copies volumes as the guest does.
package main

import (
	"bufio"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"nuage/compute/guest/disk"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "copy" {
		os.Exit(disk.Main(os.Args[2:], os.Stderr))
	}
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	go func() {
		<-term
		os.Exit(0)
	}()
	fmt.Fprintln(os.Stderr, "ready")
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		if in.Text() == "args" {
			fmt.Printf("%q\n", os.Args)
			continue
		}
		fmt.Println("echo: " + in.Text())
	}
}
