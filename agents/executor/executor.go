// Package executor decides on one node which operation of which agent runs when. It is a state machine in
// the form of raft: inputs (Do, Cancel, SetRecurring, Adopt, RunFinished, Tick) come with the time, and
// Ready returns what is to be done: runs to start, runs to cancel, results to report. It starts nothing
// itself, has no clock and no goroutine, and equal inputs give equal outputs. A Core belongs to one
// goroutine.
//
// # Rules
//
//   - Operations of one resource run one after the other. Different resources run side by side, up to
//     Config.MaxParallel runs on the node; actions go before recurring monitors.
//   - An action is known by term, transition and number. One that was seen is not run again: while it
//     waits or runs the repetition is ignored, afterwards its result is reported again.
//   - An action of an older term or log index than the newest seen is refused, as is one for another
//     incarnation of this process. So a deposed leader starts nothing.
//   - A recurring monitor runs at fixed times: its interval apart, whatever the runs take. A time that comes
//     while the resource is busy is served as soon as it is free; times missed meanwhile are left out.
//     Monitors with equal intervals are spread over the interval by a hash of their name. An action for a
//     resource whose monitor runs lets it finish for PreemptDelay, then the monitor is cancelled.
//   - The first result of a recurring monitor is the result of its action. Later ones are reported when
//     code, status, reason or digest differ from the last that was reported.
//   - Start, stop, migrate_to and migrate_from end the recurring monitors of their resource, because
//     operation history counts them as gone (spec/02-state.md section 9.9).
//   - A run by hand (Hand), which no decision asked for, begins at once or not at all, and is the one operation of its resource
//     while it goes on, and already while its hold is there. It ends the recurring monitors of the resource, unless it only looks,
//     since they go by what was before.
//   - After a restart of the process runs that still go on are adopted: their resource is busy until they
//     finish, and their results are reported as those of the actions that started them (without digest,
//     which the runner does not know). Nothing runs before Adopt was called, since until then it is not
//     known what runs already.
//
// Times are nanoseconds of the monotonic clock of the process (identity.Instant).
package executor

import (
	"cmp"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/quorate/quorate/agents"
	"github.com/quorate/quorate/membership/identity"
)

// Limits, with their reasons.
const (
	// DefaultParallel is the number of runs at a time. Agents are small scripts that wait more than they
	// compute; Pacemaker uses twice the number of cores.
	DefaultParallel = 16
	// MaxQueued bounds waiting actions. A transition of 1,000 resources has some thousand actions, most of
	// which wait for others at the leader.
	MaxQueued = 16384
	// MaxRecurring bounds recurring monitors.
	MaxRecurring = 16384
	// Remembered bounds the finished actions whose results can be repeated.
	Remembered = 8192
	// PreemptDelay is how long an action waits for a recurring monitor of its resource. Most monitors take
	// less; one that hangs must not hold up a stop for its whole timeout.
	PreemptDelay = 2 * time.Second
	// RunnerMargin is what the runner may take beyond the timeout: grace, kill, and a busy machine.
	RunnerMargin = 15 * time.Second
	// MinInterval is the shortest interval of a recurring monitor.
	MinInterval = 10 * time.Millisecond
)

// Config says how a Core works.
type Config struct {
	Incarnation identity.Incarnation // of this process
	MaxParallel int                  // runs at a time; 0 = DefaultParallel
	// LastCall is the highest call-id in this node's recorded history; new runs count on from it.
	LastCall int64
}

// Key names an action of the cluster.
type Key struct {
	Term       uint64 // of the decision
	Transition uint64
	Action     uint64
}

// Start is an action for this node.
type Start struct {
	Key
	Index       uint64 // log index of the decision
	Incarnation identity.Incarnation
	// Request is what to run; its ID is given by the core. An interval makes it recurring.
	Request agents.Request
	// Digest of the parameters; a recurring monitor reports again when it changes.
	Digest string
	// Delay before the first run (start-delay).
	Delay time.Duration
	// Aligned says that Delay leads to a point of time that was asked for (interval-origin); the runs are
	// then exactly an interval apart from there, and not spread.
	Aligned bool
}

// CancelStart is an action that ends a recurring monitor.
type CancelStart struct {
	Key
	Index       uint64
	Incarnation identity.Incarnation
	Resource    string
	Operation   agents.Operation
	Interval    time.Duration
}

// Recurring is a recurring monitor as recorded in the document, for SetRecurring.
type Recurring struct {
	Origin  Key // of the action that set it up
	Call    int64
	Request agents.Request
	Digest  string
	// Last result recorded, so that an equal one is not reported; nil = none.
	Last *agents.Result
	// Delay to the first run if Aligned; otherwise it is spread.
	Delay   time.Duration
	Aligned bool
}

// Running is a run which an earlier process started, as the runner tells it.
type Running struct {
	ID        string
	Resource  string
	Operation agents.Operation
	Interval  time.Duration
	Timeout   time.Duration
	Age       time.Duration // since its start
	Finished  bool          // it has ended, and its result follows
}

// Result is an outcome to be recorded. Key is the action; for later results of a recurring monitor the one
// that set it up, with First false.
type Result struct {
	Key       Key
	First     bool // the action is finished by this
	Call      int64
	Resource  string
	Operation agents.Operation
	Interval  time.Duration
	Digest    string
	Result    agents.Result
}

// Refusal is an action that was not taken and has no result.
type Refusal struct {
	Key    Key
	Reason string
}

// Output is what Ready returns: to be done in this order.
type Output struct {
	Cancel  []string         // ids of runs
	Start   []agents.Request // with their ids
	Results []Result
	Refused []Refusal
	ByHand  []agents.Result // of Hand
}

// Empty reports whether there is nothing to do.
func (o Output) Empty() bool {
	return len(o.Cancel) == 0 && len(o.Start) == 0 && len(o.Results) == 0 && len(o.Refused) == 0 && len(o.ByHand) == 0
}

const never = identity.Instant(math.MaxInt64)

// monitorKey names a recurring monitor.
type monitorKey struct {
	resource  string
	operation agents.Operation
	interval  time.Duration
}

func (k monitorKey) compare(o monitorKey) int {
	return cmp.Or(strings.Compare(k.resource, o.resource), strings.Compare(string(k.operation), string(o.operation)), cmp.Compare(k.interval, o.interval))
}

// monitor is a recurring monitor.
type monitor struct {
	key     monitorKey
	origin  Key
	first   bool // the first result is still to be reported, as that of origin
	call    int64
	request agents.Request
	digest  string
	aligned bool

	due  identity.Instant // next point of time
	job  *job             // waits or runs
	last *outcome         // what was reported last
}

// outcome is what is compared to find a change.
type outcome struct {
	rc     agents.ExitCode
	status agents.Status
	reason string
	digest string
}

// job is a run that waits or goes on.
type job struct {
	id       string // of the run, "" while it waits
	resource string
	request  agents.Request
	digest   string
	call     int64
	queued   identity.Instant
	after    identity.Instant // not before this

	hand    bool // result goes to who asked by hand
	action  bool // result goes to key
	key     Key
	monitor *monitor // nil for one-shot actions, and for monitors that were ended while they ran

	started  identity.Instant
	guard    identity.Instant // the runner should have answered
	preempt  identity.Instant // a running monitor is cancelled then
	lost     bool             // guard has passed, the result was given
	canceled bool             // the runner was told
}

// Core is the executor of one node.
type Core struct {
	cfg     Config
	call    int64
	adopted bool // Adopt was called
	now     identity.Instant
	term    uint64 // newest decision seen
	idx     uint64

	actions  []*job          // waiting actions, oldest first
	waiting  []*job          // waiting monitor runs, oldest first
	running  map[string]*job // by run id
	busy     map[string]*job // by resource
	monitors []*monitor      // sorted by key
	active   map[Key]bool    // actions that wait or run, or whose monitor has no result yet
	finished map[Key]Result  // remembered
	order    []Key           // of finished, oldest first
	queued   map[string]int  // waiting actions by resource
	out      Output
	wanted   map[monitorKey]struct{} // keys of SetRecurring, reused
}

// New makes a Core.
func New(cfg Config) (*Core, error) {
	if cfg.MaxParallel < 0 || cfg.LastCall < 0 {
		return nil, errors.New("executor: limits must not be negative")
	}
	if cfg.MaxParallel == 0 {
		cfg.MaxParallel = DefaultParallel
	}
	return &Core{
		cfg: cfg, call: cfg.LastCall,
		running: map[string]*job{}, busy: map[string]*job{}, active: map[Key]bool{},
		finished: map[Key]Result{}, queued: map[string]int{}, wanted: map[monitorKey]struct{}{},
	}, nil
}

// Observe tells the core of a decision, for example that of a new leader, so that older ones are refused
// from now on.
func (c *Core) Observe(term, index uint64) {
	if term > c.term || term == c.term && index > c.idx {
		c.term, c.idx = term, index
	}
}

// admit applies the rules about age and identity; false means that nothing more is to be done.
func (c *Core) admit(key Key, index uint64, inc identity.Incarnation) bool {
	refuse := func(format string, args ...any) bool {
		c.out.Refused = append(c.out.Refused, Refusal{key, fmt.Sprintf(format, args...)})
		return false
	}
	if r, found := c.finished[key]; found {
		c.out.Results = append(c.out.Results, r)
		return false
	}
	if c.active[key] {
		return false
	}
	if inc != c.cfg.Incarnation {
		return refuse("it is for incarnation %d of this node, which is now %d", inc, c.cfg.Incarnation)
	}
	if key.Term < c.term || key.Term == c.term && index < c.idx {
		return refuse("it was decided at term %d, index %d, and a decision of term %d, index %d is known", key.Term, index, c.term, c.idx)
	}
	c.Observe(key.Term, index)
	return true
}

// Do takes an action. A request that is not valid, or one too many, gets its result at once.
func (c *Core) Do(now identity.Instant, s Start) {
	if !c.admit(s.Key, s.Index, s.Incarnation) {
		return
	}
	s.Request.ID = "x" // the real one is given when it runs
	j := &job{resource: s.Request.Resource, request: s.Request, digest: s.Digest, queued: now, after: later(now, s.Delay), action: true, key: s.Key, guard: never, preempt: never}
	reject := func(status agents.Status, rc agents.ExitCode, reason string) {
		c.call++
		j.call = c.call
		c.finish(j, agents.Refused(s.Request, status, rc, reason))
	}
	if err := s.Request.Validate(); err != nil {
		reject(agents.StatusInvalid, agents.RCInvalidParameter, err.Error())
		return
	}
	if s.Delay < 0 || s.Delay > agents.MaxTimeout || s.Request.Interval > 0 && s.Request.Interval < MinInterval {
		reject(agents.StatusInvalid, agents.RCInvalidParameter, fmt.Sprintf("delay %v, interval %v: a delay is 0 to %v, an interval at least %v", s.Delay, s.Request.Interval, agents.MaxTimeout, MinInterval))
		return
	}
	if len(c.actions) >= MaxQueued || s.Request.Interval > 0 && len(c.monitors) >= MaxRecurring {
		reject(agents.StatusError, agents.RCGeneric, fmt.Sprintf("the queue of this node is full (%d actions, %d monitors)", len(c.actions), len(c.monitors)))
		return
	}
	c.active[s.Key] = true
	if s.Request.Interval > 0 {
		c.addMonitor(s, j)
	} else if endsMonitors(s.Request.Operation) {
		c.endMonitors(func(m *monitor) bool { return m.key.resource == j.resource }, "ended by "+string(s.Request.Operation))
	}
	c.actions = append(c.actions, j)
	c.queued[j.resource]++
	if b := c.busy[j.resource]; b != nil && !b.action && !b.hand {
		b.preempt = min(b.preempt, later(max(now, j.after), PreemptDelay))
	}
	c.schedule(now)
}

// ErrBusy refuses a run by hand that cannot begin now. It may be tried again.
var ErrBusy = errors.New("the resource, or the node, is busy with other operations")

// Hold keeps a resource free for one run by hand.
type Hold struct{ job *job }

// Hold keeps all other operations of a resource waiting until the run of Hand with it has ended, or Release. A recurring monitor that
// runs is given PreemptDelay to end, as for an action.
func (c *Core) Hold(now identity.Instant, resource string) (*Hold, error) {
	if b := c.busy[resource]; b != nil && !b.action && !b.hand {
		b.preempt = min(b.preempt, later(now, PreemptDelay))
	}
	if !c.free(resource) {
		return nil, ErrBusy
	}
	j := &job{resource: resource, hand: true, queued: now, preempt: never}
	c.busy[resource] = j
	return &Hold{j}, nil
}

// free reports whether an operation of a resource could begin now.
func (c *Core) free(resource string) bool {
	return c.adopted && c.busy[resource] == nil && c.queued[resource] == 0 && c.countRunning() < c.cfg.MaxParallel
}

// Release ends a hold that was not used. One that was is left alone.
func (c *Core) Release(now identity.Instant, h *Hold) {
	if h.job.id == "" && c.busy[h.job.resource] == h.job {
		delete(c.busy, h.job.resource)
		c.schedule(now)
	}
}

// Hand starts a run that no decision asked for, and returns its id. The result comes once in Output.ByHand. An operation that may
// change what the resource does has a hold; nil = the operation only looks.
func (c *Core) Hand(now identity.Instant, req agents.Request, h *Hold) (string, error) {
	req.ID = "x" // the real one is given when it starts
	if err := req.Validate(); err != nil {
		return "", err
	}
	if h == nil {
		var err error
		if h, err = c.Hold(now, req.Resource); err != nil {
			return "", err
		}
	} else {
		c.endMonitors(func(m *monitor) bool { return m.key.resource == req.Resource }, "ended by "+string(req.Operation)+" by hand")
	}
	h.job.request = req
	c.start(now, h.job)
	return h.job.id, nil
}

func endsMonitors(op agents.Operation) bool {
	switch op {
	case agents.OpStart, agents.OpStop, agents.OpMigrateTo, agents.OpMigrateFrom:
		return true
	}
	return false
}

// addMonitor sets up the recurring monitor whose first run is the job. One of the same key is replaced.
func (c *Core) addMonitor(s Start, j *job) {
	key := monitorKey{s.Request.Resource, s.Request.Operation, s.Request.Interval}
	c.endMonitors(func(m *monitor) bool { return m.key == key }, "replaced")
	m := &monitor{key: key, origin: s.Key, first: true, request: s.Request, digest: s.Digest, aligned: s.Aligned, due: never, job: j}
	j.monitor = m
	i, _ := slices.BinarySearchFunc(c.monitors, key, func(m *monitor, k monitorKey) int { return m.key.compare(k) })
	c.monitors = slices.Insert(c.monitors, i, m)
}

// endMonitors removes monitors. A run that goes on finishes unheard; an action whose first result is still
// to come gets the result that it was cancelled.
func (c *Core) endMonitors(which func(*monitor) bool, reason string) {
	kept := c.monitors[:0]
	var ended []*monitor
	for _, m := range c.monitors {
		if which(m) {
			ended = append(ended, m)
		} else {
			kept = append(kept, m)
		}
	}
	clear(c.monitors[len(kept):])
	c.monitors = kept
	for _, m := range ended {
		if j := m.job; j != nil {
			j.monitor = nil
			if j.id == "" {
				c.dropWaiting(j)
			}
			if j.action {
				if j.call == 0 {
					c.call++
					j.call = c.call
				}
				c.finish(j, agents.Refused(j.request, agents.StatusCancelled, agents.RCUnknown, reason))
				j.action = false
			}
		}
	}
}

// dropWaiting takes a job out of its queue.
func (c *Core) dropWaiting(j *job) {
	if i := slices.Index(c.actions, j); i >= 0 {
		c.actions = slices.Delete(c.actions, i, i+1)
		c.leaveQueue(j.resource)
	}
	if i := slices.Index(c.waiting, j); i >= 0 {
		c.waiting = slices.Delete(c.waiting, i, i+1)
	}
}

func (c *Core) leaveQueue(resource string) {
	if c.queued[resource]--; c.queued[resource] == 0 {
		delete(c.queued, resource)
	}
}

// Cancel takes an action that ends a recurring monitor. Its result is given at once: code ok, also if there
// is no such monitor.
func (c *Core) Cancel(now identity.Instant, s CancelStart) {
	if !c.admit(s.Key, s.Index, s.Incarnation) {
		return
	}
	key := monitorKey{s.Resource, s.Operation, s.Interval}
	c.endMonitors(func(m *monitor) bool { return m.key == key }, "cancelled")
	c.call++
	j := &job{resource: s.Resource, call: c.call, action: true, key: s.Key, request: agents.Request{Resource: s.Resource, Operation: s.Operation, Interval: s.Interval}}
	c.finish(j, agents.Result{Status: agents.StatusDone, RC: agents.RCOK})
	c.schedule(now)
}

// CancelAction ends an action that is no longer wanted: one that waits gets the result cancelled, one that
// runs is cancelled at the runner and gets its result when that has happened.
func (c *Core) CancelAction(now identity.Instant, key Key) {
	if !c.active[key] {
		return
	}
	for _, j := range c.actions {
		if j.key != key {
			continue
		}
		if m := j.monitor; m != nil {
			c.endMonitors(func(x *monitor) bool { return x == m }, "cancelled")
		} else {
			c.dropWaiting(j)
			c.call++
			j.call = c.call
			c.finish(j, agents.Refused(j.request, agents.StatusCancelled, agents.RCUnknown, "cancelled before it ran"))
		}
		c.schedule(now)
		return
	}
	for _, id := range sortedIDs(c.running) {
		if j := c.running[id]; j.action && j.key == key && !j.canceled {
			j.canceled = true
			c.out.Cancel = append(c.out.Cancel, id)
		}
	}
}

// SetRecurring makes the list the complete set of recurring monitors: those missing are set up, those not in
// it end, the others go on as they are (with the parameters of the list). Nothing runs at once: first runs are
// spread over the interval. The list comes from the document after a restart.
func (c *Core) SetRecurring(now identity.Instant, list []Recurring) {
	clear(c.wanted)
	for _, r := range list {
		c.wanted[monitorKey{r.Request.Resource, r.Request.Operation, r.Request.Interval}] = struct{}{}
	}
	c.endMonitors(func(m *monitor) bool { _, stays := c.wanted[m.key]; return !stays }, "no longer wanted")
	for _, r := range list {
		key := monitorKey{r.Request.Resource, r.Request.Operation, r.Request.Interval}
		r.Request.ID = "x"
		if err := r.Request.Validate(); err != nil || key.interval < MinInterval {
			c.out.Refused = append(c.out.Refused, Refusal{r.Origin, fmt.Sprintf("recurring %s of %s every %v cannot run: %v", key.operation, key.resource, key.interval, err)})
			continue
		}
		i, found := slices.BinarySearchFunc(c.monitors, key, func(m *monitor, k monitorKey) int { return m.key.compare(k) })
		if found {
			c.monitors[i].request, c.monitors[i].digest = r.Request, r.Digest
			continue
		}
		if len(c.monitors) >= MaxRecurring {
			c.out.Refused = append(c.out.Refused, Refusal{r.Origin, fmt.Sprintf("more than %d recurring monitors", MaxRecurring)})
			continue
		}
		m := &monitor{key: key, origin: r.Origin, call: r.Call, request: r.Request, digest: r.Digest, aligned: r.Aligned}
		c.call = max(c.call, r.Call)
		if r.Last != nil {
			m.last = &outcome{r.Last.RC, r.Last.Status, r.Last.Reason, r.Digest}
		}
		m.due = later(now, time.Duration(1+hash(key)%uint64(key.interval)))
		if r.Aligned {
			m.due = later(now, max(0, r.Delay))
		}
		// A run of this monitor that was adopted is its run.
		if b := c.busy[key.resource]; b != nil && b.monitor == nil && !b.action && b.request.Operation == key.operation && b.request.Interval == key.interval {
			b.monitor, m.job = m, b
		}
		c.monitors = slices.Insert(c.monitors, i, m)
	}
	c.schedule(now)
}

func hash(k monitorKey) uint64 {
	h := fnv.New64a()
	fmt.Fprintf(h, "%s\x00%s\x00%d", k.resource, k.operation, k.interval)
	return h.Sum64()
}

// OriginDelay returns how long it is until the next point of time that lies a whole number of intervals from
// the origin (interval-origin); 0 if that is now. The origin may lie in the future.
func OriginDelay(now, origin time.Time, interval time.Duration) time.Duration {
	if interval <= 0 {
		return 0
	}
	// Sub saturates after 292 years; whole seconds and the rest apart do not.
	sec := now.Unix() - origin.Unix()
	nsec := int64(now.Nanosecond()) - int64(origin.Nanosecond())
	iv := int64(interval)
	since := (mulMod(((sec%iv)+iv)%iv, int64(time.Second), iv) + ((nsec%iv)+iv)%iv) % iv
	if since == 0 {
		return 0
	}
	return time.Duration(iv - since)
}

// mulMod is a*b mod m without overflow, for 0 <= a < m and b > 0.
func mulMod(a, b, m int64) int64 {
	var r int64
	for a %= m; b > 0; b >>= 1 {
		if b&1 == 1 {
			r = addMod(r, a, m)
		}
		a = addMod(a, a, m)
	}
	return r
}

func addMod(a, b, m int64) int64 {
	if a >= m-b {
		return a - (m - b)
	}
	return a + b
}

// Adopt tells of runs that go on from before a restart of the process, and of those that finished meanwhile
// (whose results follow by RunFinished). Their resources are busy until then. It must be called once at the
// beginning, also if there are none: nothing is started before.
func (c *Core) Adopt(now identity.Instant, runs []Running) {
	c.adopted = true
	for _, r := range runs {
		if _, known := c.running[r.ID]; known || !r.Finished && c.busy[r.Resource] != nil {
			continue
		}
		j := &job{id: r.ID, resource: r.Resource, queued: now, preempt: never,
			request: agents.Request{ID: r.ID, Resource: r.Resource, Operation: r.Operation, Interval: r.Interval, Timeout: r.Timeout}}
		j.hand = strings.HasPrefix(r.ID, "h.") // so that it is left to end; who asked for it is gone
		key, call, action := parseID(r.ID)
		if action {
			if _, done := c.finished[key]; done || c.active[key] {
				action = false
			} else {
				j.action, j.key, j.call = true, key, call
				c.active[key] = true
			}
		}
		c.call = max(c.call, call)
		j.started = now
		j.guard = later(now, max(0, r.Timeout-r.Age)+RunnerMargin)
		c.running[r.ID] = j
		if !r.Finished {
			c.busy[r.Resource] = j
		}
	}
	c.schedule(now)
}

// runID gives a run its name: a is an action, m a recurring monitor, h a run by hand. It is unique among all runs that the runner may know, and tells after a restart
// which action it belongs to.
func (c *Core) runID(j *job) string {
	if j.action {
		return fmt.Sprintf("a.%d.%d.%d.%d.%d", j.key.Term, j.key.Transition, j.key.Action, j.call, uint64(c.cfg.Incarnation))
	}
	kind := "m"
	if j.hand {
		kind = "h"
	}
	return fmt.Sprintf("%s.%d.%d", kind, c.call, uint64(c.cfg.Incarnation))
}

// parseID is the reverse of runID; action is false for runs of recurring monitors and by hand, and for foreign ids.
func parseID(id string) (key Key, call int64, action bool) {
	parts := strings.Split(id, ".")
	var n [5]uint64
	if len(parts) == 3 && parts[0] == "m" {
		call, err := strconv.ParseInt(parts[1], 10, 64)
		if err != nil || call < 0 {
			call = 0
		}
		return Key{}, call, false
	}
	if len(parts) != 6 || parts[0] != "a" {
		return Key{}, 0, false
	}
	for i := range n {
		var err error
		if n[i], err = strconv.ParseUint(parts[i+1], 10, 64); err != nil {
			return Key{}, 0, false
		}
	}
	if n[3] > math.MaxInt64 {
		return Key{}, 0, false
	}
	return Key{n[0], n[1], n[2]}, int64(n[3]), true
}

// RunFinished takes the result of a run. One that is not known is ignored.
func (c *Core) RunFinished(now identity.Instant, res agents.Result) {
	j := c.running[res.ID]
	if j == nil {
		return
	}
	delete(c.running, res.ID)
	if c.busy[j.resource] == j {
		delete(c.busy, j.resource)
	}
	res.QueueTime = time.Duration(j.started - max(j.queued, j.after))
	m := j.monitor
	if m != nil {
		m.job = nil
	}
	switch {
	case j.lost:
		// Its result was given; this one comes too late.
	case m != nil:
		c.monitorResult(now, m, j, res)
	case j.action:
		c.finish(j, res)
	case j.hand:
		c.out.ByHand = append(c.out.ByHand, res)
	}
	c.schedule(now)
}

// monitorResult reports the result of a recurring monitor where it is news.
func (c *Core) monitorResult(now identity.Instant, m *monitor, j *job, res agents.Result) {
	if m.due == never {
		m.due = c.firstDue(now, m, j)
	}
	if res.Status == agents.StatusCancelled && !m.first {
		return // cancelled for an action of the same resource: no news
	}
	news := &outcome{res.RC, res.Status, res.Reason, j.digest}
	if m.first {
		m.first, m.last = false, news
		j.call = m.call
		c.finish(j, res)
		return
	}
	if m.last != nil && *m.last == *news {
		return
	}
	m.last = news
	c.out.Results = append(c.out.Results, c.result(j, m.origin, false, m.call, res))
}

// firstDue chooses the second run of a monitor, from which on the runs are an interval apart. It comes half to
// one interval after the first, spread by name, since many monitors start together when a cluster starts.
func (c *Core) firstDue(now identity.Instant, m *monitor, j *job) identity.Instant {
	base := j.started
	if m.aligned {
		base = max(j.queued, j.after)
		base = later(base, m.key.interval)
	} else {
		half := m.key.interval / 2
		base = later(base, half+time.Duration(1+hash(m.key)%uint64(max(1, m.key.interval-half))))
	}
	return nextOnGrid(base, m.key.interval, now)
}

// nextOnGrid returns the first of base, base+interval, ... which is after now, or base itself.
func nextOnGrid(base identity.Instant, interval time.Duration, now identity.Instant) identity.Instant {
	if base > now {
		return base
	}
	missed := (int64(now) - int64(base)) / int64(interval)
	return later(base, time.Duration(missed+1)*interval)
}

func later(t identity.Instant, d time.Duration) identity.Instant {
	if int64(t) > math.MaxInt64-1-int64(d) {
		return never - 1
	}
	return t + identity.Instant(d)
}

func (c *Core) result(j *job, key Key, first bool, call int64, res agents.Result) Result {
	return Result{Key: key, First: first, Call: call, Resource: j.resource, Operation: j.request.Operation, Interval: j.request.Interval, Digest: j.digest, Result: res}
}

// finish reports and remembers the result of an action.
func (c *Core) finish(j *job, res agents.Result) {
	r := c.result(j, j.key, true, j.call, res)
	delete(c.active, j.key)
	if len(c.order) >= Remembered {
		delete(c.finished, c.order[0])
		c.order = c.order[1:]
	}
	c.finished[j.key] = r
	c.order = append(c.order, j.key)
	c.out.Results = append(c.out.Results, r)
}

// Tick lets time pass: monitors become due, overdue runs are given up.
func (c *Core) Tick(now identity.Instant) {
	for _, id := range sortedIDs(c.running) {
		j := c.running[id]
		if j.preempt <= now && !j.canceled && !j.action {
			j.canceled = true
			c.out.Cancel = append(c.out.Cancel, id)
		}
		if j.guard <= now && !j.lost {
			c.giveUp(now, j)
		}
	}
	c.schedule(now)
}

// giveUp reports a run whose end the runner did not tell. The resource stays busy: whether the agent still
// runs is not known, and two operations at a time are worse than none.
func (c *Core) giveUp(now identity.Instant, j *job) {
	j.lost = true
	if !j.canceled {
		j.canceled = true
		c.out.Cancel = append(c.out.Cancel, j.id)
	}
	res := agents.Result{ID: j.id, Status: agents.StatusTimeout, RC: agents.RCGeneric, ExecTime: time.Duration(now - j.started),
		Reason: fmt.Sprintf("the runner gave no result within %v", time.Duration(j.guard-j.started))}
	if m := j.monitor; m != nil {
		c.monitorResult(now, m, j, res)
	} else if j.action {
		c.finish(j, res)
	} else if j.hand {
		c.out.ByHand = append(c.out.ByHand, res)
	}
}

func sortedIDs(running map[string]*job) []string {
	ids := make([]string, 0, len(running))
	for id := range running {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// schedule queues the monitors that are due and starts what may run.
func (c *Core) schedule(now identity.Instant) {
	c.now = max(c.now, now)
	for _, m := range c.monitors {
		if m.due > now {
			continue
		}
		m.due = nextOnGrid(later(m.due, m.key.interval), m.key.interval, now)
		if m.job != nil {
			continue // still waits or runs: this time is left out
		}
		m.job = &job{resource: m.key.resource, request: m.request, digest: m.digest, queued: now, monitor: m, guard: never, preempt: never}
		c.waiting = append(c.waiting, m.job)
	}
	if !c.adopted {
		return
	}
	free := c.cfg.MaxParallel - c.countRunning()
	c.actions, free = c.startFrom(now, c.actions, free)
	c.waiting, _ = c.startFrom(now, c.waiting, free)
}

// countRunning leaves out runs that were given up, so that they do not fill the node.
func (c *Core) countRunning() int {
	n := len(c.running)
	for _, j := range c.running {
		if j.lost {
			n--
		}
	}
	return n
}

// startFrom starts the jobs of a queue that may run and returns the rest.
func (c *Core) startFrom(now identity.Instant, queue []*job, free int) ([]*job, int) {
	if free <= 0 || len(queue) == 0 {
		return queue, free
	}
	rest := queue[:0]
	var held map[string]bool // resources whose first action waits for its time
	for _, j := range queue {
		isAction := j.action
		blocked := free <= 0 || c.busy[j.resource] != nil || held[j.resource] || !isAction && c.queued[j.resource] > 0
		if !blocked && j.after > now {
			blocked = true
		}
		if blocked {
			if isAction {
				if held == nil {
					held = map[string]bool{}
				}
				held[j.resource] = true // actions of a resource keep their order
			}
			rest = append(rest, j)
			continue
		}
		free--
		if isAction {
			c.leaveQueue(j.resource)
		}
		c.start(now, j)
	}
	clear(queue[len(rest):])
	return rest, free
}

func (c *Core) start(now identity.Instant, j *job) {
	if j.action || j.monitor == nil || j.monitor.call == 0 {
		c.call++
		j.call = c.call
		if j.monitor != nil && j.monitor.call == 0 {
			j.monitor.call = j.call
		}
	} else {
		c.call++ // only the run id uses it
		j.call = j.monitor.call
	}
	j.id = c.runID(j)
	j.request.ID = j.id
	j.started = now
	j.guard = later(now, j.request.Timeout+RunnerMargin)
	if !j.action && c.queued[j.resource] > 0 {
		j.preempt = later(now, PreemptDelay)
	}
	c.running[j.id], c.busy[j.resource] = j, j
	c.out.Start = append(c.out.Start, j.request)
}

// Deadline returns when Tick is needed next if nothing else happens, false if never.
func (c *Core) Deadline() (identity.Instant, bool) {
	next := never
	for _, m := range c.monitors {
		next = min(next, m.due)
	}
	for _, j := range c.running {
		if !j.lost {
			next = min(next, j.guard)
		}
		if !j.canceled && !j.action {
			next = min(next, j.preempt)
		}
	}
	for _, j := range c.actions {
		if j.after > c.now {
			next = min(next, j.after)
		}
	}
	return next, next != never
}

// Ready returns what is to be done since the last call.
func (c *Core) Ready() Output {
	out := c.out
	c.out = Output{}
	return out
}

// HasReady reports whether Ready has something to give.
func (c *Core) HasReady() bool {
	return !c.out.Empty()
}

// Busy reports whether an action waits or runs.
func (c *Core) Busy() bool { return len(c.active) > 0 }
