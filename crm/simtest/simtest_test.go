package simtest

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/cryptotest"
	"time"

	"github.com/quorate/quorate/crm/cib/cibxml"
	"github.com/quorate/quorate/crm/policy"
	"github.com/quorate/quorate/crm/transition"
)

var (
	seedFlag  = flag.Uint64("seed", 0, "run this seed alone and show its trace (0 = the usual seeds)")
	debugFlag = flag.Bool("debug", false, "with -seed: debug notes and decisions in the trace")
	fromFlag  = flag.Uint64("from", 1, "with -many: the first seed")
	nodesFlag = flag.Int("nodes", 0, "with -seed or -many: the number of nodes (0 = 3 or 5, by the seed)")
	keepFlag  = flag.String("keep", "", "with -seed: only the faults with these numbers, such as 3,7 (- = none)")
	manyFlag  = flag.Uint64("many", 0, "survey so many seeds, once each, and count what broke")
)

// seeds is how many seeds TestSeeds runs; shards how many processes share them. Raft's randomness is fixed for a
// whole process, so two cores need two processes.
const (
	seeds  = 200
	shards = 2
)

// shardVariable tells a child process which part of the seeds is its own.
const shardVariable = "QUORATE_SIMTEST_SHARD"

func TestMain(m *testing.M) {
	// The runs make much garbage and keep little.
	debug.SetGCPercent(400)
	os.Exit(m.Run())
}

// simulate makes a run with raft's randomness fixed by the same seed.
func simulate(t *testing.T, cfg Config) *Report {
	t.Helper()
	cryptotest.SetGlobalRandom(t, cfg.Seed)
	return Run(cfg)
}

// usual is the configuration of a seed: a minute of faults in two minutes.
func usual(seed uint64) Config {
	return Config{Seed: seed, Faults: 65 * time.Second}
}

// shrinkTries is how many runs the search for the smallest schedule of a failure may take.
const shrinkTries = 80

// fail reports a run that broke an invariant, with the smallest schedule of faults that does so.
func fail(t *testing.T, r *Report, cfg Config) {
	t.Helper()
	if r.Err == nil {
		return
	}
	first := r.Err
	cfg, r = Shrink(cfg, r, shrinkTries, func(c Config) *Report { return simulate(t, c) })
	t.Errorf("seed %d: %v\ntrace of the smallest schedule, which ends with %v:\n%s\nfaults:\n%s\nreplay: go test ./crm/simtest -run 'TestSeed$' -seed %d -nodes %d -keep %s",
		cfg.Seed, first, r.Err, strings.Join(r.Trace, "\n"), strings.Join(cfg.Steps(), "\n"), cfg.Seed, cfg.Nodes, keepText(cfg.Keep))
}

// keepText and keepList are the two forms of the flag -keep.
func keepText(keep []int) string {
	if len(keep) == 0 {
		return "-"
	}
	return strings.Trim(strings.ReplaceAll(fmt.Sprint(keep), " ", ","), "[]")
}

func keepList(t *testing.T, text string) []int {
	if text == "" {
		return nil
	}
	keep := []int{}
	for _, word := range strings.Split(strings.Trim(text, "-"), ",") {
		if word == "" {
			continue
		}
		n, err := strconv.Atoi(word)
		if err != nil {
			t.Fatalf("-keep %q: want numbers with commas between them, or -", text)
		}
		keep = append(keep, n)
	}
	return keep
}

// TestSeeds runs each seed twice: no invariant may break, and both runs must be the same, output by output.
func TestSeeds(t *testing.T) {
	n := seeds
	if testing.Short() {
		n = 20
	}
	if v := os.Getenv(shardVariable); v != "" {
		shard, err := strconv.Atoi(v)
		if err != nil {
			t.Fatalf("%s = %q: %v", shardVariable, v, err)
		}
		runShard(t, n, shard)
		return
	}
	if runtime.NumCPU() < shards {
		for shard := range shards {
			runShard(t, n, shard)
		}
		return
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command(self, "-test.run", "^TestSeeds$", "-test.v", fmt.Sprintf("-test.short=%v", testing.Short()))
	child.Env = append(os.Environ(), shardVariable+"=1")
	var out strings.Builder
	child.Stdout, child.Stderr = &out, &out
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	runShard(t, n, 0)
	if err := child.Wait(); err != nil {
		t.Errorf("second process: %v\n%s", err, out.String())
	} else {
		t.Logf("second process:\n%s", out.String())
	}
}

func runShard(t *testing.T, n, shard int) {
	began := time.Now()
	var total Report
	total.Hits = map[string]int{}
	for seed := 1 + shard; seed <= n; seed += shards {
		cfg := usual(uint64(seed))
		r := simulate(t, cfg)
		fail(t, r, cfg)
		if again := simulate(t, cfg); again.Hash != r.Hash {
			t.Errorf("seed %d: two runs differ: %s", seed, difference(r, again))
		}
		if r.Err == nil && r.Virtual < minLength {
			t.Errorf("seed %d: the run took %v of virtual time, want at least %v", seed, r.Virtual, minLength)
		}
		total.Virtual += r.Virtual
		total.Events += r.Events
		total.Writes += r.Writes
		total.Reads += r.Reads
		total.Unknown += r.Unknown
		total.Fenced += r.Fenced
		for k, v := range r.Hits {
			total.Hits[k] += min(v, 1)
		}
		if t.Failed() {
			return // one trace is enough to read
		}
	}
	t.Logf("%v of %v virtual (each seed twice in %v): %d events, %d writes and %d reads answered, %d requests without answer, %d fencings; seeds with: %v",
		total.Virtual, time.Duration(n/shards)*minLength, time.Since(began).Round(time.Millisecond), total.Events, total.Writes, total.Reads, total.Unknown, total.Fenced, total.Hits)
	// What never happens proves nothing.
	if !testing.Short() {
		for _, f := range faultTable {
			if total.Hits[f.name] == 0 {
				t.Errorf("no seed had the fault %q", f.name)
			}
		}
		for _, name := range []string{"cold start", "decision on an older state", "decision overtaken", "fenced", "fencing refused", "late result", "core at work", "decided again", "disk lost", "identity retired", "leader", "node alone", "node replaced", "own stop", "save failed", "snapshot sent", "snapshot taken", "witness"} {
			if total.Hits[name] == 0 {
				t.Errorf("no seed had %q", name)
			}
		}
	}
}

// difference finds the first line in which two traces differ.
func difference(a, b *Report) string {
	for i := range min(len(a.Trace), len(b.Trace)) {
		if a.Trace[i] != b.Trace[i] {
			return fmt.Sprintf("\n%s\n%s", a.Trace[i], b.Trace[i])
		}
	}
	return fmt.Sprintf("the traces are equal, the outputs are not (%d and %d events)", a.Events, b.Events)
}

// TestSeed replays one seed.
func TestSeed(t *testing.T) {
	if *seedFlag == 0 {
		t.Skip("for one seed: -seed N")
	}
	cfg := usual(*seedFlag)
	cfg.Nodes, cfg.Keep = *nodesFlag, keepList(t, *keepFlag)
	cfg.Verbose = *debugFlag
	start := time.Now()
	r := simulate(t, cfg)
	t.Logf("%v virtual, %d events, %v real, %d writes, %d reads, %d unknown, %d fencings, hash %x\n%v", r.Virtual, r.Events, time.Since(start), r.Writes, r.Reads, r.Unknown, r.Fenced, r.Hash, r.Hits)
	if r.Err == nil && testing.Verbose() {
		t.Log(strings.Join(r.Trace, "\n"))
	}
	fail(t, r, cfg)
}

// TestMany surveys seeds beyond the usual ones.
func TestMany(t *testing.T) {
	if *manyFlag == 0 {
		t.Skip("for a survey of many seeds: -many N [-from M]")
	}
	counts := map[string]int{}
	for seed := *fromFlag; seed < *fromFlag+*manyFlag; seed++ {
		cfg := usual(seed)
		cfg.Nodes = *nodesFlag
		if r := simulate(t, cfg); r.Err != nil {
			counts[r.Err.(*Violation).Invariant]++
			t.Errorf("seed %d: %v", seed, r.Err)
		}
	}
	t.Log(counts)
}

// TestPeace runs seeds without faults: standby, bans and failing services only, and so no fencing.
func TestPeace(t *testing.T) {
	for seed := uint64(1001); seed <= 1006; seed++ {
		cfg := Config{Seed: seed}
		r := simulate(t, cfg)
		fail(t, r, cfg)
		if r.Fenced > 0 {
			t.Errorf("seed %d: %d fencings without a fault", seed, r.Fenced)
		}
	}
}

// caught runs seeds with a rule broken on purpose until one of the wanted invariants breaks.
func caught(t *testing.T, limit uint64, change func(*Config), want ...string) {
	t.Helper()
	found := map[string]int{}
	for seed := uint64(1); seed <= limit; seed++ {
		cfg := usual(seed)
		change(&cfg)
		r := simulate(t, cfg)
		if r.Err == nil {
			continue
		}
		v := r.Err.(*Violation)
		if slices.Contains(want, v.Invariant) {
			t.Logf("caught by seed %d: %v", seed, v)
			return
		}
		found[v.Invariant]++
	}
	t.Errorf("%d seeds did not catch it as %v; they found %v", limit, want, slices.Sorted(maps.Keys(found)))
}

// TestMutation_StartBeforeFenceAnswer has a policy whose starts do not wait for fencing.
func TestMutation_StartBeforeFenceAnswer(t *testing.T) {
	caught(t, 20, func(cfg *Config) {
		cfg.Decide = func(in policy.Input) (*policy.Decision, error) {
			d, err := policy.Decide(in)
			if err != nil {
				return nil, err
			}
			broken := *d
			broken.Graph = withoutFencing(d.Graph)
			return &broken, nil
		}
	}, "I1", "I2")
}

// withoutFencing is the graph in which nothing waits for a fencing.
func withoutFencing(g *transition.Graph) *transition.Graph {
	out := *g
	out.Synapses = slices.Clone(g.Synapses)
	for i := range out.Synapses {
		s := &out.Synapses[i]
		s.Inputs = slices.DeleteFunc(slices.Clone(s.Inputs), func(in transition.Input) bool {
			return in.Synapse >= 0 && g.Synapses[in.Synapse].Action.Fencing()
		})
	}
	return &out
}

// mutate gives a policy whose decisions are changed.
func mutate(change func(g *transition.Graph) *transition.Graph) func(policy.Input) (*policy.Decision, error) {
	return func(in policy.Input) (*policy.Decision, error) {
		d, err := policy.Decide(in)
		if err != nil {
			return nil, err
		}
		broken := *d
		broken.Graph = change(d.Graph)
		return &broken, nil
	}
}

// TestMutation_NoOrder has a policy whose starts wait for nothing but what is done with the same resource.
func TestMutation_NoOrder(t *testing.T) {
	caught(t, 20, func(cfg *Config) {
		cfg.Decide = mutate(func(g *transition.Graph) *transition.Graph {
			out := *g
			out.Synapses = slices.Clone(g.Synapses)
			for i := range out.Synapses {
				s := &out.Synapses[i]
				if s.Action.Task == "start" && s.Action.Resource != nil {
					s.Inputs = slices.DeleteFunc(slices.Clone(s.Inputs), func(in transition.Input) bool {
						return in.Synapse >= 0 && (g.Synapses[in.Synapse].Action.Resource == nil || g.Synapses[in.Synapse].Action.Resource.ID != s.Action.Resource.ID)
					})
				}
			}
			return &out
		})
	}, "I11")
}

// TestMutation_TooManyInstances has a policy that reads a larger clone-max than the configuration has.
func TestMutation_TooManyInstances(t *testing.T) {
	caught(t, 10, func(cfg *Config) {
		cfg.Nodes = 5
		cfg.Decide = func(in policy.Input) (*policy.Decision, error) {
			doc, _, err := cibxml.Read([]byte(strings.Replace(string(cibxml.Write(in.Document, cibxml.Options{})), `name="clone-max" value="2"`, `name="clone-max" value="3"`, 1)))
			if err != nil {
				return nil, err
			}
			in.Document = doc
			return policy.Decide(in)
		}
	}, "I12")
}

// TestMutation_ChangingMind has a policy that decides in another way every second time.
func TestMutation_ChangingMind(t *testing.T) {
	caught(t, 10, func(cfg *Config) {
		times := 0
		cfg.Decide = mutate(func(g *transition.Graph) *transition.Graph {
			out := *g
			if times++; times%2 == 0 {
				out.BatchLimit = "1"
			}
			return &out
		})
	}, "I10")
}

// TestMutation_LostAnswers has processes that forget to answer some of the requests that they took.
func TestMutation_LostAnswers(t *testing.T) {
	caught(t, 20, func(cfg *Config) { cfg.LoseAnswers = true }, "I19")
}

// TestMutation_StaleReads has processes that answer reads at once, from whatever they have applied.
func TestMutation_StaleReads(t *testing.T) {
	caught(t, 20, func(cfg *Config) { cfg.StaleReads = true }, "I4", "I5")
}

// TestMutation_StayAlone has nodes that do not stop what they run without quorum.
func TestMutation_StayAlone(t *testing.T) {
	caught(t, 3, func(cfg *Config) {
		cfg.Faults, cfg.script = 0, func(w *world) {
			m := w.machines[0]
			w.power.refuse = true // else it is fenced in time
			for _, o := range w.machines[1:] {
				w.cutFor(40*time.Second, both(m, o))
			}
			w.run(w.now + 40*time.Second)
		}
		cfg.Decide = func(in policy.Input) (*policy.Decision, error) {
			d, err := policy.Decide(in)
			if err != nil || in.Quorate {
				return d, err
			}
			broken := *d
			broken.Graph = &transition.Graph{}
			return &broken, nil
		}
	}, "I8")
}

// TestShrink: of the schedule of a run that fails those faults are left without which it does not.
func TestShrink(t *testing.T) {
	cfg := usual(1)
	cfg.ForgetVotes = true
	var r *Report
	for ; cfg.Seed <= 20; cfg.Seed++ {
		if r = simulate(t, cfg); r.Err != nil && len(r.Steps) > 3 {
			break
		}
	}
	if r.Err == nil {
		t.Fatal("no seed fails")
	}
	run := func(c Config) *Report { return simulate(t, c) }
	small, report := Shrink(cfg, r, 60, run)
	if report.Err == nil || report.Err.(*Violation).Invariant != r.Err.(*Violation).Invariant {
		t.Errorf("the smallest schedule ends with %v, want as before %v", report.Err, r.Err)
	}
	if len(small.Keep) > len(r.Steps) || !slices.Equal(small.Keep, keepList(t, keepText(small.Keep))) {
		t.Errorf("kept %v of %v", small.Keep, r.Steps)
	}
	if again := run(small); again.Hash != report.Hash {
		t.Error("the smallest schedule does not replay")
	}
	t.Logf("seed %d: %d faults became %d:\n%s", cfg.Seed, len(r.Steps), len(small.Keep), strings.Join(small.Steps(), "\n"))
}

// TestMutation_ForgetVotes has disks that do not keep the vote.
func TestMutation_ForgetVotes(t *testing.T) {
	caught(t, 20, func(cfg *Config) { cfg.ForgetVotes = true }, "I6", "I15")
}
