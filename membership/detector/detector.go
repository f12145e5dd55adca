// Package detector decides from the arrival times of heartbeats whether their sender is alive, suspect
// or dead.
//
// The dead time is a setting. It grows with the lateness of heartbeats that was measured, at most to
// twice the setting, so a link with loss or jitter is not accused for what it always does. An observer
// that was stopped or starved itself knows so from its own clock ([Pause]), and excuses everybody
// ([Detector.Excuse]) before it accuses anybody: what it has not heard may wait in its socket.
//
// Invariants: a detector never turns dead while its observer was paused, and never before the dead time
// has passed since the newest heartbeat. The values are not safe for concurrent use. Times are
// nanoseconds on the observer's monotonic clock.
package detector

import (
	"errors"
	"fmt"
	"time"

	"github.com/quorate/quorate/membership/identity"
)

// Instant is a moment on the observer's monotonic clock.
type Instant = identity.Instant

// Limits of [Config]. Outside of them a quiet cluster on a virtual machine accuses live nodes.
const (
	// MinInterval bounds the cost of heartbeats: 100 a second to each peer and link.
	MinInterval = 10 * time.Millisecond
	// MaxInterval bounds the time after which a change of the links is seen at all.
	MaxInterval = 5 * time.Second
	// MinDead leaves room for a stall of 50 ms on both sides (a lab run with more is not judged) and for
	// some heartbeats after it. The lateness of a 10 ms ticker, measured for 40 s on a quiet two-core
	// virtual machine, was 0.2 ms in the median and 2.7 ms at worst.
	MinDead = 150 * time.Millisecond
	// MaxDead bounds how long a resource of a dead node stays down.
	MaxDead = 2 * time.Minute
	// MinBeats is the least number of heartbeats in a dead time: with fewer, chance loss on a link with
	// 10 % loss kills it every few hours.
	MinBeats = 7
)

// jitterFactor is how many mean deviations the dead time grows by; 4 is the rule of TCP's retransmission
// timer (RFC 6298).
const jitterFactor = 4

// jitterGain is the weight (1/16) of one sample in the mean deviation: a few seconds of memory at ten
// samples a second.
const jitterGain = 16

// Config is the setting of one detector.
type Config struct {
	// Interval is the time between two heartbeats of the sender.
	Interval time.Duration
	// Dead is the silence after which the sender is dead when heartbeats normally come on time.
	Dead time.Duration
}

// Default is the setting for ordinary clusters. It rides out a stall of a whole second, as virtual
// machines show when they are moved or snapshotted.
var Default = Config{Interval: 100 * time.Millisecond, Dead: 1500 * time.Millisecond}

// Fast is the setting for a quiet local network. It rides out stalls of 0.15 s: the gap that an observer
// sees is the stall plus one interval plus the lateness of timers on both sides.
var Fast = Config{Interval: 20 * time.Millisecond, Dead: 200 * time.Millisecond}

// ErrConfig is wrapped by the errors of [Config.Validate].
var ErrConfig = errors.New("unstable heartbeat timing")

// Validate reports why the setting would accuse live nodes on a quiet cluster, or be useless.
func (c Config) Validate() error {
	if c.Interval < MinInterval || c.Interval > MaxInterval {
		return fmt.Errorf("%w: heartbeat interval %v; it must be between %v and %v", ErrConfig, c.Interval, MinInterval, MaxInterval)
	}
	if c.Dead < MinDead || c.Dead > MaxDead {
		return fmt.Errorf("%w: dead time %v; it must be between %v and %v", ErrConfig, c.Dead, MinDead, MaxDead)
	}
	if c.Dead < MinBeats*c.Interval {
		return fmt.Errorf("%w: dead time %v is less than %d heartbeat intervals of %v; it must be at least %v",
			ErrConfig, c.Dead, MinBeats, c.Interval, MinBeats*c.Interval)
	}
	return nil
}

// State is what a detector says of the sender.
type State uint8

const (
	// Unknown: no heartbeat was ever heard, and the first dead time has not passed.
	Unknown State = iota
	// Alive: heartbeats come.
	Alive
	// Suspect: heartbeats are overdue, but the dead time has not passed.
	Suspect
	// Dead: the dead time has passed without a heartbeat.
	Dead
)

// String returns the state in lower case.
func (s State) String() string {
	switch s {
	case Unknown:
		return "unknown"
	case Alive:
		return "alive"
	case Suspect:
		return "suspect"
	case Dead:
		return "dead"
	}
	return fmt.Sprintf("state %d", uint8(s))
}

// Detector watches one source of heartbeats.
type Detector struct {
	cfg     Config
	heard   bool          // a heartbeat was heard
	last    Instant       // when the newest was heard, or when watching began
	excused Instant       // not dead before this
	dev     time.Duration // mean of the time by which heartbeats were late; 0 to cfg.Dead
}

// New returns a detector that begins to watch now. The setting must be valid.
func New(cfg Config, now Instant) Detector { return Detector{cfg: cfg, last: now} }

// SetConfig changes the setting. The sender gets a whole new dead time, because it may not have seen the
// new setting yet.
func (d *Detector) SetConfig(cfg Config, now Instant) {
	if cfg == d.cfg {
		return
	}
	d.cfg = cfg
	d.dev = min(d.dev, cfg.Dead)
	d.excuseUntil(now.Add(cfg.Dead))
}

// Heard notes a heartbeat that is newer than all before. An instant before that of the last one counts
// as that of the last one.
func (d *Detector) Heard(now Instant) {
	now = max(now, d.last)
	if d.heard {
		late := now.Sub(d.last) - d.cfg.Interval
		late = min(max(late, 0), d.cfg.Dead)
		d.dev += (late - d.dev) / jitterGain
	}
	d.heard = true
	d.last = now
}

// Restart forgets all that was measured: the sender is a new process, or watching begins again.
func (d *Detector) Restart(now Instant) { *d = New(d.cfg, now) }

// Excuse gives the sender time to be heard after the observer itself was paused for the given time. After
// a short pause two intervals suffice for what was sent meanwhile. After a long one, machines that were
// stopped together do not go on at the same moment; therefore the time grows with the pause, up to a
// whole dead time.
func (d *Detector) Excuse(now Instant, pause time.Duration) {
	d.excuseUntil(now.Add(min(pause+2*d.cfg.Interval, d.timeout())))
}

func (d *Detector) excuseUntil(t Instant) { d.excused = max(d.excused, t) }

// timeout is the dead time with the measured lateness on top.
func (d *Detector) timeout() time.Duration {
	return d.cfg.Dead + min(jitterFactor*d.dev, d.cfg.Dead)
}

// DeadAt is the instant from which on the sender is dead, if nothing is heard before.
func (d *Detector) DeadAt() Instant { return max(d.last.Add(d.timeout()), d.excused) }

// SuspectAt is the instant from which on the sender is suspect, if nothing is heard before: half of its
// dead time.
func (d *Detector) SuspectAt() Instant {
	return min(max(d.last.Add(d.timeout()/2), d.excused), d.DeadAt())
}

// Jitter is the mean time by which heartbeats come late.
func (d *Detector) Jitter() time.Duration { return d.dev }

// State tells what is known of the sender at the given instant.
func (d *Detector) State(now Instant) State {
	switch {
	case !now.Before(d.DeadAt()):
		return Dead
	case !d.heard:
		return Unknown
	case !now.Before(d.SuspectAt()):
		return Suspect
	}
	return Alive
}

// Pause notices from the observer's own clock that the observer was stopped or starved: it is called
// later than it asked for.
type Pause struct {
	due   Instant
	armed bool
}

// Expect notes that the observer asked to be called at the given instant at the latest.
func (p *Pause) Expect(due Instant) { p.due, p.armed = due, true }

// Clear notes that the observer does not expect to be called.
func (p *Pause) Clear() { p.armed = false }

// Observe is called first at every input. It returns by how much the observer is late, and whether that
// is more than the tolerance, and so a pause. One lateness is returned once.
func (p *Pause) Observe(now Instant, tolerance time.Duration) (time.Duration, bool) {
	if !p.armed || !now.After(p.due) {
		return 0, false
	}
	late := now.Sub(p.due)
	if late <= tolerance {
		return late, false
	}
	p.due = now
	return late, true
}
