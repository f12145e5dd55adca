package lab

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/quorate/quorate/crm/store/command"
)

var fenceCases = []labCase{
	{"fence-levels", "the device of the first level of the topology does not work, the second one does", fenceLevels, false, 3},
	{"fence-executor-kill", "the node process that carries out a fencing is killed in the middle", fenceExecutorKill, false, 3},
	{"fence-command", "an administrator has a machine switched off, and it comes back later", fenceCommand, false, 3},
}

// fencings returns the fencing history as the cluster has it.
func (t *trial) fencings() ([]command.FencingRecord, error) {
	s, err := t.state(t.ctx)
	if err != nil {
		return nil, err
	}
	return s.Fencing, nil
}

func fenceLevels(t *trial) error {
	l, err := t.leader(t.ctx)
	if err != nil {
		return err
	}
	// The socket of the wrong device is that of nobody.
	if _, err := t.crm(l, "configure", "primitive", "wrong", "stonith:fence_lab", "params", "socket=/nonexistent", "pcmk_host_list="+strings.Join(t.names(), " "),
		"pcmk_reboot_retries=2", "op", "monitor", "interval=0", "timeout=10s"); err != nil {
		return err
	}
	topology := []string{"configure", "fencing_topology"}
	for _, name := range t.names() {
		topology = append(topology, name+":", "wrong", "power")
	}
	if _, err := t.crm(l, topology...); err != nil {
		return err
	}
	return t.lose(false, t.recoveryLimit()+4*time.Second, t.powerCut, func(m *machine) error {
		list, err := t.fencings()
		if err != nil {
			return err
		}
		at := slices.IndexFunc(list, func(f command.FencingRecord) bool { return f.Target == m.name && f.OK })
		if at < 0 || list[at].Device != "power" || !strings.Contains(list[at].Detail, "wrong reboot") {
			return fmt.Errorf("history %+v: want a success of power after a failure of wrong", list)
		}
		return nil
	})
}

func fenceExecutorKill(t *trial) error {
	m, resources, err := t.victim(false)
	if err != nil {
		return err
	}
	t.power.SetMode(PowerSlow)
	defer t.power.SetMode(PowerOK)
	at := mono()
	if err := t.powerCut(m); err != nil {
		return err
	}
	executor := ""
	if err := t.poll(t.ctx, 10*time.Second, "a fencing to begin", func() error {
		s, err := t.state(t.ctx)
		if err != nil {
			return err
		}
		for i := range s.Pending {
			if s.Pending[i].Target == m.name {
				executor = s.Pending[i].Node
				return nil
			}
		}
		return errors.New("none is pending")
	}); err != nil {
		return err
	}
	if err := t.sleep(300 * time.Millisecond); err != nil {
		return err
	}
	if err := t.signal(t.node(executor), syscall.SIGKILL, true, "SIGKILL of the executor of the fencing"); err != nil {
		return err
	}
	if err := t.poll(t.ctx, 25*time.Second, "its resources to be started again", func() error {
		records, err := t.since(at)
		if err != nil {
			return err
		}
		for _, name := range resources {
			if !slices.ContainsFunc(records, func(r Record) bool { return r.Kind == KindUp && r.Resource == name }) {
				return fmt.Errorf("%s was not", name)
			}
		}
		return nil
	}); err != nil {
		return err
	}
	if err := t.recovered(at, resources, t.recoveryLimit()+2*t.power.Slow+2*time.Second); err != nil {
		return err
	}
	t.power.SetMode(PowerOK)
	list, err := t.fencings()
	if err != nil {
		return err
	}
	if len(list) == 0 || !list[0].OK || list[0].By != executor || slices.ContainsFunc(list[1:], func(f command.FencingRecord) bool { return f.Target == m.name }) {
		return fmt.Errorf("history %+v: want one fencing of %s, taken over by the next process of %s", list, m.name, executor)
	}
	records, err := t.since(at)
	if err != nil {
		return err
	}
	cuts := 0
	for _, r := range records {
		if r.Kind == KindOff && r.By == ByFence && r.Node == m.name {
			cuts++
		}
	}
	if cuts != 1 {
		return fmt.Errorf("the switch cut %s %d times, want once", m.name, cuts)
	}
	return t.waitAll(25 * time.Second)
}

func fenceCommand(t *trial) error {
	var other *machine
	at := mono()
	return t.lose(true, t.recoveryLimit(), func(m *machine) error {
		if other = t.nodes[0]; other == m {
			other = t.nodes[1]
		}
		text, err := t.crm(other, "node", "fence", m.name, "--off")
		if err != nil {
			return err
		}
		if !strings.Contains(text, "off of "+m.name+" by ") {
			return fmt.Errorf("crm node fence printed %q", text)
		}
		if m.on() {
			return fmt.Errorf("%s has power after it was switched off", m.name)
		}
		return nil
	}, func(m *machine) error {
		if err := t.sleep(2 * t.profile.dead); err != nil {
			return err
		}
		off, err := t.offs(at)
		if err != nil {
			return err
		}
		if off != 1 {
			return fmt.Errorf("%s was switched off %d times, want once", m.name, off)
		}
		if _, err := t.crm(other, "node", "fence", m.name); err == nil {
			return fmt.Errorf("fencing of %s, which is off, was not refused", m.name)
		}
		return t.on(m)
	})
}
