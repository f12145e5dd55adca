package node

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/quorate/quorate/agents"
	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/policy/values"
	"github.com/quorate/quorate/crm/rule"
	"github.com/quorate/quorate/crm/store/command"
	"github.com/quorate/quorate/membership"
)

// fencer carries out the fencings that the leader hands to this node: it finds the devices for the target and
// tries them in order until one level has confirmed.
type fencer struct {
	n    *Node
	jobs []*fenceJob
	next int
}

// fenceJob is one fencing under way.
type fenceJob struct {
	p        command.Pending
	levels   [][]device // devices of one level must all succeed
	level    int
	at       int // device of the level
	tries    int
	run      string // id of the run; "" = waiting for notBefore
	start    membership.Instant
	after    membership.Instant // not before this
	problems []string
}

// device is a fence device for one target.
type device struct {
	id     string
	agent  agents.Ref
	params map[string]string
	plug   string
}

// Defaults of fencing, as Pacemaker has them.
const (
	defaultFenceTimeout = 60 * time.Second
	fenceTries          = 2
	fencePause          = time.Second // between two tries of a device
)

func (f *fencer) init(n *Node) { f.n = n }

// choose names the member that should fence the target: one on which a device for it is active, else the first
// that is online; never the target itself. "" = nobody can.
func (f *fencer) choose(s *command.State, target string, online []string) string {
	levels := devicesFor(s.Document, target, f.n.wall)
	if len(levels) == 0 || len(online) == 0 {
		return ""
	}
	for _, d := range levels[0] {
		for i := range s.Document.Status.Nodes {
			st := &s.Document.Status.Nodes[i]
			if slices.Contains(online, st.Name) && deviceActive(st, d.id) {
				return st.Name
			}
		}
	}
	if slices.Contains(online, f.n.cfg.Name) {
		return f.n.cfg.Name
	}
	return online[0]
}

func deviceActive(st *cib.NodeState, id string) bool {
	for i := range st.History {
		if st.History[i].ID != id {
			continue
		}
		for _, op := range st.History[i].Operations {
			if op.Operation == "start" && op.RC == 0 && op.Status == 0 {
				return true
			}
		}
	}
	return false
}

// devicesFor lists the devices that can fence the target, by level of the topology. Without a topology for the
// target every device that knows it is a level of its own, in the order of the configuration.
func devicesFor(doc *cib.Document, target string, now time.Time) [][]device {
	all := map[string]device{}
	var order []string
	var walk func([]*cib.Resource)
	walk = func(list []*cib.Resource) {
		for _, r := range list {
			walk(r.Members)
			if r.Kind != cib.Primitive || !strings.EqualFold(r.Class, agents.ClassFence) {
				continue
			}
			params := map[string]string{}
			values.Pairs(r.Params, rule.Input{Now: now}, params)
			if plug, ok := plugOf(params, target); ok {
				all[r.ID] = device{id: r.ID, agent: agents.Ref{Class: agents.ClassFence, Type: r.Type}, params: params, plug: plug}
				order = append(order, r.ID)
			}
		}
	}
	walk(doc.Config.Resources)
	levels := map[int][]device{}
	var numbers []int
	for i := range doc.Config.FencingTopology {
		l := &doc.Config.FencingTopology[i]
		if l.Target != target {
			continue
		}
		index, err := strconv.Atoi(l.Index)
		if err != nil {
			continue
		}
		for _, id := range l.Devices {
			d, ok := all[id]
			if !ok {
				continue
			}
			if len(levels[index]) == 0 {
				numbers = append(numbers, index)
			}
			levels[index] = append(levels[index], d)
		}
	}
	var out [][]device
	if len(numbers) > 0 {
		slices.Sort(numbers)
		for _, n := range numbers {
			out = append(out, levels[n])
		}
		return out
	}
	for _, id := range order {
		out = append(out, []device{all[id]})
	}
	return out
}

// plugOf says whether a device with these parameters can fence the target, and under which name it knows it.
func plugOf(params map[string]string, target string) (string, bool) {
	for _, entry := range strings.FieldsFunc(params["pcmk_host_map"], func(r rune) bool { return r == ';' || r == ' ' || r == '\t' }) {
		name, plug, ok := strings.Cut(entry, ":")
		if !ok {
			name, plug, ok = strings.Cut(entry, "=")
		}
		if ok && strings.EqualFold(name, target) {
			return plug, true
		}
	}
	list := strings.FieldsFunc(params["pcmk_host_list"], func(r rune) bool { return r == ',' || r == ';' || r == ' ' || r == '\t' })
	for _, name := range list {
		if strings.EqualFold(name, target) {
			return target, true
		}
	}
	if params["pcmk_host_map"] == "" && len(list) == 0 {
		return target, true
	}
	return "", false
}

// do begins a fencing.
func (f *fencer) do(p command.Pending) {
	j := &fenceJob{p: p, levels: devicesFor(f.n.con.state.Document, p.Target, f.n.wall), start: f.n.now, after: f.n.now}
	if len(j.levels) == 0 {
		f.finish(j, false, "no fence device knows "+p.Target)
		return
	}
	if d := j.levels[0][0].params["pcmk_delay_base"]; d != "" {
		if ms, err := cib.ParseInterval(delayFor(d, p.Target)); err == nil {
			j.after = f.n.now.Add(time.Duration(ms) * time.Millisecond)
		}
	}
	f.n.note(Warn, "fencing", "target", p.Target, "action", p.FenceOp, "reason", p.Reason)
	f.jobs = append(f.jobs, j)
	f.tick()
}

// delayFor is the delay for one target of a pcmk_delay_base, which is one time or a map "node:time;...".
func delayFor(text, target string) string {
	if !strings.Contains(text, ":") {
		return text
	}
	for _, entry := range strings.FieldsFunc(text, func(r rune) bool { return r == ';' || r == ' ' }) {
		if name, t, ok := strings.Cut(entry, ":"); ok && strings.EqualFold(name, target) {
			return t
		}
	}
	return ""
}

// tick starts runs that are due.
func (f *fencer) tick() {
	if f.n.member.Alone() {
		return // the others decide now, and may want something else
	}
	for _, j := range slices.Clone(f.jobs) {
		if j.run == "" && f.n.now >= j.after {
			f.start(j)
		}
	}
}

func (f *fencer) nextTick() membership.Instant {
	next := membership.Instant(1<<63 - 1)
	if f.n.member.Alone() {
		return next
	}
	for _, j := range f.jobs {
		if j.run == "" {
			next = min(next, j.after)
		}
	}
	return next
}

func (f *fencer) start(j *fenceJob) {
	d := j.levels[j.level][j.at]
	f.next++
	j.run = fmt.Sprintf("fence:%d:%d:%d:%d", j.p.ID.Term, j.p.ID.Transition, j.p.ID.Action, f.next)
	params := map[string]string{}
	for k, v := range d.params {
		params[k] = v
	}
	argument := params["pcmk_host_argument"]
	if argument == "" {
		argument = "plug"
	}
	if argument != "none" {
		params[argument] = d.plug
	}
	op := j.p.FenceOp
	timeout := defaultFenceTimeout
	for _, name := range [...]string{"pcmk_" + op + "_timeout", "pcmk_reboot_timeout"} {
		if t := params[name]; t != "" {
			if ms, err := cib.ParseTimeout(t); err == nil && ms > 0 {
				timeout = time.Duration(ms) * time.Millisecond
				break
			}
		}
	}
	f.n.out.Start = append(f.n.out.Start, agents.Request{ID: j.run, Resource: d.id, Agent: d.agent, Operation: agents.Operation(op),
		Timeout: timeout, Params: params, Node: f.n.cfg.Name})
}

// isFenceRun reports whether the id of a run is one that start made.
func isFenceRun(id string) bool { return strings.HasPrefix(id, "fence:") }

// finished takes the result of a run if it is one of a fencing.
func (f *fencer) finished(r agents.Result) bool {
	at := slices.IndexFunc(f.jobs, func(j *fenceJob) bool { return j.run == r.ID })
	if at < 0 {
		return isFenceRun(r.ID)
	}
	j := f.jobs[at]
	j.run = ""
	d := j.levels[j.level][j.at]
	if r.Status == agents.StatusDone && r.RC == agents.RCOK {
		j.at++
		j.tries = 0
		j.after = f.n.now
		if j.at == len(j.levels[j.level]) {
			f.jobs = slices.Delete(f.jobs, at, at+1)
			f.finish(j, true, "by "+d.id)
			return true
		}
		f.tick()
		return true
	}
	reason := r.Reason
	if reason == "" {
		reason = r.Status.String()
	}
	j.problems = append(j.problems, d.id+": "+reason)
	j.tries++
	j.after = f.n.now.Add(fencePause)
	if j.tries >= fenceTries {
		j.tries, j.at = 0, 0
		j.level++
	}
	if j.level == len(j.levels) {
		f.jobs = slices.Delete(f.jobs, at, at+1)
		f.finish(j, false, strings.Join(j.problems, "; "))
		return true
	}
	f.tick()
	return true
}

func (f *fencer) finish(j *fenceJob, ok bool, detail string) {
	res := command.Result{Status: int(agents.StatusDone), ExitReason: agents.CleanLine(detail, agents.MaxReason), LastChange: f.n.wall.Unix(),
		ExecMS: f.n.now.Sub(j.start).Milliseconds()}
	level := Info
	if !ok {
		res.RC, res.Status, level = int(agents.RCGeneric), int(agents.StatusError), Warn
	}
	f.n.note(level, "fencing ended", "target", j.p.Target, "ok", ok, "detail", detail, "took", f.n.now.Sub(j.start))
	f.n.member.Finished(j.p.ID, res)
}

// applied drops fencings that the cluster no longer waits for.
func (f *fencer) applied() {
	for _, j := range slices.Clone(f.jobs) {
		if j.run != "" {
			continue // let it end: its answer is recorded or ignored
		}
		if !slices.ContainsFunc(f.n.con.state.Pending, func(p command.Pending) bool { return p.ID == j.p.ID }) {
			f.jobs = slices.DeleteFunc(f.jobs, func(x *fenceJob) bool { return x == j })
		}
	}
}
