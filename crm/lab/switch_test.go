package lab

import (
	"encoding/binary"
	"fmt"
	"os"
	"testing"
	"time"
)

// pipes gives the switch a pipe in place of each tap, and returns the ends to read frames from.
func pipes(t *testing.T, s *Switch, nodes int) []*os.File {
	t.Helper()
	var out []*os.File
	for n := range nodes {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { r.Close(); w.Close() })
		s.taps[[2]int{n, 0}] = w
		out = append(out, r)
	}
	return out
}

// udp is a frame from one node's address to another's with an UDP header.
func udp(from, to int, port uint16) []byte {
	f := make([]byte, 14+20+8)
	f[5], f[11] = byte(to+1), byte(from+1)
	if to < 0 {
		copy(f, []byte{255, 255, 255, 255, 255, 255})
	}
	binary.BigEndian.PutUint16(f[12:], 0x0800)
	f[14], f[23] = 0x45, 17
	binary.BigEndian.PutUint16(f[36:], port)
	return f
}

// arrived takes what a node has got so far.
func arrived(t *testing.T, f *os.File) int {
	t.Helper()
	if err := f.SetReadDeadline(time.Now().Add(5 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 1<<16)
	total := 0
	for {
		n, err := f.Read(buf)
		total += n
		if err != nil {
			return total / 42
		}
	}
}

func TestSwitch_Paths(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name         string
		path         Path
		there, back  int // of 10 frames with port 5405 each
		dropped, dup uint64
	}{
		{"good", Path{}, 10, 10, 0, 0},
		{"cut one way", Path{Cut: true}, 0, 10, 10, 0},
		{"all lost", Path{Loss: 1}, 0, 10, 10, 0},
		{"all doubled", Path{Dup: 1}, 20, 10, 0, 10},
		{"too small", Path{MTU: 20}, 0, 10, 10, 0},
		{"large enough", Path{MTU: 28}, 10, 10, 0, 0},
		{"port dropped", Path{DropProto: 17, DropPort: 5405}, 0, 10, 10, 0},
		{"other port dropped", Path{DropProto: 17, DropPort: 5404}, 10, 10, 0, 0},
		{"other protocol dropped", Path{DropProto: 6, DropPort: 5405}, 10, 10, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := NewSwitch(2, 1, 1)
			ends := pipes(t, s, 2)
			s.Set(0, 1, -1, tt.path)
			for range 10 {
				s.forward(0, 0, udp(0, 1, 5405))
				s.forward(1, 0, udp(1, 0, 5405))
			}
			if there, back := arrived(t, ends[1]), arrived(t, ends[0]); there != tt.there || back != tt.back {
				t.Errorf("%d frames arrived there and %d back, want %d and %d", there, back, tt.there, tt.back)
			}
			if c := s.Counters(0, 1); c.Frames != 10 || c.Dropped != tt.dropped || c.Duplicated != tt.dup {
				t.Errorf("counters are %+v, want %d dropped and %d doubled of 10", c, tt.dropped, tt.dup)
			}
			if cut := tt.path.Cut || tt.path.Loss == 1; s.Connected(0, 1) == cut || !s.Connected(1, 0) {
				t.Errorf("Connected() is %v there and %v back", s.Connected(0, 1), s.Connected(1, 0))
			}
			s.Heal()
			s.forward(0, 0, udp(0, 1, 5405))
			if n := arrived(t, ends[1]); n != 1 {
				t.Errorf("%d frames arrived after healing, want 1", n)
			}
		})
	}
}

// What is lost depends on the seed only.
func TestSwitch_SameSeed(t *testing.T) {
	t.Parallel()
	lost := func(seed uint64) string {
		s := NewSwitch(2, 1, seed)
		pipes(t, s, 2)
		s.Set(0, 1, -1, Path{Loss: 0.5})
		var out string
		for range 64 {
			before := s.Counters(0, 1).Dropped
			s.forward(0, 0, udp(0, 1, 1))
			out += fmt.Sprint(s.Counters(0, 1).Dropped - before)
		}
		return out
	}
	if a, b := lost(7), lost(7); a != b {
		t.Errorf("the same seed lost %s and %s", a, b)
	}
	if a, b := lost(7), lost(8); a == b {
		t.Errorf("two seeds lost the same of 64 frames: %s", a)
	}
}

func TestSwitch_LearnsAndFloods(t *testing.T) {
	t.Parallel()
	s := NewSwitch(3, 1, 1)
	ends := pipes(t, s, 3)
	s.forward(0, 0, udp(0, -1, 1))
	s.forward(0, 0, udp(0, 1, 1)) // node 1 is not known yet: everybody gets it
	if a, b := arrived(t, ends[1]), arrived(t, ends[2]); a != 2 || b != 2 {
		t.Errorf("%d and %d frames arrived before the switch knows node 1, want 2 and 2", a, b)
	}
	s.forward(1, 0, udp(1, 0, 1))
	s.forward(0, 0, udp(0, 1, 1))
	if a, b, c := arrived(t, ends[0]), arrived(t, ends[1]), arrived(t, ends[2]); a != 1 || b != 1 || c != 0 {
		t.Errorf("%d, %d and %d frames arrived, want 1, 1 and none", a, b, c)
	}
}
