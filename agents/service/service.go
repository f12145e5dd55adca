// Package service is the agent class "service": a systemd unit of that name if systemd knows one, else an init
// script. It leaves everything to the packages of these two classes.
package service

import (
	"context"
	"slices"
	"strings"

	"github.com/quorate/quorate/agents"
)

// Units is what this class needs of the class systemd.
type Units interface {
	agents.Agent
	Has(ctx context.Context, name string) bool
}

// Scripts is what this class needs of the class lsb.
type Scripts interface {
	agents.Agent
	Has(name string) bool
}

// Agent is the class. Its methods may be called by several goroutines.
type Agent struct {
	units   Units
	scripts Scripts
}

var _ agents.Agent = (*Agent)(nil)

// New makes the class.
func New(units Units, scripts Scripts) *Agent { return &Agent{units, scripts} }

// choose returns the class that has a service. A script that is there counts only where there is no unit, since
// distributions make units of scripts.
func (a *Agent) choose(ctx context.Context, ref agents.Ref) (agents.Agent, agents.Ref) {
	if a.units.Has(ctx, ref.Type) || !a.scripts.Has(ref.Type) {
		ref.Class = agents.ClassSystemd
		return a.units, ref
	}
	ref.Class = agents.ClassLSB
	return a.scripts, ref
}

// Run implements agents.Agent.
func (a *Agent) Run(ctx context.Context, req agents.Request, secrets map[string]agents.Secret) (agents.Result, agents.Execution) {
	if err := req.Validate(); err != nil {
		return agents.Refused(req, agents.StatusInvalid, agents.RCInvalidParameter, err.Error()), agents.Execution{}
	}
	var class agents.Agent
	class, req.Agent = a.choose(ctx, req.Agent)
	return class.Run(ctx, req, secrets)
}

// Metadata implements agents.Agent.
func (a *Agent) Metadata(ctx context.Context, ref agents.Ref) ([]byte, error) {
	class, ref := a.choose(ctx, ref)
	return class.Metadata(ctx, ref)
}

// List implements agents.Agent: all units and scripts. Where systemd does not run, the scripts.
func (a *Agent) List(ctx context.Context) ([]agents.Ref, error) {
	scripts, err := a.scripts.List(ctx)
	if err != nil {
		return nil, err
	}
	units, err := a.units.List(ctx)
	if err != nil && len(scripts) == 0 {
		return nil, err
	}
	list := slices.Concat(units, scripts)
	for i := range list {
		list[i].Class = agents.ClassService
	}
	slices.SortFunc(list, func(x, y agents.Ref) int { return strings.Compare(x.Type, y.Type) })
	return slices.Compact(list), nil
}
