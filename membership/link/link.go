// Package link keeps the health of the redundant links to one peer and chooses the one to use.
//
// A link is up, degraded (it loses or delays) or dead. The states have hysteresis: a dead link needs
// several heartbeats in a row to be up again, and a degraded one must get clearly better. A change is told
// as an [Alarm]; alarms of one link are limited in rate, so that a flapping cable does not flood logs, and
// the newest state is always told in the end.
//
// The package measures only what it is given: it reads no clock. Its values are not safe for concurrent
// use. Times are nanoseconds on the observer's monotonic clock, loss is in percent.
package link

import (
	"fmt"
	"math/bits"
	"time"

	"github.com/quorate/quorate/membership/detector"
	"github.com/quorate/quorate/membership/identity"
)

// Instant is a moment on the observer's monotonic clock.
type Instant = identity.Instant

const (
	// window is the number of heartbeats over which loss is measured: 6.4 s by default, which is one
	// word of bits.
	window = 64
	// lossDegrades and lossClears are in percent. 8 % are 6 of 64: a link with a constant loss of 10 % is
	// degraded, one with 1 % is not. Below 4 % (2 of 64) it is good again.
	lossDegrades, lossClears = 8, 4
	// lossSample is the least number of heartbeats from which loss is judged.
	lossSample = 32
	// recoverBeats is the number of heartbeats that bring a dead link back: one may be a stray.
	recoverBeats = 3
	// recoverGap, in intervals, is the largest gap between these heartbeats.
	recoverGap = 3
	// maxRTT bounds a round trip that is believed; anything longer is an old echo.
	maxRTT = time.Minute
	// rttGain is the weight (1/8) of one sample in the mean round trip, as in RFC 6298.
	rttGain = 8
)

// AlarmInterval is the least time between two alarms of one link, except for the first two: the usual
// pair of a link that fails and comes back is told at once.
const AlarmInterval = 10 * time.Second

// alarmBurst is the number of alarms that may be told at once after a quiet time.
const alarmBurst = 2

// flapPenalty is the time that one death adds to the time for which a link is avoided, and
// maxFlapPenalty bounds it. A link that died once is avoided for 5 s after it came back, a flapping one for
// up to a minute.
const (
	flapPenalty    = 5 * time.Second
	maxFlapPenalty = time.Minute
)

// State is the health of a link. The list is append-only: it is shown by the client API.
type State uint8

const (
	// Unknown: nothing was heard on the link yet.
	Unknown State = iota
	// Up: heartbeats come on time.
	Up
	// Degraded: heartbeats come, but many are lost or late.
	Degraded
	// Dead: nothing was heard for the dead time.
	Dead
)

// String returns the state in lower case.
func (s State) String() string {
	switch s {
	case Unknown:
		return "unknown"
	case Up:
		return "up"
	case Degraded:
		return "degraded"
	case Dead:
		return "dead"
	}
	return fmt.Sprintf("state %d", uint8(s))
}

// Alive reports whether heartbeats come over the link.
func (s State) Alive() bool { return s == Up || s == Degraded }

// Quality is what was measured on a link.
type Quality struct {
	// RTT is the smoothed round trip; 0 when none was measured.
	RTT time.Duration
	// Jitter is the mean time by which heartbeats come late.
	Jitter time.Duration
	// Loss is the share of heartbeats lost among the last 64, in percent: 0 to 100.
	Loss int
}

// Alarm tells a change of a link's state.
type Alarm struct {
	From, To State
	Quality  Quality
	// Suppressed is the number of changes since the last alarm that were not told on their own.
	Suppressed int
}

// Link is one link to one peer, as heard from here.
type Link struct {
	det    detector.Detector
	cfg    detector.Config
	state  State
	rtt    time.Duration
	seq    uint64 // highest sequence number heard; 0 when none
	seen   uint64 // bit i: seq-i was heard
	filled int    // valid bits of seen, 0 to window

	streak    int     // heartbeats in a row on a dead link
	lastHeard Instant // any fresh heartbeat

	avoid    Instant       // the link is avoided before this: it flapped
	penalty  time.Duration // 0 to maxFlapPenalty
	diedAt   Instant
	everDied bool

	told       State // state of the last alarm
	tokens     int   // alarms that may be told at once, 0 to alarmBurst
	refill     Instant
	suppressed int
}

// New returns a link of which nothing is known. The setting must be valid.
func New(cfg detector.Config, now Instant) Link {
	return Link{det: detector.New(cfg, now), cfg: cfg, tokens: alarmBurst, refill: now.Add(AlarmInterval)}
}

// SetConfig changes the timing and gives the peer a whole new dead time.
func (l *Link) SetConfig(cfg detector.Config, now Instant) {
	l.cfg = cfg
	l.det.SetConfig(cfg, now)
}

// Receive notes the heartbeat with the given number and reports whether it is newer than all before it.
// Only a newer one shows that the peer is alive; one that was overtaken only counts as not lost. A number
// of 0 is refused.
func (l *Link) Receive(seq uint64, now Instant) bool {
	if seq == 0 {
		return false
	}
	if seq <= l.seq {
		if back := l.seq - seq; back < window && int(back) < l.filled {
			l.seen |= 1 << back
		}
		return false
	}
	if l.seq == 0 {
		l.seen, l.filled = 1, 1
	} else if step := seq - l.seq; step >= window {
		// Everything in the window was lost except this one.
		l.seen, l.filled = 1, window
	} else {
		l.seen = l.seen<<step | 1
		l.filled = min(l.filled+int(step), window)
	}
	l.seq = seq
	l.hear(now)
	return true
}

func (l *Link) hear(now Instant) {
	if l.state == Dead {
		if l.streak == 0 || now.Sub(l.lastHeard) > recoverGap*l.cfg.Interval {
			l.streak = 0
		}
		l.streak++
		l.lastHeard = now
		if l.streak < recoverBeats {
			return
		}
		// What was lost while the link was dead says nothing about how it is now.
		l.seen, l.filled, l.streak = 1, 1, 0
		l.det.Restart(now)
		l.det.Heard(now)
		l.avoid = now.Add(l.penalty)
		l.set(Up)
		return
	}
	l.lastHeard = now
	l.det.Heard(now)
	if l.state == Unknown {
		l.set(Up)
	}
	l.judge()
}

// judge moves between up and degraded.
func (l *Link) judge() {
	q := l.Quality()
	slow := l.cfg.Interval
	switch l.state {
	case Up:
		if (l.filled >= lossSample && q.Loss >= lossDegrades) || q.RTT > slow {
			l.set(Degraded)
		}
	case Degraded:
		if q.Loss < lossClears && l.filled >= lossSample && q.RTT <= slow/2 {
			l.set(Up)
		}
	}
}

func (l *Link) set(s State) {
	l.state = s
	l.suppressed++
}

// RTT notes a measured round trip. Values below zero or above a minute are ignored.
func (l *Link) RTT(d time.Duration) {
	if d < 0 || d > maxRTT {
		return
	}
	if l.rtt == 0 {
		l.rtt = max(d, 1)
	} else {
		l.rtt = max(l.rtt+(d-l.rtt)/rttGain, 1)
	}
	l.judge()
}

// Restart notes that the peer is a new process: its numbers begin anew. A dead link stays dead until it
// has heard enough of it.
func (l *Link) Restart(now Instant) {
	l.seq, l.seen, l.filled, l.streak, l.rtt = 0, 0, 0, 0, 0
	if l.state != Dead {
		l.det.Restart(now)
	}
}

// Excuse gives the peer time to be heard, because the observer was paused.
func (l *Link) Excuse(now Instant, pause time.Duration) {
	if l.state != Dead {
		l.det.Excuse(now, pause)
	}
}

// Tick notes that time has passed. It reports whether the link died.
func (l *Link) Tick(now Instant) bool {
	if l.everDied && now.Sub(max(l.diedAt, l.avoid)) > maxFlapPenalty {
		l.penalty, l.everDied = 0, false
	}
	if l.state == Dead || l.det.State(now) != detector.Dead {
		return false
	}
	if l.state != Unknown {
		l.penalty = min(l.penalty+flapPenalty, maxFlapPenalty)
		l.diedAt, l.everDied = now, true
	}
	l.streak = 0
	l.set(Dead)
	return true
}

// Alarm returns the change that is to be told now. It reports false when there is none, or when too many
// were told shortly before; see [Link.AlarmAt].
func (l *Link) Alarm(now Instant) (Alarm, bool) {
	for l.tokens < alarmBurst && !now.Before(l.refill) {
		l.tokens++
		l.refill = l.refill.Add(AlarmInterval)
	}
	if l.tokens == alarmBurst {
		l.refill = now.Add(AlarmInterval)
	}
	if l.state == l.told || l.tokens == 0 {
		return Alarm{}, false
	}
	if l.tokens == alarmBurst {
		l.refill = now.Add(AlarmInterval)
	}
	l.tokens--
	a := Alarm{From: l.told, To: l.state, Quality: l.Quality(), Suppressed: max(l.suppressed-1, 0)}
	l.told, l.suppressed = l.state, 0
	return a, true
}

// AlarmAt returns when a change that was held back may be told.
func (l *Link) AlarmAt() (Instant, bool) { return l.refill, l.state != l.told }

// State returns the health of the link.
func (l *Link) State() State { return l.state }

// Overdue reports whether heartbeats of a live link are late enough to be suspect.
func (l *Link) Overdue(now Instant) bool { return l.state.Alive() && !now.Before(l.det.SuspectAt()) }

// Deadline returns the next instant at which Tick or Overdue may change their answer.
func (l *Link) Deadline(now Instant) (Instant, bool) {
	if l.state == Dead {
		return 0, false
	}
	if s := l.det.SuspectAt(); l.state.Alive() && now.Before(s) {
		return s, true
	}
	return l.det.DeadAt(), true
}

// Quality returns what was measured.
func (l *Link) Quality() Quality {
	q := Quality{RTT: l.rtt, Jitter: l.det.Jitter()}
	if l.filled > 0 {
		mask := ^uint64(0) >> (window - l.filled)
		q.Loss = 100 * (l.filled - bits.OnesCount64(l.seen&mask)) / l.filled
	}
	return q
}

// Avoided reports whether the link flapped so recently that another one is better.
func (l *Link) Avoided(now Instant) bool { return now.Before(l.avoid) }

// AvoidedUntil returns the end of the time for which a link that flapped is avoided.
func (l *Link) AvoidedUntil() Instant { return l.avoid }

// Candidate is a link among which [Best] chooses.
type Candidate struct {
	ID      identity.LinkID
	State   State
	Quality Quality
	// Avoided says that the link flapped recently.
	Avoided bool
}

// Best chooses the link to use. Live links come before others, links that did not flap before those that
// did, good ones before degraded ones; then the current one stays, unless another one loses 5 % less or
// answers in less than half the time and more than a millisecond sooner; then the lowest number. It
// reports false when no link is alive. The result does not depend on the order of the candidates.
func Best(cands []Candidate, current identity.LinkID, hasCurrent bool) (identity.LinkID, bool) {
	class := func(c Candidate) int {
		switch {
		case !c.State.Alive():
			return 0
		case c.Avoided && c.State == Degraded:
			return 1
		case c.Avoided:
			return 2
		case c.State == Degraded:
			return 3
		}
		return 4
	}
	top := 0
	for _, c := range cands {
		top = max(top, class(c))
	}
	if top == 0 {
		return 0, false
	}
	var cur, best *Candidate
	for i := range cands {
		c := &cands[i]
		if class(*c) != top {
			continue
		}
		if hasCurrent && c.ID == current {
			cur = c
		}
		if best == nil || less(c, best) {
			best = c
		}
	}
	if cur != nil && !muchBetter(best.Quality, cur.Quality) {
		return cur.ID, true
	}
	return best.ID, true
}

// less is the order among links of one class when there is no current one. Loss and round trip are
// compared in coarse steps, so that noise does not decide.
func less(a, b *Candidate) bool {
	if x, y := a.Quality.Loss/5, b.Quality.Loss/5; x != y {
		return x < y
	}
	if x, y := coarse(a.Quality.RTT), coarse(b.Quality.RTT); x != y {
		return x < y
	}
	return a.ID < b.ID
}

// coarse gives the power of two of a round trip in milliseconds; below a millisecond all are equal.
func coarse(d time.Duration) int { return bits.Len64(uint64(max(d, 0) / time.Millisecond)) }

func muchBetter(a, b Quality) bool {
	if a.Loss+5 <= b.Loss {
		return true
	}
	return a.Loss <= b.Loss && a.RTT > 0 && a.RTT < b.RTT/2 && b.RTT-a.RTT > time.Millisecond
}
