package node

import (
	"errors"
	"slices"
	"time"

	"github.com/quorate/quorate/agents/executor"
	"github.com/quorate/quorate/crm/store/command"
	"github.com/quorate/quorate/membership"
)

// ErrMoved refuses an operation by hand that was allowed in a state that is no longer the newest: it has to be asked again
// whether it is allowed.
var ErrMoved = errors.New("the state of the cluster has changed meanwhile")

// Errors of RunByHand that time or an administrator heals.
var (
	ErrCutOff   = errors.New("this node hears no leader with quorum, so that it does not know what the cluster does")
	ErrUnderWay = errors.New("the cluster has an operation of this resource under way")
)

// HoldByHand keeps the resource of an operation that an administrator asked for, and that controller.ByHand allowed in the state s, free
// for it: what the cluster hands to this node meanwhile waits. RunByHand or ReleaseByHand follows. The errors are ErrMoved and
// executor.ErrBusy, with which the caller tries again, ErrUnderWay and ErrCutOff.
//
// It is for operations that may change what the resource does. Between the two calls the history of the resource on this node is
// to be forgotten, and it is to be made sure that the cluster still leaves the resource alone. From then on no decision relies on what was
// known of the resource here: the cluster has to probe first, and the probe waits for the operation.
func (n *Node) HoldByHand(now membership.Instant, wall time.Time, s *command.State, p *command.Pending) (*executor.Hold, error) {
	n.at(now, wall)
	if err := n.mayHand(s, p); err != nil {
		return nil, err
	}
	return n.exec.Hold(now, p.Resource)
}

// ReleaseByHand ends a hold that was not used.
func (n *Node) ReleaseByHand(now membership.Instant, wall time.Time, h *executor.Hold) {
	n.at(now, wall)
	n.exec.Release(now, h)
}

// RunByHand starts an operation by hand and returns the id of the run, whose result comes once in Output.ByHand and is told to nobody
// else. An operation that only looks needs no hold (nil). The errors are those of HoldByHand, and of a request that is not valid.
func (n *Node) RunByHand(now membership.Instant, wall time.Time, s *command.State, p *command.Pending, h *executor.Hold) (string, error) {
	n.at(now, wall)
	switch {
	case h == nil:
		if err := n.mayHand(s, p); err != nil {
			return "", err
		}
	case n.cutOff():
		return "", ErrCutOff
	case slices.ContainsFunc(n.con.state.Pending, func(q command.Pending) bool {
		return q.Resource == p.Resource && q.Task != "cancel" && q.Task != "monitor"
	}):
		return "", ErrUnderWay
	}
	id, err := n.exec.Hand(now, n.start(executor.Key{}, 0, p).Request, h)
	if err == nil {
		n.note(Info, "operation by hand", "resource", p.Resource, "operation", p.Task)
	}
	return id, err
}

// cutOff reports whether this node may not know what the cluster does.
func (n *Node) cutOff() bool {
	return !n.started || n.leaving || n.member.Alone() || !n.con.fresh || !n.leaderHeard()
}

// mayHand refuses an operation by hand in the newest state, if it was allowed in the state s.
func (n *Node) mayHand(s *command.State, p *command.Pending) error {
	switch {
	case n.cutOff():
		return ErrCutOff
	case s.Document != n.con.state.Document:
		return ErrMoved
	case slices.ContainsFunc(n.con.state.Pending, func(q command.Pending) bool {
		return q.Resource == p.Resource && q.Task != "cancel" || q.Task == "stonith" && q.Target == n.cfg.Name
	}):
		return ErrUnderWay
	}
	return nil
}
