// Package quorum is the one place that says what quorum is, who may fence while votes are short, and
// which members should vote.
//
// Quorum is more than half of the voters. Exactly half of the voters (one of two, two of four) hold every
// committed entry, since each majority contains one of them; so they may go on when all the other voters
// have been fenced with success, and no other way. A node that boots alone has no quorum of this second
// kind: it waits until it has seen all voters, or until an administrator tells it to go on.
//
// All functions are pure. Lists of nodes may come in any order; results are sorted by number.
package quorum

import (
	"errors"
	"fmt"
	"slices"

	"github.com/quorate/quorate/membership/identity"
)

// ID is the raft identity of a member: votes are given under it.
type ID = identity.RaftID

// MaxVoters is the largest number of voters that [Next] chooses. More make each write slower and survive
// only faults that nobody has.
const MaxVoters = 7

// ErrConfig is wrapped by the errors of [Config.Validate].
var ErrConfig = errors.New("invalid quorum settings")

// Config is what the cluster has agreed about votes.
type Config struct {
	// Voters are the members with a vote, witnesses included.
	Voters []ID
	// WaitForAll makes a node that has just started wait until it has seen all voters once. With an even
	// number of voters it is always in force for the survivor rule, where it is what keeps the two halves
	// of a cluster from starting apart.
	WaitForAll bool
	// TieBreaker is the voter whose half may fence the other when the votes are split evenly; 0 = none. Of
	// two voters without a tie-breaker, either may fence, and delays decide the race. Of four or more
	// without one, neither half may.
	TieBreaker ID
}

// Validate reports what is wrong with the settings.
func (c Config) Validate() error {
	if len(c.Voters) == 0 {
		return fmt.Errorf("%w: no voter; at least one member must vote", ErrConfig)
	}
	if len(c.Voters) > identity.MaxMembers {
		return fmt.Errorf("%w: %d voters, at most %d", ErrConfig, len(c.Voters), identity.MaxMembers)
	}
	v := sorted(c.Voters)
	if v[0] == 0 {
		return fmt.Errorf("%w: 0 is no raft identity", ErrConfig)
	}
	if len(v) != len(c.Voters) {
		return fmt.Errorf("%w: a voter is listed twice in %v", ErrConfig, c.Voters)
	}
	if c.TieBreaker != 0 && !slices.Contains(v, c.TieBreaker) {
		return fmt.Errorf("%w: tie-breaker %d is not a voter; voters are %v", ErrConfig, c.TieBreaker, v)
	}
	return nil
}

// Needed is the number of votes that are more than half of the given number of voters.
func Needed(voters int) int { return voters/2 + 1 }

// Input is what a node knows about the voters.
type Input struct {
	Self ID
	// Present are the nodes that can reach this one and each other both ways. Others than voters are
	// ignored; this node counts as present.
	Present []ID
	// Fenced are the nodes whose fencing was confirmed after they were last present. It overrules Present
	// for nothing: a node in both lists counts as present and not as fenced.
	Fenced []ID
	// SeenAll says that this node has seen all voters since it started, or that it continues a state in
	// which it had.
	SeenAll bool
	// Told says that an administrator told this node to go on without waiting.
	Told bool
}

// Reason says why there is quorum or not. The list is append-only: it is shown by the client API.
type Reason uint8

const (
	// Minority: too few voters are present.
	Minority Reason = iota
	// Majority: more than half of the voters are present.
	Majority
	// Survivor: exactly half of the voters are present and all the others have been fenced.
	Survivor
	// Split: exactly half of the voters are present and the others have not been fenced yet.
	Split
	// Waiting: this node started alone, and has not seen all voters yet.
	Waiting
)

// String returns a phrase for people.
func (r Reason) String() string {
	switch r {
	case Minority:
		return "too few voters are present"
	case Majority:
		return "a majority of the voters is present"
	case Survivor:
		return "half of the voters are present and the others are fenced"
	case Split:
		return "half of the voters are present and the others are not fenced"
	case Waiting:
		return "not all voters have been seen since the start"
	}
	return fmt.Sprintf("reason %d", uint8(r))
}

// Decision says whether there is quorum.
type Decision struct {
	Quorate bool
	Reason  Reason
	// Votes are present, Needed make a majority, Voters exist.
	Votes, Needed, Voters int
	// MayFence are the voters that this side may fence although it has no quorum. It is empty on a side
	// with quorum, which may fence whom it wants, and on one that may fence nobody.
	MayFence []ID
}

// Decide says whether the present voters have quorum. The settings must be valid.
func Decide(cfg Config, in Input) Decision {
	voters := sorted(cfg.Voters)
	var absent, unfenced []ID
	for _, v := range voters {
		switch {
		case v == in.Self || slices.Contains(in.Present, v):
		default:
			absent = append(absent, v)
			if !slices.Contains(in.Fenced, v) {
				unfenced = append(unfenced, v)
			}
		}
	}
	d := Decision{Votes: len(voters) - len(absent), Needed: Needed(len(voters)), Voters: len(voters)}
	waiting := !in.SeenAll && !in.Told && len(absent) > 0
	switch {
	case d.Votes >= d.Needed:
		if cfg.WaitForAll && waiting {
			d.Reason = Waiting
			return d
		}
		d.Quorate, d.Reason = true, Majority
	case 2*d.Votes != len(voters):
		d.Reason = Minority
	case waiting:
		// A half that never saw the rest can't know that it holds all committed entries of a cluster that
		// went on without it; so it may not even fence.
		d.Reason = Waiting
	case len(unfenced) == 0:
		d.Quorate, d.Reason = true, Survivor
	default:
		d.Reason = Split
		tie := cfg.TieBreaker
		if (tie == 0 && len(voters) == 2) || (tie != 0 && !slices.Contains(absent, tie)) {
			d.MayFence = unfenced
		}
	}
	return d
}

// sorted returns the numbers in ascending order without repetitions; the argument is not changed.
func sorted(ids []ID) []ID {
	s := slices.Clone(ids)
	slices.Sort(s)
	return slices.Compact(s)
}
