package lab

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// host is a namespace set with its own network, process ids, host name and mounts: one machine of the lab.
type host struct {
	name  string
	index int
	init  *exec.Cmd
	ready io.WriteCloser
	root  string
	log   *os.File
}

// startHost starts the init process of a machine and waits until it runs.
func startHost(name string, index int, root string, argv []string, env []string, log *os.File) (*host, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	h := &host{name: name, index: index, root: root, log: log}
	h.init = exec.Command(self, append([]string{"init", name}, argv...)...)
	h.init.Env = env
	h.init.Stdout, h.init.Stderr = log, log
	h.init.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWUTS | unix.CLONE_NEWPID | unix.CLONE_NEWNS,
		Pdeathsig:  syscall.SIGKILL,
		Setsid:     true,
	}
	if h.ready, err = h.init.StdinPipe(); err != nil {
		return nil, err
	}
	if err := h.init.Start(); err != nil {
		return nil, fmt.Errorf("start machine %s (needs root): %w", name, err)
	}
	return h, nil
}

// network moves the taps into the machine, gives them addresses and lets the machine go on.
func (h *host) network(taps []string, addresses []string) error {
	pid := fmt.Sprint(h.init.Process.Pid)
	for i, tap := range taps {
		if err := run("ip", "link", "set", tap, "netns", pid); err != nil {
			return err
		}
		dev := fmt.Sprintf("cl%d", i)
		for _, args := range [][]string{
			{"link", "set", tap, "name", dev}, {"addr", "add", addresses[i] + "/24", "dev", dev}, {"link", "set", dev, "up"},
		} {
			if err := run("nsenter", append([]string{"-t", pid, "-n", "ip"}, args...)...); err != nil {
				return err
			}
		}
	}
	if err := run("nsenter", "-t", pid, "-n", "ip", "link", "set", "lo", "up"); err != nil {
		return err
	}
	if _, err := io.WriteString(h.ready, "go\n"); err != nil {
		return err
	}
	return h.ready.Close()
}

// powerOff ends every process of the machine at once, as a power switch does, and returns when all are gone.
func (h *host) powerOff() error {
	h.init.Process.Kill()
	h.init.Wait()
	return nil
}

// alive reports whether the machine has power.
func (h *host) alive() bool {
	return h.init.ProcessState == nil && h.init.Process.Signal(syscall.Signal(0)) == nil
}

// exec runs a command inside the machine and returns its output.
func (h *host) exec(timeout time.Duration, argv ...string) (string, error) {
	args := append([]string{"-t", fmt.Sprint(h.init.Process.Pid), "-n", "-u", "-p", "-m", "--"}, argv...)
	cmd := exec.Command("nsenter", args...)
	cmd.Env = append(os.Environ(), "QUORATE_ROOT="+h.root)
	timer := time.AfterFunc(timeout, func() { cmd.Process.Kill() })
	defer timer.Stop()
	out, err := cmd.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("%s on %s: %w: %s", strings.Join(argv, " "), h.name, err, strings.TrimSpace(string(out)))
	}
	return string(out), nil
}

func run(name string, args ...string) error {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// Init is process 1 of a machine: it sets up the namespaces, waits for its network, starts the program and
// reaps what is orphaned. It ends when the program has ended; then the kernel ends everything else.
func Init(name string, argv []string) error {
	if err := unix.Sethostname([]byte(name)); err != nil {
		return fmt.Errorf("set host name: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	if err := unix.Mount("sysfs", "/sys", "sysfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount /sys: %w", err)
	}
	if line, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil || line != "go\n" {
		return fmt.Errorf("no network: %v", err)
	}
	if len(argv) == 0 {
		return reap(0)
	}
	path, err := filepath.Abs(argv[0])
	if err != nil {
		return err
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	p, err := os.StartProcess(path, argv, &os.ProcAttr{Env: os.Environ(), Files: []*os.File{null, os.Stdout, os.Stderr}})
	if err != nil {
		return fmt.Errorf("start %s: %w", path, err)
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	go func() {
		<-stop
		p.Signal(syscall.SIGTERM)
	}()
	return reap(p.Pid)
}

// reap waits for children until main has ended. A main of 0 never ends.
func reap(main int) error {
	for {
		var ws syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &ws, 0, nil)
		switch {
		case err == syscall.EINTR:
		case err == syscall.ECHILD:
			time.Sleep(50 * time.Millisecond)
		case err != nil:
			return err
		case pid == main:
			if ws.ExitStatus() != 0 {
				return fmt.Errorf("the daemon ended: %v", ws)
			}
			return nil
		}
	}
}
