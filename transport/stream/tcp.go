package stream

import (
	"context"
	"net"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Settings of TCP.
const (
	// notSent bounds what the system takes of us ahead of what it has sent, so that the choice by class is made
	// late and an urgent message does not wait behind megabytes in a socket buffer.
	notSent = 64 << 10
	// userTimeout ends a connection whose peer acknowledges nothing, like writeTimeout for what the system holds.
	userTimeout = 10 * time.Second
)

// keepAlive finds a peer that vanished without a word while nothing is sent.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: time.Second, Count: 5}

func setOptions(_, _ string, raw syscall.RawConn) error {
	var opt error
	err := raw.Control(func(fd uintptr) {
		opt = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, notSent)
		if opt == nil {
			opt = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(userTimeout.Milliseconds()))
		}
	})
	if err != nil {
		return err
	}
	return opt
}

func dialTCP(ctx context.Context, local netip.Addr, remote netip.AddrPort) (net.Conn, error) {
	d := net.Dialer{
		LocalAddr:       net.TCPAddrFromAddrPort(netip.AddrPortFrom(local, 0)),
		KeepAliveConfig: keepAlive,
		Control:         setOptions,
	}
	return d.DialContext(ctx, "tcp", remote.String())
}

func listenTCP(at netip.AddrPort) (net.Listener, error) {
	// Accepted connections inherit the options of the listening socket.
	lc := net.ListenConfig{KeepAliveConfig: keepAlive, Control: setOptions}
	return lc.Listen(context.Background(), "tcp", at.String())
}

// remoteAddr returns the canonical address of the other end; the zero value if it has none.
func remoteAddr(c net.Conn) netip.AddrPort {
	a, err := netip.ParseAddrPort(c.RemoteAddr().String())
	if err != nil {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(canonical(a.Addr()), a.Port())
}

func canonical(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }
