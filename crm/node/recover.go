package node

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/quorate/quorate/membership"
	"github.com/quorate/quorate/membership/quorum"
)

// Quorate reports whether a leader with quorum is heard now, which may be this node.
func (n *Node) Quorate() bool { return n.leaderHeard() }

// Waits says in a sentence or two what this node waits for without quorum, and what an administrator can do; "" with quorum.
func (n *Node) Waits() string {
	v := &n.votes
	d := &v.decision
	if n.leaderHeard() || n.con.state.ClusterID == "" {
		return ""
	}
	if d.Reason == quorum.Majority {
		return "there is a majority of the voters, and no leader yet"
	}
	if v.taking || d.Reason == quorum.Survivor && len(v.conf.Voters) == 2 {
		return "this node is taking over as the only voter"
	}
	away := strings.Join(v.away(), " ")
	advice := "when you have seen for yourself that what is away is off, for good: crm cluster recover " + away
	switch {
	case !slices.Contains(v.conf.Voters, n.cfg.RaftID):
		return fmt.Sprintf("this node does not vote and hears no leader: it waits for %s; %s", away, advice)
	case d.Reason == quorum.Waiting && v.unsettled:
		return fmt.Sprintf("waiting for %s (the voters were being changed, and this node does not know whether they were: the others may have gone on without it); %s", away, advice)
	case d.Reason == quorum.Waiting:
		return fmt.Sprintf("waiting for %s (wait-for-all: this node has not been together with it since it started, so its state may be old); %s", away, advice)
	case d.Reason == quorum.Split && v.order != nil && v.order.pending != nil:
		return fmt.Sprintf("waiting for fencing of %s (%s)", away, v.order.pending.FenceOp)
	case d.Reason == quorum.Split && v.order != nil:
		return fmt.Sprintf("waiting to fence %s, in %v", away, v.order.at.Sub(n.now).Round(time.Second))
	case d.Reason == quorum.Split && v.trouble != "":
		return fmt.Sprintf("waiting for fencing of %s, which failed and is tried again: %s; %s", away, v.trouble, advice)
	}
	return fmt.Sprintf("%s (%d of %d, %d are needed): waiting for %s; %s", d.Reason, d.Votes, d.Voters, d.Needed, away, advice)
}

// away names the voters that are not there.
func (v *votes) away() (names []string) {
	for _, id := range v.conf.Voters {
		if id != v.n.cfg.RaftID && !v.n.mem.hears(id) {
			names = append(names, v.n.nameOf(id))
		}
	}
	return names
}

// Recover makes this node the only voter, by the word of actor, an administrator, that the named members are off. It is for a
// cluster that has lost its majority for good, and for a node that waits after it has started alone. What only the dead had
// stored is lost. The error says what keeps it from being done; when there is none it is done at the next Saved.
//
// remove says that the named members may have gone on without this node, or could do so together with what they have
// stored: they must be removed from the cluster, so that they are refused when they come back.
func (n *Node) Recover(now membership.Instant, wall time.Time, dead []string, actor string) (remove bool, err error) {
	n.at(now, wall)
	v := &n.votes
	if err := v.mayRecover(dead); err != nil {
		return false, err
	}
	gone := len(v.away())
	remove = !v.missesNothing() || gone >= quorum.Needed(len(v.conf.Voters))
	if err := n.con.rep.Survive(now); err != nil {
		return false, err
	}
	v.taking = true
	for _, name := range dead {
		n.member.ConfirmDown(name, actor, wall)
	}
	n.note(Warn, "this node goes on as the only voter by the word of an administrator", "actor", actor, "off", strings.Join(dead, " "))
	return remove, nil
}

// mayRecover says what keeps this node from going on without the named members.
func (v *votes) mayRecover(dead []string) error {
	n := v.n
	if v.majority() || n.leaderHeard() {
		return fmt.Errorf("there is a majority of the voters: nothing is to be recovered")
	}
	for _, name := range dead {
		mem := n.con.state.Member(name)
		switch {
		case mem == nil:
			return fmt.Errorf("no node is called %q", name)
		case name == n.cfg.Name:
			return fmt.Errorf("%s is this node", name)
		case here(n.mem.core.State(membership.NodeID(mem.NodeID))):
			return fmt.Errorf("node %s is heard: it is not off", name)
		}
	}
	for _, name := range v.away() {
		if !slices.Contains(dead, name) {
			return fmt.Errorf("voter %s is away, too: name it if it is off, else wait for it", name)
		}
	}
	view := n.mem.core.View()
	for i := range view.Members {
		if p := &view.Members[i]; here(p.State) && p.Applied > n.con.rep.Applied() {
			return fmt.Errorf("node %s knows more (entry %d, this node has %d): recover there", n.mem.names[p.Node], p.Applied, n.con.rep.Applied())
		}
	}
	return nil
}
