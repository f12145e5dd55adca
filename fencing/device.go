package fencing

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/quorate/quorate/agents"
	"github.com/quorate/quorate/crm/cib"
)

// Action is what is done to a node. The text is the name of the agent's operation.
type Action string

// Actions on nodes, and the questions that devices are asked.
const (
	Off    Action = "off"
	On     Action = "on"
	Reboot Action = "reboot"
	// Status asks whether one plug is on; List asks which plugs there are.
	Status Action = "status"
	List   Action = "list"
)

// Valid reports whether the action may be requested.
func (a Action) Valid() bool { return a == Off || a == On || a == Reboot }

// Confirms reports whether the success of the action means that what ran on the node runs no more.
func (a Action) Confirms() bool { return a == Off || a == Reboot }

// Limits and defaults of devices.
const (
	// DefaultTimeout is how long an operation of a device may take (property fencing-timeout).
	DefaultTimeout = 60 * time.Second
	// MaxTimeout bounds the timeout of an operation, and a delay.
	MaxTimeout = time.Hour
	// defaultAttempts is how often a device is tried (pcmk_off_retries and so on).
	defaultAttempts = 2
	// maxAttempts bounds it.
	maxAttempts = 20
	// MaxDevices bounds the devices of a cluster, and those of a topology level.
	MaxDevices = 1024
)

// HostCheck is how the nodes that a device can fence are found.
type HostCheck uint8

const (
	// CheckStatic: they are listed in the configuration.
	CheckStatic HostCheck = iota
	// CheckList: the agent lists its plugs.
	CheckList
	// CheckStatus: the agent is asked for the status of the node's plug.
	CheckStatus
	// CheckNone: the device can fence every node.
	CheckNone
)

// Capabilities is what the agent's metadata says of it.
type Capabilities struct {
	// NoReboot, List, Status: whether it has these operations.
	NoReboot, List, Status bool
	// Argument is the parameter that names the plug: "port" or "plug"; "" when it has none.
	Argument string
	// Nodename: it also wants the name that the cluster has for the target, as parameter nodename.
	Nodename bool
	// Unfences: a node must be switched on by it before it may use what the device guards. OnTarget: that has to
	// run on the node itself.
	Unfences, OnTarget bool
}

// CapabilitiesOf reads an agent's metadata. Agents of the field name the plug "plug"; "port" is its name of old.
func CapabilitiesOf(m *agents.Metadata) Capabilities {
	has := func(op Action) bool { _, ok := m.Action(agents.Operation(op)); return ok }
	c := Capabilities{NoReboot: !has(Reboot), List: has(List), Status: has(Status)}
	for _, name := range [...]string{"port", "plug"} {
		if _, ok := m.Parameter(name); ok {
			c.Argument = name
		}
	}
	_, c.Nodename = m.Parameter("nodename")
	on, _ := m.Action(agents.Operation(On))
	c.Unfences, c.OnTarget = on.Automatic, on.OnTarget
	return c
}

// Device is a fence device as configured.
type Device struct {
	ID    string
	Check HostCheck
	// Hosts are the nodes of pcmk_host_list; Ports what the device calls nodes.
	Hosts []string
	Ports []Port
	// Argument is the parameter that names the plug to the agent; "" = none.
	Argument string
	// NoReboot: the agent can't reboot; off and on are used.
	NoReboot bool
	// Nodename, Unfences, OnTarget: as in Capabilities.
	Nodename, Unfences, OnTarget bool
	// Limit is the number of operations that may run on the device at a time; -1 = without limit.
	Limit int
	// Version is another when the device is: what it said before counts for nothing then.
	Version string
	// Off, On, Reboot and Ask (status and list) say how long and how often; zero fields mean the defaults.
	Off, On, Reboot, Status, List Tries
	// Delays are delays before fencing by node; Delay is for all others. DelayMax, when larger, is the upper
	// bound of a delay chosen at random.
	Delay    time.Duration
	Delays   []NodeDelay
	DelayMax time.Duration
}

// Port is what a device calls a node. It may be a list that the agent understands ("2,3").
type Port struct{ Node, Port string }

// NodeDelay is the delay for one node.
type NodeDelay struct {
	Node  string
	Delay time.Duration
}

// Tries is how long and how often an operation is tried.
type Tries struct {
	// Timeout is for all attempts together; 0 = that of the request.
	Timeout time.Duration
	// Attempts is how often it is tried at most; 0 = 2.
	Attempts int
}

func (d *Device) tries(a Action) Tries {
	switch a {
	case Off:
		return d.Off
	case On:
		return d.On
	case Reboot:
		return d.Reboot
	case Status:
		return d.Status
	case List:
		return d.List
	}
	return Tries{}
}

// ParseDevice reads the pcmk_ parameters of a device. Parameters of the agent are ignored. A parameter that
// can't be read has its default, and a problem says so; problems begin with the parameter's name and are in
// a fixed order.
func ParseDevice(id string, params map[string]string, can Capabilities) (Device, []string) {
	d := Device{ID: id, NoReboot: can.NoReboot, Limit: 1, Argument: can.Argument,
		Nodename: can.Nodename, Unfences: can.Unfences, OnTarget: can.OnTarget}
	var problems []string
	problem := func(name, format string, args ...any) {
		problems = append(problems, fmt.Sprintf("%s of %s: %s", name, id, fmt.Sprintf(format, args...)))
	}
	duration := func(name, text string) time.Duration {
		ms, err := cib.ParseInterval(strings.TrimSpace(text))
		if err != nil {
			problem(name, "%v", err)
			return 0
		}
		if v := time.Duration(ms) * time.Millisecond; v <= MaxTimeout {
			return v
		}
		problem(name, "%q is more than %v; %v is used", text, MaxTimeout, MaxTimeout)
		return MaxTimeout
	}

	d.Hosts = splitHosts(params["pcmk_host_list"])
	var bad string
	if d.Ports, bad = parseMap(params["pcmk_host_map"]); bad != "" {
		problem("pcmk_host_map", "%q is no pair NODE:PORT", bad)
	}
	switch c := params["pcmk_host_check"]; c {
	case "static-list":
		d.Check = CheckStatic
	case "dynamic-list":
		d.Check = CheckList
	case "status":
		d.Check = CheckStatus
	case "none":
		d.Check = CheckNone
	default:
		if c != "" {
			problem("pcmk_host_check", "%q is none of static-list, dynamic-list, status, none", c)
		}
		switch {
		case len(d.Hosts) > 0 || len(d.Ports) > 0:
			d.Check = CheckStatic
		case can.List:
			d.Check = CheckList
		case can.Status:
			d.Check = CheckStatus
		default:
			d.Check = CheckNone
		}
	}
	if params["pcmk_reboot_action"] != "" {
		d.NoReboot = false // somebody said what a reboot is
	}
	if arg := params["pcmk_host_argument"]; arg == "none" {
		d.Argument = ""
	} else if arg != "" {
		d.Argument = arg
	}
	for _, op := range []struct {
		action Action
		tries  *Tries
	}{{Off, &d.Off}, {On, &d.On}, {Reboot, &d.Reboot}, {Status, &d.Status}, {List, &d.List}} {
		name := "pcmk_" + string(op.action) + "_timeout"
		if t := params[name]; t != "" {
			op.tries.Timeout = duration(name, t)
		}
		name = "pcmk_" + string(op.action) + "_retries"
		if t := params[name]; t != "" {
			n, err := strconv.Atoi(strings.TrimSpace(t))
			if err != nil || n < 1 || n > maxAttempts {
				problem(name, "%q is no number from 1 to %d", t, maxAttempts)
			} else {
				op.tries.Attempts = n
			}
		}
	}
	if t := params["pcmk_action_limit"]; t != "" {
		n, err := strconv.Atoi(strings.TrimSpace(t))
		switch {
		case err != nil || n < -1:
			problem("pcmk_action_limit", "%q is no number from -1 up", t)
		case n == 0:
			problem("pcmk_action_limit", "0 would forbid every action; 1 is used")
		default:
			d.Limit = n
		}
	}
	if t := params["pcmk_delay_max"]; t != "" {
		d.DelayMax = duration("pcmk_delay_max", t)
	}
	if t := params["pcmk_delay_base"]; strings.ContainsAny(t, ":=") {
		pairs, bad := parseMap(t)
		if bad != "" {
			problem("pcmk_delay_base", "%q is no pair NODE:DELAY", bad)
		}
		for _, p := range pairs {
			d.Delays = append(d.Delays, NodeDelay{p.Node, duration("pcmk_delay_base", p.Port)})
		}
	} else if t != "" {
		d.Delay = duration("pcmk_delay_base", t)
	}
	return d, problems
}

// splitHosts splits a list of nodes at blanks, commas and semicolons.
func splitHosts(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" \t\r\n,;", r) })
}

// parseMap reads "node:port;node:port ...". A backslash takes the meaning from the next character. It also
// returns the first entry that is no pair.
func parseMap(text string) (pairs []Port, bad string) {
	var node, port, raw strings.Builder
	sep := false
	end := func() {
		switch {
		case raw.Len() == 0:
		case !sep || node.Len() == 0 || port.Len() == 0:
			if bad == "" {
				bad = raw.String()
			}
		default:
			pairs = append(pairs, Port{node.String(), port.String()})
		}
		node.Reset()
		port.Reset()
		raw.Reset()
		sep = false
	}
	escaped := false
	for _, r := range text {
		if !escaped {
			switch {
			case r == '\\':
				escaped = true
				raw.WriteRune(r)
				continue
			case strings.ContainsRune(" \t\r\n;", r):
				end()
				continue
			case !sep && (r == ':' || r == '='):
				sep = true
				raw.WriteRune(r)
				continue
			}
		}
		escaped = false
		raw.WriteRune(r)
		if sep {
			port.WriteRune(r)
		} else {
			node.WriteRune(r)
		}
	}
	end()
	return pairs, bad
}

// Knowledge is whether a device can fence a node.
type Knowledge uint8

const (
	// No: it can't.
	No Knowledge = iota
	// Yes: it can.
	Yes
	// Ask: its agent must be asked.
	Ask
)

// Knows says whether the device can fence the target, and what it calls it. Names of nodes are compared
// without regard to case, as in the field.
func (d *Device) Knows(target string) (Knowledge, string) {
	port, mapped := target, false
	for _, p := range d.Ports {
		if strings.EqualFold(p.Node, target) {
			port, mapped = p.Port, true
			break
		}
	}
	switch d.Check {
	case CheckNone:
		return Yes, port
	case CheckList, CheckStatus:
		return Ask, port
	}
	if mapped || slices.ContainsFunc(d.Hosts, func(h string) bool { return strings.EqualFold(h, target) }) {
		return Yes, port
	}
	return No, port
}

// question is what the agent is asked to find out whether it knows a node.
func (d *Device) question() Action {
	if d.Check == CheckList {
		return List
	}
	return Status
}

// delay returns how long to wait before the target is fenced; random chooses in the range.
func (d *Device) delay(target string, random uint64) time.Duration {
	base := d.Delay
	for _, n := range d.Delays {
		if strings.EqualFold(n.Node, target) {
			base = n.Delay
			break
		}
	}
	if d.DelayMax > base {
		// In milliseconds; the bound itself is possible.
		span := uint64((d.DelayMax-base)/time.Millisecond) + 1
		return base + time.Duration(random%span)*time.Millisecond
	}
	return base
}

// Level is a level of the fencing topology: devices that must all succeed.
type Level struct {
	// One of these says for which nodes it is: the name of a node; an expression that must match the whole
	// name; or an attribute of the node with its value.
	Target, Pattern, Attribute, Value string
	// Index orders the levels of a target: the lowest is tried first.
	Index   int
	Devices []string
}

// Topology is the fencing topology.
type Topology []Level

// For returns the devices of the levels for a target, in the order in which they are to be tried; nil when the
// topology says nothing of it. A level that names the target comes before one with a pattern, and that before
// one with an attribute: only levels of the first kind found count. attribute gives the attributes of the
// target; nil = none are known.
func (t Topology) For(target string, attribute func(name string) (string, bool)) [][]string {
	kinds := []func(*Level) bool{
		func(l *Level) bool { return l.Target != "" && strings.EqualFold(l.Target, target) },
		func(l *Level) bool {
			if l.Pattern == "" {
				return false
			}
			re, err := regexp.Compile("^(?:" + l.Pattern + ")$")
			return err == nil && re.MatchString(target)
		},
		func(l *Level) bool {
			if l.Attribute == "" || attribute == nil {
				return false
			}
			v, ok := attribute(l.Attribute)
			return ok && v == l.Value
		},
	}
	for _, is := range kinds {
		byIndex := map[int][]string{}
		var order []int
		for i := range t {
			if l := &t[i]; is(l) {
				if _, ok := byIndex[l.Index]; !ok {
					order = append(order, l.Index)
				}
				byIndex[l.Index] = append(byIndex[l.Index], l.Devices...)
			}
		}
		if len(order) == 0 {
			continue
		}
		slices.Sort(order)
		var levels [][]string
		for _, i := range order {
			levels = append(levels, byIndex[i])
		}
		return levels
	}
	return nil
}
