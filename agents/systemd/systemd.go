// Package systemd runs units of systemd as resources, over D-Bus. It starts no program.
//
// start and stop wait for the end of the job that systemd makes of them; monitor reads the unit's state. A unit
// that the cluster starts gets a drop-in in the folder of the run time (lost at the next boot), by which systemd does
// not restart it by itself, and stops it only after quorated, which stops it in the order of the cluster.
//
// A unit without suffix is a service. Units take no parameters. States: active and reloading are running;
// activating and deactivating are waited for; inactive and failed are not running; a unit that is not there is not
// installed. Times out means unknown, and the job is cancelled.
//
// An Agent may be used by several goroutines at once; each operation has a connection of its own.
package systemd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/quorate/quorate/agents"
	"github.com/quorate/quorate/agents/lsb"
)

// DefaultDropIns is where drop-ins of the run time lie.
const DefaultDropIns = "/run/systemd/system"

// booted is there where systemd runs the machine (sd_booted(3)).
const booted = "/run/systemd/system"

// pollTime is how often the state of a unit that is between two states is read again.
const pollTime = 200 * time.Millisecond

// queryTime bounds questions that are no operations of a resource.
const queryTime = 10 * time.Second

// dropIn keeps systemd from acting on a unit that the cluster runs.
const dropIn = `# Written by quorated when it started the unit; gone after the next boot.
[Unit]
Before=quorated.service
[Service]
Restart=no
`

// unitState is what systemd says of a unit.
type unitState struct {
	Load        string // loaded, not-found, masked, bad-setting, error
	Active      string // active, reloading, inactive, failed, activating, deactivating
	Sub         string
	Description string
}

// manager is a connection to systemd.
type manager interface {
	// State loads a unit and returns its state.
	State(ctx context.Context, unit string) (unitState, error)
	// Job starts ("start"), stops or reloads a unit and returns the result of the job: done, failed, canceled,
	// timeout, dependency or skipped. The job is cancelled when ctx ends.
	Job(ctx context.Context, verb, unit string) (string, error)
	// Reload makes systemd read unit files again.
	Reload(ctx context.Context) error
	// Units lists the files of services that are installed.
	Units(ctx context.Context) ([]string, error)
	Close() error
}

// errNoUnit says that systemd knows no such unit.
var errNoUnit = errors.New("no such unit")

// Config says where systemd is.
type Config struct {
	// Address of the bus; "" = the system bus.
	Address string
	// DropIns is the folder of drop-ins; "" = DefaultDropIns.
	DropIns string

	dial func(ctx context.Context) (manager, error) // nil = D-Bus
}

// Agent is the systemd class.
type Agent struct{ cfg Config }

var _ agents.Agent = (*Agent)(nil)

// New makes the class. It does not connect.
func New(cfg Config) *Agent {
	if cfg.DropIns == "" {
		cfg.DropIns = DefaultDropIns
	}
	if cfg.dial == nil {
		address := cfg.Address
		cfg.dial = func(ctx context.Context) (manager, error) {
			if address == "" {
				if _, err := os.Stat(booted); errors.Is(err, os.ErrNotExist) {
					return nil, fmt.Errorf("%w: systemd is not the init system of this machine", errNoUnit)
				}
			}
			return dialBus(ctx, address)
		}
	}
	return &Agent{cfg}
}

// suffixes of units; what has none of them is a service.
var suffixes = []string{".service", ".socket", ".mount", ".timer", ".path", ".target", ".automount", ".swap", ".slice", ".scope", ".device"}

func unitName(name string) string {
	if slices.ContainsFunc(suffixes, func(s string) bool { return strings.HasSuffix(name, s) }) {
		return name
	}
	return name + ".service"
}

// Has reports whether systemd is here and knows the unit.
func (a *Agent) Has(ctx context.Context, name string) bool {
	ctx, cancel := context.WithTimeout(ctx, queryTime)
	defer cancel()
	m, err := a.cfg.dial(ctx)
	if err != nil {
		return false
	}
	defer m.Close()
	st, err := m.State(ctx, unitName(name))
	return err == nil && st.Load != "not-found"
}

// Run implements agents.Agent.
func (a *Agent) Run(ctx context.Context, req agents.Request, _ map[string]agents.Secret) (agents.Result, agents.Execution) {
	exe := agents.Execution{File: unitName(req.Agent.Type), Args: []string{string(req.Operation)}}
	if err := req.Validate(); err != nil {
		return agents.Refused(req, agents.StatusInvalid, agents.RCInvalidParameter, err.Error()), exe
	}
	began := time.Now()
	limited, cancel := context.WithTimeout(ctx, req.Timeout)
	defer cancel()
	res := a.operate(limited, req)
	switch {
	case ctx.Err() != nil && res.Status != agents.StatusDone:
		res.Status, res.RC = agents.StatusCancelled, agents.RCUnknown
	case limited.Err() != nil && res.Status != agents.StatusDone:
		res.Status, res.RC, res.Reason = agents.StatusTimeout, agents.RCGeneric, agents.CleanLine(fmt.Sprintf("timed out after %v: %s", req.Timeout, res.Reason), agents.MaxReason)
	}
	res.ID, res.Started, res.Finished = req.ID, began.UTC().Round(0), time.Now().UTC().Round(0)
	res.ExecTime = time.Since(began)
	return res, exe
}

func done(rc agents.ExitCode, reason string) agents.Result {
	return agents.Result{Status: agents.StatusDone, RC: rc, Reason: agents.CleanLine(reason, agents.MaxReason)}
}

func (a *Agent) operate(ctx context.Context, req agents.Request) agents.Result {
	unit := unitName(req.Agent.Type)
	m, err := a.cfg.dial(ctx)
	if errors.Is(err, errNoUnit) {
		return notInstalled(req, unit, err)
	}
	if err != nil {
		return agents.Refused(req, agents.StatusError, agents.RCGeneric, "systemd does not answer: "+err.Error())
	}
	defer m.Close()
	st, err := m.State(ctx, unit)
	if errors.Is(err, errNoUnit) || err == nil && st.Load == "not-found" {
		return notInstalled(req, unit, errNoUnit)
	}
	if err != nil {
		return agents.Refused(req, agents.StatusError, agents.RCGeneric, err.Error())
	}
	switch req.Operation {
	case agents.OpMonitor:
		return a.monitor(ctx, m, unit, st)
	case agents.OpStart:
		if st.Load != "loaded" {
			return done(agents.RCNotConfigured, fmt.Sprintf("unit %s cannot be started: it is %s (systemctl status %s)", unit, st.Load, unit))
		}
		if err := a.takeOver(ctx, m, unit); err != nil {
			return done(agents.RCInsufficientPrivileges, err.Error())
		}
		return a.job(ctx, m, "start", unit)
	case agents.OpStop, agents.OpReload:
		res := a.job(ctx, m, string(req.Operation), unit)
		if req.Operation == agents.OpStop && res.Status == agents.StatusDone && res.RC == agents.RCOK {
			a.giveBack(unit)
		}
		return res
	}
	return agents.Refused(req, agents.StatusNotSupported, agents.RCUnimplemented, fmt.Sprintf("units have no operation %s", req.Operation))
}

// notInstalled is the result where the unit cannot be running: a stop succeeds.
func notInstalled(req agents.Request, unit string, err error) agents.Result {
	reason := fmt.Sprintf("unit %s is not installed: %v", unit, err)
	if req.Operation == agents.OpStop {
		return done(agents.RCOK, reason)
	}
	return agents.Refused(req, agents.StatusNotInstalled, agents.RCNotInstalled, reason)
}

// monitor waits for a state that is none in between.
func (a *Agent) monitor(ctx context.Context, m manager, unit string, st unitState) agents.Result {
	for {
		switch st.Active {
		case "active", "reloading", "refreshing":
			return done(agents.RCOK, "")
		case "inactive":
			return done(agents.RCNotRunning, "")
		case "failed":
			return done(agents.RCNotRunning, fmt.Sprintf("unit %s has failed (systemctl status %s)", unit, unit))
		case "activating", "deactivating", "maintenance":
		default:
			return done(agents.RCGeneric, fmt.Sprintf("unit %s is in the unknown state %q", unit, agents.CleanLine(st.Active, 100)))
		}
		timer := time.NewTimer(pollTime)
		select {
		case <-ctx.Done():
			timer.Stop()
			return agents.Result{Status: agents.StatusError, RC: agents.RCGeneric, Reason: "unit " + unit + " is " + st.Active}
		case <-timer.C:
		}
		next, err := m.State(ctx, unit)
		if err != nil {
			return agents.Result{Status: agents.StatusError, RC: agents.RCGeneric, Reason: agents.CleanLine(err.Error(), agents.MaxReason)}
		}
		st = next
	}
}

// job runs a job of systemd to its end.
func (a *Agent) job(ctx context.Context, m manager, verb, unit string) agents.Result {
	result, err := m.Job(ctx, verb, unit)
	switch {
	case err != nil:
		return agents.Result{Status: agents.StatusError, RC: agents.RCGeneric, Reason: agents.CleanLine(fmt.Sprintf("%s %s: %v", verb, unit, err), agents.MaxReason)}
	case result == "done", result == "skipped":
		return done(agents.RCOK, "")
	}
	return done(agents.RCGeneric, fmt.Sprintf("the %s job of unit %s ended with %q (systemctl status %s)", verb, unit, agents.CleanLine(result, 100), unit))
}

func (a *Agent) dropInFile(unit string) string {
	return filepath.Join(a.cfg.DropIns, unit+".d", "50-quorate.conf")
}

// takeOver writes the drop-in of a unit, where it is not there yet.
func (a *Agent) takeOver(ctx context.Context, m manager, unit string) error {
	name := a.dropInFile(unit)
	if old, err := os.ReadFile(name); err == nil && string(old) == dropIn {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return fmt.Errorf("drop-in of unit %s: %w", unit, err)
	}
	if err := os.WriteFile(name, []byte(dropIn), 0o644); err != nil {
		return fmt.Errorf("drop-in of unit %s: %w", unit, err)
	}
	if err := m.Reload(ctx); err != nil {
		return fmt.Errorf("systemd reads its units again: %w", err)
	}
	return nil
}

// giveBack removes the drop-in of a stopped unit. systemd sees that when it next reads its units.
func (a *Agent) giveBack(unit string) {
	name := a.dropInFile(unit)
	if os.Remove(name) == nil {
		_ = os.Remove(filepath.Dir(name)) // stays where others have drop-ins in it
	}
}

// Metadata implements agents.Agent: the description of the unit, in the form of OCF.
func (a *Agent) Metadata(ctx context.Context, ref agents.Ref) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTime)
	defer cancel()
	m, err := a.cfg.dial(ctx)
	if err != nil {
		return nil, fmt.Errorf("systemd does not answer: %w", err)
	}
	defer m.Close()
	unit := unitName(ref.Type)
	st, err := m.State(ctx, unit)
	if err != nil {
		return nil, err
	}
	if st.Load == "not-found" {
		return nil, fmt.Errorf("unit %s: %w", unit, errNoUnit)
	}
	return lsb.Describe(ref.Type, "systemd unit "+unit, agents.CleanLine(st.Description, agents.MaxReason), ""), nil
}

// List implements agents.Agent: the services, without their suffix.
func (a *Agent) List(ctx context.Context) ([]agents.Ref, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTime)
	defer cancel()
	m, err := a.cfg.dial(ctx)
	if err != nil {
		return nil, fmt.Errorf("systemd does not answer: %w", err)
	}
	defer m.Close()
	units, err := m.Units(ctx)
	if err != nil {
		return nil, err
	}
	var list []agents.Ref
	for _, u := range units {
		name, service := strings.CutSuffix(filepath.Base(u), ".service")
		ref := agents.Ref{Class: agents.ClassSystemd, Type: name}
		if service && ref.Validate() == nil {
			list = append(list, ref)
		}
	}
	slices.SortFunc(list, func(x, y agents.Ref) int { return strings.Compare(x.Type, y.Type) })
	return slices.Compact(list), nil
}
