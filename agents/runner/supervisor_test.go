package runner

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/quorate/quorate/agents"
	"github.com/quorate/quorate/agents/subprocess"
)

// TestMain is the node process when the Supervisor starts this program as one.
func TestMain(m *testing.M) {
	if mode := os.Getenv("QUORATE_TEST_NODE"); mode != "" {
		nodeProcess(mode, os.Getenv("QUORATE_TEST_DIR"))
	}
	os.Exit(m.Run())
}

func nodeProcess(mode, dir string) {
	fail := func(err error) {
		fmt.Fprintln(os.Stderr, "node process:", err)
		os.Exit(9)
	}
	say := func(format string, args ...any) {
		f, err := os.OpenFile(filepath.Join(dir, "said"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			fail(err)
		}
		fmt.Fprintf(f, format+"\n", args...)
		f.Close()
	}
	terms := make(chan os.Signal, 10)
	signal.Notify(terms, syscall.SIGTERM, syscall.SIGHUP)
	say("up %d", os.Getpid())
	conn, err := Inherited()
	if err != nil {
		fail(err)
	}
	switch mode {
	case "final":
		os.Exit(77)
	case "clean":
		os.Exit(0)
	case "die":
		os.Exit(1)
	case "garbage":
		_, _ = conn.Write([]byte("GET / HTTP/1.0\r\n\r\n"))
		time.Sleep(time.Minute)
	case "deaf":
		signal.Ignore(syscall.SIGTERM)
		say("deaf")
		time.Sleep(time.Minute)
	}
	c := NewClient(conn, ClientConfig{
		OnHello:  func(runs []RunInfo) { say("hello %d", len(runs)) },
		OnResult: func(res agents.Result) { say("result %s %d", res.ID, res.RC) },
	})
	go func() {
		if err := c.Run(context.Background()); err != nil {
			fail(err)
		}
	}()
	if l, err := InheritedListener(); err == nil {
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				fmt.Fprintf(conn, "node %d\n", os.Getpid())
				conn.Close()
			}
		}()
	}
	if _, err := os.Stat(filepath.Join(dir, "started")); err != nil {
		if err := os.WriteFile(filepath.Join(dir, "started"), nil, 0o600); err != nil {
			fail(err)
		}
		if err := c.Start(agents.Request{ID: "run-1", Resource: "db", Agent: agents.Ref{Class: "ocf", Provider: "p", Type: "T"}, Operation: "start", Timeout: time.Minute}); err != nil {
			fail(err)
		}
	}
	for s := range terms {
		say("signal %v", s)
		if s == syscall.SIGTERM {
			os.Exit(0)
		}
	}
}

type supervised struct {
	dir     string
	class   *class
	signals chan os.Signal
	done    chan error
	cancel  context.CancelFunc
}

func supervise(t *testing.T, mode string, change func(*Process)) *supervised {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	launcher, err := subprocess.New(subprocess.Config{CgroupName: "quorate-supervisor-test-" + strconv.Itoa(os.Getpid())})
	if err != nil {
		t.Fatal(err)
	}
	s := &supervised{dir: t.TempDir(), class: newClass(), signals: make(chan os.Signal, 10), done: make(chan error, 1)}
	r := newRunner(t, Config{Classes: map[string]agents.Agent{"ocf": s.class}, Audit: &log{}})
	p := Process{Path: self, Args: []string{"-test.run=^$"}, Env: []string{"QUORATE_TEST_NODE=" + mode, "QUORATE_TEST_DIR=" + s.dir}, Final: []int{77}}
	if change != nil {
		change(&p)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	go func() {
		s.done <- (&Supervisor{Launcher: launcher, Runner: r, Process: p}).Run(ctx, s.signals)
		close(s.done)
	}()
	t.Cleanup(func() {
		cancel()
		for range s.done {
		}
		_ = launcher.Close()
	})
	return s
}

// said waits until the node processes have said the line, n times in all.
func (s *supervised) said(t *testing.T, line string, n int) []string {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; {
		text, err := os.ReadFile(filepath.Join(s.dir, "said"))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		var found []string
		for l := range strings.Lines(string(text)) {
			if strings.HasPrefix(l, line) {
				found = append(found, strings.TrimSpace(l))
			}
		}
		if len(found) >= n {
			return found
		}
		if time.Now().After(deadline) {
			t.Fatalf("%q was not said %d times in\n%s", line, n, text)
		}
		time.Sleep(2 * time.Millisecond) // the other side is a process that writes a file
	}
}

// The node process is killed while a run goes on: it is started again, hears of the run, and gets its result.
func TestSupervisor_RestartAdoptsRuns(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "api.sock")
	api, err := ListenAPI(socket, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	s := supervise(t, "normal", func(p *Process) { p.API = api.File })
	receive(t, "the run", s.class.begin)
	s.said(t, "hello 0", 1)
	pid, err := strconv.Atoi(strings.TrimPrefix(s.said(t, "up", 1)[0], "up "))
	if err != nil {
		t.Fatal(err)
	}
	if got := dial(t, socket); got != fmt.Sprintf("node %d", pid) {
		t.Errorf("the API answers %q, want node %d", got, pid)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s.said(t, "hello 1", 1)
	second := strings.TrimPrefix(s.said(t, "up", 2)[1], "up ")
	if got := dial(t, socket); got != "node "+second { // the socket was there all the time
		t.Errorf("the API answers %q, want node %s", got, second)
	}
	s.class.gate("run-1") <- agents.Result{RC: 7}
	s.said(t, "result run-1 7", 1)
	s.signals <- syscall.SIGHUP
	s.said(t, "signal hangup", 1)
	s.signals <- syscall.SIGINT
	s.said(t, "signal terminated", 1)
	if err := receive(t, "the end", s.done); err != nil {
		t.Errorf("Run() = %v, want nil", err)
	}
	if len(s.class.started) != 1 {
		t.Errorf("%d runs, want 1", len(s.class.started))
	}
	if err := api.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left behind: %v", err)
	}
}

func dial(t *testing.T, socket string) string {
	t.Helper()
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	return strings.TrimSpace(line)
}

func TestSupervisor_Ends(t *testing.T) {
	t.Parallel()
	s := supervise(t, "final", nil)
	if err := receive(t, "the end", s.done); !errors.Is(err, ErrNodeRefused) || !strings.Contains(err.Error(), "77") {
		t.Errorf("final code: Run() = %v", err)
	}
	s = supervise(t, "clean", nil)
	if err := receive(t, "the end", s.done); err != nil {
		t.Errorf("code 0: Run() = %v", err)
	}
	s = supervise(t, "clean", func(p *Process) { p.Path = "/no/such/program" })
	if err := receive(t, "the end", s.done); err == nil {
		t.Error("missing program: Run() = nil")
	}
	s = supervise(t, "deaf", func(p *Process) { p.Stop = 100 * time.Millisecond })
	s.said(t, "deaf", 1)
	s.signals <- syscall.SIGTERM
	if err := receive(t, "the end", s.done); err != nil {
		t.Errorf("deaf: Run() = %v", err)
	}
	s = supervise(t, "normal", nil)
	s.said(t, "hello", 1)
	s.cancel()
	if err := receive(t, "the end", s.done); err != nil {
		t.Errorf("context: Run() = %v", err)
	}
}

// One that dies at once is started again with growing pauses, one that speaks nonsense is killed and started again.
func TestSupervisor_StartsAgain(t *testing.T) {
	t.Parallel()
	begin := time.Now()
	s := supervise(t, "die", nil)
	s.said(t, "up", 4)
	if took := time.Since(begin); took < firstPause+2*firstPause {
		t.Errorf("four starts in %v, want pauses of %v and its double", took, firstPause)
	}
	s.signals <- syscall.SIGTERM
	if err := receive(t, "the end", s.done); err != nil {
		t.Errorf("Run() = %v", err)
	}
	s = supervise(t, "garbage", nil)
	s.said(t, "up", 2)
}

func TestListenAPI_Refused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "api.sock")
	api, err := ListenAPI(path, 0o660)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(path); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("socket: %v, %v, want mode 0660", info, err)
	}
	if _, err := ListenAPI(path, 0o660); !errors.Is(err, ErrRunning) {
		t.Errorf("second: ListenAPI() = %v, want ErrRunning", err)
	}
	// A runner that died leaves its socket; the next one takes its place.
	api.File.Close()
	if err := api.lock.Release(); err != nil {
		t.Fatal(err)
	}
	if api, err = ListenAPI(path, 0o660); err != nil {
		t.Fatalf("after a crash: ListenAPI() = %v", err)
	}
	if err := api.Close(); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	loose := filepath.Join(dir, "loose")
	if err := errors.Join(os.Mkdir(loose, 0o755), os.Chmod(loose, 0o777)); err != nil {
		t.Fatal(err)
	}
	for what, path := range map[string]string{"a file is there": path, "relative": "api.sock", "long": filepath.Join(dir, strings.Repeat("x", 200)),
		"no directory": filepath.Join(dir, "none/api.sock"), "loose directory": filepath.Join(loose, "api.sock")} {
		if api, err := ListenAPI(path, 0o660); err == nil {
			t.Errorf("%s: ListenAPI() passes", what)
			_ = api.Close()
		}
	}
}
