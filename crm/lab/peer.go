package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// peer is corosync with Pacemaker, as installed on this computer, with the same agents, power switch and network.
type peer struct {
	*cluster
	token   time.Duration // of corosync; 0 = its default
	n       int
	monitor string
	grouped bool
}

// peerTools are the programs that the comparison needs (packages corosync, pacemaker and pacemaker-cli-utils).
var peerTools = []string{"corosync", "corosync-cfgtool", "pacemakerd", "cibadmin", "crm_resource", "crm_node", "crm_standby"}

// PeerNeeds says what is missing on this computer for a comparison with the peer; "" = nothing.
func PeerNeeds() string {
	for _, tool := range peerTools {
		if _, err := exec.LookPath(tool); err != nil {
			return tool + " is not installed (packages corosync, pacemaker and pacemaker-cli-utils)"
		}
	}
	return ""
}

func peerVersion() string {
	one := func(tool, flag string) string {
		out, err := exec.Command(tool, flag).CombinedOutput()
		line, _, _ := strings.Cut(string(out), "\n")
		if err != nil || line == "" {
			return tool
		}
		return line
	}
	return one("corosync", "-v") + ", " + one("pacemakerd", "--version")
}

func newPeer(c *cluster, profile string, n int, monitor string, grouped bool) *peer {
	p := &peer{cluster: c, n: n, monitor: monitor, grouped: grouped}
	if profile == "fast" {
		p.token = 300 * time.Millisecond
	}
	self := filepath.Join(c.bin, "quorate-lab")
	c.program = func(m *machine) []string { return []string{self, "peer-node", c.dir, m.root} }
	return p
}

// form implements system.
func (p *peer) form(ctx context.Context) error {
	var conf strings.Builder
	fmt.Fprintf(&conf, "totem {\n version: 2\n cluster_name: lab\n transport: knet\n crypto_cipher: aes256\n crypto_hash: sha256\n")
	if p.token > 0 {
		fmt.Fprintf(&conf, " token: %d\n", p.token.Milliseconds())
	}
	conf.WriteString("}\nsystem {\n sched_rr: no\n move_to_root_cgroup: no\n}\nquorum {\n provider: corosync_votequorum\n}\nlogging {\n to_stderr: no\n to_logfile: yes\n logfile: /var/log/corosync.log\n to_syslog: no\n}\nnodelist {\n")
	for _, m := range p.nodes {
		fmt.Fprintf(&conf, " node {\n  nodeid: %d\n  name: %s\n", m.index+1, m.name)
		for l := range links {
			fmt.Fprintf(&conf, "  ring%d_addr: %s\n", l, m.address(l))
		}
		conf.WriteString(" }\n")
	}
	conf.WriteString("}\n")
	for _, m := range p.nodes {
		etc := filepath.Join(m.root, "peer", "etc")
		if err := errors.Join(os.MkdirAll(etc, 0o755), os.WriteFile(filepath.Join(etc, "corosync.conf"), []byte(conf.String()), 0o600),
			os.WriteFile(filepath.Join(etc, "authkey"), []byte(strings.Repeat("k", 256)), 0o400)); err != nil {
			return err
		}
		if err := p.on(m); err != nil {
			return err
		}
	}
	if err := p.poll(ctx, 90*time.Second, "the peer's first election", func() error {
		_, err := p.leader(ctx)
		return err
	}); err != nil {
		return err
	}
	file := filepath.Join(p.dir, "peer.xml")
	if err := os.WriteFile(file, []byte(p.configuration()), 0o644); err != nil {
		return err
	}
	if _, err := p.tool(p.nodes[0], "cibadmin", "--replace", "--scope", "configuration", "--xml-file", file); err != nil {
		return err
	}
	return p.settle(ctx)
}

// configuration is the same definition that Quorate gets, as Pacemaker 2.1 writes it.
func (p *peer) configuration() string {
	var b strings.Builder
	b.WriteString(`<configuration><crm_config><cluster_property_set id="o"><nvpair id="o-f" name="stonith-enabled" value="true"/></cluster_property_set></crm_config><nodes>`)
	for _, m := range p.nodes {
		fmt.Fprintf(&b, `<node id="%d" uname="%s"/>`, m.index+1, m.name)
	}
	b.WriteString("</nodes><resources>")
	if p.grouped {
		b.WriteString(`<group id="g">`)
	}
	for i := range p.n {
		fmt.Fprintf(&b, `<primitive id="s%[1]d" class="ocf" provider="quorate" type="Stamp"><instance_attributes id="s%[1]d-i"><nvpair id="s%[1]d-b" name="base" value="%[2]s"/></instance_attributes>`+
			`<meta_attributes id="s%[1]d-m"><nvpair id="s%[1]d-s" name="resource-stickiness" value="100"/></meta_attributes><operations><op id="s%[1]d-o" name="monitor" interval="%[3]s" timeout="10s"/></operations></primitive>`, i, p.dir, p.monitor)
	}
	if p.grouped {
		b.WriteString("</group>")
	}
	fmt.Fprintf(&b, `<primitive id="power" class="stonith" type="fence_lab"><instance_attributes id="power-i"><nvpair id="power-s" name="socket" value="%s"/><nvpair id="power-h" name="pcmk_host_list" value="%s"/></instance_attributes></primitive>`,
		filepath.Join(p.dir, "power.sock"), strings.Join(p.names(), " "))
	b.WriteString("</resources><constraints/></configuration>")
	return b.String()
}

func (p *peer) tool(m *machine, argv ...string) (string, error) {
	h, err := m.powered()
	if err != nil {
		return "", err
	}
	return h.exec(2*time.Minute, argv...)
}

var dcUUID = regexp.MustCompile(`dc-uuid="(\d+)"`)

// leader implements system: the designated controller, by the document of any node. (crmadmin -D would say it as well,
// but when it comes too early it never ends.)
func (p *peer) leader(context.Context) (*machine, error) {
	for _, m := range p.nodes {
		if !m.on() {
			continue
		}
		out, err := p.tool(m, "cibadmin", "--query", "--local", "--no-children")
		if err != nil {
			continue
		}
		if id := dcUUID.FindStringSubmatch(out); id != nil {
			if n, err := strconv.Atoi(id[1]); err == nil && n >= 1 && n <= len(p.nodes) && p.nodes[n-1].on() {
				return p.nodes[n-1], nil
			}
		}
	}
	return nil, errors.New("no designated controller")
}

// settle implements system.
func (p *peer) settle(ctx context.Context) error {
	if err := p.poll(ctx, 90*time.Second, "all nodes of the peer", func() error {
		for _, m := range p.nodes {
			out, err := p.tool(m, "crm_node", "-p")
			if err != nil {
				return err
			}
			if got := len(strings.Fields(out)); got != len(p.nodes) {
				return fmt.Errorf("%s knows %d members", m.name, got)
			}
		}
		_, err := p.leader(ctx)
		return err
	}); err != nil {
		return err
	}
	_, err := p.tool(p.nodes[0], "crm_resource", "--wait", "--timeout", "60s")
	return err
}

func (p *peer) prefer(to *machine) error {
	_, err := p.tool(to, "crm_resource", "-r", "s0", "--move", "-N", to.name)
	return err
}

func (p *peer) forget() error {
	_, err := p.tool(p.nodes[0], "crm_resource", "-r", "s0", "--clear")
	return err
}

func (p *peer) standby(m *machine, on bool) error {
	value := "off"
	if on {
		value = "on"
	}
	for _, o := range p.nodes {
		if o != m {
			_, err := p.tool(o, "crm_standby", "-N", m.name, "-v", value)
			return err
		}
	}
	return nil
}

// PeerNode is what a machine runs that is measured with the peer: it gives corosync and Pacemaker folders of their own,
// agents and a fence agent, and starts them. It ends when one of them does.
func PeerNode(base, root string) error {
	own := filepath.Join(root, "peer")
	hacluster, err := user.Lookup("hacluster")
	if err != nil {
		return err
	}
	uid, _ := strconv.Atoi(hacluster.Uid)
	gid, _ := strconv.Atoi(hacluster.Gid)
	for _, name := range []string{"lib-corosync", "lib-pacemaker", "lib-pacemaker/cib", "lib-pacemaker/pengine", "lib-pacemaker/cores", "log", "log/pacemaker"} {
		if err := os.MkdirAll(filepath.Join(own, name), 0o755); err != nil {
			return err
		}
		if strings.Contains(name, "pacemaker") {
			if err := os.Chown(filepath.Join(own, name), uid, gid); err != nil {
				return err
			}
		}
	}
	for _, at := range []string{"/run", "/dev/shm"} {
		if err := unix.Mount("tmpfs", at, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, ""); err != nil {
			return fmt.Errorf("mount %s: %w", at, err)
		}
	}
	for from, at := range map[string]string{filepath.Join(own, "etc"): "/etc/corosync", filepath.Join(own, "lib-corosync"): "/var/lib/corosync",
		filepath.Join(own, "lib-pacemaker"): "/var/lib/pacemaker", filepath.Join(own, "log"): "/var/log", filepath.Join(base, "agents", "ocf"): "/usr/lib/ocf/resource.d"} {
		if err := unix.Mount(from, at, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("mount %s: %w", at, err)
		}
	}
	if err := unix.Mount("overlay", "/usr/sbin", "overlay", unix.MS_RDONLY, "lowerdir="+filepath.Join(base, "agents", "fence")+":/usr/sbin"); err != nil {
		return fmt.Errorf("mount /usr/sbin: %w", err)
	}
	ended := make(chan error, 2)
	start := func(name string, args ...string) error {
		cmd := exec.Command(name, args...)
		cmd.Env = append(os.Environ(), "PCMK_logfile=/var/log/pacemaker/pacemaker.log", "PCMK_logpriority=error")
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := cmd.Start(); err != nil {
			return err
		}
		go func() { ended <- fmt.Errorf("%s ended: %w", name, ending(cmd.Wait())) }()
		return nil
	}
	if err := start("corosync", "-f"); err != nil {
		return err
	}
	for exec.Command("corosync-cfgtool", "-s").Run() != nil {
		select {
		case err := <-ended:
			return err
		case <-time.After(10 * time.Millisecond):
		}
	}
	if err := start("pacemakerd", "-f"); err != nil {
		return err
	}
	return <-ended
}

// ending is the error of a program that must not end, or one that says that it had none.
func ending(err error) error {
	if err == nil {
		return errors.New("exit status 0")
	}
	return err
}
