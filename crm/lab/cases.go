package lab

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/quorate/quorate/crm/cib"
)

// labCase is one thing that is done to a cluster that is at rest, with all resources up and clients at work.
// It returns once everything that it broke is well again; then the cluster must come to rest by itself.
type labCase struct {
	name, help string
	run        func(t *trial) error
	// timed says that the case means nothing when the lab itself was held up.
	timed bool
	// least is the smallest cluster for which it means something: of two nodes the leader wins against the other when
	// they are cut from each other, and nothing goes on without fencing.
	least int
}

// Cases returns the names of the cases with what they do.
func Cases() (out [][2]string) {
	for _, c := range labCases {
		out = append(out, [2]string{c.name, c.help})
	}
	return out
}

func pickCases(names []string, nodes int) ([]labCase, error) {
	var out []labCase
	if len(names) == 0 {
		for _, c := range labCases {
			if c.least <= nodes {
				out = append(out, c)
			}
		}
		return out, nil
	}
	for _, name := range names {
		at := slices.IndexFunc(labCases, func(c labCase) bool { return c.name == name })
		if at < 0 {
			var all []string
			for _, c := range labCases {
				all = append(all, c.name)
			}
			return nil, fmt.Errorf("no case %q: there are %s", name, strings.Join(all, ", "))
		}
		if c := &labCases[at]; c.least > nodes {
			return nil, fmt.Errorf("case %s needs %d machines, the clusters have %d", name, c.least, nodes)
		}
		out = append(out, labCases[at])
	}
	return out, nil
}

var labCases = append([]labCase{
	{"cold-start", "all machines lose power and get it again", coldStart, false, 2},
	{"member-power-off", "a machine that does not lead loses power", func(t *trial) error { return t.powerOff(false) }, false, 2},
	{"leader-power-off", "the machine that leads loses power", func(t *trial) error { return t.powerOff(true) }, false, 2},
	{"daemon-kill", "SIGKILL of runner and node process; services must not be touched", func(t *trial) error { return t.killDaemon(false) }, true, 2},
	{"node-kill", "SIGKILL of the node process only; services must not be touched", func(t *trial) error { return t.killDaemon(true) }, true, 2},
	{"resource-kill", "a resource dies", killResource, false, 2},
	{"link-loss", "one of two links fails, and later the other one instead", linkLoss, true, 2},
	{"lossy-link", "one link loses 10 % and doubles 5 % of its packets", lossyLink, true, 2},
	{"one-way-cut", "the leader does not hear a member any more", oneWayCut, false, 2},
	{"partition-member", "a machine that does not lead is cut off, and healed", func(t *trial) error { return t.partition(false) }, false, 2},
	{"partition-leader", "the machine that leads is cut off, and healed", func(t *trial) error { return t.partition(true) }, false, 3},
	{"fence-refused", "a machine is cut off and the power switch refuses; nothing of it may start elsewhere", fenceRefused, false, 3},
	{"pause", "each daemon in turn stands still for as long as must be ridden out", pause, true, 2},
	{"long-pause", "a daemon stands still until it is fenced", longPause, false, 2},
	{"clean-stop", "a machine leaves in order and comes back; nothing is fenced", cleanStop, true, 2},
}, fenceCases...)

// waitHeld waits until all resources are held by somebody, other than by the machines named.
func (t *trial) waitHeld(limit time.Duration, but []string) error {
	return t.poll(t.ctx, limit, "all resources to be active", func() error {
		held, err := t.holders()
		if err != nil {
			return err
		}
		for _, r := range t.def.Config.Resources {
			if r.Kind != cib.Primitive || r.Class != "ocf" {
				continue
			}
			node, active := held[r.ID]
			if !active {
				return fmt.Errorf("%s is not active", r.ID)
			}
			if slices.Contains(but, node) {
				return fmt.Errorf("%s is still active on %s", r.ID, node)
			}
		}
		return nil
	})
}

// waitAll waits until all machines run and are online.
func (t *trial) waitAll(limit time.Duration) error {
	return t.poll(t.ctx, limit, "all machines to be online", func() error {
		s, err := t.state(t.ctx)
		if err != nil {
			return err
		}
		for _, m := range t.nodes {
			if member := s.Member(m.name); member == nil || !member.Online {
				return fmt.Errorf("%s is not online", m.name)
			}
			l, err := m.local(t.ctx)
			if err != nil {
				return fmt.Errorf("%s: %w", m.name, err)
			}
			if !l.Quorate {
				return fmt.Errorf("%s has no quorum", m.name)
			}
		}
		return nil
	})
}

// victim is a machine that leads, or one that does not, and holds a resource.
func (t *trial) victim(leads bool) (*machine, []string, error) {
	var m *machine
	var mine []string
	err := t.poll(t.ctx, 5*time.Second, "a leader", func() error {
		l, err := t.leader(t.ctx)
		if err != nil {
			return err
		}
		held, err := t.holders()
		if err != nil {
			return err
		}
		for _, candidate := range t.nodes {
			if (candidate == l) != leads {
				continue
			}
			mine = nil
			for _, r := range keys(held) {
				if held[r] == candidate.name {
					mine = append(mine, r)
				}
			}
			if len(mine) > 0 {
				m = candidate
				return nil
			}
		}
		return errors.New("no such machine holds a resource")
	})
	return m, mine, err
}

// since returns the records from a time on.
func (t *trial) since(at int64) ([]Record, error) {
	all, err := readLedger(t.ledger())
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(r Record) bool { return r.At < at }), nil
}

// noFencing checks that no machine was fenced so far.
func (t *trial) noFencing() error {
	records, err := t.since(0)
	if err != nil {
		return err
	}
	for _, r := range records {
		if r.Kind == KindOff && r.By == ByFence {
			return fmt.Errorf("I20: %s was fenced while the cluster was made, at %s", r.Node, r)
		}
	}
	return nil
}

// offs counts how often a machine was switched off since a time.
func (t *trial) offs(at int64) (n int, err error) {
	records, err := t.since(at)
	for _, r := range records {
		if r.Kind == KindOff {
			n++
		}
	}
	return n, err
}

// undisturbed checks that since a time no machine was fenced and no resource was started or stopped.
func (t *trial) undisturbed(at int64) error {
	records, err := t.since(at)
	if err != nil {
		return err
	}
	for _, r := range records {
		switch {
		case r.Kind == KindOff && r.By == ByFence:
			return fmt.Errorf("I20: %s was fenced without need, at %s", r.Node, r)
		case r.Kind == KindUp || r.Kind == KindDown || r.Kind == KindCall && r.Op != "monitor":
			return fmt.Errorf("I20: a resource was touched without need, at %s", r)
		}
	}
	return nil
}

// recovered notes how long the resources took to be active elsewhere, and fails when that was too long.
func (t *trial) recovered(at int64, resources []string, limit time.Duration) error {
	records, err := t.since(at)
	if err != nil {
		return err
	}
	var worst time.Duration
	for _, name := range resources {
		for _, r := range records {
			if r.Kind == KindUp && r.Resource == name {
				worst = max(worst, time.Duration(r.At-at))
				break
			}
		}
	}
	t.note("%d resources active elsewhere after %v", len(resources), worst.Round(time.Millisecond))
	if worst > limit {
		return fmt.Errorf("recovery took %v, want at most %v", worst.Round(time.Millisecond), limit)
	}
	return nil
}

// recoveryLimit is how long the recovery of the resources of a lost machine may take in a lab under load.
func (t *trial) recoveryLimit() time.Duration { return 2*t.profile.dead + 4*time.Second }

func (t *trial) sleep(d time.Duration) error {
	select {
	case <-t.ctx.Done():
		return t.ctx.Err()
	case err := <-t.errs:
		return err
	case <-time.After(d):
		return nil
	}
}

func coldStart(t *trial) error {
	for _, m := range t.nodes {
		if err := t.powerCut(m); err != nil {
			return err
		}
	}
	at := mono()
	for _, m := range t.nodes {
		if err := t.on(m); err != nil {
			return err
		}
	}
	if err := t.waitHeld(15*time.Second, nil); err != nil {
		return err
	}
	t.note("all resources active after %v", time.Duration(mono()-at).Round(time.Millisecond))
	records, err := t.since(at)
	if err != nil {
		return err
	}
	for _, r := range records {
		if r.Kind == KindOff && r.By == ByFence {
			return fmt.Errorf("%s was fenced at a start of all machines, at %s", r.Node, r)
		}
	}
	return t.waitAll(20 * time.Second)
}

// lose does something to a victim that loses it its services: those must be held elsewhere within limit. Then undo, if there is
// one, makes the machine well again (without it, it comes back by itself), and all must be online.
func (t *trial) lose(leads bool, limit time.Duration, act, undo func(m *machine) error) error {
	m, resources, err := t.victim(leads)
	if err != nil {
		return err
	}
	at := mono()
	if err := act(m); err != nil {
		return err
	}
	if err := t.waitHeld(20*time.Second, []string{m.name}); err != nil {
		return err
	}
	if err := t.recovered(at, resources, limit); err != nil {
		return err
	}
	if undo != nil {
		if err := undo(m); err != nil {
			return err
		}
	}
	return t.waitAll(20 * time.Second)
}

// powerOff takes the power from a machine; the power switch was asked to reboot it, so it comes back.
func (t *trial) powerOff(leads bool) error {
	return t.lose(leads, t.recoveryLimit(), t.powerCut, nil)
}

func (t *trial) killDaemon(onlyNode bool) error {
	for _, leads := range []bool{false, true} {
		m, _, err := t.victim(leads)
		if err != nil {
			return err
		}
		at := mono()
		if err := t.signal(m, syscall.SIGKILL, onlyNode, "SIGKILL of the daemon"); err != nil {
			return err
		}
		if err := t.sleep(3*t.profile.dead + time.Second); err != nil {
			return err
		}
		if err := t.waitAll(10 * time.Second); err != nil {
			return err
		}
		if err := t.sleep(time.Second); err != nil {
			return err
		}
		if !onlyNode && t.profile.dead < 5*restartDelay {
			// The service manager starts the daemon again later than such a cluster waits: fencing is right then.
			if err := t.waitHeld(10*time.Second, nil); err != nil {
				return err
			}
			continue
		}
		if err := t.undisturbed(at); err != nil {
			return err
		}
	}
	return nil
}

func killResource(t *trial) error {
	m, resources, err := t.victim(false)
	if err != nil {
		return err
	}
	at := mono()
	if err := t.killResource(m, resources[0]); err != nil {
		return err
	}
	if err := t.waitHeld(10*time.Second, nil); err != nil {
		return err
	}
	return t.recovered(at, resources[:1], 3*time.Second)
}

func linkLoss(t *trial) error {
	at := mono()
	for link := range links {
		before := t.dropped()
		if err := t.cut(fmt.Sprintf("link %d fails", link), func(sw *Switch) {
			for a := range t.nodes {
				for b := range t.nodes {
					if a != b {
						sw.Set(a, b, link, Path{Cut: true})
					}
				}
			}
		}); err != nil {
			return err
		}
		if err := t.sleep(2*t.profile.dead + 2*time.Second); err != nil {
			return err
		}
		if t.dropped() == before {
			return errors.New("the cut link lost no packet: the fault did not act")
		}
		if err := t.heal(); err != nil {
			return err
		}
		if err := t.sleep(2*t.profile.dead + time.Second); err != nil {
			return err
		}
	}
	if err := t.waitAll(10 * time.Second); err != nil {
		return err
	}
	return t.undisturbed(at)
}

// dropped counts the packets that the switch has lost so far.
func (t *trial) dropped() (n uint64) {
	for a := range t.nodes {
		for b := range t.nodes {
			n += t.sw.Counters(a, b).Dropped
		}
	}
	return n
}

func lossyLink(t *trial) error {
	at := mono()
	if err := t.cut("link 0 loses 10 %", func(sw *Switch) {
		for a := range t.nodes {
			for b := range t.nodes {
				if a != b {
					sw.Set(a, b, 0, Path{Loss: 0.1, Dup: 0.05})
				}
			}
		}
	}); err != nil {
		return err
	}
	if err := t.sleep(12 * time.Second); err != nil {
		return err
	}
	if t.dropped() == 0 {
		return errors.New("the lossy link lost no packet: the fault did not act")
	}
	if err := t.heal(); err != nil {
		return err
	}
	return t.undisturbed(at)
}

func oneWayCut(t *trial) error {
	m, _, err := t.victim(false)
	if err != nil {
		return err
	}
	l, err := t.leader(t.ctx)
	if err != nil {
		return err
	}
	before := t.sw.Counters(m.index, l.index).Dropped
	if err := t.cut(l.name+" does not hear "+m.name, func(sw *Switch) { sw.Set(m.index, l.index, -1, Path{Cut: true}) }); err != nil {
		return err
	}
	if err := t.sleep(3*t.profile.dead + 5*time.Second); err != nil {
		return err
	}
	if t.sw.Counters(m.index, l.index).Dropped == before {
		return errors.New("the cut path lost no packet: the fault did not act")
	}
	if err := t.waitHeld(10*time.Second, nil); err != nil {
		return err
	}
	if err := t.heal(); err != nil {
		return err
	}
	return t.waitAll(20 * time.Second)
}

func (t *trial) partition(leads bool) error {
	return t.lose(leads, t.recoveryLimit(), t.isolate, func(*machine) error { return t.heal() })
}

func fenceRefused(t *trial) error {
	m, resources, err := t.victim(false)
	if err != nil {
		return err
	}
	t.power.SetMode(PowerRefuse)
	defer t.power.SetMode(PowerOK)
	at := mono()
	if err := t.isolate(m); err != nil {
		return err
	}
	if err := t.sleep(t.profile.stop); err != nil {
		return err
	}
	records, err := t.since(at)
	if err != nil {
		return err
	}
	for _, r := range records {
		if r.Kind == KindUp && r.Node != m.name && slices.Contains(resources, r.Resource) {
			return fmt.Errorf("I2: %s was started on %s although %s was never confirmed to be off, at %s", r.Resource, r.Node, m.name, r)
		}
	}
	t.power.SetMode(PowerOK)
	if err := t.heal(); err != nil {
		return err
	}
	if err := t.waitAll(25 * time.Second); err != nil {
		return err
	}
	return t.waitHeld(15*time.Second, nil)
}

func pause(t *trial) error {
	at := mono()
	for _, m := range t.nodes {
		if err := t.signal(m, syscall.SIGSTOP, false, "pause"); err != nil {
			return err
		}
		if err := t.sleep(t.profile.pause); err != nil {
			return err
		}
		if err := t.signal(m, syscall.SIGCONT, false, "continue"); err != nil {
			return err
		}
		if err := t.sleep(2*t.profile.dead + 500*time.Millisecond); err != nil {
			return err
		}
	}
	return t.undisturbed(at)
}

func longPause(t *trial) error {
	return t.lose(true, t.recoveryLimit(), func(m *machine) error { return t.signal(m, syscall.SIGSTOP, false, "pause") }, nil)
}

func cleanStop(t *trial) error {
	m, _, err := t.victim(true)
	if err != nil {
		return err
	}
	at := mono()
	if err := m.client.Stop(t.ctx); err != nil {
		return fmt.Errorf("stop of %s: %w", m.name, err)
	}
	if err := t.waitHeld(10*time.Second, []string{m.name}); err != nil {
		return err
	}
	h, err := m.powered()
	if err != nil {
		return fmt.Errorf("I20: after a stop in order: %w", err)
	}
	if err := t.poll(t.ctx, 5*time.Second, "the daemon to end", func() error {
		if left := h.daemon(false); len(left) > 0 {
			return fmt.Errorf("processes %v are left", left)
		}
		return nil
	}); err != nil {
		return err
	}
	if err := t.sleep(2 * t.profile.dead); err != nil {
		return err
	}
	off, err := t.offs(at)
	if err != nil {
		return err
	}
	if off > 0 {
		return errors.New("I20: a machine was fenced at a stop in order")
	}
	if err := h.tell("start"); err != nil {
		return err
	}
	return t.waitAll(15 * time.Second)
}
