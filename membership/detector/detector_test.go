package detector

import (
	"errors"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

const ms = time.Millisecond

func TestConfig_Validate(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]Config{"default": Default, "fast": Fast, "least": {20 * ms, MinDead}, "longest": {MaxInterval, MaxDead}} {
		if err := c.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, tt := range []struct {
		c    Config
		want string
	}{
		{Config{5 * ms, time.Second}, "heartbeat interval 5ms; it must be between 10ms and 5s"},
		{Config{6 * time.Second, time.Minute}, "heartbeat interval 6s"},
		{Config{10 * ms, 100 * ms}, "dead time 100ms; it must be between 150ms and 2m0s"},
		{Config{time.Second, time.Hour}, "dead time 1h0m0s"},
		{Config{time.Second, 5 * time.Second}, "it must be at least 7s"},
		{Config{}, "heartbeat interval 0s"},
	} {
		if err := tt.c.Validate(); !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Validate(%v) = %v, want an error with %q", tt.c, err, tt.want)
		}
	}
}

func TestDetector_Life(t *testing.T) {
	t.Parallel()
	d := New(Default, 0)
	at := func(x time.Duration) Instant { return Instant(x) }
	check := func(x time.Duration, want State) {
		t.Helper()
		if got := d.State(at(x)); got != want {
			t.Errorf("at %v: %v, want %v", x, got, want)
		}
	}
	check(0, Unknown)
	check(1499*ms, Unknown)
	check(1500*ms, Dead)
	d.Heard(at(100 * ms))
	check(849*ms, Alive)
	check(850*ms, Suspect)
	check(1599*ms, Suspect)
	check(1600*ms, Dead)
	d.Heard(at(200 * ms))
	d.Excuse(at(5000*ms), 4*time.Second)
	check(5000*ms, Alive)
	check(6499*ms, Alive)
	check(6500*ms, Dead)
	d.Heard(at(50 * ms)) // an earlier instant changes nothing
	check(6500*ms, Dead)
	d.Restart(at(7 * time.Second))
	check(7*time.Second, Unknown)
	d.SetConfig(Fast, at(8*time.Second))
	check(8199*ms, Unknown)
	check(8200*ms, Dead)
}

func TestDetector_AdaptsToJitter(t *testing.T) {
	t.Parallel()
	d := New(Fast, 0)
	now := Instant(0)
	for range 200 {
		now = now.Add(20 * ms)
		d.Heard(now)
	}
	if got := d.DeadAt().Sub(now); got != 200*ms {
		t.Errorf("with heartbeats on time the dead time is %v, want 200ms", got)
	}
	for i := range 400 {
		gap := 20 * ms
		if i%5 == 0 {
			gap = 100 * ms
		}
		now = now.Add(gap)
		d.Heard(now)
	}
	if got := d.DeadAt().Sub(now); got < 230*ms || got > 400*ms {
		t.Errorf("with late heartbeats the dead time is %v, want 230 to 400ms", got)
	}
	for range 400 {
		now = now.Add(20 * ms)
		d.Heard(now)
	}
	if got := d.DeadAt().Sub(now); got > 205*ms {
		t.Errorf("after the jitter the dead time is %v, want 200ms again", got)
	}
}

// The dead time stays between the setting and twice the setting, and nobody is dead before it has passed
// since the newest heartbeat, nor within the excuse.
func TestDetector_Properties(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		cfg := rapid.SampledFrom([]Config{Default, Fast}).Draw(t, "cfg")
		d := New(cfg, 0)
		now, last := Instant(0), Instant(0)
		var excused Instant
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(2*cfg.Dead)).Draw(t, "step")))
			switch rapid.IntRange(0, 3).Draw(t, "kind") {
			case 0:
				p := time.Duration(rapid.Int64Range(0, int64(time.Minute)).Draw(t, "pause"))
				d.Excuse(now, p)
				excused = now.Add(min(p, cfg.Dead))
			default:
				d.Heard(now)
				last = now
			}
			if dead := d.DeadAt(); dead.Sub(last) < cfg.Dead || dead < excused || dead.Sub(max(last, now)) > 2*cfg.Dead {
				t.Fatalf("dead at %v, heard %v, excused until %v", dead, last, excused)
			}
			if s := d.SuspectAt(); s > d.DeadAt() {
				t.Fatalf("suspect at %v, after dead at %v", s, d.DeadAt())
			}
			if d.State(d.DeadAt()-1) == Dead || d.State(d.DeadAt()) != Dead {
				t.Fatalf("State does not follow DeadAt %v", d.DeadAt())
			}
		}
	})
}

func TestPause(t *testing.T) {
	t.Parallel()
	var p Pause
	if _, paused := p.Observe(1<<60, 0); paused {
		t.Error("a pause was seen though nothing was expected")
	}
	p.Expect(Instant(100 * ms))
	for _, tt := range []struct {
		now    time.Duration
		late   time.Duration
		paused bool
	}{{90 * ms, 0, false}, {100 * ms, 0, false}, {105 * ms, 5 * ms, false}, {200 * ms, 100 * ms, true}, {200 * ms, 0, false}, {205 * ms, 5 * ms, false}} {
		if late, paused := p.Observe(Instant(tt.now), 10*ms); late != tt.late || paused != tt.paused {
			t.Errorf("Observe(%v) = %v %v, want %v %v", tt.now, late, paused, tt.late, tt.paused)
		}
	}
	p.Clear()
	if _, paused := p.Observe(1<<60, 0); paused {
		t.Error("a pause was seen after Clear")
	}
}
