// Package lsb runs init scripts: programs in /etc/init.d that take start, stop, status, restart and reload as their
// one argument and answer with the exit codes of the Linux Standard Base (LSB Core 5.0, 22.2).
//
// They take no parameters. monitor becomes status, whose codes mean something else than those of other actions:
// 0 is running, 3 not running, 1 and 2 dead with a file left behind (so not running, too), and all others unknown, which
// is a failure. The codes of other actions are those of OCF, which took them from LSB. A script that succeeds in
// stopping what is stopped, and starting what is started, is the administrator's to choose; nothing here checks it.
//
// An Agent may be used by several goroutines at once.
package lsb

import (
	"bufio"
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/quorate/quorate/agents"
	"github.com/quorate/quorate/agents/subprocess"
)

// DefaultDirectory is where distributions install init scripts.
const DefaultDirectory = "/etc/init.d"

// maxHeader bounds how much of a script is read for its description.
const maxHeader = 64 << 10

// Config says where scripts are.
type Config struct {
	Launcher  *subprocess.Launcher
	Directory *subprocess.Directory
	Host      agents.Host
	Grace     time.Duration // SIGTERM to SIGKILL; 0 = the launcher's default
}

// Agent is the LSB class.
type Agent struct{ cfg Config }

var _ agents.Agent = (*Agent)(nil)

// New makes the class.
func New(cfg Config) (*Agent, error) {
	if cfg.Launcher == nil || cfg.Directory == nil {
		return nil, errors.New("lsb: a launcher and a directory of scripts are needed")
	}
	return &Agent{cfg: cfg}, nil
}

// Has reports whether there is a script of that name, whether or not it may be used.
func (a *Agent) Has(name string) bool {
	_, err := a.cfg.Directory.Find(name)
	return err == nil || !errors.Is(err, subprocess.ErrNotFound)
}

// find looks for the script. The type may come from class service, so it is checked here.
func (a *Agent) find(ref agents.Ref) (subprocess.Program, error) {
	if err := agents.ValidateName("init script", ref.Type); err != nil {
		return subprocess.Program{}, fmt.Errorf("%w: %w", subprocess.ErrRefused, err)
	}
	return a.cfg.Directory.Find(ref.Type)
}

// verb is what a script calls an operation; "" = there is none.
func verb(op agents.Operation) string {
	switch op {
	case agents.OpStart, agents.OpStop, agents.OpReload:
		return string(op)
	case agents.OpMonitor:
		return "status"
	}
	return ""
}

// Run implements agents.Agent.
func (a *Agent) Run(ctx context.Context, req agents.Request, _ map[string]agents.Secret) (agents.Result, agents.Execution) {
	if err := req.Validate(); err != nil {
		return agents.Refused(req, agents.StatusInvalid, agents.RCInvalidParameter, err.Error()), agents.Execution{}
	}
	arg := verb(req.Operation)
	if arg == "" {
		return agents.Refused(req, agents.StatusNotSupported, agents.RCUnimplemented, fmt.Sprintf("init scripts have no operation %s", req.Operation)), agents.Execution{}
	}
	program, err := a.find(req.Agent)
	if err != nil {
		return subprocess.FindResult(req, err), agents.Execution{}
	}
	spec := subprocess.Spec{Args: []string{arg}, Env: agents.FlattenEnvironment(agents.BaseEnvironment(a.cfg.Host)), Grace: a.cfg.Grace}
	res, exe := a.cfg.Launcher.RunAgent(ctx, req, program, spec, nil, agents.MaxOutput)
	if arg == "status" && res.Status == agents.StatusDone {
		res.RC = statusCode(res.RC)
	}
	return res, exe
}

// statusCode translates the exit code of the action status.
func statusCode(rc agents.ExitCode) agents.ExitCode {
	switch rc {
	case 0:
		return agents.RCOK
	case 1, 2, 3:
		return agents.RCNotRunning
	}
	return agents.RCGeneric
}

// Metadata implements agents.Agent: what the comment block of the script says, in the form of OCF.
func (a *Agent) Metadata(_ context.Context, ref agents.Ref) ([]byte, error) {
	program, err := a.find(ref)
	if err != nil {
		return nil, err
	}
	text, err := readHead(program.Path)
	if err != nil {
		return nil, err
	}
	short, long := header(text)
	return Describe(ref.Type, "init script "+program.Path, short, long), nil
}

func readHead(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	buf := make([]byte, maxHeader)
	n, err := f.Read(buf)
	if n == 0 && err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return buf[:n], nil
}

// header reads the description in the comment block of an init script (LSB Core 5.0, 22.3).
func header(text []byte) (short, long string) {
	inside, more := false, false
	in := bufio.NewScanner(bytes.NewReader(text))
	for in.Scan() {
		line := in.Text()
		switch {
		case strings.HasPrefix(line, "### BEGIN INIT INFO"):
			inside = true
			continue
		case strings.HasPrefix(line, "### END INIT INFO"):
			return short, long
		case !inside:
			continue
		}
		if more && (strings.HasPrefix(line, "#\t") || strings.HasPrefix(line, "#  ")) {
			long += " " + agents.CleanLine(line[1:], agents.MaxReason)
			continue
		}
		name, value, _ := strings.Cut(strings.TrimPrefix(line, "# "), ":")
		more = name == "Description"
		switch name {
		case "Short-Description":
			short = agents.CleanLine(value, agents.MaxReason)
		case "Description":
			long = agents.CleanLine(value, agents.MaxReason)
		}
	}
	return short, long
}

// Describe makes the metadata of an agent without parameters.
func Describe(name, what, short, long string) []byte {
	escape := func(s string) string {
		var b strings.Builder
		_ = xml.EscapeText(&b, []byte(s)) // a Builder takes everything
		return b.String()
	}
	if short == "" {
		short = what
	}
	if long == "" {
		long = short
	}
	var b strings.Builder
	fmt.Fprintf(&b, "<?xml version=\"1.0\"?>\n<resource-agent name=\"%s\" version=\"1.0\">\n  <version>1.1</version>\n", escape(name))
	fmt.Fprintf(&b, "  <longdesc lang=\"en\">%s</longdesc>\n  <shortdesc lang=\"en\">%s</shortdesc>\n  <parameters/>\n  <actions>\n", escape(long), escape(short))
	for _, a := range []struct{ name, timeout, interval string }{
		{"start", "100s", ""}, {"stop", "100s", ""}, {"monitor", "100s", "60s"}, {"meta-data", "5s", ""},
	} {
		fmt.Fprintf(&b, "    <action name=\"%s\" timeout=\"%s\"", a.name, a.timeout)
		if a.interval != "" {
			fmt.Fprintf(&b, " interval=\"%s\"", a.interval)
		}
		b.WriteString("/>\n")
	}
	b.WriteString("  </actions>\n</resource-agent>\n")
	return []byte(b.String())
}

// List implements agents.Agent.
func (a *Agent) List(_ context.Context) ([]agents.Ref, error) {
	entries, err := a.cfg.Directory.Entries()
	if err != nil {
		return nil, err
	}
	var list []agents.Ref
	for _, e := range entries {
		ref := agents.Ref{Class: agents.ClassLSB, Type: e.Name()}
		info, err := os.Stat(filepath.Join(a.cfg.Directory.Path(), e.Name()))
		if err != nil || ref.Validate() != nil || !info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0 {
			continue
		}
		list = append(list, ref)
	}
	slices.SortFunc(list, func(x, y agents.Ref) int { return strings.Compare(x.Type, y.Type) })
	return list, nil
}
