//go:build linux

package guest

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/gliderlabs/ssh"
	gossh "golang.org/x/crypto/ssh"

	"nuage/api"
	"nuage/compute/guest/link"
)

const loginGrace = 30 * time.Second

// login is who may come in, and the key the machine shows.
type login struct {
	hostKey gossh.Signer // nil: SSH is off
	keys    map[string]string
}

func parseLogin(c link.Config) (login, error) {
	l := login{keys: map[string]string{}}
	for _, k := range c.AuthorizedKeys {
		key, _, _, _, err := gossh.ParseAuthorizedKey([]byte(k.Line))
		if err != nil {
			return l, api.Errorf(api.Invalid, "cannot read key %q: give one line as in authorized_keys: %w", k.Name, err)
		}
		l.keys[string(key.Marshal())] = k.Name
	}
	if c.HostKey == "" {
		return l, nil
	}
	signer, err := gossh.ParsePrivateKey([]byte(c.HostKey))
	if err != nil {
		return l, api.Errorf(api.Invalid, "cannot read the host key: %w", err)
	}
	l.hostKey = signer
	return l, nil
}

// sshServer is the SSH server of the machine. Only root, only with a key of the Config.
type sshServer struct {
	guest *Guest

	mu      sync.Mutex
	login   login
	server  *ssh.Server
	hostKey string // public half of the key the server shows
}

func newSSHServer(g *Guest) *sshServer { return &sshServer{guest: g} }

// configure takes a login over: keys at once, and another host key by starting anew.
// Unavailable: the port is taken.
func (s *sshServer) configure(l login) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.login = l
	hostKey := ""
	if l.hostKey != nil {
		hostKey = string(l.hostKey.PublicKey().Marshal())
	}
	if hostKey == s.hostKey {
		return nil
	}
	s.stopLocked()
	if l.hostKey == nil {
		return nil
	}
	listener, err := net.Listen("tcp", ":22")
	if err != nil {
		return api.Errorf(api.Unavailable, "cannot serve SSH: %w", err)
	}
	s.hostKey = hostKey
	s.server = s.newServer(l.hostKey)
	go s.serve(s.server, listener)
	s.guest.console.printf("SSH serves on port 22, host key %s", gossh.FingerprintSHA256(l.hostKey.PublicKey()))
	return nil
}

func (s *sshServer) serve(server *ssh.Server, listener net.Listener) {
	if err := server.Serve(listener); !errors.Is(err, ssh.ErrServerClosed) {
		s.guest.console.printf("SSH: %v", err)
	}
}

func (s *sshServer) serving() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.server != nil
}

func (s *sshServer) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopLocked()
}

func (s *sshServer) stopLocked() {
	if s.server != nil {
		s.server.Close() // closing sockets has no failure worth a word
		s.server, s.hostKey = nil, ""
	}
}

func (s *sshServer) newServer(hostKey gossh.Signer) *ssh.Server {
	forward := &ssh.ForwardedTCPHandler{}
	yes := func(ssh.Context, string, uint32) bool { return true }
	return &ssh.Server{
		Version:                       "nuage",
		HostSigners:                   []ssh.Signer{hostKey},
		Handler:                       s.session,
		SubsystemHandlers:             map[string]ssh.SubsystemHandler{"sftp": s.session},
		PublicKeyHandler:              s.authenticate,
		ConnCallback:                  graceful,
		ReversePortForwardingCallback: yes,
		ChannelHandlers: map[string]ssh.ChannelHandler{
			"session":      s.channel(openSession),
			"direct-tcpip": s.channel(forwardOut),
		},
		RequestHandlers: map[string]ssh.RequestHandler{
			"tcpip-forward":        s.request(forward.HandleSSHRequest),
			"cancel-tcpip-forward": forward.HandleSSHRequest,
		},
	}
}

// Keys of values in a connection's context.
type (
	rawConn   struct{}
	visitorOf struct{}
)

// visitor is who is at the other end.
type visitor struct {
	link.Event // User, Key, Fingerprint and From
	opened     sync.Once
}

// graceful gives a connection half a minute to authenticate.
func graceful(ctx ssh.Context, conn net.Conn) net.Conn {
	if err := conn.SetDeadline(time.Now().Add(loginGrace)); err != nil {
		return nil
	}
	ctx.SetValue(rawConn{}, conn)
	return conn
}

// authenticate answers for a key; the last one asked about is the one the client proves to have.
func (s *sshServer) authenticate(ctx ssh.Context, key ssh.PublicKey) bool {
	s.mu.Lock()
	name, known := s.login.keys[string(key.Marshal())]
	s.mu.Unlock()
	if !known || ctx.User() != "root" {
		return false
	}
	ctx.SetValue(visitorOf{}, &visitor{Event: link.Event{
		User: "root", Key: name, Fingerprint: gossh.FingerprintSHA256(key), From: ctx.RemoteAddr().String(),
	}})
	return true
}

// opened runs once a connection: it has authenticated.
func (s *sshServer) opened(ctx ssh.Context) *visitor {
	v, ok := ctx.Value(visitorOf{}).(*visitor)
	if !ok {
		return &visitor{}
	}
	v.opened.Do(func() {
		if conn, ok := ctx.Value(rawConn{}).(net.Conn); ok {
			conn.SetDeadline(time.Time{}) // a closed connection has no use for it
		}
		s.tell(v, link.EventSSHOpen, "")
		context.AfterFunc(ctx, func() { s.tell(v, link.EventSSHClose, "") })
	})
	return v
}

func (s *sshServer) tell(v *visitor, kind, command string) {
	e := v.Event
	e.Type, e.Command = kind, command
	s.guest.events.add(e)
	if kind != link.EventSSHExec {
		s.guest.console.printf("%s: root from %s with key %s %s", kind, e.From, e.Key, e.Fingerprint)
	}
}

func (s *sshServer) channel(handle ssh.ChannelHandler) ssh.ChannelHandler {
	return func(srv *ssh.Server, conn *gossh.ServerConn, ch gossh.NewChannel, ctx ssh.Context) {
		s.opened(ctx)
		handle(srv, conn, ch, ctx)
	}
}

func (s *sshServer) request(handle ssh.RequestHandler) ssh.RequestHandler {
	return func(ctx ssh.Context, srv *ssh.Server, req *gossh.Request) (bool, []byte) {
		s.opened(ctx)
		return handle(ctx, srv, req)
	}
}
