package fencing

import "slices"

// Choice is what [Choose] decides from.
type Choice struct {
	Target string
	// Levels are the devices for the target by level, as [Plan] gives them.
	Levels [][]string
	// Online are the members that can run programs now; the target may be among them.
	Online []string
	// Leader is the member that decides; it is taken when nothing speaks for another.
	Leader string
	// Active reports whether a device is known to work from a node, since its monitor runs there; nil = not
	// known. Banned reports whether it must not be used from there; nil = never.
	Active, Banned func(device, node string) bool
	// Failed counts the attempts on this target that failed from a node, since one succeeded; nil = none.
	Failed func(node string) int
}

// Choose says which member carries out the fencing of the target. A member counts for the first level of which it
// may use all devices. Those are preferred that have failed less often, since a device may be out of reach from
// one node only; then those with an earlier level, those from which more of its devices are known to work, the
// leader, and the lowest name. The target itself is chosen only when nobody else can. It reports false when nobody can.
func Choose(c Choice) (string, bool) {
	online := slices.Clone(c.Online)
	slices.Sort(online)
	best, least := "", []int(nil)
	for _, n := range slices.Compact(online) {
		level := slices.IndexFunc(c.Levels, func(level []string) bool { return len(level) > 0 && !c.banned(level, n) })
		if level < 0 {
			continue
		}
		rank := []int{0, 0, level, 0, 0}
		if n == c.Target {
			rank[0] = 1
		}
		if c.Failed != nil {
			rank[1] = c.Failed(n)
		}
		for _, d := range c.Levels[level] {
			if c.Active != nil && c.Active(d, n) {
				rank[3]--
			}
		}
		if n == c.Leader {
			rank[4] = -1
		}
		if best == "" || slices.Compare(rank, least) < 0 {
			best, least = n, rank
		}
	}
	return best, best != ""
}

func (c *Choice) banned(level []string, node string) bool {
	return c.Banned != nil && slices.ContainsFunc(level, func(d string) bool { return c.Banned(d, node) })
}

// Subject is what a plan is made for.
type Subject struct {
	Target string
	Action Action
	// Attribute gives attributes of the target, for topologies that use them; nil = none are known.
	Attribute func(name string) (string, bool)
}

// Plan returns the devices that can act on the target, by level: those of the topology, or, where that says
// nothing of the target, each device that knows it on a level of its own, those that must be asked last. A
// level of the topology of which a device is missing or does not know the target is left out; notes say why
// a level or a device is not used.
//
// On is another thing where devices unfence (fence_scsi, for example, gives a node back its access to a disk):
// the node needs all of those that know it, whatever the topology says.
func Plan(s Subject, devices []Device, topology Topology) (levels [][]string, notes []string) {
	if s.Action == On {
		var all []string
		for i := range devices {
			if k, _ := devices[i].Knows(s.Target); k != No && devices[i].Unfences {
				all = append(all, devices[i].ID)
			}
		}
		if len(all) > 0 {
			return [][]string{all}, nil
		}
	}
	if listed := topology.For(s.Target, s.Attribute); listed != nil {
		return planned(s.Target, devices, listed)
	}
	var ask [][]string
	for i := range devices {
		switch k, _ := devices[i].Knows(s.Target); k {
		case Yes:
			levels = append(levels, []string{devices[i].ID})
		case Ask:
			ask = append(ask, []string{devices[i].ID})
		case No:
			notes = append(notes, "device "+devices[i].ID+" does not know "+s.Target)
		}
	}
	return append(levels, ask...), notes
}

// planned leaves out the levels that cannot be carried out.
func planned(target string, devices []Device, listed [][]string) (levels [][]string, notes []string) {
	for _, level := range listed {
		ok := len(level) > 0
		for _, id := range level {
			at := slices.IndexFunc(devices, func(d Device) bool { return d.ID == id })
			if at < 0 {
				notes = append(notes, "device "+id+" of the topology does not exist or is disabled")
				ok = false
			} else if k, _ := devices[at].Knows(target); k == No {
				notes = append(notes, "device "+id+" of the topology does not know "+target)
				ok = false
			}
		}
		if ok {
			levels = append(levels, level)
		}
	}
	return levels, notes
}
