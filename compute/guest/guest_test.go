//go:build linux

package guest

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"nuage/api"
	"nuage/compute/guest/link"
)

func TestIsBareShell(t *testing.T) {
	bare := []string{"", "sh", "/bin/sh", "bash", "/bin/bash -l", "/usr/bin/zsh --login", "busybox sh", "ash -il", "fish"}
	busy := []string{"nginx -g daemon", "sh -c x", "/bin/bash /start.sh", "python3", "busybox", "busybox httpd", "shell", "bash -c"}
	for _, c := range bare {
		if !isBareShell(strings.Fields(c)) {
			t.Errorf("%q is taken for a service", c)
		}
	}
	for _, c := range busy {
		if isBareShell(strings.Fields(c)) {
			t.Errorf("%q is taken for a bare shell", c)
		}
	}
}

func (r rule) String() string {
	return fmt.Sprintf("%s %d-%d from %v", r.protocol, r.from, r.to, r.sources)
}

func (s span) String() string { return s.first.String() + "-" + s.last.String() }

func TestParseRules(t *testing.T) {
	cases := []struct {
		rule link.Rule
		want string
	}{
		{link.Rule{Protocol: "tcp", FromPort: 22, Sources: []string{"0.0.0.0/0"}}, "tcp 22-22 from [0.0.0.0-255.255.255.255]"},
		{link.Rule{Protocol: "udp", FromPort: 1, ToPort: 9, Sources: []string{"10.0.0.7", "::/0"}}, "udp 1-9 from [10.0.0.7-10.0.0.7 ::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]"},
		{link.Rule{Protocol: "tcp", Sources: []string{"10.1.0.0/16", "10.0.0.0/16", "10.1.2.0/24", "10.9.0.1/16", "10.1.0.0/15"}}, "tcp 0-0 from [10.0.0.0-10.1.255.255 10.9.0.0-10.9.255.255]"},
		{link.Rule{Protocol: "icmp", FromPort: 8, Sources: []string{"192.168.0.0/17", "192.168.128.0/17"}}, "icmp 0-0 from [192.168.0.0-192.168.255.255]"},
		{link.Rule{Protocol: "all", Sources: []string{"::ffff:10.0.0.1", "255.255.255.255"}}, "all 0-0 from [10.0.0.1-10.0.0.1 255.255.255.255-255.255.255.255]"},
		{link.Rule{Protocol: "tcp", FromPort: 80}, "tcp 80-80 from []"},
		{link.Rule{Protocol: "sctp"}, `cannot use protocol "sctp" in a firewall rule: use tcp, udp, icmp or all`},
		{link.Rule{Protocol: "tcp", FromPort: 9, ToPort: 8}, "cannot use ports 9-8 in a firewall rule: give 1 to 65535, the lower one first"},
		{link.Rule{Protocol: "tcp", FromPort: 65536}, "cannot use ports 65536-65536 in a firewall rule: give 1 to 65535, the lower one first"},
		{link.Rule{Protocol: "tcp", Sources: []string{"everyone"}}, `cannot use "everyone" in a firewall rule: give an address or a range as 10.0.0.0/8`},
	}
	for _, c := range cases {
		rules, err := parseRules([]link.Rule{c.rule})
		got := strings.Trim(fmt.Sprint(rules), "[]") + "]"
		if err != nil {
			got = err.Error()
			if api.CodeOf(err) != api.Invalid {
				t.Errorf("%+v: code %s", c.rule, api.CodeOf(err))
			}
		} else if len(rules) == 1 {
			got = rules[0].String()
		}
		if got != c.want {
			t.Errorf("%+v:\n%s\nwant\n%s", c.rule, got, c.want)
		}
	}
}

func TestWithout(t *testing.T) {
	for _, c := range []struct{ all, taken, want string }{
		{"10.0.0.0/8", "", "[10.0.0.0-10.255.255.255]"},
		{"10.0.0.0/8", "10.0.0.0 10.8.0.1 10.8.0.3 10.255.255.255 11.0.0.0/8", "[10.0.0.1-10.8.0.0 10.8.0.2-10.8.0.2 10.8.0.4-10.255.255.254]"},
		{"10.0.0.0/8 10.16.0.0/12", "0.0.0.0/0", "[]"},
		{"10.0.0.0/24 10.0.2.0/24", "10.0.0.128/25 10.0.1.0/24 10.0.2.0/29", "[10.0.0.0-10.0.0.127 10.0.2.8-10.0.2.255]"},
		{"0.0.0.0/0 ::/0", "224.0.0.0/4 255.255.255.255 fe80::/10", "[0.0.0.0-223.255.255.255 240.0.0.0-255.255.255.254 ::-fe7f:ffff:ffff:ffff:ffff:ffff:ffff:ffff fec0::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]"},
	} {
		all, err := parseRanges(strings.Fields(c.all))
		if err != nil {
			t.Fatal(err)
		}
		taken, err := parseRanges(strings.Fields(c.taken))
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(all.without(taken)); got != c.want {
			t.Errorf("%s without %s: %s; want %s", c.all, c.taken, got, c.want)
		}
	}
}

func TestRing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRing("b", time.Now)
		for range ringSize + 10 {
			r.add(link.Event{Type: link.EventBooted})
		}
		got := r.after(t.Context(), link.Cursor{Boot: "b", Seq: 3})
		if len(got) != ringSize+1 || got[0].Type != link.EventLost || got[0].Status != 7 || got[0].Seq != 10 || got[1].Seq != 11 {
			t.Errorf("%d events, first %+v", len(got), got[0])
		}
		if got := r.after(t.Context(), got[len(got)-2].Cursor); len(got) != 1 || got[0].Seq != ringSize+10 {
			t.Errorf("behind the last but one: %+v", got)
		}
		if got := r.after(t.Context(), link.Cursor{Boot: "another", Seq: 2000}); got[1].Seq != 11 {
			t.Errorf("a cursor of another boot: %+v", got[0])
		}
		go func() {
			time.Sleep(time.Hour)
			r.add(link.Event{Type: link.EventOOM})
		}()
		if got := r.after(t.Context(), link.Cursor{Boot: "b", Seq: ringSize + 10}); len(got) != 1 || got[0].Type != link.EventOOM {
			t.Errorf("after waiting: %+v", got)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if got := r.after(ctx, link.Cursor{Boot: "b", Seq: ringSize + 11}); len(got) != 0 {
			t.Errorf("after the end: %+v", got)
		}
	})
}

type stuck struct{ free chan struct{} }

func (s stuck) Write(p []byte) (int, error) {
	<-s.free
	return len(p), nil
}

func TestConsole(t *testing.T) {
	start := time.Unix(100, 0)
	times := []time.Time{start, start.Add(1500 * time.Millisecond), start.Add(2 * time.Second), start.Add(3 * time.Second)}
	now := func() time.Time {
		first := times[0]
		times = times[1:]
		return first
	}
	var out bytes.Buffer
	c := newConsole(&out, now)
	c.printf("up %d", 1)
	c.copy("sh", strings.NewReader("one\r\ntwo"))
	c.close()
	if want := "[  1.500] up 1\n[  2.000] sh: one\n[  3.000] sh: two\n"; out.String() != want {
		t.Errorf("got %q; want %q", &out, want)
	}
}

func TestConsoleNeverBlocks(t *testing.T) {
	w := stuck{make(chan struct{})}
	c := newConsole(w, time.Now)
	for range 5000 {
		c.printf("x")
	}
	if c.dropped == 0 {
		t.Error("nothing was dropped")
	}
	close(w.free)
	c.close()
}

func TestUsers(t *testing.T) {
	root := t.TempDir() + "/"
	write := func(path, text string, mode os.FileMode) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(root+path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(root+path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	show := func(a account, err error) string {
		if err != nil {
			return err.Error()
		}
		return fmt.Sprintf("%s %d:%d %v %s %s", a.name, a.uid, a.gid, a.groups, a.home, a.shell)
	}
	u := users{root}
	if got, want := show(u.superuser(), nil), "root 0:0 [] /root "; got != want {
		t.Errorf("in an empty image: %q; want %q", got, want)
	}
	write("bin/sh", "", 0o755)
	write("bin/fish", "", 0o755)
	write("etc/passwd", "# comment\nroot:x:0:0:root:/var/root:/bin/fish\nweb:x:101:102:Web:/srv:/bin/false\n", 0o644)
	write("etc/group", "root:x:0:\nweb:x:102:\nssl:x:103:db,web\nwebs:x:104:webber\n", 0o644)
	if got, want := show(u.superuser(), nil), "root 0:0 [] /var/root /bin/fish"; got != want {
		t.Errorf("root: %q; want %q", got, want)
	}
	cases := map[string]string{
		"web":     "web 101:102 [102 103] /srv /bin/false",
		"101":     "web 101:102 [102 103] /srv /bin/false",
		"web:ssl": "web 101:103 [103] /srv /bin/false",
		"7:8":     "7 7:8 [8] / ",
		"nobody":  `cannot run as user "nobody": the image has no such user`,
		"web:no":  `cannot run as group "no": the image has no such group`,
	}
	for text, want := range cases {
		if got := show(u.lookup(text)); got != want {
			t.Errorf("%s: %q; want %q", text, got, want)
		}
	}
}

func TestLastWins(t *testing.T) {
	got := lastWins([]string{"A=1", "B=2", "broken", "A=3", "C=", "B=4"})
	if want := []string{"A=3", "C=", "B=4"}; !slices.Equal(got, want) {
		t.Errorf("got %q; want %q", got, want)
	}
}

func TestWatchOOM(t *testing.T) {
	for _, name := range []string{"memory.events", "memory/memory.oom_control"} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			count := func(n int) {
				if err := os.WriteFile(path, fmt.Appendf(nil, "oom_kill_disable 0\noom_kill %d\n", n), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			count(4)
			root := strings.TrimSuffix(path, "/"+name)
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				var got []int
				go watchOOM(ctx, root, func(n int) { got = append(got, n) })
				synctest.Wait()
				for _, n := range []int{4, 5, 5, 9} {
					count(n)
					time.Sleep(2*time.Second + time.Millisecond)
					synctest.Wait()
				}
				cancel()
				synctest.Wait()
				if diff := cmp.Diff([]int{1, 5}, got); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

func TestFromOutside(t *testing.T) {
	cases := []struct {
		name         string
		code, sender int32
		want         bool
	}{
		{"docker stop", 0, 0, true},
		{"kill inside", 0, 17, false},
		{"a made-up sender", -1, 0, false},
		{"tgkill", -6, 0, false},
	}
	for _, c := range cases {
		if got := fromOutside(c.code, c.sender); got != c.want {
			t.Errorf("%s: %t", c.name, got)
		}
	}
}

// TestFaults checks, in a process of its own, that with PID 1's signal handlers a sent SIGSEGV is nothing and a real one is
// still a Go panic.
func TestFaults(t *testing.T) {
	if os.Getenv("NUAGE_TEST_FAULTS") == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestFaults$", "-test.v")
		cmd.Env = append(os.Environ(), "NUAGE_TEST_FAULTS=1")
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "recovered: runtime error: invalid memory address or nil pointer dereference") {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	if _, err := watchStops(); err != nil {
		t.Fatal(err)
	}
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range faultSignals {
		if err := self.Signal(s); err != nil {
			t.Fatal(err)
		}
	}
	defer func() { t.Logf("recovered: %v", recover()) }()
	var nothing *Guest
	nothing.state.SSH = true
}

func TestParseLogin(t *testing.T) {
	cases := []struct {
		config link.Config
		want   string
	}{
		{link.Config{AuthorizedKeys: []link.Key{{Name: "k", Line: "junk"}}}, `cannot read key "k": give one line as in authorized_keys: ssh: no key found`},
		{link.Config{HostKey: "junk"}, "cannot read the host key: ssh: no key found"},
	}
	for _, c := range cases {
		if _, err := parseLogin(c.config); err == nil || err.Error() != c.want || api.CodeOf(err) != api.Invalid {
			t.Errorf("got %v; want %s", err, c.want)
		}
	}
}

func TestBadConfigChangesNothing(t *testing.T) {
	g := newGuest("test", nil, &bytes.Buffer{}, time.Now)
	for _, c := range []link.Config{
		{Rules: []link.Rule{{Protocol: "x"}}}, {DenyOut: []string{"x"}}, {HostKey: "x"},
	} {
		if err := g.Configure(t.Context(), c); api.CodeOf(err) != api.Invalid {
			t.Errorf("%+v: %v", c, err)
		}
	}
	if s := g.State(); s.Configured || s.Firewall != "" {
		t.Errorf("state %+v", s)
	}
}
