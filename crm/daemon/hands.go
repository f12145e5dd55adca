package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/quorate/quorate/agents"
	"github.com/quorate/quorate/agents/executor"
	"github.com/quorate/quorate/crm/api"
	"github.com/quorate/quorate/crm/api/server"
	"github.com/quorate/quorate/crm/cib/cibxml"
	"github.com/quorate/quorate/crm/controller"
	"github.com/quorate/quorate/crm/node"
	"github.com/quorate/quorate/crm/policy"
	"github.com/quorate/quorate/crm/store/command"
	"github.com/quorate/quorate/membership"
	"github.com/quorate/quorate/transport"
)

// Bounds of operations by hand.
const (
	// handBegin is how long an operation waits until it may begin: for a monitor to end, or for a probe after the operation
	// before it. Then it is refused; it never begins when nobody counts on it any more.
	handBegin = 20 * time.Second
	handPause = 100 * time.Millisecond // between two tries
	// handConfirm is how long another node has to say that it still wants what it asked for. A question that lay about, since this
	// process or the network stood still, must not be answered by a start that nobody expects.
	handConfirm = 5 * time.Second
	// handMargin is what another node may take beyond the rest for its messages.
	handMargin = 10 * time.Second
	// maxHands bounds the operations that are run for other nodes at a time: administrators type them, or one script does.
	maxHands = 32 // one more is not answered, and so not run
)

// hands runs operations of resources that administrators ask for, here and, over the streams, on other nodes. Whether one may be
// run is decided on the node that runs it. Its result is not recorded in the history, which holds what the cluster did. Instead the
// history of the resource on this node is forgotten before an operation that may change it: the cluster has to probe, and the probe waits
// until the operation has ended. So nothing is ever decided on a history that is wrong, also when the resource is handed back to the
// cluster in the middle. Should this process end meanwhile, the next one finds the run at the runner, waits for it, and probes everything.
//
// Its methods may be called by several goroutines.
type hands struct {
	d *instance
	// send sends a message to a member; it may wait for room until ctx ends. spawn runs what answers one.
	send  func(ctx context.Context, to membership.NodeID, m *handNotice) error
	spawn func(func())

	mu     sync.Mutex // guards what follows
	runs   map[string]chan agents.Result
	asked  map[uint64]question
	number uint64                   // of the last question
	served map[served]chan struct{} // closed when the question was confirmed
}

// served is a question that another node asked.
type served struct {
	from   membership.NodeID
	number uint64
}

// question is one that another node was asked.
type question struct {
	to     membership.NodeID
	answer chan handNotice // has room for all answers
}

// handNotice asks a member for an operation by hand (noticeRun), or answers (noticeRan). The member asks back whether that is
// still wanted (Confirm), hears that it is (Confirm), tells that the operation has begun, then what came of it. It goes over a
// stream, so the sender is known.
type handNotice struct {
	Kind    noticeKind      `cbor:"1,keyasint"`
	Number  uint64          `cbor:"2,keyasint"` // of the question, chosen by who asks
	Actor   string          `cbor:"3,keyasint,omitempty"`
	Request *api.RunRequest `cbor:"4,keyasint,omitempty"`
	Begun   time.Duration   `cbor:"5,keyasint,omitempty"` // it has begun, and may take so long
	Reply   *api.RunReply   `cbor:"6,keyasint,omitempty"`
	Error   *api.Error      `cbor:"7,keyasint,omitempty"`
	Confirm bool            `cbor:"8,keyasint,omitempty"`
}

// handMessage reports whether a client message between members is a handNotice.
func handMessage(payload []byte) bool {
	var k struct {
		Kind noticeKind `cbor:"1,keyasint"`
	}
	return cbor.Unmarshal(payload, &k) == nil && (k.Kind == noticeRun || k.Kind == noticeRan)
}

func newHands(d *instance) *hands {
	// Answers to questions of an earlier process must find none of this one.
	return &hands{d: d, send: d.net.hand, spawn: d.net.group.Go, runs: map[string]chan agents.Result{}, asked: map[uint64]question{}, served: map[served]chan struct{}{}, number: uint64(d.loop.incarnation)}
}

// run runs an operation on the node that the request names, and returns when it has ended. When ctx ends before the operation has
// begun, it does not begin; one that has begun goes on.
func (h *hands) run(ctx context.Context, r api.RunRequest, actor string) (api.RunReply, error) {
	if len(r.Edited) > api.MaxEdited {
		return api.RunReply{}, &server.StateError{Message: fmt.Sprintf("the edited configuration has %d bytes: at most %d", len(r.Edited), api.MaxEdited), Hint: "commit it first"}
	}
	if r.Node == "" || strings.EqualFold(r.Node, h.d.name) {
		return h.here(ctx, r, actor, func(time.Duration) {})
	}
	s, err := h.d.loop.State(ctx, false)
	if err != nil {
		return api.RunReply{}, err
	}
	i := slices.IndexFunc(s.Members, func(m command.Member) bool { return !m.Removed && strings.EqualFold(m.Name, r.Node) })
	if i < 0 {
		return api.RunReply{}, &server.StateError{Message: fmt.Sprintf("no member of the cluster is called %q", r.Node), Hint: "\"crm node show\" lists them"}
	}
	return h.there(ctx, membership.NodeID(s.Members[i].NodeID), r, actor)
}

// here runs an operation on this node.
func (h *hands) here(ctx context.Context, r api.RunRequest, actor string, begun func(timeout time.Duration)) (api.RunReply, error) {
	data := map[string]any{"actor": actor, "resource": short(r.Resource), "operation": short(r.Operation)}
	p, run, err := h.begin(ctx, r, actor)
	if err != nil {
		data["refused"] = short(err.Error())
		h.d.note("hand-run", data)
		return api.RunReply{}, err
	}
	data["run"] = run.id
	h.d.note("hand-run", data)
	begun(time.Duration(p.TimeoutMS) * time.Millisecond)
	var res agents.Result
	select {
	case res = <-run.result:
	case <-h.d.loop.quit:
		return api.RunReply{}, errors.New("the daemon ends while the operation runs: what comes of it is not known here")
	}
	reply := api.RunReply{Node: h.d.name, RC: int(res.RC), Status: res.Status.String(), Code: res.RC.String(), Reason: res.Reason, Output: res.Output,
		Truncated: res.Truncated, Took: res.ExecTime, Complete: res.Status == agents.StatusDone}
	return reply, nil
}

// changes reports whether an operation may change what the resource does.
func changes(operation string) bool {
	return operation != string(agents.OpMonitor) && operation != string(agents.OpValidateAll)
}

// short bounds what a client sent, for a record.
func short(text string) string { return agents.CleanLine(text, agents.MaxReason) }

// handRun is an operation that has begun.
type handRun struct {
	id     string
	result chan agents.Result // has room for the one result
}

// begin starts an operation as soon as it may be run, or says why it may not.
func (h *hands) begin(ctx context.Context, r api.RunRequest, actor string) (command.Pending, handRun, error) {
	req := policy.HandRequest{Resource: r.Resource, Operation: r.Operation, Node: h.d.name}
	if len(r.Edited) > 0 {
		doc, _, err := cibxml.Read(r.Edited)
		if err != nil {
			return command.Pending{}, handRun{}, &server.StateError{Message: "the edited configuration: " + err.Error()}
		}
		req.Edited = &doc.Config
	}
	ctx, cancel := context.WithTimeout(ctx, handBegin)
	defer cancel()
	for {
		p, run, err := h.try(ctx, req, actor)
		var hand *policy.HandError
		var state *server.StateError
		again := errors.Is(err, node.ErrMoved) || errors.Is(err, node.ErrUnderWay) || errors.Is(err, executor.ErrBusy)
		switch {
		case errors.As(err, &hand):
			again, state = hand.Passing, &server.StateError{Message: hand.Message, Hint: hand.Hint}
		case again:
			state = &server.StateError{Message: err.Error(), Hint: "try again when \"crm wait\" has returned"}
		case errors.Is(err, node.ErrCutOff):
			state = &server.StateError{Message: err.Error(), Hint: "look at \"crm cluster status\""}
		default:
			return p, run, err
		}
		if !again {
			return p, run, state
		}
		pause := time.NewTimer(handPause)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return p, run, state
		case <-h.d.loop.quit:
			pause.Stop()
			return p, run, state
		}
	}
}

// try starts an operation if it may be run in the newest state.
func (h *hands) try(ctx context.Context, req policy.HandRequest, actor string) (p command.Pending, run handRun, err error) {
	s, err := h.d.loop.State(ctx, true)
	if err != nil {
		return p, run, err
	}
	if p, err = controller.ByHand(s, h.d.leaderName(s), req, time.Now()); err != nil {
		return p, run, err
	}
	var hold *executor.Hold
	if changes(req.Operation) {
		if err = h.do(func(n *node.Node) (err error) {
			hold, err = n.HoldByHand(h.d.loop.now(), time.Now(), s, &p)
			return err
		}); err != nil {
			return p, run, err
		}
		defer func() {
			if err != nil {
				h.d.loop.post(func() { h.d.loop.n.ReleaseByHand(h.d.loop.now(), time.Now(), hold) })
			}
		}()
		if s, err = h.forget(ctx, &p, req, actor); err != nil {
			return p, run, err
		}
	}
	run.result = make(chan agents.Result, 1)
	err = h.do(func(n *node.Node) (err error) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if run.id, err = n.RunByHand(h.d.loop.now(), time.Now(), s, &p, hold); err == nil {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.runs[run.id] = run.result
		}
		return err
	})
	return p, run, err
}

// do runs f on the loop.
func (h *hands) do(f func(*node.Node) error) error {
	done := make(chan error, 1)
	if !h.d.loop.post(func() { done <- f(h.d.loop.n) }) {
		return server.ErrNoQuorum
	}
	select {
	case err := <-done:
		return err
	case <-h.d.loop.quit:
		return server.ErrNoQuorum
	}
}

// forget has the history of the resource on this node forgotten, and returns a state in which it is and the cluster still leaves the
// resource alone.
func (h *hands) forget(ctx context.Context, p *command.Pending, req policy.HandRequest, actor string) (*command.State, error) {
	_, out, err := h.d.loop.Propose(ctx, &command.Entry{Kind: command.KindForget, Actor: actor, Forget: &command.Forget{Resource: p.Resource, Node: h.d.name}})
	if err == nil {
		err = out.Err
	}
	if err != nil {
		return nil, fmt.Errorf("have the cluster look at %s again: %w", p.Resource, err)
	}
	s, err := h.d.loop.State(ctx, false)
	if err != nil {
		return nil, err
	}
	if req.Operation == string(agents.OpStart) {
		// Of two nodes that are asked at the same time, one at least finds here that it is not known what the other does.
		_, err = controller.ByHand(s, h.d.leaderName(s), req, time.Now())
		return s, err
	}
	return s, controller.LeftAlone(s, h.d.leaderName(s), req.Resource, time.Now())
}

// finished takes the result of a run. One that an earlier process began is of no interest to anybody.
func (h *hands) finished(r agents.Result) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if ch := h.runs[r.ID]; ch != nil {
		delete(h.runs, r.ID)
		ch <- r // has room
	}
}

// there has another member run an operation.
func (h *hands) there(ctx context.Context, to membership.NodeID, r api.RunRequest, actor string) (api.RunReply, error) {
	q := question{to: to, answer: make(chan handNotice, 4)}
	h.mu.Lock()
	h.number++
	number := h.number
	h.asked[number] = q
	h.mu.Unlock()
	defer func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.asked, number)
	}()
	if err := h.send(ctx, to, &handNotice{Kind: noticeRun, Number: number, Actor: actor, Request: &r}); err != nil {
		return api.RunReply{}, unreached(r.Node, err)
	}
	confirmed := false
	late := time.NewTimer(handMargin)
	defer late.Stop()
	for {
		select {
		case a := <-q.answer:
			switch {
			case a.Error != nil:
				return api.RunReply{}, &server.StateError{Message: a.Error.Message, Hint: a.Error.Hint}
			case a.Reply != nil:
				return *a.Reply, nil
			case a.Confirm && confirmed:
				continue
			case a.Confirm:
				if err := h.send(ctx, to, &handNotice{Kind: noticeRun, Number: number, Confirm: true}); err != nil {
					return api.RunReply{}, unreached(r.Node, err)
				}
				confirmed = true
				late.Reset(handConfirm + handBegin + handMargin)
				continue
			}
			late.Reset(min(max(a.Begun, 0), agents.MaxTimeout) + executor.RunnerMargin + handMargin)
		case <-late.C:
			if !confirmed {
				return api.RunReply{}, unreached(r.Node, errors.New("it gave no answer in time"))
			}
			return api.RunReply{}, unknownEnd(r.Node, "gave no answer in time")
		case <-ctx.Done():
			return api.RunReply{}, ctx.Err()
		case <-h.d.loop.quit:
			return api.RunReply{}, unknownEnd(r.Node, "cannot be heard, since this node's daemon ends")
		}
	}
}

func unreached(name string, err error) error {
	return &server.StateError{Message: fmt.Sprintf("%s cannot be reached: %v; the operation was not run", name, err), Hint: "look at \"crm cluster status\""}
}

func unknownEnd(name, why string) error {
	return &server.StateError{Message: fmt.Sprintf("%s %s: whether the operation was run is not known", name, why), Hint: "look at \"crm audit\" on that node, then \"crm resource refresh\""}
}

// hand sends a message about an operation by hand.
func (n *network) hand(ctx context.Context, to membership.NodeID, m *handNotice) error {
	data, err := cbor.Marshal(m)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, handMargin)
	defer cancel()
	return n.stream.SendWait(ctx, to, transport.ClassClient, data)
}

// take handles a message that came from a member. ctx is that of the network.
func (h *hands) take(ctx context.Context, from membership.NodeID, payload []byte) {
	var m handNotice
	if err := cbor.Unmarshal(payload, &m); err != nil {
		h.d.log.Warn("malformed message about an operation by hand", "peer", int(from), "error", err)
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if m.Kind == noticeRan {
		if q, ok := h.asked[m.Number]; ok && q.to == from {
			select {
			case q.answer <- m:
			default: // more answers than there can be
			}
		}
		return
	}
	key := served{from, m.Number}
	wanted, known := h.served[key]
	if m.Confirm {
		select {
		case <-wanted: // it is confirmed already; where it is not known, nil blocks
		default:
			if known {
				close(wanted)
			}
		}
		return
	}
	if known {
		return
	}
	if m.Request == nil {
		h.d.log.Warn("malformed message about an operation by hand", "peer", int(from), "error", "no request")
		return
	}
	if len(h.served) >= maxHands {
		h.d.log.Warn("too many operations by hand for other nodes: one is not run", "peer", int(from), "resource", short(m.Request.Resource))
		return
	}
	wanted = make(chan struct{})
	h.served[key] = wanted
	h.spawn(func() { h.serve(ctx, from, &m, wanted) })
}

// serve runs an operation for another member, once wanted is closed, and answers.
func (h *hands) serve(ctx context.Context, from membership.NodeID, m *handNotice, wanted <-chan struct{}) {
	answer := func(a handNotice) {
		a.Kind, a.Number = noticeRan, m.Number
		if err := h.send(ctx, from, &a); err != nil {
			h.d.log.Warn("answer about an operation by hand", "peer", int(from), "resource", short(m.Request.Resource), "error", err)
		}
	}
	defer func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.served, served{from, m.Number})
	}()
	asked := time.Now()
	answer(handNotice{Confirm: true})
	reply, err := api.RunReply{}, error(nil)
	switch {
	case !within(ctx, wanted, asked):
		err = errors.New("that the operation is still wanted was not confirmed in time; it was not run")
	case len(m.Request.Edited) > api.MaxEdited:
		err = errors.New("the edited configuration is too large")
	default:
		reply, err = h.here(ctx, *m.Request, short(m.Actor)+" on "+h.peerName(ctx, from), func(timeout time.Duration) { answer(handNotice{Begun: max(timeout, 1)}) })
	}
	if err != nil {
		a := &api.Error{Code: api.CodeState, Message: err.Error()}
		var state *server.StateError
		if errors.As(err, &state) {
			a.Hint = state.Hint
		}
		answer(handNotice{Error: a})
		return
	}
	answer(handNotice{Reply: &reply})
}

// within waits until done is closed, and reports whether that was in time.
func within(ctx context.Context, done <-chan struct{}, since time.Time) bool {
	late := time.NewTimer(handConfirm)
	defer late.Stop()
	select {
	case <-done:
	case <-late.C:
		return false
	case <-ctx.Done():
		return false
	}
	return time.Since(since) <= handConfirm // the process may have stood still
}

// peerName is the name of a member, for records.
func (h *hands) peerName(ctx context.Context, id membership.NodeID) string {
	if s, err := h.d.loop.State(ctx, false); err == nil {
		if m := s.MemberByID(uint16(id)); m != nil {
			return m.Name
		}
	}
	return fmt.Sprintf("node %d", id)
}

// lost tells that no stream to a member is up any more. What it was asked may run there all the same.
func (h *hands) lost(peer membership.NodeID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for number, q := range h.asked {
		if q.to != peer {
			continue
		}
		e := unknownEnd("the node", "was lost").(*server.StateError)
		select {
		case q.answer <- handNotice{Error: &api.Error{Code: api.CodeUnknown, Message: e.Message, Hint: e.Hint}}:
			delete(h.asked, number)
		default:
		}
	}
}
