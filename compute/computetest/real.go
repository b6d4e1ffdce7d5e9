package computetest

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"nuage/api"
	"nuage/compute"
)

func netAddr(a [4]byte) string { return netip.AddrFrom4(a).String() }

func (s *suite) real(t *testing.T) {
	t.Helper()
	if !s.Real {
		t.Skip("nothing really runs in this engine")
	}
}

// ended waits until a workload has ended.
func (s *suite) ended(t *testing.T, id string) compute.Observed {
	t.Helper()
	eventually(t, id+" has ended", func() bool { return s.one(t, id).State == compute.StateExited })
	return s.one(t, id)
}

func exits(t *testing.T, s *suite) {
	s.real(t)
	w := s.workload("w")
	w.Command = s.Shell("exit 3")
	s.started(t, w)
	if o := s.ended(t, "w"); o.ExitCode != 3 || o.OOMKilled || o.FinishedAt.IsZero() {
		t.Errorf("it ended with status 3 and is %+v", o)
	}
	w = s.workload("greedy")
	w.Limits.MemoryBytes = 16 << 20
	w.Command = s.Shell("sleep 1; x=a; while :; do x=$x$x; done") // the engine needs a moment to watch for it
	s.started(t, w)
	if o := s.ended(t, "greedy"); !o.OOMKilled || o.ExitCode != 137 {
		t.Errorf("it was out of memory and is %+v", o)
	}
	w = s.workload("polite")
	w.Command = s.Shell("trap 'exit 7' TERM; echo up; while :; do sleep 0.1; done")
	s.started(t, w)
	if l, is := s.Engine.(compute.Logger); is {
		eventually(t, "it is up", func() bool { return s.log(t, l, "polite", 0) == "up\n" })
		ok(t, s.Stop(t.Context(), "polite", patience))
		same(t, s.one(t, "polite").ExitCode, 7)
	}
	w = s.workload("unrunnable")
	w.Entrypoint, w.Command = []string{"/no/such/program"}, nil
	s.made(t, w)
	code(t, s.Start(t.Context(), "unrunnable"), api.Invalid, "")
}

func logs(t *testing.T, s *suite) {
	e := ability[compute.Logger](t, s)
	ctx := bounded(t)
	w := s.workload("w")
	w.Command = s.Shell("echo one; sleep 0.2; echo two >&2; sleep 0.2; echo three")
	s.started(t, w)
	eventually(t, "three lines are kept", func() bool { return s.log(t, e, "w", 0) == "one\ntwo\nthree\n" })
	same(t, s.log(t, e, "w", 1), "three\n")
	w = s.workload("follow")
	w.Command = s.Shell("for i in 1 2 3; do echo $i; sleep 0.1; done")
	s.started(t, w)
	r, err := e.Logs(ctx, "follow", compute.LogQuery{Follow: true})
	ok(t, err)
	all, err := io.ReadAll(r)
	ok(t, err)
	ok(t, r.Close())
	same(t, string(all), "1\n2\n3\n")
	s.stamped(t, e)
	_, err = e.Logs(ctx, "none", compute.LogQuery{})
	code(t, err, api.NotFound, "")
}

// stamped reads on from a moment: a line cut in parts has one stamp, and what was printed before is not in it.
func (s *suite) stamped(t *testing.T, e compute.Logger) {
	t.Helper()
	w := s.workload("stamped")
	w.Command = s.Shell("echo one; head -c 40000 /dev/zero | tr '\\0' x; echo; echo three")
	s.started(t, w)
	var all string
	eventually(t, "three lines are kept", func() bool {
		all = s.read(t, e, "stamped", compute.LogQuery{Stamped: true})
		return strings.HasSuffix(all, " three\n")
	})
	lines := strings.Split(all, "\n")
	first, _, _ := strings.Cut(lines[0], " ")
	_, long, _ := strings.Cut(lines[1], " ")
	same(t, len(long), 40000)
	at, err := time.Parse(time.RFC3339Nano, first)
	ok(t, err)
	rest := s.read(t, e, "stamped", compute.LogQuery{Since: at.Add(1)})
	same(t, strings.Trim(rest, "x"), "\nthree\n")
}

func (s *suite) log(t *testing.T, e compute.Logger, id string, tail int) string {
	t.Helper()
	return s.read(t, e, id, compute.LogQuery{Tail: tail})
}

func (s *suite) read(t *testing.T, e compute.Logger, id string, q compute.LogQuery) string {
	t.Helper()
	r, err := e.Logs(t.Context(), id, q)
	ok(t, err)
	all, err := io.ReadAll(r)
	ok(t, err)
	ok(t, r.Close())
	return string(all)
}

func execs(t *testing.T, s *suite) {
	e := ability[compute.Execer](t, s)
	ctx := bounded(t)
	s.started(t, s.workload("w"))
	var out, errs bytes.Buffer
	status, err := e.Exec(ctx, "w", compute.Process{
		Command: s.Shell(`cat; echo "$A $B" >&2; pwd; exit 5`), Env: []string{"B=2"}, WorkDir: "/tmp",
		Stdin: strings.NewReader("in\n"), Stdout: &out, Stderr: &errs,
	})
	ok(t, err)
	same(t, []string{out.String(), errs.String(), strconv.Itoa(status)}, []string{"in\n/tmp\n", "1 2\n", "5"})
	out.Reset()
	status, err = e.Exec(ctx, "w", compute.Process{Command: s.Shell("stty size; test -t 1"), TTY: true, Rows: 33, Cols: 101, Stdout: &out})
	ok(t, err)
	same(t, status, 0)
	_, err = e.Exec(ctx, "none", compute.Process{Command: s.Shell("true")})
	code(t, err, api.NotFound, "")
	ok(t, s.Stop(ctx, "w", 0))
	_, err = e.Exec(ctx, "w", compute.Process{Command: s.Shell("true")})
	code(t, err, api.Conflict, `cannot run a command in "w": it does not run`)
	ok(t, s.Start(ctx, "w"))
	short, cancel := context.WithCancel(ctx)
	cancel()
	_, err = e.Exec(short, "w", compute.Process{Command: s.Sleep})
	code(t, err, api.Unavailable, "")
	if !errors.Is(err, context.Canceled) {
		t.Errorf("the cause is hidden: %v", err)
	}
}

// attach: the channel to a guest carries lines both ways, can be opened again, and is not in the log.
func attach(t *testing.T, s *suite) {
	e := ability[compute.Attacher](t, s)
	if !s.Echo {
		t.Skip("the engine has no echoing guest")
	}
	ctx := bounded(t)
	w := s.workload("w")
	w.Guest = compute.GuestMachine
	s.made(t, w)
	_, err := e.Attach(ctx, "w")
	code(t, err, api.Conflict, `cannot attach to "w": it does not run`)
	ok(t, s.Start(ctx, "w"))
	for _, line := range []string{"one", "two"} {
		c, err := e.Attach(ctx, "w")
		ok(t, err)
		_, err = io.WriteString(c, line+"\n")
		ok(t, err)
		answer, err := bufio.NewReader(c).ReadString('\n')
		ok(t, err)
		same(t, answer, "echo: "+line+"\n")
		ok(t, c.Close())
	}
	if l, is := s.Engine.(compute.Logger); is {
		eventually(t, "the log is stderr", func() bool { return s.log(t, l, "w", 0) == "ready\n" })
	}
	c, err := e.Attach(ctx, "w")
	ok(t, err)
	ok(t, s.Stop(ctx, "w", 0))
	rest, err := io.ReadAll(c)
	ok(t, err)
	same(t, string(rest), "")
	ok(t, c.Close())
	_, err = e.Attach(ctx, "none")
	code(t, err, api.NotFound, "")
	s.started(t, s.workload("plain"))
	_, err = e.Attach(ctx, "plain")
	code(t, err, api.Unsupported, `cannot attach to "plain": it has no guest`)
	if x, is := s.Engine.(compute.Execer); is {
		_, err = x.Exec(ctx, "w", compute.Process{Command: s.Shell("true")})
		code(t, err, api.Unsupported, "")
	}
}

// endpoints: a program here reaches the workload's ports where List says.
func endpoints(t *testing.T, s *suite) {
	s.real(t)
	e := ability[compute.Networks](t, s)
	w := s.workload("w")
	w.Network, w.Ports = s.network(t, e, func(*compute.Network) {}).ID, []int{8080}
	w.Command = s.Shell("while :; do echo hello | nc -l -p 8080; done")
	s.made(t, w)
	same(t, len(s.one(t, "w").Endpoints), 0)
	ok(t, s.Start(t.Context(), "w"))
	at, is := s.one(t, "w").Endpoints[8080]
	if !is {
		t.Fatalf("no endpoint: %+v", s.one(t, "w"))
	}
	eventually(t, "it says hello", func() bool {
		c, err := net.Dial("tcp", net.JoinHostPort(at.Host, strconv.Itoa(at.Port)))
		if err != nil {
			return false
		}
		word, err := bufio.NewReader(c).ReadString('\n')
		return errors.Join(err, c.Close()) == nil && word == "hello\n"
	})
}

func builds(t *testing.T, s *suite) {
	e := ability[compute.Builder](t, s)
	if !s.Build {
		t.Skip("no builds in this engine")
	}
	ctx := t.Context()
	tag := s.cloud + "/app:1"
	b := compute.Build{Tag: tag, Owner: "app-1", Project: "default", Name: "shop"}
	var log bytes.Buffer
	run := "RUN echo built > /file; echo said # by " + s.cloud // no cache knows this line
	content := "FROM " + s.Image + "\n" + run + "\nEXPOSE 8080 53/udp\nCMD cat /file\n"
	img, err := e.Build(ctx, b, source(t, content), &log)
	ok(t, err)
	same(t, img.Ports, []int{8080})
	if !compute.IsImageID(img.ID) || !strings.HasPrefix(log.String(), "FROM "+s.Image) || !strings.Contains(log.String(), "\n"+run+"\nsaid\n") {
		t.Errorf("image %+v, log:\n%s", img, log.String())
	}
	again, err := e.Build(ctx, b, source(t, content), io.Discard)
	ok(t, err)
	same(t, again.ID, img.ID)
	w := s.workload("w")
	w.Image, w.Command = img.ID, nil
	s.started(t, w)
	s.ended(t, "w")
	if l, is := s.Engine.(compute.Logger); is {
		same(t, s.log(t, l, "w", 0), "built\n")
	}
	_, err = e.Build(ctx, b, source(t, "FROM "+s.Image+"\nRUN echo oops >&2; exit 9\n"), io.Discard)
	code(t, err, api.Invalid, `cannot build "shop": RUN echo oops >&2; exit 9: it ended with status 9`)
	_, err = e.Build(ctx, b, source(t, "FORM x\n"), io.Discard)
	code(t, err, api.Invalid, "")
	i := ability[compute.Images](t, s)
	code(t, i.RemoveImage(ctx, s.Image), api.Conflict, `cannot remove image "`+s.Image+`": this cloud did not make it`)
	ok(t, s.Remove(ctx, "w"))
	s.tags(t, i, img, tag)
	for range 2 {
		ok(t, i.RemoveImage(ctx, img.ID))
		_, err = i.Image(ctx, tag, 0)
		code(t, err, api.NotFound, "")
	}
}

// tags gives a built image another tag, which it is still there by when the first one is removed.
func (s *suite) tags(t *testing.T, i compute.Images, img compute.Image, tag string) {
	e, ctx, other := ability[compute.Tagger](t, s), t.Context(), s.cloud+"/other:1"
	for range 2 {
		ok(t, e.TagImage(ctx, img.ID, other))
	}
	ok(t, i.RemoveImage(ctx, tag))
	for _, ref := range []string{img.ID, other} {
		found, err := i.Image(ctx, ref, 0)
		ok(t, err)
		same(t, found.ID, img.ID)
	}
	code(t, e.TagImage(ctx, s.Image, other), api.Conflict, `cannot tag image "`+s.Image+`": this cloud did not make it`)
	code(t, e.TagImage(ctx, "sha256:"+strings.Repeat("0", 64), other), api.NotFound, "")
}

// source is a folder with only a Dockerfile.
func source(t *testing.T, dockerfile string) io.Reader {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	ok(t, w.WriteHeader(&tar.Header{Name: "Dockerfile", Mode: 0o644, Size: int64(len(dockerfile))}))
	_, err := io.WriteString(w, dockerfile)
	ok(t, err)
	ok(t, w.Close())
	return &b
}
