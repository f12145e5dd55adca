package daemon

import (
	"fmt"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// alarm wakes the loop in time. It is a timer of the kernel among the descriptors that the Go runtime waits for, and none
// of the runtime's own: when one of those is due the runtime wakes a second thread, too, which looks for goroutines that
// run for long and interrupts the one that has just been woken. On an idle node, whose loop has little more to do than to
// beat, that took a quarter of its time. Since the alarm does not wake that thread, whoever begins long work must: see
// wakeMonitor.
//
// Reset and Close belong to one goroutine; Run has its own.
type alarm struct {
	C    chan struct{} // gets a value when the time has come; it may be an earlier one that was set before
	file *os.File
	raw  syscall.RawConn
	spec unix.ItimerSpec
	set  func(fd uintptr) // sets spec; made once
	err  error            // of set
}

func newAlarm() (*alarm, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("timer: %w", err)
	}
	a := &alarm{C: make(chan struct{}, 1), file: os.NewFile(uintptr(fd), "timer")}
	if a.raw, err = a.file.SyscallConn(); err != nil {
		a.file.Close()
		return nil, fmt.Errorf("timer: %w", err)
	}
	a.set = func(fd uintptr) {
		_, _, e := syscall.RawSyscall6(unix.SYS_TIMERFD_SETTIME, fd, 0, uintptr(unsafe.Pointer(&a.spec)), 0, 0, 0)
		if a.err = nil; e != 0 {
			a.err = e
		}
	}
	return a, nil
}

// Reset has the alarm come after d, and not when it was to come before.
func (a *alarm) Reset(d time.Duration) error {
	a.spec.Value = unix.NsecToTimespec(max(1, d.Nanoseconds())) // 0 would mean never
	err := a.raw.Control(a.set)
	if err == nil {
		err = a.err
	}
	if err != nil {
		return fmt.Errorf("set the timer: %w", err)
	}
	return nil
}

// Run passes alarms on until Close.
func (a *alarm) Run() {
	_ = a.raw.Read(func(fd uintptr) (end bool) {
		for {
			var count [8]byte
			_, _, e := syscall.RawSyscall(unix.SYS_READ, fd, uintptr(unsafe.Pointer(&count)), uintptr(len(count)))
			switch e {
			case 0:
				select {
				case a.C <- struct{}{}:
				default:
				}
			case syscall.EINTR:
			default:
				return e != syscall.EAGAIN
			}
		}
	})
}

// Close ends Run.
func (a *alarm) Close() { _ = a.file.Close() }

// wakeMonitor wakes the thread of the Go runtime that makes room for others where a goroutine runs for long. Any system
// call that the scheduler is told of does. What takes long and begins without one calls it first.
func wakeMonitor() { _, _, _ = syscall.Syscall(syscall.SYS_GETPID, 0, 0, 0) }
