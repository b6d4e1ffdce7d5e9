package main

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
	"time"

	"nuage/storage"
)

// dockerCLI runs the engine's own command line and returns what it printed.
func dockerCLI(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command("docker", args...).Output()
	if err != nil {
		detail := ""
		if exit, ok := err.(*exec.ExitError); ok {
			detail = string(exit.Stderr)
		}
		t.Fatalf("docker %s: %v %s", strings.Join(args, " "), err, detail)
	}
	return strings.TrimSpace(string(out))
}

// container is what these tests look at of one that the engine has.
type container struct {
	ID    string `json:"Id"`
	Name  string
	State struct {
		Running               bool
		Pid                   int
		StartedAt, FinishedAt time.Time
	}
	Config     struct{ Labels map[string]string }
	HostConfig struct {
		Privileged                          bool
		CapAdd, CapDrop, SecurityOpt, Binds []string
		Memory, MemorySwap                  int64
		CPUPeriod, CPUQuota                 int64
		PidsLimit                           int64
		NetworkMode, PidMode, IpcMode       string
		PortBindings                        map[string][]struct{ HostIP string }
	}
	Mounts          []struct{ Type, Source, Destination string }
	NetworkSettings struct {
		Networks map[string]struct{ IPAddress string }
	}
}

func (k container) id() string   { return k.Config.Labels["nuage.id"] }
func (k container) kind() string { return k.Config.Labels["nuage.kind"] }

// address is the one the container has in its network.
func (k container) address() string {
	for _, n := range k.NetworkSettings.Networks {
		return n.IPAddress
	}
	return ""
}

// containers looks at all the cloud has, or at what carries the further labels.
func (c *liveCloud) containers(t *testing.T, labels ...string) []container {
	t.Helper()
	args := []string{"ps", "--all", "--quiet", "--no-trunc", "--filter", "label=nuage.cloud=" + c.id, "--filter", "label=nuage.template"}
	for _, l := range labels {
		args = append(args, "--filter", "label="+l)
	}
	ids := strings.Fields(dockerCLI(t, args...))
	if len(ids) == 0 {
		return nil
	}
	// One may vanish meanwhile: inspect prints the others and fails.
	out, err := exec.Command("docker", append([]string{"inspect"}, ids...)...).Output()
	var found []container
	if json.Unmarshal(out, &found) != nil {
		t.Fatalf("docker inspect: %v", err)
	}
	return found
}

// only looks at the one container of a workload.
func (c *liveCloud) only(t *testing.T, id string) container {
	t.Helper()
	found := c.containers(t, "nuage.id="+id)
	if len(found) != 1 {
		t.Fatalf("workload %s has %d containers, want 1", id, len(found))
	}
	return found[0]
}

// storageHolder is the process that holds a home.
func storageHolder(home string) (int, error) {
	h, err := storage.ReadHolder(statePath(home))
	return h.PID, err
}
