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
}

// Choose says which member carries out the fencing of the target. A member counts for what it can do on the
// first level for which there is anybody: it must be able to use all devices of the level; then those are
// preferred from which more of the devices are known to work, then the leader, then the lowest name. The
// target itself is chosen only when nobody else can. It reports false when nobody can.
func Choose(c Choice) (string, bool) {
	online := slices.Clone(c.Online)
	slices.Sort(online)
	online = slices.Compact(online)
	for _, self := range []bool{false, true} {
		for _, level := range c.Levels {
			best, bestActive := "", -1
			for _, n := range online {
				if (n == c.Target) != self || len(level) == 0 {
					continue
				}
				active, banned := 0, false
				for _, d := range level {
					banned = banned || c.Banned != nil && c.Banned(d, n)
					if c.Active != nil && c.Active(d, n) {
						active++
					}
				}
				if banned {
					continue
				}
				if active > bestActive || active == bestActive && n == c.Leader {
					best, bestActive = n, active
				}
			}
			if best != "" {
				return best, true
			}
		}
	}
	return "", false
}

// Plan returns the devices that can fence the target, by level: those of the topology, or, where that says
// nothing of the target, each device that knows it on a level of its own, those that must be asked last. A
// level of the topology of which a device is missing or does not know the target is left out; notes say why
// a level or a device is not used.
func Plan(target string, devices []Device, topology Topology, attribute func(string) (string, bool)) (levels [][]string, notes []string) {
	find := func(id string) *Device {
		for i := range devices {
			if devices[i].ID == id {
				return &devices[i]
			}
		}
		return nil
	}
	if listed := topology.For(target, attribute); listed != nil {
		for _, level := range listed {
			ok := len(level) > 0
			for _, id := range level {
				d := find(id)
				if d == nil {
					notes = append(notes, "device "+id+" of the topology does not exist")
					ok = false
				} else if k, _ := d.Knows(target); k == No {
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
	var ask [][]string
	for i := range devices {
		switch k, _ := devices[i].Knows(target); k {
		case Yes:
			levels = append(levels, []string{devices[i].ID})
		case Ask:
			ask = append(ask, []string{devices[i].ID})
		case No:
			notes = append(notes, "device "+devices[i].ID+" does not know "+target)
		}
	}
	return append(levels, ask...), notes
}
