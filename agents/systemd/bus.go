package systemd

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/godbus/dbus/v5"
)

// Names on the bus.
const (
	busName     = "org.freedesktop.systemd1"
	managerPath = "/org/freedesktop/systemd1"
	managerName = busName + ".Manager"
	unitIface   = busName + ".Unit"
	jobIface    = busName + ".Job"
)

// bus is systemd over D-Bus.
type bus struct {
	conn    *dbus.Conn
	signals chan *dbus.Signal
}

// dialBus connects; address "" means the system bus. The connection outlives ctx, so that a job can be cancelled.
func dialBus(ctx context.Context, address string) (manager, error) {
	type dialled struct {
		conn *dbus.Conn
		err  error
	}
	ready := make(chan dialled)
	go func() {
		var d dialled
		if address == "" {
			d.conn, d.err = dbus.ConnectSystemBus()
		} else {
			d.conn, d.err = dbus.Connect(address)
		}
		select {
		case ready <- d:
		case <-ctx.Done():
			if d.conn != nil {
				d.conn.Close()
			}
		}
	}()
	select {
	case d := <-ready:
		if d.err != nil {
			return nil, d.err
		}
		return &bus{conn: d.conn}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (b *bus) manager() dbus.BusObject { return b.conn.Object(busName, managerPath) }

// Close implements manager.
func (b *bus) Close() error { return b.conn.Close() }

// State implements manager.
func (b *bus) State(ctx context.Context, unit string) (unitState, error) {
	var path dbus.ObjectPath
	if err := b.manager().CallWithContext(ctx, managerName+".LoadUnit", 0, unit).Store(&path); err != nil {
		return unitState{}, busError(unit, err)
	}
	var all map[string]dbus.Variant
	err := b.conn.Object(busName, path).CallWithContext(ctx, "org.freedesktop.DBus.Properties.GetAll", 0, unitIface).Store(&all)
	if err != nil {
		return unitState{}, busError(unit, err)
	}
	text := func(name string) string { s, _ := all[name].Value().(string); return s }
	return unitState{Load: text("LoadState"), Active: text("ActiveState"), Sub: text("SubState"), Description: text("Description")}, nil
}

// busError tells a unit that is not there from other errors.
func busError(unit string, err error) error {
	var e dbus.Error
	if errors.As(err, &e) && (e.Name == busName+".NoSuchUnit" || e.Name == "org.freedesktop.DBus.Error.FileNotFound") {
		return fmt.Errorf("unit %s: %w", unit, errNoUnit)
	}
	return fmt.Errorf("unit %s: %w", unit, err)
}

// cancelTime bounds the request to cancel a job that took too long.
const cancelTime = time.Second

// Job implements manager.
func (b *bus) Job(ctx context.Context, verb, unit string) (string, error) {
	method := map[string]string{"start": "StartUnit", "stop": "StopUnit", "reload": "ReloadUnit"}[verb]
	if method == "" {
		return "", fmt.Errorf("systemd has no job %q", verb)
	}
	if b.signals == nil {
		// Before the job: its end may come at once.
		if err := b.conn.AddMatchSignalContext(ctx, dbus.WithMatchInterface(managerName), dbus.WithMatchMember("JobRemoved")); err != nil {
			return "", err
		}
		b.signals = make(chan *dbus.Signal, 256)
		b.conn.Signal(b.signals)
		if err := b.manager().CallWithContext(ctx, managerName+".Subscribe", 0).Err; err != nil {
			return "", err
		}
	}
	var job dbus.ObjectPath
	if err := b.manager().CallWithContext(ctx, managerName+"."+method, 0, unit, "replace").Store(&job); err != nil {
		return "", busError(unit, err)
	}
	for {
		select {
		case <-ctx.Done():
			late, cancel := context.WithTimeout(context.WithoutCancel(ctx), cancelTime)
			defer cancel()
			// It may have ended meanwhile, and then there is nothing to cancel.
			_ = b.conn.Object(busName, job).CallWithContext(late, jobIface+".Cancel", 0).Err
			return "", ctx.Err()
		case s, open := <-b.signals:
			if !open || s == nil {
				return "", errors.New("the connection to systemd was lost")
			}
			if len(s.Body) != 4 || s.Body[1] != job {
				continue
			}
			result, _ := s.Body[3].(string)
			return result, nil
		}
	}
}

// Reload implements manager.
func (b *bus) Reload(ctx context.Context) error {
	return b.manager().CallWithContext(ctx, managerName+".Reload", 0).Err
}

// Units implements manager.
func (b *bus) Units(ctx context.Context) ([]string, error) {
	var files []struct{ Path, State string }
	if err := b.manager().CallWithContext(ctx, managerName+".ListUnitFiles", 0).Store(&files); err != nil {
		return nil, err
	}
	list := make([]string, 0, len(files))
	for _, f := range files {
		list = append(list, f.Path)
	}
	return list, nil
}
