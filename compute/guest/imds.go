//go:build linux

package guest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/net/netutil"
	"golang.org/x/sys/unix"

	"nuage/compute/guest/link"
	"nuage/compute/guest/metadata"
)

const (
	// metadataPort is where PID 1 listens; connections to port 80 of the address are led there. It lies above the ports the
	// kernel gives away by itself.
	metadataPort = 61254
	// metadataConns is how many clients there may be at once.
	metadataConns = 64
)

// serveMetadata puts the metadata service at its address.
func (g *Guest) serveMetadata() error {
	where := netip.MustParseAddr(metadata.Address)
	if err := addAddress("lo", where); err != nil {
		return err
	}
	inside := netip.AddrPortFrom(where, metadataPort)
	listener, err := net.Listen("tcp4", inside.String())
	if err != nil {
		return fmt.Errorf("cannot serve metadata: %w", err)
	}
	if err := g.firewall.redirect(netip.AddrPortFrom(where, 80), inside); err != nil {
		listener.Close()
		return err
	}
	g.metadata = newMetadataServer(metadata.New(g.currentConfig, time.Now))
	go func() {
		if err := g.metadata.Serve(netutil.LimitListener(listener, metadataConns)); !errors.Is(err, http.ErrServerClosed) {
			g.console.printf("metadata: %v", err)
		}
	}()
	return nil
}

// newMetadataServer bounds what a client can make PID 1 hold, and for how long.
func newMetadataServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler: h, MaxHeaderBytes: 8 << 10, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 5 * time.Second,
		WriteTimeout: 10 * time.Second, IdleTimeout: 10 * time.Second,
	}
}

func (g *Guest) currentConfig() link.Config {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.config
}

// addAddress gives an interface one more IPv4 address. That it has it already is fine.
func addAddress(name string, address netip.Addr) error {
	device, err := net.InterfaceByName(name)
	if err != nil {
		return fmt.Errorf("cannot find interface %q: %w", name, err)
	}
	attributes := netlink.NewAttributeEncoder()
	attributes.Bytes(unix.IFA_LOCAL, address.AsSlice())
	attributes.Bytes(unix.IFA_ADDRESS, address.AsSlice())
	body, err := attributes.Encode()
	if err != nil {
		return fmt.Errorf("cannot encode address %s: %w", address, err)
	}
	conn, err := netlink.Dial(unix.NETLINK_ROUTE, nil)
	if err != nil {
		return fmt.Errorf("cannot reach the kernel's network settings: %w", err)
	}
	defer conn.Close()
	request := netlink.Message{
		Header: netlink.Header{Type: unix.RTM_NEWADDR, Flags: netlink.Request | netlink.Acknowledge | netlink.Create | netlink.Replace},
		Data:   append(ifaddrmsg(device.Index), body...),
	}
	if _, err := conn.Execute(request); err != nil {
		return fmt.Errorf("cannot add address %s to %q: %w", address, name, err)
	}
	return nil
}

// ifaddrmsg is the kernel's struct of that name, of an IPv4 address for this machine alone.
func ifaddrmsg(index int) []byte {
	head := []byte{unix.AF_INET, 32, 0, unix.RT_SCOPE_HOST}
	return binary.NativeEndian.AppendUint32(head, uint32(index))
}
