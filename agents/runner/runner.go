// Package runner is the privileged parent of the node process: the only process that starts programs. It
// takes requests from the node process over an inherited socket pair, and trusts it with nothing but the
// choice. It checks every name, finds the program itself in directories that only root can change, resolves
// secrets itself, runs the program through the class of the agent, and writes one audit record for each run.
//
// # Parts
//
//   - Runner holds the runs. Runs outlive the connection: when the node process dies, they go on, and the
//     next node process is told of them (Hello) so that they are adopted, not repeated. A result is kept until
//     it is acknowledged.
//   - Supervisor starts the node process, starts it again when it dies, and passes signals on.
//   - Secrets resolves references to secrets.
//   - Client is the other end, for the node process.
//
// # Protocol
//
// Over a stream socket, both ways: frames of a 4-byte big-endian length (at most MaxFrame) and one CBOR
// item of that length, a Message. The first frame each way is a hello with the protocol version. Anything
// malformed ends the connection; the Supervisor then starts the node process anew. Keys and kinds of messages
// are append-only.
//
// # Audit
//
// Each run gives one record: "agent-run", or "fence-run" for fence agents, which also have "fence-start",
// on disk before the agent starts. A run whose end the runner did not see, because it was killed, gets
// "agent-interrupted" from the next one. Requests that were not carried out have their record as well. Records that
// the node process sends are marked with "source": "node", and cannot use these names. When the audit log
// takes no records (disk full), runs go on and the log says so: a service that is not restarted, or a node
// not fenced, is worse than a gap which shows.
package runner

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/quorate/quorate/agents"
	"github.com/quorate/quorate/agents/subprocess"
	"github.com/quorate/quorate/crm/audit"
)

// Limits, with their reasons.
const (
	// MaxRuns bounds runs at a time: far above what the executor starts, so that only a broken node process
	// meets it.
	MaxRuns = 1024
	// MaxKept bounds results that were not acknowledged; the oldest is dropped first.
	MaxKept = 4096
	// maxQueries bounds metadata and list requests at a time; each may start a program.
	maxQueries = 8
	// writeTimeout ends the connection of a node process that does not read.
	writeTimeout = 10 * time.Second
)

// Auditor writes audit records; *audit.Log is one.
type Auditor interface {
	Append(event string, data map[string]any, durable bool) (audit.Head, error)
	Sync(seq uint64) error
	Head() audit.Head
}

// Config says what a Runner works with.
type Config struct {
	Classes map[string]agents.Agent // by class name
	Secrets *Secrets                // nil = every reference fails
	Audit   Auditor
	Logger  hclog.Logger // nil = none
}

// Runner holds the runs of agents. Make it with New.
type Runner struct {
	cfg     Config
	log     hclog.Logger
	ctx     context.Context // of the runs; ends with Close
	cancel  context.CancelFunc
	queries chan struct{}
	wg      sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	runs    map[string]*entry
	kept    []string // ids of finished runs, oldest first
	current *link    // to the node process, nil = none
}

// entry is a run that goes on, or whose result is kept.
type entry struct {
	req     agents.Request // without parameters
	started time.Time      // monotonic
	cancel  context.CancelFunc
	result  *agents.Result // nil = goes on
}

// New makes a Runner.
func New(cfg Config) (*Runner, error) {
	if cfg.Audit == nil {
		return nil, errors.New("runner: an audit log is needed")
	}
	if cfg.Logger == nil {
		cfg.Logger = hclog.NewNullLogger()
	}
	ctx, cancel := context.WithCancel(context.Background())
	return &Runner{cfg: cfg, log: cfg.Logger, ctx: ctx, cancel: cancel, queries: make(chan struct{}, maxQueries), runs: map[string]*entry{}}, nil
}

// Close cancels all runs and returns when they have ended, at the latest some seconds after.
func (r *Runner) Close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.cancel()
	r.wg.Wait()
}

// Recover ends the runs that an earlier runner left going on when it was killed (subprocess.Launcher.Recover),
// and records each as interrupted. Call it before the first run.
func (r *Runner) Recover(l *subprocess.Launcher) error {
	runs, err := l.Recover()
	for _, run := range runs {
		short := func(s string) string { return agents.CleanLine(s, agents.MaxReason) }
		data := map[string]any{"file": short(run.Path), "run": short(run.Label), "leftover": run.Leftover}
		if _, auditErr := r.cfg.Audit.Append("agent-interrupted", data, false); auditErr != nil {
			r.log.Error("no audit record of an interrupted run", "operation", run.Label, "error", auditErr)
		}
		r.log.Warn("ended a run that an earlier runner left", "operation", run.Label, "leftover", run.Leftover)
	}
	return err
}

// link is a connection to a node process.
type link struct {
	conn net.Conn
	mu   sync.Mutex // held while a frame is written
}

func (l *link) send(m Message) error {
	frame, err := encode(m)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	if _, err := l.conn.Write(frame); err != nil {
		// A frame may have gone out in part; nothing can follow it.
		l.conn.Close()
		return err
	}
	return nil
}

// Serve talks to one node process until the connection ends (nil), or breaks the protocol (an error). The
// connection is closed then. Runs go on.
func (r *Runner) Serve(ctx context.Context, conn net.Conn) error {
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	defer conn.Close()
	l := &link{conn: conn}
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.current == l {
			r.current = nil
		}
	}()
	in := bufio.NewReader(conn)
	first, err := readMessage(in)
	if err == nil {
		err = checkHello(first)
	}
	if err != nil {
		if ended(err) {
			return nil
		}
		return fmt.Errorf("node process: %w", err)
	}
	if err := r.attach(l); err != nil {
		if ended(err) {
			return nil
		}
		return fmt.Errorf("greet node process: %w", err)
	}
	for {
		m, err := readMessage(in)
		if err == nil {
			err = r.take(l, m)
		}
		if err != nil {
			if ended(err) {
				return nil
			}
			return fmt.Errorf("node process: %w", err)
		}
	}
}

func ended(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, io.ErrClosedPipe) || isReset(err)
}

// attach makes the link the current one and tells the node process what is known: all runs, then the results
// of those that finished.
func (r *Runner) attach(l *link) error {
	r.mu.Lock()
	hello := &Hello{Version: Version}
	var results []agents.Result
	for _, id := range slices.Sorted(maps.Keys(r.runs)) {
		e := r.runs[id]
		hello.Runs = append(hello.Runs, RunInfo{ID: id, Resource: e.req.Resource, Operation: e.req.Operation, Interval: e.req.Interval,
			Timeout: e.req.Timeout, Age: time.Since(e.started), Finished: e.result != nil})
		if e.result != nil {
			results = append(results, *e.result)
		}
	}
	r.mu.Unlock()
	for len(hello.Runs) > maxHelloRuns {
		part := *hello
		part.Runs, part.More = hello.Runs[:maxHelloRuns], true
		if err := l.send(Message{Kind: KindHello, Hello: &part}); err != nil {
			return err
		}
		hello.Runs = hello.Runs[maxHelloRuns:]
	}
	if err := l.send(Message{Kind: KindHello, Hello: hello}); err != nil {
		return err
	}
	for _, res := range results {
		if err := l.send(Message{Kind: KindResult, Result: &res}); err != nil {
			return err
		}
	}
	// Runs that finished since the list was made: a repeated result does no harm, a missing one would.
	r.mu.Lock()
	defer r.mu.Unlock()
	r.current = l
	for _, id := range slices.Sorted(maps.Keys(r.runs)) {
		e := r.runs[id]
		if e.result != nil && !slices.ContainsFunc(results, func(x agents.Result) bool { return x.ID == id }) {
			res := *e.result
			r.wg.Go(func() { r.deliver(l, res) })
		}
	}
	return nil
}

// take carries out one message.
func (r *Runner) take(l *link, m Message) error {
	switch m.Kind {
	case KindRun:
		if m.Run == nil {
			return fmt.Errorf("run without request: %w", ErrProtocol)
		}
		if m.Run.ID == "" || len(m.Run.ID) > agents.MaxRequestID {
			return fmt.Errorf("run with an id of %d bytes: %w", len(m.Run.ID), ErrProtocol)
		}
		r.start(l, *m.Run)
	case KindCancel:
		r.mu.Lock()
		if e := r.runs[m.ID]; e != nil {
			e.cancel()
		}
		r.mu.Unlock()
	case KindAck:
		r.mu.Lock()
		if e := r.runs[m.ID]; e != nil && e.result != nil {
			delete(r.runs, m.ID)
			if i := slices.Index(r.kept, m.ID); i >= 0 {
				r.kept = slices.Delete(r.kept, i, i+1)
			}
		}
		r.mu.Unlock()
	case KindMetadata, KindList:
		return r.query(l, m)
	case KindSealKey:
		answer := Message{Kind: KindAnswer, Seq: m.Seq, Data: r.cfg.Secrets.SealKey()}
		if answer.Data == nil {
			answer.Error = "this runner has no key for stored secrets"
		}
		return l.send(answer)
	case KindHead:
		head := r.cfg.Audit.Head()
		return l.send(Message{Kind: KindAnswer, Seq: m.Seq, Head: &Head{head.Node, head.Seq, head.Hash}})
	case KindAudit:
		return r.audit(l, m)
	default:
		return fmt.Errorf("message of kind %d is not for the runner: %w", m.Kind, ErrProtocol)
	}
	return nil
}

// start begins a run, unless its id is known: then a result that there is already is sent again.
func (r *Runner) start(l *link, req agents.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e := r.runs[req.ID]; e != nil {
		if e.result != nil {
			res := *e.result
			r.wg.Go(func() { r.deliver(l, res) })
		}
		return
	}
	if r.closed {
		return
	}
	ctx, cancel := context.WithCancel(r.ctx)
	bare := agents.Request{ID: req.ID, Resource: req.Resource, Operation: req.Operation, Interval: req.Interval, Timeout: req.Timeout}
	r.runs[req.ID] = &entry{req: bare, started: time.Now(), cancel: cancel}
	overloaded := len(r.runs)-len(r.kept) > MaxRuns
	r.wg.Go(func() {
		defer cancel()
		var res agents.Result
		if overloaded {
			res = agents.Refused(req, agents.StatusError, agents.RCGeneric, fmt.Sprintf("%d runs go on: at most %d", MaxRuns, MaxRuns))
			r.record(req, res, agents.Execution{}, nil)
		} else {
			res = r.run(ctx, req)
		}
		r.finish(req.ID, res)
	})
}

// run carries out a request and writes its audit record.
func (r *Runner) run(ctx context.Context, req agents.Request) agents.Result {
	refuse := func(status agents.Status, rc agents.ExitCode, reason string) agents.Result {
		res := agents.Refused(req, status, rc, reason)
		r.record(req, res, agents.Execution{}, nil)
		return res
	}
	if err := req.Validate(); err != nil {
		return refuse(agents.StatusInvalid, agents.RCInvalidParameter, err.Error())
	}
	class := r.cfg.Classes[req.Agent.Class]
	if class == nil {
		return refuse(agents.StatusNotInstalled, agents.RCNotInstalled, fmt.Sprintf("agents of class %s cannot be run here", req.Agent.Class))
	}
	plain, secrets, err := r.cfg.Secrets.Resolve(ctx, req.Params, req.Sealed)
	if err != nil {
		return refuse(agents.StatusNoSecrets, agents.RCGeneric, err.Error())
	}
	refs := maps.Clone(req.Params)
	maps.DeleteFunc(refs, func(name, _ string) bool { _, secret := secrets[name]; return !secret })
	req.Params = plain
	fence := req.Agent.Class == agents.ClassFence
	if fence && slices.Contains([]agents.Operation{agents.OpOn, agents.OpOff, agents.OpReboot}, req.Operation) {
		data := map[string]any{"resource": req.Resource, "agent": req.Agent.String(), "operation": string(req.Operation), "run": req.ID}
		if _, err := r.cfg.Audit.Append("fence-start", data, true); err != nil {
			r.log.Error("no audit record of a fencing before it starts", "resource", req.Resource, "operation", req.Operation, "error", err)
		}
	}
	res, exe := class.Run(ctx, req, secrets)
	res.ID = req.ID
	r.record(req, res, exe, refs)
	return res
}

// record writes the audit record of a run. Values of parameters are left out, references to secrets are not.
func (r *Runner) record(req agents.Request, res agents.Result, exe agents.Execution, refs map[string]string) {
	event := "agent-run"
	if req.Agent.Class == agents.ClassFence {
		event = "fence-run"
	}
	short := func(s string) string { return agents.CleanLine(s, agents.MaxReason) }
	names := make([]string, 0, len(req.Params)+len(refs))
	for name := range req.Params {
		names = append(names, short(name))
	}
	references := map[string]any{}
	for name, ref := range refs {
		names = append(names, short(name))
		references[short(name)] = short(ref)
	}
	slices.Sort(names)
	if len(names) > agents.MaxParameters {
		names = names[:agents.MaxParameters]
	}
	data := map[string]any{
		"run": short(req.ID), "resource": short(req.Resource), "agent": short(req.Agent.String()), "operation": short(string(req.Operation)),
		"interval_ms": req.Interval.Milliseconds(), "timeout_ms": req.Timeout.Milliseconds(), "parameters": names,
		"rc": int(res.RC), "status": int(res.Status), "reason": res.Reason, "duration_us": res.ExecTime.Microseconds(),
		"file": exe.File, "sha256": exe.SHA256, "args": exe.Args, "env": exe.EnvNames, "uid": exe.UID, "pid": exe.PID, "cgroup": exe.Cgroup,
		"output_sha256": exe.OutputSHA256, "output_bytes": exe.OutputBytes, "killed": exe.Killed, "leftover": exe.Leftover,
	}
	if len(references) > 0 {
		data["secrets"] = references
	}
	_, err := r.cfg.Audit.Append(event, data, false)
	if errors.Is(err, audit.ErrRecord) {
		// Too large, with a thousand names: the essential part must be there.
		for _, name := range []string{"parameters", "env", "secrets", "args"} {
			delete(data, name)
		}
		data["shortened"] = true
		_, err = r.cfg.Audit.Append(event, data, false)
	}
	if err != nil {
		r.log.Error("no audit record of a run", "resource", req.Resource, "operation", req.Operation, "error", err)
	}
}

// finish keeps the result until it is acknowledged, and sends it.
func (r *Runner) finish(id string, res agents.Result) {
	r.mu.Lock()
	r.runs[id].result = &res
	r.kept = append(r.kept, id)
	if len(r.kept) > MaxKept {
		r.log.Error("a result was not fetched and is dropped", "operation", r.runs[r.kept[0]].req.Operation, "resource", r.runs[r.kept[0]].req.Resource)
		delete(r.runs, r.kept[0])
		r.kept = r.kept[1:]
	}
	l := r.current
	r.mu.Unlock()
	if l != nil {
		r.deliver(l, res)
	}
}

// deliver sends a result; if that fails, the next node process gets it.
func (r *Runner) deliver(l *link, res agents.Result) {
	if err := l.send(Message{Kind: KindResult, Result: &res}); err != nil {
		r.log.Debug("result not delivered", "error", err)
	}
}

// query answers a request for metadata or a list in a goroutine of its own.
func (r *Runner) query(l *link, m Message) error {
	class := m.Class
	if m.Kind == KindMetadata {
		if m.Ref == nil {
			return fmt.Errorf("metadata without agent: %w", ErrProtocol)
		}
		class = m.Ref.Class
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil
	}
	r.wg.Go(func() {
		answer := Message{Kind: KindAnswer, Seq: m.Seq}
		select {
		case r.queries <- struct{}{}:
			defer func() { <-r.queries }()
		case <-r.ctx.Done():
			return
		}
		var err error
		if a := r.cfg.Classes[class]; a == nil {
			err = fmt.Errorf("agents of class %q cannot be run here", agents.CleanLine(class, agents.MaxNameLength))
		} else if m.Kind == KindList {
			answer.Refs, err = a.List(r.ctx)
			answer.Refs = answer.Refs[:min(len(answer.Refs), maxListed)]
		} else if err = m.Ref.Validate(); err == nil {
			answer.Data, err = a.Metadata(r.ctx, *m.Ref)
		}
		if err != nil {
			answer.Error = agents.CleanLine(err.Error(), maxError)
		}
		if err := l.send(answer); err != nil {
			r.log.Debug("answer not delivered", "error", err)
		}
	})
	return nil
}

// audit writes a record of the node process. The order of records is that of the messages; only waiting for
// the disk happens beside. A record without a number is not answered.
func (r *Runner) audit(l *link, m Message) error {
	if m.Record == nil {
		return fmt.Errorf("audit without record: %w", ErrProtocol)
	}
	var head audit.Head
	var err error
	if event := m.Record.Event; strings.HasPrefix(event, "agent-") || strings.HasPrefix(event, "fence-start") || strings.HasPrefix(event, "fence-run") || strings.HasPrefix(event, "runner-") {
		err = fmt.Errorf("event %q: %w: it belongs to the runner", agents.CleanLine(event, 64), audit.ErrRecord)
	} else {
		data := map[string]any{"source": "node"}
		for name, value := range m.Record.Data {
			if name != "source" {
				data[name] = value
			}
		}
		head, err = r.cfg.Audit.Append(event, data, false)
	}
	if m.Seq == 0 {
		if err != nil {
			r.log.Error("no audit record of the node process", "event", agents.CleanLine(m.Record.Event, 64), "error", err)
		}
		return nil
	}
	reply := func() {
		answer := Message{Kind: KindAnswer, Seq: m.Seq, Head: &Head{head.Node, head.Seq, head.Hash}}
		if err == nil && m.Durable {
			err = r.cfg.Audit.Sync(head.Seq)
		}
		if err != nil {
			answer.Head, answer.Error = nil, agents.CleanLine(err.Error(), maxError)
		}
		if err := l.send(answer); err != nil {
			r.log.Debug("answer not delivered", "error", err)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed {
		r.wg.Go(reply)
	}
	return nil
}
