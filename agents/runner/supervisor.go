package runner

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sys/unix"

	"github.com/quorate/quorate/agents/subprocess"
	"github.com/quorate/quorate/crm/lockfile"
)

// Times of the Supervisor.
const (
	// firstPause is before the second start of a node process that died soon after its first; the pause doubles
	// with each further one up to lastPause. One that lived for steady is started again at once, since its
	// peers wait for its heartbeats.
	firstPause = 100 * time.Millisecond
	lastPause  = 10 * time.Second
	steady     = 2 * time.Second
	// DefaultStop is how long a node process may take to stop after SIGTERM. It stops the node's resources
	// first, and databases take their time.
	DefaultStop = 30 * time.Minute
)

// ErrNodeRefused means that the node process ended with one of the final exit codes.
var ErrNodeRefused = errors.New("the node process cannot start")

// Process describes the node process.
type Process struct {
	Path string
	Args []string
	Env  []string               // complete
	User *subprocess.Credential // nil = as this process (tests, demo)
	API  *os.File               // the listening API socket, passed as the descriptor after the connection; nil = none
	// Final lists exit codes after which it is not started again, for example because its configuration is
	// wrong. Code 0 ends the Supervisor without error.
	Final []int
	Stop  time.Duration // from SIGTERM to SIGKILL; 0 = DefaultStop
}

// Supervisor keeps the node process running.
type Supervisor struct {
	Launcher *subprocess.Launcher
	Runner   *Runner
	Process  Process
	Logger   hclog.Logger // nil = none
}

// outcome is how a node process ended.
type outcome struct {
	exit int
	sig  syscall.Signal
	err  error
}

// Run starts the node process, and starts it again when it ends, until it ends with code 0 or a final code,
// or ctx ends and it was stopped. Signals that come through the channel are passed on; SIGTERM and SIGINT ask
// it to stop its resources and end, and it is not started again. After the end of ctx it is killed: the services
// go on, as after a crash.
func (s *Supervisor) Run(ctx context.Context, signals <-chan os.Signal) error {
	log := s.Logger
	if log == nil {
		log = hclog.NewNullLogger()
	}
	stopTime := s.Process.Stop
	if stopTime == 0 {
		stopTime = DefaultStop
	}
	pause := time.Duration(0)
	stopping := false
	for {
		begin := time.Now()
		child, served, err := s.start(ctx)
		if err != nil {
			return err
		}
		log.Info("node process started", "pid", child.PID)
		done := make(chan outcome, 1)
		go func() {
			exit, sig, err := child.Wait()
			done <- outcome{exit, sig, err}
		}()
		var deadline <-chan time.Time
		var end outcome
		stopped := ctx.Done()
		for waiting := true; waiting; {
			select {
			case end = <-done:
				waiting = false
			case <-stopped:
				stopped = nil
				_ = child.Signal(unix.SIGKILL)
			case sig := <-signals:
				if sig == unix.SIGTERM || sig == unix.SIGINT {
					sig = unix.SIGTERM
					if !stopping {
						stopping = true
						deadline = time.After(stopTime)
					}
				}
				if err := child.Signal(sig); err != nil {
					log.Warn("signal not passed on", "error", err)
				}
			case <-deadline:
				log.Error("the node process did not stop in time and is killed; its resources may still run", "after", stopTime)
				_ = child.Signal(unix.SIGKILL)
			case err := <-served:
				served = nil
				if err != nil {
					// It sends what no node process sends; whatever it is now, it goes.
					log.Error("node process killed", "error", err)
					_ = child.Signal(unix.SIGKILL)
				}
			}
		}
		if served != nil {
			if err := <-served; err != nil {
				log.Error("connection to the node process broken", "error", err)
			}
		}
		switch {
		case end.err != nil:
			return end.err
		case ctx.Err() != nil || stopping:
			return nil
		case end.sig == 0 && end.exit == 0:
			return nil
		case end.sig == 0 && slices.Contains(s.Process.Final, end.exit):
			return fmt.Errorf("%w: it ended with code %d", ErrNodeRefused, end.exit)
		}
		if time.Since(begin) >= steady {
			pause = 0
		}
		log.Error("the node process died and is started again", "rc", end.exit, "signal", end.sig, "after", time.Since(begin), "pause", pause)
		if pause > 0 {
			timer := time.NewTimer(pause)
			for waiting := true; waiting; {
				select {
				case <-timer.C:
					waiting = false
				case <-ctx.Done():
					timer.Stop()
					return nil
				case sig := <-signals:
					if sig == unix.SIGTERM || sig == unix.SIGINT {
						timer.Stop()
						return nil
					}
				}
			}
		}
		pause = min(max(2*pause, firstPause), lastPause)
	}
}

// start starts one node process; served receives the end of its connection.
func (s *Supervisor) start(ctx context.Context) (*subprocess.Child, <-chan error, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("socket pair: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "node process"), os.NewFile(uintptr(pair[1]), "runner")
	defer theirs.Close()
	conn, err := net.FileConn(ours)
	ours.Close()
	if err != nil {
		return nil, nil, fmt.Errorf("socket pair: %w", err)
	}
	files := []*os.File{theirs}
	if s.Process.API != nil {
		files = append(files, s.Process.API)
	}
	child, err := s.Launcher.StartChild(subprocess.ChildSpec{Path: s.Process.Path, Args: s.Process.Args, Env: s.Process.Env, Files: files, User: s.Process.User})
	if err != nil {
		conn.Close()
		return nil, nil, err
	}
	served := make(chan error, 1)
	go func() { served <- s.Runner.Serve(ctx, conn) }()
	return child, served, nil
}

// ErrRunning means that another runner has the API socket.
var ErrRunning = errors.New("quorated is running already")

// API is the listening API socket of a node.
type API struct {
	File *os.File // for Process.API
	path string
	lock *lockfile.Lock
}

// ListenAPI opens the API socket with the given mode (0660 or 0666: who may connect is then decided by the
// caller's identity). Its directory must belong to root (without root: this user) and be writable by nobody
// else, so that nobody can put another socket in its place. A second runner gets ErrRunning.
func ListenAPI(path string, mode os.FileMode) (*API, error) {
	if !filepath.IsAbs(path) {
		return nil, fmt.Errorf("API socket %q: the path must be absolute", path)
	}
	if len(path) >= len(unix.RawSockaddrUnix{}.Path) {
		return nil, fmt.Errorf("API socket %s: the path has %d bytes, sockets take at most %d: use a shorter folder", path, len(path), len(unix.RawSockaddrUnix{}.Path)-1)
	}
	if err := subprocess.CurrentOwner().CheckAbove(filepath.Dir(path)); err != nil {
		return nil, fmt.Errorf("API socket: %w", err)
	}
	lock, err := lockfile.Take(path + ".lock")
	if errors.Is(err, lockfile.ErrLocked) {
		return nil, fmt.Errorf("API socket %s: %w", path, ErrRunning)
	}
	if err != nil {
		return nil, fmt.Errorf("API socket: %w", err)
	}
	api, err := listen(path, mode)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("API socket: %w", err), lock.Release())
	}
	api.lock = lock
	return api, nil
}

// listen replaces a socket that a dead runner left; the lock is held.
func listen(path string, mode os.FileMode) (*API, error) {
	if info, err := os.Lstat(path); err == nil {
		if info.Mode().Type() != fs.ModeSocket {
			return nil, fmt.Errorf("%s is there and is no socket: remove it", path)
		}
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	defer l.Close()
	l.SetUnlinkOnClose(false)
	if err := os.Chmod(path, mode); err != nil {
		return nil, err
	}
	f, err := l.File()
	if err != nil {
		return nil, err
	}
	return &API{File: f, path: path}, nil
}

// Close removes the socket.
func (a *API) Close() error {
	err := a.File.Close()
	if rmErr := os.Remove(a.path); !errors.Is(rmErr, fs.ErrNotExist) {
		err = errors.Join(err, rmErr)
	}
	return errors.Join(err, a.lock.Release())
}
