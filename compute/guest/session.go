//go:build linux

package guest

import (
	"context"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/gliderlabs/ssh"
	gossh "golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"

	"nuage/compute/guest/link"
)

// sessionContext is a connection's context that ends with one session's channel, and knows that channel.
type sessionContext struct {
	ssh.Context
	ctx     context.Context
	channel gossh.Channel
}

func (c *sessionContext) Done() <-chan struct{} { return c.ctx.Done() }

func (c *sessionContext) Err() error { return c.ctx.Err() }

// sessionChannel lets the library accept a session, and keeps what it does not show: the bare channel (its own
// Write changes line ends) and the channel's end.
type sessionChannel struct {
	gossh.NewChannel
	ctx    *sessionContext
	cancel context.CancelFunc
}

func openSession(srv *ssh.Server, conn *gossh.ServerConn, ch gossh.NewChannel, parent ssh.Context) {
	ctx, cancel := context.WithCancel(parent)
	own := &sessionContext{Context: parent, ctx: ctx}
	ssh.DefaultSessionHandler(srv, conn, &sessionChannel{ch, own, cancel}, own)
}

func (c *sessionChannel) Accept() (gossh.Channel, <-chan *gossh.Request, error) {
	ch, requests, err := c.NewChannel.Accept()
	if err != nil {
		c.cancel()
		return nil, nil, err
	}
	c.ctx.channel = ch
	passed := make(chan *gossh.Request)
	go func() {
		defer close(passed)
		defer c.cancel()
		for r := range requests {
			passed <- r
		}
	}()
	return ch, passed, nil
}

// session runs one session: a login shell, a command or the SFTP subsystem.
func (s *sshServer) session(sess ssh.Session) {
	ctx, ok := sess.Context().(*sessionContext)
	if !ok {
		return
	}
	command := sess.RawCommand()
	if sess.Subsystem() != "" {
		command = sess.Subsystem()
	}
	s.tell(ctx, link.EventSSHExec, command)
	window, sizes, tty := sess.Pty()
	signals := make(chan ssh.Signal, 16)
	sess.Signals(signals)
	e := execution{program: programOf(sess), env: s.environment(sess, window.Term), tty: tty, signals: translate(ctx, signals)}
	if tty && sess.RawCommand() == "" && sess.Subsystem() == "" {
		e.typed = func(line string) { s.tell(ctx, link.EventSSHLine, line) }
	}
	io := link.Stdio{Stdin: ctx.channel, Stdout: ctx.channel, Stderr: ctx.channel.Stderr(), Resize: windowSizes(ctx, sizes)}
	if tty {
		e.size = [2]int{window.Window.Height, window.Window.Width}
	}
	status, err := s.guest.procs.execute(ctx, e, io)
	if err != nil {
		refuse(ctx.channel, err)
		sess.Exit(statusCannotRun) // where the client is gone there is nobody to tell
		return
	}
	finish(sess, ctx.channel, status)
}

func programOf(sess ssh.Session) program {
	user := sess.User()
	if user == "root" {
		user = "" // whom every image has, whatever its files say
	}
	switch {
	case sess.Subsystem() != "":
		return program{Mode: modeSFTP, User: user}
	case sess.RawCommand() == "":
		return program{Mode: modeLogin, User: user}
	}
	return program{Mode: modeLine, Args: []string{sess.RawCommand()}, User: user}
}

func refuse(ch gossh.Channel, err error) {
	io.WriteString(ch.Stderr(), err.Error()+"\r\n") // best effort: the client may be gone
}

// finish tells the client how the command ended, as RFC 4254 has it: a status or a signal.
func finish(sess ssh.Session, ch gossh.Channel, status syscall.WaitStatus) {
	name := strings.TrimPrefix(unix.SignalName(status.Signal()), "SIG")
	if !status.Signaled() || name == "" {
		sess.Exit(exitCode(status))
		return
	}
	message := struct {
		Signal   string
		Core     bool
		Message  string
		Language string
	}{name, status.CoreDump(), "", ""}
	ch.SendRequest("exit-signal", false, gossh.Marshal(&message)) // the client may be gone
	ch.Close()
}

// environment is what sshd would set, over the machine's own.
func (s *sshServer) environment(sess ssh.Session, term string) []string {
	more := sess.Environ()
	if term != "" {
		more = append(more, "TERM="+term)
	}
	fromHost, fromPort, err1 := net.SplitHostPort(sess.RemoteAddr().String())
	toHost, toPort, err2 := net.SplitHostPort(sess.LocalAddr().String())
	if err1 == nil && err2 == nil {
		more = append(more, "SSH_CLIENT="+strings.Join([]string{fromHost, fromPort, toPort}, " "),
			"SSH_CONNECTION="+strings.Join([]string{fromHost, fromPort, toHost, toPort}, " "))
	}
	return s.guest.environment(more...)
}

// windowSizes passes a terminal's sizes on; it never makes the connection wait.
func windowSizes(ctx context.Context, in <-chan ssh.Window) <-chan [2]int {
	if in == nil {
		return nil
	}
	out := make(chan [2]int, 1)
	go func() {
		for w := range in {
			select {
			case <-out:
			default:
			}
			select {
			case out <- [2]int{w.Height, w.Width}:
			case <-ctx.Done():
			}
		}
	}()
	return out
}

// translate turns the protocol's signal names into signals; those it does not know are dropped.
func translate(ctx context.Context, in <-chan ssh.Signal) <-chan syscall.Signal {
	out := make(chan syscall.Signal, 16)
	go func() {
		for {
			select {
			case name := <-in:
				if sig := unix.SignalNum("SIG" + string(name)); sig != 0 {
					select {
					case out <- sig:
					default: // sixteen wait already
					}
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

// forwardOut connects a direct-tcpip channel (ssh -L, -W), and closes each direction when it ends.
func forwardOut(_ *ssh.Server, _ *gossh.ServerConn, ch gossh.NewChannel, ctx ssh.Context) {
	var want struct {
		Host       string
		Port       uint32
		OriginHost string
		OriginPort uint32
	}
	if err := gossh.Unmarshal(ch.ExtraData(), &want); err != nil {
		ch.Reject(gossh.ConnectionFailed, "cannot read the request: "+err.Error())
		return
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(want.Host, strconv.FormatUint(uint64(want.Port), 10)))
	if err != nil {
		ch.Reject(gossh.ConnectionFailed, err.Error())
		return
	}
	defer conn.Close()
	channel, requests, err := ch.Accept()
	if err != nil {
		return // the client has gone
	}
	defer channel.Close()
	go gossh.DiscardRequests(requests)
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return
	}
	var both sync.WaitGroup
	both.Go(func() {
		io.Copy(channel, tcp) // either side may end it
		channel.CloseWrite()
	})
	both.Go(func() {
		io.Copy(tcp, channel)
		tcp.CloseWrite()
	})
	both.Wait()
}
