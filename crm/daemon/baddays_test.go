package daemon

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/quorate/quorate/crm/api"
	"github.com/quorate/quorate/crm/api/client"
	"github.com/quorate/quorate/crm/store/command"
	"github.com/quorate/quorate/membership"
	"github.com/quorate/quorate/transport"
	"github.com/quorate/quorate/transport/keyring"
)

// This file has a row for each line of "bad input and bad days": with real daemons (this test program, started
// again as runner and node process), what is wrong must give one clear line that says what to do, and a non-zero exit or
// a refused request; and once it is put right, the node starts with all that it had. Elsewhere: a peer of another
// cluster or with another version of the protocol (transport/stream, TestEndpoint_Refusals and TestParseHello_Refusals),
// damage at each byte of a raft log (crm/store/raftlog), a torn or changed audit log (crm/audit), and unknown keys and wrong types
// in a configuration (crm/cib/cibtoml).

func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "--root" {
		if err := RunRunner(context.Background(), Options{Root: os.Args[2]}); err != nil {
			fmt.Fprintln(os.Stderr, "quorated:", err)
			os.Exit(ExitCode(err))
		}
		os.Exit(0)
	}
	if len(os.Args) == 4 && os.Args[1] == "node" && os.Args[2] == "--root" {
		err := RunNode(context.Background(), Options{Root: os.Args[3]})
		if err != nil {
			fmt.Fprintln(os.Stderr, "quorated:", err)
		}
		os.Exit(ExitCode(err))
	}
	os.Exit(m.Run())
}

// patience bounds how long a daemon may take to start, to end or to answer, on a machine that does much else.
const patience = 60 * time.Second

// machine is one node of a test: its folders and its address.
type machine struct {
	t       *testing.T
	paths   Paths
	address netip.Addr
	config  string
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	// Not below TempDir of the test: the path of a socket is short.
	root, err := os.MkdirTemp("", "q")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	m := &machine{t: t, paths: PathsOf(root)}
	// An address of its own, since the ports are fixed.
	b := [4]byte{127}
	if _, err := rand.Read(b[1:]); err != nil {
		t.Fatal(err)
	}
	b[1], b[3] = 64+b[1]%128, 1+b[3]%254
	m.address = netip.AddrFrom4(b)
	if os.Geteuid() == 0 {
		m.config = "user = \"root\"\n"
	}
	m.configure("")
	return m
}

// configure writes quorated.toml with text after what every machine needs.
func (m *machine) configure(text string) {
	m.t.Helper()
	if err := errors.Join(os.MkdirAll(m.paths.Etc, 0o755), os.WriteFile(m.paths.ConfigFile(), []byte(m.config+text), 0o644)); err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) links() []api.Link { return []api.Link{{Name: "lan", Address: m.address.String()}} }

// found makes a cluster on the machine, which is not running.
func (m *machine) found() {
	m.t.Helper()
	if err := makeFolders(m.paths, nil); err != nil {
		m.t.Fatal(err)
	}
	if err := initCluster(m.paths, api.InitRequest{Cluster: "test", Node: "alpha", Links: m.links()}, time.Now()); err != nil {
		m.t.Fatal(err)
	}
}

// output collects what a process writes.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// daemon is a running runner.
type daemonProcess struct {
	cmd  *exec.Cmd
	out  *output
	done chan error
}

func (m *machine) start() *daemonProcess {
	m.t.Helper()
	self, err := os.Executable()
	if err != nil {
		m.t.Fatal(err)
	}
	d := &daemonProcess{cmd: exec.Command(self, "--root", m.paths.Root), out: &output{}, done: make(chan error, 1)}
	d.cmd.Stdout, d.cmd.Stderr = d.out, d.out
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := d.cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	go func() { d.done <- d.cmd.Wait() }()
	m.t.Cleanup(func() { _ = d.cmd.Process.Kill() })
	return d
}

// fails starts the daemon and returns what it said when it has ended by itself with an error.
func (m *machine) fails() string {
	m.t.Helper()
	d := m.start()
	select {
	case err := <-d.done:
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != exitConfig {
			m.t.Fatalf("the daemon ended with %v, want exit code %d, with which the service manager does not start it again:\n%s", err, exitConfig, d.out)
		}
	case <-time.After(patience):
		m.t.Fatalf("the daemon did not end:\n%s", d.out)
	}
	return d.out.String()
}

// client talks to the machine's daemon.
func (m *machine) client() *client.Client { return client.New(m.paths.Socket()) }

// runs starts the daemon and waits until it answers; with a cluster, until that has a leader.
func (m *machine) runs() *daemonProcess {
	m.t.Helper()
	d := m.start()
	in, err := m.paths.configured()
	if err != nil {
		m.t.Fatal(err)
	}
	m.wait(d, func(l *api.Local) bool { return !in || l.Leader != "" && l.Quorate })
	return d
}

func (m *machine) wait(d *daemonProcess, ready func(*api.Local) bool) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), patience)
	defer cancel()
	for {
		if l, err := m.client().Local(ctx); err == nil && ready(l) {
			return
		}
		pause := time.NewTimer(10 * time.Millisecond)
		select {
		case err := <-d.done:
			m.t.Fatalf("the daemon ended: %v\n%s", err, d.out)
		case <-ctx.Done():
			m.t.Fatalf("the daemon is not ready:\n%s", d.out)
		case <-pause.C:
		}
	}
}

// stop kills the daemon, as a power failure does.
func (m *machine) stop(d *daemonProcess) {
	m.t.Helper()
	_ = d.cmd.Process.Kill()
	<-d.done
	// The node process ends when it notices that its runner is gone.
	deadline := time.Now().Add(patience)
	for tryListen(netip.AddrPortFrom(m.address, transport.StreamPort), netip.AddrPortFrom(m.address, transport.DatagramPort)) != nil {
		if time.Now().After(deadline) {
			m.t.Fatalf("the node process goes on:\n%s", d.out)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// oneLine returns the line that says what is wrong: the first of the daemon's own, after the log.
func oneLine(out string) string {
	for line := range strings.Lines(out) {
		if text, found := strings.CutPrefix(line, "quorated: "); found {
			return strings.TrimSpace(text)
		}
	}
	return ""
}

func TestBadDays_Start(t *testing.T) {
	t.Parallel()
	key := func(name string) func(*machine) string {
		return func(m *machine) string { return filepath.Join(m.paths.keyDir(), name) }
	}
	runnerFile := func(name string) func(*machine) string {
		return func(m *machine) string { return filepath.Join(m.paths.runnerDir(), name) }
	}
	// mode gives a file another mode, and undoes it.
	mode := func(path func(*machine) string, bad, good os.FileMode) func(*machine) func() {
		return func(m *machine) func() {
			must(m.t, os.Chmod(path(m), bad))
			return func() { must(m.t, os.Chmod(path(m), good)) }
		}
	}
	// content gives a file another content; nil removes it.
	content := func(path func(*machine) string, change func([]byte) []byte) func(*machine) func() {
		return func(m *machine) func() {
			name := path(m)
			old, err := os.ReadFile(name)
			must(m.t, err)
			if text := change(old); text == nil {
				must(m.t, os.Remove(name))
			} else {
				must(m.t, os.WriteFile(name, text, 0o600))
			}
			return func() { must(m.t, os.WriteFile(name, old, 0o600)) }
		}
	}
	config := func(text string) func(*machine) func() {
		return func(m *machine) func() {
			m.configure(text)
			return func() { m.configure("") }
		}
	}
	for _, c := range []struct {
		name  string
		spoil func(*machine) (undo func())
		want  []string // parts of the one line
	}{
		{"unknown key", config("agent-dir = [\"/x\"]\n"), []string{"quorated.toml:", `unknown setting "agent-dir"`, `did you mean "agent-dirs"?`}},
		{"wrong type", config("agent-dirs = 3\n"), []string{"quorated.toml", "agent-dirs"}},
		{"bad syntax", config("agent-dirs = [\n"), []string{"quorated.toml:"}},
		{"configuration that others can write", mode(func(m *machine) string { return m.paths.ConfigFile() }, 0o666, 0o644), []string{"0666", "chmod go-w"}},
		{"state folder that others can write", mode(func(m *machine) string { return m.paths.Var }, 0o777, 0o755), []string{"0777", "chmod go-w"}},
		{"key readable by others", mode(key(keyring.FileKey), 0o640, 0o600), []string{keyring.FileKey, "0640", "chmod 0600"}},
		{"CA key readable by others", mode(key(keyring.FileCAKey), 0o644, 0o600), []string{keyring.FileCAKey, "0644", "chmod 0600"}},
		{"key folder open to others", mode(func(m *machine) string { return m.paths.keyDir() }, 0o755, 0o700), []string{"0755", "chmod 0700"}},
		{"audit key readable by others", mode(runnerFile("audit.key"), 0o644, 0o600), []string{"audit.key", "chmod 600"}},
		{"key of secrets readable by others", mode(runnerFile("secrets.key"), 0o644, 0o600), []string{"secrets.key", "chmod 600"}},
		{"key missing", content(key(keyring.FileKey), func([]byte) []byte { return nil }), []string{keyring.FileKey, "no such file"}},
		{"key empty", content(key(keyring.FileKey), func([]byte) []byte { return []byte{} }), []string{keyring.FileKey, "is empty"}},
		{"key cut off", content(key(keyring.FileKey), func(b []byte) []byte { return b[:len(b)/2] }), []string{keyring.FileKey, "cut off"}},
		{"audit key of the wrong size", content(runnerFile("audit.key"), func(b []byte) []byte { return b[:5] }), []string{"audit.key", "5 bytes", "backup"}},
		{"key of secrets damaged", content(runnerFile("secrets.key"), func(b []byte) []byte { return b[:5] }), []string{"secrets.key", "backup"}},
		{"half of the raft log", content(func(m *machine) string { return filepath.Join(m.paths.logDir(), "log.db") }, func(b []byte) []byte { return b[:3*4096] }),
			[]string{"raft log is damaged", "join again"}},
		{"keys of another node", func(m *machine) func() {
			other := newMachine(m.t)
			other.found()
			must(m.t, os.Rename(m.paths.keyDir(), m.paths.keyDir()+".old"))
			must(m.t, os.Rename(other.paths.keyDir(), m.paths.keyDir()))
			return func() {
				must(m.t, os.RemoveAll(m.paths.keyDir()))
				must(m.t, os.Rename(m.paths.keyDir()+".old", m.paths.keyDir()))
			}
		}, []string{"from somewhere else"}},
		{"TCP port in use", func(m *machine) func() {
			l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.AddrPortFrom(m.address, transport.StreamPort)))
			must(m.t, err)
			return func() { must(m.t, l.Close()) }
		}, []string{":5404", "address already in use", "ss -lntup"}},
		{"UDP port in use", func(m *machine) func() {
			l, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(m.address, transport.DatagramPort)))
			must(m.t, err)
			return func() { must(m.t, l.Close()) }
		}, []string{":5405", "address already in use", "ss -lntup"}},
		{"a daemon that runs already", func(m *machine) func() {
			d := m.runs()
			return func() { m.stop(d) }
		}, []string{"runs already", "crm cluster stop"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t)
			m.found()
			// The first start makes the files of the runner.
			m.stop(m.runs())
			undo := c.spoil(m)
			out := m.fails()
			line := oneLine(out)
			for _, want := range c.want {
				if !strings.Contains(line, want) {
					t.Errorf("it said %q, want %q in it; all of it:\n%s", line, want, out)
				}
			}
			if strings.Contains(out, "panic") || strings.Contains(out, "goroutine ") {
				t.Errorf("a panic:\n%s", out)
			}
			undo()
			m.stop(m.runs()) // nothing was lost
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A record of the audit log that a crash cut off is marked, and the start goes on.
func TestBadDays_TornAudit(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.found()
	m.stop(m.runs())
	files, err := filepath.Glob(filepath.Join(m.paths.runnerDir(), "audit", "*.jsonl"))
	must(t, err)
	if len(files) != 1 {
		t.Fatalf("audit files: %v", files)
	}
	info, err := os.Stat(files[0])
	must(t, err)
	must(t, os.Truncate(files[0], info.Size()-20))
	m.stop(m.runs())
	text, err := os.ReadFile(files[0])
	must(t, err)
	if !bytes.Contains(text, []byte(`"event":"recovered"`)) {
		t.Errorf("the torn record was not marked:\n%s", text)
	}
}

func TestBadDays_Join(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	defer cancel()
	a := newMachine(t)
	a.found()
	a.runs()
	token := func(node string, life int64) string {
		t.Helper()
		reply, err := a.client().Token(ctx, api.TokenRequest{Node: node, Lifetime: life})
		must(t, err)
		return reply.Token
	}
	b := newMachine(t)
	db := b.runs()
	refused := func(name string, m *machine, r api.JoinRequest, want ...string) {
		t.Helper()
		err := m.client().Join(ctx, r)
		var e *client.Error
		if !errors.As(err, &e) {
			t.Fatalf("%s: Join() = %v, want it refused", name, err)
		}
		for _, w := range want {
			if !strings.Contains(e.Reply.Message+" "+e.Reply.Hint, w) {
				t.Errorf("%s: refused with %q (%s), want %q in it", name, e.Reply.Message, e.Reply.Hint, w)
			}
		}
		if in, err := m.paths.configured(); err != nil || in {
			t.Fatalf("%s: the node is in a cluster now: %v", name, err)
		}
	}
	join := func(token, node string) api.JoinRequest {
		return api.JoinRequest{Token: token, Node: node, Links: b.links()}
	}

	good := token("beta", 0)
	refused("no token", b, join("hello", "beta"), "malformed", "token create")
	typo := []byte(good)
	if typo[20]++; typo[20] > 'Z' || typo[20] < 'A' {
		typo[20] = 'A'
	}
	refused("typing error", b, join(string(typo), "beta"), "typing error", "paste all of it")
	refused("other name", b, join(good, "gamma"), `for "beta", not for "gamma"`)
	refused("name that is none", b, join(good, "-x"), "cannot be a node name")
	refused("address that is none", b, api.JoinRequest{Token: good, Node: "beta", Links: []api.Link{{Name: "lan", Address: "here"}}}, "not an IP address")
	refused("address of another machine", b, api.JoinRequest{Token: good, Node: "beta", Links: []api.Link{{Name: "lan", Address: "192.0.2.1"}}}, "no interface of this machine", "ip address")
	refused("port in use", b, api.JoinRequest{Token: good, Node: "beta", Links: a.links()}, "address already in use", "ss -lntup")
	refused("link that the cluster does not have", b, api.JoinRequest{Token: good, Node: "beta", Links: []api.Link{{Name: "wan", Address: b.address.String()}}},
		"names the link wan", "links are lan", "--link lan=ADDRESS")
	refused("misspelt second link", b, api.JoinRequest{Token: good, Node: "beta", Links: append([]api.Link{{Name: "lna", Address: b.address.String()}}, b.links()...)},
		"names the link lna", "--link lan=ADDRESS")
	refused("name taken", b, join(token("", 0), "alpha"), "node name alpha is taken")
	refused("token of another cluster", b, join(foreignToken(t, a.address), "beta"), "does not have the CA", "another cluster")
	refused("nobody there", b, join(foreignToken(t, newMachine(t).address), "beta"), "could be reached", "firewall")

	must(t, b.client().Join(ctx, join(good, "beta")))
	b.wait(db, func(l *api.Local) bool { return l.Leader != "" && len(l.Peers) == 1 && l.Peers[0].State == "reachable" })
	c := newMachine(t)
	c.runs()
	refused("used", c, api.JoinRequest{Token: good, Node: "beta", Links: c.links()}, "used before", "token create")

	// When only expired tokens are left, joiners are not answered at all.
	quiet := newMachine(t)
	quiet.found()
	quiet.runs()
	reply, err := quiet.client().Token(ctx, api.TokenRequest{Lifetime: 1})
	must(t, err)
	for wait := time.NewTimer(time.Until(reply.Expires.Add(1100 * time.Millisecond))); ; {
		<-wait.C
		break
	}
	refused("expired", c, api.JoinRequest{Token: reply.Token, Node: "gamma", Links: c.links()}, "no join token is open", "has expired")

	// Wrong proofs are counted, and then nothing is answered for a while, not even what is right.
	right := token("delta", 0)
	for range keyring.MaxWrongTries { // some of them were used up above
		refused("wrong", c, api.JoinRequest{Token: right, Node: "wrong", Links: c.links()}, "join token")
	}
	refused("too many", c, api.JoinRequest{Token: right, Node: "delta", Links: c.links()}, "too many wrong join tokens")

	// A node that is removed hears of it and ends; it does not come back.
	_, err = a.client().Propose(ctx, &command.Entry{Kind: command.KindMemberRemove, MemberRemove: &command.MemberRemove{Name: "beta"}})
	must(t, err)
	select {
	case err := <-db.done:
		if line := oneLine(db.out.String()); err == nil || !strings.Contains(line, "was removed from the cluster") || !strings.Contains(line, "new join token") {
			t.Errorf("the removed node ended with %v: %q", err, line)
		}
	case <-time.After(patience):
		t.Errorf("the removed node goes on:\n%s", db.out)
	}
}

// foreignToken makes a token of a cluster that does not exist, with the address of a machine.
func foreignToken(t *testing.T, address netip.Addr) string {
	t.Helper()
	id, err := transport.NewClusterID(rand.Reader)
	must(t, err)
	ca, err := keyring.NewCA(id, time.Now(), rand.Reader)
	must(t, err)
	tok, _, err := keyring.NewToken(keyring.TokenRequest{Cluster: id, Pin: ca.Pin(), Node: membership.NodeName("beta"),
		Addresses: []netip.AddrPort{netip.AddrPortFrom(address, transport.StreamPort)}, Now: time.Now()}, rand.Reader)
	must(t, err)
	text, err := tok.Text()
	must(t, err)
	return text
}

func TestBadDays_Requests(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	m := newMachine(t)
	dir := filepath.Join(m.paths.Root, "agents")
	must(t, os.MkdirAll(filepath.Join(dir, "test"), 0o755))
	for name, mode := range map[string]os.FileMode{"open": 0o777, "plain": 0o644} {
		path := filepath.Join(dir, "test", name)
		must(t, errors.Join(os.WriteFile(path, []byte("#!/bin/sh\n"), 0o600), os.Chmod(path, mode)))
	}
	m.configure(fmt.Sprintf("agent-dirs = [%q]\n", dir))
	m.runs()
	for agent, want := range map[string]string{"ocf:test:open": "chmod o-w", "ocf:test:plain": "chmod +x", "ocf:test:none": "not installed", "ocf:test:../x": "not allowed", "x:y": "unknown"} {
		if _, err := m.client().Metadata(ctx, agent); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("agent %s: %v, want an error with %q", agent, err, want)
		}
	}
	for _, c := range []struct {
		name string
		r    api.InitRequest
		want string
	}{
		{"no address", api.InitRequest{Node: "alpha"}, "no address was given"},
		{"link twice", api.InitRequest{Node: "alpha", Links: append(m.links(), m.links()...)}, "named twice"},
		{"bad name", api.InitRequest{Node: "a b", Links: m.links()}, "cannot be a node name"},
		{"id given twice", api.InitRequest{Node: "alpha", Links: m.links(), Config: []byte(`<cib validate-with="pacemaker-3.9"><configuration><crm_config/><nodes/><resources>
<primitive id="a" class="ocf" provider="test" type="x"/><primitive id="a" class="ocf" provider="test" type="x"/></resources><constraints/></configuration><status/></cib>`)}, "the id is taken"},
		{"no XML", api.InitRequest{Node: "alpha", Links: m.links(), Config: []byte("<cib")}, "initial configuration"},
	} {
		if err := m.client().Init(ctx, c.r); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: Init() = %v, want an error with %q", c.name, err, c.want)
		}
		if in, err := m.paths.configured(); err != nil || in {
			t.Fatalf("%s: the node is in a cluster now: %v", c.name, err)
		}
	}
	// After all of it, what is right works.
	must(t, m.client().Init(ctx, api.InitRequest{Cluster: "test", Node: "alpha", Links: m.links()}))
	if err := m.client().Init(ctx, api.InitRequest{Cluster: "test", Node: "alpha", Links: m.links()}); err == nil || !strings.Contains(err.Error(), "already in a cluster") {
		t.Errorf("Init() again = %v", err)
	}
}

// The service manager is told when the daemon is ready, and nobody else sees its socket.
func TestNotify(t *testing.T) {
	name := filepath.Join(t.TempDir(), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	must(t, err)
	defer l.Close()
	must(t, notify("READY=1"))
	t.Setenv("NOTIFY_SOCKET", name)
	must(t, notify("READY=1"))
	buf := make([]byte, 100)
	n, err := l.Read(buf)
	if err != nil || string(buf[:n]) != "READY=1" {
		t.Errorf("the service manager got %q, %v", buf[:n], err)
	}
	for _, v := range nodeEnvironment(Options{}) {
		if strings.HasPrefix(v, "NOTIFY_SOCKET") {
			t.Errorf("the node process gets %s", v)
		}
	}
	must(t, l.Close())
	if err := notify("READY=1"); err == nil {
		t.Error("notify() to a socket that is closed: no error")
	}
}

// TestMakeFolders_AgentState checks that nodes with folders of their own have a place of their own for agents' state files.
func TestMakeFolders_AgentState(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	must(t, makeFolders(m.paths, nil))
	if st, err := os.Stat(filepath.Join(m.paths.Root, "run", "agents")); err != nil || !st.IsDir() || m.paths.agentState() == "" {
		t.Errorf("the folder of the agents' state: %v", err)
	}
	if dir := PathsOf("").agentState(); dir != "" {
		t.Errorf("without a root agents keep their state in %s, want their own default", dir)
	}
}

func TestMakeFolders_Owner(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can give a folder to another user")
	}
	m := newMachine(t)
	must(t, makeFolders(m.paths, nil))
	must(t, os.Chown(m.paths.Var, 1234, 1234))
	if err := makeFolders(m.paths, nil); err == nil || !strings.Contains(err.Error(), "belongs to uid 1234") {
		t.Errorf("makeFolders() = %v, want the state folder of another user refused", err)
	}
}

func TestCheckDisk(t *testing.T) {
	t.Parallel()
	free := func(n uint64, err error) func(string) (uint64, error) {
		return func(string) (uint64, error) { return n, err }
	}
	if err := checkDisk("/x", free(minFree, nil)); err != nil {
		t.Errorf("checkDisk() = %v with enough space", err)
	}
	err := checkDisk("/x", free(minFree-1, nil))
	if err == nil || !strings.Contains(err.Error(), "disk of /x is full") || !strings.Contains(err.Error(), "make room") {
		t.Errorf("checkDisk() = %v, want a line that says what to do", err)
	}
	if err := checkDisk("/x", free(0, os.ErrPermission)); !errors.Is(err, os.ErrPermission) {
		t.Errorf("checkDisk() = %v", err)
	}
	if n, err := freeSpace(t.TempDir()); err != nil || n == 0 {
		t.Errorf("freeSpace() = %d, %v", n, err)
	}
}

func TestCheckClocks(t *testing.T) {
	t.Parallel()
	if err := checkClock(begin); err != nil {
		t.Errorf("checkClock() = %v", err)
	}
	if err := checkClock(time.Unix(0, 0)); err == nil || !strings.Contains(err.Error(), "1970") {
		t.Errorf("checkClock(1970) = %v", err)
	}
	for _, c := range []struct {
		off  time.Duration
		want string
	}{{0, ""}, {maxJoinClock, ""}, {-maxJoinClock, ""}, {time.Hour, "1h0m0s ahead of"}, {-72 * time.Hour, "72h0m0s behind"}} {
		err := checkJoinClock("beta", begin.Add(c.off), begin)
		if (err == nil) != (c.want == "") || err != nil && (!strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "chronyd")) {
			t.Errorf("checkJoinClock(%v) = %v, want %q", c.off, err, c.want)
		}
	}
}
