package service

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/quorate/quorate/agents"
)

// fake is a class with some names.
type fake struct {
	class string
	names []string
	err   error
}

func (f fake) has(name string) bool {
	for _, n := range f.names {
		if n == name {
			return true
		}
	}
	return false
}

func (f fake) Run(_ context.Context, req agents.Request, _ map[string]agents.Secret) (agents.Result, agents.Execution) {
	return agents.Result{ID: req.ID, Reason: f.class + "/" + req.Agent.String()}, agents.Execution{}
}

func (f fake) Metadata(_ context.Context, ref agents.Ref) ([]byte, error) {
	return []byte(ref.String()), nil
}

func (f fake) List(context.Context) (list []agents.Ref, _ error) {
	for _, n := range f.names {
		list = append(list, agents.Ref{Class: f.class, Type: n})
	}
	return list, f.err
}

type units struct{ fake }

func (u units) Has(_ context.Context, name string) bool { return u.has(name) }

type scripts struct{ fake }

func (s scripts) Has(name string) bool { return s.has(name) }

func TestAgent(t *testing.T) {
	t.Parallel()
	a := New(units{fake{class: "systemd", names: []string{"both", "unit"}}}, scripts{fake{class: "lsb", names: []string{"both", "script"}}})
	for name, want := range map[string]string{"both": "systemd/systemd:both", "unit": "systemd/systemd:unit", "script": "lsb/lsb:script", "none": "systemd/systemd:none"} {
		req := agents.Request{ID: "1", Resource: "r", Agent: agents.Ref{Class: agents.ClassService, Type: name}, Operation: agents.OpStart, Timeout: time.Second}
		if res, _ := a.Run(t.Context(), req, nil); res.Reason != want {
			t.Errorf("%s runs as %q, want %q", name, res.Reason, want)
		}
	}
	list, err := a.List(t.Context())
	if err != nil || len(list) != 3 || list[0].String() != "service:both" {
		t.Errorf("List() = %v, %v, want three of class service", list, err)
	}
	if text, err := a.Metadata(t.Context(), agents.Ref{Class: agents.ClassService, Type: "script"}); err != nil || string(text) != "lsb:script" {
		t.Errorf("Metadata() = %q, %v", text, err)
	}
}

func TestList_NoSystemd(t *testing.T) {
	t.Parallel()
	broken := units{fake{class: "systemd", err: errors.New("no bus")}}
	if list, err := New(broken, scripts{fake{class: "lsb", names: []string{"a"}}}).List(t.Context()); err != nil || len(list) != 1 {
		t.Errorf("List() = %v, %v, want the script", list, err)
	}
	if _, err := New(broken, scripts{}).List(t.Context()); err == nil {
		t.Error("List() with nothing at all must say why")
	}
}
