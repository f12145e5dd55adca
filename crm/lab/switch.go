package lab

import (
	"container/heap"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Path is the state of the way of frames from one node to another on one link. The zero value is a good way.
type Path struct {
	Cut     bool
	Loss    float64 // 0 to 1
	Dup     float64
	Delay   time.Duration
	Jitter  time.Duration
	Reorder float64 // share of frames that are held back by Delay+Jitter+5ms
	MTU     int     // frames with a larger IP packet are dropped; 0 = no limit
	// DropPort drops frames of this protocol (6 TCP, 17 UDP) and port, in either direction; 0 = none.
	DropProto byte
	DropPort  uint16
}

// Counters of a path, to prove that a fault really acted.
type Counters struct {
	Frames, Dropped, Duplicated, Delayed uint64
}

type pathKey struct{ from, to, link int }

// Switch joins the nodes' interfaces of every link in user space: the kernels of test machines cannot delay or
// lose packets by themselves. What it loses, delays or doubles comes from one seeded generator.
type Switch struct {
	nodes, links int

	mu       sync.Mutex // guards all below
	rng      *rand.Rand
	paths    map[pathKey]Path
	counters map[pathKey]*Counters
	taps     map[[2]int]*os.File // node, link
	macs     map[[6]byte][2]int
	delayed  frameHeap
	sequence uint64
	wake     chan struct{}
}

// NewSwitch makes a switch for nodes with links each, all paths good.
func NewSwitch(nodes, links int, seed uint64) *Switch {
	return &Switch{nodes: nodes, links: links, rng: rand.New(rand.NewPCG(seed, 0x5157)),
		paths: map[pathKey]Path{}, counters: map[pathKey]*Counters{}, taps: map[[2]int]*os.File{},
		macs: map[[6]byte][2]int{}, wake: make(chan struct{}, 1)}
}

// OpenTap makes the tap device for a node's link in the present network namespace; the caller moves the
// device to the node's namespace by its name.
func (s *Switch) OpenTap(node, link int, name string) error {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("open /dev/net/tun: %w", err)
	}
	req, err := unix.NewIfreq(name)
	if err != nil {
		unix.Close(fd)
		return err
	}
	req.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
		unix.Close(fd)
		return fmt.Errorf("make tap device %s: %w", name, err)
	}
	s.mu.Lock()
	s.taps[[2]int{node, link}] = os.NewFile(uintptr(fd), name)
	s.mu.Unlock()
	return nil
}

// CloseTap gives up a node's interface.
func (s *Switch) CloseTap(node, link int) {
	s.mu.Lock()
	f := s.taps[[2]int{node, link}]
	delete(s.taps, [2]int{node, link})
	s.mu.Unlock()
	if f != nil {
		f.Close()
	}
}

// Set changes the path from one node to another on a link; link -1 means all links.
func (s *Switch) Set(from, to, link int, p Path) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for l := range s.links {
		if link < 0 || l == link {
			s.paths[pathKey{from, to, l}] = p
		}
	}
}

// Heal makes all paths good.
func (s *Switch) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.paths)
}

// Counters sums up the counters of the paths from one node to another over all links.
func (s *Switch) Counters(from, to int) (sum Counters) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for l := range s.links {
		if c := s.counters[pathKey{from, to, l}]; c != nil {
			sum.Frames += c.Frames
			sum.Dropped += c.Dropped
			sum.Duplicated += c.Duplicated
			sum.Delayed += c.Delayed
		}
	}
	return sum
}

// Connected reports whether frames get from one node to another on any link.
func (s *Switch) Connected(from, to int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for l := range s.links {
		if p := s.paths[pathKey{from, to, l}]; !p.Cut && p.Loss < 1 {
			return true
		}
	}
	return false
}

// maxFrame is the largest Ethernet frame that a tap gives.
const maxFrame = 65536

// Serve moves the frames that a node sends on a link until its tap is closed. Each tap has its own call.
func (s *Switch) Serve(node, link int) {
	s.mu.Lock()
	f := s.taps[[2]int{node, link}]
	s.mu.Unlock()
	if f == nil {
		return
	}
	buf := make([]byte, maxFrame)
	for {
		n, err := f.Read(buf)
		if err != nil {
			return
		}
		if n >= 14 {
			s.forward(node, link, buf[:n])
		}
	}
}

// Run delivers delayed frames until ctx ends.
func (s *Switch) Run(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		next := time.Hour
		s.mu.Lock()
		now := time.Now()
		for len(s.delayed) > 0 {
			if wait := s.delayed[0].at.Sub(now); wait > 0 {
				next = wait
				break
			}
			f := heap.Pop(&s.delayed).(frame)
			if tap := s.taps[f.to]; tap != nil {
				tap.Write(f.data)
			}
		}
		s.mu.Unlock()
		timer.Reset(next)
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-s.wake:
		}
	}
}

func (s *Switch) forward(from, link int, data []byte) {
	var dst, src [6]byte
	copy(dst[:], data[:6])
	copy(src[:], data[6:12])
	s.mu.Lock()
	defer s.mu.Unlock()
	s.macs[src] = [2]int{from, link}
	if at, known := s.macs[dst]; known && dst[0]&1 == 0 {
		if at[1] == link && at[0] != from {
			s.send(from, at[0], link, data)
		}
		return
	}
	for to := range s.nodes {
		if to != from {
			s.send(from, to, link, data)
		}
	}
}

func (s *Switch) send(from, to, link int, data []byte) {
	key := pathKey{from, to, link}
	p := s.paths[key]
	c := s.counters[key]
	if c == nil {
		c = &Counters{}
		s.counters[key] = c
	}
	c.Frames++
	if p.Cut || p.Loss > 0 && s.rng.Float64() < p.Loss || p.MTU > 0 && len(data)-14 > p.MTU || p.drops(data) {
		c.Dropped++
		return
	}
	copies := 1
	if p.Dup > 0 && s.rng.Float64() < p.Dup {
		copies = 2
		c.Duplicated++
	}
	for range copies {
		delay := p.Delay
		if p.Jitter > 0 {
			delay += time.Duration(s.rng.Int64N(int64(p.Jitter)))
		}
		if p.Reorder > 0 && s.rng.Float64() < p.Reorder {
			delay += p.Delay + p.Jitter + 5*time.Millisecond
		}
		if delay == 0 {
			if tap := s.taps[[2]int{to, link}]; tap != nil {
				tap.Write(data) // a full queue loses the frame, as a real switch would
			}
			continue
		}
		c.Delayed++
		s.sequence++
		heap.Push(&s.delayed, frame{at: time.Now().Add(delay), seq: s.sequence, to: [2]int{to, link}, data: append([]byte(nil), data...)})
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
}

// drops reports whether the frame is of the protocol and port that the path loses.
func (p *Path) drops(data []byte) bool {
	if p.DropPort == 0 || len(data) < 14 {
		return false
	}
	var proto byte
	var ports []byte
	switch binary.BigEndian.Uint16(data[12:]) {
	case 0x0800:
		if len(data) < 34 {
			return false
		}
		proto = data[23]
		if h := 14 + int(data[14]&15)*4; len(data) >= h+4 {
			ports = data[h : h+4]
		}
	case 0x86dd:
		if len(data) >= 58 {
			proto, ports = data[20], data[54:58]
		}
	}
	return proto == p.DropProto && ports != nil &&
		(binary.BigEndian.Uint16(ports) == p.DropPort || binary.BigEndian.Uint16(ports[2:]) == p.DropPort)
}

type frame struct {
	at   time.Time
	seq  uint64
	to   [2]int
	data []byte
}

type frameHeap []frame

func (h frameHeap) Len() int { return len(h) }
func (h frameHeap) Less(i, j int) bool {
	return h[i].at.Before(h[j].at) || h[i].at.Equal(h[j].at) && h[i].seq < h[j].seq
}
func (h frameHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *frameHeap) Push(x any)   { *h = append(*h, x.(frame)) }
func (h *frameHeap) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}
