package compat

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// backgroundMark tells the process that daemon starts that it is the one in the background.
const backgroundMark = "QUORATE_CRM_MON_BACKGROUND"

// daemon goes on in the background. A Go program cannot fork, so it starts itself again in a session of its own; the
// parent ends once the process id is written, so that who asks for it finds it.
func (m *mon) daemon() int {
	if os.Getenv(backgroundMark) != "" {
		return m.background()
	}
	if other := runningPID(m.o.pid); other != 0 {
		return m.fail(exitError, "already running as process %d, says %s", other, m.o.pid)
	}
	// What would go wrong in the background is said here.
	if err := replaceFile(m.o.to, nil, 0o644); err != nil {
		return m.fail(exitCantCreate, "%v", err)
	}
	self, err := os.Executable()
	if err != nil {
		return m.fail(exitError, "%v", err)
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return m.fail(exitError, "%v", err)
	}
	defer null.Close()
	p, err := os.StartProcess(self, append([]string{m.name}, m.args...), &os.ProcAttr{
		Env: append(os.Environ(), backgroundMark+"=1"), Files: []*os.File{null, null, null}, Sys: &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return m.fail(exitError, "start in the background: %v", err)
	}
	if m.o.pid != "" {
		if err := replaceFile(m.o.pid, []byte(strconv.Itoa(p.Pid)+"\n"), 0o644); err != nil {
			return m.fail(exitCantCreate, "%v", errors.Join(err, p.Kill()))
		}
	}
	p.Release()
	return exitOK
}

func (m *mon) background() int {
	os.Unsetenv(backgroundMark)
	code := m.watch("")
	if m.o.pid != "" && runningPID(m.o.pid) == os.Getpid() {
		os.Remove(m.o.pid)
	}
	return code
}

// runningPID is the process that a file names, if it runs; 0 = none.
func runningPID(file string) int {
	if file == "" {
		return 0
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil || pid <= 0 || syscall.Kill(pid, 0) == syscall.ESRCH {
		return 0
	}
	return pid
}

// replaceFile writes a file in one step: who reads it sees the old or the new one, and a link that somebody put in its
// place is replaced, not followed. What is no regular file, such as a terminal, is written to.
func replaceFile(name string, data []byte, mode os.FileMode) error {
	if st, err := os.Lstat(name); err == nil && !st.Mode().IsRegular() && st.Mode()&os.ModeSymlink == 0 {
		f, err := os.OpenFile(name, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		_, err = f.Write(data)
		return errors.Join(err, f.Close())
	}
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+"-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	if err = errors.Join(err, f.Chmod(mode), f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return os.Rename(f.Name(), name)
}
