package stream

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/membership"
	"github.com/quorate/quorate/transport"
)

const (
	memA = "10.0.0.1:5404"
	memB = "10.0.0.2:5404"
)

// A silent connection is closed after the time for the handshake, to the tick (slow loris: also if it sends a byte now and then).
func TestHandshake_Timeout(t *testing.T) {
	t.Parallel()
	for _, drip := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			m, w := newMemNet(), newWorld(t)
			b := w.newNode(2, m.use)
			b.run(memB)
			a := w.newNode(1, nil)
			p := a.spec()
			p.Addresses[0] = netip.MustParseAddrPort(memA)
			if err := b.SetPeers([]Peer{p}); err != nil {
				t.Fatal(err)
			}
			c, err := m.dial(context.Background(), netip.MustParseAddr("10.0.0.1"), netip.MustParseAddrPort(memB))
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			var wg sync.WaitGroup
			if drip {
				wg.Go(func() {
					// The beginning of a TLS record that promises 16 KiB.
					for _, x := range append([]byte{22, 3, 1, 0x40, 0}, make([]byte, 1000)...) {
						if _, err := c.Write([]byte{x}); err != nil {
							return
						}
						time.Sleep(100 * time.Millisecond)
					}
				})
			}
			_, _ = io.Copy(io.Discard, c)
			if d := time.Since(began); d != handshakeTimeout {
				t.Errorf("closed after %v, want %v", d, handshakeTimeout)
			}
			synctest.Wait()
			b.Endpoint.mu.Lock()
			used := b.slots.peers
			b.Endpoint.mu.Unlock()
			if used != 0 {
				t.Errorf("%d places are still taken", used)
			}
			_ = c.Close()
			wg.Wait()
			b.stop()
		})
	}
}

// Pauses between dials grow to a second, and a peer that comes back is found within a third of the time that it was away.
func TestDial_Pauses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m, w := newMemNet(), newWorld(t)
		a := w.newNode(1, func(n *node) { m.use(n); n.cfg.Jitter = func() float64 { return 0.999 } })
		b := w.newNode(2, m.use)
		a.run(memA)
		b.run(memB)
		p := b.spec()
		setPeers(t, b, a)
		m.down[memB] = true
		began := time.Now()
		if err := a.SetPeers([]Peer{p}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		m.mu.Lock()
		dials := m.dials
		m.down[memB] = false
		m.mu.Unlock()
		if n := len(dials); n < 60 || n > 80 {
			t.Errorf("%d dials in a minute, want 60 to 80", n)
		}
		for i := 1; i < len(dials); i++ {
			away, gap := dials[i-1].Sub(began), dials[i].Sub(dials[i-1])
			if gap > maxPause || gap > away/2+minPause {
				t.Errorf("after %v, the pause is %v", away, gap)
			}
		}
		a.waitUps(1)
		// A lost connection is dialled again at once.
		lost := time.Now()
		a.Endpoint.mu.Lock()
		c := a.Endpoint.peers[2].conns[0]
		a.Endpoint.mu.Unlock()
		c.fail(errors.New("cable is cut"))
		a.waitUps(2)
		if d := time.Since(lost); d > maxPause {
			t.Errorf("connected again after %v", d)
		}
		if s := a.Stats(); s.Failed == 0 || s.Dialled != 2 {
			t.Errorf("Stats() = %+v", s)
		}
		a.mu.Lock()
		if n := len(a.reports); n > reportBurst+61 {
			t.Errorf("%d reports in a minute", n)
		}
		a.mu.Unlock()
		a.stop()
		b.stop()
	})
}

// A second process with the identity of a connected one is refused as long as the first one lives, and takes its place when it does not answer.
func TestDisplace(t *testing.T) {
	t.Parallel()
	for _, alive := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			m, w := newMemNet(), newWorld(t)
			b := w.newNode(2, m.use)
			a := w.newNode(1, m.use)
			twin := w.newNode(1, func(n *node) {
				m.use(n)
				hello := n.cfg.Hello
				n.cfg.Hello = func() Hello { h := hello(); h.Incarnation = 99; return h }
			})
			a.run(memA)
			b.run(memB)
			setPeers(t, b, a)
			setPeers(t, a, b)
			a.waitUps(1)
			b.waitUps(1)
			if !alive {
				// The first one hangs: it reads nothing any more.
				a.mu.Lock()
				a.stall = make(chan struct{})
				a.mu.Unlock()
				if err := b.Send(1, transport.ClassRaft, []byte("its reader waits")); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
			}
			// The twin has the same address. The listener of the first is in its way, so it goes without.
			twin.Endpoint.listeners[0] = &listener{Listener: &memListener{net: m, at: "twin", accept: make(chan net.Conn), closed: make(chan struct{})}, ip: netip.MustParseAddr("10.0.0.1")}
			ctx, cancel := context.WithCancel(context.Background())
			ended := make(chan error, 1)
			go func() { ended <- twin.Run(ctx) }()
			if err := twin.SetPeers([]Peer{b.spec()}); err != nil {
				t.Fatal(err)
			}
			if alive {
				twin.waitReport(refusedFor(RefusedDuplicate, true))
				b.waitReport(refusedFor(RefusedDuplicate, false))
				if ups, downs := b.counts(); ups != 1 || downs != 0 {
					t.Errorf("%d up, %d down, want the first one untouched", ups, downs)
				}
			} else {
				began := time.Now()
				twin.waitUps(1)
				b.waitUps(2)
				if d := time.Since(began); d != livenessTimeout {
					t.Errorf("displaced after %v, want %v", d, livenessTimeout)
				}
				if len(b.downs) != 1 || !errors.Is(b.downs[0].Err, ErrDisplaced) || b.ups[1].Hello.Incarnation != 99 {
					t.Errorf("downs = %v", b.downs)
				}
			}
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
			b.stop()
			if !alive {
				close(a.stall)
			}
			a.stop()
		})
	}
}

// A peer that takes nothing is given up after writeTimeout.
func TestConn_WriteTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m, w := newMemNet(), newWorld(t)
		a, b := w.newNode(1, m.use), w.newNode(2, m.use)
		b.stall = make(chan struct{})
		a.run(memA)
		b.run(memB)
		setPeers(t, b, a)
		setPeers(t, a, b)
		a.waitUps(1)
		b.waitUps(1)
		for range 3 {
			if err := a.Send(2, transport.ClassRaft, make([]byte, 100_000)); err != nil {
				t.Fatal(err)
			}
		}
		began := time.Now()
		a.wait("loss", func() bool { return len(a.downs) > 0 })
		if d := time.Since(began); d != writeTimeout {
			t.Errorf("given up after %v, want %v", d, writeTimeout)
		}
		close(b.stall)
		a.stop()
		b.stop()
	})
}

// When a link is called dead, what is half written on it and what waits goes over the other one, in order and once.
func TestConn_LinkDies(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m, w := newMemNet(), newWorld(t)
		a, b := w.newNode(1, m.use), w.newNode(2, m.use)
		stall := make(chan struct{})
		b.stall = stall
		a.run(memA, "10.1.0.1:5404")
		b.run(memB, "10.1.0.2:5404")
		setPeers(t, b, a)
		setPeers(t, a, b)
		a.waitUps(2)
		b.waitUps(2)
		for i := range 4 {
			if err := a.Send(2, transport.ClassRaft, bytes.Repeat([]byte{byte(i)}, 200_000)); err != nil {
				t.Fatal(err)
			}
		}
		// The first one came and hangs in its event; the second is half written.
		synctest.Wait()
		if err := a.SetLink(2, 0, 0, true); err != nil {
			t.Fatal(err)
		}
		got := b.waitMessages(3)
		for i, g := range got {
			if g.Link != 1 || len(g.Payload) != 200_000 || g.Payload[0] != byte(i+1) {
				t.Errorf("message %d: link %d, %d bytes, content %d", i, g.Link, len(g.Payload), g.Payload[0])
			}
		}
		a.wait("loss", func() bool { return len(a.downs) > 0 })
		if d := a.downs[0]; d.Link != 0 || d.Last || !errors.Is(d.Err, ErrLinkDead) {
			t.Errorf("PeerDown = %+v", d)
		}
		close(stall)
		b.waitMessages(4)
		a.stop()
		b.stop()
	})
}

// A bulk transfer keeps its pace.
func TestBulk_Pace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m, w := newMemNet(), newWorld(t)
		mk := func(id membership.NodeID) *node {
			return w.newNode(id, func(n *node) {
				m.use(n)
				n.cfg.BulkRate = 100_000
				n.cfg.Bulk = func(_ context.Context, _ membership.NodeID, _ []byte, r io.Reader) error {
					_, err := io.Copy(io.Discard, r)
					return err
				}
			})
		}
		a, b := mk(1), mk(2)
		a.run(memA)
		b.run(memB)
		setPeers(t, b, a)
		setPeers(t, a, b)
		a.waitUps(1)
		b.waitUps(1)
		began := time.Now()
		if err := a.SendBulk(context.Background(), 2, nil, bytes.NewReader(make([]byte, 1_000_000))); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(began); d < 9*time.Second || d > 10*time.Second {
			t.Errorf("a megabyte at 100 kB/s took %v", d)
		}
		// Removal ends a transfer.
		done := make(chan error, 1)
		go func() { done <- a.SendBulk(context.Background(), 2, nil, bytes.NewReader(make([]byte, 1_000_000))) }()
		time.Sleep(time.Second)
		setPeers(t, b)
		if err := <-done; err == nil {
			t.Error("a transfer to a node that removed the sender succeeded")
		}
		a.stop()
		b.stop()
	})
}
