// Package lockfile keeps a second process out of a folder or a socket, with flock(2) on a file.
//
// The lock ends with the process, also when it is killed, so no stale file has to be judged. The file itself
// stays. A Lock may be used by several goroutines.
package lockfile

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// ErrLocked means that another process, or another part of this one, has the lock.
var ErrLocked = errors.New("locked by another process")

// Lock is a lock that is held.
type Lock struct{ file *os.File }

// Take takes the lock of the file, which is made with mode 0600 where missing and never followed through a
// symbolic link. It does not wait: ErrLocked is in the chain when somebody else has the lock.
func Take(path string) (*Lock, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("%s: %w", path, ErrLocked)
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return &Lock{f}, nil
}

// Release gives the lock back. Closing the file alone would leave it to a child that was forked meanwhile,
// until that executes its program.
func (l *Lock) Release() error {
	return errors.Join(unix.Flock(int(l.file.Fd()), unix.LOCK_UN), l.file.Close())
}
