package runner

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/quorate/quorate/agents"
	"github.com/quorate/quorate/agents/ocf"
	"github.com/quorate/quorate/agents/subprocess"
	"github.com/quorate/quorate/crm/audit"
)

// class is an agent class whose runs last until they are let go.
type class struct {
	mu      sync.Mutex
	started []agents.Request
	secrets []map[string]agents.Secret
	begin   chan string // receives the id of each run that begins
	release map[string]chan agents.Result
}

func newClass() *class {
	return &class{begin: make(chan string, 100), release: map[string]chan agents.Result{}}
}

func (c *class) gate(id string) chan agents.Result {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.release[id] == nil {
		c.release[id] = make(chan agents.Result, 1)
	}
	return c.release[id]
}

func (c *class) Run(ctx context.Context, req agents.Request, secrets map[string]agents.Secret) (agents.Result, agents.Execution) {
	gate := c.gate(req.ID)
	c.mu.Lock()
	c.started = append(c.started, req)
	c.secrets = append(c.secrets, secrets)
	c.mu.Unlock()
	c.begin <- req.ID
	select {
	case res := <-gate:
		return res, agents.Execution{File: "/agents/x", SHA256: "abc", PID: 42, EnvNames: []string{"PATH"}}
	case <-ctx.Done():
		return agents.Refused(req, agents.StatusCancelled, agents.RCUnknown, "cancelled"), agents.Execution{}
	}
}

func (c *class) Metadata(_ context.Context, ref agents.Ref) ([]byte, error) {
	if ref.Type == "No" {
		return nil, errors.New("there is none")
	}
	return []byte("<" + ref.Type + "/>"), nil
}

func (c *class) List(context.Context) ([]agents.Ref, error) {
	return []agents.Ref{{Class: "ocf", Provider: "p", Type: "A"}}, nil
}

// log is an Auditor that keeps records in memory.
type log struct {
	mu      sync.Mutex
	records []string
	durable []string
	err     error
}

func (l *log) Append(event string, data map[string]any, durable bool) (audit.Head, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return audit.Head{}, l.err
	}
	l.records = append(l.records, fmt.Sprintf("%s %v", event, data))
	if durable {
		l.durable = append(l.durable, event)
	}
	return audit.Head{Node: "n1", Seq: uint64(len(l.records)), Hash: "h"}, nil
}

func (l *log) Sync(uint64) error { return nil }
func (l *log) Head() audit.Head {
	l.mu.Lock()
	defer l.mu.Unlock()
	return audit.Head{Node: "n1", Seq: uint64(len(l.records)), Hash: "h"}
}

func (l *log) find(t *testing.T, parts ...string) string {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.records {
		if !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(r, p) }) {
			return r
		}
	}
	t.Errorf("no audit record with %q in\n%s", parts, strings.Join(l.records, "\n"))
	return ""
}

func newRunner(t *testing.T, cfg Config) *Runner {
	t.Helper()
	r, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// node is a node process in the test.
type node struct {
	*Client
	results chan agents.Result
	hello   chan []RunInfo
	stop    func()
}

func connect(t *testing.T, r *Runner) *node {
	t.Helper()
	a, b := net.Pipe()
	served := make(chan error, 1)
	go func() { served <- r.Serve(context.Background(), a) }()
	n := &node{results: make(chan agents.Result, 100), hello: make(chan []RunInfo, 1)}
	n.Client = NewClient(b, ClientConfig{OnHello: func(runs []RunInfo) { n.hello <- runs }, OnResult: func(res agents.Result) { n.results <- res }})
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- n.Client.Run(ctx) }()
	n.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ran; err != nil {
			t.Errorf("Client.Run() = %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("Serve() = %v", err)
		}
	})
	t.Cleanup(n.stop)
	return n
}

func request(id string, params map[string]string) agents.Request {
	return agents.Request{ID: id, Resource: "db", Agent: agents.Ref{Class: "ocf", Provider: "p", Type: "T"}, Operation: "start", Timeout: time.Minute, Params: params}
}

func receive[T any](t *testing.T, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(30 * time.Second):
		t.Fatalf("waited in vain for %s", what)
		panic("unreachable")
	}
}

func TestRun_ResultAndRecord(t *testing.T) {
	t.Parallel()
	c, l := newClass(), &log{}
	n := connect(t, newRunner(t, Config{Classes: map[string]agents.Agent{"ocf": c}, Audit: l}))
	if runs := receive(t, "hello", n.hello); len(runs) != 0 {
		t.Errorf("hello = %v, want no runs", runs)
	}
	if err := n.Start(request("r1", map[string]string{"ip": "10.0.0.1"})); err != nil {
		t.Fatal(err)
	}
	receive(t, "the run", c.begin)
	want := agents.Result{RC: 7, Reason: "why", Output: "out", ExecTime: time.Second, Started: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC), Finished: time.Date(2026, 1, 2, 3, 4, 6, 6, time.UTC)}
	c.gate("r1") <- want
	got := receive(t, "the result", n.results)
	want.ID = "r1"
	if !reflect.DeepEqual(got, want) {
		t.Errorf("result = %+v, want %+v", got, want)
	}
	if rec := l.find(t, "agent-run", "run:r1", "resource:db", "ocf:p:T", "sha256:abc", "pid:42", "rc:7", "parameters:[ip]"); strings.Contains(rec, "10.0.0.1") {
		t.Errorf("the record shows a value: %s", rec)
	}
}

// A node process that was restarted hears of everything that it has not acknowledged, and repeats nothing.
func TestServe_Adoption(t *testing.T) {
	t.Parallel()
	c := newClass()
	r := newRunner(t, Config{Classes: map[string]agents.Agent{"ocf": c}, Audit: &log{}})
	n := connect(t, r)
	for _, id := range []string{"acked", "finished", "going"} {
		if err := n.Start(request(id, nil)); err != nil {
			t.Fatal(err)
		}
		receive(t, "the run", c.begin)
	}
	for _, id := range []string{"acked", "finished"} {
		c.gate(id) <- agents.Result{RC: 1}
		receive(t, "the result", n.results)
	}
	if err := n.Ack("acked"); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Head(context.Background()); err != nil { // the acknowledgement was read before it
		t.Fatal(err)
	}
	n.stop()
	if err := n.Start(request("x", nil)); !errors.Is(err, ErrGone) {
		t.Errorf("Start() without connection = %v, want ErrGone", err)
	}
	n = connect(t, r)
	runs := receive(t, "hello", n.hello)
	if len(runs) != 2 || runs[0].ID != "finished" || !runs[0].Finished || runs[1].ID != "going" || runs[1].Finished || runs[1].Resource != "db" || runs[1].Timeout != time.Minute || runs[1].Age <= 0 {
		t.Errorf("hello = %+v, want finished and going", runs)
	}
	if res := receive(t, "the kept result", n.results); res.ID != "finished" || res.RC != 1 {
		t.Errorf("result = %+v", res)
	}
	for _, id := range []string{"going", "finished"} { // both are known
		if err := n.Start(request(id, nil)); err != nil {
			t.Fatal(err)
		}
	}
	if res := receive(t, "the kept result again", n.results); res.ID != "finished" {
		t.Errorf("result = %+v", res)
	}
	c.gate("going") <- agents.Result{RC: 5}
	if res := receive(t, "the result of the adopted run", n.results); res.ID != "going" || res.RC != 5 {
		t.Errorf("result = %+v", res)
	}
	if len(c.started) != 3 {
		t.Errorf("%d runs, want 3", len(c.started))
	}
}

func TestRun_Cancel(t *testing.T) {
	t.Parallel()
	c := newClass()
	n := connect(t, newRunner(t, Config{Classes: map[string]agents.Agent{"ocf": c}, Audit: &log{}}))
	if err := n.Start(request("r1", nil)); err != nil {
		t.Fatal(err)
	}
	receive(t, "the run", c.begin)
	for _, id := range []string{"no such run", "r1", "r1"} {
		if err := n.Cancel(id); err != nil {
			t.Fatal(err)
		}
	}
	if res := receive(t, "the result", n.results); res.Status != agents.StatusCancelled {
		t.Errorf("result = %+v, want cancelled", res)
	}
}

func TestRun_RefusedAndRecorded(t *testing.T) {
	t.Parallel()
	l := &log{}
	r := newRunner(t, Config{Classes: map[string]agents.Agent{"ocf": newClass()}, Audit: l})
	a, b := net.Pipe()
	go func() { _ = r.Serve(context.Background(), a) }()
	defer b.Close()
	// By hand, since the client refuses most of these itself.
	say := func(m Message) {
		t.Helper()
		frame, err := encode(m)
		if err == nil {
			_, err = b.Write(frame)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	hear := func() Message {
		t.Helper()
		m, err := readMessage(b)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	say(Message{Kind: KindHello, Hello: &Hello{Version: Version}})
	hear()
	for id, tt := range map[string]struct {
		change func(*agents.Request)
		status agents.Status
		record string
	}{
		"a": {func(q *agents.Request) { q.Resource = "$(touch canary)" }, agents.StatusInvalid, "touch canary"},
		"b": {func(q *agents.Request) { q.Agent.Type = "../../bin/sh" }, agents.StatusInvalid, "bin/sh"},
		"c": {func(q *agents.Request) { q.Agent = agents.Ref{Class: "lsb", Type: "x"} }, agents.StatusNotInstalled, "lsb:x"},
		"d": {func(q *agents.Request) { q.Timeout = 0 }, agents.StatusInvalid, "timeout"},
		"e": {func(q *agents.Request) { q.Params = map[string]string{"LD_PRELOAD=x": ""} }, agents.StatusInvalid, "LD_PRELOAD"},
		"f": {func(q *agents.Request) { q.Params = map[string]string{"p": "ref:file:/etc/shadow"} }, agents.StatusNoSecrets, "no source of secrets"},
		"g": {func(q *agents.Request) { q.Operation = "start\nforged" }, agents.StatusInvalid, "start forged"},
	} {
		q := request(id, nil)
		tt.change(&q)
		say(Message{Kind: KindRun, Run: &q})
		if m := hear(); m.Result == nil || m.Result.ID != id || m.Result.Status != tt.status || m.Result.Reason == "" {
			t.Errorf("%s: answer = %+v, want %v", id, m.Result, tt.status)
		}
		l.find(t, "agent-run", "run:"+id, tt.record)
	}
}

func TestServe_ProtocolBroken(t *testing.T) {
	t.Parallel()
	hello, err := encode(Message{Kind: KindHello, Hello: &Hello{Version: Version}})
	if err != nil {
		t.Fatal(err)
	}
	frame := func(m Message) []byte {
		f, err := encode(m)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	for what, bytes := range map[string][]byte{
		"no hello":          frame(Message{Kind: KindRun}),
		"other version":     frame(Message{Kind: KindHello, Hello: &Hello{Version: 99}}),
		"empty frame":       append(slices.Clone(hello), 0, 0, 0, 0),
		"huge frame":        append(slices.Clone(hello), 0xff, 0xff, 0xff, 0xff),
		"not CBOR":          append(slices.Clone(hello), 0, 0, 0, 2, 0xff, 0xff),
		"unknown kind":      append(slices.Clone(hello), frame(Message{Kind: 77})...),
		"runner's own kind": append(slices.Clone(hello), frame(Message{Kind: KindResult})...),
		"run without":       append(slices.Clone(hello), frame(Message{Kind: KindRun})...),
		"run without id":    append(slices.Clone(hello), frame(Message{Kind: KindRun, Run: &agents.Request{}})...),
		"audit without":     append(slices.Clone(hello), frame(Message{Kind: KindAudit})...),
		"metadata without":  append(slices.Clone(hello), frame(Message{Kind: KindMetadata})...),
		"unknown field":     append(slices.Clone(hello), 0, 0, 0, 6, 0xa2, 1, 1, 0x18, 99, 1),
	} {
		r := newRunner(t, Config{Audit: &log{}})
		a, b := net.Pipe()
		served := make(chan error, 1)
		go func() { served <- r.Serve(context.Background(), a) }()
		go func() {
			buf := make([]byte, 1000)
			for {
				if _, err := b.Read(buf); err != nil {
					return
				}
			}
		}()
		_, _ = b.Write(bytes)
		if err := receive(t, what, served); !errors.Is(err, ErrProtocol) {
			t.Errorf("%s: Serve() = %v, want ErrProtocol", what, err)
		}
		b.Close()
	}
}

func TestQueriesAndAudit(t *testing.T) {
	t.Parallel()
	l := &log{}
	n := connect(t, newRunner(t, Config{Classes: map[string]agents.Agent{"ocf": newClass()}, Audit: l}))
	ctx := context.Background()
	if text, err := n.Metadata(ctx, agents.Ref{Class: "ocf", Provider: "p", Type: "A"}); err != nil || string(text) != "<A/>" {
		t.Errorf("Metadata() = %q, %v", text, err)
	}
	for _, ref := range []agents.Ref{{Class: "ocf", Provider: "p", Type: "No"}, {Class: "lsb", Type: "x"}, {Class: "ocf", Provider: "..", Type: "x"}} {
		if text, err := n.Metadata(ctx, ref); err == nil {
			t.Errorf("Metadata(%v) = %q, want an error", ref, text)
		}
	}
	if list, err := n.List(ctx, "ocf"); err != nil || len(list) != 1 {
		t.Errorf("List() = %v, %v", list, err)
	}
	if list, err := n.List(ctx, "nosuch"); err == nil {
		t.Errorf("List(nosuch) = %v, want an error", list)
	}
	head, err := n.Audit(ctx, "config-write", map[string]any{"n": 1, "list": []string{"a"}, "source": "runner"}, true)
	if err != nil || head.Seq != 1 || head.Node != "n1" {
		t.Errorf("Audit() = %v, %v", head, err)
	}
	l.find(t, "config-write", "list:[a]", "n:1", "source:node")
	for _, event := range []string{"agent-run", "fence-run", "fence-start", "runner-start"} {
		if _, err := n.Audit(ctx, event, nil, false); err == nil {
			t.Errorf("Audit(%s) passes, want refused", event)
		}
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := n.Audit(cancelled, "x", nil, false); !errors.Is(err, context.Canceled) {
		t.Errorf("Audit() with ended context = %v", err)
	}
}

// When no record can be written, the run goes on all the same.
func TestRun_AuditFails(t *testing.T) {
	t.Parallel()
	c := newClass()
	n := connect(t, newRunner(t, Config{Classes: map[string]agents.Agent{"stonith": c}, Audit: &log{err: errors.New("disk full")}}))
	req := request("f", nil)
	req.Agent, req.Operation = agents.Ref{Class: "stonith", Type: "fence_x"}, agents.OpOff
	if err := n.Start(req); err != nil {
		t.Fatal(err)
	}
	receive(t, "the run", c.begin)
	c.gate("f") <- agents.Result{}
	if res := receive(t, "the result", n.results); res.Status != agents.StatusDone {
		t.Errorf("result = %+v, want done", res)
	}
}

func TestRun_FencingIsRecordedBefore(t *testing.T) {
	t.Parallel()
	c, l := newClass(), &log{}
	n := connect(t, newRunner(t, Config{Classes: map[string]agents.Agent{"stonith": c}, Audit: l}))
	req := request("f", nil)
	req.Agent, req.Operation = agents.Ref{Class: "stonith", Type: "fence_x"}, agents.OpOff
	if err := n.Start(req); err != nil {
		t.Fatal(err)
	}
	receive(t, "the run", c.begin)
	l.find(t, "fence-start", "operation:off")
	if !slices.Equal(l.durable, []string{"fence-start"}) {
		t.Errorf("durable records = %v", l.durable)
	}
	c.gate("f") <- agents.Result{}
	receive(t, "the result", n.results)
	l.find(t, "fence-run")
}

func TestFinish_KeptResultsAreBounded(t *testing.T) {
	t.Parallel()
	r := newRunner(t, Config{Audit: &log{}})
	for i := range MaxKept + 10 {
		id := strconv.Itoa(i)
		r.runs[id] = &entry{cancel: func() {}}
		r.finish(id, agents.Result{ID: id})
	}
	if len(r.runs) != MaxKept || r.runs["0"] != nil || r.runs[strconv.Itoa(MaxKept+9)] == nil {
		t.Errorf("%d kept, want %d, the newest", len(r.runs), MaxKept)
	}
	// All of them reach the next node process.
	n := connect(t, r)
	if runs := receive(t, "hello", n.hello); len(runs) != MaxKept {
		t.Errorf("hello names %d runs, want %d", len(runs), MaxKept)
	}
	go func() {
		for range n.results {
		}
	}()
}

// What an earlier runner left going on is ended and recorded.
func TestRecover(t *testing.T) {
	t.Parallel()
	journal := filepath.Join(t.TempDir(), "runs")
	launcher, err := subprocess.New(subprocess.Config{Cgroup: "none", Journal: journal})
	if err != nil {
		t.Fatal(err)
	}
	defer launcher.Close()
	mark := "0123456789abcdef01234567"
	child, err := launcher.StartChild(subprocess.ChildSpec{Path: "/bin/sleep", Args: []string{"1000"}, Env: []string{"QUORATE_RUN=" + mark}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(journal, "run-1"), []byte(mark+"\n/agents/p/T\ndb stop a.1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	l := &log{}
	if err := newRunner(t, Config{Audit: l}).Recover(launcher); err != nil {
		t.Error(err)
	}
	if _, sig, err := child.Wait(); sig != syscall.SIGKILL || err != nil {
		t.Errorf("the run ended with %v, %v, want SIGKILL", sig, err)
	}
	l.find(t, "agent-interrupted", "file:/agents/p/T", "run:db stop a.1", "leftover:0")
}

func secretFile(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func TestSecrets(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	dir, creds := filepath.Join(base, "secrets"), filepath.Join(base, "creds")
	secretFile(t, filepath.Join(dir, "good"), "hunter2\n", 0o600)
	secretFile(t, filepath.Join(dir, "sub/deep"), "a\nb\r\n", 0o400)
	secretFile(t, filepath.Join(creds, "cred"), "c", 0o400)
	secretFile(t, filepath.Join(dir, "empty"), "\n", 0o600)
	secretFile(t, filepath.Join(dir, "open"), "x", 0o640)
	secretFile(t, filepath.Join(dir, "nul"), "a\x00b", 0o600)
	secretFile(t, filepath.Join(dir, "large"), strings.Repeat("x", agents.MaxValue+1), 0o600)
	secretFile(t, filepath.Join(base, "outside"), "x", 0o600)
	secretFile(t, filepath.Join(dir, "loose/file"), "x", 0o600)
	for link, target := range map[string]string{"link": "good", "out": "../outside", "dirlink": "sub"} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Chmod(filepath.Join(dir, "loose"), 0o777), syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o600)); err != nil {
		t.Fatal(err)
	}
	s, err := NewSecrets(SecretsConfig{Directories: []string{dir}, Environment: []string{"ONE", "Q_*"}, Credentials: creds})
	if err != nil {
		t.Fatal(err)
	}
	s.env = func(name string) (string, bool) {
		v, found := map[string]string{"ONE": "1", "Q_TWO": "2", "Q_EMPTY": "", "HOME": "/root"}[name]
		return v, found
	}
	plain, secrets, err := s.Resolve(t.Context(), map[string]string{"a": "ref:file:" + dir + "/good", "b": "ref:file:" + dir + "/sub/deep", "c": "ref:credential:cred",
		"d": "ref:env:ONE", "e": "ref:env:Q_TWO", "f": "plain", "g": "a ref:file:x"}, nil)
	if err != nil || !reflect.DeepEqual(plain, map[string]string{"f": "plain", "g": "a ref:file:x"}) {
		t.Fatalf("Resolve() = %v, %v", plain, err)
	}
	for name, want := range map[string]string{"a": "hunter2", "b": "a\nb", "c": "c", "d": "1", "e": "2"} {
		if got := secrets[name].Reveal(); got != want {
			t.Errorf("secret %s = %q, want %q", name, got, want)
		}
	}
	for ref, want := range map[string]string{
		"file:" + dir + "/none": "no such file", "file:" + dir + "/empty": "empty", "file:" + dir + "/open": "chmod 600", "file:" + dir + "/nul": "NUL",
		"file:" + dir + "/large": "more than", "file:" + dir + "/link": "symbolic link", "file:" + dir + "/out": "symbolic link", "file:" + dir + "/dirlink/deep": "not a directory",
		"file:" + base + "/outside": "does not lie", "file:" + dir + "/../outside": "shortest form", "file:good": "absolute", "file:" + dir: "does not lie",
		"file:" + dir + "/loose/file": "others", "file:" + dir + "/fifo": "regular", "file:" + dir + "/sub": "regular",
		"credential:none": "no such file", "credential:../secrets/good": "not allowed", "env:HOME": "not listed", "env:Q_NONE": "not set", "env:Q_EMPTY": "empty",
		"exec:rm": "not named in quorated.toml", "vault:x": "not known", "file:": "expected", "": "expected", "file": "expected",
	} {
		plain, secrets, err := s.Resolve(t.Context(), map[string]string{"p": "ref:" + ref}, nil)
		if !errors.Is(err, ErrSecret) || !strings.Contains(err.Error(), want) || plain != nil || secrets != nil {
			t.Errorf("%s: Resolve() = %v, %v, want an error with %q", ref, plain, err, want)
		}
	}
	var none *Secrets
	if _, _, err := none.Resolve(t.Context(), map[string]string{"p": "ref:env:X"}, nil); !errors.Is(err, ErrSecret) {
		t.Errorf("Resolve() without sources = %v", err)
	}
	for _, cfg := range []SecretsConfig{{Directories: []string{"x"}}, {Directories: []string{"/"}}, {Directories: []string{"/a/../b"}}, {Credentials: "y"}} {
		if _, err := NewSecrets(cfg); err == nil {
			t.Errorf("NewSecrets(%v) passes", cfg)
		}
	}
}

// The canary: a secret reaches the agent, and nothing else.
func TestSecret_ReachesTheAgentAlone(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	const canary = "canary-5up3r-secret"
	secretFile(t, filepath.Join(base, "secrets/pw"), canary+"\n", 0o600)
	script := "#!/bin/sh\nprintf %s \"$OCF_RESKEY_pw\" >" + base + "/seen\necho \"pw is $OCF_RESKEY_pw\"\necho \"ocf-exit-reason:pw $OCF_RESKEY_pw\" >&2\ncat /proc/$$/cmdline >" + base + "/cmdline\nexit 1\n"
	secretFile(t, filepath.Join(base, "agents/p/T"), script, 0o755)
	launcher, err := subprocess.New(subprocess.Config{CgroupName: "quorate-runner-test-" + strconv.Itoa(os.Getpid())})
	if err != nil {
		t.Fatal(err)
	}
	defer launcher.Close()
	dir, err := subprocess.NewDirectory(filepath.Join(base, "agents"), subprocess.CurrentOwner(), nil)
	if err != nil {
		t.Fatal(err)
	}
	class, err := ocf.New(ocf.Config{Launcher: launcher, Directories: []*subprocess.Directory{dir}})
	if err != nil {
		t.Fatal(err)
	}
	secrets, err := NewSecrets(SecretsConfig{Directories: []string{filepath.Join(base, "secrets")}})
	if err != nil {
		t.Fatal(err)
	}
	l := &log{}
	n := connect(t, newRunner(t, Config{Classes: map[string]agents.Agent{"ocf": class}, Audit: l, Secrets: secrets}))
	if err := n.Start(request("r", map[string]string{"pw": "ref:file:" + base + "/secrets/pw"})); err != nil {
		t.Fatal(err)
	}
	res := receive(t, "the result", n.results)
	if res.RC != 1 || strings.Contains(fmt.Sprintf("%+v", res), canary) || res.Reason != "pw (secret)" {
		t.Errorf("result = %+v", res)
	}
	if seen, _ := os.ReadFile(filepath.Join(base, "seen")); string(seen) != canary {
		t.Errorf("the agent saw %q", seen)
	}
	if cmdline, _ := os.ReadFile(filepath.Join(base, "cmdline")); len(cmdline) == 0 || bytes.Contains(cmdline, []byte(canary)) {
		t.Errorf("command line = %q", cmdline)
	}
	if rec := l.find(t, "agent-run", "OCF_RESKEY_pw", "ref:file:"); strings.Contains(rec, canary) {
		t.Errorf("the audit record shows the secret: %s", rec)
	}
}

func FuzzDecode(f *testing.F) {
	for _, m := range []Message{{Kind: KindHello, Hello: &Hello{Version: 1, Runs: []RunInfo{{ID: "x"}}}}, {Kind: KindRun, Run: &agents.Request{ID: "1", Params: map[string]string{"a": "b"}}},
		{Kind: KindAudit, Record: &Record{Event: "x", Data: map[string]any{"a": []any{1, "b", map[string]any{"c": true}}}}}, {Kind: KindResult, Result: &agents.Result{Started: time.Unix(1, 2).UTC()}}} {
		frame, err := encode(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(frame[4:])
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		m, err := decode(body)
		if err != nil {
			if !errors.Is(err, ErrProtocol) {
				t.Fatalf("decode() = %v, want ErrProtocol", err)
			}
			return
		}
		frame, err := encode(m)
		if err != nil {
			return // for example a time that has no text form
		}
		if _, err := decode(frame[4:]); err != nil {
			t.Fatalf("decode(encode(m)) = %v for %+v", err, m)
		}
	})
}

// Each of a hundred runs has its record, and the chain of records verifies.
func TestRun_EveryRunIsInTheChain(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	secretFile(t, filepath.Join(base, "agents/p/T"), "#!/bin/sh\nexit 7\n", 0o755)
	launcher, err := subprocess.New(subprocess.Config{CgroupName: "quorate-runner-test-" + strconv.Itoa(os.Getpid())})
	if err != nil {
		t.Fatal(err)
	}
	defer launcher.Close()
	dir, err := subprocess.NewDirectory(filepath.Join(base, "agents"), subprocess.CurrentOwner(), nil)
	if err != nil {
		t.Fatal(err)
	}
	class, err := ocf.New(ocf.Config{Launcher: launcher, Directories: []*subprocess.Directory{dir}})
	if err != nil {
		t.Fatal(err)
	}
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	records, err := audit.Open(audit.Config{Dir: filepath.Join(base, "audit"), Node: "n1", Key: key})
	if err != nil {
		t.Fatal(err)
	}
	n := connect(t, newRunner(t, Config{Classes: map[string]agents.Agent{"ocf": class}, Audit: records}))
	for i := range 100 {
		if err := n.Start(request(strconv.Itoa(i), nil)); err != nil {
			t.Fatal(err)
		}
	}
	for range 100 {
		if res := receive(t, "a result", n.results); res.RC != 7 {
			t.Errorf("result = %+v", res)
		}
	}
	head, err := n.Audit(context.Background(), "config-write", map[string]any{"text": "x"}, true)
	if err != nil {
		t.Fatal(err)
	}
	if err := records.Close(); err != nil {
		t.Fatal(err)
	}
	report, err := audit.Verify(filepath.Join(base, "audit"), audit.Expect{Node: "n1", Heads: []audit.Head{{Node: head.Node, Seq: head.Seq, Hash: head.Hash}}})
	if err != nil || report.Records-report.Checkpoints != 101 {
		t.Errorf("Verify() = %+v, %v, want 101 records", report, err)
	}
}
