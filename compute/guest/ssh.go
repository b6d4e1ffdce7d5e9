//go:build linux

package guest

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gliderlabs/ssh"
	gossh "golang.org/x/crypto/ssh"

	"nuage/api"
	"nuage/compute/guest/cloudconfig"
	"nuage/compute/guest/link"
)

const (
	loginGrace   = 30 * time.Second
	maxStrangers = 100 // connections that have not authenticated yet: what they cost is taken from the machine's memory
)

// login is who may come in, and the key the machine shows.
type login struct {
	hostKey gossh.Signer // nil: SSH is off
	keys    keyring
}

// keyring holds, by user and by key, what the key is called.
type keyring map[string]map[string]string

// add takes a line as in authorized_keys; name "": its comment.
func (k keyring) add(user, name, line string) error {
	key, comment, _, _, err := gossh.ParseAuthorizedKey([]byte(line))
	if err != nil {
		return err
	}
	if name == "" {
		name = comment
	}
	if k[user] == nil {
		k[user] = map[string]string{}
	}
	if wire := string(key.Marshal()); k[user][wire] == "" {
		k[user][wire] = name
	}
	return nil
}

func parseLogin(c link.Config) (login, error) {
	l := login{keys: keyring{}}
	for _, k := range c.AuthorizedKeys {
		if err := l.keys.add("root", k.Name, k.Line); err != nil {
			return l, api.Errorf(api.Invalid, "cannot read key %q: give one line as in authorized_keys: %w", k.Name, err)
		}
	}
	l.keys.addCloudConfig(c.UserData)
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

// addCloudConfig adds the keys of a cloud-config's users. They come from there at each boot, not from files. A document that
// is none has no keys; running it tells why.
func (k keyring) addCloudConfig(userData string) {
	if !cloudconfig.Is(userData) {
		return
	}
	c, err := cloudconfig.Parse([]byte(userData))
	if err != nil {
		return
	}
	users := append(c.Users, cloudconfig.User{Name: "root", Keys: c.RootKeys})
	for _, u := range users {
		for _, line := range u.Keys {
			_ = k.add(u.Name, "", line) // Parse has read it already
		}
	}
}

// sshServer is the SSH server of the machine. Only with a key of the Config: root, and the users of its cloud-config.
type sshServer struct {
	guest *Guest

	mu      sync.Mutex
	login   login
	server  *ssh.Server
	hostKey string // public half of the key the server shows

	strangers atomic.Int32
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
	go s.serve(s.server, quickListener{listener})
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
	return &ssh.Server{
		Version:                       "nuage",
		HostSigners:                   []ssh.Signer{hostKey},
		Handler:                       s.session,
		SubsystemHandlers:             map[string]ssh.SubsystemHandler{"sftp": s.session},
		PublicKeyHandler:              s.authenticate,
		ConnCallback:                  s.graceful,
		ServerConfigCallback:          s.config,
		ReversePortForwardingCallback: mayListen,
		ChannelHandlers: map[string]ssh.ChannelHandler{
			"session":      openSession,
			"direct-tcpip": forwardOut,
		},
		RequestHandlers: map[string]ssh.RequestHandler{
			"tcpip-forward":        forward.HandleSSHRequest,
			"cancel-tcpip-forward": forward.HandleSSHRequest,
		},
	}
}

// mayListen keeps the ports below 1024 for root, as the kernel does: it is PID 1 that listens for the client.
func mayListen(ctx ssh.Context, _ string, port uint32) bool {
	return ctx.User() == "root" || port == 0 || port >= 1024
}

// config makes the library tell when a client has authenticated (to answer for a key is not yet that), and take no SHA-1.
func (s *sshServer) config(ctx ssh.Context) *gossh.ServerConfig {
	return &gossh.ServerConfig{
		PublicKeyAuthAlgorithms: gossh.SupportedAlgorithms().PublicKeyAuths,
		AuthLogCallback: func(_ gossh.ConnMetadata, _ string, err error) {
			if err == nil {
				s.opened(ctx)
			}
		},
	}
}

// Keys of values in a connection's context.
type (
	grace   struct{} // func() to call when the client is known
	visitor struct{} // link.Event with User, Key, Fingerprint and From
)

// graceful gives a connection half a minute to authenticate, unless too many are about to: then it is closed.
func (s *sshServer) graceful(ctx ssh.Context, conn net.Conn) net.Conn {
	if s.strangers.Add(1) > maxStrangers {
		s.strangers.Add(-1)
		return nil
	}
	cut := time.AfterFunc(loginGrace, func() { conn.Close() }) // the library moves deadlines
	known := sync.OnceFunc(func() {
		cut.Stop()
		s.strangers.Add(-1)
	})
	ctx.SetValue(grace{}, known)
	context.AfterFunc(ctx, known)
	return conn
}

// authenticate answers for a key; the last one asked about is the one the client proves to have.
func (s *sshServer) authenticate(ctx ssh.Context, key ssh.PublicKey) bool {
	s.mu.Lock()
	name, known := s.login.keys[ctx.User()][string(key.Marshal())]
	s.mu.Unlock()
	if !known {
		return false
	}
	ctx.SetValue(visitor{}, link.Event{
		User: ctx.User(), Key: name, Fingerprint: gossh.FingerprintSHA256(key), From: ctx.RemoteAddr().String(),
	})
	return true
}

// opened runs when a connection has authenticated.
func (s *sshServer) opened(ctx ssh.Context) {
	if known, ok := ctx.Value(grace{}).(func()); ok {
		known()
	}
	s.tell(ctx, link.EventSSHOpen, "")
	context.AfterFunc(ctx, func() { s.tell(ctx, link.EventSSHClose, "") })
}

func (s *sshServer) tell(ctx ssh.Context, kind, command string) {
	e, ok := ctx.Value(visitor{}).(link.Event)
	if !ok {
		return
	}
	e.Type, e.Command = kind, command
	s.guest.events.add(e)
	if kind != link.EventSSHExec && kind != link.EventSSHLine {
		s.guest.console.printf("%s: %s from %s with key %s %s", kind, e.User, e.From, e.Key, e.Fingerprint)
	}
}
