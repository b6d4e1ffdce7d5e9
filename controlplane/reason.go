package controlplane

import (
	"fmt"
	"strings"
	"time"

	"nuage/api"
	"nuage/compute/guest/link"
)

// leavingText says what is left to do of an instance's deletion, and what keeps it.
func (w *world) leavingText(i api.Instance) string {
	text := "removing the container"
	if at := w.machines[i.ID].Reclaim; at != nil && !i.DeletedAt.Before(*at) {
		text = "taken back, as its notice said; removing the container"
	}
	if t, troubled := w.trouble[i.ID]; troubled {
		text += ": " + t.reason()
	}
	return text
}

// runningText says of a machine that runs why it does, and what its owner should know.
func (w *world) runningText(i api.Instance) string {
	m, g := w.machines[i.ID], w.guests[i.ID]
	facts := []string{orElse(w.tracks[i.ID].Reason, w.loginText(i))}
	if m.UserData == link.UserDataFailed {
		facts = append(facts, fmt.Sprintf("user data %s, see `nuage instance console %s`", userDataText(m), i.Name))
	}
	if g.oomKills > 0 {
		facts = append(facts, killedText(g.oomKills, m.OOM, i.Name))
	}
	return strings.Join(facts, "; ")
}

// loginText says who can reach the SSH server, which answers.
func (w *world) loginText(i api.Instance) string {
	switch {
	case !w.opens(i, 22):
		return "its guest is ready; no security group of it lets SSH in"
	case i.Spec.Private:
		return "SSH answers in its network; it is private"
	}
	return "SSH answers"
}

// opens tells that an instance's groups let somebody in at a TCP port.
func (w *world) opens(i api.Instance, port int) bool {
	for _, r := range w.firewall(i) {
		if r.Protocol == "all" || r.Protocol == "tcp" && r.FromPort <= port && port <= r.ToPort {
			return true
		}
	}
	return false
}

// userDataText is how user data ended.
func userDataText(m machine) string {
	if m.UserData == link.UserDataFailed && m.Note != "" {
		return "failed: " + m.Note
	}
	return fmt.Sprintf("%s, exit status %d", m.UserData, m.Exit)
}

// killedText says that a machine is too small for what runs on it.
func killedText(kills int, last *time.Time, name string) string {
	at := ""
	if last != nil {
		at = ", last at " + clockText(*last)
	}
	return fmt.Sprintf("the kernel killed %s for want of memory%s; a larger type has more (nuage instance resize %s --type T)", processesText(kills), at, name)
}

func processesText(n int) string {
	if n == 1 {
		return "1 process"
	}
	return fmt.Sprintf("%d processes", n)
}
