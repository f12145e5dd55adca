package daemon

import (
	"testing"
	"time"
)

// The alarm comes when it was set last, not before, and again when it is set again.
func TestAlarm(t *testing.T) {
	t.Parallel()
	a, err := newAlarm()
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); a.Run() }()
	began := time.Now()
	for _, d := range []time.Duration{time.Hour, 20 * time.Millisecond, 30 * time.Millisecond} {
		if err := a.Reset(d); err != nil {
			t.Fatal(err)
		}
	}
	<-a.C
	if took := time.Since(began); took < 30*time.Millisecond {
		t.Errorf("it came after %v, want at least 30ms", took)
	}
	for _, d := range []time.Duration{0, -time.Second, time.Nanosecond} {
		if err := a.Reset(d); err != nil {
			t.Fatal(err)
		}
		<-a.C
	}
	a.Close()
	<-done
	if err := a.Reset(time.Second); err == nil {
		t.Error("a closed alarm was set")
	}
}
