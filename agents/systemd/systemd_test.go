package systemd

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/agents"
)

// fake is a systemd with one unit.
type fake struct {
	states  []unitState // one after the other; the last stays
	err     error
	result  string
	hang    bool
	jobs    []string
	reloads int
}

func (f *fake) State(context.Context, string) (unitState, error) {
	if f.err != nil {
		return unitState{}, f.err
	}
	st := f.states[0]
	if len(f.states) > 1 {
		f.states = f.states[1:]
	}
	return st, nil
}

func (f *fake) Job(ctx context.Context, verb, unit string) (string, error) {
	f.jobs = append(f.jobs, verb+" "+unit)
	if f.hang {
		<-ctx.Done()
		return "", ctx.Err()
	}
	return f.result, nil
}

func (f *fake) Reload(context.Context) error { f.reloads++; return nil }
func (f *fake) Units(context.Context) ([]string, error) {
	return []string{"/lib/systemd/system/web.service", "/lib/systemd/system/a.socket", "/etc/systemd/system/web.service"}, nil
}
func (f *fake) Close() error { return nil }

func class(t *testing.T, f *fake) *Agent {
	t.Helper()
	return New(Config{DropIns: t.TempDir(), dial: func(context.Context) (manager, error) { return f, nil }})
}

func request(op agents.Operation) agents.Request {
	return agents.Request{ID: "1", Resource: "web", Agent: agents.Ref{Class: agents.ClassSystemd, Type: "web"}, Operation: op, Timeout: time.Second}
}

func loaded(active string) unitState { return unitState{Load: "loaded", Active: active} }

func TestRun(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		op     agents.Operation
		fake   fake
		status agents.Status
		rc     agents.ExitCode
		reason string // part of it
	}{
		{"active", agents.OpMonitor, fake{states: []unitState{loaded("active")}}, agents.StatusDone, agents.RCOK, ""},
		{"reloading", agents.OpMonitor, fake{states: []unitState{loaded("reloading")}}, agents.StatusDone, agents.RCOK, ""},
		{"inactive", agents.OpMonitor, fake{states: []unitState{loaded("inactive")}}, agents.StatusDone, agents.RCNotRunning, ""},
		{"failed", agents.OpMonitor, fake{states: []unitState{loaded("failed")}}, agents.StatusDone, agents.RCNotRunning, "has failed"},
		{"comes up", agents.OpMonitor, fake{states: []unitState{loaded("activating"), loaded("activating"), loaded("active")}}, agents.StatusDone, agents.RCOK, ""},
		{"stays in between", agents.OpMonitor, fake{states: []unitState{loaded("activating")}}, agents.StatusTimeout, agents.RCGeneric, "timed out after 1s"},
		{"unknown state", agents.OpMonitor, fake{states: []unitState{loaded("odd")}}, agents.StatusDone, agents.RCGeneric, "unknown state"},
		{"not installed", agents.OpMonitor, fake{states: []unitState{{Load: "not-found"}}}, agents.StatusNotInstalled, agents.RCNotInstalled, "not installed"},
		{"no such unit", agents.OpStart, fake{err: errNoUnit}, agents.StatusNotInstalled, agents.RCNotInstalled, "not installed"},
		{"stop of what is not installed", agents.OpStop, fake{states: []unitState{{Load: "not-found"}}}, agents.StatusDone, agents.RCOK, ""},
		{"bus error", agents.OpMonitor, fake{err: errors.New("no reply")}, agents.StatusError, agents.RCGeneric, "no reply"},
		{"start", agents.OpStart, fake{states: []unitState{loaded("inactive")}, result: "done"}, agents.StatusDone, agents.RCOK, ""},
		{"start fails", agents.OpStart, fake{states: []unitState{loaded("inactive")}, result: "failed"}, agents.StatusDone, agents.RCGeneric, `ended with "failed"`},
		{"masked", agents.OpStart, fake{states: []unitState{{Load: "masked", Active: "inactive"}}}, agents.StatusDone, agents.RCNotConfigured, "it is masked"},
		{"start hangs", agents.OpStart, fake{states: []unitState{loaded("inactive")}, hang: true}, agents.StatusTimeout, agents.RCGeneric, "timed out"},
		{"stop", agents.OpStop, fake{states: []unitState{loaded("active")}, result: "done"}, agents.StatusDone, agents.RCOK, ""},
		{"promote", agents.OpPromote, fake{states: []unitState{loaded("active")}}, agents.StatusNotSupported, agents.RCUnimplemented, "no operation promote"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				res, _ := class(t, &c.fake).Run(t.Context(), request(c.op), nil)
				if res.Status != c.status || res.RC != c.rc || !strings.Contains(res.Reason, c.reason) || res.ID != "1" {
					t.Errorf("Run() = %+v, want status %v, code %v and a reason with %q", res, c.status, c.rc, c.reason)
				}
			})
		})
	}
}

func TestRun_Cancelled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	res, _ := class(t, &fake{states: []unitState{loaded("inactive")}, hang: true}).Run(ctx, request(agents.OpStart), nil)
	if res.Status != agents.StatusCancelled {
		t.Errorf("Run() = %+v, want cancelled", res)
	}
}

// The drop-in is written once, before the start, and goes with the stop.
func TestRun_DropIn(t *testing.T) {
	t.Parallel()
	f := &fake{states: []unitState{loaded("inactive")}, result: "done"}
	a := class(t, f)
	file := filepath.Join(a.cfg.DropIns, "web.service.d", "50-quorate.conf")
	for range 2 {
		a.Run(t.Context(), request(agents.OpStart), nil)
	}
	if text, err := os.ReadFile(file); err != nil || !strings.Contains(string(text), "Restart=no") || f.reloads != 1 {
		t.Errorf("drop-in %q, %v, %d reloads; want it there after one reload", text, err, f.reloads)
	}
	a.Run(t.Context(), request(agents.OpStop), nil)
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("drop-in after the stop: %v, want it gone", err)
	}
}

func TestList(t *testing.T) {
	t.Parallel()
	list, err := class(t, &fake{}).List(t.Context())
	if err != nil || len(list) != 1 || list[0].String() != "systemd:web" {
		t.Errorf("List() = %v, %v, want systemd:web once", list, err)
	}
}

func TestMetadata(t *testing.T) {
	t.Parallel()
	text, err := class(t, &fake{states: []unitState{{Load: "loaded", Description: "A <web> server"}}}).Metadata(t.Context(), agents.Ref{Class: agents.ClassSystemd, Type: "web"})
	if err != nil {
		t.Fatal(err)
	}
	meta, err := agents.ParseMetadata(text)
	if err != nil || meta.ShortDesc != "A <web> server" {
		t.Errorf("metadata = %+v, %v, want the description of the unit", meta, err)
	}
}

func TestUnitName(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{"web": "web.service", "web.socket": "web.socket", "getty@tty1": "getty@tty1.service", "a.b": "a.b.service"} {
		if got := unitName(name); got != want {
			t.Errorf("unitName(%q) = %q, want %q", name, got, want)
		}
	}
}
