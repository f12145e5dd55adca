package controller

import (
	"slices"
	"strconv"
	"time"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/store/command"
	"github.com/quorate/quorate/crm/transition"
)

// Times between attempts to fence a target. The first serves a device that was busy for a moment; the second, after
// fencing-max-attempts, keeps a cluster that nobody looks after from giving up for good, at little cost.
const (
	fencingPause     = time.Second
	fencingLongPause = 30 * time.Second
)

// fencingRetries says when targets may be fenced again of which a fencing has failed. A new leader, and a change of the
// configuration, begin at once. The zero value is ready.
type fencingRetries struct {
	failed []string                 // since the last tick
	after  map[string]time.Duration // monotonic, by target
}

// ended takes the end of a fencing.
func (f *fencingRetries) ended(target string, ok bool) {
	delete(f.after, target)
	if !ok {
		f.failed = append(f.failed, target)
	}
}

func (f *fencingRetries) forget() { f.failed, f.after = nil, nil }

// tick sets the times of what has failed since the last one, and drops those that are over.
func (f *fencingRetries) tick(now time.Duration, s *command.State) {
	for target, at := range f.after {
		if at <= now {
			delete(f.after, target)
		}
	}
	for _, target := range f.failed {
		if f.after == nil {
			f.after = map[string]time.Duration{}
		}
		pause := fencingPause
		if len(s.FencingFailures(target)) >= maxFencingAttempts(s.Document) {
			pause = fencingLongPause
		}
		f.after[target] = now + pause
	}
	f.failed = nil
}

func maxFencingAttempts(doc *cib.Document) int {
	if n, err := strconv.Atoi(cib.EffectiveProperty(doc, "fencing-max-attempts")); err == nil && n > 0 {
		return n
	}
	return 10
}

// waits reports whether the target must not be fenced yet.
func (f *fencingRetries) waits(target string) bool {
	_, wait := f.after[target]
	return wait
}

// next is the earliest time at which a target may be fenced again; 0 = none waits.
func (f *fencingRetries) next() (at time.Duration) {
	for _, t := range f.after {
		if at == 0 || t < at {
			at = t
		}
	}
	return at
}

// fenceOp is what a fencing of the graph does to its node.
func fenceOp(a *transition.Action) string {
	op, _ := a.Attr("CRM_meta_stonith_action")
	return op
}

// fencer names the member that is to carry out a fencing; "" = nobody can now.
func (l *Leader) fencer(target, op string) string {
	if l.cfg.Fencer == nil {
		return ""
	}
	var online []string
	for _, m := range l.state.Members {
		if m.Online && !m.Removed && !l.witness(m.Name) {
			online = append(online, m.Name)
		}
	}
	return l.cfg.Fencer(l.state, target, op, online)
}

// witness reports whether a member only votes, and runs nothing.
func (l *Leader) witness(name string) bool {
	return slices.ContainsFunc(l.state.Document.Config.Nodes, func(n cib.Node) bool { return n.Name == name && n.Witness })
}
