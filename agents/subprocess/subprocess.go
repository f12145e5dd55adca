// Package subprocess starts programs for the runner, and for nothing else: resource agents, fence agents and
// the node process. It is Linux only.
//
// What it guarantees for each run:
//   - No shell: a path, an argument list and exactly the listed environment, plus QUORATE_RUN, a random
//     mark by which processes of the run can be found again. Working directory "/" unless said otherwise.
//   - Descriptors 0, 1, 2 and no other. Standard input is /dev/null or the given bytes.
//   - A session and process group of its own, and a control group of its own where the system has one that
//     can be written (version 2, else version 1).
//   - A deadline. When it passes, or the context ends, the process group gets SIGTERM, after the grace time
//     (or as soon as the main process is gone) every process of the run gets SIGKILL: through the control
//     group, or, without one, by process group, session, descent and mark.
//   - The run ends when its main process ends, also where a daemon that it started holds the pipes. What
//     such a daemon writes later is read and thrown away, since closing the pipe would kill it by SIGPIPE.
//   - Bounded output: the beginning of standard output and the end of both streams are kept, the rest is
//     counted and hashed only.
//
// Processes that a run leaves behind on purpose (services) are not touched when it ends in time.
//
// A Launcher may be used by several goroutines. Run, which must be called once, reaps the orphans that the
// kernel gives to this process and removes control groups that have become empty.
//
// The package also has the checks of program files (Directory): owner, modes, symbolic links and pinned
// hashes.
package subprocess

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Limits and times, with their reasons.
const (
	// DefaultGrace is between SIGTERM and SIGKILL. Fencing waits for it when a stop hangs, so it is short.
	DefaultGrace = 2 * time.Second
	// killWait is how long a killed tree may take to be gone. What is still there then hangs in the kernel.
	killWait = 2 * time.Second
	// killPoll is the pause between two looks at a tree that was killed.
	killPoll = 5 * time.Millisecond
	// sweepPause is the least time between two looks for control groups that have become empty, which follow the end of a
	// run: each service has one, and an empty one does no harm.
	sweepPause = 10 * time.Second
	// drainLimit bounds what is still read from a pipe after the end of the main process; a pipe holds 64 KiB
	// by default and 1 MiB at most.
	drainLimit = 1 << 20
	// maxLingering bounds the pipes of daemons that are read on. The oldest is closed first.
	maxLingering = 2048
	// MaxHead and MaxTail bound what is kept of each stream.
	MaxHead = 2 << 20
	MaxTail = 64 << 10
	// markName is the environment variable by which processes of a run are known.
	markName = "QUORATE_RUN"
)

// ErrClosed answers a start after Close.
var ErrClosed = errors.New("launcher is closed")

// Config says how a Launcher works. The zero value is usable.
type Config struct {
	// Cgroup chooses the control group: "" = the best that is there (version 2, version 1, none), "v2", "v1"
	// or "none" allow only that. Without a control group runs are ended by process group, descent and mark.
	Cgroup string
	// CgroupName names the directory below this process's own control group; "" = "runs".
	CgroupName string
	// Journal is a directory (made with mode 0700) in which each run is written down while it goes on, so that the
	// next process can end what this one left when it was killed (Recover). It needs to outlive the process,
	// not the machine. "" = none.
	Journal string
}

// Launcher starts programs. Make it with New.
type Launcher struct {
	group   cgroup
	journal journal

	// starting is held while a process is started and while orphans are reaped, so that a process which was
	// started but is not yet in mains is never taken for an orphan.
	starting sync.Mutex
	mains    map[int]bool // pids that somebody waits for
	closed   bool

	adopt  sync.Once     // closes adopts
	adopts chan struct{} // closed when orphans are given to this process

	mu        sync.Mutex
	lingering []*os.File // pipes of daemons, oldest first
	emptying  []string   // control groups that a daemon kept, removed when empty
	swept     time.Time  // when they were looked at last
	readers   sync.WaitGroup
}

// New makes a Launcher. It makes this process the one that orphans are given to (PR_SET_CHILD_SUBREAPER)
// when there is no control group, because then descent is one way to find the processes of a run.
func New(cfg Config) (*Launcher, error) {
	group, err := findCgroup(cfg)
	if err != nil {
		return nil, err
	}
	l := &Launcher{group: group, journal: journal{dir: cfg.Journal}, mains: map[int]bool{}, adopts: make(chan struct{})}
	if cfg.Journal != "" {
		if !filepath.IsAbs(cfg.Journal) {
			return nil, fmt.Errorf("journal of runs %q: the path must be absolute", cfg.Journal)
		}
		if err := os.MkdirAll(cfg.Journal, 0o700); err != nil {
			return nil, fmt.Errorf("journal of runs: %w", err)
		}
		info, err := os.Stat(cfg.Journal)
		if err != nil {
			return nil, fmt.Errorf("journal of runs: %w", err)
		}
		if err := CurrentOwner().Check(cfg.Journal, info); err != nil {
			return nil, fmt.Errorf("journal of runs: %w", err)
		}
	}
	if group.version == 0 || os.Getpid() == 1 { // the first process of a container gets orphans anyway
		if err := l.becomeReaper(); err != nil {
			return nil, fmt.Errorf("become the reaper of orphans: %w", err)
		}
	}
	return l, nil
}

// becomeReaper has the kernel give orphans to this process.
func (l *Launcher) becomeReaper() error {
	err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
	if err == nil {
		l.adopt.Do(func() { close(l.adopts) })
	}
	return err
}

// Seal marks all descriptors of this process from 3 on close-on-exec, except those in keep, so that nothing
// which this process inherited reaches a program.
func Seal(keep ...int) error {
	if err := unix.CloseRange(3, ^uint(0)>>1, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		// Kernels before 5.11 have no such call; go through the list instead.
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			return fmt.Errorf("list own descriptors: %w", err)
		}
		for _, e := range entries {
			if fd, err := strconv.Atoi(e.Name()); err == nil && fd > 2 {
				unix.CloseOnExec(fd)
			}
		}
	}
	for _, fd := range keep {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0); err != nil {
			return fmt.Errorf("keep descriptor %d: %w", fd, err)
		}
	}
	return nil
}

// Cgroup says which kind of control group is used: "v2", "v1" or "none".
func (l *Launcher) Cgroup() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return [...]string{"none", "v1", "v2"}[l.group.version]
}

// Credential is the user that a program runs as.
type Credential struct {
	UID, GID uint32
	Groups   []uint32
}

// Limit is one resource limit (RLIMIT_*); both soft and hard are set.
type Limit struct {
	Resource int
	Value    uint64
}

// Spec describes one run.
type Spec struct {
	Path    string   // absolute
	Args    []string // after the name; args[0] is Path
	Env     []string // NAME=VALUE, complete
	Stdin   []byte   // nil = /dev/null
	Dir     string   // "" = "/"
	Timeout time.Duration
	Grace   time.Duration // SIGTERM to SIGKILL; 0 = DefaultGrace
	Head    int           // bytes of the beginning of standard output to keep, 0 to MaxHead
	Tail    int           // bytes of the end of each stream to keep, 0 to MaxTail
	User    *Credential   // nil = as this process
	// Limits are set right after the start: the first instructions of the program run without them. Limits
	// that must hold from the first on belong on this process, from which all inherit. Together with User they
	// need CAP_SYS_RESOURCE.
	Limits []Limit
	// Label says in the journal what the run is for; one line.
	Label string
	// Started, if not nil, is called with the pid and control group once the program runs.
	Started func(pid int, cgroup, mark string)
}

// Outcome is how a run ended.
type Outcome struct {
	PID       int
	Exit      int            // exit code; -1 if a signal ended it
	Signal    syscall.Signal // 0 if it exited
	TimedOut  bool
	Cancelled bool // ctx ended
	Killed    bool // SIGKILL was sent to the tree
	Leftover  int  // processes that were still there after SIGKILL
	Stdout    Stream
	Stderr    Stream
	SHA256    string // of standard output followed by standard error, hashed apart: H(H(out) || H(err))
	Started   time.Time
	Duration  time.Duration
	Cgroup    string
}

// Stream is what was kept of one output stream.
type Stream struct {
	Head  []byte
	Tail  []byte // may overlap with Head
	Total int64
}

func (s *Spec) validate() error {
	if !filepath.IsAbs(s.Path) {
		return fmt.Errorf("program %q: the path must be absolute", s.Path)
	}
	if s.Timeout <= 0 {
		return fmt.Errorf("run %s: timeout %v: must be more than 0", s.Path, s.Timeout)
	}
	if s.Grace < 0 || s.Head < 0 || s.Head > MaxHead || s.Tail < 0 || s.Tail > MaxTail {
		return fmt.Errorf("run %s: grace %v, head %d, tail %d: at least 0, and at most %d and %d bytes", s.Path, s.Grace, s.Head, s.Tail, MaxHead, MaxTail)
	}
	for _, arg := range s.Args {
		if strings.IndexByte(arg, 0) >= 0 {
			return fmt.Errorf("run %s: an argument has a NUL byte", s.Path)
		}
	}
	for _, v := range s.Env {
		if strings.IndexByte(v, 0) >= 0 || strings.IndexByte(v, '=') <= 0 {
			name, _, _ := strings.Cut(v, "=")
			return fmt.Errorf("run %s: environment variable %q is not NAME=VALUE without NUL", s.Path, name)
		}
	}
	return nil
}

// Exec runs the program until it ends or is ended. An error means that it was not started; everything
// else is in the outcome. Exec returns at most grace + 4 s after the timeout or the end of ctx.
func (l *Launcher) Exec(ctx context.Context, spec Spec) (Outcome, error) {
	if err := spec.validate(); err != nil {
		return Outcome{}, err
	}
	if err := ctx.Err(); err != nil {
		return Outcome{}, fmt.Errorf("run %s: %w", spec.Path, err)
	}
	r, err := l.start(&spec)
	if err != nil {
		return Outcome{}, err
	}
	return l.finish(ctx, r), nil
}

// run is a started program.
type run struct {
	spec    *Spec
	proc    *os.Process
	pid     int
	mark    string
	entry   *os.File // in the journal; nil = none
	cgroup  string   // directory, "" = none
	version int
	started time.Time
	out     *capture
	err     *capture
	stdin   *os.File
	exited  chan struct{} // closed when the main process has ended (but is not yet reaped)
	feeding sync.WaitGroup
}

// markBytes is the size of a mark, which is written in hex.
const markBytes = 12

func newMark() string {
	var b [markBytes]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

func (l *Launcher) start(spec *Spec) (*run, error) {
	r := &run{spec: spec, mark: newMark(), exited: make(chan struct{})}
	fail := func(err error, close ...*os.File) (*run, error) {
		for _, f := range close {
			if f != nil {
				f.Close()
			}
		}
		return nil, fmt.Errorf("run %s: %w", spec.Path, err)
	}
	outR, outW, err := os.Pipe()
	if err != nil {
		return fail(err)
	}
	errR, errW, err := os.Pipe()
	if err != nil {
		return fail(err, outR, outW)
	}
	var in *os.File
	if spec.Stdin == nil {
		in, err = os.Open(os.DevNull)
	} else {
		in, r.stdin, err = os.Pipe()
	}
	if err != nil {
		return fail(err, outR, outW, errR, errW)
	}
	attr := &os.ProcAttr{
		Dir:   spec.Dir,
		Env:   append(slices.Clone(spec.Env), markName+"="+r.mark),
		Files: []*os.File{in, outW, errW},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	}
	if attr.Dir == "" {
		attr.Dir = "/"
	}
	if u := spec.User; u != nil {
		attr.Sys.Credential = &syscall.Credential{Uid: u.UID, Gid: u.GID, Groups: u.Groups}
	}
	argv := append([]string{spec.Path}, spec.Args...)
	if r.entry, err = l.journal.enter(r.mark, spec.Path, spec.Label); err != nil {
		return fail(err, in, outR, outW, errR, errW, r.stdin)
	}
	r.started = time.Now()
	r.proc, r.cgroup, r.version, err = l.spawn(spec.Path, argv, attr, r.mark)
	in.Close()
	outW.Close()
	errW.Close()
	if err != nil {
		l.journal.leave(r.entry)
		return fail(err, outR, errR, r.stdin)
	}
	r.pid = r.proc.Pid
	for _, limit := range spec.Limits {
		// The process may be gone already; a limit that cannot be set (above the hard limit, without
		// privilege) must not let the program run without it.
		rl := unix.Rlimit{Cur: limit.Value, Max: limit.Value}
		if err := unix.Prlimit(r.pid, limit.Resource, &rl, nil); err != nil && !errors.Is(err, unix.ESRCH) {
			l.killTree(r)
			l.reap(r)
			l.dropGroup(r)
			l.journal.leave(r.entry)
			return fail(fmt.Errorf("set limit %d to %d: %w", limit.Resource, limit.Value, err), outR, errR, r.stdin)
		}
	}
	r.out, r.err = newCapture(outR, spec.Head, spec.Tail), newCapture(errR, 0, spec.Tail)
	if r.stdin != nil {
		r.feeding.Go(func() {
			// An error here means that the program did not read its input; its exit code says what came of it.
			_, _ = r.stdin.Write(spec.Stdin)
			r.stdin.Close()
		})
	}
	if spec.Started != nil {
		spec.Started(r.pid, r.cgroup, r.mark)
	}
	go func() {
		awaitExit(r.pid)
		close(r.exited)
	}()
	return r, nil
}

// spawn starts the process in a control group of its own and enters it into mains.
func (l *Launcher) spawn(path string, argv []string, attr *os.ProcAttr, mark string) (proc *os.Process, dir string, version int, err error) {
	l.starting.Lock()
	defer l.starting.Unlock()
	if l.closed {
		return nil, "", 0, ErrClosed
	}
	l.mu.Lock()
	group := l.group
	l.mu.Unlock()
	if group.version > 0 {
		proc, dir, err = group.start(path, argv, attr, mark)
		if err == nil {
			l.mains[proc.Pid] = true
			return proc, dir, group.version, nil
		}
		// A program that cannot be executed fails without a control group as well. What is left are systems
		// where control groups can be made but not entered; they get none from now on.
		attr.Sys.UseCgroupFD = false
	}
	proc, plainErr := os.StartProcess(path, argv, attr)
	if plainErr != nil {
		return nil, "", 0, plainErr
	}
	if group.version > 0 && cgroupUnusable(err) {
		if err := l.becomeReaper(); err == nil {
			l.mu.Lock()
			l.group = cgroup{}
			l.mu.Unlock()
		}
	}
	l.mains[proc.Pid] = true
	return proc, "", 0, nil
}

// awaitExit returns when the process has ended, and leaves it as a zombie, so that its number stays taken
// until the whole tree is dealt with.
func awaitExit(pid int) {
	if pollExit(pid) {
		return
	}
	// A kernel before 5.10. This takes a thread for as long as the run goes on, which the runtime looks at all the time.
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// pollExit is awaitExit by a descriptor of the process among those that the runtime waits for. ok is false where there
// is no such thing.
func pollExit(pid int) (ok bool) {
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if err != nil {
		return false
	}
	f := os.NewFile(uintptr(fd), "process")
	defer f.Close()
	raw, err := f.SyscallConn()
	if err != nil {
		return false
	}
	err = raw.Read(func(fd uintptr) (ended bool) {
		for {
			var info unix.Siginfo
			err := unix.Waitid(unix.P_PIDFD, int(fd), &info, unix.WEXITED|unix.WNOWAIT|unix.WNOHANG, nil)
			if !errors.Is(err, unix.EINTR) {
				return err != nil || info.Signo != 0
			}
		}
	})
	return err == nil
}

func (l *Launcher) finish(ctx context.Context, r *run) Outcome {
	o := Outcome{PID: r.pid, Started: r.started, Cgroup: r.cgroup}
	timer := time.NewTimer(r.spec.Timeout - time.Since(r.started))
	defer timer.Stop()
	select {
	case <-r.exited:
	case <-timer.C:
		o.TimedOut = true
	case <-ctx.Done():
		o.Cancelled = true
	}
	gone := true
	if o.TimedOut || o.Cancelled {
		grace := r.spec.Grace
		if grace == 0 {
			grace = DefaultGrace
		}
		// The leader is not reaped before the end of this function, so the group is still ours. An error
		// means that nobody is left in it.
		_ = unix.Kill(-r.pid, unix.SIGTERM)
		wait := time.NewTimer(grace)
		select {
		case <-r.exited:
		case <-wait.C:
		}
		wait.Stop()
		o.Killed = true
		o.Leftover = l.killTree(r)
		last := time.NewTimer(killWait)
		select {
		case <-r.exited:
		case <-last.C:
			gone = false
		}
		last.Stop()
	}
	o.Duration = time.Since(r.started)
	if r.stdin != nil {
		_ = r.stdin.SetWriteDeadline(time.Unix(1, 0)) // wakes the feeder; it closes the pipe
		r.feeding.Wait()
	}
	outEnd, errEnd := r.out.stop(), r.err.stop()
	o.Stdout, o.Stderr = r.out.stream(), r.err.stream()
	sum := sha256.New()
	sum.Write(r.out.sum.Sum(nil))
	sum.Write(r.err.sum.Sum(nil))
	o.SHA256 = hex.EncodeToString(sum.Sum(nil))
	l.linger(r.out.pipe, outEnd)
	l.linger(r.err.pipe, errEnd)
	if !gone {
		// Hangs in the kernel. Nobody can wait for that; whenever it ends, it is reaped.
		o.Exit = -1
		go func() {
			<-r.exited
			l.reap(r)
		}()
		l.keepGroup(r)
		l.journal.leave(r.entry)
		return o
	}
	o.Exit, o.Signal = l.reap(r)
	l.dropGroup(r)
	l.journal.leave(r.entry)
	return o
}

// reap collects the exit status of the main process.
func (l *Launcher) reap(r *run) (exit int, sig syscall.Signal) {
	state, err := r.proc.Wait()
	l.starting.Lock()
	delete(l.mains, r.pid)
	l.starting.Unlock()
	if err != nil {
		return -1, 0
	}
	status, _ := state.Sys().(syscall.WaitStatus)
	if status.Signaled() {
		return -1, status.Signal()
	}
	return status.ExitStatus(), 0
}

// linger reads on from a pipe that a daemon still holds, so that writing to it does not kill the daemon.
func (l *Launcher) linger(pipe *os.File, ended bool) {
	if ended {
		pipe.Close()
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.lingering) >= maxLingering {
		l.lingering[0].Close()
		l.lingering = l.lingering[1:]
	}
	l.lingering = append(l.lingering, pipe)
	l.readers.Go(func() {
		discard(pipe)
		pipe.Close()
		l.mu.Lock()
		defer l.mu.Unlock()
		if i := slices.Index(l.lingering, pipe); i >= 0 {
			l.lingering = slices.Delete(l.lingering, i, i+1)
		}
	})
}

// Lingering returns how many pipes of daemons are being read on.
func (l *Launcher) Lingering() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.lingering)
}

// buffers for discarding, shared so that a quiet daemon costs no buffer.
var buffers = sync.Pool{New: func() any { return new([32 << 10]byte) }}

func discard(pipe *os.File) {
	raw, err := pipe.SyscallConn()
	if err != nil {
		return
	}
	_ = pipe.SetReadDeadline(time.Time{})
	_ = raw.Read(func(fd uintptr) bool {
		buf := buffers.Get().(*[32 << 10]byte)
		defer buffers.Put(buf)
		for {
			n, err := unix.Read(int(fd), buf[:])
			switch {
			case errors.Is(err, unix.EINTR):
			case errors.Is(err, unix.EAGAIN):
				return false // wait until there is more
			case err != nil || n == 0:
				return true
			}
		}
	})
}

// Run reaps orphans until ctx ends. Where runs have control groups there are none, and nothing is done: to be told of each
// child that ends costs a thread that is woken for it.
func (l *Launcher) Run(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-l.adopts:
	}
	children := make(chan os.Signal, 1)
	signal.Notify(children, unix.SIGCHLD)
	defer signal.Stop(children)
	for {
		l.reapOrphans()
		select {
		case <-ctx.Done():
			return nil
		case <-children:
		}
	}
}

// reapOrphans collects children that nobody waits for: processes that lost their parent and were given to
// this one.
func (l *Launcher) reapOrphans() {
	l.starting.Lock()
	defer l.starting.Unlock()
	if !l.orphanEnded() {
		return
	}
	for _, pid := range children() {
		if !l.mains[pid] {
			var status unix.WaitStatus
			_, _ = unix.Wait4(pid, &status, unix.WNOHANG, nil)
		}
	}
}

// orphanEnded reports whether a child that nobody waits for may have ended. It asks for one that has ended without
// taking its status; to list all children costs a look at each thread of this process.
func (l *Launcher) orphanEnded() bool {
	var info unix.Siginfo
	err := unix.Waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
	switch {
	case errors.Is(err, unix.ECHILD):
		return false // there is no child
	case err != nil:
		return true
	}
	return info.Signo != 0 // else none has ended
}

// children lists the children of this process.
func children() []int {
	var pids []int
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return nil
	}
	read := false
	for _, task := range tasks {
		list, err := os.ReadFile("/proc/self/task/" + task.Name() + "/children")
		if err != nil {
			continue // the thread ended
		}
		read = true
		for field := range strings.FieldsSeq(string(list)) {
			if pid, err := strconv.Atoi(field); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	if !read {
		return childrenByParent() // a kernel without CONFIG_PROC_CHILDREN
	}
	return pids
}

// childrenByParent finds the children of this process by looking at all processes.
func childrenByParent() []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var pids []int
	self := os.Getpid()
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			if s, err := readStat(pid); err == nil && s.parent == self {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// Close stops reading from daemons' pipes and refuses further starts. It ends no process. Runs must have
// returned before.
func (l *Launcher) Close() error {
	l.starting.Lock()
	l.closed = true
	l.starting.Unlock()
	l.mu.Lock()
	for _, pipe := range l.lingering {
		pipe.Close()
	}
	l.mu.Unlock()
	l.readers.Wait()
	l.journal.close()
	l.sweep()
	if l.group.dir != "" {
		_ = unix.Rmdir(l.group.dir) // fails while services live in groups below it, as it should
	}
	return nil
}

// Child is a long-lived program that this process keeps: the node process.
type Child struct {
	PID  int
	proc *os.Process
	l    *Launcher
}

// ChildSpec describes a Child.
type ChildSpec struct {
	Path  string
	Args  []string
	Env   []string
	Files []*os.File // descriptors from 3 on; 0 is /dev/null, 1 and 2 are inherited
	User  *Credential
	Dir   string // "" = "/"
}

// StartChild starts a program in its own process group, in this process's control group, with standard
// output and error of this process. It is not killed when this process dies; the node process sees the end of
// its connection then, and ends itself.
func (l *Launcher) StartChild(spec ChildSpec) (*Child, error) {
	if !filepath.IsAbs(spec.Path) {
		return nil, fmt.Errorf("program %q: the path must be absolute", spec.Path)
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	attr := &os.ProcAttr{
		Dir:   spec.Dir,
		Env:   spec.Env,
		Files: append([]*os.File{null, os.Stdout, os.Stderr}, spec.Files...),
		Sys:   &syscall.SysProcAttr{Setpgid: true},
	}
	if attr.Env == nil {
		attr.Env = []string{} // nil would mean: inherit
	}
	if attr.Dir == "" {
		attr.Dir = "/"
	}
	if u := spec.User; u != nil {
		attr.Sys.Credential = &syscall.Credential{Uid: u.UID, Gid: u.GID, Groups: u.Groups}
	}
	l.starting.Lock()
	defer l.starting.Unlock()
	if l.closed {
		return nil, ErrClosed
	}
	proc, err := os.StartProcess(spec.Path, append([]string{spec.Path}, spec.Args...), attr)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", spec.Path, err)
	}
	l.mains[proc.Pid] = true
	return &Child{PID: proc.Pid, proc: proc, l: l}, nil
}

// Wait returns when the child has ended: its exit code, or -1 and the signal.
func (c *Child) Wait() (exit int, sig syscall.Signal, err error) {
	state, err := c.proc.Wait()
	c.l.starting.Lock()
	delete(c.l.mains, c.PID)
	c.l.starting.Unlock()
	if err != nil {
		return -1, 0, fmt.Errorf("wait for process %d: %w", c.PID, err)
	}
	status, _ := state.Sys().(syscall.WaitStatus)
	if status.Signaled() {
		return -1, status.Signal(), nil
	}
	return status.ExitStatus(), 0, nil
}

// Signal sends a signal to the child itself. Signalling one that has ended is no error.
func (c *Child) Signal(sig os.Signal) error {
	err := c.proc.Signal(sig)
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// onOwnThread runs f on an operating system thread of its own; when f reports that the thread is no longer
// as it was, the thread ends with it.
func onOwnThread(f func() (clean bool)) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if f() {
			runtime.UnlockOSThread()
		}
	}()
	<-done
}
