package datagram

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/quorate/quorate/membership"
)

const (
	// batchSize is how many packets one system call takes. Floods of forged packets cost one call for this many.
	batchSize = 32
	// receiveBuffer asks the system for room for some thousand packets, so that heartbeats survive a stall of the process.
	receiveBuffer = 1 << 20
	// trafficClass marks the packets as network control (DSCP CS6, RFC 4594, 3.1), so that switches and the
	// queues of the host prefer heartbeats to bulk.
	trafficClass = 0xc0
)

// target is an address in the forms that look-up and sending need. Its raw form is only read after newTarget.
type target struct {
	addr netip.AddrPort // canonical: no zone, IPv4 not mapped
	raw  unix.RawSockaddrInet6
	size uint32
}

func canonical(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port())
}

func newTarget(a netip.AddrPort) (*target, error) {
	addr := a.Addr().Unmap()
	if !addr.IsValid() || addr.IsUnspecified() || addr.IsMulticast() || a.Port() == 0 {
		return nil, fmt.Errorf("%v is not the address and port of a host", a)
	}
	t := &target{addr: canonical(a)}
	if addr.Is4() {
		raw := (*unix.RawSockaddrInet4)(unsafe.Pointer(&t.raw))
		raw.Family, raw.Addr = unix.AF_INET, addr.As4()
		putPort(&raw.Port, a.Port())
		t.size = unix.SizeofSockaddrInet4
		return t, nil
	}
	t.raw.Family, t.raw.Addr = unix.AF_INET6, addr.As16()
	putPort(&t.raw.Port, a.Port())
	t.size = unix.SizeofSockaddrInet6
	if z := addr.Zone(); z != "" {
		n, err := strconv.ParseUint(z, 10, 32)
		if err != nil {
			ifi, err := net.InterfaceByName(z)
			if err != nil {
				return nil, fmt.Errorf("%v: zone: %w", a, err)
			}
			n = uint64(ifi.Index)
		}
		t.raw.Scope_id = uint32(n)
	}
	return t, nil
}

// putPort and getPort convert the port of a raw address, which is in network order whatever the order of the machine.
func putPort(p *uint16, port uint16) {
	b := (*[2]byte)(unsafe.Pointer(p))
	b[0], b[1] = byte(port>>8), byte(port)
}

func getPort(p *uint16) uint16 {
	b := (*[2]byte)(unsafe.Pointer(p))
	return uint16(b[0])<<8 | uint16(b[1])
}

// Socket is the UDP socket of one link. It is not among the files that the Go runtime waits for: the runtime would be
// woken after each packet sent, too, when its memory is free again. It waits for an epoll instance instead that
// looks only for packets to receive.
type Socket struct {
	hub   *Hub
	link  membership.LinkID
	addr  netip.AddrPort
	file  *os.File // the socket
	raw   syscall.RawConn
	ready *os.File // the epoll instance

	closed   atomic.Bool
	counters [numReasons]atomic.Uint64

	sendMu sync.Mutex // guards the out fields, through which sendOne gets and gives its values
	out    struct {
		packet []byte
		to     *target
		err    error
	}
	sendOne func(fd uintptr) bool
}

// Listen opens the socket of a link at an address of this node. The port may be 0 in tests. The self-test comes first. Run must be
// called to receive, and closes the socket.
func (h *Hub) Listen(link membership.LinkID, at netip.AddrPort) (*Socket, error) {
	if int(link) >= membership.MaxLinks {
		return nil, fmt.Errorf("open a datagram socket: %w: %d", ErrLink, link)
	}
	if err := selfTest(h.cfg.Session.aead); err != nil {
		return nil, err
	}
	if a := at.Addr(); !a.IsValid() || a.IsUnspecified() || a.IsMulticast() {
		return nil, fmt.Errorf("open a datagram socket on link %d: %v is not an address of this node; packets must leave from the address that the peers expect", link, at)
	}
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(at.Addr().Unmap(), at.Port())))
	if err != nil {
		return nil, fmt.Errorf("open a datagram socket on link %d: %w", link, err)
	}
	s := &Socket{hub: h, link: link, addr: conn.LocalAddr().(*net.UDPAddr).AddrPort()}
	err = s.take(conn)
	_ = conn.Close()
	if err != nil {
		return nil, fmt.Errorf("open a datagram socket on link %d: %w", link, err)
	}
	s.sendOne = func(fd uintptr) bool {
		_, _, e := syscall.RawSyscall6(unix.SYS_SENDTO, fd, uintptr(unsafe.Pointer(unsafe.SliceData(s.out.packet))), uintptr(len(s.out.packet)),
			unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, uintptr(unsafe.Pointer(&s.out.to.raw)), uintptr(s.out.to.size))
		s.out.err = nil
		if e != 0 {
			s.out.err = e
		}
		return true
	}
	if !h.sockets[link].CompareAndSwap(nil, s) {
		s.closeFiles()
		return nil, fmt.Errorf("open a datagram socket: link %d has one already", link)
	}
	return s, nil
}

// take makes the socket of the connection its own and prepares to wait for packets.
func (s *Socket) take(conn *net.UDPConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	fd := -1
	var opt error
	if err := raw.Control(func(of uintptr) { fd, opt = unix.FcntlInt(of, unix.F_DUPFD_CLOEXEC, 0) }); err != nil || opt != nil {
		return errors.Join(err, opt)
	}
	// A file that may block is left alone by the runtime. All calls ask not to wait.
	opt = unix.SetNonblock(fd, false)
	s.file = os.NewFile(uintptr(fd), "datagram socket")
	if opt == nil {
		opt = s.configure(fd)
	}
	if opt == nil {
		s.raw, opt = s.file.SyscallConn()
	}
	if opt != nil {
		_ = s.file.Close()
		return opt
	}
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		_ = s.file.Close()
		return err
	}
	// This one is left to the runtime.
	err = errors.Join(unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN}), unix.SetNonblock(ep, true))
	s.ready = os.NewFile(uintptr(ep), "readiness of a datagram socket")
	if err != nil {
		s.closeFiles()
	}
	return err
}

func (s *Socket) configure(fd int) error {
	// The size of the buffer is a wish; the system cuts it to its own limit.
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer)
	if s.addr.Addr().Unmap().Is4() {
		return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_TOS, trafficClass)
	}
	return unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_TCLASS, trafficClass)
}

// Addr returns the address that the socket is bound to.
func (s *Socket) Addr() netip.AddrPort { return s.addr }

// Link returns the link of the socket.
func (s *Socket) Link() membership.LinkID { return s.link }

// Counters returns how many packets came through the socket, by what became of them.
func (s *Socket) Counters() Counters {
	var c Counters
	for i := range c {
		c[i] = s.counters[i].Load()
	}
	return c
}

// Close closes the socket. A Run that goes on returns; more calls do nothing.
func (s *Socket) Close() error {
	s.hub.sockets[s.link].CompareAndSwap(s, nil)
	s.closed.Store(true)
	s.closeFiles()
	return nil
}

func (s *Socket) closeFiles() {
	_ = s.ready.Close()
	_ = s.file.Close()
}

func (s *Socket) send(packet []byte, to *target) error {
	s.sendMu.Lock()
	defer s.sendMu.Unlock()
	s.out.packet, s.out.to = packet, to
	if err := s.raw.Write(s.sendOne); err != nil {
		return err
	}
	return s.out.err
}

type mmsghdr struct {
	hdr unix.Msghdr
	n   uint32
}

// batch holds what recvmmsg needs. One more byte than the largest packet tells a longer one apart.
type batch struct {
	headers [batchSize]mmsghdr
	vectors [batchSize]unix.Iovec
	names   [batchSize]unix.RawSockaddrAny
	buffers [batchSize][MaxPacket + 1]byte
}

func newBatch() *batch {
	b := new(batch)
	for i := range b.headers {
		b.vectors[i].Base = &b.buffers[i][0]
		b.vectors[i].SetLen(len(b.buffers[i]))
		h := &b.headers[i].hdr
		h.Name = (*byte)(unsafe.Pointer(&b.names[i]))
		h.Iov = &b.vectors[i]
		h.SetIovlen(1)
	}
	return b
}

// read takes as many packets as there are, without waiting. Since it never waits, the scheduler is not told of the call,
// here as in sendOne: it would wake the thread that looks for calls that take long, which costs more than the call.
func (b *batch) read(fd uintptr) (int, syscall.Errno) {
	for i := range b.headers {
		b.headers[i].hdr.Namelen = unix.SizeofSockaddrAny
	}
	n, _, e := syscall.RawSyscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&b.headers[0])), batchSize, unix.MSG_DONTWAIT, 0, 0)
	runtime.KeepAlive(b)
	return int(n), e
}

func (b *batch) packet(i int) (netip.AddrPort, []byte) {
	var from netip.AddrPort
	switch b.names[i].Addr.Family {
	case unix.AF_INET:
		raw := (*unix.RawSockaddrInet4)(unsafe.Pointer(&b.names[i]))
		from = netip.AddrPortFrom(netip.AddrFrom4(raw.Addr), getPort(&raw.Port))
	case unix.AF_INET6:
		raw := (*unix.RawSockaddrInet6)(unsafe.Pointer(&b.names[i]))
		from = netip.AddrPortFrom(netip.AddrFrom16(raw.Addr).Unmap(), getPort(&raw.Port))
	}
	return from, b.buffers[i][:min(int(b.headers[i].n), MaxPacket+1)]
}

// Run receives until ctx ends, then closes the socket and returns nil, or returns the error that ended it.
func (s *Socket) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = s.Close() })
	defer stop()
	defer func() { _ = s.Close() }()
	b := newBatch()
	var n int
	var errno syscall.Errno
	take := func(fd uintptr) { n, errno = b.read(fd) }
	var failed error
	// Called when there may be packets; false waits for more. It leaves the epoll instance alone, which tells of
	// each packet anew, also of one that comes while others are handled.
	read := func(uintptr) (end bool) {
		for n = batchSize; n == batchSize; {
			if failed = s.raw.Control(take); failed != nil {
				return true
			}
			switch errno {
			case 0:
			case syscall.EAGAIN:
				return false
			case syscall.EINTR, syscall.ECONNREFUSED, syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.ENOBUFS, syscall.ENOMEM:
				// They concern an earlier send, or a moment; the socket goes on.
				n = batchSize
				continue
			default:
				failed = errno
				return true
			}
			for i := range n {
				from, packet := b.packet(i)
				s.counters[s.hub.receive(s.link, from, packet)].Add(1)
			}
		}
		return false // fewer than there was room for: that was all
	}
	ready, err := s.ready.SyscallConn()
	if err == nil {
		err = errors.Join(ready.Read(read), failed)
	}
	if s.closed.Load() {
		return nil
	}
	return fmt.Errorf("receive on link %d: %w", s.link, err)
}
