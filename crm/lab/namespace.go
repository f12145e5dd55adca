package lab

import (
	"bufio"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
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

// network moves the taps into the machine, gives them addresses and lets the machine go on. The hardware
// addresses are the same after every start, so that the other machines need not ask anew for them.
func (h *host) network(taps []string, addresses []string) error {
	pid := fmt.Sprint(h.init.Process.Pid)
	batch := "link set lo up\n"
	for i, tap := range taps {
		if err := run("ip", "link", "set", tap, "netns", pid); err != nil {
			return err
		}
		dev := fmt.Sprintf("cl%d", i)
		batch += fmt.Sprintf("link set %s name %s\nlink set %s address 02:51:00:00:%02x:%02x\naddr add %s/24 dev %s\nlink set %s up\n",
			tap, dev, dev, i, h.index+1, addresses[i], dev, dev)
	}
	cmd := exec.Command("nsenter", "-t", pid, "-n", "ip", "-batch", "-")
	cmd.Stdin = strings.NewReader(batch)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("set up the network of %s: %w: %s", h.name, err, strings.TrimSpace(string(out)))
	}
	return h.tell("go")
}

// tell gives the machine's process 1 an order: "go" once, and "start" to start the program again.
func (h *host) tell(order string) error {
	_, err := io.WriteString(h.ready, order+"\n")
	return err
}

// process is a process of a machine, by its id as the lab sees it.
type process struct {
	pid  int
	args []string
}

// processes lists the processes of the machine.
func (h *host) processes() []process {
	own, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", h.init.Process.Pid))
	if err != nil {
		return nil
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var list []process
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if ns, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", pid)); err != nil || ns != own {
			continue
		}
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err != nil || len(data) == 0 {
			continue
		}
		list = append(list, process{pid, strings.Split(strings.TrimRight(string(data), "\x00"), "\x00")})
	}
	return list
}

// daemon lists the processes of the daemon: its runner and its node process, or only the latter.
func (h *host) daemon(onlyNode bool) []int {
	var pids []int
	for _, p := range h.processes() {
		if filepath.Base(p.args[0]) != "quorated" {
			continue
		}
		if node := len(p.args) > 1 && p.args[1] == "node"; node || !onlyNode {
			pids = append(pids, p.pid)
		}
	}
	return pids
}

// powerOff ends every process of the machine at once, as a power switch does, and returns when all are gone.
func (h *host) powerOff() error {
	h.init.Process.Kill()
	h.init.Wait()
	return nil
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

// restartDelay is the time between the death of the program and its next start, as a service manager would wait.
const restartDelay = 100 * time.Millisecond

// Init is process 1 of a machine: it sets up the namespaces, waits for its network, starts the program, starts
// it again when it died, and reaps what is orphaned. When the program has ended in order it stays down until the
// order "start". Init ends when the lab does; then the kernel ends everything else.
func Init(name string, argv []string) error {
	if len(argv) == 0 {
		return errors.New("no program to run")
	}
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
	if err := newBoot(os.Getenv("QUORATE_ROOT")); err != nil {
		return err
	}
	in := bufio.NewReader(os.Stdin)
	if line, err := in.ReadString('\n'); err != nil || line != "go\n" {
		return fmt.Errorf("no network: %v", err)
	}
	orders := make(chan string)
	go func() {
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				close(orders)
				return
			}
			orders <- strings.TrimSpace(line)
		}
	}()
	type end struct {
		pid    int
		status syscall.WaitStatus
	}
	ends := make(chan end)
	go func() {
		for {
			var ws syscall.WaitStatus
			pid, err := syscall.Wait4(-1, &ws, 0, nil)
			switch err {
			case nil:
				ends <- end{pid, ws}
			case syscall.ECHILD:
				time.Sleep(20 * time.Millisecond)
			}
		}
	}()
	null, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	start := func() (int, error) {
		p, err := os.StartProcess(argv[0], argv, &os.ProcAttr{Env: os.Environ(), Files: []*os.File{null, os.Stdout, os.Stderr}})
		if err != nil {
			return 0, fmt.Errorf("start %s: %w", argv[0], err)
		}
		return p.Pid, nil
	}
	program, err := start()
	if err != nil {
		return err
	}
	again := make(chan struct{}, 1)
	for {
		select {
		case order, open := <-orders:
			if !open {
				return nil
			}
			if order == "start" && program == 0 {
				if program, err = start(); err != nil {
					return err
				}
			}
		case <-again:
			if program == 0 {
				if program, err = start(); err != nil {
					return err
				}
			}
		case e := <-ends:
			if e.pid != program {
				continue
			}
			program = 0
			fmt.Fprintf(os.Stderr, "init: the program ended: exit status %d, signal %d\n", e.status.ExitStatus(), e.status.Signal())
			if !e.status.Exited() || e.status.ExitStatus() != 0 {
				time.AfterFunc(restartDelay, func() { again <- struct{}{} })
			}
		}
	}
}

// newBoot gives the machine a boot id of its own, so that a start of the machine can be told from one of the
// daemon.
func newBoot(root string) error {
	if root == "" {
		return errors.New("QUORATE_ROOT is not set")
	}
	var b [16]byte
	if _, err := rand.Read(b[:]); err != nil {
		return err
	}
	file := filepath.Join(root, "boot-id")
	if err := os.WriteFile(file, fmt.Appendf(nil, "%x-%x-%x-%x-%x\n", b[:4], b[4:6], b[6:8], b[8:10], b[10:]), 0o644); err != nil {
		return err
	}
	if err := unix.Mount(file, "/proc/sys/kernel/random/boot_id", "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind boot id: %w", err)
	}
	return nil
}
