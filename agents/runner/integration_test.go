package runner_test

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/quorate/quorate/agents"
	"github.com/quorate/quorate/agents/executor"
	"github.com/quorate/quorate/agents/ocf"
	"github.com/quorate/quorate/agents/runner"
	"github.com/quorate/quorate/agents/subprocess"
	"github.com/quorate/quorate/crm/audit"
	"github.com/quorate/quorate/membership/identity"
)

const service = `#!/bin/sh
echo "$1 $OCF_RESOURCE_INSTANCE" >>"$OCF_RESKEY_ledger"
case "$1" in
start) [ -z "$OCF_RESKEY_gate" ] || read x <"$OCF_RESKEY_gate"; : >"$OCF_RESKEY_state";;
stop) rm -f "$OCF_RESKEY_state";;
monitor) [ -e "$OCF_RESKEY_state" ] || exit 7;;
esac
`

// process is a node process reduced to its executor: the loop that a daemon has around the core.
type process struct {
	core    *executor.Core
	client  *runner.Client
	begin   time.Time
	events  chan func(now identity.Instant)
	results chan executor.Result
	stop    func()
}

func (p *process) do(f func(now identity.Instant)) { p.events <- f }

func newProcess(t *testing.T, r *runner.Runner, incarnation identity.Incarnation) *process {
	t.Helper()
	core, err := executor.New(executor.Config{Incarnation: incarnation})
	if err != nil {
		t.Fatal(err)
	}
	a, b := net.Pipe()
	p := &process{core: core, begin: time.Now(), events: make(chan func(identity.Instant), 100), results: make(chan executor.Result, 100)}
	p.client = runner.NewClient(b, runner.ClientConfig{
		OnHello: func(runs []runner.RunInfo) {
			p.do(func(now identity.Instant) {
				var known []executor.Running
				for _, r := range runs {
					known = append(known, executor.Running{ID: r.ID, Resource: r.Resource, Operation: r.Operation, Interval: r.Interval, Timeout: r.Timeout, Age: r.Age, Finished: r.Finished})
				}
				core.Adopt(now, known)
			})
		},
		OnResult: func(res agents.Result) {
			p.do(func(now identity.Instant) {
				core.RunFinished(now, res)
				_ = p.client.Ack(res.ID) // a daemon does it once the result is in the document
			})
		},
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 3)
	go func() { done <- r.Serve(ctx, a) }()
	go func() { done <- p.client.Run(ctx) }()
	go func() { done <- p.loop(ctx) }()
	stopped := false
	p.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		for range 3 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	}
	t.Cleanup(p.stop)
	return p
}

func (p *process) loop(ctx context.Context) error {
	for {
		var tick <-chan time.Time
		var timer *time.Timer
		if at, ok := p.core.Deadline(); ok {
			timer = time.NewTimer(time.Until(p.begin.Add(time.Duration(at))))
			tick = timer.C
		}
		select {
		case <-ctx.Done():
			return nil
		case f := <-p.events:
			f(identity.Instant(time.Since(p.begin)))
		case <-tick:
			p.core.Tick(identity.Instant(time.Since(p.begin)))
		}
		if timer != nil {
			timer.Stop()
		}
		out := p.core.Ready()
		for _, id := range out.Cancel {
			if err := p.client.Cancel(id); err != nil {
				return err
			}
		}
		for _, req := range out.Start {
			if err := p.client.Start(req); err != nil {
				return err
			}
		}
		for _, res := range out.Results {
			p.results <- res
		}
		if len(out.Refused) > 0 {
			return fmt.Errorf("refused: %v", out.Refused)
		}
	}
}

func next(t *testing.T, p *process) executor.Result {
	t.Helper()
	select {
	case r := <-p.results:
		return r
	case <-time.After(30 * time.Second):
		t.Fatal("no result")
		panic("unreachable")
	}
}

// Goal: executor, client, runner, class and processes fit together. A resource is started, monitored, lost and
// stopped through all of them; and a start that goes on while the node process is replaced is adopted by the
// next one, and not repeated.
func TestExecutorToAgent(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "agents/test/Service")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(service), 0o755); err != nil {
		t.Fatal(err)
	}
	launcher, err := subprocess.New(subprocess.Config{CgroupName: "quorate-integration-" + strconv.Itoa(os.Getpid()), Journal: filepath.Join(dir, "runs")})
	if err != nil {
		t.Fatal(err)
	}
	defer launcher.Close()
	directory, err := subprocess.NewDirectory(filepath.Join(dir, "agents"), subprocess.CurrentOwner(), nil)
	if err != nil {
		t.Fatal(err)
	}
	class, err := ocf.New(ocf.Config{Launcher: launcher, Directories: []*subprocess.Directory{directory}})
	if err != nil {
		t.Fatal(err)
	}
	records, err := audit.Open(audit.Config{Dir: filepath.Join(dir, "audit"), Node: "n1", Key: ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))})
	if err != nil {
		t.Fatal(err)
	}
	r, err := runner.New(runner.Config{Classes: map[string]agents.Agent{"ocf": class}, Audit: records})
	if err != nil {
		t.Fatal(err)
	}
	defer records.Close()
	defer r.Close()

	state, ledger, gate := filepath.Join(dir, "state"), filepath.Join(dir, "ledger"), filepath.Join(dir, "gate")
	start := func(n uint64, incarnation identity.Incarnation, op agents.Operation, interval time.Duration, params map[string]string) executor.Start {
		all := map[string]string{"state": state, "ledger": ledger}
		for k, v := range params {
			all[k] = v
		}
		return executor.Start{Key: executor.Key{Term: 1, Transition: 1, Action: n}, Index: 5, Incarnation: incarnation, Request: agents.Request{
			Resource: "web", Agent: agents.Ref{Class: "ocf", Provider: "test", Type: "Service"}, Operation: op, Interval: interval, Timeout: 20 * time.Second, Params: all}}
	}
	p := newProcess(t, r, 1)
	want := func(p *process, action uint64, first bool, rc agents.ExitCode) {
		t.Helper()
		if res := next(t, p); res.Key.Action != action || res.First != first || res.Result.RC != rc || res.Result.Status != agents.StatusDone {
			t.Errorf("result = %+v, want action %d, code %d", res, action, rc)
		}
	}
	p.do(func(now identity.Instant) { p.core.Do(now, start(1, 1, agents.OpStart, 0, nil)) })
	want(p, 1, true, 0)
	p.do(func(now identity.Instant) { p.core.Do(now, start(2, 1, agents.OpMonitor, 50*time.Millisecond, nil)) })
	want(p, 2, true, 0)
	if err := os.Remove(state); err != nil { // the service dies
		t.Fatal(err)
	}
	want(p, 2, false, 7)
	p.do(func(now identity.Instant) { p.core.Do(now, start(3, 1, agents.OpStop, 0, nil)) })
	want(p, 3, true, 0)

	if err := makeFIFO(gate); err != nil {
		t.Fatal(err)
	}
	p.do(func(now identity.Instant) {
		p.core.Do(now, start(4, 1, agents.OpStart, 0, map[string]string{"gate": gate}))
	})
	open, err := os.OpenFile(gate, os.O_WRONLY, 0) // returns when the agent waits there
	if err != nil {
		t.Fatal(err)
	}
	p.stop()
	p = newProcess(t, r, 2)
	p.do(func(now identity.Instant) { p.core.Do(now, start(5, 2, agents.OpStop, 0, nil)) })
	fmt.Fprintln(open, "go")
	open.Close()
	// The adopted start and the stop are known in either order; they ran one after the other.
	got := []uint64{next(t, p).Key.Action, next(t, p).Key.Action}
	if slices.Sort(got); !slices.Equal(got, []uint64{4, 5}) {
		t.Errorf("results of actions %v, want 4 and 5", got)
	}
	text, err := os.ReadFile(ledger)
	if err != nil {
		t.Fatal(err)
	}
	var ops []string
	for _, op := range []string{"start web\n", "stop web\n"} {
		ops = append(ops, strconv.Itoa(count(string(text), op)))
	}
	if !slices.Equal(ops, []string{"2", "2"}) {
		t.Errorf("starts and stops = %v in\n%s, want 2 and 2", ops, text)
	}
}

func makeFIFO(path string) error { return syscall.Mkfifo(path, 0o600) }

func count(text, line string) int { return strings.Count(text, line) }
