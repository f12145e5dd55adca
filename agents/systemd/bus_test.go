package systemd

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/quorate/quorate/agents"
)

// stub answers on the bus as systemd does, for one unit. Its methods are called by the library in goroutines of its own.
type stub struct {
	conn *dbus.Conn
	unit chan string // ActiveState; holds one value
}

const unitPath = dbus.ObjectPath("/org/freedesktop/systemd1/unit/web_2eservice")

func (s *stub) LoadUnit(name string) (dbus.ObjectPath, *dbus.Error) {
	if name != "web.service" {
		return "", dbus.NewError(busName+".NoSuchUnit", []any{"Unit " + name + " not found."})
	}
	return unitPath, nil
}

func (s *stub) Subscribe() *dbus.Error { return nil }
func (s *stub) Reload() *dbus.Error    { return nil }

func (s *stub) job(unit, state string) (dbus.ObjectPath, *dbus.Error) {
	const job = dbus.ObjectPath("/org/freedesktop/systemd1/job/7")
	<-s.unit
	s.unit <- state
	// Another job's end first: it must not be taken for this one's.
	_ = s.conn.Emit(managerPath, managerName+".JobRemoved", uint32(6), dbus.ObjectPath("/org/freedesktop/systemd1/job/6"), unit, "failed")
	time.AfterFunc(10*time.Millisecond, func() {
		_ = s.conn.Emit(managerPath, managerName+".JobRemoved", uint32(7), job, unit, "done")
	})
	return job, nil
}

func (s *stub) StartUnit(unit, _ string) (dbus.ObjectPath, *dbus.Error) { return s.job(unit, "active") }
func (s *stub) StopUnit(unit, _ string) (dbus.ObjectPath, *dbus.Error) {
	return s.job(unit, "inactive")
}

func (s *stub) ListUnitFiles() ([]struct{ Path, State string }, *dbus.Error) {
	return []struct{ Path, State string }{{"/lib/systemd/system/web.service", "enabled"}}, nil
}

func (s *stub) GetAll(string) (map[string]dbus.Variant, *dbus.Error) {
	state := <-s.unit
	s.unit <- state
	return map[string]dbus.Variant{"LoadState": dbus.MakeVariant("loaded"), "ActiveState": dbus.MakeVariant(state),
		"SubState": dbus.MakeVariant("x"), "Description": dbus.MakeVariant("A web server")}, nil
}

// privateBus starts a bus of its own with the stub on it, and returns its address.
func privateBus(t *testing.T) string {
	t.Helper()
	daemon, err := exec.LookPath("dbus-daemon")
	if err != nil {
		t.Skip("dbus-daemon is not installed: the D-Bus side of the class is not tested")
	}
	if _, err := user.LookupId(strconv.Itoa(os.Getuid())); err != nil {
		t.Skipf("dbus-daemon takes users with an entry in the user database only: %v", err)
	}
	config := filepath.Join(t.TempDir(), "bus.conf")
	text := `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><listen>unix:dir=` + filepath.Dir(config) + `</listen><policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy></busconfig>`
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(daemon, "--nofork", "--nopidfile", "--print-address", "--config-file="+config)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Skipf("dbus-daemon does not start: %v", err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Skipf("dbus-daemon gives no address: %v", err)
	}
	address = strings.TrimSpace(address)
	conn, err := dbus.Connect(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	s := &stub{conn: conn, unit: make(chan string, 1)}
	s.unit <- "inactive"
	for path, iface := range map[dbus.ObjectPath]string{managerPath: managerName, unitPath: "org.freedesktop.DBus.Properties"} {
		if err := conn.Export(s, path, iface); err != nil {
			t.Fatal(err)
		}
	}
	if reply, err := conn.RequestName(busName, dbus.NameFlagDoNotQueue); err != nil || reply != dbus.RequestNameReplyPrimaryOwner {
		t.Fatalf("name on the bus: %v, %v", reply, err)
	}
	return address
}

func TestBus(t *testing.T) {
	t.Parallel()
	a := New(Config{Address: privateBus(t), DropIns: t.TempDir()})
	ctx := t.Context()
	run := func(op agents.Operation, want agents.ExitCode) {
		t.Helper()
		req := request(op)
		req.Timeout = 20 * time.Second
		if res, _ := a.Run(ctx, req, nil); res.Status != agents.StatusDone || res.RC != want {
			t.Errorf("%s: %+v, want code %v", op, res, want)
		}
	}
	run(agents.OpMonitor, agents.RCNotRunning)
	run(agents.OpStart, agents.RCOK)
	run(agents.OpMonitor, agents.RCOK)
	run(agents.OpStop, agents.RCOK)
	run(agents.OpMonitor, agents.RCNotRunning)
	req := request(agents.OpMonitor)
	req.Agent.Type = "other"
	if res, _ := a.Run(ctx, req, nil); res.Status != agents.StatusNotInstalled {
		t.Errorf("a unit that is not there: %+v, want not installed", res)
	}
	if !a.Has(ctx, "web") || a.Has(ctx, "other") {
		t.Error("Has() is wrong")
	}
	if list, err := a.List(ctx); err != nil || len(list) != 1 || list[0].Type != "web" {
		t.Errorf("List() = %v, %v", list, err)
	}
}

func TestBus_NotThere(t *testing.T) {
	t.Parallel()
	a := New(Config{Address: "unix:path=" + filepath.Join(t.TempDir(), "none"), DropIns: t.TempDir()})
	res, _ := a.Run(context.Background(), request(agents.OpMonitor), nil)
	if res.Status != agents.StatusError || !strings.Contains(res.Reason, "systemd does not answer") {
		t.Errorf("Run() = %+v, want an error that says so", res)
	}
}
