// Package device runs fence agents: programs named fence_NAME which are given everything, passwords too, as
// NAME=VALUE lines on standard input, and never on the command line. It is the agent class "stonith" of the
// runner.
//
// It decides nothing about fencing: whom, when, in which order and how often is for package fencing. It
// checks the program file as agents/subprocess does for all agents, writes the input, and returns what the agent
// said. An Agent may be used by several goroutines at once.
//
// # Operations
//
// on, off, reboot, status, list, monitor and validate-all are passed as they are; meta-data is called metadata
// there, and is remembered until the agent's file changes. For the resource that configures a device, start means monitor (the device answers), and stop means
// nothing and succeeds. A parameter pcmk_OPERATION_action gives another name for an operation, as in
// Pacemaker; other parameters beginning with pcmk_ are for the cluster and are not passed on.
//
// # Results
//
// The exit code is passed on as it is with status done: 0 is success; 2 of the operation status means that the
// plug is off (StatusOff), which is no failure. Only code 0 of on, off and reboot confirms anything; a timeout
// is unknown. The output of list and status is kept up to MaxOutput, that of meta-data is the whole text.
package device

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/quorate/quorate/agents"
	"github.com/quorate/quorate/agents/subprocess"
)

const (
	// DefaultDirectory is where distributions install fence agents.
	DefaultDirectory = "/usr/sbin"
	// MaxOutput bounds the kept output of list and status: some thousand plugs of a virtualisation host.
	MaxOutput = subprocess.MaxTail / 2
	// StatusOff is the exit code of the operation status for a plug that is off.
	StatusOff agents.ExitCode = 2

	prefix = "fence_"
)

// Config says where fence agents are.
type Config struct {
	Launcher *subprocess.Launcher
	// Directories hold fence_NAME; the first in which an agent is found wins.
	Directories []*subprocess.Directory
	Host        agents.Host
	User        *subprocess.Credential // nil = as this process
	Grace       time.Duration          // SIGTERM to SIGKILL; 0 = the launcher's default
}

// Agent is the class of fence agents.
type Agent struct {
	cfg      Config
	metadata subprocess.MetadataCache
}

var _ agents.Agent = (*Agent)(nil)

// New makes the class.
func New(cfg Config) (*Agent, error) {
	if cfg.Launcher == nil {
		return nil, errors.New("fence agents: a launcher is needed")
	}
	if len(cfg.Directories) == 0 {
		return nil, errors.New("fence agents: no directory of agents is given")
	}
	return &Agent{cfg: cfg}, nil
}

func (a *Agent) find(ref agents.Ref) (subprocess.Program, error) {
	if ref.Class != agents.ClassFence {
		return subprocess.Program{}, fmt.Errorf("agent %s: %w: not of class stonith", ref, subprocess.ErrRefused)
	}
	if err := ref.Validate(); err != nil {
		return subprocess.Program{}, fmt.Errorf("%w: %w", subprocess.ErrRefused, err)
	}
	if !strings.HasPrefix(ref.Type, prefix) {
		// The directory holds every other program of the system, too.
		return subprocess.Program{}, fmt.Errorf("agent %s: %w: the name of a fence agent begins with %s", ref, subprocess.ErrRefused, prefix)
	}
	var searched []string
	for _, d := range a.cfg.Directories {
		p, err := d.Find(ref.Type)
		if !errors.Is(err, subprocess.ErrNotFound) {
			return p, err
		}
		searched = append(searched, d.Path())
	}
	return subprocess.Program{}, fmt.Errorf("agent %s: %w: looked in %s", ref, subprocess.ErrNotFound, strings.Join(searched, ", "))
}

// action translates an operation to what the agent calls it.
func action(op agents.Operation, params map[string]string) string {
	if own := params["pcmk_"+string(op)+"_action"]; own != "" {
		return own
	}
	if op == agents.OpStart {
		return action(agents.OpMonitor, params)
	}
	return string(op)
}

// input writes the text for the agent's standard input. Values of several lines would be read as further
// parameters, so they are refused.
func input(action string, params map[string]string, secrets map[string]agents.Secret) ([]byte, error) {
	if err := agents.ValidateName("fence action", action); err != nil {
		return nil, err
	}
	all := make(map[string]string, len(params)+len(secrets))
	for name, value := range params {
		if !strings.HasPrefix(name, "pcmk_") {
			all[name] = value
		}
	}
	for name, secret := range secrets {
		all[name] = secret.Reveal()
	}
	// The action is decided here alone. "option" is its name of old, which agents still know.
	delete(all, "action")
	delete(all, "option")
	var text strings.Builder
	fmt.Fprintf(&text, "action=%s\n", action)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if err := agents.ValidateName("parameter", name); err != nil {
			return nil, err
		}
		if i := strings.IndexAny(all[name], "\n\r\x00"); i >= 0 {
			return nil, fmt.Errorf("parameter %s: byte %d is a line break or NUL: a fence agent takes values of one line", name, i+1)
		}
		fmt.Fprintf(&text, "%s=%s\n", name, all[name])
	}
	return []byte(text.String()), nil
}

// Run implements agents.Agent.
func (a *Agent) Run(ctx context.Context, req agents.Request, secrets map[string]agents.Secret) (agents.Result, agents.Execution) {
	if err := req.Validate(); err != nil {
		return agents.Refused(req, agents.StatusInvalid, agents.RCInvalidParameter, err.Error()), agents.Execution{}
	}
	program, err := a.find(req.Agent)
	if err != nil && req.Operation != agents.OpStop {
		return subprocess.FindResult(req, err), agents.Execution{}
	}
	output := agents.MaxOutput
	switch req.Operation {
	case agents.OpStop:
		return agents.Result{ID: req.ID, Status: agents.StatusDone, RC: agents.RCOK}, agents.Execution{}
	case agents.OpList, agents.OpStatus:
		output = MaxOutput
	case agents.OpMetadata:
		return a.metadataResult(ctx, req), agents.Execution{}
	case agents.OpOn, agents.OpOff, agents.OpReboot, agents.OpMonitor, agents.OpStart, agents.OpValidateAll:
	default:
		return agents.Refused(req, agents.StatusNotSupported, agents.RCUnimplemented, fmt.Sprintf("fence agents have no operation %q", req.Operation)), agents.Execution{}
	}
	text, err := input(action(req.Operation, req.Params), req.Params, secrets)
	if err != nil {
		return agents.Refused(req, agents.StatusInvalid, agents.RCInvalidParameter, err.Error()), agents.Execution{}
	}
	spec := subprocess.Spec{Env: a.environment(), Stdin: text, User: a.cfg.User, Grace: a.cfg.Grace}
	res, exe := a.cfg.Launcher.RunAgent(ctx, req, program, spec, secrets, output)
	if res.Reason == "" && res.Status == agents.StatusDone && res.RC != agents.RCOK && !(req.Operation == agents.OpStatus && res.RC == StatusOff) {
		// Fence agents have no marked reason; the last line that they print says why.
		lines := strings.Split(strings.TrimSpace(res.Output), "\n")
		res.Reason = agents.CleanLine(lines[len(lines)-1], agents.MaxReason)
	}
	return res, exe
}

func (a *Agent) environment() []string {
	return agents.FlattenEnvironment(agents.BaseEnvironment(a.cfg.Host))
}

// Metadata implements agents.Agent. It is remembered until the file changes.
func (a *Agent) Metadata(ctx context.Context, ref agents.Ref) ([]byte, error) {
	program, err := a.find(ref)
	if err != nil {
		return nil, err
	}
	// On standard input as all else: some agents know no options, all know this.
	return a.metadata.Get(ctx, a.cfg.Launcher, ref, program, subprocess.Spec{
		Env: a.environment(), Stdin: []byte("action=metadata\n"), User: a.cfg.User, Grace: a.cfg.Grace,
	})
}

// metadataResult answers the operation meta-data with the text as output, whole or not at all.
func (a *Agent) metadataResult(ctx context.Context, req agents.Request) agents.Result {
	ctx, cancel := context.WithTimeout(ctx, req.Timeout)
	defer cancel()
	text, err := a.Metadata(ctx, req.Agent)
	if err != nil {
		return agents.Refused(req, agents.StatusError, agents.RCGeneric, err.Error())
	}
	return agents.Result{ID: req.ID, Status: agents.StatusDone, RC: agents.RCOK, Output: string(text)}
}

// List implements agents.Agent.
func (a *Agent) List(ctx context.Context) ([]agents.Ref, error) {
	var list []agents.Ref
	for _, d := range a.cfg.Directories {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		entries, err := d.Entries()
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			ref := agents.Ref{Class: agents.ClassFence, Type: e.Name()}
			info, err := e.Info()
			if err != nil || !strings.HasPrefix(e.Name(), prefix) || ref.Validate() != nil || info.IsDir() || info.Mode().IsRegular() && info.Mode().Perm()&0o111 == 0 {
				continue
			}
			list = append(list, ref)
		}
	}
	slices.SortFunc(list, func(x, y agents.Ref) int { return strings.Compare(x.Type, y.Type) })
	return slices.Compact(list), nil
}
