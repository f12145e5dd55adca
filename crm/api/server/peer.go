package server

import (
	"fmt"
	"net"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/quorate/quorate/crm/acl"
)

// maxGroups bounds the supplementary groups read of a peer; the kernel's own limit is 65,536.
const maxGroups = 65536

// peerIdentity reads who is at the other end of a unix socket from the kernel, as of connect time. Nothing
// that the peer says itself counts.
func peerIdentity(c net.Conn) (acl.Identity, error) {
	uc, ok := c.(*net.UnixConn)
	if !ok {
		return acl.Identity{}, fmt.Errorf("read peer credentials: %T is not a unix socket", c)
	}
	raw, err := uc.SyscallConn()
	if err != nil {
		return acl.Identity{}, fmt.Errorf("read peer credentials: %w", err)
	}
	var id acl.Identity
	var opErr error
	err = raw.Control(func(fd uintptr) {
		cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
		if err != nil {
			opErr = err
			return
		}
		id.UID, id.GID, id.PID = cred.Uid, cred.Gid, cred.Pid
		id.Groups, opErr = peerGroups(fd)
	})
	if err == nil {
		err = opErr
	}
	if err != nil {
		return acl.Identity{}, fmt.Errorf("read peer credentials: %w", err)
	}
	return id, nil
}

func peerGroups(fd uintptr) ([]uint32, error) {
	groups := make([]uint32, 64)
	for {
		size := uint32(len(groups) * 4)
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_PEERGROUPS,
			uintptr(unsafe.Pointer(&groups[0])), uintptr(unsafe.Pointer(&size)), 0)
		switch {
		case errno == 0:
			return groups[:size/4], nil
		case errno == unix.ERANGE && len(groups) < maxGroups:
			groups = make([]uint32, len(groups)*8)
		default:
			return nil, errno
		}
	}
}
