package lab

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/store/command"
)

// MeasureConfig says what to measure.
type MeasureConfig struct {
	RunConfig               // Cases are names of parts; none = all
	Times     int           // how often each figure is taken; 0 = 10
	Peer      bool          // measure corosync and Pacemaker instead, as installed here
	Soak      time.Duration // of the part soak; 0 = 10 minutes
	// Document is the file that the table is written to; "" = none.
	Document string
}

// figure is a row of the table.
type figure struct {
	name     string
	limit    map[string]float64 // by profile, in unit; the median must not be above it
	unit     string
	floor    bool    // the limit is the least instead
	most     float64 // limit of the worst where it is none of the median's; 0 = half as much again
	values   []float64
	repeated int
}

func (f *figure) sorted() []float64 {
	out := slices.Clone(f.values)
	slices.Sort(out)
	return out
}

func (f *figure) median() float64 {
	s := f.sorted()
	if n := len(s); n%2 == 1 {
		return s[n/2]
	} else if n > 0 {
		return (s[n/2-1] + s[n/2]) / 2
	}
	return 0
}

func (f *figure) worst() float64 {
	s := f.sorted()
	switch {
	case len(s) == 0:
		return 0
	case f.floor:
		return s[0]
	}
	return s[len(s)-1]
}

// verdict compares the median with the limit, and the worst with its own or half as much again.
func (f *figure) verdict(profile string) string {
	limit, known := f.limit[profile]
	most := cmp.Or(f.most, limit*1.5)
	switch {
	case !known:
		return "–"
	case len(f.values) == 0:
		return "not measured"
	case f.floor && f.median() < limit, !f.floor && f.median() > limit:
		return "missed"
	case f.floor && f.worst() < limit/1.5, !f.floor && f.worst() > most:
		return "median met, worst missed"
	}
	return "met"
}

func (f *figure) row(profile string) string {
	limit := "–"
	if l, known := f.limit[profile]; known {
		sign := "≤"
		if f.floor {
			sign = "≥"
		}
		limit = fmt.Sprintf("%s %g", sign, l)
	}
	return fmt.Sprintf("| %s | %s | %s | %.3g | %.3g | %d | %d | %s |", f.name, f.unit, limit, f.median(), f.worst(), len(f.values), f.repeated, f.verdict(profile))
}

// stampAgent is the light agent of the measurements: a file says that the resource is active, and its time when
// it became so. A monitor that does not find it leaves a file, too. It starts no other program.
const stampAgent = `#!/bin/sh
file=$OCF_RESKEY_base/stamps/$HOSTNAME/$OCF_RESOURCE_INSTANCE
[ -n "$HOSTNAME" ] || { read -r HOSTNAME </proc/sys/kernel/hostname; file=$OCF_RESKEY_base/stamps/$HOSTNAME/$OCF_RESOURCE_INSTANCE; }
case $1 in
start) [ -e "$file" ] || : >"$file" ;;
stop) [ ! -e "$file" ] || rm "$file" ;;
monitor) [ -e "$file" ] || { : >"$OCF_RESKEY_base/missed/$HOSTNAME"; exit 7; } ;;
meta-data) cat <<'END'
<?xml version="1.0"?>
<resource-agent name="Stamp" version="1.0">
<version>1.1</version>
<longdesc lang="en">Notes when it was started.</longdesc><shortdesc lang="en">Light agent for measurements</shortdesc>
<parameters><parameter name="base" required="1"><longdesc lang="en">Folder of the lab.</longdesc><shortdesc lang="en">folder</shortdesc><content type="string"/></parameter></parameters>
<actions><action name="start" timeout="10s"/><action name="stop" timeout="10s"/><action name="monitor" timeout="10s" interval="1s"/><action name="meta-data" timeout="5s"/></actions>
</resource-agent>
END
;;
*) exit 3 ;;
esac
exit 0
`

// stamped is the definition of n light resources; grouped puts them in one group.
func stamped(nodes, n int, timing string, interval string, grouped bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "[cluster]\nname = \"lab\"\nfencing-enabled = true\n\n[timing]\nprofile = %q\n", timing)
	var members, names []string
	for i := range n {
		fmt.Fprintf(&b, "\n[primitives.s%d]\nagent = \"ocf:quorate:Stamp\"\nparams = { base = \"BASE\" }\nmeta = { resource-stickiness = 100 }\nop.monitor = { interval = %q, timeout = \"10s\" }\n", i, interval)
		members = append(members, fmt.Sprintf("%q", fmt.Sprintf("s%d", i)))
	}
	if grouped {
		fmt.Fprintf(&b, "\n[groups.g]\nmembers = [%s]\n", strings.Join(members, ", "))
	}
	for i := range nodes {
		names = append(names, fmt.Sprintf("%q", fmt.Sprintf("n%d", i+1)))
	}
	fmt.Fprintf(&b, "\n[fencing.power]\nagent = \"stonith:fence_lab\"\nparams = { socket = \"BASE/power.sock\" }\ntargets = [%s]\n", strings.Join(names, ", "))
	return b.String()
}

// bench is a cluster that is measured.
type bench struct {
	*cluster
	ctx context.Context
	n   int
	sys system
}

// system is the cluster software that is measured.
type system interface {
	form(ctx context.Context) error
	leader(ctx context.Context) (*machine, error)
	settle(ctx context.Context) error // waits until all machines are in and nothing is to be done
	prefer(to *machine) error         // has the first resource on a machine
	forget() error                    // takes that back
	standby(m *machine, on bool) error
}

// withBench makes a cluster with n light resources, calls f, and takes the cluster away again.
func withBench(ctx context.Context, cfg *MeasureConfig, n int, interval string, grouped bool, f func(b *bench) error) error {
	dir, err := os.MkdirTemp(cfg.Dir, "quorate-measure-")
	if err != nil {
		return err
	}
	prof := profiles[cfg.Profile]
	c, err := newCluster(ctx, clusterConfig{nodes: cfg.Nodes, bin: cfg.Bin, dir: dir, profile: prof, seed: cfg.Seed, level: "info", def: stamped(cfg.Nodes, n, prof.name, interval, grouped)})
	if err != nil {
		return err
	}
	b := &bench{cluster: c, ctx: ctx, n: n}
	if b.sys = ours(c); cfg.Peer {
		b.sys = newPeer(c, cfg.Profile, n, interval, grouped)
	}
	err = errors.Join(os.MkdirAll(filepath.Join(dir, "agents", "ocf", "quorate"), 0o755), install(filepath.Join(cfg.Bin, "crm"), filepath.Join(dir, "crm")),
		os.MkdirAll(filepath.Join(dir, "missed"), 0o755),
		os.WriteFile(filepath.Join(dir, "agents", "ocf", "quorate", "Stamp"), []byte(stampAgent), 0o755))
	for _, m := range c.nodes {
		err = errors.Join(err, os.MkdirAll(filepath.Join(dir, "stamps", m.name), 0o755))
	}
	if err == nil {
		if err = b.sys.form(ctx); err == nil {
			if err = b.active(30 * time.Second); err == nil {
				err = f(b)
			}
		}
	}
	c.Close()
	if err != nil {
		return fmt.Errorf("%w (kept in %s)", err, dir)
	}
	return os.RemoveAll(dir)
}

// install copies a program. The kernel maps the pages of a file that was written from its beginning to its end, as an
// installation does, in larger pieces than those of one that the linker has just made; a process that starts from that costs
// a millisecond more.
func install(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o755)
}

// stamps says where each resource is active and since when.
func (b *bench) stamps() map[string]map[string]time.Time {
	out := map[string]map[string]time.Time{}
	for _, m := range b.nodes {
		entries, err := os.ReadDir(filepath.Join(b.dir, "stamps", m.name))
		if err != nil {
			continue
		}
		for _, e := range entries {
			if info, err := e.Info(); err == nil {
				if out[e.Name()] == nil {
					out[e.Name()] = map[string]time.Time{}
				}
				out[e.Name()][m.name] = info.ModTime()
			}
		}
	}
	return out
}

// active waits until all resources are active.
func (b *bench) active(limit time.Duration) error {
	return b.poll(b.ctx, limit, "all resources to be active", func() error {
		if n := len(b.stamps()); n < b.n {
			return fmt.Errorf("%d of %d are active", n, b.n)
		}
		return nil
	})
}

// on which machine the first resource is.
func (b *bench) holder() *machine {
	for _, node := range keys(b.stamps()["s0"]) {
		return b.node(node)
	}
	return nil
}

// quiet waits until the cluster is whole and has nothing to do.
func (b *bench) quiet() error {
	if err := b.sys.settle(b.ctx); err != nil {
		return err
	}
	if err := b.active(30 * time.Second); err != nil {
		return err
	}
	time.Sleep(200 * time.Millisecond)
	return nil
}

// lost forgets what was active on a machine that has lost power: its files are on the disk that all share.
func (b *bench) lost(m *machine) []string {
	var names []string
	for name, at := range b.stamps() {
		if _, here := at[m.name]; here {
			names = append(names, name)
			os.Remove(filepath.Join(b.dir, "stamps", m.name, name))
		}
	}
	slices.Sort(names)
	return names
}

// elsewhere waits until the resources are active on another machine, and returns the time of the last start.
func (b *bench) elsewhere(names []string, but *machine, limit time.Duration) (last time.Time, err error) {
	err = b.poll(b.ctx, limit, "recovery", func() error {
		last = time.Time{}
		all := b.stamps()
		for _, name := range names {
			found := false
			for node, at := range all[name] {
				if but == nil || node != but.name {
					found = true
					if at.After(last) {
						last = at
					}
				}
			}
			if !found {
				return fmt.Errorf("%s is not active elsewhere", name)
			}
		}
		return nil
	})
	return last, err
}

// place has the first resource on the wanted machine, and leaves no constraint behind. It returns how long the
// move took from the proposal to the start.
func (b *bench) place(to *machine) (time.Duration, error) {
	if h := b.holder(); h == to {
		return 0, nil
	}
	began := time.Now()
	if err := b.sys.prefer(to); err != nil {
		return 0, err
	}
	if _, err := b.elsewhere([]string{"s0"}, b.other(to), 10*time.Second); err != nil {
		return 0, err
	}
	for b.stamps()["s0"][to.name].IsZero() {
		if err := b.poll(b.ctx, 10*time.Second, "the move", func() error {
			if b.stamps()["s0"][to.name].IsZero() {
				return errors.New("not there yet")
			}
			return nil
		}); err != nil {
			return 0, err
		}
	}
	at := b.stamps()["s0"][to.name]
	return at.Sub(began), b.sys.forget()
}

// other is some machine that is not m.
func (b *bench) other(m *machine) *machine {
	for _, o := range b.nodes {
		if o != m {
			return o
		}
	}
	return nil
}

// takes takes a figure several times; runs in which the lab was held up are repeated.
func (b *bench) takes(f *figure, times int, one func(i int) (float64, error)) error {
	for i := 0; len(f.values) < times; i++ {
		if err := b.quiet(); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		late := watchTicker(b.ctx)
		v, err := one(i)
		worst := late()
		if err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		if worst > b.profile.late && f.repeated < 2*times {
			f.repeated++
			continue
		}
		f.values = append(f.values, v)
	}
	return nil
}

// down measures a loss of power, or of the network, of the machine that holds the resources.
func (b *bench) down(leads, cutOnly bool) (float64, error) {
	l, err := b.sys.leader(b.ctx)
	if err != nil {
		return 0, err
	}
	victim := l
	if !leads {
		victim = b.other(l)
	}
	if b.n == 1 {
		if _, err := b.place(victim); err != nil {
			return 0, err
		}
		if err := b.quiet(); err != nil {
			return 0, err
		}
	} else {
		victim = b.holder()
	}
	var names []string
	began := time.Now()
	if cutOnly {
		names = []string{"s0"}
		if err := b.isolate(victim); err != nil {
			return 0, err
		}
	} else {
		if err := b.powerCut(victim); err != nil {
			return 0, err
		}
		names = b.lost(victim)
	}
	last, err := b.elsewhere(names, victim, 30*time.Second)
	if err != nil {
		return 0, err
	}
	if cutOnly {
		b.lost(victim)
		if err := b.heal(); err != nil {
			return 0, err
		}
	}
	return last.Sub(began).Seconds(), nil
}

// cold measures the start of all machines: until the first resource is active, or all are.
func (b *bench) cold(all bool) (float64, error) {
	for _, m := range b.nodes {
		if err := b.powerCut(m); err != nil {
			return 0, err
		}
		b.lost(m)
	}
	var group sync.WaitGroup
	errs := make([]error, len(b.nodes))
	start := mono()
	for i, m := range b.nodes {
		group.Go(func() { errs[i] = b.on(m) })
	}
	group.Wait()
	if err := errors.Join(errs...); err != nil {
		return 0, err
	}
	// Counted from the launch of the first daemon, as the ledger has it.
	records, err := readLedger(b.ledger())
	if err != nil {
		return 0, err
	}
	first := slices.IndexFunc(records, func(r Record) bool { return r.Kind == KindOn && r.At >= start })
	if first < 0 {
		return 0, errors.New("no machine was started")
	}
	began := time.Now().Add(-time.Duration(mono() - records[first].At))
	var at time.Time
	err = b.poll(b.ctx, 60*time.Second, "resources to be active", func() error {
		var times []time.Time
		for _, by := range b.stamps() {
			for _, t := range by {
				times = append(times, t)
			}
		}
		if len(times) == 0 || all && len(times) < b.n {
			return fmt.Errorf("%d of %d are active", len(times), b.n)
		}
		slices.SortFunc(times, time.Time.Compare)
		at = times[0]
		if all {
			at = times[len(times)-1]
		}
		return nil
	})
	return at.Sub(began).Seconds(), err
}

// Measure takes the figures of one profile and prints them as a table.
func Measure(ctx context.Context, cfg MeasureConfig) error {
	if err := cfg.validate(); err != nil {
		return err
	}
	if cfg.Times == 0 {
		cfg.Times = 10
	}
	if cfg.Peer {
		if why := PeerNeeds(); why != "" {
			return errors.New(why)
		}
		if len(cfg.Cases) == 0 {
			cfg.Cases = []string{"failover", "group", "hundred"}
		}
	}
	chosen, err := choose(cfg.Cases)
	if err != nil {
		return err
	}
	began := time.Now()
	setting, err := surroundings(cfg.Dir)
	if err != nil {
		return err
	}
	r := &report{cfg: &cfg, few: max(1, cfg.Times/2)}
	for _, p := range chosen {
		r.failed = append(r.failed, withBench(ctx, &cfg, p.resources, p.interval, p.grouped, func(b *bench) error {
			p.take(r, b)
			return nil
		}))
	}
	what := "Quorate"
	if cfg.Peer {
		what = peerVersion()
	}
	table := fmt.Sprintf("%s, %d machines, timing %s, log level info, %s, %s, taken %s in %v. Lab held up more than %v: repeated, see column.\n\n",
		what, cfg.Nodes, cfg.Profile, runtime.Version(), setting, began.UTC().Format("2006-01-02"), time.Since(began).Round(time.Second), profiles[cfg.Profile].late)
	table += "| what | unit | limit | median | worst | runs | repeated | |\n|---|---|---|---|---|---|---|---|\n"
	for _, f := range r.rows {
		table += f.row(cfg.Profile) + "\n"
	}
	fmt.Fprintf(cfg.Out, "\n%s", table)
	if cfg.Document != "" {
		if err := writeSection(cfg.Document, cfg.Profile, table); err != nil {
			return err
		}
	}
	return errors.Join(r.failed...)
}

// report collects the rows of the table.
type report struct {
	cfg    *MeasureConfig
	few    int // how often costly figures are taken
	rows   []*figure
	failed []error
}

// add begins a row. The limits are of the profiles default and fast; 0 = none.
func (r *report) add(name, unit string, def, fast float64) *figure {
	f := &figure{name: name, unit: unit, limit: map[string]float64{}}
	if r.cfg.Peer {
		def, fast = 0, 0
	}
	if def > 0 {
		f.limit["default"] = def
	}
	if fast > 0 {
		f.limit["fast"] = fast
	}
	r.rows = append(r.rows, f)
	return f
}

// take fills a row and prints it; the other rows are taken although one fails.
func (r *report) take(b *bench, f *figure, times int, one func(i int) (float64, error)) {
	if err := b.takes(f, times, one); err != nil {
		r.failed = append(r.failed, err)
		fmt.Fprintf(r.cfg.Out, "failed: %v\n", err)
		return
	}
	fmt.Fprintln(r.cfg.Out, f.row(r.cfg.Profile))
}

// surroundings says on what the figures were taken: processors, load, and what a synced write costs on the disk.
func surroundings(dir string) (string, error) {
	load := "?"
	if data, err := os.ReadFile("/proc/loadavg"); err == nil {
		load, _, _ = strings.Cut(string(data), " ")
	}
	f, err := os.CreateTemp(dir, "quorate-sync-")
	if err != nil {
		return "", err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	var times []time.Duration
	block := make([]byte, 4096)
	for i := range 101 {
		if _, err := f.WriteAt(block, int64(i)*4096); err != nil {
			return "", err
		}
		began := time.Now()
		if err := syscall.Fdatasync(int(f.Fd())); err != nil {
			return "", err
		}
		times = append(times, time.Since(began))
	}
	slices.Sort(times)
	return fmt.Sprintf("%d cores at load %s before, fdatasync %.2f ms", runtime.NumCPU(), load, float64(times[50].Microseconds())/1000), nil
}

// writeSection puts a table between its marks in a document.
func writeSection(file, profile, table string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	begin, end := "<!-- begin "+profile+" -->\n", "<!-- end "+profile+" -->\n"
	head, rest, found := strings.Cut(string(data), begin)
	_, tail, closed := strings.Cut(rest, end)
	if !found || !closed {
		return fmt.Errorf("%s has no lines %q and %q to put the table between", file, strings.TrimSpace(begin), strings.TrimSpace(end))
	}
	return os.WriteFile(file, []byte(head+begin+"\n"+table+"\n"+end+tail), 0o644)
}

// memory is the resident memory of the daemon's processes in megabytes.
func (b *bench) memory(m *machine) (float64, error) {
	h, err := m.powered()
	if err != nil {
		return 0, err
	}
	var kb float64
	for _, pid := range h.daemon(false) {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			return 0, err
		}
		for line := range strings.Lines(string(data)) {
			if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
				n, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
				if err != nil {
					return 0, err
				}
				kb += n
			}
		}
	}
	return kb / 1024, nil
}

// cpu is the share of a core that the daemon's processes take, without and with the agents that they ran.
func (b *bench) cpu(m *machine, over time.Duration) (ours, all float64, err error) {
	h, err := m.powered()
	if err != nil {
		return 0, 0, err
	}
	read := func() (own, children time.Duration, err error) {
		for _, pid := range h.daemon(false) {
			mine, waited, err := processorTime(pid)
			if err != nil {
				return 0, 0, err
			}
			own, children = own+mine, children+waited
		}
		return own, children, nil
	}
	own, children, err := read()
	if err != nil {
		return 0, 0, err
	}
	began := time.Now()
	time.Sleep(over)
	own2, children2, err := read()
	share := 100 / time.Since(began).Seconds()
	return (own2 - own).Seconds() * share, (own2 - own + children2 - children).Seconds() * share, err
}

// processorTime is the user and system time of a process and of its children that have ended, in steps of 10 ms.
func processorTime(pid int) (own, children time.Duration, err error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0, err
	}
	// The name in brackets may have spaces; the fields after it are counted from 3.
	f := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	var t [4]time.Duration
	for i := range t {
		n, err := strconv.ParseInt(f[11+i], 10, 64)
		if err != nil {
			return 0, 0, err
		}
		const hertz = 100 // clock ticks of /proc, the same on all Linux machines
		t[i] = time.Duration(n) * time.Second / hertz
	}
	return t[0] + t[1], t[2] + t[3], nil
}

// spent is processor time by kind of process. What agents took is not in it.
type spent struct {
	leader, followers, runners time.Duration // of node processes and of their runners
	lab                        time.Duration // of the clients, and of the switch, which is in their process
	commands                   time.Duration // of what the clients started and that has ended
}

func (s spent) all() time.Duration { return s.leader + s.followers + s.runners + s.lab + s.commands }

func (s spent) minus(o spent) spent {
	return spent{s.leader - o.leader, s.followers - o.followers, s.runners - o.runners, s.lab - o.lab, s.commands - o.commands}
}

// spent is what all processes have taken until now. The processes must be the same from one call to the next.
func (b *bench) spent(leader *machine) (s spent, err error) {
	for _, m := range b.nodes {
		h, err := m.powered()
		if err != nil {
			return s, err
		}
		node := h.daemon(true)
		for _, pid := range h.daemon(false) {
			own, _, err := processorTime(pid)
			switch {
			case err != nil:
				return s, err
			case !slices.Contains(node, pid):
				s.runners += own
			case m == leader:
				s.leader += own
			default:
				s.followers += own
			}
		}
	}
	s.lab, err = usage(syscall.RUSAGE_SELF)
	if err == nil {
		s.commands, err = usage(syscall.RUSAGE_CHILDREN)
	}
	return s, err
}

// usage is the processor time of the lab's process or of its children.
func usage(who int) (time.Duration, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(who, &u); err != nil {
		return 0, fmt.Errorf("processor time of the lab: %w", err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}

// load is what came of clients that write for a while.
type load struct {
	count int
	took  time.Duration
	p50   time.Duration
	spent spent
}

// writes has clients at the leader write for a while: how many writes were acknowledged, the median of their times,
// and what they cost.
func (b *bench) writes(clients int, over time.Duration, one func(m *machine, key, value string) error) (out load, err error) {
	l, err := b.leader(b.ctx)
	if err != nil {
		return out, err
	}
	before, err := b.spent(l)
	if err != nil {
		return out, err
	}
	var group sync.WaitGroup
	var mu sync.Mutex
	var times []time.Duration
	var failed error
	began := time.Now()
	for i := range clients {
		group.Go(func() {
			for n := 0; time.Since(began) < over; n++ {
				start := time.Now()
				err := one(l, registerName(i), strconv.Itoa(n))
				mu.Lock()
				if err != nil {
					failed = err
				} else {
					times = append(times, time.Since(start))
				}
				mu.Unlock()
				if err != nil {
					return
				}
			}
		})
	}
	group.Wait()
	took := time.Since(began)
	after, err := b.spent(l)
	if err = errors.Join(failed, err); err != nil || len(times) == 0 {
		return out, err
	}
	slices.Sort(times)
	return load{count: len(times), took: took, p50: times[len(times)/2], spent: after.minus(before)}, nil
}

// apiWrite is one write through the API: a role of the document, which nothing depends on.
func (b *bench) apiWrite(m *machine, key, value string) error {
	ctx, cancel := context.WithTimeout(b.ctx, clientTimeout)
	defer cancel()
	_, err := m.client.Propose(ctx, &command.Entry{Kind: command.KindConfig, Config: &command.Config{Force: true,
		Changes: []cib.Change{{Kind: cib.KindACLRole, ID: key, Object: &cib.Object{Role: &cib.ACLRole{ID: key, Description: value}}}}}})
	return err
}

// shellWrite is one write by a process of the shell, which is told the socket of the machine: an attribute of a
// resource of each client's own, since two that change one object at a time get a conflict.
func (b *bench) shellWrite(m *machine, key, value string) error {
	resource := "s" + strings.TrimPrefix(key, registerName(0)[:len(registerName(0))-1])
	cmd := exec.CommandContext(b.ctx, filepath.Join(b.dir, "crm"), "--socket", filepath.Join(m.root, "run", "api.sock"), "resource", "utilization", resource, "set", "lab", value)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}
