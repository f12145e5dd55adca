package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// DemoConfig describes the demo.
type DemoConfig struct {
	Bin      string // folder with quorated, crm and quorate-lab
	Examples string // folder of the examples
	Keep     bool   // leave the cluster running
	Out      io.Writer
}

var demoNodes = []struct{ name, address string }{
	{"alpha", "127.0.1.1"}, {"beta", "127.0.1.2"}, {"gamma", "127.0.1.3"},
}

// demoURL is where the demo's service answers.
const demoURL = "http://127.0.0.100:8080/"

// Bounds of the waits of the demo: generous on a slow machine, and an error instead of a hang.
const (
	demoStart    = 20 * time.Second
	demoFailover = 20 * time.Second
)

type demo struct {
	cfg   DemoConfig
	base  string
	nodes map[string]*exec.Cmd
	http  *http.Client
}

// Demo starts three nodes on loopback, runs a service on them, kills the node that runs it and shows that
// the service answers from another one.
func Demo(ctx context.Context, cfg DemoConfig) error {
	base, err := os.MkdirTemp("", "quorate-demo-")
	if err != nil {
		return err
	}
	d := &demo{cfg: cfg, base: base, nodes: map[string]*exec.Cmd{}, http: &http.Client{
		Timeout:   200 * time.Millisecond,
		Transport: &http.Transport{DisableKeepAlives: true},
	}}
	if cfg.Keep {
		defer d.say("\nThe cluster runs on. Talk to it:\n  export QUORATE_ROOT=%s/alpha PATH=%s:$PATH\n  crm status\n  curl %s\nEnd it:\n  pkill -9 -f %s; rm -rf %s\n",
			base, cfg.Bin, demoURL, base, base)
	} else {
		defer os.RemoveAll(base)
		defer d.killAll()
	}
	return d.run(ctx)
}

func (d *demo) say(format string, args ...any) { fmt.Fprintf(d.cfg.Out, format, args...) }

func (d *demo) run(ctx context.Context) error {
	if err := d.checkAddresses(); err != nil {
		return err
	}
	d.say("Starting three nodes in %s\n", d.base)
	for _, n := range demoNodes {
		if err := d.start(n.name); err != nil {
			return err
		}
	}
	first := demoNodes[0]
	if err := d.wait(ctx, demoStart, "the daemon of alpha", func() error {
		_, err := d.crm(first.name, "cluster", "status")
		return err
	}); err != nil {
		return err
	}
	if err := d.show(first.name, "cluster", "init", "--name", "demo", "--node", first.name, "--link", "lo="+first.address); err != nil {
		return err
	}
	for _, n := range demoNodes[1:] {
		token, err := d.crm(first.name, "cluster", "token", "create", n.name)
		if err != nil {
			return err
		}
		token = strings.TrimSpace(token)
		d.say("$ crm cluster join %.12s…   (on %s)\n", token, n.name)
		if err := d.wait(ctx, demoStart, "the daemon of "+n.name, func() error {
			_, err := d.crm(n.name, "cluster", "status")
			return err
		}); err != nil {
			return err
		}
		if out, err := d.crm(n.name, "cluster", "join", token, "--node", n.name, "--link", "lo="+n.address); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
	}
	definition, err := d.definition()
	if err != nil {
		return err
	}
	if err := d.show(first.name, "apply", "--yes", definition); err != nil {
		return err
	}
	if err := d.wait(ctx, demoStart, "the service", func() error { _, err := d.get(); return err }); err != nil {
		return err
	}
	if out, err := d.crm(first.name, "wait", "--timeout", "20s"); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	d.say("\n")
	if err := d.show(first.name, "status"); err != nil {
		return err
	}
	return d.failover(ctx)
}

func (d *demo) failover(ctx context.Context) error {
	before, err := d.get()
	if err != nil {
		return err
	}
	victim := strings.TrimPrefix(before, "hello from ")
	other := ""
	for _, n := range demoNodes {
		if n.name != victim {
			other = n.name
			break
		}
	}
	d.say("\n$ curl %s\n%s\n\nKilling everything on %s (SIGKILL of its runner, node process and services)\n", demoURL, before, victim)
	start := time.Now()
	if err := d.kill(victim); err != nil {
		return err
	}
	var after string
	err = d.poll(ctx, demoFailover, func() error {
		after, err = d.get()
		if err == nil && after == before {
			return errors.New("it still answers from " + victim)
		}
		return err
	})
	if err != nil {
		out, _ := d.crm(other, "status")
		return fmt.Errorf("the service did not come back on another node: %w\n%s", err, out)
	}
	took := time.Since(start)
	d.say("$ curl %s\n%s\n\n==> from kill to answer: %d ms\n\n", demoURL, after, took.Milliseconds())
	if err := d.show(other, "status"); err != nil {
		return err
	}
	d.say("\nPower on %s again\n", victim)
	if err := d.start(victim); err != nil {
		return err
	}
	if err := d.wait(ctx, demoStart, victim+" to be back", func() error {
		out, err := d.crm(other, "status")
		if err == nil && !strings.Contains(out, "Online: [ alpha beta gamma ]") {
			err = errors.New(out)
		}
		return err
	}); err != nil {
		return err
	}
	return d.show(other, "status")
}

// checkAddresses fails early when the addresses of the demo are in use.
func (d *demo) checkAddresses() error {
	for _, n := range demoNodes {
		l, err := net.Listen("tcp", n.address+":5404")
		if err != nil {
			return fmt.Errorf("%s:5404 is not free: %w (does another demo run?)", n.address, err)
		}
		l.Close()
	}
	l, err := net.Listen("tcp", "127.0.0.100:8080")
	if err != nil {
		return fmt.Errorf("127.0.0.100:8080 is not free: %w", err)
	}
	return l.Close()
}

func (d *demo) root(node string) string { return filepath.Join(d.base, node) }

func (d *demo) start(node string) error {
	root := d.root(node)
	etc := filepath.Join(root, "etc")
	if err := os.MkdirAll(etc, 0o700); err != nil {
		return err
	}
	config := fmt.Sprintf("agent-dirs = [%q]\nfence-dirs = [%q]\ntool-dir = %q\n",
		filepath.Join(d.cfg.Examples, "agents", "ocf"), filepath.Join(d.cfg.Examples, "agents", "fence"), d.cfg.Bin)
	if os.Geteuid() == 0 {
		config = "user = \"root\"\n" + config // a demo started by root needs no other user
	}
	if err := os.WriteFile(filepath.Join(etc, "quorated.toml"), []byte(config), 0o600); err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(d.base, node+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(filepath.Join(d.cfg.Bin, "quorated"), "--root", root)
	cmd.Env = append(os.Environ(), "QUORATE_ROOT="+root)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	go cmd.Wait()
	d.nodes[node] = cmd
	return nil
}

// definition writes the example's definition with the demo's folders in it.
func (d *demo) definition() (string, error) {
	data, err := os.ReadFile(filepath.Join(d.cfg.Examples, "demo.toml"))
	if err != nil {
		return "", err
	}
	text := strings.NewReplacer("BASE", d.base, "BIN", d.cfg.Bin).Replace(string(data))
	name := filepath.Join(d.base, "demo.toml")
	return name, os.WriteFile(name, []byte(text), 0o600)
}

// processes lists the processes that have the node's QUORATE_ROOT in their environment.
func (d *demo) processes(node string) []int {
	want := "QUORATE_ROOT=" + d.root(node)
	var pids []int
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		var pid int
		if _, err := fmt.Sscanf(e.Name(), "%d", &pid); err != nil || pid == os.Getpid() {
			continue
		}
		data, err := os.ReadFile(filepath.Join("/proc", e.Name(), "environ"))
		if err != nil {
			continue
		}
		for _, v := range strings.Split(string(data), "\x00") {
			if v == want {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

func (d *demo) kill(node string) error {
	for range 200 {
		pids := d.processes(node)
		if len(pids) == 0 {
			return nil
		}
		for _, pid := range pids {
			syscall.Kill(pid, syscall.SIGKILL)
		}
		time.Sleep(time.Millisecond)
	}
	return fmt.Errorf("processes of %s do not end", node)
}

func (d *demo) killAll() {
	for _, n := range demoNodes {
		d.kill(n.name)
	}
}

func (d *demo) crm(node string, args ...string) (string, error) {
	cmd := exec.Command(filepath.Join(d.cfg.Bin, "crm"), args...)
	// A shell of the demo is no process of the node: a power switch must not end it.
	cmd.Args[0] = "crm"
	cmd.Env = append(os.Environ(), "QUORATE_SOCKET="+filepath.Join(d.root(node), "run", "api.sock"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("crm %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return string(out), nil
}

func (d *demo) show(node string, args ...string) error {
	shown := strings.ReplaceAll(strings.Join(args, " "), d.base, "…")
	d.say("$ crm %s\n", shown)
	out, err := d.crm(node, args...)
	d.say("%s", out)
	return err
}

func (d *demo) get() (string, error) {
	res, err := d.http.Get(demoURL)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(io.LimitReader(res.Body, 1024))
	return strings.TrimSpace(string(data)), err
}

func (d *demo) wait(ctx context.Context, limit time.Duration, what string, ok func() error) error {
	if err := d.poll(ctx, limit, ok); err != nil {
		return fmt.Errorf("waited %v for %s: %w (logs: %s/*.log)", limit, what, err, d.base)
	}
	return nil
}

// poll asks again every 5 ms until ok or the limit.
func (d *demo) poll(ctx context.Context, limit time.Duration, ok func() error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ok()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-tick.C:
		}
	}
}
