package simtest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/quorate/quorate/agents"
)

// fenceKind is what the fence devices of a world are like.
type fenceKind int

const (
	fencePlain    fenceKind = iota // one device for all nodes, that reboots
	fenceList                      // its agent lists the plugs
	fenceStatus                    // its agent is asked for the status of a plug
	fenceNoReboot                  // its agent switches off and on only, and starts after a random delay
	fenceLevels                    // the device of the first level of the topology never works
	fenceKinds                     // their number
)

// powerSwitch is the fence device with its log.
type powerSwitch struct {
	w      *world
	kind   fenceKind
	refuse bool // operations fail
	crash  bool // the process that asks for the next cut ends in the middle
	slow   time.Duration
	log    []fencing
}

type fencing struct {
	at     time.Duration
	target string
	by     string
}

// definition gives the devices and the topology.
func (s *powerSwitch) definition() (devices, topology string) {
	const device = `<primitive id="%s" class="stonith" type="fence_sim"><instance_attributes id="%[1]s-a">` +
		`<nvpair id="%[1]s-passwd" name="passwd" value="` + canary + `"/>%s</instance_attributes>` +
		`<operations><op id="%[1]s-m" name="monitor" interval="60s" timeout="20s"/></operations></primitive>`
	const parameter = `<nvpair id="%s-%s" name="%[2]s" value="%s"/>`
	switch s.kind {
	case fenceNoReboot:
		return fmt.Sprintf(device, "power", fmt.Sprintf(parameter, "power", "pcmk_delay_max", "200ms")), ""
	case fenceLevels:
		return fmt.Sprintf(device, "dead", fmt.Sprintf(parameter, "dead", "works", "no")) + fmt.Sprintf(device, "power", ""),
			`<fencing-level id="l1" index="1" target-pattern="n.*" devices="dead"/><fencing-level id="l2" index="2" target-pattern="n.*" devices="power"/>`
	}
	return fmt.Sprintf(device, "power", ""), ""
}

// metadata is that of the device's agent.
func (s *powerSwitch) metadata() string {
	actions := []string{"off", "on", "monitor"}
	if s.kind != fenceNoReboot {
		actions = append(actions, "reboot")
	}
	if s.kind == fenceList {
		actions = append(actions, "list")
	}
	if s.kind == fenceStatus {
		actions = append(actions, "status")
	}
	return `<resource-agent name="fence_sim"><parameters><parameter name="plug"/></parameters><actions><action name="` +
		strings.Join(actions, `"/><action name="`) + `"/></actions></resource-agent>`
}

// run carries out an operation of the fence device.
func (s *powerSwitch) run(m *machine, r *run) {
	w := s.w
	req := r.req
	took := w.between(20*time.Millisecond, 300*time.Millisecond) + s.slow
	target := req.Params["plug"]
	refuse := func() bool {
		return s.refuse || req.Params["works"] == "no" && req.Operation != agents.OpMonitor && req.Operation != agents.OpStart
	}
	switch req.Operation {
	case agents.OpOff, agents.OpReboot:
		w.tell("%s asks the switch: %s %s", m.name, req.Operation, target)
		s.twice(m, r)
		if s.crash {
			s.crash = false
			w.after(w.between(0, took+50*time.Millisecond), func() { w.crashOf(m) })
		}
		helped := w.helped(m)
		w.after(took, func() {
			// The switch acts even if the one who asked is gone meanwhile.
			if refuse() {
				w.hit("fencing refused")
				if !r.gone {
					m.finish(r, agents.StatusDone, agents.RCGeneric)
				}
				return
			}
			t := w.machineByName(target)
			if t == nil {
				w.violate("contract", "%s fences %q, which is no machine", m.name, target)
				return
			}
			if t == m && helped {
				w.violate("contract", "%s fences itself", m.name)
				return
			}
			t.powerOff("fenced by " + m.name)
			s.log = append(s.log, fencing{w.now, target, m.name})
			w.ledger.fenced(t)
			w.hit("fenced")
			boot := t.boot
			w.after(w.between(3*time.Second, 8*time.Second), func() {
				if t.boot == boot {
					t.powerOn()
				}
			})
			if took > req.Timeout {
				if !r.gone {
					m.finish(r, agents.StatusTimeout, agents.RCGeneric)
				}
				return
			}
			// The answer takes its way back; the one who asked may have died of it meanwhile.
			w.after(w.between(time.Millisecond, 50*time.Millisecond), func() {
				if !r.gone && r.result == nil {
					m.finish(r, agents.StatusDone, agents.RCOK)
				}
			})
		})
	default: // start, monitor, on, questions: the switch answers
		rc := agents.RCOK
		switch {
		case req.Operation == agents.OpMetadata:
			r.output = s.metadata()
		case refuse():
			rc = agents.RCGeneric
		case req.Operation == agents.OpList:
			r.output = "n1,\nn2,\nn3,\nn4,\nn5,\n"
			w.hit("fence device asked")
		case req.Operation == agents.OpStatus:
			w.hit("fence device asked")
			if t := w.machineByName(target); t == nil || !t.on {
				rc = 2
			}
		}
		w.after(w.between(10*time.Millisecond, 100*time.Millisecond), func() {
			if !r.gone && !r.killed && r.result == nil {
				m.finish(r, agents.StatusDone, rc)
			}
		})
	}
}

// twice checks that a process does not begin anew what an earlier one of its machine has under way with the switch, or has
// done, if the target has not been on since.
func (s *powerSwitch) twice(m *machine, r *run) {
	for _, id := range m.runOrder {
		old := m.runs[id]
		if old == nil || old == r || old.owner == r.owner || old.req.Params["plug"] != r.req.Params["plug"] ||
			old.req.Operation != agents.OpOff && old.req.Operation != agents.OpReboot {
			continue
		}
		t := s.w.machineByName(r.req.Params["plug"])
		done := old.result != nil && old.result.RC == agents.RCOK && old.result.Status == agents.StatusDone
		if (old.result == nil || done) && t != nil && t.proc == nil {
			s.w.violate("I13", "%s asks the switch to cut %s by %s, and %s of its earlier process does or did so", m.name, t.name, r.id, old.id)
		}
	}
}

// settledAfter is how long a process that others hear takes at most to be one of them.
const settledAfter = 10 * time.Second

// helped reports whether another machine could fence this one: a node fences itself only when there is none. A witness runs no
// fence devices.
func (w *world) helped(m *machine) bool {
	return slices.ContainsFunc(w.machines, func(o *machine) bool {
		return o != m && !o.witness && o.proc != nil && w.now >= max(o.proc.began, o.proc.pausedUntil)+settledAfter &&
			w.net.connected(m.id, o.id) && w.net.connected(o.id, m.id)
	})
}
