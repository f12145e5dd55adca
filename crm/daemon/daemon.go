// Package daemon is the wiring and life cycle of one node. quorated starts as the runner (RunRunner), small
// and privileged; it starts itself again as the node process (RunNode), which talks to the network and never
// executes anything. Package crm/node decides what happens; this package connects it to sockets, disk and the
// runner.
//
// A node process that is in no cluster yet serves the API only and waits to be told to make or join one. When
// it has left a cluster in order it ends, and the runner with it.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"os/user"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/quorate/quorate/agents"
	"github.com/quorate/quorate/agents/runner"
	"github.com/quorate/quorate/crm/acl"
	"github.com/quorate/quorate/crm/api"
	"github.com/quorate/quorate/crm/api/server"
	"github.com/quorate/quorate/crm/store/command"
	"github.com/quorate/quorate/crm/version"
)

// ConfigError is an error that starting again would not help: the process ends for good with it.
type ConfigError struct{ Err error }

// Error implements error.
func (e *ConfigError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *ConfigError) Unwrap() error { return e.Err }

// ExitCode is the exit status of the node process for what RunNode returned.
func ExitCode(err error) int {
	var config *ConfigError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &config):
		return exitConfig
	}
	return 1
}

// process is a node process.
type process struct {
	paths   Paths
	cfg     *Config
	log     hclog.Logger
	started time.Time
	client  *runner.Client

	mu    sync.Mutex // guards what follows
	inst  *instance  // nil while the node is in no cluster
	runs  []runner.RunInfo
	hello bool
	early []agents.Result
	setup sync.Mutex // only one init or join at a time
	begin chan struct{}
	up    chan struct{} // closed when inst is set
}

// RunNode is the node process. It is started by the runner, with the connection to it and the API socket as
// inherited descriptors.
func RunNode(ctx context.Context, o Options) error {
	p := &process{paths: PathsOf(o.Root), started: time.Now(), begin: make(chan struct{}, 1), up: make(chan struct{})}
	var err error
	if p.cfg, err = LoadConfig(p.paths.ConfigFile()); err != nil {
		return &ConfigError{err}
	}
	p.log = newLogger("node", p.cfg)
	conn, err := runner.Inherited()
	if err != nil {
		return &ConfigError{err}
	}
	listener, err := runner.InheritedListener()
	if err != nil {
		return &ConfigError{err}
	}
	return p.run(ctx, conn, listener)
}

func (p *process) run(ctx context.Context, conn net.Conn, listener net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	policy, err := p.policy()
	if err != nil {
		return &ConfigError{err}
	}
	srv, err := server.New(server.Config{Backend: p.backend(), Policy: policy, Logger: p.log.Named("api"), Denied: p.denied})
	if err != nil {
		return err
	}
	var group sync.WaitGroup
	defer group.Wait()
	defer cancel()
	failed := make(chan error, 3)
	p.client = runner.NewClient(conn, runner.ClientConfig{OnHello: p.onHello, OnResult: p.onResult})
	group.Go(func() {
		if err := p.client.Run(ctx); err != nil {
			failed <- fmt.Errorf("runner: %w", err)
		}
	})
	group.Go(func() {
		if err := srv.Run(ctx, listener); err != nil {
			failed <- err
		}
	})
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(signals)

	in, err := p.paths.configured()
	if err != nil {
		return err
	}
	if in {
		p.begin <- struct{}{}
	} else {
		p.log.Info("this node is in no cluster: make one with \"crm cluster init\" or join one with \"crm cluster join\"", "version", version.Version)
	}
	ended := make(chan error, 1)
	for {
		select {
		case <-p.begin:
			inst, err := openInstance(p.paths, p.cfg, p.log, p.client, p.started)
			if err != nil {
				return &ConfigError{err}
			}
			p.adopt(inst)
			p.log.Info("started", "node", inst.name, "cluster", string(inst.id.Cluster), "version", version.Version)
			group.Go(func() { ended <- inst.Run(ctx) })
		case err := <-ended:
			if errors.Is(err, errLeft) || errors.Is(err, context.Canceled) {
				return nil
			}
			if errors.Is(err, errRemoved) {
				return &ConfigError{err}
			}
			return err
		case err := <-failed:
			return err
		case <-signals:
			if !p.leave() {
				return nil
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// leave begins to leave in order; false when there is nothing to leave.
func (p *process) leave() bool {
	p.mu.Lock()
	inst := p.inst
	p.mu.Unlock()
	if inst == nil {
		return false
	}
	inst.log.Info("stopping in order: services move away first")
	inst.loop.post(func() { inst.loop.n.Leave(inst.loop.now(), time.Now()) })
	return true
}

func (p *process) current() *instance {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.inst
}

// adopt makes the instance the present one and hands it what the runner has told so far.
func (p *process) adopt(inst *instance) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.inst = inst
	close(p.up)
	if p.hello {
		inst.onHello(p.runs)
		for _, r := range p.early {
			inst.onResult(r)
		}
		p.early = nil
	}
}

func (p *process) onHello(list []runner.RunInfo) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hello, p.runs = true, list
	if p.inst != nil {
		p.inst.onHello(list)
	}
}

func (p *process) onResult(r agents.Result) {
	p.mu.Lock()
	inst := p.inst
	if inst == nil {
		p.early = append(p.early, r)
	}
	p.mu.Unlock()
	if inst != nil {
		inst.onResult(r)
	}
}

// policy is who may use the API: root, and without root the user who runs the daemon; a group may look.
func (p *process) policy() (*acl.Policy, error) {
	pol := &acl.Policy{Admins: []uint32{0}}
	if owner := os.Getuid(); p.paths.Root != "" {
		pol.Admins = append(pol.Admins, uint32(owner))
	}
	name := p.cfg.ReadGroup
	if name == "" {
		name = "quorate-read"
	}
	g, err := user.LookupGroup(name)
	if err != nil {
		if p.cfg.ReadGroup != "" {
			return nil, fmt.Errorf("read-group: %w", err)
		}
		return pol, nil
	}
	gid, err := strconv.ParseUint(g.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	pol.ReadGroups = append(pol.ReadGroups, uint32(gid))
	return pol, nil
}

// auditTimeout bounds how long a record for the audit log may take.
const auditTimeout = 5 * time.Second

func (p *process) denied(id acl.Identity, verb acl.Verb, endpoint string) {
	p.log.Warn("request denied", "who", id.String(), "pid", id.PID, "verb", string(verb))
	ctx, cancel := context.WithTimeout(context.Background(), auditTimeout)
	defer cancel()
	if _, err := p.client.Audit(ctx, "denied", map[string]any{"uid": int64(id.UID), "gid": int64(id.GID), "pid": int64(id.PID),
		"verb": string(verb), "endpoint": endpoint}, false); err != nil {
		p.log.Error("audit log", "error", err)
	}
}

// backend answers for the present instance, or for a node that is in no cluster.
func (p *process) backend() server.Backend {
	with := func() (*server.Backend, error) {
		inst := p.current()
		if inst == nil {
			return nil, &server.StateError{Message: errNotMember.Error(), Hint: `make a cluster with "crm cluster init" or join one with "crm cluster join TOKEN"`}
		}
		b := inst.backend()
		return &b, nil
	}
	return server.Backend{
		State: func(ctx context.Context, linear bool) (*command.State, error) {
			b, err := with()
			if err != nil {
				return nil, err
			}
			return b.State(ctx, linear)
		},
		Wait: func(ctx context.Context, after uint64) (*command.State, error) {
			b, err := with()
			if err != nil {
				return nil, err
			}
			return b.Wait(ctx, after)
		},
		Propose: func(ctx context.Context, e *command.Entry) (uint64, command.Outcome, error) {
			b, err := with()
			if err != nil {
				return 0, command.Outcome{}, err
			}
			return b.Propose(ctx, e)
		},
		CIB: func(ctx context.Context, linear bool) ([]byte, error) {
			b, err := with()
			if err != nil {
				return nil, err
			}
			return b.CIB(ctx, linear)
		},
		Local: func() api.Local {
			b, err := with()
			if err != nil {
				return api.Local{Version: version.Version, Started: p.started.UTC()}
			}
			return b.Local()
		},
		Token: func(ctx context.Context, r api.TokenRequest, actor string) (api.TokenReply, error) {
			b, err := with()
			if err != nil {
				return api.TokenReply{}, err
			}
			return b.Token(ctx, r, actor)
		},
		Stop: func(ctx context.Context) error {
			b, err := with()
			if err != nil {
				// Nothing to leave: end at once.
				return syscall.Kill(os.Getpid(), syscall.SIGTERM)
			}
			return b.Stop(ctx)
		},
		Recover: func(ctx context.Context, r api.RecoverRequest, actor string) (api.RecoverReply, error) {
			b, err := with()
			if err != nil {
				return api.RecoverReply{}, err
			}
			return b.Recover(ctx, r, actor)
		},
		Run: func(ctx context.Context, r api.RunRequest, actor string) (api.RunReply, error) {
			b, err := with()
			if err != nil {
				return api.RunReply{}, err
			}
			return b.Run(ctx, r, actor)
		},
		Init: func(ctx context.Context, r api.InitRequest) error {
			return p.found(ctx, "cluster-made", map[string]any{"name": r.Node, "cluster": r.Cluster}, func() error { return initCluster(p.paths, r, time.Now()) })
		},
		Join: func(ctx context.Context, r api.JoinRequest) error {
			return p.found(ctx, "cluster-joined", map[string]any{"name": r.Node}, func() error { return joinCluster(ctx, p.paths, r) })
		},
		Metadata: func(ctx context.Context, agent string) ([]byte, error) {
			ref, err := agents.ParseRef(agent)
			if err != nil {
				return nil, &server.StateError{Message: err.Error()}
			}
			return p.client.Metadata(ctx, ref)
		},
		Agents: func(ctx context.Context, class string) ([]string, error) {
			refs, err := p.client.List(ctx, class)
			var out []string
			for _, r := range refs {
				out = append(out, r.String())
			}
			return out, err
		},
		Decisions: func(ctx context.Context, most int) ([]api.Decision, error) {
			b, err := with()
			if err != nil {
				return nil, err
			}
			return b.Decisions(ctx, most)
		},
		Events: func(ctx context.Context, after uint64) ([]api.Event, uint64, error) {
			b, err := with()
			if err != nil {
				return nil, after, err
			}
			return b.Events(ctx, after)
		},
		Input: func(ctx context.Context, id string) (*api.DecisionInput, error) {
			b, err := with()
			if err != nil {
				return nil, err
			}
			return b.Input(ctx, id)
		},
	}
}

// found makes or joins a cluster, records that, starts the instance and returns when it can be asked.
func (p *process) found(ctx context.Context, event string, data map[string]any, make func() error) error {
	p.setup.Lock()
	defer p.setup.Unlock()
	if inst := p.current(); inst != nil {
		return alreadyMember(inst.name)
	}
	in, err := p.paths.configured()
	if err != nil {
		return err
	}
	if in {
		return alreadyMember("a node that is just starting")
	}
	if err := make(); err != nil {
		return err
	}
	if err := p.client.Note(event, data); err != nil {
		p.log.Error("audit log", "event", event, "error", err)
	}
	p.begin <- struct{}{}
	select {
	case <-p.up:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
