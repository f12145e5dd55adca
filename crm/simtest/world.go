package simtest

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// epoch is the wall clock at the beginning of a run. It is a whole second far from any turn of a day.
var epoch = time.Date(2026, 3, 4, 10, 0, 0, 0, time.UTC)

// event is something that will happen at a time of the simulated world.
type event struct {
	at  time.Duration
	tie uint32 // drawn from the seed: orders events of one instant
	seq uint32 // makes the order total
	do  func()
}

func (e *event) before(f *event) bool {
	if e.at != f.at {
		return e.at < f.at
	}
	if e.tie != f.tie {
		return e.tie < f.tie
	}
	return e.seq < f.seq
}

// queue is a binary heap of events. container/heap would box every event.
type queue []event

func (q *queue) push(e event) {
	h := append(*q, e)
	i := len(h) - 1
	for i > 0 {
		up := (i - 1) / 2
		if !h[i].before(&h[up]) {
			break
		}
		h[i], h[up] = h[up], h[i]
		i = up
	}
	*q = h
}

func (q *queue) pop() event {
	h := *q
	top := h[0]
	last := len(h) - 1
	h[0] = h[last]
	h[last] = event{}
	h = h[:last]
	for i := 0; ; {
		c := 2*i + 1
		if c >= last {
			break
		}
		if c+1 < last && h[c+1].before(&h[c]) {
			c++
		}
		if !h[c].before(&h[i]) {
			break
		}
		h[i], h[c] = h[c], h[i]
		i = c
	}
	*q = h
	return top
}

// world is everything that is simulated. It belongs to one goroutine.
type world struct {
	cfg  Config
	rng  *rand.Rand
	now  time.Duration // since the beginning of the run
	seq  uint32
	q    queue
	evts int

	burst   int // events since burstAt
	burstAt time.Duration

	net      network
	machines []*machine
	power    powerSwitch
	ledger   ledger
	clients  []*client
	operator operator
	checks   checker
	shown    uint64 // highest index that a client was shown

	thinking           time.Duration  // longest decision
	slowest, slowUntil time.Duration  // longest start or stop while agents are slow, and when they were last
	hits               map[string]int // how often faults and rare things happened
	steps              []int          // faults of the schedule that have begun

	hash uint64
	log  []string // newest lines last, bounded by maxLog
	cut  int      // lines dropped before log
	err  error
}

// canary is a secret of the definition that nothing may show (I17).
const canary = "canary-in-a-cage"

const maxLog = 4000 // lines of the trace that a failure shows at most

// A burst of so many events in so short a time is no work but a storm of messages, or something that waits for
// itself: a busy cluster of five makes some hundred.
const (
	burstLength = 100 * time.Millisecond
	maxBurst    = 10000
)

// at plans f.
func (w *world) at(t time.Duration, f func()) {
	w.seq++
	w.q.push(event{at: max(t, w.now), tie: w.rng.Uint32(), seq: w.seq, do: f})
}

func (w *world) after(d time.Duration, f func()) { w.at(w.now+d, f) }

// run works until the time is reached or an invariant broke. It returns false then.
func (w *world) run(until time.Duration) bool {
	for w.err == nil && len(w.q) > 0 && w.q[0].at <= until {
		e := w.q.pop()
		if w.burst++; e.at-w.burstAt > burstLength {
			w.burst, w.burstAt = 0, e.at
		}
		if w.burst > maxBurst {
			w.violate("contract", "%d events within %v: a storm", w.burst, burstLength)
			return false
		}
		w.now = e.at
		w.evts++
		e.do()
	}
	if w.err == nil {
		w.now = max(w.now, until)
	}
	return w.err == nil
}

// between draws a duration from a range.
func (w *world) between(from, to time.Duration) time.Duration {
	if to <= from {
		return from
	}
	return from + time.Duration(w.rng.Int64N(int64(to-from)))
}

// chance is true in percent cases of 100.
func (w *world) chance(percent int) bool { return percent > 0 && w.rng.IntN(100) < percent }

func (w *world) hit(name string) { w.hits[name]++ }

// FNV-1a over 8 bytes at a time: it only has to tell two runs of one binary apart.
const (
	fnvOffset = 14695981039346656037
	fnvPrime  = 1099511628211
)

func (w *world) mix(v uint64) {
	w.hash = (w.hash ^ v) * fnvPrime
	w.hash ^= w.hash >> 29
}

func (w *world) mixBytes(b []byte) {
	w.mix(uint64(len(b)))
	for len(b) >= 8 {
		w.mix(uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
			uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56)
		b = b[8:]
	}
	for _, c := range b {
		w.mix(uint64(c))
	}
}

func (w *world) mixString(s string) {
	w.mix(uint64(len(s)))
	for i := range len(s) {
		w.mix(uint64(s[i]))
	}
}

// tell writes a line of the trace.
func (w *world) tell(format string, args ...any) {
	line := fmt.Sprintf("%10.4f ", w.now.Seconds()) + fmt.Sprintf(format, args...)
	if strings.Contains(line, canary) && w.err == nil {
		w.err = &Violation{Invariant: "I17", Text: "a note shows the parameter of a fence device that is secret", At: w.now}
	}
	w.mixString(line)
	if len(w.log) >= maxLog && !w.cfg.Verbose {
		n := copy(w.log, w.log[maxLog/2:])
		w.cut += len(w.log) - n
		w.log = w.log[:n]
	}
	w.log = append(w.log, line)
}

// violate records that an invariant broke; the run ends.
func (w *world) violate(name, format string, args ...any) {
	if w.err != nil {
		return
	}
	w.err = &Violation{Invariant: name, Text: fmt.Sprintf(format, args...), At: w.now}
	w.tell("VIOLATION %v", w.err)
}

// Violation says that an invariant broke.
type Violation struct {
	Invariant string // "I1" and so on, as reliability.md names them, or a word for a broken contract
	Text      string
	At        time.Duration // since the beginning of the run
}

// Error implements error.
func (v *Violation) Error() string {
	return fmt.Sprintf("%s at %.4f s: %s", v.Invariant, v.At.Seconds(), v.Text)
}

func (w *world) trace() []string {
	if w.cut > 0 {
		return append([]string{fmt.Sprintf("... %d lines before this", w.cut)}, w.log...)
	}
	return w.log
}

func fields(list []any) string {
	var b strings.Builder
	for i := 0; i+1 < len(list); i += 2 {
		fmt.Fprintf(&b, " %v=%v", list[i], list[i+1])
	}
	return b.String()
}
