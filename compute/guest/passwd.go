//go:build linux

package guest

import (
	"io"
	"os"
	"strings"
)

const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// account is what /etc/passwd says of root, or what is usual where it says nothing.
type account struct {
	home  string
	shell string // "": the image has none
}

// lookupRoot reads the account database. Never called by PID 1: the file may be anything.
func lookupRoot(path string) account {
	a := account{home: "/root"}
	if f, err := os.Open(path); err == nil {
		defer f.Close()
		text, _ := io.ReadAll(io.LimitReader(f, 1<<20)) // what can be read decides
		a = parsePasswd(string(text), a)
	}
	for _, shell := range []string{a.shell, "/bin/bash", "/bin/sh", "/busybox/sh"} {
		if isProgram(shell) {
			a.shell = shell
			return a
		}
	}
	a.shell = ""
	return a
}

func parsePasswd(text string, a account) account {
	for line := range strings.Lines(text) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), ":")
		if len(f) < 7 || f[0] != "root" {
			continue
		}
		if f[5] != "" {
			a.home = f[5]
		}
		a.shell = f[6]
		return a
	}
	return a
}

func isProgram(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// setEnv gives this process root's variables.
func (a account) setEnv() {
	set := map[string]string{"HOME": a.home, "USER": "root", "LOGNAME": "root"}
	if a.shell != "" {
		set["SHELL"] = a.shell
	}
	if os.Getenv("PATH") == "" {
		set["PATH"] = defaultPath
	}
	for name, value := range set {
		os.Setenv(name, value) // fails for impossible names only
	}
}
