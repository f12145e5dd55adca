// Package ocf runs resource agents of the OCF class: programs below resource.d/PROVIDER/TYPE which are
// given their operation as the one argument and their parameters in the environment (OCF resource agent
// API 1.1, and 1.0 where agents still speak it).
//
// It decides nothing about the cluster and checks no parameters against the agent's metadata; it finds
// the agent, refuses files that others can change (agents/subprocess), runs it, and returns what it said.
// An Agent may be used by several goroutines at once.
package ocf

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/quorate/quorate/agents"
	"github.com/quorate/quorate/agents/subprocess"
)

// DefaultRoot is the OCF root of Linux distributions; agents lie in resource.d below it.
const DefaultRoot = "/usr/lib/ocf"

// Config says where agents are.
type Config struct {
	Launcher *subprocess.Launcher
	// Directories hold PROVIDER/TYPE; the first in which an agent is found wins.
	Directories []*subprocess.Directory
	Host        agents.Host
	User        *subprocess.Credential // nil = as this process
	Grace       time.Duration          // SIGTERM to SIGKILL; 0 = the launcher's default
}

// Agent is the OCF class.
type Agent struct {
	cfg      Config
	metadata subprocess.MetadataCache
}

var _ agents.Agent = (*Agent)(nil)

// New makes the class.
func New(cfg Config) (*Agent, error) {
	if cfg.Launcher == nil {
		return nil, errors.New("ocf: a launcher is needed")
	}
	if len(cfg.Directories) == 0 {
		return nil, errors.New("ocf: no directory of agents is given")
	}
	if cfg.Host.OCFRoot == "" {
		cfg.Host.OCFRoot = DefaultRoot
	}
	return &Agent{cfg: cfg}, nil
}

// find looks for the agent's file. One that is refused is not searched for elsewhere: what stands first is
// what the administrator sees.
func (a *Agent) find(ref agents.Ref) (subprocess.Program, error) {
	if ref.Class != agents.ClassOCF {
		return subprocess.Program{}, fmt.Errorf("agent %s: %w: not of class ocf", ref, subprocess.ErrRefused)
	}
	if err := ref.Validate(); err != nil {
		return subprocess.Program{}, fmt.Errorf("%w: %w", subprocess.ErrRefused, err)
	}
	var searched []string
	for _, d := range a.cfg.Directories {
		p, err := d.Find(ref.Provider, ref.Type)
		if !errors.Is(err, subprocess.ErrNotFound) {
			return p, err
		}
		searched = append(searched, d.Path())
	}
	return subprocess.Program{}, fmt.Errorf("agent %s: %w: looked in %s", ref, subprocess.ErrNotFound, strings.Join(searched, ", "))
}

// Run implements agents.Agent. An agent that is missing gives status not installed (code 5), one that is
// refused gives an error with code 4 (insufficient privileges).
func (a *Agent) Run(ctx context.Context, req agents.Request, secrets map[string]agents.Secret) (agents.Result, agents.Execution) {
	if err := req.Validate(); err != nil {
		return agents.Refused(req, agents.StatusInvalid, agents.RCInvalidParameter, err.Error()), agents.Execution{}
	}
	program, err := a.find(req.Agent)
	if err != nil {
		return subprocess.FindResult(req, err), agents.Execution{}
	}
	spec := subprocess.Spec{
		Args:  []string{string(req.Operation)},
		Env:   agents.Environment(a.cfg.Host, req, secrets),
		User:  a.cfg.User,
		Grace: a.cfg.Grace,
	}
	return a.cfg.Launcher.RunAgent(ctx, req, program, spec, secrets, agents.MaxOutput)
}

// Metadata implements agents.Agent: the XML text that the agent prints for meta-data. It is remembered
// until the file changes.
func (a *Agent) Metadata(ctx context.Context, ref agents.Ref) ([]byte, error) {
	program, err := a.find(ref)
	if err != nil {
		return nil, err
	}
	req := agents.Request{ID: "meta-data", Resource: ref.Type, Agent: ref, Operation: agents.OpMetadata, Timeout: subprocess.MetadataTimeout}
	return a.metadata.Get(ctx, a.cfg.Launcher, ref, program, subprocess.Spec{
		Args: []string{string(agents.OpMetadata)}, Env: agents.Environment(a.cfg.Host, req, nil), User: a.cfg.User, Grace: a.cfg.Grace,
	})
}

// List implements agents.Agent. It names the files that look like agents; whether one is refused shows when
// it is used.
func (a *Agent) List(ctx context.Context) ([]agents.Ref, error) {
	var list []agents.Ref
	for _, d := range a.cfg.Directories {
		providers, err := d.Entries()
		if err != nil {
			return nil, err
		}
		for _, p := range providers {
			if agents.ValidateName("provider", p.Name()) != nil || p.Type().IsRegular() {
				continue
			}
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			entries, err := d.Entries(p.Name())
			if err != nil {
				continue // not a directory, or one that may not be read
			}
			for _, e := range entries {
				ref := agents.Ref{Class: agents.ClassOCF, Provider: p.Name(), Type: e.Name()}
				info, err := e.Info()
				if err != nil || ref.Validate() != nil || info.IsDir() || info.Mode().IsRegular() && info.Mode().Perm()&0o111 == 0 {
					continue
				}
				list = append(list, ref)
			}
		}
	}
	slices.SortFunc(list, func(x, y agents.Ref) int { return strings.Compare(x.String(), y.String()) })
	return slices.Compact(list), nil
}
