package lab

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/quorate/quorate/crm/api"
	"github.com/quorate/quorate/crm/api/client"
	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/cib/cibtoml"
	"github.com/quorate/quorate/crm/store/command"
)

// links is the number of links between the machines.
const links = 2

// rebootTime is how long a machine takes from losing power in a reboot to the start of its daemon.
const rebootTime = 1500 * time.Millisecond

// profile is one of the timings that clusters of the lab run with, and the limits that follow from it.
type profile struct {
	name string
	dead time.Duration // after which a silent machine counts as lost
	// start and stop are the limits of invariant I7: see Evidence.
	start, stop time.Duration
	// late is how late the lab's own ticker may come in a run that counts.
	late time.Duration
	// pause is what a node may be stopped for without being fenced.
	pause time.Duration
}

var profiles = map[string]profile{
	"default": {"default", 1500 * time.Millisecond, 7 * time.Second, 15 * time.Second, 200 * time.Millisecond, time.Second},
	"fast":    {"fast", 200 * time.Millisecond, 3 * time.Second, 8 * time.Second, 50 * time.Millisecond, 150 * time.Millisecond},
}

// machine is one machine of a cluster.
type machine struct {
	name   string
	index  int
	root   string
	client *client.Client

	mu   sync.Mutex // guards host and keeps power operations apart
	host *host      // nil = no power
	log  *os.File
}

// cluster is a set of machines with everything around them.
type cluster struct {
	dir     string
	bin     string
	profile profile
	seed    uint64
	sw      *Switch
	power   *PowerSwitch
	nodes   []*machine
	ctx     context.Context
	stop    context.CancelFunc
	group   sync.WaitGroup
	closing atomic.Bool
	errs    chan error // of what happens beside
	top     sync.Mutex // keeps records of the topology in order
	def     *cib.Document
	program func(m *machine) []string // what a machine runs; nil = quorated
}

// clusterConfig says what a cluster is like.
type clusterConfig struct {
	nodes   int
	bin     string // folder with quorated and quorate-lab
	dir     string // empty folder on a real disk
	profile profile
	seed    uint64
	level   string // of the daemons' logs; "" = debug
	def     string // definition in TOML; BASE stands for the folder
}

// newCluster makes the machines, without power.
func newCluster(ctx context.Context, cfg clusterConfig) (*cluster, error) {
	c := &cluster{dir: cfg.dir, bin: cfg.bin, profile: cfg.profile, seed: cfg.seed, sw: NewSwitch(cfg.nodes, links, cfg.seed), errs: make(chan error, 16)}
	c.ctx, c.stop = context.WithCancel(ctx)
	text := []byte(strings.ReplaceAll(cfg.def, "BASE", cfg.dir))
	if err := os.WriteFile(filepath.Join(cfg.dir, "lab.toml"), text, 0o600); err != nil {
		return nil, err
	}
	def, err := cibtoml.Read(text, cibtoml.Options{})
	if err != nil {
		return nil, fmt.Errorf("definition: %w", err)
	}
	c.def = def
	if err := agentFiles(filepath.Join(cfg.dir, "agents"), filepath.Join(cfg.bin, "quorate-lab")); err != nil {
		return nil, err
	}
	for i := range cfg.nodes {
		m := &machine{name: fmt.Sprintf("n%d", i+1), index: i}
		m.root = filepath.Join(cfg.dir, m.name)
		m.client = client.New(filepath.Join(m.root, "run", "api.sock"))
		etc := filepath.Join(m.root, "etc")
		if err := os.MkdirAll(etc, 0o755); err != nil {
			return nil, err
		}
		text := fmt.Sprintf("user = \"root\"\nlog-level = %q\nagent-dirs = [%q]\nfence-dirs = [%q]\ntool-dir = %q\n",
			cmp.Or(cfg.level, "debug"), filepath.Join(cfg.dir, "agents", "ocf"), filepath.Join(cfg.dir, "agents", "fence"), cfg.bin)
		if err := os.WriteFile(filepath.Join(etc, "quorated.toml"), []byte(text), 0o600); err != nil {
			return nil, err
		}
		if m.log, err = os.OpenFile(filepath.Join(cfg.dir, m.name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
			return nil, err
		}
		c.nodes = append(c.nodes, m)
	}
	c.power = &PowerSwitch{
		Slow: 3 * time.Second,
		Off:  func(node string) error { return c.off(c.node(node)) },
		On: func(node string) error {
			c.group.Go(func() {
				select {
				case <-c.ctx.Done():
				case <-time.After(rebootTime):
					c.report(c.on(c.node(node)))
				}
			})
			return nil
		},
		IsOn: func(node string) (bool, error) {
			m := c.node(node)
			if m == nil {
				return false, fmt.Errorf("no machine %q", node)
			}
			return m.on(), nil
		},
		Log: func(node string) error { return c.write(Record{Kind: KindOff, Node: node, By: ByFence}) },
	}
	l, err := net.Listen("unix", filepath.Join(cfg.dir, "power.sock"))
	if err != nil {
		return nil, err
	}
	c.group.Go(func() { c.report(c.power.Serve(c.ctx, l)) })
	c.group.Go(func() { c.sw.Run(c.ctx) })
	return c, nil
}

// report keeps an error of something that went on beside.
func (c *cluster) report(err error) {
	if err == nil || c.closing.Load() {
		return
	}
	select {
	case c.errs <- err:
	default:
	}
}

// Close ends all machines and waits for everything that was started.
func (c *cluster) Close() {
	c.closing.Store(true)
	c.stop()
	for _, m := range c.nodes {
		c.off(m)
	}
	c.group.Wait()
	for _, m := range c.nodes {
		m.log.Close()
	}
}

func (c *cluster) ledger() string { return filepath.Join(c.dir, "ledger") }

func (c *cluster) write(r Record) error { return appendRecord(c.ledger(), r) }

func (c *cluster) node(name string) *machine {
	for _, m := range c.nodes {
		if m.name == name {
			return m
		}
	}
	return nil
}

func (c *cluster) names() []string {
	var out []string
	for _, m := range c.nodes {
		out = append(out, m.name)
	}
	return out
}

func (m *machine) on() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.host != nil
}

// powered is the machine's host, or an error when it has no power.
func (m *machine) powered() (*host, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.host == nil {
		return nil, fmt.Errorf("%s has no power", m.name)
	}
	return m.host, nil
}

func (m *machine) address(link int) string { return fmt.Sprintf("10.%d.0.%d", 77+link, m.index+1) }

// on gives a machine power: its daemon starts. On a machine that is on it does nothing.
func (c *cluster) on(m *machine) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.host != nil || c.closing.Load() {
		return nil
	}
	env := []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "QUORATE_ROOT=" + m.root, "GOTRACEBACK=all"}
	argv := []string{filepath.Join(c.bin, "quorated"), "--root", m.root}
	if c.program != nil {
		argv = c.program(m)
	}
	h, err := startHost(m.name, m.index, m.root, argv, env, m.log)
	if err != nil {
		return err
	}
	var taps, addresses []string
	for l := range links {
		name := fmt.Sprintf("%sl%d", m.name, l)
		if err = c.sw.OpenTap(m.index, l, name); err != nil {
			break
		}
		taps, addresses = append(taps, name), append(addresses, m.address(l))
	}
	if err == nil {
		err = h.network(taps, addresses)
	}
	if err != nil {
		for l := range links {
			c.sw.CloseTap(m.index, l)
		}
		return errors.Join(err, h.powerOff())
	}
	for l := range links {
		c.group.Go(func() { c.sw.Serve(m.index, l) })
	}
	if err := c.write(Record{Kind: KindOn, Node: m.name}); err != nil {
		return err
	}
	m.host = h
	c.group.Go(c.topology)
	return nil
}

// off takes the power from a machine and returns once all its processes are gone. Its network goes first: a
// machine without power says no goodbye.
func (c *cluster) off(m *machine) error {
	if m == nil {
		return errors.New("no such machine")
	}
	m.mu.Lock()
	if m.host == nil {
		m.mu.Unlock()
		return nil
	}
	for l := range links {
		c.sw.CloseTap(m.index, l)
	}
	err := m.host.powerOff()
	m.host = nil
	m.mu.Unlock()
	c.topology()
	return err
}

// powerCut takes the power from a machine without the cluster's doing.
func (c *cluster) powerCut(m *machine) error {
	if err := c.write(Record{Kind: KindFault, Node: m.name, Detail: "power cut"}); err != nil {
		return err
	}
	if err := c.off(m); err != nil {
		return err
	}
	return c.write(Record{Kind: KindOff, Node: m.name, By: ByLab})
}

// topology writes down which machines have contact with a majority now.
func (c *cluster) topology() {
	c.top.Lock()
	defer c.top.Unlock()
	quorate := quorateNodes(c.names(), func(i int) bool { return c.nodes[i].on() }, c.sw.Connected)
	c.report(c.write(Record{Kind: KindTopology, Quorate: quorate}))
}

// cut makes the paths between machines bad or good, and writes it down.
func (c *cluster) cut(detail string, change func(sw *Switch)) error {
	change(c.sw)
	err := c.write(Record{Kind: KindFault, Detail: detail})
	c.topology()
	return err
}

// isolate cuts a machine off from all others in both directions.
func (c *cluster) isolate(m *machine) error {
	return c.cut("isolate "+m.name, func(sw *Switch) {
		for _, o := range c.nodes {
			if o != m {
				sw.Set(m.index, o.index, -1, Path{Cut: true})
				sw.Set(o.index, m.index, -1, Path{Cut: true})
			}
		}
	})
}

func (c *cluster) heal() error { return c.cut("heal", (*Switch).Heal) }

// form makes a new cluster of all machines, with the definition.
func (c *cluster) form(ctx context.Context) error {
	for _, m := range c.nodes {
		if err := c.on(m); err != nil {
			return err
		}
	}
	for _, m := range c.nodes {
		if err := c.waitSocket(ctx, m); err != nil {
			return err
		}
	}
	// As an administrator would: with the shell, on each machine.
	join := func(m *machine, args ...string) error {
		args = append(append([]string{"cluster"}, args...), "--node", m.name)
		for l := range links {
			args = append(args, "--link", fmt.Sprintf("cl%d=%s", l, m.address(l)))
		}
		_, err := c.crm(m, args...)
		return err
	}
	first := c.nodes[0]
	if err := join(first, "init", "--name", "lab"); err != nil {
		return err
	}
	for _, m := range c.nodes[1:] {
		var token string
		if err := c.poll(ctx, 10*time.Second, "a join token", func() (err error) {
			token, err = c.crm(first, "cluster", "token", "create", m.name)
			return err
		}); err != nil {
			return err
		}
		if err := join(m, "join", strings.TrimSpace(token)); err != nil {
			return err
		}
	}
	if _, err := c.crm(first, "apply", "--yes", filepath.Join(c.dir, "lab.toml")); err != nil {
		return err
	}
	return c.poll(ctx, 20*time.Second, "the new cluster to have its voters and nothing to do", func() error {
		l, err := c.leader(ctx)
		if err != nil {
			return err
		}
		local, err := l.client.Local(ctx)
		if err != nil {
			return err
		}
		if len(local.Voters) < len(c.nodes) || !local.Idle {
			return fmt.Errorf("voters are %v, idle is %v", local.Voters, local.Idle)
		}
		return nil
	})
}

// crmTimeout bounds one call of the shell.
const crmTimeout = 15 * time.Second

// crm runs the shell on a machine.
func (c *cluster) crm(m *machine, args ...string) (string, error) {
	h, err := m.powered()
	if err != nil {
		return "", err
	}
	return h.exec(crmTimeout, append([]string{filepath.Join(c.bin, "crm")}, args...)...)
}

func (c *cluster) waitSocket(ctx context.Context, m *machine) error {
	return c.poll(ctx, 10*time.Second, "the daemon of "+m.name, func() error {
		_, err := m.client.Local(ctx)
		return err
	})
}

// pollEvery is how often the lab looks at what it waits for.
const pollEvery = 5 * time.Millisecond

// poll asks again until ok, or until the limit has passed. A single question that takes long does not count
// against the limit only.
func (c *cluster) poll(ctx context.Context, limit time.Duration, what string, ok func() error) error {
	deadline := time.Now().Add(limit)
	for {
		err := ok()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("waited %v for %s: %w", limit, what, err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("while waiting for %s: %w", what, ctx.Err())
		case err := <-c.errs:
			return err
		case <-time.After(pollEvery):
		}
	}
}

// askTimeout bounds one question to a daemon.
const askTimeout = 3 * time.Second

func (m *machine) local(ctx context.Context) (*api.Local, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	return m.client.Local(ctx)
}

// leader is the machine that leads, by its own word and that of a majority.
func (c *cluster) leader(ctx context.Context) (*machine, error) {
	votes := map[string]int{}
	all := len(c.nodes)
	for _, m := range c.nodes {
		if !m.on() {
			if len(c.nodes) == 2 {
				all-- // the other one goes on alone
			}
			continue
		}
		if l, err := m.local(ctx); err == nil && l.Leader != "" {
			votes[l.Leader]++
		}
	}
	for _, name := range keys(votes) {
		if 2*votes[name] > all {
			return c.node(name), nil
		}
	}
	return nil, fmt.Errorf("no leader that a majority follows: %v", votes)
}

// holders says who holds each resource now, by the ledger.
func (c *cluster) holders() (map[string]string, error) {
	records, err := readLedger(c.ledger())
	if err != nil {
		return nil, err
	}
	return heldBy(records), nil
}

// heldBy is who holds each resource at the end of the records.
func heldBy(records []Record) map[string]string {
	held := map[string]string{}
	for _, r := range records {
		switch r.Kind {
		case KindUp:
			held[r.Resource] = r.Node
		case KindDown, KindKill:
			if held[r.Resource] == r.Node {
				delete(held, r.Resource)
			}
		case KindOff:
			for resource, node := range held {
				if node == r.Node {
					delete(held, resource)
				}
			}
		}
	}
	return held
}

// rest waits until the running machines agree on one state with nothing left to do, and returns what each of
// them said; after the limit what they said last, for the invariants to name.
func (c *cluster) rest(ctx context.Context, limit time.Duration) ([]Sighting, error) {
	deadline := time.Now().Add(limit)
	for {
		list, err := c.sight(ctx)
		if err == nil && len(list) == len(c.nodes) && len(checkConverged(&Evidence{Rest: list})) == 0 {
			return list, nil
		}
		if time.Now().After(deadline) {
			if err == nil && len(list) < len(c.nodes) {
				err = fmt.Errorf("%d of %d machines answer", len(list), len(c.nodes))
			}
			return list, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case err := <-c.errs:
			return nil, err
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// sight asks every machine for its state.
func (c *cluster) sight(ctx context.Context) ([]Sighting, error) {
	var out []Sighting
	var failed error
	for _, m := range c.nodes {
		local, err := m.local(ctx)
		if err != nil {
			failed = fmt.Errorf("%s: %w", m.name, err)
			continue
		}
		ask, cancel := context.WithTimeout(ctx, askTimeout)
		s, err := m.client.State(ask, true)
		cancel()
		if err != nil {
			failed = fmt.Errorf("%s: %w", m.name, err)
			continue
		}
		data, err := s.Encode()
		if err != nil {
			return nil, err
		}
		out = append(out, Sighting{At: mono(), Node: m.name, Leads: local.Role == "leader", Term: local.Term, Index: s.Index,
			Hash: fmt.Sprintf("%x", sha256.Sum256(data)), Leader: local.Leader, Quorate: local.Quorate, Idle: local.Idle, Pending: len(s.Pending)})
	}
	return out, failed
}

// audits reads the records of agent runs out of the audit logs of all machines.
func (c *cluster) audits() ([]AgentRun, error) {
	var out []AgentRun
	for _, m := range c.nodes {
		files, err := filepath.Glob(filepath.Join(m.root, "var", "runner", "audit", "audit-*.jsonl"))
		if err != nil {
			return nil, err
		}
		slices.Sort(files)
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				return nil, err
			}
			runs, err := parseAudit(m.name, data)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", file, err)
			}
			out = append(out, runs...)
		}
	}
	return out, nil
}

// parseAudit reads the agent runs in an audit log. A line that was torn by a loss of power is left out: the
// log's own checker is for those.
func parseAudit(node string, data []byte) ([]AgentRun, error) {
	var out []AgentRun
	dec := bytes.Split(data, []byte{'\n'})
	for _, line := range dec {
		if len(line) == 0 {
			continue
		}
		var rec struct {
			Event string `json:"event"`
			Mono  int64  `json:"mono"`
			Data  struct {
				Run       string `json:"run"`
				Resource  string `json:"resource"`
				Operation string `json:"operation"`
				RC        int    `json:"rc"`
				Duration  int64  `json:"duration_us"`
			} `json:"data"`
		}
		if err := json.Unmarshal(line, &rec); err != nil {
			var syntax *json.SyntaxError
			if errors.As(err, &syntax) || errors.Is(err, io.ErrUnexpectedEOF) {
				continue
			}
			return nil, err
		}
		if rec.Event == "agent-run" || rec.Event == "fence-run" {
			out = append(out, AgentRun{At: rec.Mono, Node: node, ID: rec.Data.Run, Resource: rec.Data.Resource, Op: rec.Data.Operation,
				RC: rec.Data.RC, Duration: time.Duration(rec.Data.Duration) * time.Microsecond})
		}
	}
	return out, nil
}

// signal sends a signal to the processes of the daemon of a machine.
func (c *cluster) signal(m *machine, sig syscall.Signal, onlyNode bool, detail string) error {
	h, err := m.powered()
	if err != nil {
		return err
	}
	pids := h.daemon(onlyNode)
	if len(pids) == 0 {
		return fmt.Errorf("no daemon runs on %s", m.name)
	}
	if err := c.write(Record{Kind: KindFault, Node: m.name, Detail: detail}); err != nil {
		return err
	}
	for _, pid := range pids {
		if err := syscall.Kill(pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("%s on %s: %w", detail, m.name, err)
		}
	}
	return nil
}

// killResource kills the process that is a resource, as a crash would.
func (c *cluster) killResource(m *machine, resource string) error {
	h, err := m.powered()
	if err != nil {
		return err
	}
	for _, p := range h.processes() {
		if len(p.args) == 5 && p.args[1] == "oracle-hold" && p.args[4] == resource {
			// First the record: the cluster may be quick.
			if err := c.write(Record{Kind: KindKill, Node: m.name, Resource: resource}); err != nil {
				return err
			}
			return syscall.Kill(p.pid, syscall.SIGKILL)
		}
	}
	return fmt.Errorf("%s has no process of %s", m.name, resource)
}

// state asks a running machine for the replicated state.
func (c *cluster) state(ctx context.Context) (*command.State, error) {
	var last error = errors.New("no machine is on")
	for _, m := range c.nodes {
		if !m.on() {
			continue
		}
		ask, cancel := context.WithTimeout(ctx, askTimeout)
		s, err := m.client.State(ask, false)
		cancel()
		if err == nil {
			return s, nil
		}
		last = err
	}
	return nil, last
}

// Isolated runs the present program again in namespaces of its own (network, processes, mounts), so that
// nothing of the lab is left when it ends, however that happens. inside is true in the second run.
func Isolated() (inside bool, code int, err error) {
	const mark = "QUORATE_LAB_INSIDE"
	if os.Getenv(mark) != "" {
		if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
			return true, 1, fmt.Errorf("make mounts private: %w", err)
		}
		if err := syscall.Mount("proc", "/proc", "proc", syscall.MS_NOSUID|syscall.MS_NODEV|syscall.MS_NOEXEC, ""); err != nil {
			return true, 1, fmt.Errorf("mount /proc: %w", err)
		}
		return true, 0, nil
	}
	self, err := os.Executable()
	if err != nil {
		return false, 1, err
	}
	cmd := exec.Command(self, os.Args[1:]...)
	cmd.Env = append(os.Environ(), mark+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWPID | syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return false, exit.ExitCode(), nil
	}
	return false, 0, err
}

// Needs says what is missing for the lab on this machine; "" = nothing.
func Needs() string {
	if os.Geteuid() != 0 {
		return "the lab needs root: it makes namespaces and tap devices"
	}
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		return "the lab needs /dev/net/tun: " + err.Error()
	}
	for _, tool := range []string{"ip", "nsenter"} {
		if _, err := exec.LookPath(tool); err != nil {
			return "the lab needs " + tool + " (packages iproute2 and util-linux)"
		}
	}
	return ""
}
