package subprocess

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// kinds are the ways to end a run that this machine has. "none" is always there.
func kinds(t *testing.T) []string {
	have := []string{"none"}
	for _, kind := range []string{"v1", "v2"} {
		if g, err := findCgroup(Config{Cgroup: kind, CgroupName: "quorate-test"}); err == nil {
			_ = removeGroup(g.dir)
			have = append(have, kind)
		} else {
			t.Logf("without control groups %s: %v", kind, err)
		}
	}
	return have
}

func launcher(t *testing.T, kind string) *Launcher {
	t.Helper()
	l, err := New(Config{Cgroup: kind, CgroupName: "quorate-test-" + strconv.Itoa(os.Getpid()) + "-" + newMark()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = l.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if l.group.dir != "" {
			if err := removeGroup(l.group.dir); err != nil {
				t.Errorf("control group left behind: %v", err)
			}
		}
	})
	return l
}

func script(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "agent")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

var basic = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}

// alive reports whether the process exists and is no zombie.
func alive(pid int) bool {
	s, err := readStat(pid)
	return err == nil && s.state != 'Z'
}

func pidFrom(t *testing.T, file string) int {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

func TestExec_ExitOutputEnvironment(t *testing.T) {
	for _, kind := range kinds(t) {
		t.Run(kind, func(t *testing.T) {
			l := launcher(t, kind)
			path := script(t, `pwd; env | sort; cat; echo err >&2; for i in 3 4 5 6 7 8 9; do [ ! -e /proc/$$/fd/$i ] || echo "descriptor $i"; done; exit 7`)
			o, err := l.Exec(context.Background(), Spec{Path: path, Env: append(basic, "A=b c"), Stdin: []byte("input\n"), Timeout: 10 * time.Second, Head: 4096, Tail: 100})
			if err != nil {
				t.Fatal(err)
			}
			if o.Exit != 7 || o.Signal != 0 || o.TimedOut || o.Killed {
				t.Errorf("outcome = %+v, want exit 7", o)
			}
			var env []string
			out := strings.Split(string(o.Stdout.Head), "\n")
			for _, line := range out {
				name, _, found := strings.Cut(line, "=")
				if found {
					env = append(env, name)
				}
			}
			// The shell itself adds PWD (and some shells SHLVL and _).
			if out[0] != "/" || !strings.HasPrefix(strings.Join(env, " "), "A PATH PWD QUORATE_RUN") {
				t.Errorf("output = %q, want / and the variables A PATH PWD QUORATE_RUN", o.Stdout.Head)
			}
			if !strings.HasSuffix(string(o.Stdout.Head), "\ninput\n") {
				t.Errorf("output = %q, want the standard input at the end, and no descriptor", o.Stdout.Head)
			}
			if string(o.Stderr.Tail) != "err\n" || o.Stderr.Total != 4 {
				t.Errorf("stderr = %q, %d", o.Stderr.Tail, o.Stderr.Total)
			}
			a, b := sha256.Sum256(o.Stdout.Head), sha256.Sum256(o.Stderr.Tail)
			all := sha256.Sum256(append(a[:], b[:]...))
			if o.SHA256 != hex.EncodeToString(all[:]) {
				t.Error("SHA256 is not that of the output")
			}
		})
	}
}

func TestExec_TimeoutKillsTheWholeTree(t *testing.T) {
	for _, kind := range kinds(t) {
		t.Run(kind, func(t *testing.T) {
			l := launcher(t, kind)
			dir := t.TempDir()
			// All ignore TERM: the main process, a child, a child in another session, a daemon that lost its parent.
			path := script(t, `trap '' TERM
sleep 1000 & echo $! >`+dir+`/child
setsid sh -c 'trap "" TERM; echo $$ >`+dir+`/session; sleep 1000; sleep 1000' &
(setsid sh -c 'trap "" TERM; echo $$ >`+dir+`/daemon; sleep 1000; sleep 1000' >/dev/null 2>&1 &)
echo $$ >`+dir+`/main
while :; do sleep 1000; done`)
			begin := time.Now()
			o, err := l.Exec(context.Background(), Spec{Path: path, Env: basic, Timeout: 1500 * time.Millisecond, Grace: 200 * time.Millisecond, Tail: 100})
			if err != nil {
				t.Fatal(err)
			}
			if !o.TimedOut || !o.Killed || o.Leftover != 0 || o.Exit != -1 || o.Signal != syscall.SIGKILL {
				t.Errorf("outcome = %+v, want timed out, killed, nothing left", o)
			}
			if took := time.Since(begin); took < 1700*time.Millisecond || took > 5*time.Second {
				t.Errorf("took %v, want 1.7 s and little more", took)
			}
			for _, name := range []string{"main", "child", "session", "daemon"} {
				if pid := pidFrom(t, filepath.Join(dir, name)); alive(pid) {
					t.Errorf("%s (%d) lives on", name, pid)
					_ = syscall.Kill(pid, syscall.SIGKILL)
				}
			}
		})
	}
}

func TestExec_TermIsEnoughForAnAgentThatCleansUp(t *testing.T) {
	l := launcher(t, "")
	path := script(t, `trap 'echo cleaned; exit 3' TERM; sleep 1000 & wait`)
	o, err := l.Exec(context.Background(), Spec{Path: path, Env: basic, Timeout: 200 * time.Millisecond, Grace: 5 * time.Second, Tail: 100})
	if err != nil {
		t.Fatal(err)
	}
	if !o.TimedOut || o.Exit != 3 || string(o.Stdout.Tail) != "cleaned\n" || o.Duration > 3*time.Second {
		t.Errorf("outcome = %+v %q, want timed out with exit 3 after cleaning", o, o.Stdout.Tail)
	}
}

func TestExec_Cancel(t *testing.T) {
	l := launcher(t, "")
	ctx, cancel := context.WithCancel(context.Background())
	spec := Spec{Path: script(t, `sleep 1000`), Env: basic, Timeout: time.Minute, Started: func(int, string, string) { cancel() }}
	o, err := l.Exec(ctx, spec)
	if err != nil || !o.Cancelled || o.TimedOut || o.Leftover != 0 {
		t.Errorf("Exec() = %+v, %v, want cancelled", o, err)
	}
	if _, err := l.Exec(ctx, spec); !errors.Is(err, context.Canceled) {
		t.Errorf("Exec() after the end = %v, want context.Canceled", err)
	}
}

// A daemon that keeps the pipes neither holds the operation up nor dies when it writes later, and it is no
// business of ours that it lives on.
func TestExec_DaemonKeepsThePipes(t *testing.T) {
	for _, kind := range kinds(t) {
		t.Run(kind, func(t *testing.T) {
			l := launcher(t, kind)
			dir := t.TempDir()
			if err := syscall.Mkfifo(filepath.Join(dir, "go"), 0o600); err != nil {
				t.Fatal(err)
			}
			path := script(t, `cd `+dir+`
setsid sh -c 'echo $$ >pid; read x <go; i=0; while [ $i -lt 3000 ]; do echo 0123456789012345678901234567890123456789; i=$((i+1)); done; echo lived >result.tmp; mv result.tmp result; sleep 1000' &
while [ ! -s pid ]; do :; done
echo started`)
			o, err := l.Exec(context.Background(), Spec{Path: path, Env: basic, Timeout: 20 * time.Second, Tail: 1000})
			if err != nil {
				t.Fatal(err)
			}
			pid := pidFrom(t, filepath.Join(dir, "pid"))
			defer syscall.Kill(-pid, syscall.SIGKILL)
			if o.Exit != 0 || o.TimedOut || string(o.Stdout.Tail) != "started\n" || o.Duration > 5*time.Second {
				t.Errorf("outcome = %+v %q", o, o.Stdout.Tail)
			}
			if !alive(pid) {
				t.Fatal("the daemon is gone")
			}
			if n := l.Lingering(); n != 2 {
				t.Errorf("Lingering() = %d, want 2", n)
			}
			if err := os.WriteFile(filepath.Join(dir, "go"), []byte("x\n"), 0); err != nil {
				t.Fatal(err)
			}
			waitFor(t, "the daemon to have written more than a pipe holds", func() bool {
				_, err := os.Stat(filepath.Join(dir, "result"))
				return err == nil
			})
			_ = syscall.Kill(-pid, syscall.SIGKILL)
			waitFor(t, "pipes, zombie and control group to be gone", func() bool {
				_, statErr := readStat(pid)
				l.sweep()
				l.mu.Lock()
				groups := len(l.emptying)
				l.mu.Unlock()
				return l.Lingering() == 0 && (kind != "none" || statErr != nil) && groups == 0
			})
		})
	}
}

func waitFor(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !condition(); {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
		time.Sleep(2 * time.Millisecond) // the other side is a process; there is nothing to be woken by
	}
}

func TestExec_HugeOutputIsBounded(t *testing.T) {
	l := launcher(t, "")
	path := script(t, `head -c 104857600 /dev/zero; printf end; printf '\377\376' >&2`)
	o, err := l.Exec(context.Background(), Spec{Path: path, Env: basic, Timeout: time.Minute, Head: 10, Tail: 8})
	if err != nil {
		t.Fatal(err)
	}
	if o.Stdout.Total != 104857603 || len(o.Stdout.Head) != 10 || string(o.Stdout.Tail) != "\x00\x00\x00\x00\x00end" || string(o.Stderr.Tail) != "\xff\xfe" {
		t.Errorf("stdout %d bytes, head %q, tail %q, stderr %q", o.Stdout.Total, o.Stdout.Head, o.Stdout.Tail, o.Stderr.Tail)
	}
}

func TestExec_Errors(t *testing.T) {
	l := launcher(t, "")
	noInterpreter := filepath.Join(t.TempDir(), "agent")
	if err := os.WriteFile(noInterpreter, []byte("#!/no/such/interpreter\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	ok := script(t, "exit 0")
	tests := []struct {
		name string
		spec Spec
		want string
	}{
		{"relative path", Spec{Path: "agent", Timeout: 1}, "absolute"},
		{"no timeout", Spec{Path: ok}, "timeout"},
		{"head", Spec{Path: ok, Timeout: 1, Head: MaxHead + 1}, "at most"},
		{"NUL in argument", Spec{Path: ok, Timeout: 1, Args: []string{"a\x00b"}}, "NUL"},
		{"environment", Spec{Path: ok, Timeout: 1, Env: []string{"=x"}}, "NAME=VALUE"},
		{"missing", Spec{Path: ok + "x", Timeout: time.Second}, "no such file"},
		{"no interpreter", Spec{Path: noInterpreter, Timeout: time.Second}, "no such file"},
		{"limit above the hard limit", Spec{Path: script(t, "sleep 10"), Env: basic, Timeout: time.Second, Limits: []Limit{{99, 1}}}, "limit"},
	}
	for _, tt := range tests {
		if o, err := l.Exec(context.Background(), tt.spec); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: Exec() = %+v, %v, want an error with %q", tt.name, o, err, tt.want)
		}
	}
	if l.Cgroup() == "none" {
		return
	}
	if entries, _ := os.ReadDir(l.group.dir); len(groupsIn(entries)) != 0 {
		t.Errorf("control groups left behind: %v", groupsIn(entries))
	}
}

func groupsIn(entries []os.DirEntry) (names []string) {
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names
}

func TestExec_Limits(t *testing.T) {
	l := launcher(t, "")
	spec := Spec{Path: script(t, `sleep 0.2; ulimit -n`), Env: basic, Timeout: 10 * time.Second, Tail: 200, Limits: []Limit{{unix.RLIMIT_NOFILE, 77}}}
	o, err := l.Exec(context.Background(), spec)
	if err != nil || string(o.Stdout.Tail) != "77\n" {
		t.Errorf("Exec() = %q, %v, want 77", o.Stdout.Tail, err)
	}
}

func TestExec_User(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to become another user")
	}
	l := launcher(t, "")
	// A script of this test lies in a directory that others may not enter, so the text goes to a shell.
	o, err := l.Exec(context.Background(), Spec{Path: "/bin/sh", Args: []string{"-c", `id -u; id -g; id -G`}, Env: basic, Timeout: 10 * time.Second, Tail: 200,
		User: &Credential{UID: 65534, GID: 65533, Groups: []uint32{65532}}})
	if want := "65534\n65533\n65533 65532\n"; err != nil || string(o.Stdout.Tail) != want {
		t.Errorf("Exec() = %q, %v, want %q", o.Stdout.Tail, err, want)
	}
}

func TestKillRun_EndsWhatAnEarlierProcessStarted(t *testing.T) {
	for _, kind := range kinds(t) {
		t.Run(kind, func(t *testing.T) {
			l := launcher(t, kind)
			dir := t.TempDir()
			var cgroup, mark string
			spec := Spec{Path: script(t, `setsid sh -c 'echo $$ >`+dir+`/pid; exec sleep 1000' >/dev/null 2>&1 & while [ ! -s `+dir+`/pid ]; do :; done`),
				Env: basic, Timeout: 10 * time.Second, Started: func(_ int, c, m string) { cgroup, mark = c, m }}
			if _, err := l.Exec(context.Background(), spec); err != nil {
				t.Fatal(err)
			}
			pid := pidFrom(t, filepath.Join(dir, "pid"))
			if left := l.KillRun("/sys/fs/cgroup", "no-such-mark"); left != 0 || !alive(pid) {
				t.Fatal("KillRun() with another mark killed it")
			}
			if left := l.KillRun(cgroup, mark); left != 0 || alive(pid) {
				t.Errorf("KillRun() = %d, alive %v", left, alive(pid))
			}
		})
	}
}

func TestChild(t *testing.T) {
	l := launcher(t, "")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	c, err := l.StartChild(ChildSpec{Path: "/bin/sh", Args: []string{"-c", `trap 'exit 5' TERM; echo up >&3; sleep 1000 & wait`}, Env: basic, Files: []*os.File{w}})
	if err != nil {
		t.Fatal(err)
	}
	w.Close()
	if _, err := r.Read(make([]byte, 3)); err != nil {
		t.Fatal(err)
	}
	if err := c.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if exit, sig, err := c.Wait(); exit != 5 || sig != 0 || err != nil {
		t.Errorf("Wait() = %d, %v, %v, want 5", exit, sig, err)
	}
	if err := c.Signal(syscall.SIGTERM); err != nil {
		t.Errorf("Signal() after the end = %v", err)
	}
	_ = syscall.Kill(-c.PID, syscall.SIGKILL)
}

func TestTail(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		tl := tail{max: rapid.IntRange(0, 20).Draw(t, "max")}
		var all []byte
		for _, p := range rapid.SliceOf(rapid.SliceOfN(rapid.Byte(), 0, 30)).Draw(t, "writes") {
			_, _ = tl.Write(p)
			all = append(all, p...)
		}
		want := all[max(0, len(all)-tl.max):]
		if got := tl.bytes(); !bytes.Equal(got, want) {
			t.Fatalf("bytes() = %v, want %v", got, want)
		}
	})
}

func TestParseStat(t *testing.T) {
	t.Parallel()
	got, err := parseStat(7, "7 (a) b ) c) S 1 2 3 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 12345 1 1")
	if want := (stat{pid: 7, parent: 1, group: 2, session: 3, state: 'S', start: 12345}); err != nil || got != want {
		t.Errorf("parseStat() = %+v, %v, want %+v", got, err, want)
	}
	for _, text := range []string{"", "7 (x", "7 (x) S", "7 (x) S a b c 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 x 1"} {
		if s, err := parseStat(7, text); err == nil {
			t.Errorf("parseStat(%q) = %+v, want an error", text, s)
		}
	}
}

func TestOwnGroups(t *testing.T) {
	t.Parallel()
	mounts := `35 24 0:30 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
36 24 0:31 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd
37 24 0:32 /docker/x /sys/fs/cgroup/pid\040s rw - cgroup cgroup rw,pids
38 24 0:33 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
broken line
`
	got := ownGroups(mounts, "9:name=systemd:/system.slice/q\n8:pids:/docker/x/y\n4:memory:/m\n0::/a/b\nbroken\n")
	want := []cgroup{{2, "", "/sys/fs/cgroup/unified/a/b"}, {1, "", "/sys/fs/cgroup/systemd/system.slice/q"}, {1, "", "/sys/fs/cgroup/pid s/y"}}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("ownGroups() = %v, want %v", got, want)
	}
	if got := ownGroups(mounts, "8:pids:/elsewhere\n"); len(got) != 0 {
		t.Errorf("ownGroups() outside of the mount = %v, want none", got)
	}
}

func TestFindCgroup_Refused(t *testing.T) {
	t.Parallel()
	for _, cfg := range []Config{{Cgroup: "v3"}, {CgroupName: "a/b"}, {CgroupName: ".."}} {
		if g, err := findCgroup(cfg); err == nil {
			t.Errorf("findCgroup(%+v) = %v, want an error", cfg, g)
		}
	}
}

// A process that starts agents is killed in the middle; the next one ends the run that went on, and leaves
// the service that an earlier run had started.
func TestRecover(t *testing.T) {
	if dir := os.Getenv("QUORATE_RECOVER"); dir != "" {
		l, err := New(Config{Cgroup: os.Getenv("QUORATE_CGROUP"), CgroupName: "quorate-recover-" + filepath.Base(dir), Journal: filepath.Join(dir, "journal")})
		if err == nil {
			_, err = l.Exec(context.Background(), Spec{Path: filepath.Join(dir, "start"), Env: basic, Timeout: time.Minute})
		}
		if err == nil {
			_, err = l.Exec(context.Background(), Spec{Path: filepath.Join(dir, "hang"), Env: basic, Timeout: time.Minute, Label: "db stop a.1"})
		}
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for _, kind := range kinds(t) {
		t.Run(kind, func(t *testing.T) {
			dir := t.TempDir()
			must(t, os.WriteFile(filepath.Join(dir, "start"), []byte("#!/bin/sh\nsetsid sh -c 'echo $$ >"+dir+"/service; exec sleep 1000' >/dev/null 2>&1 &\nwhile [ ! -s "+dir+"/service ]; do :; done\n"), 0o755))
			must(t, os.WriteFile(filepath.Join(dir, "hang"), []byte("#!/bin/sh\ntrap '' TERM\nsleep 1000 & echo $! >"+dir+"/child\necho $$ >"+dir+"/main\nwait\nsleep 1000\n"), 0o755))
			self, err := os.Executable()
			must(t, err)
			proc, err := os.StartProcess(self, []string{self, "-test.run=^TestRecover$"}, &os.ProcAttr{
				Env: append(os.Environ(), "QUORATE_RECOVER="+dir, "QUORATE_CGROUP="+kind), Files: []*os.File{nil, nil, os.Stderr}})
			must(t, err)
			waitFor(t, "the operation to hang", func() bool {
				text, _ := os.ReadFile(filepath.Join(dir, "main"))
				return len(text) > 0
			})
			must(t, proc.Kill())
			_, err = proc.Wait()
			must(t, err)
			service, main, child := pidFrom(t, filepath.Join(dir, "service")), pidFrom(t, filepath.Join(dir, "main")), pidFrom(t, filepath.Join(dir, "child"))
			defer syscall.Kill(service, syscall.SIGKILL)
			if !alive(main) || !alive(service) {
				t.Fatal("the operation or the service died with its starter; nothing to recover")
			}
			l, err := New(Config{Cgroup: kind, CgroupName: "quorate-recover-" + filepath.Base(dir), Journal: filepath.Join(dir, "journal")})
			must(t, err)
			got, err := l.Recover()
			if err != nil || len(got) != 1 || got[0] != (Interrupted{Label: "db stop a.1", Path: filepath.Join(dir, "hang")}) {
				t.Errorf("Recover() = %+v, %v", got, err)
			}
			if alive(main) || alive(child) || !alive(service) {
				t.Errorf("main alive %v, child alive %v, service alive %v, want only the service", alive(main), alive(child), alive(service))
			}
			if got, err := l.Recover(); err != nil || len(got) != 0 {
				t.Errorf("second Recover() = %+v, %v, want nothing", got, err)
			}
			_ = syscall.Kill(service, syscall.SIGKILL)
			must(t, l.Close())
			if l.group.dir != "" {
				waitFor(t, "the control groups to be empty", func() bool { return removeGroup(l.group.dir) == nil })
			}
		})
	}
}

func TestChildren(t *testing.T) {
	l := launcher(t, "")
	c, err := l.StartChild(ChildSpec{Path: "/bin/sleep", Args: []string{"1000"}, Env: basic})
	must(t, err)
	for what, list := range map[string][]int{"children": children(), "childrenByParent": childrenByParent()} {
		if !slices.Contains(list, c.PID) {
			t.Errorf("%s() = %v, want %d in it", what, list, c.PID)
		}
	}
	must(t, c.Signal(syscall.SIGKILL))
	if exit, sig, err := c.Wait(); exit != -1 || sig != syscall.SIGKILL || err != nil {
		t.Errorf("Wait() = %d, %v, %v, want SIGKILL", exit, sig, err)
	}
}

// A descriptor that this process inherited without close-on-exec does not reach a program, except one that is kept.
func TestSeal(t *testing.T) {
	l := launcher(t, "")
	r, w, err := os.Pipe()
	must(t, err)
	defer r.Close()
	defer w.Close()
	// F_DUPFD leaves close-on-exec off. Numbers from 100 on, because a shell keeps its script open on one from 10 on.
	leak, err := unix.FcntlInt(r.Fd(), unix.F_DUPFD, 100)
	must(t, err)
	defer unix.Close(leak)
	kept, err := unix.FcntlInt(r.Fd(), unix.F_DUPFD, 100)
	must(t, err)
	defer unix.Close(kept)
	open := func() []string {
		o, err := l.Exec(context.Background(), Spec{Path: script(t, fmt.Sprintf(`for fd in %d %d; do [ ! -e /proc/$$/fd/$fd ] || echo $fd; done`, leak, kept)), Env: basic, Timeout: 10 * time.Second, Tail: 1000})
		must(t, err)
		return strings.Fields(string(o.Stdout.Tail))
	}
	if before := open(); !slices.Contains(before, strconv.Itoa(leak)) {
		t.Fatalf("descriptors before = %v, want %d among them: the test shows nothing", before, leak)
	}
	must(t, Seal(kept))
	after := open()
	if slices.Contains(after, strconv.Itoa(leak)) || !slices.Contains(after, strconv.Itoa(kept)) {
		t.Errorf("descriptors after = %v, want %d and not %d", after, kept, leak)
	}
}
