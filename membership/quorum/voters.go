package quorum

import (
	"cmp"
	"slices"
	"time"
)

// Candidate is a member of the cluster that may vote.
type Candidate struct {
	ID ID
	// Witness nodes exist to vote; they come before others.
	Witness bool
	// Barred members never vote: an administrator said so, or they are about to leave.
	Barred bool
	// Present says that the member is reachable now; CaughtUp, that its log has (nearly) all entries.
	Present, CaughtUp bool
	// Steady is for how long the member has been present, or absent, without a change.
	Steady time.Duration
	// Losses is the number of times that the member was lost lately.
	Losses int
}

// ReplaceAfter is how long a voter must be absent before a learner takes its vote. It is longer than the
// restart of a machine, so that ordinary reboots move no votes.
const ReplaceAfter = 10 * time.Minute

// SettleTime is how long a learner must be present before it replaces a voter that is only less fit than
// it. It takes part in no decision about a missing voter.
const SettleTime = time.Minute

// Change is one step from the present voters to better ones. At most one of the two is set.
type Change struct {
	Add, Remove ID
	Reason      string
}

// Target is the number of voters for a number of members that may vote: all of one or two, else the
// largest odd number of at most [MaxVoters].
func Target(members int) int {
	switch {
	case members <= 2:
		return max(members, 0)
	case members >= MaxVoters:
		return MaxVoters
	}
	return members - 1 + members%2
}

// Next returns the next single change of the voters, and false when they are as they should be or no
// change is safe now. A change is safe when the voters present before it, and those after it, are a
// majority of the voters before and after it. The leader never loses its vote here: it must hand over first.
//
// Voters that are no members any more go first. Then the number is brought to [Target]; it rests at an even
// number only for two members, and while nothing better is at hand. A voter absent for [ReplaceAfter] is
// replaced by a learner that is present and caught up: it is added first, and removed after.
func Next(candidates []Candidate, voters []ID, leader ID) (Change, bool) {
	voters = sorted(voters)
	cands := slices.Clone(candidates)
	slices.SortFunc(cands, func(a, b Candidate) int { return cmp.Compare(a.ID, b.ID) })
	byID := map[ID]Candidate{}
	eligible := 0
	for _, c := range cands {
		byID[c.ID] = c
		if !c.Barred {
			eligible++
		}
	}
	present := 0
	for _, v := range voters {
		if byID[v].Present || v == leader {
			present++
		}
	}
	if present < Needed(len(voters)) {
		return Change{}, false // nothing can be committed
	}
	remove := func(id ID, reason string) (Change, bool) {
		left := present
		if byID[id].Present {
			left--
		}
		if id == leader || len(voters) == 1 || left < Needed(len(voters)-1) {
			return Change{}, false
		}
		return Change{Remove: id, Reason: reason}, true
	}
	add := func(id ID, reason string) (Change, bool) {
		if present+1 < Needed(len(voters)+1) {
			return Change{}, false
		}
		return Change{Add: id, Reason: reason}, true
	}

	for _, v := range voters {
		c, member := byID[v]
		if member && !c.Barred {
			continue
		}
		reason := "is not to vote"
		if !member {
			reason = "is no member any more"
		}
		if ch, ok := remove(v, reason); ok {
			return ch, true
		}
	}

	// Learners that could vote now, the fittest first.
	var ready []Candidate
	for _, c := range cands {
		if !c.Barred && c.Present && c.CaughtUp && !slices.Contains(voters, c.ID) {
			ready = append(ready, c)
		}
	}
	slices.SortFunc(ready, fitter)
	// Voters, the least fit first.
	var worst []Candidate
	for _, v := range voters {
		if c, ok := byID[v]; ok && v != leader {
			worst = append(worst, c)
		}
	}
	slices.SortFunc(worst, func(a, b Candidate) int { return fitter(b, a) })

	target := Target(eligible)
	gone := func(c Candidate) bool { return !c.Present && c.Steady >= ReplaceAfter }
	switch {
	case len(voters) > target:
		for _, c := range worst {
			if ch, ok := remove(c.ID, "more voters than needed"); ok {
				return ch, true
			}
		}
	case len(voters) < target && len(ready) > 0 &&
		// From an odd number, only when the next odd one will be reached; but two are better than one,
		// since either of two can go on after fencing the other.
		(len(voters)%2 == 0 || len(voters) == 1 || len(ready) >= 2):
		return add(ready[0].ID, "more members, more voters")
	case len(voters) == target && target > 2 && len(ready) > 0 && len(worst) > 0 && replaces(ready[0], worst[0], gone(worst[0])):
		return add(ready[0].ID, "takes the vote of a less fit member")
	}
	return Change{}, false
}

// replaces reports whether a learner takes the vote of a voter.
func replaces(learner, voter Candidate, gone bool) bool {
	if gone {
		return true
	}
	return learner.Witness && !voter.Witness && learner.Steady >= SettleTime && learner.Losses <= voter.Losses
}

// fitter orders members by their fitness to vote: not absent for long, witnesses, few losses, low numbers.
func fitter(a, b Candidate) int {
	away := func(c Candidate) int {
		if !c.Present && c.Steady >= ReplaceAfter {
			return 1
		}
		return 0
	}
	kind := func(c Candidate) int {
		if c.Witness {
			return 0
		}
		return 1
	}
	return cmp.Or(
		cmp.Compare(away(a), away(b)),
		cmp.Compare(kind(a), kind(b)),
		cmp.Compare(a.Losses, b.Losses),
		cmp.Compare(a.ID, b.ID),
	)
}
