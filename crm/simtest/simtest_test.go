package simtest

import (
	"flag"
	"strings"
	"testing"
	"testing/cryptotest"
	"time"
)

var (
	seedFlag  = flag.Uint64("seed", 0, "run this seed alone and show its trace (0 = the usual seeds)")
	debugFlag = flag.Bool("debug", false, "with -seed: debug notes in the trace")
	manyFlag  = flag.Uint64("many", 0, "count the violations of the seeds from 1 to this one")
)

// simulate makes a run with raft's randomness fixed by the same seed.
func simulate(t *testing.T, cfg Config) *Report {
	t.Helper()
	cryptotest.SetGlobalRandom(t, cfg.Seed)
	return Run(cfg)
}

// usual is the configuration of a seed: a minute of faults in two minutes and more.
func usual(seed uint64) Config {
	return Config{Seed: seed, Faults: 65 * time.Second}
}

func fail(t *testing.T, r *Report, cfg Config) {
	t.Helper()
	if r.Err != nil {
		t.Errorf("seed %d: %v\ntrace:\n%s\nreplay: go test ./crm/simtest -run TestSeed$ -seed %d", cfg.Seed, r.Err, strings.Join(r.Trace, "\n"), cfg.Seed)
	}
}

func TestSeed(t *testing.T) {
	if *seedFlag == 0 {
		t.Skip("for one seed: -seed N")
	}
	cfg := usual(*seedFlag)
	cfg.Verbose = *debugFlag
	start := time.Now()
	r := simulate(t, cfg)
	t.Logf("%v virtual, %d events, %v real, %d writes, %d reads, %d unknown, %d fencings, hash %x\n%v", r.Virtual, r.Events, time.Since(start), r.Writes, r.Reads, r.Unknown, r.Fenced, r.Hash, r.Hits)
	if r.Err == nil && testing.Verbose() {
		t.Log(strings.Join(r.Trace, "\n"))
	}
	fail(t, r, cfg)
}

func TestMany(t *testing.T) {
	if *manyFlag == 0 {
		t.Skip("for a survey of many seeds: -many N")
	}
	counts := map[string]int{}
	for seed := uint64(1); seed <= *manyFlag; seed++ {
		if r := simulate(t, usual(seed)); r.Err != nil {
			counts[r.Err.(*Violation).Invariant]++
			t.Logf("seed %d: %v", seed, r.Err)
		}
	}
	t.Log(counts)
}
