package daemon

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/quorate/quorate/agents"
	"github.com/quorate/quorate/agents/runner"
	"github.com/quorate/quorate/crm/api/server"
	"github.com/quorate/quorate/crm/controller"
	"github.com/quorate/quorate/crm/node"
	"github.com/quorate/quorate/crm/policy"
	"github.com/quorate/quorate/crm/store/command"
	"github.com/quorate/quorate/crm/store/raftlog"
	"github.com/quorate/quorate/crm/store/replica"
	"github.com/quorate/quorate/membership"
)

// Bounds of the loop.
const (
	inputQueue = 8192 // inputs that wait for the loop; network readers wait when it is full
	batch      = 256  // inputs taken before outputs are carried out
)

// sender is what the loop needs of the network. No method may block.
type sender interface {
	Raft(m *raftpb.Message) error
	Snapshot(ctx context.Context, m replica.SnapshotMessage, done func(ok bool))
	Heartbeat(h node.Heartbeat)
	// MembersChanged tells that addresses, keys or timings may be others.
	MembersChanged(s *command.State)
}

// runs is what the loop needs of the runner.
type runs interface {
	Start(agents.Request) error
	Cancel(id string) error
	Ack(id string) error
}

// loop owns a node.Node: it carries its inputs to it and its outputs to the world. It decides nothing.
type loop struct {
	n           *node.Node
	log         *raftlog.Log
	net         sender
	run         runs
	hc          hclog.Logger
	start       time.Time
	incarnation membership.Incarnation
	name        string // of this node
	in          chan func()
	quit        chan struct{} // closed when the loop has ended
	failed      chan error    // has room for the one error that ends the loop

	byHand     func(agents.Result) // takes the result of an operation by hand; must not block
	onDecision func(controller.DecisionRecord)
	decide     func(policy.Input) (*policy.Decision, error) // the policy; nil = policy.Decide

	waiting map[replica.RequestID]chan node.Reply // owned by the loop's goroutine
	left    bool

	mu    sync.Mutex // guards what follows
	state *command.State
	role  replica.Role
	hello replica.Hello
	wake  chan struct{} // closed and replaced when the state has changed
}

// errLeft ends the loop after the node has left in order.
var errLeft = errors.New("the node has left the cluster in order")

// errRemoved ends the loop of a node that has seen its own removal.
var errRemoved = errors.New("this node was removed from the cluster; to join again, empty its state folder and use a new join token. What still runs here is not managed any more")

// removed reports whether the cluster has removed this node.
func (l *loop) removed() bool {
	s := l.n.State()
	return len(s.Members) > 0 && s.MemberByRaftID(uint64(l.n.Hello().ID)) == nil && s.NextRaftID > uint64(l.n.Hello().ID)
}

func newLoop(n *node.Node, log *raftlog.Log, hc hclog.Logger, start time.Time) *loop {
	return &loop{n: n, log: log, hc: hc, start: start, in: make(chan func(), inputQueue), quit: make(chan struct{}), failed: make(chan error, 1),
		waiting: map[replica.RequestID]chan node.Reply{}, state: n.State(), hello: n.Hello(), wake: make(chan struct{})}
}

// fail ends the loop with an error, of which the first counts.
func (l *loop) fail(err error) {
	select {
	case l.failed <- err:
	default:
	}
}

// now is the monotonic time since the process started.
func (l *loop) now() membership.Instant { return membership.Instant(time.Since(l.start)) }

// post hands an input to the loop. It waits while the queue is full and returns false once the loop has
// ended.
func (l *loop) post(f func()) bool {
	select {
	case l.in <- f:
		return true
	case <-l.quit:
		return false
	}
}

// Run works until ctx ends, the node has left, or storage fails.
func (l *loop) Run(ctx context.Context) error {
	defer close(l.quit)
	ctx, cancel := context.WithCancel(ctx)
	var group sync.WaitGroup
	saves := make(chan replica.Save, 1)
	group.Go(func() { l.saver(ctx, saves) })
	defer group.Wait()
	defer cancel()

	procs := procs{busy: l.start}
	timer, err := newAlarm()
	if err != nil {
		return err
	}
	group.Go(timer.Run)
	defer timer.Close()
	const unset = membership.Instant(-1)
	due := unset // for which the timer is set
	for {
		if err := l.output(ctx, &group, saves); err != nil {
			return err
		}
		now := l.now()
		if next := min(l.n.NextTick(), now.Add(time.Minute)); next != due {
			due = next
			if err := timer.Reset(next.Sub(now)); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case err := <-l.failed:
			return err
		case f := <-l.in:
			f()
			inputs := 1
			for range batch {
				select {
				case f := <-l.in:
					f()
					inputs++
					continue
				default:
				}
				break
			}
			procs.took(inputs, time.Now())
			if l.now() >= l.n.NextTick() {
				l.n.Tick(l.now(), time.Now())
			}
		case <-timer.C:
			due = unset
			l.n.Tick(l.now(), time.Now())
		}
	}
}

// saver writes what raft wants saved. It has a goroutine of its own, so that heartbeats go on during an fsync.
func (l *loop) saver(ctx context.Context, saves <-chan replica.Save) {
	for {
		select {
		case <-ctx.Done():
			return
		case s := <-saves:
			if err := l.log.Save(s); err != nil {
				l.fail(fmt.Errorf("raft log: %w", err))
				return
			}
			ok := l.post(func() {
				if err := l.n.Saved(l.now(), time.Now()); err != nil {
					l.hc.Error("replica", "error", err)
				}
				l.mu.Lock()
				l.hello = l.n.Hello()
				l.mu.Unlock()
			})
			if !ok {
				return
			}
		}
	}
}

// output carries out what the node wants done.
func (l *loop) output(ctx context.Context, group *sync.WaitGroup, saves chan<- replica.Save) error {
	for l.n.HasReady() {
		out := l.n.Ready()
		if out.Err != nil {
			l.endIdentity(out.Err)
			return out.Err
		}
		for i := range out.Notes {
			l.note(&out.Notes[i])
		}
		for _, h := range out.Heartbeats {
			l.net.Heartbeat(h)
		}
		for _, m := range out.Messages {
			if err := l.net.Raft(m); err != nil {
				l.n.Unreachable(l.now(), membership.RaftID(m.GetTo()))
			}
		}
		for _, m := range out.Snapshots {
			to := m.To
			l.net.Snapshot(ctx, m, func(ok bool) {
				l.post(func() { l.n.SnapshotSent(l.now(), to, ok) })
			})
		}
		if out.Save != nil {
			saves <- *out.Save
		}
		if s := out.Snapshot; s != nil {
			group.Go(func() {
				wakeMonitor()
				data, err := s.State.Encode()
				if err != nil {
					l.hc.Error("encode snapshot", "index", s.Index, "error", err)
				}
				l.post(func() { l.n.SnapshotTaken(l.now(), s.Index, data) })
			})
		}
		if q := out.Question; q != nil {
			group.Go(func() {
				wakeMonitor()
				a := q.Answer(l.decide)
				l.post(func() { l.n.Decided(l.now(), time.Now(), a) })
			})
		}
		for _, id := range out.Cancel {
			if err := l.run.Cancel(id); err != nil {
				l.hc.Warn("cancel run", "id", id, "error", err)
			}
		}
		for _, id := range out.Ack {
			if err := l.run.Ack(id); err != nil {
				l.hc.Debug("acknowledge result", "id", id, "error", err)
			}
		}
		for _, req := range out.Start {
			attachSecrets(&req, l.n.State(), l.name)
			if err := l.run.Start(req); err != nil {
				l.n.RunFinished(l.now(), time.Now(), agents.Refused(req, agents.StatusError, agents.RCGeneric, err.Error()))
			}
		}
		// Before the replies: who was answered reads the state at once, and must find in it what he was told.
		if out.StateChanged || l.role != l.n.Role() {
			l.publish()
		}
		for _, r := range out.Replies {
			if ch, ok := l.waiting[r.Request]; ok {
				delete(l.waiting, r.Request)
				ch <- r // has room
			}
		}
		if out.StateChanged && l.removed() {
			return errRemoved
		}
		for _, r := range out.ByHand {
			l.byHand(r)
		}
		for _, d := range out.Decisions {
			if l.onDecision != nil {
				l.onDecision(d)
			}
		}
		if out.MembersChanged {
			l.net.MembersChanged(l.n.State())
		}
		if out.Left {
			l.left = true
			return errLeft
		}
	}
	return nil
}

// attachSecrets adds the stored secrets that the parameters of a request refer to. The runner opens them.
func attachSecrets(req *agents.Request, s *command.State, node string) {
	for _, value := range req.Params {
		name, found := strings.CutPrefix(value, runner.SecretPrefix+"store:")
		if !found {
			continue
		}
		if sec := s.Secret(name); sec != nil && sec.For(node) != nil {
			if req.Sealed == nil {
				req.Sealed = map[string][]byte{}
			}
			req.Sealed[name] = sec.For(node)
		}
	}
}

// endIdentity marks the log so that this raft id never votes again, when the cluster refuses it.
func (l *loop) endIdentity(err error) {
	var lost *replica.LostLogError
	var stale *replica.StalePeerError
	if errors.As(err, &lost) || errors.As(err, &stale) {
		if rerr := l.log.Retire(err.Error()); rerr != nil {
			l.hc.Error("mark the raft log as retired", "error", rerr)
		}
	}
}

func (l *loop) note(n *node.Note) {
	switch n.Level {
	case node.Warn:
		l.hc.Warn(n.Text, n.Fields...)
	case node.Info:
		l.hc.Info(n.Text, n.Fields...)
	default:
		l.hc.Debug(n.Text, n.Fields...)
	}
}

// publish makes the newest state visible to readers.
func (l *loop) publish() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.state, l.role, l.hello = l.n.State(), l.n.Role(), l.n.Hello()
	close(l.wake)
	l.wake = make(chan struct{})
}

// State returns the newest applied state; linear asks the leader first.
func (l *loop) State(ctx context.Context, linear bool) (*command.State, error) {
	if linear {
		if _, err := l.request(ctx, func() (replica.RequestID, error) { return l.n.Read(l.now(), time.Now()) }); err != nil {
			return nil, err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state, nil
}

// Wait returns the state once its index is above after, or ctx's error.
func (l *loop) Wait(ctx context.Context, after uint64) (*command.State, error) {
	for {
		l.mu.Lock()
		s, wake := l.state, l.wake
		l.mu.Unlock()
		if s.Index > after {
			return s, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-l.quit:
			return nil, server.ErrNoQuorum
		case <-wake:
		}
	}
}

// Propose has an entry applied on this node.
func (l *loop) Propose(ctx context.Context, e *command.Entry) (uint64, command.Outcome, error) {
	r, err := l.request(ctx, func() (replica.RequestID, error) { return l.n.Propose(l.now(), time.Now(), e) })
	if err != nil {
		return 0, command.Outcome{}, err
	}
	return r.Index, r.Outcome, nil
}

// retryPause is how long a request that found no leader waits before it asks again.
const retryPause = 20 * time.Millisecond

// request runs a request on the loop and waits for its reply. Where no leader is known yet it asks again until
// ctx ends; a proposal that was lost on the way is not repeated, since it may still be applied.
func (l *loop) request(ctx context.Context, start func() (replica.RequestID, error)) (node.Reply, error) {
	for {
		reply := make(chan node.Reply, 1)
		began := make(chan error, 1)
		ok := l.post(func() {
			id, err := start()
			if err == nil {
				l.waiting[id] = reply
			}
			began <- err
		})
		if !ok {
			return node.Reply{}, server.ErrNoQuorum
		}
		var err error
		select {
		case err = <-began:
		case <-l.quit:
			return node.Reply{}, server.ErrNoQuorum
		}
		if err == nil {
			select {
			case r := <-reply:
				if r.Err == nil {
					return r, nil
				}
				if !r.Read && !errors.Is(r.Err, replica.ErrNoLeader) {
					return r, fmt.Errorf("%w: %w", server.ErrNoQuorum, r.Err)
				}
			case <-ctx.Done():
				return node.Reply{}, ctx.Err()
			case <-l.quit:
				return node.Reply{}, server.ErrNoQuorum
			}
		} else if !errors.Is(err, replica.ErrNoLeader) && !errors.Is(err, replica.ErrBusy) {
			return node.Reply{}, err
		}
		pause := time.NewTimer(retryPause)
		select {
		case <-ctx.Done():
			pause.Stop()
			return node.Reply{}, server.ErrNoQuorum
		case <-pause.C:
		}
	}
}
