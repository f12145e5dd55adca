package simtest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// step is one fault of a schedule: what happens, when, and the seed of all that is drawn for it. So it is the same
// whichever other faults are left out.
type step struct {
	at    time.Duration // since the beginning of the faults
	fault *fault
	seed  uint64
}

// schedule draws the faults of a run. It depends on the seed, Faults and Only, and not on Keep.
func (cfg *Config) schedule() (list []step) {
	rng := rand.New(rand.NewPCG(cfg.Seed, 0x5c))
	between := func(from, to time.Duration) time.Duration { return from + time.Duration(rng.Int64N(int64(to-from))) }
	for at := time.Duration(0); at < cfg.Faults; {
		f := &faultTable[rng.IntN(len(faultTable))]
		if len(cfg.Only) > 0 && !slices.Contains(cfg.Only, f.name) {
			continue
		}
		list = append(list, step{at, f, rng.Uint64()})
		if rng.IntN(100) < 20 {
			at += between(0, 300*time.Millisecond)
		} else {
			at += between(200*time.Millisecond, 6*time.Second)
		}
	}
	return list
}

// faults carries the schedule out.
func (w *world) faults() {
	began := w.now
	for i, s := range w.cfg.schedule() {
		if w.cfg.Keep != nil && !slices.Contains(w.cfg.Keep, i) {
			continue
		}
		if !w.run(max(w.now, began+s.at)) {
			return
		}
		w.hit(s.fault.name)
		w.steps = append(w.steps, i)
		rest := w.rng
		w.rng = rand.New(rand.NewPCG(s.seed, 0x5d))
		s.fault.begin(w)
		w.rng = rest
		w.topology()
	}
	w.run(max(w.now, began+w.cfg.Faults))
}

// Shrink looks for a smaller set of faults with which a run that broke an invariant breaks the same one. It drops more and
// more single faults as long as that succeeds, and asks for tries runs at most. It returns the configuration, with Keep set,
// and its report.
func Shrink(cfg Config, report *Report, tries int, run func(Config) *Report) (Config, *Report) {
	broken, ok := report.Err.(*Violation)
	if !ok {
		return cfg, report
	}
	cfg.Keep = slices.Clone(report.Steps) // later ones never began
	if cfg.Keep == nil {
		cfg.Keep = []int{}
	}
	for size := (len(cfg.Keep) + 1) / 2; size > 0 && tries > 0; {
		smaller := false
		for from := 0; from < len(cfg.Keep) && tries > 0; {
			try := cfg
			try.Keep = slices.Delete(slices.Clone(cfg.Keep), from, min(from+size, len(cfg.Keep)))
			tries--
			if r := run(try); r.Err != nil && r.Err.(*Violation).Invariant == broken.Invariant {
				cfg, report, smaller = try, r, true
			} else {
				from += size
			}
		}
		if size > 1 {
			size = (size + 1) / 2
		} else if !smaller {
			break
		}
	}
	return cfg, report
}

// Steps tells the faults that a configuration keeps, one in a line.
func (cfg *Config) Steps() (lines []string) {
	for i, s := range cfg.schedule() {
		if cfg.Keep == nil || slices.Contains(cfg.Keep, i) {
			lines = append(lines, fmt.Sprintf("%3d  %8.3f s  %s", i, s.at.Seconds(), s.fault.name))
		}
	}
	return lines
}
