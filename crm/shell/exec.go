package shell

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// This file alone of the package starts programs: the editor, a filter, dot, and, when the shell works on a
// file without a daemon, agents of this machine for their metadata.

// Bounds of programs that are asked something.
const (
	metadataTime   = 10 * time.Second
	maxProgramText = 16 << 20
)

// runMetadata runs an OCF agent's meta-data action. The file must belong to root or to the caller and must not
// be writable by others.
func runMetadata(ctx context.Context, root, file string) ([]byte, error) {
	st, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if sys, ok := st.Sys().(*syscall.Stat_t); ok && sys.Uid != 0 && int(sys.Uid) != os.Getuid() {
		return nil, fmt.Errorf("%s belongs to uid %d, neither root nor you: not run", file, sys.Uid)
	}
	if st.Mode().Perm()&0o022 != 0 {
		return nil, fmt.Errorf("%s can be written by others: not run (chmod go-w)", file)
	}
	ctx, cancel := context.WithTimeout(ctx, metadataTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, file, "meta-data")
	name := filepath.Base(file)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "OCF_ROOT=" + root, "OCF_RA_VERSION_MAJOR=1", "OCF_RA_VERSION_MINOR=1",
		"OCF_RESOURCE_TYPE=" + name, "OCF_RESOURCE_INSTANCE=" + name, "OCF_RESOURCE_PROVIDER=" + filepath.Base(filepath.Dir(file))}
	out, err := bounded(cmd)
	if err != nil {
		return nil, fmt.Errorf("metadata of %s: %w", file, err)
	}
	return out, nil
}

// bounded runs a program in a process group of its own and returns its bounded output.
func bounded(cmd *exec.Cmd) ([]byte, error) {
	var out limited
	cmd.Stdout = &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	if out.over {
		return nil, fmt.Errorf("it printed more than %d bytes", maxProgramText)
	}
	return out.Bytes(), err
}

// limited is a buffer that takes a bounded number of bytes.
type limited struct {
	bytes.Buffer
	over bool
}

func (l *limited) Write(p []byte) (int, error) {
	if l.Len()+len(p) > maxProgramText {
		l.over = true
		return 0, errors.New("too much output")
	}
	return l.Buffer.Write(p)
}

// runFilter passes text through a shell command.
func (s *Shell) runFilter(ctx context.Context, program, text string) (string, error) {
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", program)
	cmd.Stdin = strings.NewReader(text)
	cmd.Stderr = s.err
	out, err := bounded(cmd)
	if err != nil {
		return "", fmt.Errorf("filter %q: %w", program, err)
	}
	return string(out), nil
}

// editorProgram is the editor that the user wants.
func (s *Shell) editorProgram() string {
	if s.opts.editor != "" {
		return s.opts.editor
	}
	for _, name := range []string{"CRM_EDITOR", "VISUAL", "EDITOR"} {
		if e := s.cfg.Getenv(name); e != "" {
			return e
		}
	}
	return "vi"
}

// runEditor lets the user edit text.
func (s *Shell) runEditor(ctx context.Context, text string) (string, error) {
	editor := s.editorProgram()
	f, err := os.CreateTemp("", "crm-*.crm")
	if err != nil {
		return "", err
	}
	defer os.Remove(f.Name())
	_, err = io.WriteString(f, text)
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", editor+` "$1"`, "crm", f.Name())
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, s.out, s.err
	if err := s.aside(cmd.Run); err != nil {
		return "", fmt.Errorf("editor %q: %w", editor, err)
	}
	data, err := os.ReadFile(f.Name())
	return string(data), err
}

// runDot draws a graph.
func runDot(ctx context.Context, graph, format, file string) error {
	cmd := exec.CommandContext(ctx, "dot", "-T"+format, "-o", file)
	cmd.Stdin = strings.NewReader(graph)
	if _, err := bounded(cmd); err != nil {
		return fmt.Errorf("dot -T%s: %w (is graphviz installed?)", format, err)
	}
	return nil
}

// systemctl has the service manager do something with the daemon: start, enable, disable.
func systemctl(ctx context.Context, verb string) error {
	program, err := exec.LookPath("systemctl")
	if err != nil {
		return hint(fmt.Errorf("this machine has no systemctl to %s quorated with", verb), "run quorated under your service manager")
	}
	if out, err := exec.CommandContext(ctx, program, verb, "quorated").CombinedOutput(); err != nil {
		return fmt.Errorf("systemctl %s quorated: %w: %s", verb, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// writeNew writes a file that is made when it does not exist.
func writeNew(name, text string) error { return os.WriteFile(name, []byte(text), 0o600) }

// journal returns the log of the daemon on this node.
func journal(ctx context.Context, from, to time.Time) ([]byte, error) {
	program, err := exec.LookPath("journalctl")
	if err != nil {
		return nil, errors.New("this machine has no journalctl")
	}
	args := []string{"--no-pager", "-q", "-o", "short-iso-precise", "-u", "quorated", "-n", "20000"}
	for _, limit := range []struct {
		name string
		at   time.Time
	}{{"--since", from}, {"--until", to}} {
		if !limit.at.IsZero() {
			args = append(args, limit.name, limit.at.Format(time.DateTime))
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 3*metadataTime)
	defer cancel()
	out, err := bounded(exec.CommandContext(ctx, program, args...))
	if err != nil {
		return nil, fmt.Errorf("journalctl: %w", err)
	}
	return out, nil
}
