package daemon

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quorate/quorate/crm/api/server"
	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/transport"
)

// Limits of what is looked at before anything is begun.
const (
	// minFree is what must be free on the disk of the state to start: the raft log and the audit log grow in steps
	// of a few megabytes, and a node whose disk is full ends.
	minFree = 32 << 20
	// maxJoinClock is how far the clock of a joining node may be off. Certificates begin that much in the past.
	maxJoinClock = 5 * time.Minute
)

// builtAfter is a moment that every right clock is past.
var builtAfter = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// checkDisk refuses to start where too little is free to write a log.
func checkDisk(dir string, free func(string) (uint64, error)) error {
	n, err := free(dir)
	if err != nil {
		return fmt.Errorf("free space of %s: %w", dir, err)
	}
	if n < minFree {
		return fmt.Errorf("the disk of %s is full: %d MiB are free and %d MiB are needed to start; make room there, and start again (nothing was changed)", dir, n>>20, minFree>>20)
	}
	return nil
}

// freeSpace is what this process may still write below a folder, in bytes.
func freeSpace(dir string) (uint64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, err
	}
	return st.Bavail * uint64(st.Bsize), nil
}

// checkClock refuses to make keys and certificates by a clock that cannot be right.
func checkClock(now time.Time) error {
	if now.Before(builtAfter) {
		return &server.StateError{Message: fmt.Sprintf("the clock of this node says %s, which is before this program was made", now.UTC().Format(time.RFC3339)),
			Hint: "set it by the network (chronyd or systemd-timesyncd), then try again"}
	}
	return nil
}

// checkJoinClock refuses a joiner whose clock differs too much from this node's.
func checkJoinClock(name string, theirs, ours time.Time) error {
	off := theirs.Sub(ours)
	if off.Abs() <= maxJoinClock {
		return nil
	}
	word := "behind"
	if off > 0 {
		word = "ahead of"
	}
	return fmt.Errorf("the clock of %s is %v %s this cluster's (it says %s): set it by the network (chronyd or systemd-timesyncd), then join again; the token is still good until it expires",
		name, off.Abs().Round(time.Second), word, theirs.UTC().Format(time.RFC3339))
}

// checkPorts refuses addresses and ports on which this node could not listen. Port 0 means the usual one.
func checkPorts(links []cib.NodeLink, stream, dgram uint16) error {
	if stream == 0 {
		stream = transport.StreamPort
	}
	if dgram == 0 {
		dgram = transport.DatagramPort
	}
	for _, l := range links {
		a, err := netip.ParseAddr(l.Address)
		if err != nil {
			return err
		}
		err = tryListen(netip.AddrPortFrom(a, stream), netip.AddrPortFrom(a, dgram))
		switch {
		case errors.Is(err, syscall.EADDRINUSE):
			return &server.StateError{Message: fmt.Sprintf("link %s: %v", l.Link, err), Hint: "another program has the port; \"ss -lntup\" shows which one"}
		case err != nil:
			return &server.StateError{Message: fmt.Sprintf("link %s: %v", l.Link, portError(err))}
		}
	}
	return nil
}

func tryListen(stream, dgram netip.AddrPort) error {
	t, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(stream))
	if err != nil {
		return err
	}
	defer t.Close()
	u, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(dgram))
	if err != nil {
		return err
	}
	return u.Close()
}
