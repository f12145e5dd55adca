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

// RunByHand starts an operation that an administrator asked for and that controller.ByHand allowed in the state s. It returns the
// id of the run, whose result comes once in Output.ByHand and is told to nobody else. changes says that the operation may change
// what the resource does; then recurring monitors of it end here, and the history has to be forgotten when it has ended.
//
// The cluster cannot interfere: an operation of the same resource that it hands to this node meanwhile waits until the run has
// ended. The errors are ErrMoved and executor.ErrBusy, with which the caller tries again, ErrUnderWay, ErrCutOff, and those of a
// request that is not valid.
func (n *Node) RunByHand(now membership.Instant, wall time.Time, s *command.State, p *command.Pending, changes bool) (string, error) {
	n.at(now, wall)
	if !n.started || n.leaving || n.member.Alone() || !n.con.fresh || !n.leaderHeard() {
		return "", ErrCutOff
	}
	if s.Document != n.con.state.Document {
		return "", ErrMoved
	}
	if slices.ContainsFunc(n.con.state.Pending, func(q command.Pending) bool {
		return q.Resource == p.Resource && q.Task != "cancel" || q.Task == "stonith" && q.Target == n.cfg.Name
	}) {
		return "", ErrUnderWay
	}
	req := n.start(executor.Key{}, 0, p).Request
	id, err := n.exec.Hand(now, req, changes)
	if err == nil {
		n.note(Info, "operation by hand", "resource", p.Resource, "operation", p.Task)
	}
	return id, err
}
