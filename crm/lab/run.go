package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// RunConfig says what to run.
type RunConfig struct {
	Bin     string   // folder with quorated and quorate-lab
	Dir     string   // folder on a real disk for the state of the machines; "" = /var/tmp
	Nodes   int      // machines of a cluster; 0 = 3
	Profile string   // timing profile; "" = default
	Seed    uint64   // of the switch
	Cases   []string // names; none = all
	Keep    bool     // keep the folders of cases that went well too
	Out     io.Writer
}

func (cfg *RunConfig) validate() error {
	if cfg.Nodes == 0 {
		cfg.Nodes = 3
	}
	if cfg.Nodes < 2 || cfg.Nodes > 7 {
		return fmt.Errorf("a cluster of %d machines: want 2 to 7", cfg.Nodes)
	}
	if cfg.Profile == "" {
		cfg.Profile = "default"
	}
	if _, ok := profiles[cfg.Profile]; !ok {
		return fmt.Errorf("timing profile %q: want %s", cfg.Profile, strings.Join(keys(profiles), " or "))
	}
	if cfg.Dir == "" {
		cfg.Dir = "/var/tmp"
	}
	for _, name := range []string{"quorated", "quorate-lab", "crm"} {
		if _, err := os.Stat(filepath.Join(cfg.Bin, name)); err != nil {
			return fmt.Errorf("%w: build it first (make build)", err)
		}
	}
	var st unix.Statfs_t
	if err := unix.Statfs(cfg.Dir, &st); err != nil {
		return fmt.Errorf("%s: %w", cfg.Dir, err)
	}
	if st.Type == unix.TMPFS_MAGIC {
		return fmt.Errorf("%s is in memory: the lab wants a folder on a disk, where syncing takes its time", cfg.Dir)
	}
	return nil
}

// caseLimit is how long one case may take.
const caseLimit = 60 * time.Second

// repeats is how often a case is run again because the lab itself was held up.
const repeats = 5

// trial is one run of a case.
type trial struct {
	*cluster
	ctx      context.Context
	evidence Evidence
	notes    []string
}

func (t *trial) note(format string, args ...any) {
	t.notes = append(t.notes, fmt.Sprintf(format, args...))
}

// errLate says that the lab itself was held up, so that the run says nothing.
var errLate = errors.New("the lab's own ticker was held up")

// Run runs cases and says how they went. It is to be called inside the lab's own namespaces (Isolated).
func Run(ctx context.Context, cfg RunConfig) error {
	if err := cfg.validate(); err != nil {
		return err
	}
	list, err := pickCases(cfg.Cases, cfg.Nodes)
	if err != nil {
		return err
	}
	failed, repeated := 0, 0
	for _, cs := range list {
		for try := 1; ; try++ {
			began := time.Now()
			notes, dir, err := runCase(ctx, cfg, cs)
			took := time.Since(began).Round(100 * time.Millisecond)
			if errors.Is(err, errLate) && try <= repeats {
				repeated++
				fmt.Fprintf(cfg.Out, "again %-18s %6v  %v\n", cs.name, took, err)
				os.RemoveAll(dir)
				continue
			}
			if err != nil {
				failed++
				fmt.Fprintf(cfg.Out, "FAIL  %-18s %6v  seed %d, kept in %s\n", cs.name, took, cfg.Seed, dir)
				for _, line := range strings.Split(err.Error(), "\n") {
					fmt.Fprintf(cfg.Out, "      %s\n", line)
				}
			} else {
				fmt.Fprintf(cfg.Out, "ok    %-18s %6v  %s\n", cs.name, took, strings.Join(notes, "; "))
				if !cfg.Keep {
					os.RemoveAll(dir)
				}
			}
			break
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	fmt.Fprintf(cfg.Out, "%d cases, %d failed, %d runs repeated because the lab was held up (%d nodes, timing %s)\n", len(list), failed, repeated, cfg.Nodes, cfg.Profile)
	if failed > 0 {
		return fmt.Errorf("%d of %d cases failed", failed, len(list))
	}
	return nil
}

// runCase makes a cluster, runs the case and checks the invariants.
func runCase(ctx context.Context, cfg RunConfig, cs labCase) (notes []string, dir string, err error) {
	ctx, cancel := context.WithTimeout(ctx, caseLimit)
	defer cancel()
	dir, err = os.MkdirTemp(cfg.Dir, "quorate-lab-")
	if err != nil {
		return nil, "", err
	}
	prof := profiles[cfg.Profile]
	late := watchTicker(ctx)
	c, err := newCluster(ctx, clusterConfig{nodes: cfg.Nodes, bin: cfg.Bin, dir: dir, profile: prof, seed: cfg.Seed, def: oracles(cfg.Nodes, 4, prof.name)})
	if err != nil {
		return nil, dir, err
	}
	t := &trial{cluster: c, ctx: ctx}
	err = t.run(cs)
	c.Close()
	if err == nil {
		err = t.check()
	}
	if worst := late(); worst > prof.late && cs.timed {
		err = errors.Join(fmt.Errorf("%w: %v late", errLate, worst.Round(time.Millisecond)), err)
	}
	if err != nil {
		os.WriteFile(filepath.Join(dir, "failure"), []byte(err.Error()+"\n"), 0o600)
	}
	return t.notes, dir, err
}

// run carries out a case: a formed cluster with all resources up, clients, the case, the end of the clients,
// rest, and the collection of the evidence.
func (t *trial) run(cs labCase) error {
	if err := t.form(t.ctx); err != nil {
		return err
	}
	if err := t.waitHeld(10*time.Second, nil); err != nil {
		return err
	}
	if err := t.waitAll(10 * time.Second); err != nil {
		return err
	}
	if err := t.noFencing(); err != nil {
		return err
	}
	watch := t.watch()
	load := startClients(t.ctx, t.cluster)
	caseErr := cs.run(t)
	t.evidence.Ops = load.end()
	if caseErr == nil {
		t.evidence.Rest, caseErr = t.rest(t.ctx, convergence)
	}
	t.evidence.Sightings = watch()
	if caseErr == nil {
		caseErr = t.final()
	}
	var err error
	if t.evidence.Records, err = readLedger(t.ledger()); err != nil {
		return errors.Join(caseErr, err)
	}
	if t.evidence.Runs, err = t.audits(); err != nil {
		return errors.Join(caseErr, err)
	}
	t.evidence.End = mono()
	t.evidence.StartLimit, t.evidence.StopLimit = t.profile.start, t.profile.stop
	if caseErr != nil {
		// What does not hold says more than that the case did not get on.
		var broken []error
		for _, v := range Check(&t.evidence) {
			broken = append(broken, errors.New(v.String()))
		}
		return errors.Join(append([]error{caseErr}, broken...)...)
	}
	var writes, reads, unknown int
	for _, op := range t.evidence.Ops {
		switch {
		case op.Outcome == OutcomeUnknown:
			unknown++
		case op.Outcome == OutcomeOK && op.Write:
			writes++
		case op.Outcome == OutcomeOK:
			reads++
		}
	}
	t.note("%d writes, %d reads, %d requests of unknown outcome", writes, reads, unknown)
	if writes < 20 || reads < 20 {
		return fmt.Errorf("only %d writes and %d reads of clients were answered", writes, reads)
	}
	return nil
}

// convergence is how long a cluster may take to come to rest after everything is well again.
const convergence = 15 * time.Second

// final asks every machine for the registers.
func (t *trial) final() error {
	t.evidence.Final = map[string]map[string]string{}
	for _, m := range t.nodes {
		ctx, cancel := context.WithTimeout(t.ctx, askTimeout)
		s, err := m.client.State(ctx, true)
		cancel()
		if err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
		values := map[string]string{}
		for i := range registers {
			values[registerName(i)] = register(s, registerName(i))
		}
		t.evidence.Final[m.name] = values
	}
	return nil
}

// check turns violations into an error.
func (t *trial) check() error {
	var errs []error
	for _, v := range Check(&t.evidence) {
		errs = append(errs, errors.New(v.String()))
	}
	return errors.Join(errs...)
}

// watch notes who says that it leads, until the returned function is called.
func (t *trial) watch() func() []Sighting {
	ctx, cancel := context.WithCancel(t.ctx)
	var group sync.WaitGroup
	var mu sync.Mutex
	var list []Sighting
	for _, m := range t.nodes {
		group.Go(func() {
			tick := time.NewTicker(100 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
				}
				if l, err := m.local(ctx); err == nil {
					mu.Lock()
					list = append(list, Sighting{At: mono(), Node: m.name, Leads: l.Role == "leader", Term: l.Term, Index: l.Applied})
					mu.Unlock()
				}
			}
		})
	}
	return func() []Sighting {
		cancel()
		group.Wait()
		return list
	}
}

// watchTicker runs the lab's own 10 ms ticker; the returned function stops it and says how late it came at
// worst.
func watchTicker(ctx context.Context) func() time.Duration {
	const every = 10 * time.Millisecond
	ctx, cancel := context.WithCancel(ctx)
	worst := make(chan time.Duration, 1)
	go func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		var most time.Duration
		last := time.Now()
		for {
			select {
			case <-ctx.Done():
				worst <- most
				return
			case <-tick.C:
				now := time.Now()
				most = max(most, now.Sub(last)-every)
				last = now
			}
		}
	}()
	return func() time.Duration {
		cancel()
		return <-worst
	}
}

// oracles is the definition of a cluster with n exclusive resources.
func oracles(nodes, n int, timing string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "[cluster]\nname = \"lab\"\nfencing-enabled = true\n\n[timing]\nprofile = %q\n", timing)
	for i := range n {
		fmt.Fprintf(&b, "\n[primitives.r%d]\nagent = \"ocf:quorate:Oracle\"\nparams = { base = \"BASE\" }\nop.monitor = { interval = \"1s\", timeout = \"10s\" }\n", i+1)
	}
	var names []string
	for i := range nodes {
		names = append(names, fmt.Sprintf("%q", fmt.Sprintf("n%d", i+1)))
	}
	fmt.Fprintf(&b, "\n[fencing.power]\nagent = \"stonith:fence_lab\"\nparams = { socket = \"BASE/power.sock\" }\ntargets = [%s]\n", strings.Join(names, ", "))
	return b.String()
}
