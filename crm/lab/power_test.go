package lab

import (
	"bytes"
	"context"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// Goal: the fence agent and the power switch understand each other, in every mode. Method: a real socket with
// machines that are only names.
func TestFenceAgent(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	on := map[string]bool{"n1": true, "n2": true}
	var log []string
	p := &PowerSwitch{
		Off: func(node string) error {
			mu.Lock()
			defer mu.Unlock()
			if node == "n2" {
				return errors.New("stuck")
			}
			on[node] = false
			return nil
		},
		On: func(node string) error { mu.Lock(); defer mu.Unlock(); on[node] = true; return nil },
		IsOn: func(node string) (bool, error) {
			mu.Lock()
			defer mu.Unlock()
			is, known := on[node]
			if !known {
				return false, errors.New("no machine " + node)
			}
			return is, nil
		},
		Log: func(node string) error { log = append(log, node); return nil },
	}
	socket := filepath.Join(t.TempDir(), "power")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- p.Serve(ctx, l) }()
	defer func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("Serve() = %v", err)
		}
	}()
	for _, tt := range []struct {
		name, action, plug string
		mode               PowerMode
		rc                 int
		errs               string
	}{
		{"monitor", "monitor", "", PowerOK, 0, ""},
		{"status of a machine that is on", "status", "n1", PowerOK, 0, ""},
		{"refused", "off", "n1", PowerRefuse, 1, "refuses"},
		{"off", "off", "n1", PowerOK, 0, ""},
		{"status of a machine that is off", "status", "n1", PowerOK, 2, ""},
		{"on", "on", "n1", PowerOK, 0, ""},
		{"reboot", "reboot", "n1", PowerOK, 0, ""},
		{"switch that fails", "off", "n2", PowerOK, 1, "stuck"},
		{"unknown machine", "off", "n9", PowerOK, 1, "no machine n9"},
		{"unknown operation", "explode", "n1", PowerOK, 1, "unknown operation"},
	} {
		p.SetMode(tt.mode)
		var out, errs bytes.Buffer
		in := strings.NewReader("action=" + tt.action + "\nplug=" + tt.plug + "\nsocket=" + socket + "\n")
		if rc := FenceAgent(nil, in, &out, &errs); rc != tt.rc || !strings.Contains(errs.String(), tt.errs) {
			t.Errorf("%s: FenceAgent() = %d with %q, want %d with %q", tt.name, rc, errs.String(), tt.rc, tt.errs)
		}
	}
	if got := strings.Join(log, " "); got != "n1 n1" {
		t.Errorf("the log of the switch is %q, want one entry for off and one for reboot of n1, and none for what failed", got)
	}
}

func TestFenceAgent_NoSwitch(t *testing.T) {
	t.Parallel()
	var out, errs bytes.Buffer
	if rc := FenceAgent(nil, strings.NewReader("action=off\nplug=n1\nsocket="+filepath.Join(t.TempDir(), "none")+"\n"), &out, &errs); rc != 1 || errs.Len() == 0 {
		t.Errorf("FenceAgent() without a switch = %d with %q, want 1 with a reason", rc, errs.String())
	}
	if rc := FenceAgent([]string{"-o", "metadata"}, strings.NewReader(""), &out, &errs); rc != 0 || !strings.Contains(out.String(), `name="fence_lab"`) {
		t.Errorf("FenceAgent(metadata) = %d, %q", rc, out.String())
	}
}

func TestOracle_Arguments(t *testing.T) {
	t.Parallel()
	env := func(values ...string) func(string) string {
		return func(name string) string {
			for i := 0; i < len(values); i += 2 {
				if values[i] == name {
					return values[i+1]
				}
			}
			return ""
		}
	}
	base := t.TempDir()
	good := []string{"OCF_RESKEY_base", base, "OCF_RESOURCE_INSTANCE", "r1"}
	for _, tt := range []struct {
		name, op string
		env      []string
		want     int
	}{
		{"metadata needs nothing", "meta-data", nil, ocfSuccess},
		{"no base", "start", good[2:], ocfArgs},
		{"relative base", "start", []string{"OCF_RESKEY_base", "x", "OCF_RESOURCE_INSTANCE", "r1"}, ocfArgs},
		{"path in the name", "start", []string{"OCF_RESKEY_base", base, "OCF_RESOURCE_INSTANCE", "../r1"}, ocfArgs},
		{"unknown operation", "dance", good, ocfUnimplemented},
		{"not active", "monitor", good, ocfNotRunning},
		{"stop of what is not active", "stop", good, ocfSuccess},
	} {
		var out, errs bytes.Buffer
		if got := Oracle(tt.op, env(tt.env...), &out, &errs); got != tt.want {
			t.Errorf("%s: Oracle() = %d (%s), want %d", tt.name, got, errs.String(), tt.want)
		}
	}
	list, err := readLedger(filepath.Join(base, "ledger"))
	if err != nil || len(list) != 2 || list[0].Op != "monitor" || list[0].RC != ocfNotRunning || list[1].Op != "stop" {
		t.Errorf("the ledger is %v, %v; want a monitor and a stop", list, err)
	}
}
