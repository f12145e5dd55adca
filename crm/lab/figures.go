package lab

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/quorate/quorate/membership"
)

// part is a set of figures that are taken of one cluster.
type part struct {
	name      string
	resources int
	interval  string
	grouped   bool
	take      func(r *report, b *bench)
}

var parts = []part{
	{"failover", 1, "1s", false, failovers},
	{"group", 20, "10s", true, func(r *report, b *bench) {
		r.take(b, r.add("group of 20 active elsewhere after power off", "s", 2.6, 1), r.few, func(int) (float64, error) { return b.down(false, false) })
	}},
	{"hundred", 100, "10s", false, hundred},
	{"idle", 100, "10s", false, idle},
	{"writes", 100, "10s", false, writes},
	{"soak", 10, "10s", false, soak},
}

// Parts are the names of what Measure can be told to take alone. The last, soak, is taken only when it is named.
func Parts() []string {
	var names []string
	for _, p := range parts {
		names = append(names, p.name)
	}
	return names
}

func choose(names []string) ([]part, error) {
	if len(names) == 0 {
		return slices.DeleteFunc(slices.Clone(parts), func(p part) bool { return p.name == "soak" }), nil
	}
	var out []part
	for _, name := range names {
		at := slices.IndexFunc(parts, func(p part) bool { return p.name == name })
		if at < 0 {
			return nil, fmt.Errorf("no part %q: there are %s", name, strings.Join(Parts(), ", "))
		}
		out = append(out, parts[at])
	}
	return out, nil
}

func failovers(r *report, b *bench) {
	r.take(b, r.add("three daemons launched to first resource active", "s", 2, 0.7), r.cfg.Times, func(int) (float64, error) { return b.cold(false) })
	r.take(b, r.add("power off of a node that does not lead, to its resource active elsewhere", "s", 1.9, 0.35), r.cfg.Times,
		func(int) (float64, error) { return b.down(false, false) })
	r.take(b, r.add("the same for the leader", "s", 2.2, 0.5), r.cfg.Times, func(int) (float64, error) { return b.down(true, false) })
	r.take(b, r.add("node cut off, to its resource active elsewhere", "s", 1.9, 0.35), r.cfg.Times, func(int) (float64, error) { return b.down(false, true) })
	died := r.add("resource died at moments spread over its 1 s monitor interval, to active again", "s", 0.6, 0)
	died.most = 1.1
	seen := r.add("failed monitor, to active again", "s", 0.05, 0)
	r.take(b, died, r.cfg.Times, func(i int) (float64, error) {
		time.Sleep(time.Duration(i) * time.Second / time.Duration(r.cfg.Times))
		m := b.holder()
		began := time.Now()
		if err := os.Remove(filepath.Join(b.dir, "stamps", m.name, "s0")); err != nil {
			return 0, err
		}
		last, err := b.elsewhere([]string{"s0"}, nil, 10*time.Second)
		if err != nil {
			return 0, err
		}
		missed, err := os.Stat(filepath.Join(b.dir, "missed", m.name))
		if err != nil {
			return 0, err
		}
		seen.values = append(seen.values, last.Sub(missed.ModTime()).Seconds())
		return last.Sub(began).Seconds(), nil
	})
	fmt.Fprintln(r.cfg.Out, seen.row(r.cfg.Profile))
	if !r.cfg.Peer {
		killNodes(r, b)
	}
	r.take(b, r.add("move by a constraint, to active elsewhere", "s", 0.1, 0), r.cfg.Times, func(int) (float64, error) {
		took, err := b.place(b.other(b.holder()))
		return took.Seconds(), err
	})
	r.take(b, r.add("standby of the active node by crm, to active elsewhere", "s", 0.1, 0), r.cfg.Times, func(int) (float64, error) {
		m := b.holder()
		began := time.Now()
		if err := b.sys.standby(m, true); err != nil {
			return 0, err
		}
		last, err := b.elsewhere([]string{"s0"}, m, 10*time.Second)
		if err != nil {
			return 0, err
		}
		return last.Sub(began).Seconds(), b.sys.standby(m, false)
	})
}

// killPause lies between two kills: a process that dies soon after its start is started again only after a pause.
const killPause = 2500 * time.Millisecond

func killNodes(r *report, b *bench) {
	reset := r.add("node process killed, to a peer that knows it", "s", 0.1, 0.1)
	back := r.add("the same, to its heartbeats heard again", "s", 0.5, 0.5)
	adopted := r.add("the same, to its services adopted untouched", "s", 2, 2)
	r.take(b, adopted, r.cfg.Times, func(int) (float64, error) {
		time.Sleep(killPause)
		known, heard, at, err := b.killNode()
		reset.values, back.values = append(reset.values, known.Seconds()), append(back.values, heard.Seconds())
		return at.Seconds(), err
	})
	fmt.Fprintf(r.cfg.Out, "%s\n%s\n", reset.row(r.cfg.Profile), back.row(r.cfg.Profile))
}

func hundred(r *report, b *bench) {
	r.take(b, r.add("100 resources: one node's third active elsewhere after power off", "s", 3, 1.5), r.few, func(int) (float64, error) { return b.down(false, false) })
	r.take(b, r.add("100 resources: cold start of all", "s", 5, 0), r.few, func(int) (float64, error) { return b.cold(true) })
}

func idle(r *report, b *bench) {
	r.take(b, r.add("resident memory of our processes on a node, 100 resources", "MB", 60, 60), len(b.nodes), func(i int) (float64, error) { return b.memory(b.nodes[i%len(b.nodes)]) })
	f := r.add("CPU of our processes on an idle node, 100 resources", "% of a core", 1, 2)
	with := r.add("the same with the agents' own", "% of a core", 1.9, 0)
	r.take(b, f, len(b.nodes), func(i int) (float64, error) {
		ours, all, err := b.cpu(b.nodes[i%len(b.nodes)], 20*time.Second)
		with.values = append(with.values, all)
		return ours, err
	})
	fmt.Fprintln(r.cfg.Out, with.row(r.cfg.Profile))
}

func writes(r *report, b *bench) {
	rate := func(l load) float64 { return float64(l.count) / l.took.Seconds() }
	p50 := func(l load) float64 { return l.p50.Seconds() * 1000 }
	take := func(name, unit string, limit float64, clients int, one func(m *machine, key, value string) error, value func(load) float64, also func(load)) {
		f := r.add(name, unit, limit, 0)
		f.floor = clients > 1
		r.take(b, f, r.few, func(int) (float64, error) {
			l, err := b.writes(clients, 2*time.Second, one)
			if err != nil {
				return 0, err
			}
			also(l)
			return value(l), nil
		})
	}
	// costs adds what a write costs, by kind of process, and prints it when the figure is complete.
	costs := func(name, unit string, limit float64, one func(m *machine, key, value string) error, kinds ...string) {
		var list []*figure
		take(name, unit, limit, 16, one, rate, func(l load) {
			if list == nil {
				for _, of := range kinds {
					list = append(list, r.add("processor time of one of these writes: "+of, "ms", 0, 0))
				}
			}
			for i, d := range []time.Duration{l.spent.all(), l.spent.leader, l.spent.followers, l.spent.runners, l.spent.lab, l.spent.commands}[:len(list)] {
				list[i].values = append(list[i].values, d.Seconds()*1000/float64(l.count))
			}
		})
		for _, f := range list {
			fmt.Fprintln(r.cfg.Out, f.row(r.cfg.Profile))
		}
	}
	kinds := []string{"all processes", "leading node process", "other node processes together", "runners together", "clients, and the switch between the machines", "processes of the shell"}
	none := func(load) {}
	costs("acknowledged configuration writes, 16 clients", "1/s", 2000, b.apiWrite, kinds[:5]...)
	take("configuration write of one client, p50", "ms", 5, 1, b.apiWrite, p50, none)
	costs("the same by a shell command each, 16 at a time", "1/s", 200, b.shellWrite, kinds...)
	take("the same by one shell command after the other, p50", "ms", 10, 1, b.shellWrite, p50, none)
}

// killNode kills the node process of the machine that holds the resource, and waits until a peer knows it, hears the
// new process, and the cluster has nothing to do. What ran must not have been touched.
func (b *bench) killNode() (known, heard, adopted time.Duration, err error) {
	m := b.holder()
	peer := b.other(m)
	stamp := filepath.Join(b.dir, "stamps", m.name, "s0")
	before, err := os.Stat(stamp)
	if err != nil {
		return 0, 0, 0, err
	}
	local, err := peer.local(b.ctx)
	if err != nil {
		return 0, 0, 0, err
	}
	began := time.Now()
	if err := b.signal(m, syscall.SIGKILL, true, "kill the node process"); err != nil {
		return 0, 0, 0, err
	}
	is := func(want bool) func() error {
		return func() error {
			if local, err = peer.local(b.ctx); err != nil {
				return err
			}
			for _, p := range local.Peers {
				if p.Node == m.name && (p.State == membership.Reachable.String()) != want {
					return fmt.Errorf("%s calls %s %s", peer.name, m.name, p.State)
				}
			}
			return nil
		}
	}
	if err := b.poll(b.ctx, 5*time.Second, "a peer that knows of the killed process", is(false)); err != nil {
		return 0, 0, 0, err
	}
	known = time.Since(began)
	if err := b.poll(b.ctx, 5*time.Second, "heartbeats of the new process", is(true)); err != nil {
		return 0, 0, 0, err
	}
	heard = time.Since(began)
	if _, err := b.rest(b.ctx, 20*time.Second); err != nil {
		return 0, 0, 0, err
	}
	adopted = time.Since(began)
	after, err := os.Stat(stamp)
	if err == nil && !after.ModTime().Equal(before.ModTime()) {
		err = errors.New("the resource was started anew")
	}
	return known, heard, adopted, err
}

// soak counts the fencings and moves while one link loses a tenth of its packets and each machine is paused in turn.
// There must be none.
func soak(r *report, b *bench) {
	over := cmp.Or(r.cfg.Soak, 10*time.Minute)
	f := r.add(fmt.Sprintf("needless fencings and moves in %v under 10 %% loss on one link and pauses of %v of each node in turn", over, b.profile.pause), "", 0, 0)
	f.limit[r.cfg.Profile] = 0
	r.take(b, f, 1, func(int) (float64, error) {
		before, began := b.stamps(), mono()
		err := b.cut("10 % loss on the first link", func(sw *Switch) {
			for from := range b.nodes {
				for to := range b.nodes {
					sw.Set(from, to, 0, Path{Loss: 0.1})
				}
			}
		})
		for i, end := 0, time.Now().Add(over); err == nil && time.Now().Before(end); i++ {
			m := b.nodes[i%len(b.nodes)]
			if err = b.signal(m, syscall.SIGSTOP, false, "pause"); err == nil {
				time.Sleep(b.profile.pause)
				err = b.signal(m, syscall.SIGCONT, false, "continue")
			}
			time.Sleep(2*b.profile.dead + 500*time.Millisecond)
		}
		if err = errors.Join(err, b.heal()); err != nil {
			return 0, err
		}
		records, err := readLedger(b.ledger())
		if err != nil {
			return 0, err
		}
		n := 0
		for i := range records {
			if records[i].At >= began && records[i].Kind == KindOff {
				n++
			}
		}
		for name, at := range b.stamps() {
			for node, t := range at {
				if !before[name][node].Equal(t) {
					n++
				}
			}
		}
		return float64(n), nil
	})
}
