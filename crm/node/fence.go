package node

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/quorate/quorate/agents"
	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/store/command"
	"github.com/quorate/quorate/fencing"
	"github.com/quorate/quorate/membership"
)

const (
	// fenceRunPrefix begins the ids of all runs that a fencer asks for.
	fenceRunPrefix = "fence:"
	// metadataTimeout bounds the question for an agent's metadata, and what a fencing waits for the answer.
	metadataTimeout = 10 * time.Second
	// metadataPause is the time after which it is asked again when it could not be had.
	metadataPause = time.Minute
	// fencePlugOff is the exit code with which an agent says that a plug is off when it is asked for the status.
	fencePlugOff agents.ExitCode = 2
)

// fencer carries out the fencings that the log hands to this node, and tells the leader who should carry one out. The
// work is done by a fencing.Core; this is its wiring: devices from the document, what their agents can do from
// the metadata, runs by the runner, answers by the log.
type fencer struct {
	n      *Node
	core   *fencing.Core
	orders map[string]*fenceOrder
	runs   map[string]fencing.Run
	kept   map[string][]string   // runs with a result that the runner keeps until the order is settled, by order
	kinds  map[string]*fenceKind // by type of agent
	asked  uint64

	devices  []fenceDevice
	revision uint64            // of the configuration that devices is of
	from     cib.Configuration // the parts that it was read from
	readAt   time.Time         // when it was read: rules may depend on the time
}

// fenceOrder is a fencing that was handed to this node.
type fenceOrder struct {
	p         command.Pending
	begun     bool // handed to the core
	cancelled bool // nobody waits for it any more
}

// fenceKind is what is known of a type of fence agents.
type fenceKind struct {
	can   fencing.Capabilities
	known bool
	tried bool               // a question for the metadata has ended, well or not
	run   string             // the one that is under way; "" = none
	until membership.Instant // of that question, or before which it is not asked again
}

func (f *fencer) init(n *Node) {
	f.n = n
	f.core = fencing.NewCore(fenceRunPrefix)
	f.orders, f.runs, f.kinds = map[string]*fenceOrder{}, map[string]fencing.Run{}, map[string]*fenceKind{}
	f.kept = map[string][]string{}
}

// isFenceRun reports whether the id of a run is one that a fencer made.
func isFenceRun(id string) bool { return strings.HasPrefix(id, fenceRunPrefix) }

// refresh reads the devices from the document again if they may be others.
func (f *fencer) refresh(s *command.State) {
	now := &s.Document.Config
	old := f.n.wall.Sub(f.readAt).Abs() >= time.Minute
	if s.Revision == f.revision && !old {
		return
	}
	// Most changes are of something else. What a change leaves alone is shared by the documents before and after it.
	if !old && sameList(now.Resources, f.from.Resources) && sameList(now.ResourceDefaults, f.from.ResourceDefaults) && sameList(now.Constraints, f.from.Constraints) {
		f.revision = s.Revision
		return
	}
	f.read(s)
}

// sameList reports whether two lists are one and the same; those of documents are never changed.
func sameList[T any](a, b []T) bool { return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0]) }

func (f *fencer) read(s *command.State) {
	c := &s.Document.Config
	f.revision, f.readAt = s.Revision, f.n.wall
	f.from = cib.Configuration{Resources: c.Resources, ResourceDefaults: c.ResourceDefaults, Constraints: c.Constraints}
	f.devices = fenceDevices(s.Document, f.n.wall)
}

// learn asks for the metadata of agents of which it is not known yet.
func (f *fencer) learn() {
	f.refresh(f.n.con.state)
	maps.DeleteFunc(f.kinds, func(name string, _ *fenceKind) bool {
		return !slices.ContainsFunc(f.devices, func(d fenceDevice) bool { return d.agent.Type == name })
	})
	for i := range f.devices {
		d := &f.devices[i]
		k := f.kinds[d.agent.Type]
		if k == nil {
			k = &fenceKind{}
			f.kinds[d.agent.Type] = k
		}
		if k.run != "" && f.n.now >= k.until {
			k.run, k.tried, k.until = "", true, f.n.now.Add(metadataPause)
		}
		if k.known || k.run != "" || f.n.now < k.until {
			continue
		}
		f.asked++
		k.run, k.until = fmt.Sprintf("%s%x:m%d", fenceRunPrefix, uint64(f.n.cfg.Incarnation), f.asked), f.n.now.Add(2*metadataTimeout)
		f.n.out.Start = append(f.n.out.Start, agents.Request{ID: k.run, Resource: d.id, Agent: d.agent, Operation: agents.OpMetadata,
			Timeout: metadataTimeout, Node: f.n.cfg.Name})
	}
}

// learned takes the metadata of an agent.
func (f *fencer) learned(name string, k *fenceKind, r agents.Result) {
	k.run, k.tried = "", true
	var m *agents.Metadata
	err := fmt.Errorf("%s", r.Describe())
	if r.Status == agents.StatusDone && r.RC == agents.RCOK {
		m, err = agents.ParseMetadata([]byte(r.Output))
	}
	if err != nil {
		k.until = f.n.now.Add(metadataPause)
		f.n.note(Warn, "metadata of a fence agent cannot be had; it is taken for one with the usual operations", "agent", name, "error", err)
		return
	}
	k.can, k.known = fencing.CapabilitiesOf(m), true
}

// learning reports whether an agent was asked for its metadata for the first time and has not answered yet.
func (f *fencer) learning() bool {
	for _, k := range f.kinds {
		if !k.tried {
			return true
		}
	}
	return false
}

// parsed gives the devices in the core's form. Where the metadata is not known, an agent is taken for one that
// reboots and takes the name of the node as its plug.
func (f *fencer) parsed(but func(*fenceDevice) bool) []fencing.Device {
	var list []fencing.Device
	for i := range f.devices {
		d := &f.devices[i]
		if but != nil && but(d) {
			continue
		}
		can := fencing.Capabilities{Argument: "plug"}
		if k := f.kinds[d.agent.Type]; k != nil && k.known {
			can = k.can
		}
		device, _ := fencing.ParseDevice(d.id, d.params, can) // the shell tells of problems when they are written
		device.Unfences = device.Unfences || d.provides
		device.Version = d.agent.String() + " " + paramsDigest(d.params)
		list = append(list, device)
	}
	return list
}

// choose names the member that should do op to the target; "" = nobody can now. When there is no device for the
// target this node is named: its answer says why, in the history.
func (f *fencer) choose(s *command.State, target, op string, online []string) string {
	f.refresh(s)
	devices := f.parsed(nil)
	attribute := nodeAttribute(s.Document, f.n.wall)
	levels, _ := fencing.Plan(fencing.Subject{Target: target, Action: fencing.Action(op),
		Attribute: func(name string) (string, bool) { return attribute(target, name) }}, devices, fenceTopology(s.Document))
	if len(levels) == 0 {
		return f.n.cfg.Name
	}
	onTarget := func(id string) bool {
		return slices.ContainsFunc(devices, func(d fencing.Device) bool { return d.ID == id && d.OnTarget })
	}
	if op == string(fencing.On) && slices.ContainsFunc(levels[0], onTarget) {
		if slices.Contains(online, target) {
			return target
		}
		return ""
	}
	failures := s.FencingFailures(target)
	who, _ := fencing.Choose(fencing.Choice{Target: target, Levels: levels, Online: online, Leader: f.n.cfg.Name,
		Active: func(device, node string) bool {
			return slices.ContainsFunc(s.Document.Status.Nodes, func(st cib.NodeState) bool { return st.Name == node && deviceActive(&st, device) })
		},
		Banned: func(device, node string) bool {
			return slices.ContainsFunc(f.devices, func(d fenceDevice) bool { return d.id == device && slices.Contains(d.banned, node) })
		},
		Failed: func(node string) (count int) {
			for i := range failures {
				if failures[i].By == node {
					count++
				}
			}
			return count
		}})
	return who
}

// do begins a fencing that was handed to this node, at once or when the agents' metadata is known.
func (f *fencer) do(p command.Pending) {
	id := orderID(&p)
	if f.orders[id] != nil {
		return
	}
	f.n.note(Warn, "fencing", "target", p.Target, "action", p.FenceOp, "reason", p.Reason)
	f.orders[id] = &fenceOrder{p: p}
	f.learn()
	f.begin()
}

// orderID names an order for all times; ids of runs contain it. A process that takes over an order from an earlier one of
// its node names it alike.
func orderID(p *command.Pending) string {
	return fmt.Sprintf("%d.%d.%d.%d", p.ID.Term, p.ID.Transition, p.ID.Action, p.Index)
}

// orderOf is the order that a run is of; "" = none.
func orderOf(run string) string {
	id, _, ok := strings.Cut(strings.TrimPrefix(run, fenceRunPrefix), ":")
	if !ok {
		return ""
	}
	return id
}

// begin hands the orders that wait to the core.
func (f *fencer) begin() {
	for _, id := range slices.Sorted(maps.Keys(f.orders)) {
		o := f.orders[id]
		if o.begun || f.learning() {
			continue
		}
		o.begun = true
		doc := f.n.con.state.Document
		f.read(f.n.con.state) // rules may give other parameters by now
		banned := func(d *fenceDevice) bool { return slices.Contains(d.banned, f.n.cfg.Name) }
		f.core.Configure(f.parsed(banned), fenceTopology(doc), nodeAttribute(doc, f.n.wall))
		timeout, err := cib.ParseInterval(cib.EffectiveProperty(doc, "fencing-timeout"))
		if err != nil {
			timeout = 0
		}
		f.asked++
		f.core.Start(fencing.Order{ID: id, Target: o.p.Target, Action: fencing.Action(o.p.FenceOp),
			Timeout: time.Duration(timeout) * time.Millisecond, Delay: fenceDelay(&o.p),
			// The incarnation was drawn at random by who started this process.
			Random: mix(uint64(f.n.cfg.Incarnation) + f.asked)}, f.n.now)
	}
	f.output()
}

// fenceDelay is the delay that the policy wants, such as priority-fencing-delay, in addition to that of the device.
func fenceDelay(p *command.Pending) time.Duration {
	seconds, err := strconv.ParseInt(p.Attributes["CRM_meta_priority_fencing_delay"], 10, 32)
	if err != nil {
		return 0
	}
	return time.Duration(seconds) * time.Second
}

// mix spreads the bits of x (the finalizer of splitmix64).
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// tick lets the core do what is due. A node that is alone begins nothing: the others decide now, and may want
// something else. But one of two voters decides about the other by itself.
func (f *fencer) tick() {
	f.learn()
	if f.n.member.Alone() {
		for _, id := range slices.Sorted(maps.Keys(f.orders)) {
			if o := f.orders[id]; !o.cancelled && !f.n.votes.ordered(o.p.ID) {
				f.cancel(id)
				f.finish(o, fencing.Answer{Problems: []string{"this node lost its quorum before the end"}, Started: f.n.now, Ended: f.n.now})
			}
		}
	}
	f.begin()
	f.core.Tick(f.n.now)
	f.output()
}

func (f *fencer) nextTick() membership.Instant {
	next := membership.Instant(1<<63 - 1)
	if t, ok := f.core.NextTick(); ok {
		next = t
	}
	for _, k := range f.kinds {
		if !k.known {
			next = min(next, max(k.until, f.n.now))
		}
	}
	return next
}

// output passes on what the core wants.
func (f *fencer) output() {
	o := f.core.Ready()
	for _, r := range o.Runs {
		at := slices.IndexFunc(f.devices, func(d fenceDevice) bool { return d.id == r.Device })
		if at < 0 {
			f.core.Finished(r.ID, fencing.Result{Reason: "the device does not exist any more"}, f.n.now)
			continue
		}
		f.runs[r.ID] = r
		d := &f.devices[at]
		f.n.out.Start = append(f.n.out.Start, agents.Request{ID: r.ID, Resource: d.id, Agent: d.agent, Operation: agents.Operation(r.Operation),
			Timeout: r.Timeout, Params: fenceParams(d, &r, f.kinds[d.agent.Type]), Node: f.n.cfg.Name})
	}
	for _, a := range o.Answers {
		for _, id := range a.Orders {
			if order := f.orders[id]; order != nil {
				delete(f.orders, id)
				f.finish(order, a)
			}
		}
	}
	if f.core.HasReady() {
		f.output()
	}
	if len(f.core.Busy()) == 0 {
		maps.DeleteFunc(f.orders, func(_ string, o *fenceOrder) bool { return o.cancelled })
		clear(f.runs) // of a runner that never answered
	}
	f.forget()
}

// fenceParams are the parameters of a run. What the administrator wrote for the plug stays, except "dynamic".
func fenceParams(d *fenceDevice, r *fencing.Run, k *fenceKind) map[string]string {
	params := maps.Clone(d.params)
	written := params[r.Argument]
	if r.Argument == "plug" && written == "" {
		written = params["port"] // its name of old
	}
	if r.Argument != "" && (written == "" || written == "dynamic") {
		params[r.Argument] = r.Port
	}
	if k != nil && k.can.Nodename {
		params["nodename"] = r.Target
	}
	return params
}

// finished takes the result of a run if it is one of a fencer.
func (f *fencer) finished(r agents.Result) bool {
	if !isFenceRun(r.ID) {
		return false
	}
	for _, name := range slices.Sorted(maps.Keys(f.kinds)) {
		if k := f.kinds[name]; k.run == r.ID {
			f.learned(name, k, r)
			f.n.out.Ack = append(f.n.out.Ack, r.ID)
			f.begin()
			return true
		}
	}
	// The runner keeps it, for this process or for one after it, until the order is settled.
	if order := orderOf(r.ID); !slices.Contains(f.kept[order], r.ID) {
		f.kept[order] = append(f.kept[order], r.ID)
	}
	run, ok := f.runs[r.ID]
	if !ok {
		f.forget()  // if nobody waits for it any more
		return true // of an earlier process: this one asks for it when it has taken the order over
	}
	delete(f.runs, r.ID)
	f.core.Finished(r.ID, fenceResult(&run, &r), f.n.now)
	f.output()
	return true
}

// forget lets the runner forget the runs of orders that are settled. Before this process has joined, it does not know which
// are: it may be given those of an earlier one.
func (f *fencer) forget() {
	if !f.n.started || len(f.kept) == 0 {
		return
	}
	open := map[string]bool{}
	for id := range f.orders {
		open[id] = true
	}
	for i := range f.n.con.state.Pending {
		if p := &f.n.con.state.Pending[i]; p.Task == "stonith" && p.Node == f.n.cfg.Name {
			open[orderID(p)] = true
		}
	}
	for _, order := range slices.Sorted(maps.Keys(f.kept)) {
		if !open[order] {
			f.n.out.Ack = append(f.n.out.Ack, f.kept[order]...)
			delete(f.kept, order)
		}
	}
}

// fenceResult says what the result of an agent's run means for fencing.
func fenceResult(run *fencing.Run, r *agents.Result) fencing.Result {
	res := fencing.Result{Reason: r.Reason}
	if res.Reason == "" {
		res.Reason = r.Describe()
	}
	switch {
	case r.Status == agents.StatusTimeout:
		res.Outcome = fencing.Timeout
	case r.Status == agents.StatusDone && (r.RC == agents.RCOK || run.Operation == fencing.Status && r.RC == fencePlugOff):
		res.Outcome = fencing.Success
	}
	if run.Operation == fencing.List {
		res.Ports = fencing.ParseList(r.Output)
	}
	return res
}

// finish reports what came of an order.
func (f *fencer) finish(o *fenceOrder, a fencing.Answer) {
	detail := told(a.Problems)
	res := command.Result{Status: int(agents.StatusDone), ExitReason: agents.CleanLine(detail, agents.MaxReason), LastChange: f.n.wall.Unix(),
		Device: strings.Join(a.Devices, ","), ExecMS: a.Ended.Sub(a.Started).Milliseconds()}
	level := Info
	if !a.OK {
		res.RC, res.Status, level = int(agents.RCGeneric), int(agents.StatusError), Warn
	}
	f.n.note(level, "fencing ended", "target", o.p.Target, "action", o.p.FenceOp, "ok", a.OK, "late", a.Late, "devices", res.Device, "detail", detail,
		"took", a.Ended.Sub(a.Started))
	f.n.member.Finished(o.p.ID, res)
	f.n.votes.fencingEnded(&o.p, a.OK && !a.Late, detail, a.Started)
}

// told puts problems into one text. What went wrong several times in a row is told once, with the number.
func told(problems []string) string {
	var list []string
	for i := 0; i < len(problems); {
		n := 1
		for i+n < len(problems) && problems[i+n] == problems[i] {
			n++
		}
		text := problems[i]
		if n > 1 {
			text = fmt.Sprintf("%s (%d times)", text, n)
		}
		list = append(list, text)
		i += n
	}
	return strings.Join(list, "; ")
}

// cancel lets the core begin nothing more for an order.
func (f *fencer) cancel(id string) {
	f.orders[id].cancelled, f.orders[id].begun = true, true
	f.core.Cancel(id, f.n.now)
}

// applied cancels fencings that the cluster no longer waits for, and settles those that it has.
func (f *fencer) applied() {
	f.learn()
	for _, id := range slices.Sorted(maps.Keys(f.orders)) {
		o := f.orders[id]
		if !o.cancelled && !f.n.votes.ordered(o.p.ID) && !slices.ContainsFunc(f.n.con.state.Pending, func(p command.Pending) bool { return p.ID == o.p.ID }) {
			f.cancel(id)
		}
	}
	f.output()
}
