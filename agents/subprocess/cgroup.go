package subprocess

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// cgroup is where the control groups of runs are made.
type cgroup struct {
	version int    // 0 = none
	dir     string // parent of the runs' groups
	own     string // version 1: the group of this process in the same hierarchy
}

// findCgroup looks for a hierarchy in which this process may make groups and start processes.
func findCgroup(cfg Config) (cgroup, error) {
	name := cfg.CgroupName
	if name == "" {
		name = "runs"
	}
	if strings.ContainsAny(name, "/\x00") || name == "." || name == ".." {
		return cgroup{}, fmt.Errorf("control group name %q: must be one path element", name)
	}
	switch cfg.Cgroup {
	case "", "v2", "v1":
	case "none":
		return cgroup{}, nil
	default:
		return cgroup{}, fmt.Errorf("control group kind %q: expected v2, v1, none or nothing", cfg.Cgroup)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return cgroup{}, fmt.Errorf("look for control groups: %w", err)
	}
	groups, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return cgroup{}, fmt.Errorf("look for control groups: %w", err)
	}
	for _, own := range ownGroups(string(mounts), string(groups)) {
		if cfg.Cgroup != "" && cfg.Cgroup != "v"+strconv.Itoa(own.version) {
			continue
		}
		// The kernel asks for the right to write the common ancestor's cgroup.procs; that is our own group's.
		procs := "cgroup.procs"
		if own.version == 1 {
			procs = "tasks"
		}
		if unix.Access(filepath.Join(own.own, procs), unix.W_OK) != nil {
			continue
		}
		dir := filepath.Join(own.own, name)
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
			continue
		}
		if unix.Access(dir, unix.W_OK) != nil {
			continue
		}
		own.dir = dir
		return own, nil
	}
	if cfg.Cgroup != "" {
		return cgroup{}, fmt.Errorf("no writable control group of kind %s", cfg.Cgroup)
	}
	return cgroup{}, nil
}

// ownGroups gives the directories of this process's groups: version 2 first, then the version 1
// hierarchies that do not limit anything by being entered.
func ownGroups(mountinfo, self string) []cgroup {
	paths := map[string]string{} // controller or "" (version 2) -> path of this process
	for line := range strings.Lines(self) {
		fields := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(fields) != 3 {
			continue
		}
		for c := range strings.SplitSeq(fields[1], ",") {
			paths[c] = fields[2]
		}
	}
	var found []cgroup
	preferred := []string{"name=systemd", "freezer", "pids"}
	v1 := map[string]cgroup{}
	for line := range strings.Lines(mountinfo) {
		left, right, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " - ")
		l, r := strings.Fields(left), strings.Fields(right)
		if !ok || len(l) < 5 || len(r) < 3 {
			continue
		}
		place := func(path string) (string, bool) {
			root := unescapeMount(l[3])
			rel, err := filepath.Rel(root, path)
			if err != nil || rel == ".." || strings.HasPrefix(rel, "../") {
				return "", false
			}
			return filepath.Join(unescapeMount(l[4]), rel), true
		}
		switch r[0] {
		case "cgroup2":
			if path, ok := paths[""]; ok {
				if dir, ok := place(path); ok {
					found = append(found, cgroup{version: 2, own: dir})
				}
			}
		case "cgroup":
			for option := range strings.SplitSeq(r[2], ",") {
				if path, ok := paths[option]; ok && slices.Contains(preferred, option) {
					if dir, ok := place(path); ok {
						v1[option] = cgroup{version: 1, own: dir}
					}
				}
			}
		}
	}
	for _, p := range preferred {
		if g, ok := v1[p]; ok {
			found = append(found, g)
		}
	}
	return found
}

// unescapeMount undoes the octal escapes of mountinfo.
func unescapeMount(s string) string {
	for _, e := range [][2]string{{`\040`, " "}, {`\011`, "\t"}, {`\012`, "\n"}, {`\134`, `\`}} {
		s = strings.ReplaceAll(s, e[0], e[1])
	}
	return s
}

// start makes a group and starts the process inside it, so that it never runs outside.
func (g cgroup) start(path string, argv []string, attr *os.ProcAttr, mark string) (*os.Process, string, error) {
	dir := filepath.Join(g.dir, mark)
	err := os.Mkdir(dir, 0o755)
	if errors.Is(err, os.ErrNotExist) {
		// Another launcher with the same name was closed and took the empty parent away.
		_ = os.Mkdir(g.dir, 0o755)
		err = os.Mkdir(dir, 0o755)
	}
	if err != nil {
		return nil, "", &cgroupError{err}
	}
	var proc *os.Process
	if g.version == 2 {
		fd, openErr := unix.Open(dir, unix.O_DIRECTORY|unix.O_CLOEXEC|unix.O_RDONLY, 0)
		if openErr != nil {
			err = &cgroupError{openErr}
		} else {
			attr.Sys.UseCgroupFD, attr.Sys.CgroupFD = true, fd
			proc, err = os.StartProcess(path, argv, attr)
			_ = unix.Close(fd)
		}
	} else {
		// Version 1 has no way to start in a group. A thread that is in it starts its children there.
		onOwnThread(func() (clean bool) {
			tid := []byte(strconv.Itoa(unix.Gettid()))
			if e := os.WriteFile(filepath.Join(dir, "tasks"), tid, 0); e != nil {
				err = &cgroupError{e}
				return true
			}
			proc, err = os.StartProcess(path, argv, attr)
			return os.WriteFile(filepath.Join(g.own, "tasks"), tid, 0) == nil
		})
	}
	if err != nil {
		_ = os.Remove(dir)
		return nil, "", err
	}
	return proc, dir, nil
}

// cgroupError marks errors of the control group itself.
type cgroupError struct{ err error }

func (e *cgroupError) Error() string { return "control group: " + e.err.Error() }
func (e *cgroupError) Unwrap() error { return e.err }

// cgroupUnusable reports whether a start failed because of the control group, given that the same program
// could be started without one.
func cgroupUnusable(err error) bool {
	var own *cgroupError
	return errors.As(err, &own) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) ||
		errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EBUSY)
}

// dropGroup removes the group of a run, or remembers it while daemons live in it.
func (l *Launcher) dropGroup(r *run) {
	if r.cgroup != "" && removeGroup(r.cgroup) != nil {
		l.keepGroup(r)
	}
	l.mu.Lock()
	due := time.Since(l.swept) >= sweepPause
	l.mu.Unlock()
	if due {
		l.sweep()
	}
}

func (l *Launcher) keepGroup(r *run) {
	if r.cgroup == "" {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.emptying = append(l.emptying, r.cgroup)
}

// sweep removes groups that have become empty.
func (l *Launcher) sweep() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.swept = time.Now()
	l.emptying = slices.DeleteFunc(l.emptying, func(dir string) bool { return removeGroup(dir) == nil })
}

// SweepGroups removes the empty groups that an earlier process left behind.
func (l *Launcher) SweepGroups() {
	l.mu.Lock()
	dir := l.group.dir
	l.mu.Unlock()
	if dir == "" {
		return
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if e.IsDir() {
			_ = removeGroup(filepath.Join(dir, e.Name()))
		}
	}
}

func removeGroup(dir string) error {
	err := unix.Rmdir(dir)
	if err == nil {
		return nil
	}
	entries, _ := os.ReadDir(dir)
	below := false
	for _, e := range entries {
		if e.IsDir() {
			below = true
			_ = removeGroup(filepath.Join(dir, e.Name()))
		}
	}
	if below {
		err = unix.Rmdir(dir)
	}
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}

// killGroup kills everything in the group and those below it, and returns how many processes are left.
func killGroup(dir string) int {
	deadline := time.Now().Add(killWait)
	for {
		if os.WriteFile(filepath.Join(dir, "cgroup.kill"), []byte("1"), 0) != nil {
			// Version 1, or a kernel before 5.14: one by one, again while new ones appear.
			for _, pid := range groupProcesses(dir) {
				_ = unix.Kill(pid, unix.SIGKILL)
			}
		}
		left := len(groupProcesses(dir))
		if left == 0 || time.Now().After(deadline) {
			return left
		}
		time.Sleep(killPoll)
	}
}

// groupProcesses lists the living processes of the group and those below it. Zombies are not counted: the
// main process stays one until its tree is gone.
func groupProcesses(dir string) []int {
	var pids []int
	list, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	if err != nil {
		return nil
	}
	for field := range strings.FieldsSeq(string(list)) {
		pid, err := strconv.Atoi(field)
		if err != nil || pid <= 0 {
			continue
		}
		if st, err := readStat(pid); err == nil && st.state != 'Z' && st.state != 'X' {
			pids = append(pids, pid)
		}
	}
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if e.IsDir() {
			pids = append(pids, groupProcesses(filepath.Join(dir, e.Name()))...)
		}
	}
	return pids
}
