package daemon

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/quorate/quorate/agents"
	"github.com/quorate/quorate/agents/executor"
	"github.com/quorate/quorate/agents/runner"
	"github.com/quorate/quorate/crm/api"
	"github.com/quorate/quorate/crm/api/server"
	"github.com/quorate/quorate/crm/cib/cibxml"
	"github.com/quorate/quorate/crm/controller"
	"github.com/quorate/quorate/crm/node"
	"github.com/quorate/quorate/crm/store/command"
	"github.com/quorate/quorate/crm/store/raftlog"
	"github.com/quorate/quorate/crm/store/replica"
	"github.com/quorate/quorate/crm/version"
	"github.com/quorate/quorate/membership"
	"github.com/quorate/quorate/transport/keyring"
)

// instance is a node that is in a cluster, from its start to its end.
type instance struct {
	name    string
	paths   Paths
	config  *Config
	log     hclog.Logger
	keys    *keyring.Folder
	id      *keyring.Node
	loop    *loop
	net     *network
	client  *runner.Client
	started time.Time

	authority *authority
	rounds    chan struct{} // asks for a round of the authority

	hands     *hands
	decisions *decisions
	events    *events

	mu       sync.Mutex // guards what follows
	attempts keyring.Attempts
}

// openInstance opens what is on disk and makes the node. runs are those that the runner still knows of.
func openInstance(p Paths, cfg *Config, log hclog.Logger, client *runner.Client, started time.Time) (_ *instance, err error) {
	d := &instance{paths: p, config: cfg, log: log, client: client, started: started, rounds: make(chan struct{}, 1)}
	if d.keys, err = keyring.OpenFolder(p.keyDir()); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			d.keys.Close()
		}
	}()
	if d.id, err = d.keys.LoadNode(); err != nil {
		return nil, err
	}
	rlog, err := raftlog.Open(p.logDir(), raftlog.Options{})
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			rlog.Close()
		}
	}()
	ident := rlog.Identity()
	if ident.ClusterID != string(d.id.Cluster) || ident.NodeID != d.id.ID {
		return nil, fmt.Errorf("the raft log is of node %d of cluster %s, but the keys are of node %d of cluster %s: one of the folders is from somewhere else",
			ident.NodeID, ident.ClusterID, d.id.ID, d.id.Cluster)
	}
	state, err := storedState(rlog)
	if err != nil {
		return nil, err
	}
	known, err := d.knownPeers()
	if err != nil {
		return nil, err
	}
	if d.name = nameOf(state, known.members, uint16(ident.NodeID)); d.name == "" {
		return nil, fmt.Errorf("node %d has no name in what is stored: the node was removed from the cluster; join it again with an empty %s", ident.NodeID, p.Var)
	}
	d.log = log.With("node", d.name)
	incarnation, err := newIncarnation()
	if err != nil {
		return nil, err
	}
	n, err := node.New(node.Config{
		Name: d.name, NodeID: ident.NodeID, RaftID: ident.RaftID, Incarnation: incarnation, Boot: bootID(),
		Storage: rlog, State: state, Replica: replica.Config{Retired: ident.Retired}, Known: known.members, KnownLinks: known.links,
	}, 0, time.Now())
	if err != nil {
		return nil, err
	}
	d.loop = newLoop(n, rlog, d.log, started)
	d.loop.run, d.loop.incarnation, d.loop.name = client, incarnation, d.name
	d.events = newEvents()
	d.decisions = openDecisions(p.decisionDir(), d.name, d.log)
	d.loop.onDecision = d.record
	if d.net, err = newNetwork(d, known); err != nil {
		return nil, err
	}
	d.loop.net = d.net
	d.hands = newHands(d)
	d.loop.byHand = d.hands.finished
	if d.authority, err = newAuthority(d.id, d.keys, d.log); err != nil {
		return nil, err
	}
	d.authority.send, d.authority.show, d.authority.note = d.net.notice, d.net.show, d.note
	return d, nil
}

// storedState decodes the newest stored snapshot; nil when there is none yet.
func storedState(log *raftlog.Log) (*command.State, error) {
	meta, err := log.Snapshot()
	if err != nil {
		return nil, err
	}
	if meta.GetMetadata().GetIndex() == 0 {
		return nil, nil
	}
	snap, err := log.ReadSnapshot()
	if err != nil {
		return nil, err
	}
	s, err := command.DecodeState(snap.GetData())
	if err != nil {
		return nil, fmt.Errorf("snapshot at index %d: %w", meta.GetMetadata().GetIndex(), err)
	}
	n := *s
	n.Index, n.Term = meta.GetMetadata().GetIndex(), meta.GetMetadata().GetTerm()
	return &n, nil
}

// Run works until ctx ends or the node has left.
func (d *instance) Run(ctx context.Context) error {
	defer d.keys.Close()
	defer d.loop.log.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var group sync.WaitGroup
	errs := make(chan error, 2)
	group.Go(func() { errs <- d.net.Run(ctx) })
	group.Go(func() { errs <- d.loop.Run(ctx) })
	group.Go(func() { d.runRounds(ctx) })
	group.Go(func() { d.decisions.Run(ctx) })
	group.Go(func() { d.events.Run(ctx, d.loop.Wait) })
	err := <-errs
	cancel()
	group.Wait()
	if second := <-errs; err == nil {
		err = second
	}
	return err
}

// epochTime is how long the secrets of a connection serve; then the dialling side makes a new one.
const epochTime = time.Hour

// runRounds does what is due from time to time, until ctx ends.
func (d *instance) runRounds(ctx context.Context) {
	round := time.NewTicker(roundTime)
	defer round.Stop()
	key := time.NewTimer(0)
	defer key.Stop()
	epoch := time.NewTicker(epochTime)
	defer epoch.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-epoch.C:
			d.net.refresh()
		case <-round.C:
			d.net.again()
			d.round()
			d.vouch(ctx)
			d.publishKey(ctx)
		case <-d.rounds:
			d.round()
		case <-key.C:
			if !d.publishKey(ctx) {
				key.Reset(time.Second)
			}
		}
	}
}

// wakeRounds asks for a round soon.
func (d *instance) wakeRounds() {
	select {
	case d.rounds <- struct{}{}:
	default:
	}
}

func (d *instance) round() {
	p := peers{keys: map[membership.NodeID][]byte{}, connected: d.net.connected()}
	done := make(chan struct{})
	ok := d.loop.post(func() {
		defer close(done)
		s := d.loop.n.State()
		for i := range s.Members {
			if m := &s.Members[i]; !m.Removed {
				p.keys[membership.NodeID(m.NodeID)] = m.Key
			}
		}
		for _, id := range d.loop.n.Members().Voters {
			if m := s.MemberByRaftID(uint64(id)); m != nil {
				p.voters = append(p.voters, membership.NodeID(m.NodeID))
			}
		}
	})
	if !ok {
		return
	}
	select {
	case <-done:
		d.authority.round(time.Now(), p)
	case <-d.loop.quit:
	}
}

// vouch writes the head of this node's audit log into the replicated state, so that root of one node cannot rewrite
// its history without contradicting the others.
func (d *instance) vouch(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, auditTimeout)
	defer cancel()
	head, err := d.client.Head(ctx)
	if err != nil {
		d.log.Warn("head of the audit log", "error", err)
		return
	}
	if s, err := d.loop.State(ctx, false); err != nil || head.Seq <= s.AuditHeads[d.name].Seq {
		return
	}
	_, _, err = d.loop.Propose(ctx, &command.Entry{Kind: command.KindAuditHead, Actor: "cluster", AuditHead: &command.AuditHead{Seq: head.Seq, Hash: head.Hash}})
	if err != nil && ctx.Err() == nil {
		d.log.Debug("head of the audit log", "error", err)
	}
}

// publishKey tells the cluster the public key to which secrets for this node are sealed. It reports whether the cluster
// knows it.
func (d *instance) publishKey(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, auditTimeout)
	defer cancel()
	key, err := d.client.SealKey(ctx)
	if err != nil {
		d.log.Debug("key of stored secrets", "error", err)
		return false
	}
	s, err := d.loop.State(ctx, false)
	if err != nil {
		return false
	}
	m := s.Member(d.name)
	if m == nil || bytes.Equal(m.Seal, key) {
		return m != nil
	}
	_, out, err := d.loop.Propose(ctx, &command.Entry{Kind: command.KindMemberUpdate, Actor: "cluster", MemberUpdate: &command.MemberUpdate{Name: d.name, Seal: key}})
	return err == nil && out.Err == nil
}

// note writes an audit record. It does not wait for it.
func (d *instance) note(event string, data map[string]any) {
	if err := d.client.Note(event, data); err != nil {
		d.log.Error("audit log", "event", event, "error", err)
	}
}

// onHello takes over the runs of an earlier node process.
func (d *instance) onHello(list []runner.RunInfo) {
	var known []executor.Running
	for _, r := range list {
		known = append(known, executor.Running{ID: r.ID, Resource: r.Resource, Operation: r.Operation, Interval: r.Interval,
			Timeout: r.Timeout, Age: r.Age, Finished: r.Finished})
	}
	d.loop.post(func() { d.loop.n.Adopt(d.loop.now(), known) })
}

// onResult hands the result of a run to the node.
func (d *instance) onResult(r agents.Result) {
	d.loop.post(func() { d.loop.n.RunFinished(d.loop.now(), time.Now(), r) })
}

// attempt asks whether a join may be tried (0), or counts a wrong try.
func (d *instance) attempt(now time.Time, wrong bool) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	at := d.loop.now()
	if wrong {
		d.attempts.Fail(at)
		return 0
	}
	return d.attempts.Allow(at)
}

// record keeps a decision for the API and the log.
func (d *instance) record(r controller.DecisionRecord) {
	switch {
	case r.Overtaken:
		d.log.Debug("decision overtaken", "term", r.Term, "index", r.Index)
		return
	case r.Err != "":
		d.log.Error("no decision", "term", r.Term, "transition", r.Transition, "index", r.Index, "error", r.Err)
	case len(r.Changes) > 0:
		d.log.Info("decision", "term", r.Term, "transition", r.Transition, "index", r.Index, "actions", r.Actions, "changes", strings.Join(r.Changes, "; "))
	default:
		d.log.Debug("decision", "term", r.Term, "transition", r.Transition, "index", r.Index, "actions", r.Actions)
	}
	d.decisions.add(&r)
}

// backend is what the API server asks.
func (d *instance) backend() server.Backend {
	return server.Backend{
		State:   d.loop.State,
		Wait:    d.loop.Wait,
		Propose: d.propose,
		CIB: func(ctx context.Context, linear bool) ([]byte, error) {
			s, err := d.loop.State(ctx, linear)
			if err != nil {
				return nil, err
			}
			return cibxml.Write(command.PolicyDocument(s, d.leaderName(s)), cibxml.Options{}), nil
		},
		Local: d.local,
		Token: d.issueToken,
		Stop: func(ctx context.Context) error {
			d.loop.post(func() { d.loop.n.Leave(d.loop.now(), time.Now()) })
			select {
			case <-d.loop.quit:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		},
		Recover: d.recover,
		Run:     d.hands.run,
		Init:    func(context.Context, api.InitRequest) error { return alreadyMember(d.name) },
		Join:    func(context.Context, api.JoinRequest) error { return alreadyMember(d.name) },
		Metadata: func(ctx context.Context, agent string) ([]byte, error) {
			ref, err := agents.ParseRef(agent)
			if err != nil {
				return nil, &server.StateError{Message: err.Error()}
			}
			return d.client.Metadata(ctx, ref)
		},
		Agents: func(ctx context.Context, class string) ([]string, error) {
			refs, err := d.client.List(ctx, class)
			var out []string
			for _, r := range refs {
				out = append(out, r.String())
			}
			return out, err
		},
		Decisions: func(_ context.Context, most int) ([]api.Decision, error) { return d.decisions.newest(most), nil },
		Events:    d.events.next,
		Input:     func(_ context.Context, id string) (*api.DecisionInput, error) { return d.decisions.input(id) },
	}
}

// maxAudited bounds the objects that the audit record of a change names.
const maxAudited = 50

// propose has a client's entry applied, and records who changed what.
func (d *instance) propose(ctx context.Context, e *command.Entry) (uint64, command.Outcome, error) {
	index, out, err := d.loop.Propose(ctx, e)
	data := map[string]any{"actor": e.Actor, "kind": int(e.Kind), "index": index}
	switch {
	case err != nil:
		data["error"] = err.Error()
	case out.Err != nil:
		data["refused"] = out.Err.Error()
	}
	switch {
	case e.Config != nil:
		var keys []string
		for i := range e.Config.Changes[:min(len(e.Config.Changes), maxAudited)] {
			keys = append(keys, e.Config.Changes[i].Key())
		}
		data["objects"], data["changes"], data["message"] = keys, len(e.Config.Changes), e.Config.Message
	case e.MemberRemove != nil:
		data["name"] = e.MemberRemove.Name
	case e.ConfirmDown != nil:
		data["name"] = e.ConfirmDown.Node
	case e.Forget != nil:
		data["resource"], data["name"] = e.Forget.Resource, e.Forget.Node
	case e.SecretSet != nil:
		data["secret"] = e.SecretSet.Name
	case e.SecretDrop != nil:
		data["secret"] = e.SecretDrop.Name
	case e.TokenDrop != nil:
		data["token"] = e.TokenDrop.ID
	}
	d.note("change", data)
	return index, out, err
}

func alreadyMember(name string) error {
	return &server.StateError{Message: "this node is already in a cluster, as " + name,
		Hint: `stop it ("crm cluster stop"), have it removed ("crm cluster remove") and empty its state folder first`}
}

func (d *instance) leaderName(s *command.State) string {
	d.loop.mu.Lock()
	id := d.loop.role.Leader
	d.loop.mu.Unlock()
	if m := s.MemberByRaftID(uint64(id)); m != nil {
		return m.Name
	}
	return ""
}

// recover has this node go on as the only voter.
func (d *instance) recover(ctx context.Context, r api.RecoverRequest, actor string) (reply api.RecoverReply, err error) {
	type answer struct {
		remove bool
		err    error
	}
	done := make(chan answer, 1)
	if !d.loop.post(func() {
		remove, err := d.loop.n.Recover(d.loop.now(), time.Now(), r.Dead, actor)
		done <- answer{remove, err}
	}) {
		return reply, server.ErrNoQuorum
	}
	data := map[string]any{"actor": actor, "dead": r.Dead}
	select {
	case a := <-done:
		reply.Remove, err = a.remove, a.err
	case <-d.loop.quit:
		return reply, server.ErrNoQuorum
	case <-ctx.Done():
		return reply, ctx.Err()
	}
	if err != nil {
		data["refused"] = err.Error()
		err = &server.StateError{Message: err.Error(), Hint: `see "crm cluster status"`}
	}
	d.note("recover", data)
	return reply, err
}

// local tells what this node sees.
func (d *instance) local() api.Local {
	out := api.Local{Version: version.Version, Node: d.name, ClusterID: string(d.id.Cluster), Started: d.started.UTC()}
	done := make(chan struct{})
	ok := d.loop.post(func() {
		defer close(done)
		n := d.loop.n
		s := n.State()
		role := n.Role()
		out.Cluster, out.Applied, out.Term, out.RaftID = s.Name, s.Index, role.Term, uint64(n.Hello().ID)
		if m := s.MemberByRaftID(uint64(role.Leader)); m != nil {
			out.Leader = m.Name
		}
		out.Quorate, out.Waits = n.Quorate(), n.Waits()
		out.Alone, out.PendingRuns = n.Alone(), n.Busy()
		conf := n.Members()
		out.Role = "learner"
		for _, id := range conf.Voters {
			if m := s.MemberByRaftID(uint64(id)); m != nil {
				out.Voters = append(out.Voters, m.Name)
				if m.Name == d.name {
					out.Role = "voter"
				}
			}
		}
		for _, id := range conf.Learners {
			if m := s.MemberByRaftID(uint64(id)); m != nil {
				out.Learners = append(out.Learners, m.Name)
			}
		}
		if l := n.Leader(); l != nil {
			out.Role = "leader"
			out.Idle = l.Idle()
			out.Decision = l.Failure()
		}
		out.Peers, out.Matrix = n.Peers()
	})
	if ok {
		select {
		case <-done:
		case <-d.loop.quit:
		}
	}
	d.net.describe(&out)
	d.health(&out, time.Now())
	return out
}

// bootID names this boot of the machine.
func bootID() string {
	data, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

func newIncarnation() (membership.Incarnation, error) {
	var b [8]byte
	for {
		if _, err := rand.Read(b[:]); err != nil {
			return 0, err
		}
		if v := binary.BigEndian.Uint64(b[:]); v != 0 {
			return membership.Incarnation(v), nil
		}
	}
}

func nameOf(s *command.State, peers []node.Known, id uint16) string {
	if s != nil {
		if m := s.MemberByID(id); m != nil {
			return m.Name
		}
	}
	for _, p := range peers {
		if uint16(p.Node) == id {
			return p.Name
		}
	}
	return ""
}

var errNotMember = errors.New("this node is in no cluster")
