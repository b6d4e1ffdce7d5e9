package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"nuage/api"
)

func (c *cli) sshCmd() *cobra.Command {
	var identity, user string
	cmd := &cobra.Command{
		Use:   "ssh NAME [-- CMD...]",
		Short: "Log in to an instance, or run a command there, with your OpenSSH",
		Long: "Log in to an instance, or run a command there, with the OpenSSH client of this laptop. The host key the cloud knows is\n" +
			"checked, so there is no question to answer. Several words keep their boundaries, one word is a shell line. The exit\n" +
			"status is the command's. nuage instance show prints what any other client needs.",
		Example:           lines("nuage ssh vm", "nuage ssh vm -- uname -a", `nuage ssh vm -- "cd /srv && ls | wc -l"`),
		Args:              takes(1, -1),
		ValidArgsFunction: c.instances().complete(c),
		RunE: c.inCloud(func(ctx context.Context, s session, args []string) error {
			i, err := s.cloud.Instances.Get(ctx, s.project, args[0])
			if err != nil {
				return err
			}
			if err := c.checkWay(ctx, s, i); err != nil {
				return err
			}
			words, err := c.sshWords(i, user, identity)
			if err != nil {
				return err
			}
			return c.runSSH(append(words, remoteCommand(args[1:])...))
		}),
	}
	cmd.Flags().StringVarP(&identity, "identity", "i", "", "file of the private key; default: the one nuage made, else those ssh finds")
	cmd.Flags().StringVarP(&user, "login", "l", "root", "who to log in as")
	return cmd
}

// sshWords are the arguments for ssh up to and with the host.
func (c *cli) sshWords(i api.Instance, user, identity string) ([]string, error) {
	hosts, err := c.knownHosts(i)
	if err != nil {
		return nil, err
	}
	words := []string{"-F", "none", "-p", strconv.Itoa(i.Status.SSH.Port), "-l", user,
		"-o", "HostKeyAlias=" + i.ID, "-o", "UserKnownHostsFile=" + hosts, "-o", "GlobalKnownHostsFile=none",
		"-o", "StrictHostKeyChecking=yes", "-o", "UpdateHostKeys=no", "-o", "LogLevel=ERROR", "-o", "ConnectTimeout=15", "-o", "ServerAliveInterval=15"}
	if identity == "" {
		identity, err = c.ownIdentity(i)
	}
	if identity != "" {
		words = append(words, "-i", identity, "-o", "IdentitiesOnly=yes")
	}
	return append(words, i.Status.SSH.Host), err
}

// ownIdentity is the file of the instance's private key, or "" where it is not kept here.
func (c *cli) ownIdentity(i api.Instance) (string, error) {
	path, err := c.keyPath(i.Project, i.Spec.Key)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(path); err != nil {
		return "", nil //nolint:nilerr // ssh looks for keys by itself then
	}
	return path, nil
}

// knownHosts writes the instance's host key where ssh can check it and returns the file.
func (c *cli) knownHosts(i api.Instance) (string, error) {
	home, err := c.ensureHome()
	if err != nil {
		return "", err
	}
	path := filepath.Join(home, "keys", "known_hosts", i.ID)
	err = os.MkdirAll(filepath.Dir(path), 0o700)
	if err == nil {
		err = writeFile(path, []byte(i.ID+" "+strings.TrimSpace(i.Status.HostKey)+"\n"), 0o600)
	}
	if err != nil {
		return "", api.Errorf(api.Unavailable, "cannot note the host key of instance %q: %w", i.Name, err)
	}
	return path, nil
}

// remoteCommand is what ssh gets: it joins words with blanks, so several words are quoted to keep their boundaries.
func remoteCommand(words []string) []string {
	if len(words) == 0 {
		return nil
	}
	if len(words) == 1 {
		return []string{"--", words[0]}
	}
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
	}
	return []string{"--", strings.Join(quoted, " ")}
}

// runSSH runs ssh with this program's streams. It is not tied to Ctrl-C: ssh has the terminal and deals with it.
func (c *cli) runSSH(words []string) error {
	path, err := exec.LookPath("ssh")
	if err != nil {
		return api.Errorf(api.Unavailable, "cannot find ssh on this laptop: install OpenSSH's client, or use nuage instance exec")
	}
	cmd := exec.Command(path, words...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.in, c.out, c.err
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() >= 0 {
		return exitStatus(exit.ExitCode())
	}
	if err != nil {
		return api.Errorf(api.Unavailable, "cannot run ssh: %w", err)
	}
	return nil
}
